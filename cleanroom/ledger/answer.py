"""An answer as its recipient keeps it, in one sequence of bytes: released table, salt of its digest, receipt."""

import secrets
from dataclasses import dataclass

import pyarrow as pa

from cleanroom.errors import BadData
from cleanroom.ledger.receipt import SALT_BYTES, SignedReceipt, table_digest

FORMAT = "cleanroom-answer/1"


@dataclass(frozen=True)
class Answer:
    """A released table, the salt under which the receipt has its digest, and the receipt."""

    table: pa.Table
    salt: bytes
    receipt: SignedReceipt

    def __post_init__(self) -> None:
        if table_digest(self.table, self.salt) != self.receipt.receipt.table:
            raise BadData("An answer and its receipt do not belong together.")

    def encode(self) -> bytes:
        """An Arrow stream whose schema metadata hold the rest."""
        metadata = {"format": FORMAT, "salt": self.salt.hex(), "receipt": self.receipt.encode()}
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema.with_metadata(metadata)) as writer:
            writer.write_table(self.table)
        return bytes(sink.getvalue())

    @classmethod
    def decode(cls, content: bytes) -> "Answer":
        """The reverse of `encode`, for bytes that the ledger has vouched for. Raises BadData."""
        try:
            table = pa.ipc.open_stream(content).read_all()
            metadata = table.schema.metadata or {}
            if metadata.get(b"format") != FORMAT.encode():
                raise BadData("A stored answer has a format that this version does not know.", "Update this program.")
            salt, receipt = bytes.fromhex(metadata[b"salt"].decode()), metadata[b"receipt"]
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            raise BadData("A stored answer is damaged.", "Ask the question again.") from error
        return cls(table.replace_schema_metadata(None), salt, SignedReceipt.parse(receipt))


def new_salt() -> bytes:
    """A random salt for `table_digest`."""
    return secrets.token_bytes(SALT_BYTES)
