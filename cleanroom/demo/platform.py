"""The platform's side: its users and their events, made up, overlapping the merchant's members in a known way.

Means and shares stand in the tables below. Members of the merchant are more active than others; their payments are the
merchant's own purchases that went through the platform. Users are written in parts, so that memory does not grow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.demo import people as made_up
from cleanroom.demo.crm import Members
from cleanroom.demo.people import AGE_BANDS, CITIES, GENDERS, SYSTEMS, TIERS, Ints, random

WINDOW_DAYS = 180
"""Events lie in the last so many days."""
PART = 20_000
OVERLAP = 0.6
"""Share of members with a usable phone who are users; the same share of those without one."""
_MOVED = 0.1
_THROUGH_PLATFORM = 0.7
_MEMBER_FACTOR = 1.6
_SPREAD = 0.7
_DAY, _ZONE = 86_400_000_000, 8 * 3_600_000_000

KINDS: tuple[tuple[str, float], ...] = (
    ("mini-program.visit", 3.2),
    ("mini-program.favourite", 0.12),
    ("mini-program.search-direct", 0.35),
    ("mini-program.subscribe", 0.15),
    ("life-account.follow", 0.2),
    ("life-account.unfollow", 0.03),
    ("life-account.read", 0.9),
    ("life-account.like", 0.2),
    ("live.watch", 0.3),
    ("live.click-goods", 0.12),
    ("coupon.claim", 0.45),
    ("fan-group.join", 0.08),
    ("fan-group.message", 0.2),
    ("member-card.open", 0.1),
    ("message.delivered", 1.1),
    ("message.opened", 0.25),
    ("promotion.exposure", 2.4),
    ("promotion.click", 0.3),
)
"""(event of the event model, mean count a user in the window); Poisson around a rate of each user's own (gamma)."""
EVENTS = [name for name, _ in KINDS] + ["coupon.redeem", "payment.pay"]
_VISIT, _CLAIM, _REDEEM, _PAY = (
    EVENTS.index(name) for name in ("mini-program.visit", "coupon.claim", "coupon.redeem", "payment.pay")
)
_REDEEMED = 0.35
_OTHERS_PAY = 0.25
CATEGORIES = (("音像", 0.55), ("图书", 0.25), ("文具", 0.12), ("数码", 0.08))

EVENT_SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("event", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("amount", pa.int64()),
        ("category", pa.string()),
    ]
)
"""One row a user (the phone) and event; amount in cents and product category where something was paid, else null."""


@dataclass(frozen=True)
class Users:
    """Who uses the platform: member: the merchant's person behind each user, −1 for none, int64[users]."""

    member: Ints
    members: Members

    def people(self, rows: Ints) -> Ints:
        """The running index of the person behind each user; strangers come after all members."""
        member = self.member[rows]
        return np.where(member >= 0, member, self.members.bought.people + rows)


@dataclass(frozen=True)
class Part:
    """Some users, their attributes and their events."""

    users: pa.Table
    events: pa.Table


def sign_up(members: Members, users: int) -> Users:
    """`users` users in shuffled order, of which OVERLAP of the members (rounded, with and without a usable phone)."""
    stream = random("platform")
    usable = members.usable()
    chosen = [
        stream.choice(group, round(OVERLAP * len(group)), replace=False)
        for group in (np.flatnonzero(usable), np.flatnonzero(~usable))
    ]
    both = np.concatenate(chosen)[:users]
    return Users(stream.permutation(np.concatenate([both, np.full(users - len(both), -1)])), members)


def parts(users: Users, as_of: date) -> Iterator[Part]:
    """All users with attributes, and their events up to `as_of`, a part at a time."""
    last = (as_of - date(1970, 1, 1)).days
    for number, start in enumerate(range(0, len(users.member), PART)):
        rows = np.arange(start, min(start + PART, len(users.member)))
        yield _part(users, rows, last, random(f"part {number}"))


def _part(users: Users, rows: Ints, last: int, stream: np.random.Generator) -> Part:
    who, kind, time, amount = _events(users, rows, last, stream)
    order = np.argsort(time, kind="stable")
    who, kind, time, amount = who[order], kind[order], time[order], amount[order]
    names = pa.array(np.char.add("U", np.char.zfill((rows + 1).astype(str), 8)).tolist())
    phones = made_up.phones(users.people(rows))
    paid = kind == _PAY
    category = made_up.draw(stream, CATEGORIES, len(kind)).cast(pa.string())
    events = pa.table(
        {
            "user": phones.take(pa.array(who)),
            "event": made_up.named(kind, EVENTS).cast(pa.string()),
            "time": pa.array(time).cast(pa.timestamp("us", "UTC")),
            "amount": pa.array(amount, mask=~paid),
            "category": pc.if_else(pa.array(paid), category, pa.scalar(None, pa.string())),
        },
        schema=EVENT_SCHEMA,
    )
    count = len(rows)
    recent = time >= (last - 29) * _DAY - _ZONE
    visits = np.bincount(who[(kind == _VISIT) & recent], minlength=count)
    spend = np.bincount(who, amount, count).astype(np.int64)
    attributes = pa.table(
        {
            "user_id": names,
            "phone": phones,
            **_portrait(users, rows, stream),
            "visits_30d": visits,
            "spend_180d": yuan(spend),
        }
    )
    return Part(attributes, events)


def _portrait(users: Users, rows: Ints, stream: np.random.Generator) -> dict[str, pa.Array]:
    """Attributes; members keep the merchant's gender and, nine in ten, its city."""
    member, count = users.member[rows], len(rows)
    city = stream.choice(len(CITIES), count, p=[share for *_, share in CITIES])
    gender = stream.choice(len(GENDERS), count, p=[share for _, share in GENDERS])
    known = member >= 0
    stayed = known & (stream.random(count) >= _MOVED)
    city[stayed] = users.members.city[member[stayed]]
    gender[known] = users.members.gender[member[known]]
    return {
        "gender": made_up.named(gender, [name for name, _ in GENDERS]),
        "age_band": made_up.draw(stream, AGE_BANDS, count),
        "province": made_up.named(city, [name for _, name, _, _ in CITIES]),
        "city": made_up.named(city, [name for name, *_ in CITIES]),
        "city_tier": made_up.named(city, [name for _, _, name, _ in CITIES]),
        "member_level": made_up.draw(stream, TIERS, count),
        "system": made_up.draw(stream, SYSTEMS, count),
    }


def _events(users: Users, rows: Ints, last: int, stream: np.random.Generator) -> tuple[Ints, Ints, Ints, Ints]:
    """(row in the part, code of the event, microseconds UTC, cents) of each event, in no order."""
    rate = stream.gamma(_SPREAD, 1 / _SPREAD, len(rows)) * np.where(users.member[rows] >= 0, _MEMBER_FACTOR, 1.0)
    means = np.array([mean for _, mean in KINDS])
    counts = stream.poisson(rate[:, None] * means[None, :])
    who, kind = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    time = _times(last - stream.integers(0, WINDOW_DAYS, len(who)), stream)
    redeemed = np.flatnonzero((kind == _CLAIM) & (stream.random(len(kind)) < _REDEEMED))
    later = time[redeemed] + (stream.exponential(36, len(redeemed)) * 3_600_000_000).astype(np.int64)
    in_time = later < (last + 1) * _DAY - _ZONE
    redeemed, later = redeemed[in_time], later[in_time]
    payers, day, cents = _payments(users, rows, last, stream)
    return (
        np.concatenate([who, who[redeemed], payers]),
        np.concatenate([kind, np.full(len(redeemed), _REDEEM), np.full(len(payers), _PAY)]),
        np.concatenate([time, later, _times(day, stream)]),
        np.concatenate([np.zeros(len(who) + len(redeemed), np.int64), cents]),
    )


def _payments(users: Users, rows: Ints, last: int, stream: np.random.Generator) -> tuple[Ints, Ints, Ints]:
    """(row in the part, day, cents): members' own purchases, seven in ten; others' few payments, log-normal."""
    bought = users.members.bought
    row_of = np.full(bought.people, -1, np.int64)
    known = np.flatnonzero(users.member[rows] >= 0)
    row_of[users.member[rows][known]] = known
    through: NDArray[np.bool_] = (row_of[bought.person] >= 0) & (bought.day > last - WINDOW_DAYS) & (bought.cents > 0)
    own = np.flatnonzero(through)
    own = own[stream.random(len(own)) < _THROUGH_PLATFORM]
    strangers = np.repeat(
        np.arange(len(rows)), np.where(users.member[rows] < 0, stream.poisson(_OTHERS_PAY, len(rows)), 0)
    )
    cents = np.rint(np.exp(stream.normal(9.3, 0.8, len(strangers)))).astype(np.int64)
    return (
        np.concatenate([row_of[bought.person[own]], strangers]),
        np.concatenate([bought.day[own], last - stream.integers(0, WINDOW_DAYS, len(strangers))]),
        np.concatenate([bought.cents[own], cents]),
    )


def _times(days: Ints, stream: np.random.Generator) -> Ints:
    """Microseconds UTC of days in Shanghai, mostly between 9 and 23 o'clock."""
    hours = np.clip(stream.normal(16.5, 4.0, len(days)), 0, 23.99)
    return days * _DAY - _ZONE + (hours * 3_600_000_000).astype(np.int64)


def yuan(cents: Ints) -> pa.StringArray:
    """'12.34', exact."""
    whole, part = (pc.cast(pa.array(number), pa.string()) for number in (cents // 100, cents % 100))
    return pc.binary_join_element_wise(whole, pc.utf8_lpad(part, 2, "0"), ".")
