"""Rows of equally many bytes as files that any tool reads: one column of Parquet, or CSV in which all lines are alike.

In CSV a row is its lower-case hex or its padded base64 (RFC 4648, section 4), ended by one line feed: so a row's place
in the file is known, and nothing has to be parsed. Rows come back in batches; what is not exactly that is refused with
the row's number.
"""

import os
from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cleanroom import private_files
from cleanroom.errors import BadData
from cleanroom.files import replacing
from protocols.rows import Bytes, to_column, to_rows

Text = Literal["hex", "base64"]
BATCH = 1 << 16
_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_HEX_VALUES = np.full(256, 255, np.uint8)
_HEX_VALUES[_DIGITS] = np.arange(16)
_BASE64 = np.zeros(256, np.bool_)
_BASE64[np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8)] = True
_END = ord("\n")


@dataclass(frozen=True)
class Layout:
    """A file's only column. width: bytes a row; titled: whether its name is the first line of a CSV."""

    name: str
    width: int
    text: Text
    titled: bool

    @property
    def schema(self) -> pa.Schema:
        """In Parquet."""
        return pa.schema([pa.field(self.name, pa.binary(self.width), nullable=False)])

    @property
    def line(self) -> int:
        """Bytes of a line of CSV, its end included."""
        return (2 * self.width if self.text == "hex" else 4 * -(-self.width // 3)) + 1

    @property
    def title(self) -> bytes:
        """What a CSV begins with."""
        return f"{self.name}\n".encode() if self.titled else b""


def write(path: Path, layout: Layout, rows: Bytes) -> None:
    """Write rows uint8[n, width], mode 0600, whole or not at all."""
    with replacing(path) as aside, aside.open("wb") as file:
        _write_parquet(file, layout, rows) if path.suffix.lower() == ".parquet" else _write_csv(file, layout, rows)


def read(path: Path, layout: Layout, rows: int) -> Iterator[Bytes]:
    """Batches uint8[n, width] of a file that must have so many rows. Raises BadData."""
    found = _read_parquet(path, layout) if path.suffix.lower() == ".parquet" else _read_csv(path, layout, rows)
    seen = 0
    for batch in found:
        seen += len(batch)
        if seen > rows:
            raise _damaged(path)
        yield batch
    if seen != rows:
        raise _damaged(path)


def whole(path: Path, layout: Layout, rows: int) -> Bytes:
    """The same in one piece."""
    parts = list(read(path, layout, rows))
    return np.concatenate(parts) if parts else np.empty((0, layout.width), np.uint8)


def texts(rows: Bytes, text: Text) -> Bytes:
    """uint8[n, w]: each row's text, ASCII."""
    if text == "hex":
        return np.stack([_DIGITS[rows >> 4], _DIGITS[rows & 15]], axis=2).reshape(len(rows), -1)
    missing = -rows.shape[1] % 3
    padded = np.pad(rows, ((0, 0), (0, missing)))
    found = np.frombuffer(b64encode(padded.tobytes()), np.uint8).reshape(len(rows), -1).copy()
    found[:, found.shape[1] - missing :] = ord("=")
    return found


def _write_csv(file: BinaryIO, layout: Layout, rows: Bytes) -> None:
    file.write(layout.title)
    for start in range(0, len(rows), BATCH):
        some = texts(rows[start : start + BATCH], layout.text)
        file.write(np.pad(some, ((0, 0), (0, 1)), constant_values=_END).tobytes())


def _write_parquet(file: BinaryIO, layout: Layout, rows: Bytes) -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(file, layout.schema) as writer:
        for start in range(0, len(rows), BATCH):
            writer.write_batch(pa.record_batch([to_column(rows[start : start + BATCH])], schema=layout.schema))


def _read_csv(path: Path, layout: Layout, rows: int) -> Iterator[Bytes]:
    with os.fdopen(private_files.open_regular(path, follow=True), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != len(layout.title) + rows * layout.line or file.read(len(layout.title)) != layout.title:
            raise _damaged(path)
        for start in range(0, rows, BATCH):
            count = min(BATCH, rows - start)
            content = np.frombuffer(file.read(count * layout.line), np.uint8)
            if len(content) != count * layout.line:
                raise _damaged(path)
            lines = content.reshape(count, layout.line)
            found, wrong = _values(lines[:, :-1], layout)
            wrong |= lines[:, -1] != _END
            if wrong.any():
                raise BadData("Row {row} of {name} is not written as it must be.", "Fetch the file again.",
                              row=start + int(np.flatnonzero(wrong)[0]) + 1, name=path.name)  # fmt: skip
            yield found


def _values(lines: Bytes, layout: Layout) -> tuple[Bytes, npt.NDArray[np.bool_]]:
    """(the rows, which of them are wrong): the rows mean nothing where one is."""
    if layout.text == "hex":
        values = _HEX_VALUES[lines]
        wrong: npt.NDArray[np.bool_] = (values == 255).any(axis=1)
        return ((values[:, ::2] << 4) | (values[:, 1::2] & 15)).astype(np.uint8), wrong
    missing = -layout.width % 3
    end = lines.shape[1] - missing
    wrong = ~_BASE64[lines[:, :end]].all(axis=1) | (lines[:, end:] != ord("=")).any(axis=1)
    if wrong.any():
        return lines[:, : layout.width], wrong
    filled = np.pad(lines[:, :end], ((0, 0), (0, missing)), constant_values=ord("A"))
    values = np.frombuffer(a2b_base64(filled.tobytes()), np.uint8).reshape(len(lines), -1)
    return np.ascontiguousarray(values[:, : layout.width]), values[:, layout.width :].max(axis=1, initial=0) > 0


def _read_parquet(path: Path, layout: Layout) -> Iterator[Bytes]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            if not file.schema_arrow.remove_metadata().equals(layout.schema):
                raise _damaged(path)
            for batch in file.iter_batches(BATCH):
                yield to_rows(batch.column(0))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> BadData:
    return BadData("{name} is damaged, or is not what its header says.", "Fetch both files again.", name=path.name)
