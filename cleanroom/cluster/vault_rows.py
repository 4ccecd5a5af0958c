"""A vault's dataset as executors read it: a piece a part, some columns, by a leave that is sealed for them.

The root key stays on the driver. What is sealed holds the keys of the columns granted and no other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from cleanroom.cluster.executor_keys import SealedKey, seal
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.vault import leave as leaves
from cleanroom.vault.leave import Leave
from cleanroom.vault.parts import KEEP
from cleanroom.vault.vault import Vault
from protocols.rows import Indices

ROW_BITS = 32
"""A row's number is its piece's, these bits higher, and its own among those of the piece that stand."""
_NAME = "leave"


@dataclass(frozen=True)
class VaultRows:
    """Some columns of a version, for executors: a `brief.Source`. rows: those that stand."""

    sealed: SealedKey
    digest: str
    pieces: int
    rows: int

    @classmethod
    def granted(cls, settings: ClusterSettings, vault: Vault, dataset: str, columns: Sequence[str]) -> VaultRows:
        """These columns of the current version. Raises as `Vault.read`, MissingKey."""
        manifest = vault.manifest(dataset)
        leave = leaves.collect(vault, dataset, manifest.version, columns)
        return cls(seal(settings, _NAME, leave.to_bytes()), manifest.digest, len(leave.parts), manifest.rows)

    def read(self, piece: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """A part's rows that stand. Raises Refused for a column that was not granted, else as `leave.read_part`."""
        leave = self._leave
        return leaves.read_part(leave, leave.parts[piece], columns)

    def positions(self, numbers: Indices) -> Indices:
        """Where rows of these numbers stand in the vault, as `Vault.read` counts them."""
        starts = np.concatenate([[0], np.cumsum(self._standing())])
        return np.asarray(starts[numbers >> ROW_BITS] + (numbers & ((1 << ROW_BITS) - 1)), np.int64)

    def _standing(self) -> list[int]:
        """How many rows of each part stand."""
        leave, counts = self._leave, []
        for part in leave.parts:
            if part.refined is None:
                counts.append(part.rows)
                continue
            file = leaves.open_file(leave, part.refined)
            keeps = (file.read_row_group(group, [KEEP]).column(0) for group in range(file.metadata.num_row_groups))
            counts.append(sum(int(np.count_nonzero(keep.to_numpy())) for keep in keeps))
        return counts

    @property
    def _leave(self) -> Leave:
        return Leave.from_bytes(self.sealed.open())
