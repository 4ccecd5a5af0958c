"""Which persons of a source share an identity with so many others that it is a placeholder, most likely.

For the doctor only: while the rows stream by, 8 bytes of each digest of a further identity are set aside with the row,
as `connectors.merging` does.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints, flags, is_valid, numbers
from connectors.merging import MOST_SHARED, columns_of, parts_of, set_aside
from connectors.private_domain.scratch import Scratch
from connectors.waterfall import as_bytes

_SCHEMA = pa.schema([("place", pa.int64()), ("row", pa.int64()), ("start", pa.uint64())])


class Shared:
    """The identities of some kinds, in the order of their rows. A context: what was set aside is gone at its end."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._rows = 0
        self._aside = {kind: Scratch(_SCHEMA) for kind in kinds}

    def __enter__(self) -> "Shared":
        return self

    def __exit__(self, *_: object) -> None:
        for aside in self._aside.values():
            aside.__exit__(None, None, None)

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows as an importer yields them. Raises InputError where the disk does not take what is set aside."""
        places = np.arange(self._rows, self._rows + batch.num_rows, dtype=np.int64)
        self._rows += batch.num_rows
        for kind, aside in self._aside.items():
            column = batch.column(f"i.{kind}")
            starts = np.ascontiguousarray(as_bytes(column)[:, :8]).view(np.uint64)[:, 0]
            told = pa.RecordBatch.from_arrays([numbers(places), batch.column("row"), numbers(starts)], schema=_SCHEMA)
            present = is_valid(column)
            set_aside(aside, told.filter(flags(present)), as_bytes(column)[present, 0])

    def rows(self, kind: str, keep: Flags | None) -> Ints:
        """The rows, by number, of persons whose identity of this kind more than MOST_SHARED persons have.

        keep: which rows stand for their person (None: all do). Call once a kind.
        """
        if kind not in self._aside:
            return np.zeros(0, np.int64)
        return np.sort(np.concatenate([_shared(part, keep) for part in parts_of(self._aside[kind])]))


def _shared(part: pa.Table, keep: Flags | None) -> NDArray[np.int64]:
    places, rows, starts = columns_of(part)
    if keep is not None:
        rows, starts = rows[keep[places]], starts[keep[places]]
    _, which, counts = np.unique(starts, return_inverse=True, return_counts=True)
    return rows[counts[which] > MOST_SHARED]
