"""Events folded to one row a user, on their owner's own side: one pass, memory by users and not by events.

Only SQL that is generated here reaches DuckDB: from closed lists and numbers, no text of a source or a file. DuckDB
runs in memory, without files and without the network.
"""

import datetime
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import Flags, flags, is_valid, numbers, values_of, words
from connectors.columns import Note
from connectors.days import DAY_US, SHANGHAI_US, parse_time
from connectors.errors import InputError
from connectors.event_types import EVENTS, EventType, Field, schema
from connectors.features import EventColumns, Feature, FeatureSet, load_features
from connectors.identity.texts import as_texts, is_blank
from connectors.memory import ArrowSource
from connectors.source import Batch, Rejected, Source
from connectors.values import parse_amount, parse_category

__all__ = [
    "EVENTS",
    "EventColumns",
    "EventLoss",
    "EventType",
    "Feature",
    "FeatureSet",
    "FoldedSource",
    "fold",
    "load_features",
    "schema",
]
_NAMES = tuple(EVENTS)
_EPOCH = datetime.date(1970, 1, 1)


class EventLoss(StrEnum):
    """Why an event is left out."""

    UNKNOWN_EVENT = "unknown-event"
    NO_USER = "no-user"
    NO_TIME = "no-time"
    AFTER_REPORT_DATE = "after-report-date"


LOSSES: dict[str, str] = {
    EventLoss.UNKNOWN_EVENT: "{count} events have a name that is not known and were left out.",
    EventLoss.NO_USER: "{count} events have no user and were left out.",
    EventLoss.NO_TIME: "{count} events have a time that cannot be read and were left out.",
    EventLoss.AFTER_REPORT_DATE: "{count} events are later than the report date and were left out.",
}
_UNPARSED = "{count} values of column {column} could not be read and count as unknown."


class FoldedSource:
    """One row a user: the identity under its own header, then a column a feature.

    losses: events left out by `EventLoss`, with `unparsed` values of their columns by name; kinds: feature → kind.
    """

    def __init__(self, source: Source, table: pa.Table, features: Sequence[Feature], losses: Counter[str]) -> None:
        self.label = source.label
        self.rejected: Sequence[Rejected] = ()
        self.losses = {name: count for name, count in losses.items() if count}
        self.kinds: dict[str, str] = {feature.name: feature.kind for feature in features}
        self._table = ArrowSource(source.label, table)
        self.schema: pa.Schema = self._table.schema
        self.notes: list[Note] = [_note(name, count) for name, count in self.losses.items()]

    def batches(self) -> Iterator[Batch]:
        """All users, in the order of their identities."""
        return self._table.batches()


def fold(
    source: Source, features: FeatureSet | Sequence[Feature], as_of: datetime.date, columns: EventColumns | None = None
) -> FoldedSource:
    """One row a user with at least one known event on or before `as_of`, whatever its windows hold.

    Counts and sums of nothing are 0, everything else null. Amounts come in minor units and leave as decimals with two
    places, as an import expects them. Raises InputError.
    """
    wanted = features if isinstance(features, FeatureSet) else FeatureSet(tuple(features))
    reading = _Reading(source, wanted.features, as_of, columns or wanted.columns)
    return FoldedSource(source, reading.table(), wanted.features, reading.losses)


class _Reading:
    """One pass over the events, handed to DuckDB batch by batch."""

    def __init__(
        self, source: Source, features: Sequence[Feature], as_of: datetime.date, columns: EventColumns
    ) -> None:
        self.losses: Counter[str] = Counter()
        self._source, self._features, self._columns = source, features, columns
        self._last = (as_of - _EPOCH).days
        carried = [feature.field for feature in features]
        self._carried: list[Field] = sorted({one for one in carried if one}, key=lambda one: one.name)
        self._failure: InputError | None = None
        self._check()

    def table(self) -> pa.Table:
        import duckdb

        connection = duckdb.connect(
            ":memory:",
            config={"temp_directory": "", "python_enable_replacements": "false", "autoload_known_extensions": "false"},
        )
        reader = pa.RecordBatchReader.from_batches(self._schema(), self._prepared())
        connection.register("events", reader)
        try:
            table = connection.sql(self.sql()).to_arrow_table()
        except duckdb.Error:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            connection.close()
        columns = [
            _minor_units(column) if _is_money(feature) else column
            for feature, column in zip(self._features, table.columns[1:], strict=True)
        ]
        names = [self._columns.user, *(feature.name for feature in self._features)]
        return pa.Table.from_arrays([table.column(0), *columns], names=names)

    def sql(self) -> str:
        """The one statement: internal names only; r0 … are the features in their order."""
        places = {one.name: f"f{place}" for place, one in enumerate(self._carried)}
        parts = [_expression(feature, places, self._last) for feature in self._features]
        columns = "".join(f",\n  {part} AS r{place}" for place, part in enumerate(parts))
        return f"SELECT u{columns}\nFROM events\nGROUP BY u\nORDER BY u"

    def _schema(self) -> pa.Schema:
        types = [pa.string() if one.kind == "category" else pa.int64() for one in self._carried]
        fields = [(f"f{place}", kind) for place, kind in enumerate(types)]
        return pa.schema(
            [("u", pa.string()), ("e", pa.int16()), ("day", pa.int32()), ("t", pa.int64()), ("n", pa.int64()), *fields]
        )

    def _check(self) -> None:
        names = self._source.schema.names
        needed = [self._columns.user, self._columns.event, self._columns.time, *(one.name for one in self._carried)]
        for name in needed:
            if name not in names:
                raise InputError(
                    "There is no column {column} in {source}.",
                    "Its columns: {columns}.",
                    column=name,
                    source=self._source.label,
                    columns=", ".join(names),
                )

    def _prepared(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._source.batches():
                yield self._prepare(batch)
        except InputError as error:  # DuckDB would turn it into one of its own
            self._failure = error
            raise

    def _prepare(self, batch: Batch) -> pa.RecordBatch:
        table = batch.table
        users = pc.utf8_trim_whitespace(as_texts(table.column(self._columns.user)))
        events = pc.index_in(pc.utf8_trim_whitespace(as_texts(table.column(self._columns.event))), words(_NAMES))
        times = parse_time(table.column(self._columns.time))
        micros = np.where(is_valid(times), values_of(times), 0)
        days = ((micros + SHANGHAI_US) // DAY_US).astype(np.int32)
        kept = self._count_losses(events, users, times, days)
        columns = [
            users,
            numbers(np.where(kept, values_of(events), 0).astype(np.int16)),
            numbers(days),
            numbers(micros),
            batch.rows,
            *(self._column(one, table.column(one.name), kept) for one in self._carried),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self._schema()).filter(flags(kept))

    def _count_losses(
        self, events: pa.Array, users: pa.StringArray, times: pa.TimestampArray, days: "np.typing.NDArray[np.int32]"
    ) -> Flags:
        """Which events stay; each other one is counted once."""
        kept = np.ones(len(days), np.bool_)
        reasons = (
            (~is_valid(events), EventLoss.UNKNOWN_EVENT),
            (is_blank(users), EventLoss.NO_USER),
            (~is_valid(times), EventLoss.NO_TIME),
            (days > self._last, EventLoss.AFTER_REPORT_DATE),
        )
        for lost, name in reasons:
            self.losses[name] += int((kept & lost).sum())
            kept &= ~lost
        return kept

    def _column(self, one: Field, values: pa.Array, kept: Flags) -> pa.Array:
        if one.kind == "category":
            return parse_category(values)
        texts = as_texts(values)
        parsed = parse_amount(texts, scale=0)
        bad = kept & ~is_valid(parsed) & ~is_blank(texts)
        self.losses[f"unparsed:{one.name}"] += int(bad.sum())
        return parsed


def _expression(feature: Feature, places: dict[str, str], last: int) -> str:
    """DuckDB's aggregate for a feature. Numbers and names of ours only."""
    codes = ", ".join(str(_NAMES.index(event)) for event in sorted(set(feature.events)))
    chosen = f"e IN ({codes})" + (f" AND day > {last - feature.window_days}" if feature.window_days else "")
    column = places[feature.column] if feature.column else ""
    where = f"FILTER (WHERE {chosen}{f' AND {column} IS NOT NULL' if column else ''})"
    if feature.aggregate == "count":
        return f"count(*) {where}"
    if feature.aggregate == "days":
        return f"count(DISTINCT day) {where}"
    if feature.aggregate == "distinct":
        return f"count(DISTINCT {column}) {where}"
    if feature.aggregate == "recency":
        return f"{last} - max(day) {where}"
    if feature.aggregate == "sum":
        return _whole(feature, f"coalesce(sum({column}) {where}, 0)")
    best = "arg_min" if feature.aggregate == "first" else "arg_max"
    if column:
        return _whole(feature, f"{best}({column}, (t, n)) {where}")
    extreme = "min" if feature.aggregate == "first" else "max"
    return f"DATE '1970-01-01' + ({extreme}(day) {where})"


def _whole(feature: Feature, expression: str) -> str:
    """Amounts as HUGEINT, which leaves as a decimal; counts as BIGINT, null beyond; texts as they are."""
    if feature.field is None or feature.field.kind == "category":
        return expression
    return f"TRY_CAST({expression} AS {'HUGEINT' if _is_money(feature) else 'BIGINT'})"


def _is_money(feature: Feature) -> bool:
    return feature.field is not None and feature.field.kind == "amount" and feature.aggregate != "distinct"


def _minor_units(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whole minor units, a decimal without places, as the decimal with two places that they are."""
    chunks = [chunk.cast(pa.decimal128(38, 0)).view(pa.decimal128(38, 2)) for chunk in column.chunks]
    return pa.chunked_array(chunks, pa.decimal128(38, 2))


def _note(name: str, count: int) -> Note:
    if name in LOSSES:
        return LOSSES[name], {"count": count}
    return _UNPARSED, {"count": count, "column": name.removeprefix("unparsed:")}
