"""What users did in a platform's private domain: the closed list of events and the columns each one carries.

One row a user and event; times are UTC, days are those of Asia/Shanghai. Nothing is read here.
"""

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from connectors.errors import InputError

FieldKind = Literal["category", "amount", "count"]


@dataclass(frozen=True)
class Field:
    """A column of an event: category: text; amount: whole minor units (cents); count: a whole number."""

    name: str
    kind: FieldKind


@dataclass(frozen=True)
class EventType:
    """One event: its name "relation.event" and the columns that it carries beside user, event and time."""

    name: str
    fields: tuple[Field, ...]

    @property
    def relation(self) -> str:
        """What the user has to do with: the mini-program, a coupon, …"""
        return self.name.partition(".")[0]


_COUNTS = frozenset({"seconds", "points", "instalments"})
_AMOUNTS = frozenset({"amount", "face_value", "threshold"})


def _events(relation: str, names: str, fields: str = "") -> list[EventType]:
    columns = tuple(
        Field(name, "amount" if name in _AMOUNTS else "count" if name in _COUNTS else "category")
        for name in fields.split()
    )
    return [EventType(f"{relation}.{name}", columns) for name in names.split()]


EVENTS: dict[str, EventType] = {
    event.name: event
    for group in (
        _events("mini-program", "visit", "seconds"),  # 小程序
        _events("mini-program", "favourite favourite-end subscribe-end"),
        _events("mini-program", "search-direct", "keyword_class"),  # exact or generic
        _events("mini-program", "subscribe", "quota"),  # once or lasting
        _events("life-account", "follow unfollow read like comment"),  # 生活号
        _events("live", "watch", "seconds"),  # 直播
        _events("live", "comment click-goods"),
        _events("coupon", "claim redeem expire", "face_value threshold store batch campaign"),  # 商家券
        _events("payment", "pay refund", "amount category place store device instalments"),  # 支付
        _events("fan-group", "join", "source"),  # 粉丝群
        _events("fan-group", "message share leave"),
        _events("member-card", "open close level-change", "level"),  # 会员卡
        _events("member-card", "points", "points"),
        _events("member-card", "goal-joined goal-fulfilled"),  # 芝麻Go
        _events("message", "sent delivered opened", "about campaign"),  # 消息: order, payment, subscription
        _events("promotion", "exposure click", "programme slot campaign"),  # 推广
        _events("promotion", "points-earned points-spent", "programme points"),
        _events("promotion", "sign-up", "programme"),
        _events("lead", "submitted valid converted"),  # 留资
        _events("credit", "tier", "tier"),  # 芝麻
    )
    for event in group
}
"""All events there are, by name."""


def field(event: str, column: str) -> Field | None:
    """The column of an event; None where it carries none of this name."""
    return next((one for one in EVENTS[event].fields if one.name == column), None)


def schema(relation: str) -> pa.Schema:
    """The columns of a relation's events. Raises InputError for an unknown relation."""
    events = [event for event in EVENTS.values() if event.relation == relation]
    if not events:
        raise InputError(
            "There is no relation {relation}.",
            "Known: {known}.",
            relation=relation,
            known=", ".join(sorted({event.relation for event in EVENTS.values()})),
        )
    carried = {one.name: pa.string() if one.kind == "category" else pa.int64() for e in events for one in e.fields}
    time = pa.timestamp("us", "UTC")
    return pa.schema([("user", pa.string()), ("event", pa.string()), ("time", time), *carried.items()])
