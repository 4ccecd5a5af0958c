"""Made-up campaigns with a known effect: what treated people and the holdout do afterwards, on both sides.

Synthetic like all of the demo. The lift is what was put in, so that whoever measures a campaign can be told how near
they came: each person converts within DAYS with the chance `base`, a treated one with `base + lift`, whatever else
they do (intention to treat); an order is log-normal. Of the treated, a share `reach` is exposed; of these, `answers`
claim, leave a lead or search; of these, `goes_on` redeem, are valid, or visit. Conversions do not depend on that.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.demo import people as made_up
from cleanroom.demo.people import Ints
from cleanroom.demo.platform import yuan

DAYS = 14
"""From the campaign's first day on."""
_DAY, _ZONE, _HOUR = 86_400_000_000, 8 * 3_600_000_000, 3_600_000_000


@dataclass(frozen=True)
class Effect:
    """Chances and the order's size (mean and σ of the logarithm of its cents); events: exposed, answered, went on."""

    scene: str
    base: float
    lift: float
    reach: float
    answers: float
    goes_on: float
    events: tuple[str, str, str]
    slot: str
    log_cents: float = 9.3
    spread: float = 0.6

    @property
    def mean_cents(self) -> float:
        """The expected size of an order."""
        return float(np.exp(self.log_cents + self.spread**2 / 2))


EFFECTS: dict[str, Effect] = {
    effect.scene: effect
    for effect in (
        Effect("goods", 0.06, 0.03, 0.85, 0.3, 0.45, ("promotion.exposure", "coupon.claim", "coupon.redeem"),
               "支付成功页"),
        Effect("leads", 0.01, 0.012, 0.8, 0.08, 0.6, ("promotion.exposure", "lead.submitted", "lead.valid"), "生活频道",
               log_cents=11.5),
        Effect("search", 0.04, 0.015, 0.7, 0.2, 0.8,
               ("promotion.exposure", "mini-program.search-direct", "mini-program.visit"), "搜索框"),
    )
}  # fmt: skip
"""By scene: goods trade (商品交易), lead capture (线索留资), search promotion (搜索推广)."""


@dataclass(frozen=True)
class Response:
    """What came of a campaign. events: on the platform (user, event, time, campaign, slot, keyword_class); orders: in
    the merchant's books (phone, day, amount in yuan); converted: bool[persons]; cents: int64[persons]."""

    events: pa.Table
    orders: pa.Table
    converted: NDArray[np.bool_]
    cents: Ints


def respond(effect: Effect, campaign: str, persons: Ints, treated: NDArray[np.bool_], start: date,
            seed: int) -> Response:  # fmt: skip
    """What `persons` (running indices, as `people.phones` takes them) do in DAYS from `start`; deterministic."""
    stream = np.random.default_rng([seed, *campaign.encode()])
    first, count = (start - date(1970, 1, 1)).days, len(persons)
    converted = stream.random(count) < effect.base + effect.lift * treated
    cents = np.where(converted, np.rint(np.exp(stream.normal(effect.log_cents, effect.spread, count))), 0)
    day = first + stream.integers(0, DAYS, count)
    phones = made_up.phones(persons)
    buyers = np.flatnonzero(converted)
    orders = pa.table(
        {
            "phone": phones.take(pa.array(buyers)),
            "day": pa.array(day[buyers].astype(np.int32)).cast(pa.date32()),
            "amount": yuan(cents[buyers].astype(np.int64)),
        }
    )
    return Response(
        _events(effect, campaign, phones, treated, first, stream), orders, converted, cents.astype(np.int64)
    )


def _events(effect: Effect, campaign: str, phones: pa.StringArray, treated: NDArray[np.bool_], first: int,
            stream: np.random.Generator) -> pa.Table:  # fmt: skip
    """Each step within the campaign's days, hours after the one before."""
    who = np.flatnonzero(treated)
    time = (first + stream.integers(0, DAYS - 3, len(who))) * _DAY - _ZONE + 10 * _HOUR
    tables = []
    for name, chance in zip(effect.events, (effect.reach, effect.answers, effect.goes_on), strict=True):
        on = stream.random(len(who)) < chance
        who, time = who[on], time[on] + (stream.exponential(6, int(on.sum())) * _HOUR).astype(np.int64)
        words = stream.choice(["exact", "generic"], len(who), p=[0.4, 0.6])
        searched = name == "mini-program.search-direct"
        tables.append(
            pa.table(
                {
                    "user": phones.take(pa.array(who)),
                    "event": pa.array([name] * len(who), pa.string()),
                    "time": pa.array(time, pa.timestamp("us", "UTC")),
                    "campaign": pa.array([campaign] * len(who), pa.string()),
                    "slot": pa.array([effect.slot] * len(who), pa.string()),
                    "keyword_class": pa.array(words, pa.string(), mask=np.full(len(who), not searched)),
                }
            )
        )
    return pa.concat_tables(tables)
