"""Rows set aside by part while more of them stream by, so that memory does not grow with their number.

Few rows stay in memory. Many go to one file without a name, in blocks sealed by AES-256-GCM under a key that is drawn
here, never leaves this process's memory and is gone with it: nothing of the data can be read from the disk.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import flags, numbers

PARTS = 32
CHUNK_ROWS = 1_000_000
MOST_IN_MEMORY = 2_000_000
"""Rows; beyond them the file is used."""


class Scratch:
    """Rows of one schema, given back part by part. A context manager: the file is gone at its end."""

    def __init__(self, schema: pa.Schema, folder: Path | None = None) -> None:
        self.rows = 0
        self._schema, self._folder = schema, folder
        self._waiting: list[tuple[pa.RecordBatch, NDArray[np.uint8]]] = []
        self._held = 0
        self._file: IO[bytes] | None = None
        self._blocks: list[list[tuple[int, int, int]]] = [[] for _ in range(PARTS)]
        self._key, self._number, self._end = os.urandom(32), 0, 0

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        if self._file is not None:
            self._file.close()

    def add(self, batch: pa.RecordBatch, parts: NDArray[np.uint8]) -> None:
        """Rows, each with the part (below PARTS) it belongs to."""
        self._waiting.append((batch, parts))
        self._held += batch.num_rows
        self.rows += batch.num_rows
        if self._held >= (CHUNK_ROWS if self._file is not None else MOST_IN_MEMORY):
            self._flush()

    def seal(self) -> int:
        """No more rows come. How many parts they are best read in: one where all are in memory."""
        if self._file is not None and self._held:
            self._flush()
        return PARTS if self._file is not None else 1

    def part(self, number: int, count: int) -> pa.Table:
        """The rows of one part of `count`: 1, where all are in memory, or PARTS."""
        if self._file is not None:
            return pa.Table.from_batches(list(self._read(number)), schema=self._schema)
        chosen = [batch if count == 1 else batch.filter(flags(parts == number)) for batch, parts in self._waiting]
        return pa.Table.from_batches(chosen, schema=self._schema)

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (closed by __exit__)
        table = pa.Table.from_batches([batch for batch, _ in self._waiting], schema=self._schema)
        parts = np.concatenate([each for _, each in self._waiting])
        self._waiting, self._held = [], 0
        order = np.argsort(parts, kind="stable")
        ends = np.cumsum(np.bincount(parts, minlength=PARTS))
        (sorted_rows,) = table.take(numbers(order)).combine_chunks().to_batches() or [None]
        for number, end in enumerate(ends.tolist()):
            start = ends[number - 1] if number else 0
            if end > start:
                self._write(number, sorted_rows.slice(start, end - start))

    def _write(self, number: int, batch: pa.RecordBatch) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._schema) as writer:
            writer.write_batch(batch)
        if self._file is None:
            raise RuntimeError("There is no file to write to.")
        sealed = AESGCM(self._key).encrypt(self._number.to_bytes(12, "big"), sink.getvalue().to_pybytes(), None)
        self._blocks[number].append((self._number, self._end, len(sealed)))
        self._number, self._end = self._number + 1, self._end + len(sealed)
        self._file.write(sealed)

    def _read(self, number: int) -> Iterator[pa.RecordBatch]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._file is None:
            raise RuntimeError("There is no file to read from.")
        for block, start, size in self._blocks[number]:
            self._file.seek(start)
            opened = AESGCM(self._key).decrypt(block.to_bytes(12, "big"), self._file.read(size), None)
            with pa.ipc.open_stream(pa.py_buffer(opened)) as reader:
                yield from reader


def part_of(users: pa.StringArray) -> NDArray[np.uint8]:
    """The part of each user: by its first and last eight bytes, the same for the same text."""
    content = users.buffers()[2]
    count = len(users)
    offsets = np.frombuffer(users.buffers()[1], np.int32)[users.offset : users.offset + count + 1].astype(np.int64)
    raw = (
        np.concatenate([np.frombuffer(content, np.uint8), np.zeros(8, np.uint8)]) if content else np.zeros(8, np.uint8)
    )
    words = np.ndarray((len(raw) - 7,), "<u8", raw.data, 0, (1,))
    starts, lengths = offsets[:-1], np.diff(offsets)
    kept = np.where(lengths >= 8, ~np.uint64(0), (np.uint64(1) << (8 * np.minimum(lengths, 7)).astype(np.uint64)) - 1)
    mixed = (words[starts] & kept) * _FIRST ^ (words[np.maximum(starts, offsets[1:] - 8)] & kept) * _LAST
    mixed ^= mixed >> np.uint64(29)
    return ((mixed * _FIRST) >> np.uint64(59)).astype(np.uint8)


_FIRST, _LAST = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
