"""What metrics are computed from: counts and sums of one dataset at a report date, exact (one's own) or noised.

Here stands also which tables a board needs for the metrics there are. No person stands here, no row, and nothing is
asked of another party: whoever holds `Tables` may compute what they like from them.
"""

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Names = tuple[str, ...]
Wanted = tuple[tuple[Names, ...], Names]
"""Tables by the sorted names of their columns, `()` the total; and the amount columns to sum."""

MOST_TABLES = 60
MOST_DAILY = 6

IMPORTED = "imported"
RELATIONS = ("mini_program", "life_account", "live", "coupon", "payment", "fan_group", "member_card", "message",
             "promotion", "lead")  # fmt: skip
CHANNELS = ("life_follow", "subscribed", "card_open", "group_member")
WINDOWS = {1: "1d", 7: "7d", 30: "30d", 90: "90d"}
ATTRIBUTES = ("gender", "age_band", "city_tier", "member_level", "device", "credit", "province", "city")
_WITH_STAGE = ("gender", "age_band", "city_tier", "member_level", "device", "credit")
AMOUNTS = ("net_paid_30d", "orders_30d", "points_earned_30d", "points_spent_30d", "exposures_30d")
_WEEKS = range(1, 5)
_COUNTED = ("category", "bucket")
_NOT_COUNTED = ("imported", "near_", "arm_", "exposed_", "engaged_", "paid_after_")
"""Columns that have tables of their own, or that campaigns count."""

_BY_IMPORT: tuple[Names, ...] = (
    ("stage_30d",), ("visited_last",), ("interacted_last",), ("paid_last",), ("first_seen",), ("new_payer",),
    *((name,) for name in RELATIONS),
    ("consent", "reach"), ("consent", "interacted_last", "reach"), ("stage_before", "stage_30d"), ("converted_30d",),
    ("stage_7d",), ("stage_90d",), ("stage_1d",),
    *((name,) for name in CHANNELS),
    *(("cohort", f"revisit_w{week}") for week in _WEEKS),
    *(("pay_cohort", f"repurchase_w{week}") for week in _WEEKS),
    ("visits_30d",), ("pay_days_90d",),
    ("member_card", "visits_30d"), ("member_card", "seconds_30d"), ("member_card", "spend_30d"),
    ("member_card", "visited_last"),
    ("coupon_30d",), ("redeem_time",), ("rfm",), ("value_band",), ("message_30d",),
)  # fmt: skip
"""Most wanted first. Each is taken by `imported` too, where there is that column."""

_PLAIN: tuple[Names, ...] = tuple((name,) for name in ATTRIBUTES)
_STAGED: tuple[Names, ...] = tuple((name, "stage_30d") for name in _WITH_STAGE)
_DAILY: tuple[Names, ...] = (("visited_last",), ("interacted_last",), ("paid_last",), ("first_seen",), ("new_payer",))


@dataclass(frozen=True, eq=False)
class Tables:
    """Counts and sums over all persons of one dataset.

    columns: labels of each column's cells. counts: by the sorted names of their columns, () the total, shaped as the
    cells. sums: of an amount column over all persons, in minor units (1/100 of a unit, of orders and points too).
    sum_reach: the largest |clamp| of an amount; the noise of its sum has the deviation sigma * reach. sigma: of the
    noise in each count; 0: exact. k, least: a population is shown from `least` noised persons on. made: when, ISO 8601.
    """

    dataset: str
    report_date: dt.date
    columns: Mapping[str, tuple[str, ...]]
    counts: Mapping[Names, NDArray[np.int64]]
    sums: Mapping[str, int]
    sum_reach: Mapping[str, int]
    sigma: int
    k: int
    least: int
    made: str
    receipt: str
    room: str


def wanted(columns: Mapping[str, str]) -> Wanted:
    """The tables (at most 60) and sums of a full board, of the columns there are (name → kind)."""
    places = [(name,) for name in sorted(columns) if name.startswith("near_")]
    named = {name for table in (*_BY_IMPORT, *_PLAIN) for name in table}
    others = [(name,) for name in sorted(columns) if name not in named and not name.startswith(_NOT_COUNTED)]
    plain = _there(columns, (*_PLAIN, *places, *_STAGED, *others))
    return _chosen(columns, _BY_IMPORT, plain, MOST_TABLES), tuple(
        name for name in AMOUNTS if columns.get(name) == "amount"
    )


def daily(columns: Mapping[str, str]) -> Wanted:
    """The same of the small board of every day: at most 6 tables, no sums."""
    return _chosen(columns, _DAILY, (), MOST_DAILY), ()


def _chosen(
    columns: Mapping[str, str], by_import: Iterable[Names], plain: Iterable[Names], most: int
) -> tuple[Names, ...]:
    extra = (IMPORTED,) if columns.get(IMPORTED) in _COUNTED else ()
    found = [tuple(sorted({*names, *extra})) for names in _there(columns, by_import)]
    return ((), *dict.fromkeys([*found, *plain]))[:most]


def _there(columns: Mapping[str, str], tables: Iterable[Names]) -> list[Names]:
    return [tuple(sorted(names)) for names in tables if _counted(columns, names)]


def _counted(columns: Mapping[str, str], names: Collection[str]) -> bool:
    return all(columns.get(name) in _COUNTED for name in names)
