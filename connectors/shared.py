"""Which persons of a source share an identity with so many others that it is a placeholder, most likely.

For the doctor only: while the rows stream by, 8 bytes of each digest of a further identity are kept, and row numbers.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints, is_valid, values_of
from connectors.merging import MOST_SHARED
from connectors.waterfall import as_bytes


class Shared:
    """The identities of some kinds, in the order of their rows."""

    def __init__(self, kinds: Sequence[str]) -> None:
        self._rows: list[Ints] = []
        self._digests: dict[str, list[tuple[NDArray[np.uint64], Flags]]] = {kind: [] for kind in kinds}

    def add(self, batch: pa.RecordBatch) -> None:
        """Rows as an importer yields them."""
        self._rows.append(values_of(batch.column("row")).copy())
        for kind, parts in self._digests.items():
            column = batch.column(f"i.{kind}")
            starts = np.ascontiguousarray(as_bytes(column)[:, :8]).view(np.uint64)[:, 0]
            parts.append((starts, is_valid(column)))

    def rows(self, kind: str, keep: Flags | None) -> Ints:
        """The rows, by number, of persons whose identity of this kind more than MOST_SHARED persons have.

        keep: which rows stand for their person (None: all do).
        """
        parts = self._digests.get(kind)
        if not parts:
            return np.zeros(0, np.int64)
        counted = np.concatenate([present for _, present in parts])
        if keep is not None:
            counted &= keep
        _, which, counts = np.unique(
            np.concatenate([starts for starts, _ in parts])[counted], return_inverse=True, return_counts=True
        )
        return np.sort(np.concatenate(self._rows)[counted][counts[which] > MOST_SHARED])
