"""Exact RFM classes of payers: recency, frequency, money; eight classes with the names the trade uses.

The scheme: each of R (last purchase day), F (purchase days) and M (net money) gets a score of 1 to 5 by rank: one more
than five times the share of payers strictly below, rounded down, so that ties score alike. A payer is *high* in a
dimension whose score lies above the mean score of all payers. All in integers: two runs agree to the last person.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

NAMES: dict[str, str] = {
    "HHH": "Key customers of high value",
    "HLH": "Key customers to develop",
    "LHH": "Key customers to keep",
    "LLH": "Key customers to win back",
    "HHL": "Ordinary customers of value",
    "HLL": "Ordinary customers to develop",
    "LHL": "Ordinary customers to keep",
    "LLL": "Ordinary customers to win back",
}
"""R, F and M as high (H) or low (L) → the class's name, in the order of reports."""

_CLASSES = """
CREATE TABLE classes AS
WITH scores AS (
    SELECT id,
        1 + ((rank() OVER (ORDER BY last) - 1) * 5) // count(*) OVER () AS r,
        1 + ((rank() OVER (ORDER BY frequency) - 1) * 5) // count(*) OVER () AS f,
        1 + ((rank() OVER (ORDER BY money) - 1) * 5) // count(*) OVER () AS m
    FROM payers
), sums AS (SELECT count(*) AS n, sum(r) AS r, sum(f) AS f, sum(m) AS m FROM scores)
SELECT id,
    if(scores.r * n > sums.r, 'H', 'L') || if(scores.f * n > sums.f, 'H', 'L') || if(scores.m * n > sums.m, 'H', 'L')
        AS class
FROM scores, sums
"""


@dataclass(frozen=True)
class RfmClass:
    """One class: how many payers, their net money (minor units, None where the file has none), their mean days since
    the last purchase and mean purchase days."""

    key: str
    people: int
    money: int | None
    recency_days: float
    frequency: float


def classify(connection: "duckdb.DuckDBPyConnection", as_of: str, has_money: bool) -> tuple[RfmClass, ...]:
    """Make the table `classes(id, class)` of all payers; the classes in the order of NAMES, empty ones too.

    `as_of`: the ISO day that recency counts to. Without money M is high for nobody.
    """
    connection.execute(_CLASSES)
    rows = connection.execute(
        "SELECT class, count(*), sum(money)::BIGINT, avg(date_diff('day', last, ?::DATE)), avg(frequency)"
        " FROM classes JOIN payers USING (id) GROUP BY class",
        [as_of],
    ).fetchall()
    found = {row[0]: row for row in rows}
    empty = (0, 0, 0.0, 0.0)
    return tuple(
        RfmClass(key, people, money if has_money else None, recency, frequency)
        for key in NAMES
        for people, money, recency, frequency in [found[key][1:] if key in found else empty]
    )
