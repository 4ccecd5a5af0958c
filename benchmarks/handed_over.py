"""Growth where owners' executors make the rows and leave them for those of the operator: no process sees all of them.

Both owners and the operator are one Spark here, one after the other. Datasets are made by executors as they are read.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import growth
from cleanroom.cluster import executor_keys, session, tokenising
from cleanroom.cluster.brief import Brief
from cleanroom.cluster.handover import HandedOver, Place
from cleanroom.cluster.parts import Parts, under
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.enclave.query import split_name
from cleanroom.enclave.spark import SparkEngine
from cleanroom.enclave.tables import TOKEN, as_binary
from cleanroom.matching.cells import TYPED
from cleanroom.rooms.terms import Annex
from cleanroom.vault.identities import DIGEST
from protocols.psi import keyed

PIECE = 1 << 20
_BATCH = 1 << 17
CANARIES = bytes(32)


@dataclass(frozen=True)
class Made:
    """A side's dataset, a `brief.Source`."""

    side: str
    rows: int

    @property
    def pieces(self) -> int:
        """See `Source`."""
        return -(-self.rows // PIECE)

    @property
    def digest(self) -> str:
        """See `Source`."""
        return hashlib.sha256(f"{self.side} {self.rows}".encode()).hexdigest()

    def read(self, piece: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `Source`."""
        end = min((piece + 1) * PIECE, self.rows)
        for start in range(piece * PIECE, end, _BATCH):
            ids = growth.ids_of(self.side, np.arange(start, min(start + _BATCH, end)))
            yield pa.record_batch([self._column(name, ids) for name in columns], names=list(columns))

    def _column(self, name: str, ids: growth.Numbers) -> pa.Array:
        if name == DIGEST:
            words = np.stack([growth.hashed(ids + np.uint64(at << 40), "high") for at in range(4)], axis=1)
            return as_binary(words.view(np.uint8).reshape(-1, 32))
        column = f"{self.side}.{name.removeprefix(TYPED)}"
        values = growth.CATEGORIES[column]
        codes = (growth.hashed(ids, column) % np.uint64(values)).astype(np.int32)
        labels = pa.array([f"value {code}" for code in range(values)])
        return labels.take(pa.Array.from_buffers(pa.int32(), len(codes), [None, pa.py_buffer(codes)]))


def brief(side: str) -> Brief:
    """Of all its categories."""
    annexes = []
    for name in growth.SIDES[side]:
        if name in growth.CATEGORIES:
            labels = tuple(f"value {code}" for code in range(growth.CATEGORIES[name]))
            annexes.append(Annex(side, split_name(name)[1], "made", (*labels, "other", "unknown")))
    return Brief(growth.ROOM_KEY, CANARIES, side, side, 32, tuple(annexes))


class HandingOver:
    """The operator's engine, whose `load` has an owner's executors make a dataset; takes no amounts: these would go as
    ciphertexts."""

    def __init__(self, engine: SparkEngine, settings: ClusterSettings) -> None:
        self._engine, self._settings = engine, settings
        self._spark = session.started(settings).newSession()
        self.run, self.match = engine.run, engine.match

    def load(self, side: str, schema: pa.Schema, rows: int) -> None:
        """A side's dataset of so many rows."""
        own, place = brief(side), Place.new(self._settings)
        key = executor_keys.seal(self._settings, "own", bytes(32))
        parts = Parts(under(self._settings.staging, f"own-{side}"), key)
        source, layout = Made(side, rows), tokenising.layout_of(own, rows, self._settings.buckets)
        made = tokenising.tokenise(
            self._spark, self._settings, parts, place.parts, source, own, layout, lambda *_: None
        )
        counts = tuple(piece.rows for piece in made.pieces)
        kept = pa.schema([field for field in keyed.layout(made.widths) if field.name != TOKEN])
        number, widths = list(growth.SIDES).index(side), tuple(made.widths.items())
        self._engine.take(HandedOver(place.parts, number, side, kept, made.rows, (counts,), widths))
        self._engine.drop_tokens(own.dummies)


@contextmanager
def engine(given: Any, folder: Path) -> Iterator[HandingOver]:
    """A cluster of this machine, with its parts and the place in `folder`."""
    with growth.cluster(given, folder) as (started, settings):
        yield HandingOver(started, settings)
