"""Exact figures of loyalty: repeat rate, lapsed payers, cohorts, concentration, months. Definitions stand at each.

All are counts over the whole file of its owner, with nothing withheld and no noise: they are for the owner's eyes.
"""

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

RECENCY_EDGES = (30, 60, 90, 180, 365)
"""Upper edges, in days, of the recency bands; the last band is open."""
_TOP = (1, 5, 10, 20, 50)
_COHORTS = 12
_GAPS_OF_DAYS = (
    "CREATE OR REPLACE TEMP VIEW gaps AS"
    " SELECT date_diff('day', lag(day) OVER (PARTITION BY id ORDER BY day), day) AS gap FROM days WHERE paid"
)
_GAPS_OF_MEMBERS = (
    "CREATE OR REPLACE TEMP VIEW gaps AS"
    " SELECT date_diff('day', first, last) // (frequency - 1) AS gap FROM payers WHERE frequency >= 2"
)


@dataclass(frozen=True)
class Repeat:
    """Payers on two days or more / payers."""

    payers: int
    repeaters: int

    @property
    def rate(self) -> float:
        """Between 0 and 1."""
        return self.repeaters / self.payers


@dataclass(frozen=True)
class Lapsed:
    """Payers away for longer than is usual.

    usual_gap: the people's median gap between purchase days; limit: the gap within which 90 % of all repurchases came
    (both in days). With three purchase days or more a payer's own limit is twice the own mean gap, at least the usual
    gap; all others have the people's limit. Gaps still open at the end are not counted, so that limits lean to the
    short side.
    """

    usual_gap: int
    limit: int
    payers: int
    lapsed: int
    by_own_gap: int


@dataclass(frozen=True)
class Cohort:
    """Those whose first purchase fell into `month`: how many, and how many of them bought again in each later month
    (month 1 is the next calendar month). The last month may be incomplete."""

    month: date
    people: int
    again: tuple[int, ...]


@dataclass(frozen=True)
class Month:
    """A calendar month: net money in minor units, buyers, and how many of those bought for the first time."""

    month: date
    money: int
    buyers: int
    first_time: int


def repeat(connection: "duckdb.DuckDBPyConnection") -> Repeat:
    """Of all payers."""
    return Repeat(*_row(connection, "SELECT count(*), count(*) FILTER (frequency >= 2) FROM payers"))


def lapsed(connection: "duckdb.DuckDBPyConnection", as_of: date, has_days: bool) -> Lapsed | None:
    """None where no gap is known: nobody bought twice, or the file has neither purchase days nor first days.

    Without purchase days the people's gaps are each member's own mean gap, once a member.
    """
    connection.execute(_GAPS_OF_DAYS if has_days else _GAPS_OF_MEMBERS)
    usual, limit = _row(connection, "SELECT quantile_disc(gap, 0.5), quantile_disc(gap, 0.9) FROM gaps WHERE gap > 0")
    if usual is None:
        return None
    return Lapsed(
        usual,
        limit,
        *_row(
            connection,
            "SELECT count(*), count(*) FILTER (away > own), count(*) FILTER (away > own AND has_own) FROM ("
            " SELECT date_diff('day', last, $day::DATE) AS away,"
            " coalesce(frequency >= 3 AND first < last, false) AS has_own,"
            " CASE WHEN has_own THEN greatest($usual, 2 * date_diff('day', first, last) / (frequency - 1))"
            " ELSE $limit END AS own FROM payers)",
            {"day": as_of.isoformat(), "usual": usual, "limit": limit},
        ),
    )


def recency_bands(connection: "duckdb.DuckDBPyConnection", as_of: date) -> tuple[int, ...]:
    """Payers by days since the last purchase, in the bands of RECENCY_EDGES (upper edges included) and one beyond."""
    rows = connection.execute(
        "SELECT len(list_filter($edges, lambda edge: edge < away)) AS band, count(*)"
        " FROM (SELECT date_diff('day', last, $day::DATE) AS away FROM payers) GROUP BY band",
        {"day": as_of.isoformat(), "edges": list(RECENCY_EDGES)},
    ).fetchall()
    counts = dict(rows)
    return tuple(counts.get(band, 0) for band in range(len(RECENCY_EDGES) + 1))


def concentration(connection: "duckdb.DuckDBPyConnection") -> dict[int, float] | None:
    """Share of all net money that the top 1, 5, 10, 20, 50 % of payers (rounded up) bring; None without money."""
    rows = connection.execute(
        "SELECT top, sum(money) FILTER (100 * (place - 1) < top * n) / sum(money) FROM"
        " (SELECT money, row_number() OVER (ORDER BY money DESC) AS place, count(*) OVER () AS n FROM payers),"
        " (SELECT unnest($tops) AS top) GROUP BY top HAVING sum(money) > 0 ORDER BY top",
        {"tops": list(_TOP)},
    ).fetchall()
    return dict(rows) or None


def cohorts(connection: "duckdb.DuckDBPyConnection", as_of: date) -> tuple[Cohort, ...]:
    """The cohorts of the last twelve months in which anybody bought for the first time."""
    rows = connection.execute(
        "SELECT date_trunc('month', first)::DATE AS cohort, date_diff('month', first, day) AS later, count(DISTINCT id)"
        " FROM days JOIN payers USING (id) WHERE paid GROUP BY cohort, later"
    ).fetchall()
    counts = {(month, later): people for month, later, people in rows}
    months = sorted({month for month, _ in counts})[-_COHORTS:]
    return tuple(
        Cohort(
            month,
            counts[month, 0],
            tuple(counts.get((month, later), 0) for later in range(1, _months(month, as_of) + 1)),
        )
        for month in months
    )


def months(connection: "duckdb.DuckDBPyConnection") -> tuple[Month, ...]:
    """All months that have a purchase, in order."""
    rows = connection.execute(
        "SELECT date_trunc('month', day)::DATE AS month, sum(days.money)::BIGINT, count(DISTINCT id),"
        " count(DISTINCT id) FILTER (day = first) FROM days JOIN payers USING (id) GROUP BY month ORDER BY month"
    ).fetchall()
    return tuple(Month(*row) for row in rows)


def _months(start: date, end: date) -> int:
    return (end.year - start.year) * 12 + end.month - start.month


def _row(connection: "duckdb.DuckDBPyConnection", sql: str, params: dict[str, object] | None = None) -> tuple:  # type: ignore[type-arg]
    row = connection.execute(sql, params).fetchone()
    return row if row is not None else ()
