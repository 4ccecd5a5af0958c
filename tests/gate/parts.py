"""A room's schema to ask about, and random conditions over it."""

import datetime as dt

from hypothesis import strategies as st

from cleanroom.gate.schema import Field, Schema

TIERS = ("gold", "silver", "it's", "other", "unknown")
CITIES = ("一线", "二线", "other", "unknown")
VISITS = ("< 31", "31 – 61", "≥ 61", "other", "unknown")
JOINED = ("< 2026-01-01", "2026-01-01 – 2026-07-01", "≥ 2026-07-01", "other", "unknown")
SCHEMA = Schema(
    ("crm", "users"),
    (
        Field("crm", "tier", "category", TIERS),
        Field("crm", "spend", "amount"),
        Field("users", "city", "category", CITIES),
        Field("users", "visits", "bucket", VISITS, ("31", "61")),
        Field("users", "joined", "bucket", JOINED, ("2026-01-01", "2026-07-01")),
    ),
)
STANDS_FOR = {
    "tier": (*TIERS[:4], None),
    "city": (*CITIES[:3], None),
    "visits": (30.5, 60.5, 100, None, None),
    "joined": (dt.date(2025, 12, 31), dt.date(2026, 1, 1), dt.date(2026, 8, 1), None, None),
}
"""A value in each cell, as a database would hold it: NULL where a cell has none that is declared."""


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_SIGN = st.sampled_from(["=", "<>", "!="])
_labels = {"tier": TIERS[:4], "city": CITIES[:3]}
_category = st.sampled_from(["tier", "city"]).flatmap(
    lambda name: st.one_of(
        st.tuples(_SIGN, st.sampled_from(_labels[name])).map(lambda p: f"{name} {p[0]} {_text(p[1])}"),
        st.tuples(_SIGN, st.sampled_from(_labels[name])).map(lambda p: f"{_text(p[1])} {p[0]} {name}"),
        st.tuples(
            st.sampled_from(["IN", "NOT IN"]), st.lists(st.sampled_from(_labels[name]), min_size=1, max_size=3)
        ).map(lambda p: f"{name} {p[0]} ({', '.join(map(_text, p[1]))})"),
        st.sampled_from([f"{name} IS NULL", f"{name} IS NOT NULL"]),
    )
)
_bucket = st.sampled_from([
    "visits < 31", "visits >= 31", "61 > visits", "61 <= visits", "NOT visits < 61",
    "joined < DATE '2026-01-01'", "joined >= '2026-07-01'",
    "joined <= CAST('2026-06-30' AS DATE)", "joined BETWEEN '2026-01-01' AND '2026-06-30'",
])  # fmt: skip
CONDITIONS = st.recursive(
    _category | _bucket,
    lambda inner: st.one_of(
        inner.map(lambda text: f"NOT ({text})"),
        st.tuples(inner, st.sampled_from([" AND ", " OR ", " and "]), inner).map(lambda p: f"({p[0]}{p[1]}{p[2]})"),
    ),
    max_leaves=8,
)
"""Conditions in SQL that both the gate and a database understand."""
