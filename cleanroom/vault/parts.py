"""A version's files: row groups streamed out, an encrypted file a part.

Which rows stand for their person is known only after the last one, so it is written beside the rows, as a `refined`
file a part (which rows stand, and amounts replaced for them), and applied at reading: an import writes every row once.
Nothing is compressed: it is the fastest, and sizes then say nothing of contents. Memory holds one row group.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.vault.encrypted_file import EncryptedFile, Place
from cleanroom.vault.manifest import StoredFile

GROUP_ROWS = 131_072
PART_ROWS = 32 * GROUP_ROWS
AT_ONCE = 4
"""Files on their way to a store."""
_SAMPLE_ROWS = 8_192
KEEP = "keep"
"""The refined file's own column: whether the row stands."""


@dataclass(frozen=True)
class Finish:
    """What is known once all rows were seen.

    keep: bool, one a row given to the vault, which rows stand for their person (None: all); replaced: int64 columns,
    one value a row kept, that take the place of what was given.
    """

    keep: NDArray[np.bool_] | None = None
    replaced: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether any row goes or any amount changes."""
        return bool(self.replaced) or (self.keep is not None and not bool(self.keep.all()))


class PartsWriter:
    """Takes batches, writes parts of full row groups. A context: what is unfinished at its end is let go of."""

    def __init__(
        self, place: Place, schema: pa.Schema, *, group_rows: int = GROUP_ROWS, part_rows: int = PART_ROWS
    ) -> None:
        """`schema` has the physical names and `storable` types. part_rows: a multiple of group_rows."""
        self._place, self._schema, self._group_rows, self._part_rows = place, schema, group_rows, part_rows
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._part: EncryptedFile | None = None
        self._dictionary: list[str] | None = None
        self.parts: list[StoredFile] = []

    def __enter__(self) -> "PartsWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._part is not None:
            self._part.abandon()

    def add(self, batch: pa.RecordBatch) -> None:
        """Takes the batch's rows; its columns are in the schema's order, dictionaries of any index type."""
        columns = [values.cast(kind) for values, kind in zip(batch.columns, self._schema.types, strict=True)]
        self._pending.append(pa.RecordBatch.from_arrays(columns, schema=self._schema))
        self._pending_rows += batch.num_rows
        while self._pending_rows >= self._group_rows:
            self._write_group(self._group_rows)

    def close(self) -> tuple[StoredFile, ...]:
        """Writes what is pending; a dataset without rows has one empty part."""
        if self._pending_rows or (not self.parts and self._part is None):
            self._write_group(self._pending_rows)
        self._close_part()
        return tuple(self.parts)

    def arranged(self, finish: Finish) -> Finish:
        """The same for the rows in the order of the files, which is that in which they came."""
        return finish

    def _write_group(self, rows: int) -> None:
        table = pa.Table.from_batches(self._pending, self._schema)
        rest = table.slice(rows)
        self._pending, self._pending_rows = rest.to_batches(), rest.num_rows
        group = table.slice(0, rows).unify_dictionaries()
        if self._dictionary is None:
            self._dictionary = repeating(group)
        if self._part is None:
            self._part = EncryptedFile(
                self._place, f"part-{len(self.parts):04d}.parquet", self._schema, self._dictionary
            )
        self._part.write(group)
        if self._part.rows >= self._part_rows:
            self._close_part()

    def _close_part(self) -> None:
        if self._part is not None:
            self.parts.append(self._part.close())
            self._part = None


def write_refined(
    place: Place, parts: Sequence[StoredFile], finish: Finish, physical: Mapping[str, str], group_rows: int = GROUP_ROWS
) -> tuple[StoredFile, ...]:
    """One file a part, with the part's row groups: which rows stand, and the replaced columns (0 where a row goes)."""
    keep = np.ones(sum(part.rows for part in parts), np.bool_) if finish.keep is None else finish.keep
    schema = pa.schema(
        [pa.field(KEEP, pa.bool_()), *(pa.field(physical[name], pa.int64()) for name in finish.replaced)]
    )
    ends = np.cumsum([0, *(part.rows for part in parts)]).tolist()
    before = np.cumsum([0, *(keep[start:end].sum() for start, end in pairwise(ends))]).tolist()

    def write(number: int) -> StoredFile:
        start, end, kept = ends[number], ends[number + 1], before[number]
        with EncryptedFile(place, parts[number].name.replace("part-", "refined-", 1), schema, []) as file:
            for low in range(start, end, group_rows):
                mask = keep[low : min(low + group_rows, end)]
                count = int(mask.sum())
                columns = [_spread(mask, values[kept : kept + count]) for values in finish.replaced.values()]
                file.write(pa.table([pa.array(mask), *columns], schema=schema))
                kept += count
            return file.close()

    with ThreadPoolExecutor(AT_ONCE if place.files.lasting else 1) as pool:  # a store answers late, a disk does not
        return tuple(pool.map(write, range(len(parts))))


def storable(kind: pa.DataType) -> pa.DataType:
    """The type as it is stored: dictionaries with 32-bit indices, for the small ones overflow when they are unified."""
    return pa.dictionary(pa.int32(), kind.value_type) if pa.types.is_dictionary(kind) else kind


def repeating(group: pa.Table) -> list[str]:
    """Columns worth a dictionary: those that come with one, and texts of few values in the first rows."""
    sample = group.slice(0, _SAMPLE_ROWS)
    return [
        field.name
        for field, values in zip(sample.schema, sample.columns, strict=True)
        if pa.types.is_dictionary(field.type)
        or (_is_text(field.type) and pc.count_distinct(values).as_py() <= len(values) // 8)
    ]


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _spread(mask: NDArray[np.bool_], values: NDArray[np.int64]) -> pa.Array:
    full = np.zeros(len(mask), np.int64)
    full[mask] = values
    return pa.array(full)
