"""A made-up platform's private domain of any size: synthetic users, their events and the users' table, part by part.

All of it is synthetic: no person, store or purchase behind it exists. Every draw comes from the seed and the number of
the part, so that the same call gives the same people anywhere and memory stays that of one part. How users behave:

* activity: gamma (shape 0.7, mean 1), so that few are very active; signed up evenly over HISTORY days, nothing before;
* taste: standard normal; with gender and tier of the city it moves payments (log-linear, `_PAYS`), so that payers can
  be told from attributes, and not fully;
* events: Poisson counts around KINDS' means a user in 180 days, times activity and the share of days signed up; two in
  three lie in the last 180 days evenly, the day's hour normal around 16:30;
* payments: log-normal cents (median 109 yuan, σ 0.8), refunds 4 %; claims redeemed 35 %, exponential with mean 36 h;
* attributes from the shares in `people`; homes in H3 cells around each city's centre (normal, 8 km);
* consent yes 86 %, no 4 %, else unknown; 2 % opted out; IMPORTED more users stand only in the users' table.
"""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.demo import people as made_up
from cleanroom.demo.people import AGE_BANDS, CITIES, GENDERS, SYSTEMS, TIERS, Ints

PART_USERS = 100_000
HISTORY = 400
IMPORTED = 0.08
CREDITS = (("优秀", 0.22), ("良好", 0.38), ("中等", 0.3), ("一般", 0.1))
CENTRES = {
    "上海": (31.23, 121.47), "北京": (39.91, 116.40), "深圳": (22.54, 114.06), "广州": (23.13, 113.26),
    "杭州": (30.27, 120.16), "成都": (30.57, 104.07), "武汉": (30.59, 114.31), "苏州": (31.30, 120.59),
    "西安": (34.34, 108.94), "合肥": (31.82, 117.23), "昆明": (25.04, 102.71), "绍兴": (30.03, 120.58),
    "洛阳": (34.62, 112.45), "绵阳": (31.47, 104.68),
}  # fmt: skip
CELLS_A_CITY, RESOLUTION, _SPREAD_KM = 400, 9, 8.0
KINDS: tuple[tuple[str, float], ...] = (
    ("mini-program.visit", 4.4),
    ("mini-program.favourite", 0.1),
    ("mini-program.favourite-end", 0.02),
    ("mini-program.search-direct", 0.3),
    ("mini-program.subscribe", 0.2),
    ("mini-program.subscribe-end", 0.02),
    ("life-account.follow", 0.2),
    ("life-account.unfollow", 0.03),
    ("life-account.read", 0.7),
    ("life-account.like", 0.15),
    ("live.watch", 0.3),
    ("live.click-goods", 0.1),
    ("coupon.claim", 0.4),
    ("fan-group.join", 0.08),
    ("fan-group.leave", 0.02),
    ("fan-group.message", 0.15),
    ("member-card.open", 0.1),
    ("member-card.close", 0.01),
    ("message.sent", 0.5),
    ("message.delivered", 0.4),
    ("message.opened", 0.15),
    ("promotion.exposure", 1.6),
    ("promotion.click", 0.25),
    ("promotion.points-earned", 0.12),
    ("promotion.points-spent", 0.06),
    ("lead.submitted", 0.05),
    ("lead.valid", 0.03),
    ("lead.converted", 0.01),
    ("credit.tier", 0.08),
    ("payment.pay", 0.45),
)
"""(event, mean count a user in 180 days); redemptions and refunds follow from claims and payments."""
NAMES = [name for name, _ in KINDS] + ["coupon.redeem", "payment.refund"]
_CODE = {name: code for code, name in enumerate(NAMES)}
_REDEEMED, _REFUNDED, _MEAN_HOURS, _WINDOW = 0.35, 0.04, 36.0, 180
_PAYS = {"taste": 0.6, "女": 0.25, "一线": 0.3}
_DAY, _ZONE, _HOUR = 86_400_000_000, 8 * 3_600_000_000, 3_600_000_000
EVENT_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("event", pa.dictionary(pa.int32(), pa.string())),
        ("time", pa.timestamp("us", "UTC")),
        ("amount", pa.int64()),
        ("seconds", pa.int32()),
        ("points", pa.int32()),
        *((name, pa.dictionary(pa.int32(), pa.string())) for name in ("quota", "about", "keyword_class", "tier")),
    ]
)
_TEXTS: dict[str, tuple[tuple[str, ...], tuple[tuple[str, float], ...]]] = {
    "quota": (("mini-program.subscribe",), (("once", 0.7), ("lasting", 0.3))),
    "about": (("message.sent", "message.delivered", "message.opened"),
              (("subscription", 0.5), ("order", 0.3), ("payment", 0.2))),
    "keyword_class": (("mini-program.search-direct",), (("exact", 0.4), ("generic", 0.6))),
    "tier": (("credit.tier",), CREDITS),
}  # fmt: skip
_NUMBERS: dict[str, tuple[tuple[str, ...], float, float]] = {
    "seconds": (("mini-program.visit", "live.watch"), 4.0, 1.1),
    "points": (("promotion.points-earned", "promotion.points-spent"), 2.5, 0.8),
}
"""Column → (its events, mean and σ of its logarithm)."""


@dataclass(frozen=True)
class Platform:
    """How large, up to which day, and which seed; density: times the means of KINDS (1: ten events a user)."""

    users: int
    as_of: date
    seed: int = 20_260_101
    density: float = 1.0
    people: Callable[[Ints], Ints] = lambda rows: rows
    """The running index (below 10^8) of the person behind each user, which tells its phone number."""


@dataclass(frozen=True)
class Part:
    """Some users and their events."""

    users: pa.Table
    events: pa.Table


def parts(platform: Platform) -> Iterator[Part]:
    """All users and their events up to the report date, PART_USERS at a time; the imported come last in each part."""
    for number, start in enumerate(range(0, platform.users, PART_USERS)):
        rows = np.arange(start, min(start + PART_USERS, platform.users))
        yield _part(platform, rows, np.random.default_rng([platform.seed, number]))


def write(platform: Platform, folder: Path, progress: Callable[[int], None] | None = None) -> int:
    """Every part as `events-00000.parquet` and `users-00000.parquet`; how many events there are."""
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for number, part in enumerate(parts(platform)):
        pq.write_table(part.events, folder / f"events-{number:05}.parquet", compression="zstd")
        pq.write_table(part.users, folder / f"users-{number:05}.parquet", compression="zstd")
        count += part.events.num_rows
        if progress:
            progress(count)
    return count


def _part(platform: Platform, rows: Ints, stream: np.random.Generator) -> Part:
    count = len(rows)
    phones = made_up.phones(platform.people(rows))
    city, gender = (
        stream.choice(len(shares), count, p=[share[-1] for share in shares]) for shares in (CITIES, GENDERS)
    )
    users = pa.table({"user": phones, **_portrait(city, gender, stream)})
    rate = stream.gamma(0.7, 1 / 0.7, count) * platform.density
    rate[stream.random(count) < IMPORTED] = 0  # known only from the users' table
    present = stream.integers(1, HISTORY + 1, count)
    pays = np.exp(
        _PAYS["taste"] * stream.standard_normal(count)
        + _PAYS["女"] * (gender == 0)
        + _PAYS["一线"] * np.array([tier == "一线" for *_, tier, _ in CITIES])[city]
    )
    return Part(users, _events(platform, phones, rate, present, pays, stream))


def _portrait(city: Ints, gender: Ints, stream: np.random.Generator) -> dict[str, pa.Array]:
    count = len(city)
    said = stream.random(count)
    consent = np.where(said < 0.86, 1, np.where(said < 0.9, 2, 0))
    cell = stream.integers(0, CELLS_A_CITY, count)
    return {
        "gender": made_up.named(gender, [name if name != "未知" else "" for name, _ in GENDERS]),
        "age_band": made_up.draw(stream, AGE_BANDS, count),
        "city_tier": made_up.named(city, [tier for *_, tier, _ in CITIES]),
        "province": made_up.named(city, [name for _, name, _, _ in CITIES]),
        "city": made_up.named(city, [name for name, *_ in CITIES]),
        "member_level": made_up.draw(stream, TIERS, count),
        "device": made_up.draw(stream, SYSTEMS, count),
        "consent": made_up.named(consent, ["", "yes", "no"]),
        "opt_out": made_up.named((stream.random(count) < 0.02).astype(np.int64), ["no", "yes"]),
        "cell": made_up.named(city * CELLS_A_CITY + cell, list(_cells())),
    }


@functools.cache
def _cells() -> tuple[str, ...]:
    """CELLS_A_CITY homes a city, the same in every part."""
    import h3

    stream = np.random.default_rng(7)
    found = []
    for name, *_ in CITIES:
        lat, lng = CENTRES[name]
        north, east = stream.normal(0, _SPREAD_KM / 111.2, (2, CELLS_A_CITY))
        places = zip((lat + north).tolist(), (lng + east / np.cos(np.radians(lat))).tolist(), strict=True)
        found += [h3.latlng_to_cell(*place, RESOLUTION) for place in places]
    return tuple(found)


def _events(platform: Platform, phones: pa.StringArray, rate: NDArray[np.float64], present: Ints,
            pays: NDArray[np.float64], stream: np.random.Generator) -> pa.Table:  # fmt: skip
    """The events of users who signed up `present` days before the report date, in no order."""
    last = (platform.as_of - date(1970, 1, 1)).days
    who, kind, back = _counts(rate, present, pays, stream)
    time = _times(last - back, stream)
    claims = np.flatnonzero((kind == _CODE["coupon.claim"]) & (stream.random(len(kind)) < _REDEEMED))
    paid = np.flatnonzero((kind == _CODE["payment.pay"]) & (stream.random(len(kind)) < _REFUNDED))
    cents = np.zeros(len(kind), np.int64)
    bought = kind == _CODE["payment.pay"]
    cents[bought] = np.rint(np.exp(stream.normal(9.3, 0.8, int(bought.sum())))).astype(np.int64)
    follow = np.concatenate([claims, paid])
    later = time[follow] + (stream.exponential(_MEAN_HOURS, len(follow)) * _HOUR).astype(np.int64)
    in_time = later < (last + 1) * _DAY - _ZONE
    code = np.repeat([_CODE["coupon.redeem"], _CODE["payment.refund"]], [len(claims), len(paid)])
    follow, later, code = follow[in_time], later[in_time], code[in_time]
    who, kind = np.concatenate([who, who[follow]]), np.concatenate([kind, code])
    return _table(phones, who, kind, np.concatenate([time, later]), np.concatenate([cents, cents[follow]]), stream)


def _counts(rate: NDArray[np.float64], present: Ints, pays: NDArray[np.float64],
            stream: np.random.Generator) -> tuple[Ints, Ints, Ints]:  # fmt: skip
    """(user in the part, code of the event, days before the report date) of each event."""
    found = []
    recent, before = np.minimum(present, _WINDOW), np.maximum(present - _WINDOW, 0)
    share = (recent + 0.5 * before) / _WINDOW
    for code, (name, mean) in enumerate(KINDS):
        own = rate * share * mean * (pays if name == "payment.pay" else 1.0)
        found.append(np.repeat(np.arange(len(rate)), stream.poisson(own)).astype(np.int32))
        kind = np.full(len(found[-1]), code, np.int16)
        found[-1] = np.stack([found[-1], kind])
    who, kind = np.concatenate(found, axis=1)
    old = stream.random(len(who)) < (0.5 * before / (recent + 0.5 * before))[who]
    drawn = stream.random(len(who))
    back = np.where(old, _WINDOW + drawn * before[who], drawn * recent[who]).astype(np.int64)
    return who.astype(np.int64), kind.astype(np.int64), back


def _table(phones: pa.StringArray, who: Ints, kind: Ints, time: Ints, cents: Ints,
           stream: np.random.Generator) -> pa.Table:  # fmt: skip
    columns = {
        "user": phones.take(pa.array(who)),
        "event": made_up.named(kind, NAMES),
        "time": pa.array(time, pa.timestamp("us", "UTC")),
        "amount": pa.array(cents, mask=cents == 0),
    }
    for name, (events, mean, spread) in _NUMBERS.items():
        chosen = _is(kind, events)
        values = np.zeros(len(kind), np.int32)
        values[chosen] = np.rint(np.exp(stream.normal(mean, spread, int(chosen.sum())))).astype(np.int32)
        columns[name] = pa.array(values, mask=~chosen)
    for name, (events, shares) in _TEXTS.items():
        chosen = _is(kind, events)
        codes = np.zeros(len(kind), np.int32)
        codes[chosen] = stream.choice(len(shares), int(chosen.sum()), p=[share for _, share in shares])
        texts = pa.array([text for text, _ in shares])
        columns[name] = pa.DictionaryArray.from_arrays(pa.array(codes, mask=~chosen), texts)
    return pa.table(columns, schema=EVENT_SCHEMA)


def _is(kind: Ints, events: tuple[str, ...]) -> NDArray[np.bool_]:
    table = np.zeros(len(NAMES), np.bool_)
    table[[_CODE[name] for name in events]] = True
    return table[kind]


def _times(days: Ints, stream: np.random.Generator) -> Ints:
    """Microseconds UTC of days in Shanghai, around 16:30."""
    hours = np.clip(stream.normal(16.5, 4.0, len(days)), 0, 23.99)
    return days * _DAY - _ZONE + (hours * _HOUR).astype(np.int64)
