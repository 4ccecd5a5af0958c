"""What each event counts as: a visit, an interaction, a payment; a channel opened or closed; and which value it brings.

The one place of these definitions; `docs/private-domain.md` says them in words.
"""

import numpy as np

from connectors.event_types import EVENTS

NAMES = tuple(EVENTS)
CODE = {name: code for code, name in enumerate(NAMES)}
VISIT, INTERACT, PAY, MONEY, ENDS = 1, 2, 4, 8, 16
"""Bits of an event's class; MONEY: payments and refunds; ENDS: it closes what another event opens."""

VISITS = ("mini-program.visit", "live.watch")
INTERACTIONS = (
    "mini-program.favourite", "mini-program.search-direct", "mini-program.subscribe",
    "life-account.follow", "life-account.read", "life-account.like", "life-account.comment",
    "live.comment", "live.click-goods",
    "coupon.claim", "coupon.redeem",
    "fan-group.join", "fan-group.message", "fan-group.share",
    "member-card.open", "member-card.goal-joined", "member-card.goal-fulfilled",
    "message.opened", "promotion.click", "promotion.points-spent", "promotion.sign-up",
    "lead.submitted",
)  # fmt: skip
"""What a person does. An exposure, a delivery or a bare visit is none; a payment is a stage of its own."""
_ENDS = ("mini-program.favourite-end", "mini-program.subscribe-end", "life-account.unfollow", "fan-group.leave",
         "member-card.close")  # fmt: skip
EXPOSED = ("promotion.exposure", "message.delivered")
ENGAGED = ("promotion.click", "message.opened", "coupon.claim", "coupon.redeem")
"""Events that carry a campaign: those that reached a person, and those by which it answered."""
VALUES = {
    "seconds": VISITS,
    "amount": ("payment.pay", "payment.refund"),
    "points": ("promotion.points-earned", "promotion.points-spent"),
}
"""Column → the events whose one number it is; none is ever negative."""
MUST = {"amount": VALUES["amount"], "points": VALUES["points"]}
"""Values without which an event says little; their absence is counted."""
WORDS = {
    "quota": (("mini-program.subscribe",), {"once": 1, "lasting": 2}),
    "about": (("message.sent",), {"subscription": 3}),
}
"""Column → (the events that it matters to, word → code)."""
LEVELS = {"level": ("member-card.open", "member-card.level-change"), "tier": ("credit.tier",)}
"""Column → the events that say what a person is from then on."""


def _table() -> "np.typing.NDArray[np.uint8]":
    bits = np.zeros(len(NAMES), np.uint8)
    for names, bit in ((VISITS, VISIT), (INTERACTIONS, INTERACT), (("payment.pay",), PAY), (_ENDS, ENDS)):
        for name in names:
            bits[CODE[name]] |= bit
    for name in VALUES["amount"]:
        bits[CODE[name]] |= MONEY
    return bits


CLASS = _table()
"""uint8[events]: the bits of each event by its code."""


def mask(names: tuple[str, ...]) -> int:
    """The bits (1 << code) of some events."""
    return sum(1 << CODE[name] for name in names)
