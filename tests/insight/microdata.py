"""Made-up persons by the standard columns, and `Tables` counted of them: what a board would hold, exact or noised."""

import datetime as dt
from collections.abc import Mapping

import numpy as np
import pandas as pd

from cleanroom.insight.tables import AMOUNTS, ATTRIBUTES, CHANNELS, RELATIONS, Tables, wanted
from cleanroom.privacy import accounting

DAY = dt.date(2026, 11, 21)
STAGES = ("none", "visit", "interact", "pay", "repeat")
RECENCY = ("1 day", "2-7 days", "8-30 days", "31-90 days", "91+ days", "never")
WEEKS = ("w0", "w1", "w2", "w3", "w4", "older", "never")
LABELS: Mapping[str, tuple[str, ...]] = {
    "imported": ("no", "yes"),
    **dict.fromkeys((*RELATIONS, "reach", *CHANNELS), ("no", "yes")),
    "consent": ("yes", "no", "unknown"),
    **dict.fromkeys(("stage_1d", "stage_7d", "stage_30d", "stage_90d", "stage_before"), STAGES),
    **dict.fromkeys(("visited_last", "interacted_last", "paid_last", "first_seen"), RECENCY),
    "converted_30d": ("none", "no", "yes"),
    "new_payer": ("no", "1 day", "2-7 days", "8-30 days"),
    "visits_30d": ("0", "1", "2-3", "4-7", "8-15", "16+"),
    "seconds_30d": ("0", "1-59", "60+"),
    "spend_30d": ("0", "<50", "50+"),
    "pay_days_90d": ("0", "1", "2", "3-5", "6+"),
    "cohort": WEEKS,
    "pay_cohort": WEEKS,
    **{
        f"{name}{week}": ("no", "yes", "early", "none")
        for name in ("revisit_w", "repurchase_w")
        for week in range(1, 5)
    },
    "coupon_30d": ("none", "claimed", "redeemed"),
    "redeem_time": ("none", "15 min", "1 hour", "1 day", "7 days", "later", "open"),
    "rfm": ("none", "HHH", "LLL", "HLL"),
    "value_band": ("0", "<100", "100+"),
    "message_30d": ("none", "sent", "delivered", "opened"),
    **dict.fromkeys(ATTRIBUTES, ("a", "b", "c", "other", "unknown")),
}
CLAMP = 100_000


def persons(count: int = 4000, seed: int = 7) -> pd.DataFrame:
    """One row a person; labels are skewed, and some columns depend on others as the real ones do."""
    draw = np.random.default_rng(seed)
    data = {
        name: draw.choice(labels, count, p=_skewed(len(labels), number))
        for number, (name, labels) in enumerate(LABELS.items())
    }
    data["redeem_time"] = np.where(data["coupon_30d"] == "none", "none",
                                   np.where(data["coupon_30d"] == "claimed", "open", data["redeem_time"]))  # fmt: skip
    data["redeem_time"] = np.where((data["coupon_30d"] == "redeemed") & np.isin(data["redeem_time"], ["none", "open"]),
                                   "15 min", data["redeem_time"])  # fmt: skip
    frame = pd.DataFrame(data)
    for number, name in enumerate(AMOUNTS):
        frame[name] = draw.integers(0, 9_000, count) * (number + 1)
    return frame


def tables_of(frame: pd.DataFrame, *, sigma: int = 0, seed: int | None = None, day: dt.date = DAY, k: int = 100,
              columns: tuple[str, ...] | None = None) -> Tables:  # fmt: skip
    """What a board of these persons holds; sigma: of the noise in it, rounded from a normal draw."""
    names = tuple(name for name in LABELS if columns is None or name in columns)
    kinds = dict.fromkeys(names, "category") | {
        name: "amount" for name in AMOUNTS if columns is None or name in columns
    }
    asked, sums = wanted(kinds)
    draw = np.random.default_rng(seed)
    codes = {name: pd.Categorical(frame[name], categories=LABELS[name]).codes.astype(np.int64) for name in names}
    counts = {}
    for table in asked:
        shape = tuple(len(LABELS[name]) for name in table)
        flat = np.ravel_multi_index([codes[name] for name in table], shape) if table else np.zeros(len(frame), np.int64)
        exact = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape)
        counts[table] = exact + (np.rint(draw.normal(0, sigma, shape)).astype(np.int64) if sigma else 0)
    noise = {name: round(draw.normal(0, sigma * CLAMP)) if sigma else 0 for name in sums}
    return Tables(
        dataset="users", report_date=day, columns={name: LABELS[name] for name in names}, counts=counts,
        sums={name: int(frame[name].sum()) + noise[name] for name in sums}, sum_reach=dict.fromkeys(sums, CLAMP),
        sigma=sigma, k=k, least=accounting.threshold(k, sigma) if sigma else 0, made="2026-11-22T01:00:00+00:00",
        receipt="", room="spring",
    )  # fmt: skip


def _skewed(size: int, number: int) -> np.typing.NDArray[np.float64]:
    weights = np.roll(1.0 / np.arange(1, size + 1), number % size)
    return np.asarray(weights / weights.sum())
