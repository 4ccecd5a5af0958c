"""The payload of a data frame: one Arrow record batch of the schema that the receiver expects, and nothing else.

16 bytes of schema fingerprint, then the encapsulated IPC message without its schema. What arrives is checked before
Arrow allocates anything (rows, no compression) and validated in full after.
"""

import functools
import hashlib
import struct

import pyarrow as pa

from protocols.errors import BadMessage

FINGERPRINT_BYTES = 16
_CONTINUATION = 0xFFFFFFFF
_IPC_PREFIX = 8  # continuation marker and length of the metadata
_RECORD_BATCH = 3  # MessageHeader.RecordBatch in Arrow's Message.fbs


@functools.lru_cache(maxsize=256)
def fingerprint(schema: pa.Schema) -> bytes:
    """16 bytes that name the schema: its fields' names, types and nullability, each with its length before it."""
    digest = hashlib.sha256(b"cleanroom/schema/1")
    for field in schema:
        for part in (field.name, str(field.type), str(field.nullable)):
            digest.update(len(part.encode()).to_bytes(4, "little") + part.encode())
    return digest.digest()[:FINGERPRINT_BYTES]


def encode(batch: pa.RecordBatch) -> list[bytes | pa.Buffer]:
    """The payload, in parts."""
    return [fingerprint(batch.schema), batch.serialize()]


def decode(payload: memoryview, schema: pa.Schema, most_rows: int) -> pa.RecordBatch:
    """The batch, over the payload's own memory.

    Raises BadMessage: another schema, no row or more than `most_rows`, compressed or malformed content, a null where
    the schema allows none.
    """
    if bytes(payload[:FINGERPRINT_BYTES]) != fingerprint(schema):
        raise BadMessage("A message has another schema than the one agreed.")
    body = payload[FINGERPRINT_BYTES:]
    rows = _uncompressed_rows(body)
    if not 0 < rows <= most_rows:
        raise BadMessage("A message has more rows than were declared, or none.")
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(body), schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise BadMessage("The content of a message is malformed.") from error
    if any(column.null_count for column, field in zip(batch.columns, schema, strict=True) if not field.nullable):
        raise BadMessage("The content of a message is malformed.")
    return batch


def row_bytes(schema: pa.Schema) -> int | None:
    """Bytes of a row where every column is of fixed width, else None."""
    try:
        width: int = sum(-(-field.type.bit_width // 8) for field in schema)
    except ValueError:
        return None
    return width


def _uncompressed_rows(body: memoryview) -> int:
    """RecordBatch.length, read from the flatbuffer itself: a small compressed body could fill all memory."""
    try:
        marker, length = struct.unpack_from("<Ii", body)
        metadata = body[_IPC_PREFIX : _IPC_PREFIX + length]
        message = struct.unpack_from("<I", metadata)[0]
        kind = metadata[message + _field(metadata, message, 1)]
        header = message + _field(metadata, message, 2)
        header += struct.unpack_from("<I", metadata, header)[0]
        compression = _field(metadata, header, 3)
        rows: int = struct.unpack_from("<q", metadata, header + _field(metadata, header, 0))[0]
    except (struct.error, IndexError) as error:
        raise BadMessage("The content of a message is malformed.") from error
    if marker != _CONTINUATION or kind != _RECORD_BATCH or compression:
        raise BadMessage("The content of a message is malformed.")
    return rows


def _field(metadata: memoryview, table: int, index: int) -> int:
    """Offset of a field within a flatbuffer table; 0 where absent."""
    vtable = table - struct.unpack_from("<i", metadata, table)[0]
    if vtable < 0:
        raise struct.error("vtable before the start")
    size = struct.unpack_from("<H", metadata, vtable)[0]
    offset: int = struct.unpack_from("<H", metadata, vtable + 4 + 2 * index)[0] if 4 + 2 * index < size else 0
    return offset
