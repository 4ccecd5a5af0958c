"""What a campaign's figures say, in plain words: whether chance explains them, and how many people it would take."""

import math
from collections.abc import Mapping
from typing import Any

from cleanroom.campaigns.lift import Z95
from cleanroom.campaigns.power import people_for
from cleanroom.campaigns.report import percent
from cleanroom.lang import t

Interval = Mapping[str, Any] | None


def lift_text(measured: Mapping[str, Any] | None) -> str:
    """The lift with its interval; "" before it was measured."""
    return "" if measured is None else percent(measured["difference"], signed=True)


def share_text(found: Mapping[str, Any]) -> str:
    """The smallest lift that a plan promises to show."""
    if found["difference"] is None:
        return t("none: this crowd is too small")
    return t("{points} more payers of all treated: {count} people, {ratio} more than without",
             points=f"{found['difference']:.2%}", count=f"{found['payers']:,}",
             ratio=f"{found['ratio']:.0%}")  # fmt: skip


def verdict(measured: Mapping[str, Any]) -> tuple[str, str]:
    """(what it comes to, the tone of it: good, bad or warn)."""
    gap = measured["difference"]
    if gap["low"] is not None and gap["low"] > 0:
        return t("More people paid for its sake."), "good"
    if gap["high"] is not None and gap["high"] < 0:
        return t("Fewer people paid for its sake."), "bad"
    return t("No effect can be told from chance and noise: the interval holds 0."), "warn"


def by_chance(gap: Interval) -> str:
    """How often a campaign without any effect would show a difference as large, by the width of the interval."""
    if gap is None or gap["low"] is None or gap["high"] is None or gap["high"] <= gap["low"]:
        return ""
    deviation = (gap["high"] - gap["low"]) / (2 * Z95)
    often = 100 * math.erfc(abs(gap["value"]) / deviation / math.sqrt(2))
    told = t("fewer than 1") if often < 1 else f"{often:.0f}"
    return t("Without any effect, chance and noise alone bring a difference as large in {count} of 100 such campaigns.",
             count=told)  # fmt: skip


def people_needed(campaign: Mapping[str, Any], k: int) -> str:
    """How many people of a crowd it takes to show a lift of this size; "" where it was shown."""
    found = campaign["measured"]
    gap, base = found["difference"]["value"], found["arms"][1]["share"]["value"]
    if found["significant"] or gap <= 0 or not 0 < base < 1 or not campaign["held_out"]:
        return ""
    noise = found["noise"] or {"sigma": 0, "draws": 1}
    needed = people_for(gap, campaign["held_out"] / 1000, base, noise["sigma"], draws=noise["draws"], k=k)
    if needed is None:
        return t("No crowd is large enough to show a lift of {lift}.", lift=f"{gap:.2%}")
    return t("To show a lift of {lift} surely, a crowd of {count} matched people is needed.", lift=f"{gap:.2%}",
             count=f"{needed:,}")  # fmt: skip


def value_of(interval: Interval, form: str = ",.0f", *, share: bool = False) -> str | None:
    """The middle of an interval, for a figure; None where nothing can be told."""
    if interval is None:
        return None
    return f"{interval['value']:+.2%}" if share else format(interval["value"], form)


def range_of(interval: Interval, form: str = ",.0f", *, share: bool = False) -> str:
    """The two ends; an open one is said to be."""
    if interval is None:
        return ""
    wanted = "+.2%" if share else form
    low, high = (t("open") if interval[side] is None else format(interval[side], wanted) for side in ("low", "high"))
    return t("{low} to {high}", low=low, high=high)
