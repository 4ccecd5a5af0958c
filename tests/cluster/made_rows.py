"""A dataset that executors can read without a vault, and a place for what they make of it."""

import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyspark import cloudpickle
from pyspark.errors import PySparkException

from cleanroom.cluster import executor_keys
from cleanroom.cluster.errors import TaskEnded
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # executors do not have the tests


def digest_of(person: int) -> bytes:
    return hashlib.sha256(b"person %d" % person).digest()


@dataclass(frozen=True)
class Made:
    """Pieces of rows (person or None, tier or None, spent or None)."""

    rows: tuple[tuple[tuple[int | None, str | None, int | None], ...], ...]

    @property
    def pieces(self) -> int:
        return len(self.rows)

    @property
    def digest(self) -> str:
        return hashlib.sha256(repr(self.rows).encode()).hexdigest()

    def read(self, piece: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        persons, tiers, spent = zip(*self.rows[piece], strict=True) if self.rows[piece] else ((), (), ())
        whole = {
            "digest": pa.array([None if each is None else digest_of(each) for each in persons], pa.binary(32)),
            "t.tier": pa.array(tiers, pa.string()),
            "t.spent": pa.array(spent, pa.int64()),
        }
        batch = pa.record_batch([whole[name] for name in columns], names=list(columns))
        for start in range(0, batch.num_rows, 100):
            yield batch.slice(start, 100)

    def merged(self) -> list[tuple[int, int, str | None, int | None]]:
        """(number of the row, person, tier, spent): of a person's rows the first."""
        first: dict[int, tuple[int, int, str | None, int | None]] = {}
        for piece, rows in enumerate(self.rows):
            for at, (person, tier, spent) in enumerate(rows):
                if person is not None and person not in first:
                    first[person] = ((piece << 32) + at, person, tier, spent)
        return list(first.values())


def drawn(rows: int, pieces: int, persons: int, seed: int = 0) -> Made:
    """Rows of some of so many persons, one of them in a third of the rows, some without anyone."""
    random = np.random.default_rng(seed)
    who = random.integers(0, persons, rows).tolist()
    kind = random.integers(0, 10, rows).tolist()
    tiers, spent = random.integers(0, 4, rows).tolist(), random.integers(-5, 200, rows).tolist()
    made = [
        (None if k == 0 else 7 if k < 4 else person, ("gold", "silver", "tin", None)[tier], None if k == 5 else amount)
        for person, k, tier, amount in zip(who, kind, tiers, spent, strict=True)
    ]
    return Made(tuple(tuple(made[piece::pieces]) for piece in range(pieces)))


def settings(folder: Path, buckets: int = 4) -> ClusterSettings:
    """With a key file of its own."""
    if not (folder / "key").exists():
        executor_keys.make(folder / "key")
    return ClusterSettings(staging=str(folder), executor_key=str(folder / "key"), buckets=buckets)


def parts(folder: Path, name: str = "run") -> Parts:
    """Of a run."""
    return Parts(str(folder / name), executor_keys.seal(settings(folder), "parts", b"P" * 32))


def shown(folder: Path) -> Parts:
    """What an operator may see of a run."""
    return parts(folder, "shown")


def quiet(*_: object) -> None:
    """Told of progress."""


class InProcess:
    """A cluster of this process alone: the same tasks without a JVM, one after the other, pickled before."""

    def __init__(self) -> None:
        self.sparkContext = self

    def setJobGroup(self, *_: object, interruptOnCancel: bool) -> None: ...

    def cancelJobGroup(self, group: str) -> None: ...

    def statusTracker(self) -> "InProcess":
        return self

    def getJobIdsForGroup(self, group: str) -> list[int]:
        return []

    def getJobInfo(self, job: int) -> None: ...

    def getStageInfo(self, stage: int) -> None: ...

    def range(self, start: int, end: int, step: int, partitions: int) -> "Frame":
        numbers = np.array_split(np.arange(start, end, step), partitions)
        return Frame([[pa.record_batch([pa.array(some, pa.int64())], names=["id"])] for some in numbers])


@dataclass(frozen=True)
class Frame:
    """What a task takes of a DataFrame."""

    partitions: list[list[pa.RecordBatch]]

    def mapInArrow(self, task: object, schema: str) -> "Frame":
        sent = cloudpickle.dumps(task)
        try:
            return Frame([list(cloudpickle.loads(sent)(iter(some))) for some in self.partitions])
        except TaskEnded as error:
            raise PySparkException(str(error)) from None

    def repartition(self, partitions: int, column: str) -> "Frame":
        table = pa.Table.from_batches([batch for some in self.partitions for batch in some])
        values = table.column(column).to_pylist()
        found: list[list[pa.RecordBatch]] = [[] for _ in range(partitions)]
        for number in sorted(set(values)):
            rows = [at for at, value in enumerate(values) if value == number]
            found[number % partitions] += table.take(rows).to_batches()
        return Frame(found)

    def sortWithinPartitions(self, column: str) -> "Frame":
        tables = [pa.Table.from_batches(some).sort_by(column) for some in self.partitions if some]
        return Frame([table.to_batches() for table in tables])

    def collect(self) -> list[pa.RecordBatch]:
        return [batch for some in self.partitions for batch in some]
