"""What came of coupons: claims and redemptions, from the events of whoever holds them, folded to figures a batch.

At the platform these are its own data and exact. The merchant sees of them what a board or a query releases; nothing of
this module leaves the home by itself.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.activation.coupons import Batch
from cleanroom.errors import UsageError
from connectors.days import DAY_US, SHANGHAI_US, parse_time
from connectors.identity.texts import as_texts
from connectors.source import Source

COLUMNS = ("user", "event", "time", "batch")
CLAIM, REDEEM = "coupon.claim", "coupon.redeem"
_SQL = """
SELECT batch, claimed, redeemed FROM (
    SELECT batch, "user", row_number() OVER (PARTITION BY batch, "user" ORDER BY moment) AS nth, moment AS claimed
    FROM told WHERE kind = 0
) LEFT JOIN (
    SELECT batch, "user", row_number() OVER (PARTITION BY batch, "user" ORDER BY moment) AS nth, moment AS redeemed
    FROM told WHERE kind = 1
) USING (batch, "user", nth)
ORDER BY batch
"""


@dataclass(frozen=True)
class Figures:
    """Of one batch up to the report date, exact.

    claimed, redeemed: coupons, a person's first claim with their first redemption and so on; rate: redeemed of the
    claimed (核销率), None of none; median_seconds: from claim to redemption, what is not redeemed censored at the
    batch's end or the report date (Kaplan-Meier), None where the curve stays above one half; immature: the batch is not
    over yet, so the rate can only rise; unclaimed: redemptions without a claim; left: of the quantity.
    """

    batch: str
    claimed: int
    redeemed: int
    rate: float | None
    median_seconds: float | None
    immature: bool
    unclaimed: int
    left: int

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)


def events_of(source: Source) -> pa.Table:
    """The claims and redemptions of a source of events, as `fold` takes them; memory grows with these alone. What has
    no user, batch or time is left out. Raises UsageError where a column is missing."""
    import pyarrow.compute as pc

    _check_columns(source.schema.names)
    found = []
    for batch in source.batches():
        texts = [pc.utf8_trim_whitespace(as_texts(batch.table.column(name))) for name in ("user", "event", "batch")]
        table = pa.table([*texts, parse_time(batch.table.column("time"))], names=["user", "event", "batch", "time"])
        found.append(table.filter(pc.is_in(table.column("event"), pa.array([CLAIM, REDEEM]))).drop_null())
    return pa.concat_tables(found) if found else pa.table({name: pa.array([], pa.string()) for name in COLUMNS})


def fold(events: pa.Table, batches: Sequence[Batch], report_date: dt.date) -> list[Figures]:
    """The figures of each batch.

    events: columns user, event, time (timestamp of microseconds, UTC) and batch; others are ignored, and so are events
    of other kinds or batches and those after the report date (in China). Raises UsageError where a column is missing.
    """
    _check_columns(events.column_names)
    end = _end_of(report_date)
    paired, redeemed = _paired(_told(events, end))
    return [_figures(batch, paired, redeemed.get(batch.code, 0), report_date) for batch in batches]


def _check_columns(names: Sequence[str]) -> None:
    if missing := [name for name in COLUMNS if name not in names]:
        raise UsageError("The events of coupons lack the column {column}.", "They need: {columns}.", column=missing[0],
                         columns=", ".join(COLUMNS))  # fmt: skip


def _told(events: pa.Table, end: int) -> pa.Table:
    """Claims and redemptions up to `end`, microseconds since 1970 in UTC."""
    import pyarrow.compute as pc

    kinds = pc.index_in(events.column("event").cast(pa.string()), pa.array([CLAIM, REDEEM]))
    at = events.column("time").cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    told = pa.table({"batch": events.column("batch").cast(pa.string()), "user": events.column("user").cast(pa.string()),
                     "kind": kinds, "moment": at})  # fmt: skip
    return told.filter(pc.and_(pc.is_valid(kinds), pc.less(at, end)))


def _paired(told: pa.Table) -> tuple[dict[str, pa.Table], dict[str, int]]:
    """(batch → its claims with their redemptions, batch → all its redemptions)."""
    import duckdb
    import pyarrow.compute as pc

    connection = duckdb.connect(":memory:", config={"temp_directory": "", "python_enable_replacements": "false",
                                                    "autoload_known_extensions": "false"})  # fmt: skip
    try:
        connection.register("told", told)
        pairs = connection.sql(_SQL).to_arrow_table()
    finally:
        connection.close()
    redeemed = told.filter(pc.equal(told.column("kind"), 1)).column("batch").value_counts().to_pylist()
    names = pairs.column("batch").unique().to_pylist()
    by_batch = {name: pairs.filter(pc.equal(pairs.column("batch"), name)) for name in names}
    return by_batch, {each["values"]: each["counts"] for each in redeemed}


def _figures(batch: Batch, paired: dict[str, pa.Table], redemptions: int, report_date: dt.date) -> Figures:
    ends = dt.date.fromisoformat(batch.ends)
    pairs = paired.get(batch.code)
    if pairs is None:
        return Figures(batch.code, 0, 0, None, None, report_date <= ends, redemptions, batch.quantity)
    claimed = pairs.column("claimed").to_numpy()
    until = pairs.column("redeemed").fill_null(-1).to_numpy()
    there = until >= claimed
    until = np.where(there, until, min(_end_of(report_date), _end_of(ends)))
    count, hits = len(claimed), int(there.sum())
    median = median_time(np.maximum(until - claimed, 0) / 1e6, there)
    return Figures(batch.code, count, hits, hits / count, median, report_date <= ends, redemptions - hits,
                   max(0, batch.quantity - count))  # fmt: skip


def median_time(seconds: NDArray[np.float64], happened: NDArray[np.bool_]) -> float | None:
    """When half had it happen, by Kaplan and Meier (1958): seconds until it did, or until one stopped looking.

    None where the curve never falls to one half.
    """
    times, where = np.unique(seconds, return_inverse=True)
    events = np.bincount(where, happened, len(times))
    at_risk = len(seconds) - np.concatenate([[0], np.cumsum(np.bincount(where, minlength=len(times)))[:-1]])
    surviving = np.cumprod(1 - events / at_risk)
    below = np.flatnonzero(surviving <= 0.5 + 1e-12)
    return float(times[below[0]]) if len(below) else None


def _end_of(day: dt.date) -> int:
    """The end of a day in China, in microseconds since 1970 in UTC."""
    return ((day - dt.date(1970, 1, 1)).days + 1) * DAY_US - SHANGHAI_US
