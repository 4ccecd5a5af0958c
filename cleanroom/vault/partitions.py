"""A version in many files, each of one partition: all rows of a person are in one, and readers take them one by one.

Which partition, a key of this vault alone says: neither names nor sizes of files tell anything of who is in them. Rows
are held until they fill a buffer, and then every partition gets a file of what is held: memory is that of the buffer
and of the few files on their way.
"""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.errors import UsageError
from cleanroom.vault.encrypted_file import EncryptedFile, Place
from cleanroom.vault.identities import as_bytes
from cleanroom.vault.manifest import StoredFile
from cleanroom.vault.parts import AT_ONCE, GROUP_ROWS, Finish, repeating
from cleanroom.vault.row_digests import length_key, row_digests

BUFFER_BYTES = 256 << 20
ROWS_EACH = 16_000_000
"""Rows of a partition, of which the number of partitions is made."""
MOST = 4_096
_LABEL = b"cleanroom/partition-key/1"
_BLOCK = 64

Numbers = NDArray[np.uint16]


@dataclass(frozen=True)
class Partitioning:
    """How many partitions, a power of two; the vault's key for them; the place of the digest among the columns."""

    number: int
    key: bytes = field(repr=False)
    digest: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= MOST or self.number & (self.number - 1):
            raise UsageError("Partitions are a power of two up to {most}.", most=MOST)

    def of(self, digests: NDArray[np.uint8]) -> Numbers:
        """uint16[n]: the partition of each digest, uint8[n, 16 or 32]."""
        tokens = row_digests(length_key(_LABEL, self.key, digests.shape[1]), digests)
        first: Numbers = tokens[:, :2].copy().view("<u2").reshape(-1)
        return first & np.uint16(self.number - 1)


def partitions_for(rows: int) -> int:
    """How many partitions so many rows are best kept in: one up to ROWS_EACH rows."""
    return min(MOST, 1 << max(0, (rows - 1) // ROWS_EACH).bit_length())


class PartitionsWriter:
    """Takes batches, writes files of partitions; as `PartsWriter`."""

    def __init__(
        self,
        place: Place,
        schema: pa.Schema,
        by: Partitioning,
        *,
        group_rows: int = GROUP_ROWS,
        buffer_bytes: int = BUFFER_BYTES,
    ) -> None:
        self._place, self._schema, self._by = place, schema, by
        self._group_rows, self._buffer_bytes = group_rows, buffer_bytes
        self._pending: dict[int, list[pa.RecordBatch]] = defaultdict(list)
        self._held = self._round = 0
        self._numbers: list[Numbers] = []
        self._dictionary: list[str] | None = None
        self._files: dict[tuple[int, int], StoredFile] = {}

    def __enter__(self) -> "PartitionsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._pending.clear()

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes the batch's rows; its columns are in the schema's order, dictionaries of any index type."""
        if not batch.num_rows:
            return
        columns = [values.cast(kind) for values, kind in zip(batch.columns, self._schema.types, strict=True)]
        numbers = self._by.of(as_bytes(batch.column(self._by.digest)))
        order = pa.array(np.argsort(numbers, kind="stable"))
        ordered = pa.RecordBatch.from_arrays([values.take(order) for values in columns], schema=self._schema)
        counts = np.bincount(numbers)
        for number, end in enumerate(np.cumsum(counts).tolist()):
            if counts[number]:
                self._pending[number].append(ordered.slice(end - counts[number], counts[number]))
        self._numbers.append(numbers)
        self._held += ordered.nbytes
        if self._held >= self._buffer_bytes:
            self._write_out()

    def close(self) -> tuple[StoredFile, ...]:
        """Writes what is pending; the files, partition by partition. A dataset without rows has one empty file."""
        self._write_out()
        if not self._files:
            self._files[0, 0] = self._write(0, pa.Table.from_batches([], self._schema))
        return tuple(self._files[at] for at in sorted(self._files))

    def arranged(self, finish: Finish) -> Finish:
        """The same for the rows in the order of the files."""
        if not finish.changes:
            return finish
        numbers = np.concatenate([np.zeros(0, np.uint16), *self._numbers])
        keep = np.ones(len(numbers), np.bool_) if finish.keep is None else finish.keep
        rank = np.cumsum(keep, dtype=np.int32 if len(keep) < 1 << 31 else np.int64) if finish.replaced else None
        kept = np.empty_like(keep)
        replaced = {name: np.empty_like(values) for name, values in finish.replaced.items()}
        at = out = 0
        for order in _orders(numbers):
            kept[at : at + len(order)] = here = keep[order]
            at += len(order)
            if rank is not None:
                chosen = rank[order[here]] - 1
                for name, values in finish.replaced.items():
                    replaced[name][out : out + len(chosen)] = values[chosen]
                out += len(chosen)
        return Finish(kept, replaced)

    def _write_out(self) -> None:
        """A file of every partition that has rows, of all rows held."""
        held, self._pending, self._held = sorted(self._pending.items()), defaultdict(list), 0
        if held and self._dictionary is None:
            self._dictionary = repeating(pa.Table.from_batches(held[0][1], self._schema).unify_dictionaries())
        with ThreadPoolExecutor(AT_ONCE) as pool:
            files = pool.map(lambda one: self._write(one[0], pa.Table.from_batches(one[1], self._schema)), held)
            for (number, _), file in zip(held, files, strict=True):
                self._files[number, self._round] = file
        self._round += 1

    def _write(self, number: int, rows: pa.Table) -> StoredFile:
        name = f"part-{number:04d}-{self._round:04d}.parquet"
        with EncryptedFile(self._place, name, self._schema, self._dictionary or []) as file:
            for start in range(0, len(rows), self._group_rows):
                file.write(rows.slice(start, self._group_rows).unify_dictionaries())
            return file.close()


def _orders(numbers: Numbers) -> Iterator[NDArray[np.int64]]:
    """Where the rows of the files came from, some partitions at a time."""
    for low in range(0, int(numbers.max(initial=0)) + 1, _BLOCK):
        inside = np.flatnonzero((numbers >= low) & (numbers < low + _BLOCK))
        yield inside[np.argsort(numbers[inside], kind="stable")]
