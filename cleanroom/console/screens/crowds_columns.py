"""What a crowd's rule may be built of: the room's declared columns and labels, in the words that marketers use.

Titles of the operator's catalogue come first, then ours for the standard columns; other columns keep their names. No
sensitive column is offered, and nothing of the data stands here but labels that the contract declares.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from cleanroom import lang
from cleanroom.access import catalogue
from cleanroom.gateway.tags import Tag, Tags
from cleanroom.home import Home
from cleanroom.insight.labels import said
from cleanroom.lang import t
from cleanroom.rooms.store import Room

_DAYS, _WEEK, _NUMBER = r"(\d+)d", r"w(\d)", r"(\d)"
TITLES: dict[str, tuple[str, str]] = {
    "level": ("会员等级", "member level"), "member_level": ("会员等级", "member level"), "gender": ("性别", "gender"),
    "city": ("城市", "city"), "province": ("省份", "province"), "city_tier": ("城市等级", "city tier"),
    "age_band": ("年龄段", "age band"), "device": ("设备", "device"), "credit": ("信用等级", "credit tier"),
    "orders": ("订单数", "number of orders"), "first_order": ("首单日期", "day of the first order"),
    "last_order": ("末单日期", "day of the last order"), "channel": ("来源渠道", "channel of origin"),
    "imported": ("由上传得知", "known by upload"), "mini_program": ("访问过小程序", "visited the mini-program"),
    "life_account": ("关注过生活号", "has followed the life account"), "live": ("看过直播", "has watched live"),
    "coupon": ("领过商家券", "has claimed a coupon"), "payment": ("付过款", "has paid"),
    "fan_group": ("进过粉丝群", "has joined a fan group"), "member_card": ("开过会员卡", "has opened a member card"),
    "message": ("收到过消息", "was sent messages"), "promotion": ("被推广触达过", "was shown promotions"),
    "lead": ("留过资", "has left a lead"), "reach": ("可触达", "can be reached"),
    "subscribed": ("订阅了消息", "subscribed to messages"), "card_open": ("会员卡有效", "holds a member card"),
    "group_member": ("在粉丝群中", "is in a fan group"), "life_follow": ("正在关注生活号", "follows the life account"),
    "stage_before": ("上一期阶段", "stage in the period before"), "visited_last": ("最近一次访问", "last visit"),
    "interacted_last": ("最近一次互动", "last interaction"), "paid_last": ("最近一次付款", "last payment"),
    "first_seen": ("首次出现", "first seen"), "new_payer": ("新付款用户", "new payer"),
    "cohort": ("首访周", "week of the first visit"),
    "pay_cohort": ("首付周", "week of the first payment"), "rfm": ("RFM 分层", "RFM class"),
    "value_band": ("消费总额档", "total spend"), "redeem_time": ("核销用时", "time to redemption"),
    "consent": ("同意有效", "valid consent"),
}  # fmt: skip
"""Column → what people call it, Chinese and English."""
NUMBERED: tuple[tuple[str, str, str], ...] = (
    (f"stage_{_DAYS}", "近 {} 天阶段", "stage, {} days"),
    (f"visits_{_DAYS}", "近 {} 天访问次数", "visits, {} days"),
    (f"seconds_{_DAYS}", "近 {} 天停留秒数", "seconds of visits, {} days"),
    (f"spend_{_DAYS}", "近 {} 天消费额", "spend, {} days"),
    (f"pay_days_{_DAYS}", "近 {} 天付款天数", "days with a payment, of {}"),
    (f"converted_{_DAYS}", "近 {} 天互动后付款", "paid after interacting, {} days"),
    (f"message_{_DAYS}", "近 {} 天消息", "messages, {} days"), (f"coupon_{_DAYS}", "近 {} 天用券", "coupons, {} days"),
    (f"revisit_{_WEEK}", "第 {} 周回访", "came back in week {}"),
    (f"repurchase_{_WEEK}", "第 {} 周复购", "bought again in week {}"),
    (f"arm_{_NUMBER}", "活动分组 {}", "campaign arm {}"),
    (f"exposed_{_NUMBER}", "活动曝光 {}", "campaign exposure {}"),
    (f"engaged_{_NUMBER}", "活动互动 {}", "campaign engagement {}"),
    (f"touch_{_NUMBER}", "活动触点 {}", "campaign touch {}"),
    (f"paid_after_{_NUMBER}", "活动后付款 {}", "paid after campaign {}"),
    (f"paid_when_{_NUMBER}", "活动后何时付款 {}", "when paid after campaign {}"),
)  # fmt: skip
"""The same of columns with a number in their names."""


@dataclass(frozen=True)
class Column:
    """code: dataset.column; options: (label, what it is called), all that the contract declares."""

    code: str
    title: str
    options: tuple[tuple[str, str], ...]

    def labels(self, chosen: Sequence[str]) -> str:
        """The chosen labels, for people."""
        return ", ".join(text for label, text in self.options if label in chosen)


class Columns:
    """The columns of a room, by side."""

    def __init__(self, home: Home, room: Room) -> None:
        self._own = home.party
        self._tags = Tags(room, catalogue.load(home))

    @cached_property
    def by_code(self) -> dict[str, Column]:
        """All of them."""
        return {tag.code: Column(tag.code, titled(tag), _options(tag)) for tag in self._tags.every}

    @cached_property
    def groups(self) -> list[tuple[str, list[Column]]]:
        """(side, its columns), one's own side first."""
        owners = sorted(self._tags.owners.items(), key=lambda each: each[1] != self._own)
        return [
            (t("Your data: {dataset}", dataset=name) if owner == self._own
             else t("{party}: {dataset}", party=owner, dataset=name),
             [each for each in self.by_code.values() if each.code.startswith(f"{name}.")])
            for name, owner in owners
        ]  # fmt: skip

    def title(self, code: str) -> str:
        """What a column is called."""
        found = self.by_code.get(code)
        return code if found is None else found.title

    def text(self, code: str, labels: Sequence[str]) -> str:
        """Some of its labels, for people."""
        found = self.by_code.get(code)
        return ", ".join(labels) if found is None else found.labels(labels)


def titled(tag: Tag) -> str:
    """What people call a tag: the operator's title, else ours, else its name."""
    name = tag.field.column
    if tag.title != name:
        return tag.title
    chinese = lang.current() == "zh"
    if name in TITLES:
        return TITLES[name][0 if chinese else 1]
    for pattern, zh, en in NUMBERED:
        if found := re.fullmatch(pattern, name):
            return (zh if chinese else en).format(found[1])
    return name


def _options(tag: Tag) -> tuple[tuple[str, str], ...]:
    return tuple((label, said(label)) for label in tag.field.labels)
