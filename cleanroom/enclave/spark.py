"""The engine for what outgrows a machine: Apache Spark over encrypted parts, asked like the one in the enclave process.

Rows are staged in buckets by token, lined up bucket by bucket, grouped by SQL regenerated from the query. Whoever runs
the cluster could look into it: there is no sandbox here. When it is closed its parts are removed;
their key was in this process and the executors' alone, and is gone with the run.
"""

from __future__ import annotations

import contextlib
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sqlglot.dialects.spark import Spark

from cleanroom.cluster import errors, lining_up, reading, session, stages, staging
from cleanroom.cluster.lining_up import LineUp
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Step
from cleanroom.cluster.staging import Staged
from cleanroom.enclave import products, sql, subtraction, tables
from cleanroom.enclave.checks import check_columns
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.process import peak_memory
from cleanroom.enclave.query import COUNTED, PEOPLE, SLOTS, Groups, Query, Where, split_name
from cleanroom.errors import Interrupted, UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

STAGE = "enclave"
"""What progress is told of, as of the process on one machine."""
SECONDS = 6 * 3600.0
"""The most that a match or a query may take: a billion rows have their time."""
TASKS = 2
"""A core: enough that none waits for the last, few enough that starting them is not most of the work."""
_NONE = np.empty(0, np.int64)


def start(settings: ClusterSettings, *, seconds: float = SECONDS, step: Step | None = None) -> SparkEngine:
    """An engine on that cluster; step: told of progress. Raises NoCluster for what is missing, MissingKey where
    executors lack their key."""
    return SparkEngine(settings, seconds, step or (lambda *_: None))


class SparkEngine:
    """An `Engine`, with the methods of `handle.Enclave`; use it in a `with` block."""

    peak_memory = 0
    """Bytes that the driver held at most; known once it is closed. Executors have the memory they were given."""

    def __init__(self, settings: ClusterSettings, seconds: float, step: Step) -> None:
        self._settings, self._seconds, self._step = settings, seconds, step
        self._spark = session.started(settings).newSession()
        self._parts = Parts.of_run(settings, "run")
        self._staged: dict[str, Staged] = {}
        self._dropped: dict[str, NDArray[np.int64]] = {}
        self._kinds: dict[str, pa.DataType] = {}
        self._widths: dict[str, int] = {}
        self._pieces: reading.Pieces | None = None
        self._positions: frozenset[str] = frozenset()
        self._addressed = ""

    @property
    def isolation(self) -> tuple[str, ...]:
        """It has given up nothing: a cluster is what its operator makes of it. With what computes there."""
        found = self.versions()
        return ("cluster", f"spark-{found['spark']}", f"java-{found['java']}")

    def load(self, dataset: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """As `handle.Enclave.load`: a dataset's rows, staged as they come; returns how many."""
        self._check_new(dataset)
        staged = staging.stage(self._parts, len(self._staged), dataset, schema, batches, self._settings.buckets)
        self._staged[dataset] = staged
        return staged.rows

    def take(self, staged: Staged) -> int:
        """A dataset's rows that stand in buckets already, wherever; returns how many. See `cluster.handover`."""
        self._check_new(staged.dataset)
        self._staged[staged.dataset] = staged
        return staged.rows

    def load_matched(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """As `handle.Enclave.load_matched`: rows that a protocol has matched already, one a person; how many."""
        if self._staged or self._pieces is not None:
            raise UsageError("The enclave has rows already.", "Start an enclave for each match.")
        plain, slots = tables.check_schema(schema, None)
        kept = pa.schema([(name, tables.plain_type(schema.field(name).type)) for name in (*plain, *slots)])
        self._pieces = staging.stage_matched(self._parts, kept, batches, self._settings.buckets)
        self._keep(kept)
        self._positions = frozenset(self._widths)
        return sum(rows for _, rows in self._pieces)

    def drop_tokens(self, tokens: NDArray[np.uint8]) -> dict[str, int]:
        """As `handle.Enclave.drop_tokens`: leave the rows of these tokens out of the match to come."""
        if self._pieces is not None:
            raise UsageError("The match is done; no tokens can be left out of it.", "Leave them out first.")
        found = {name: staging.places_of(staged, tokens) for name, staged in self._staged.items()}
        for name, places in found.items():
            self._dropped[name] = np.union1d(self._dropped.get(name, _NONE), places[places >= 0])
        return {name: int((places >= 0).sum()) for name, places in found.items()}

    def has_tokens(self, dataset: str, tokens: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which of these tokens uint8[n, 16] a dataset has, by the first identity."""
        return staging.places_of(self._dataset(dataset), tokens) >= 0

    def match(self, left: str, right: str, *others: str, addressed: str = "") -> int:
        """As `handle.Enclave.match`: line datasets up by token, once; how many persons are in all."""
        names = (left, right, *others)
        if self._pieces is not None or len(set(names)) != len(names):
            raise UsageError("An enclave matches two or more datasets, once.", "Start an enclave for each match.")
        sides = tuple(self._dataset(name) for name in names)
        identities = {len(side.counts) for side in sides}
        if len(names) > 2 and identities != {1}:
            raise UsageError("More than two datasets are lined up by one identity only.")
        if len(identities) != 1:
            raise UsageError("The two datasets do not have tokens of as many identities.")
        if len({side.buckets for side in sides}) != 1:
            raise UsageError("The datasets are not cut into as many buckets.")
        together = pa.schema([field for side in sides for field in side.schema])
        tables.check_distinct([name for name in together.names if split_name(name)[1] != SLOTS])
        pieces: list[tuple[str, int]] = []
        for kind in range(identities.pop()):
            taken = self._taken(sides, pieces, kind) if kind else {}
            pieces += self._lined_up(LineUp(self._parts, sides, kind, self._dropped, taken))
        self._pieces = tuple(pieces)
        self._keep(together)
        self._positions, self._addressed = frozenset(names), addressed
        return sum(rows for _, rows in pieces)

    def matched_positions(self, dataset: str, where: Where = ()) -> pa.Int64Array:
        """As `handle.Enclave.matched_positions`: which rows of a dataset are matched and meant, ascending."""
        self._ready()
        if dataset not in self._positions or (where and dataset != self._addressed):
            raise UsageError("The enclave has no dataset {dataset}.", dataset=dataset)
        query = Query((), (), where)
        check_columns(query, self._kinds, {}, {})
        fields = {name: self._kinds[name] for name in query.conditions} | {sql.position_column(dataset): pa.int64()}
        task = reading.ReadMatched(self._parts, self._ready(), tuple(fields))
        found = self._asked(sql.memberships(query, dataset, Spark), task, fields)
        return tables.as_array(np.sort(tables.as_numbers(found.column("position"))))

    def run(self, query: Query, public_keys: Mapping[str, int] | None = None) -> Groups:
        """See `query.Engine.run`."""
        self._ready()
        keys = public_keys or {}
        check_columns(query, self._kinds, self._widths, keys)
        table = self._grouped(query)
        moduli = {dataset: keys[dataset] for dataset in query.slots}
        return Groups(table, self._ciphertexts(query, table, moduli) if moduli else {})

    def subtractable(self, query: Query, earlier: Sequence[Query], k: int) -> bool:
        """See `query.Engine.subtractable`."""
        self._ready()
        asked = (query, *earlier)
        for each in asked:
            check_columns(Query(each.by, (), each.where), self._kinds, {}, {})
        names = {name for each in asked for name in (*each.by, *each.conditions)}
        return subtraction.subtractable(self._grouped(Query(tuple(sorted(names)))), query, earlier, k, lambda: None)

    def versions(self) -> dict[str, str]:
        """Of Spark, its Java and the driver's Python."""
        java = self._spark.sparkContext._jvm.System.getProperty("java.version")
        return {"spark": self._spark.version, "java": str(java), "python": platform.python_version()}

    def close(self) -> None:
        """Remove what was staged. The session stays for the next run of this process."""
        self.peak_memory = peak_memory()
        self._parts.remove()

    def kill(self) -> None:
        """Remove what was staged, as far as that is possible. Jobs end with what asked for them."""
        with contextlib.suppress(Exception):
            self._parts.remove()

    def __enter__(self) -> SparkEngine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    def _lined_up(self, task: LineUp) -> list[tuple[str, int]]:
        """The parts of matched rows by one identity; every bucket is told of once."""
        of = task.sides[0].buckets
        told = self._collected(self._rows(task, of, lining_up.DONE), self._together(of))
        buckets, people = (tables.as_numbers(told.column(name)) for name in ("bucket", "people"))
        if sorted(buckets.tolist()) != list(range(of)):
            raise Interrupted("The cluster did not tell of every bucket once.", "Ask again.")
        order = np.argsort(buckets)
        return [
            (lining_up.matched_part(task.kind, bucket), count)
            for bucket, count in zip(buckets[order].tolist(), people[order].tolist(), strict=True)
            if count
        ]

    def _taken(self, sides: Sequence[Staged], pieces: Sequence[tuple[str, int]], kind: int) -> dict[str, str]:
        """By dataset a part that says which rows are matched by an earlier identity."""
        found = {}
        for side in sides:
            name, column = f"taken-{side.number}-{kind}", sql.position_column(side.dataset)
            rows = (
                tables.as_numbers(pa.chunked_array([batch.column(0)]))
                for piece, count in pieces
                for batch in self._parts.read(piece, [column], count)
            )
            lining_up.write_flags(self._parts, name, side.rows, rows)
            found[side.dataset] = name
        return found

    def _keep(self, schema: pa.Schema) -> None:
        """Remember what matched rows have."""
        for field in schema:
            dataset, column = split_name(field.name)
            if column == SLOTS:
                self._widths[dataset] = field.type.byte_width
            else:
                self._kinds[field.name] = field.type

    def _check_new(self, dataset: str) -> None:
        if dataset in self._staged or self._pieces is not None:
            raise UsageError("{dataset} is loaded already.", "Start an enclave for each match.", dataset=dataset)

    def _dataset(self, name: str) -> Staged:
        if name not in self._staged:
            raise UsageError("The enclave has no dataset {dataset}.", dataset=name)
        return self._staged[name]

    def _ready(self) -> reading.Pieces:
        if self._pieces is None:
            raise UsageError("There are no matched rows in the enclave yet.", "Load and match first.")
        return self._pieces

    def _grouped(self, query: Query) -> pa.Table:
        """The groups with sums as int64. Raises LimitReached beyond 64 bits."""
        names = tuple(dict.fromkeys((*query.by, *query.conditions)))
        task = reading.CountCells(self._parts, self._ready(), names, query.plain_sums)
        numbers = [PEOPLE, *(name + part for name in query.plain_sums for part in (sql.HIGH, sql.LOW, COUNTED))]
        fields = {name: self._kinds[name] for name in names} | dict.fromkeys(numbers, pa.int64())
        found = self._asked(sql.groups(query, Spark), task, fields)
        columns = {name: _as_came(found.column(name), self._kinds[name]) for name in query.by}
        columns[PEOPLE] = found.column(PEOPLE)
        for name in query.plain_sums:
            columns[name] = _total(found.column(name + sql.HIGH), found.column(name + sql.LOW))
            columns[name + COUNTED] = found.column(name + COUNTED)
        table = pa.table(columns)
        return table.take(_sorted(table, query.by)) if query.by else table

    def _asked(self, statement: str, task: Any, fields: Mapping[str, pa.DataType]) -> pa.Table:
        """What Spark answers to a statement about `matched`, which is what a task makes of the pieces."""
        with errors.raised():
            self._rows(task, len(self._ready()), _struct(fields)).createOrReplaceTempView(sql.MATCHED)
            frame = self._spark.sql(statement)
        return self._collected(frame, self._together(len(self._ready())))

    def _ciphertexts(self, query: Query, table: pa.Table, moduli: Mapping[str, int]) -> dict[str, NDArray[np.uint8]]:
        """Of each dataset uint8[groups, w], in the groups' order."""
        pieces, slots = self._ready(), tuple(f"{dataset}.{SLOTS}" for dataset in moduli)
        asked = Query(query.by, slots, query.where)
        columns = tuple(dict.fromkeys((*query.by, *query.conditions, *slots)))
        memory = self._settings.memory_mb << 20
        task = reading.SumCiphertexts(self._parts, pieces, asked, dict(moduli), columns, memory, self._seconds)
        names = reading.summed(len(query.by), len(moduli))
        kinds = [*(self._kinds[name] for name in query.by), pa.int64(), *(pa.binary() for _ in moduli)]
        shape = _struct(dict(zip(names, kinds, strict=True)))
        with errors.raised():
            partial = self._rows(task, len(pieces), shape)
            added = partial.groupBy(*names[: len(query.by)]).applyInArrow(reading.adder(tuple(moduli.values())), shape)
        found = self._collected(added, self._together(len(pieces))).rename_columns([*query.by, PEOPLE, *slots])
        return _in_order(
            found,
            table,
            query.by,
            {dataset: (moduli[dataset], self._widths[dataset]) for dataset in moduli},
            self._kinds,
        )

    def _rows(self, task: Any, numbers: int, schema: Any) -> DataFrame:
        """What a task makes of the numbers from 0; several to a task where there are more than cores keep busy."""
        with errors.raised():
            return self._spark.range(0, numbers, 1, self._together(numbers)).mapInArrow(task, schema)

    def _together(self, numbers: int) -> int:
        """Tasks for so much work."""
        cores: int = self._spark.sparkContext.defaultParallelism
        return max(1, min(numbers, TASKS * cores))

    def _collected(self, frame: DataFrame, tasks: int) -> pa.Table:
        """The frame's rows, within the time that a request has; tasks: how many come first, for the progress."""
        end = time.monotonic() + self._seconds

        def step(name: str, done: int, total: int) -> None:
            if time.monotonic() > end:
                raise LimitReached(
                    "The query did not end within {seconds} seconds.",
                    "Ask for fewer columns, or give the enclave more time.",
                    seconds=f"{self._seconds:g}",
                )
            self._step(name, done, total)

        return stages.watched(self._spark, frame.toArrow, STAGE, tasks, step)


def _struct(kinds: Mapping[str, pa.DataType]) -> Any:
    """Spark's schema of columns of these types."""
    from pyspark.sql import types

    made = {
        pa.int64(): types.LongType(),
        pa.decimal128(20, 0): types.DecimalType(20, 0),
        pa.binary(): types.BinaryType(),
        pa.string(): types.StringType(),
        pa.bool_(): types.BooleanType(),
        pa.date32(): types.DateType(),
    }
    return types.StructType([types.StructField(name, made[reading.spark_type(kind)]) for name, kind in kinds.items()])


def _as_came(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == kind else pc.cast(column, kind)


def _total(high: pa.ChunkedArray, low: pa.ChunkedArray) -> pa.ChunkedArray:
    """Sums whose halves these are. Raises LimitReached beyond 64 bits."""
    sums = [(one << sql.LOW_BITS) + other for one, other in zip(high.to_pylist(), low.to_pylist(), strict=True)]
    if any(not -(1 << 63) <= total < 1 << 63 for total in sums):
        raise LimitReached("A sum does not fit 64 bits.", "Narrow the bounds of the summed columns.")
    return pa.chunked_array([pa.array(sums, pa.int64())])


def _in_order(found: pa.Table, table: pa.Table, by: Sequence[str], slots: Mapping[str, tuple[int, int]],
              kinds: Mapping[str, pa.DataType]) -> dict[str, NDArray[np.uint8]]:  # fmt: skip
    """The sums of ciphertexts in the order of the groups; slots: dataset → (modulus, bytes of a row).

    Raises Interrupted where these are not the same groups.
    """
    if not len(found):  # nobody: the number 1 for each group, as an empty product is
        return {
            dataset: products.group_products(modulus, tables.Slots(width), _NONE, len(table), lambda: None)
            for dataset, (modulus, width) in slots.items()
        }
    columns = {name: _as_came(found.column(name), kinds[name]) for name in by}
    keyed = pa.table({**columns, PEOPLE: found.column(PEOPLE)})
    order = _sorted(keyed, by)
    if not keyed.take(order).equals(table.select([*by, PEOPLE]).cast(keyed.schema)):
        raise Interrupted("The cluster's two counts of one question differ.", "Ask again; and report it.")
    return {dataset: reading.as_rows(found.column(f"{dataset}.{SLOTS}").take(order).to_pylist()) for dataset in slots}


def _sorted(table: pa.Table, by: Sequence[str]) -> pa.Array:
    if not by:
        return pa.array([0], pa.int64())
    coded = [_ranks(table.column(name)) for name in by]
    return tables.as_array(np.lexsort(coded[::-1]).astype(np.int64))


def _ranks(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """The place of each value among the values in order, nulls last."""
    return tables.as_numbers(pa.chunked_array([pc.rank(column, "ascending", tiebreaker="dense").cast(pa.int64())]))
