"""A stage of work on a cluster: numbered pieces, each made once, and one list of them at the end.

Every attempt at a piece writes a part of its own; the first whose record is stored made the piece, and whoever comes
later takes that. So a piece that is half written is never taken, a stage that is started again makes only what is
missing, and two runs of one stage at once end with the same pieces. Records and list are encrypted under the run's key,
each bound to its place: none can be exchanged or left out unseen.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from cleanroom import canonical
from cleanroom.cluster import errors
from cleanroom.cluster.parts import GROUP_ROWS, Parts, StoredPart, damaged
from cleanroom.errors import BadData
from cleanroom.keystore import Wrapping
from cleanroom.stores import Store, store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Step = Callable[[str, int, int], None]
_PIECE = "cleanroom-piece/1"
_STAGE = "cleanroom-stage/1"
_PIECE_BYTES = 1 << 12
_STAGE_BYTES = 1 << 24
_EVERY = 0.5
"""Seconds between two looks at a stage's progress."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Piece:
    """A piece that was made. part: the name of its part; counts: what else its maker counted."""

    number: int
    part: str
    rows: int
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Stage:
    """Some pieces of a run. Picklable. digest: SHA-256 in hex over all that the pieces are made from.

    Raises BadData, wherever it reads, for what is damaged, of an unknown version or another stage's.
    """

    parts: Parts
    name: str
    digest: str
    pieces: int

    def put(
        self, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], counts: Mapping[str, int] | None = None
    ) -> Piece:
        """Make a piece, unless it was made meanwhile; the one that stands."""
        part = self._written(f"{self._label(number)}-{secrets.token_hex(8)}", schema, batches)
        piece = Piece(number, part.name, part.rows, dict(counts or {}))
        name = f"{self._label(number)}.piece"
        content = self._sealed(name, {"format": _PIECE, "pieces": self.pieces, **asdict(piece)})
        if self._store.put_new(name, content):
            return piece
        self._store.remove(f"{part.name}.parquet")
        return self.piece(number)

    def piece(self, number: int) -> Piece:
        """A piece that was made. Raises BadData where it is missing."""
        found = self._opened(f"{self._label(number)}.piece", _PIECE, _PIECE_BYTES)
        if found is None:
            raise damaged(self._label(number))
        return _piece(found)

    def missing(self) -> list[int]:
        """The pieces that are still to be made."""
        names = set(self._store.names(self._folder))
        return [number for number in range(self.pieces) if f"{self._label(number)}.piece" not in names]

    def commit(self) -> tuple[Piece, ...]:
        """List all pieces for good, and remove what other attempts left. Raises BadData where one is missing."""
        pieces = tuple(self.piece(number) for number in range(self.pieces))
        fields = {"format": _STAGE, "pieces": self.pieces, "list": [asdict(piece) for piece in pieces]}
        if not self._store.put_new(self._list, self._sealed(self._list, fields)) and self.finished() != pieces:
            raise damaged(self._list)
        taken = {f"{piece.part}.parquet" for piece in pieces}
        left = [name for name in self._store.names(self._folder) if name.endswith(".parquet") and name not in taken]
        self._store.remove(*left)
        return pieces

    def finished(self) -> tuple[Piece, ...] | None:
        """All pieces, in order, once they were listed."""
        found = self._opened(self._list, _STAGE, _STAGE_BYTES)
        return None if found is None else tuple(_piece(fields) for fields in found["list"])

    def read(self, piece: Piece, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """A piece's rows."""
        return self.parts.read(piece.part, columns, piece.rows)

    @cached_property
    def _store(self) -> Store:
        return store(self.parts.uri)

    @property
    def _folder(self) -> str:
        return f"{self.name}-{self.digest[:16]}"

    @property
    def _list(self) -> str:
        return f"{self._folder}/all.stage"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_store"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _label(self, number: int) -> str:
        return f"{self._folder}/{number:05d}"

    def _written(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> StoredPart:
        with self.parts.write(name, schema) as writer:
            for batch in batches:
                for start in range(0, batch.num_rows, GROUP_ROWS):
                    writer.add(batch.slice(start, GROUP_ROWS))
            return writer.close()

    def _sealed(self, name: str, fields: dict[str, Any]) -> bytes:
        return self._wrapping.wrap(f"stage/{self.digest}/{name}", canonical.encode(fields))

    def _opened(self, name: str, form: str, limit: int) -> dict[str, Any] | None:
        found = self._store.read(name, limit)
        if found is None:
            return None
        fields: dict[str, Any] = json.loads(self._wrapping.unwrap(f"stage/{self.digest}/{name}", found[0]))
        if fields.pop("format", "") != form:
            raise BadData("The list of a stage's pieces is of an unknown version.", "Update this program.")
        if fields.pop("pieces") != self.pieces:
            raise damaged(name)
        return fields

    @property
    def _wrapping(self) -> Wrapping:
        return Wrapping(self.parts.key.open())


def run(
    spark: SparkSession, stage: Stage, work: Callable[[Sequence[int]], DataFrame], step: Step, *, before: int = 0
) -> tuple[Piece, ...]:
    """All pieces of the stage: those that are missing are made by the tasks of `work`, which is given their numbers.

    before: tasks of the work ahead of those that make pieces, for the progress that `step` is told. What `step` raises
    ends the work. Raises the tasks' named errors, BadData where the work left pieces out.
    """
    if (found := stage.finished()) is not None:
        return found
    missing = stage.missing()
    if missing:
        total = before + len(missing)
        watched(spark, lambda: work(missing).collect(), stage.name, total, step)
        step(stage.name, total, total)
    return stage.commit()


def watched(spark: SparkSession, action: Callable[[], _T], name: str, total: int, step: Step) -> _T:
    """What `action` returns, while `step` is told how many of its tasks ended; whatever ends this ends its jobs."""
    context, group = spark.sparkContext, f"{name}-{secrets.token_hex(8)}"

    def work() -> _T:
        context.setJobGroup(group, name, interruptOnCancel=True)
        with errors.raised():
            return action()

    reached = 0
    with ThreadPoolExecutor(1, "stage") as pool:
        future = pool.submit(work)
        try:
            step(name, 0, total)
            while not wait([future], _EVERY).done:
                reached = max(reached, min(_ended(context, group), total))  # tasks that are done anew count once
                step(name, reached, total)
            return future.result()
        finally:
            while not future.done():
                context.cancelJobGroup(group)  # again, for a job that had not begun
                wait([future], _EVERY)


def _ended(context: Any, group: str) -> int:
    """Tasks of the group's jobs that have ended."""
    tracker = context.statusTracker()
    jobs = filter(None, map(tracker.getJobInfo, tracker.getJobIdsForGroup(group)))
    stages = {stage for job in jobs for stage in job.stageIds}
    return sum(found.numCompletedTasks for found in map(tracker.getStageInfo, stages) if found is not None)


def _piece(fields: dict[str, Any]) -> Piece:
    return Piece(**{name: value for name, value in fields.items() if name in ("number", "part", "rows", "counts")})
