"""Digests of identities: SHA-256 in bulk, and the forms in which platforms write them.

These digests are how an identity is written before a match. They are no protection (phones can be counted through), so
they never leave their owner.
"""

import base64
import binascii
import hashlib
import threading
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors.arrays import Bytes, Flags, flags
from connectors.identity.texts import view

if TYPE_CHECKING:
    import duckdb

FEW = 32_768
"""Texts that are hashed one by one, each call: beyond, DuckDB's start has paid off."""
_local = threading.local()
_bulk: Callable[[pa.StringArray], Bytes] | None = None


def sha256(texts: pa.StringArray) -> Bytes:
    """SHA-256 of the UTF-8 bytes of each text (no nulls): uint8[n, 32].

    By DuckDB's `sha256`: 0.5 s a million on one core, against 1.2 s for `hashlib` one by one; or by `set_sha256`'s. A
    few by `hashlib`: DuckDB is a tenth of a second to load and milliseconds a call.
    """
    if _bulk:
        return _bulk(texts)
    return _one_by_one(texts) if len(texts) <= FEW else _hashed(texts, "SELECT sha256(t) FROM identities", 32)


def set_sha256(function: Callable[[pa.StringArray], Bytes] | None) -> None:
    """From now on compute `sha256` by this function of equal result, or by DuckDB again.

    For whoever imports millions of rows and has something faster, which takes a while to start and is not known here.
    """
    global _bulk
    _bulk = function


def md5(texts: pa.StringArray) -> Bytes:
    """MD5 of the UTF-8 bytes of each text (no nulls): uint8[n, 16]. Only to know who comes hashed like this."""
    return _hashed(texts, "SELECT md5(t) FROM identities", 16)


def from_hex(digits: Bytes) -> Bytes:
    """uint8[n, 2w] of hexadecimal digits in either case → uint8[n, w]."""
    decoded = binascii.unhexlify(np.ascontiguousarray(digits).data)
    return np.frombuffer(decoded, np.uint8).reshape(len(digits), digits.shape[1] // 2)


def from_base64(digits: Bytes) -> Bytes:
    """uint8[n, 44] of base64 digits of 32 bytes each → uint8[n, 32]."""
    three_to_four = np.zeros(256, np.uint32)
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    three_to_four[np.frombuffer(alphabet, np.uint8)] = np.arange(64)
    sextets = three_to_four[digits].reshape(len(digits), 11, 4)
    words = sextets[:, :, 0] << 18 | sextets[:, :, 1] << 12 | sextets[:, :, 2] << 6 | sextets[:, :, 3]
    parts = np.stack([words >> 16, words >> 8 & 0xFF, words & 0xFF], axis=2).astype(np.uint8)
    return parts.reshape(len(digits), 33)[:, :32]


def written(digest: bytes, form: str) -> str:
    """One digest as a platform wants it: `form` "hex" or "base64"."""
    return base64.b64encode(digest).decode() if form == "base64" else digest.hex()


def fixed(digests: Bytes, valid: Flags) -> pa.FixedSizeBinaryArray:
    """uint8[n, w] as an Arrow column, null where not valid."""
    count, width = digests.shape
    mask = None if valid.all() else flags(valid).buffers()[1]
    return pa.Array.from_buffers(pa.binary(width), count, [mask, pa.py_buffer(np.ascontiguousarray(digests))])


def _one_by_one(texts: pa.StringArray) -> Bytes:
    offsets, content = view(texts)
    whole, places = content.tobytes(), offsets.tolist()
    found = b"".join(hashlib.sha256(whole[start:end]).digest() for start, end in pairwise(places))
    return np.frombuffer(found, np.uint8).reshape(-1, 32)


def _hashed(texts: pa.StringArray, statement: str, width: int) -> Bytes:
    digests = np.empty((len(texts), width), np.uint8)
    if not len(texts):
        return digests
    connection = _connection()
    connection.register("identities", pa.table({"t": texts}))
    try:
        column = connection.sql(statement).to_arrow_table().column(0)
    finally:
        connection.unregister("identities")
    start = 0
    for chunk in column.chunks:
        digests[start : start + len(chunk)] = from_hex(view(chunk.cast(pa.string()))[1].reshape(-1, 2 * width))
        start += len(chunk)
    return digests


def _connection() -> "duckdb.DuckDBPyConnection":
    if not hasattr(_local, "connection"):
        import duckdb

        _local.connection = duckdb.connect(
            ":memory:",
            config={"threads": 1, "temp_directory": "", "python_enable_replacements": "false"},
        )
    connection: duckdb.DuckDBPyConnection = _local.connection
    return connection
