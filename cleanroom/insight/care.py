"""C-CARE at a glance, and its diagnosis: the weakest of the eight values, and one playbook for it.

A value is judged against a reference of ours (a round number that says 'worth a look', from no survey) and against the
board 30 days before where there is one; the worse of the two counts. A judgement that the intervals do not bear out is
marked so.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from cleanroom.insight.linear import Value
from cleanroom.insight.metric import View, evaluate
from cleanroom.insight.registry import REGISTRY
from cleanroom.lang import current, t

EIGHT: Mapping[str, str] = {
    "reachable": "reachable_share",
    "identifiable": "identifiable",
    "interactive": "interactive",
    "growing": "growing",
    "convertible": "convertible",
    "enhanceable": "enhanceable",
    "safe": "safe",
    "efficient": "cost_per_new_payer",
}
"""The eight values, and the metric by which each is judged."""
DIMENSIONS = {"Scale": ("reachable", "identifiable"), "Active": ("interactive", "growing"),
              "Worth": ("convertible", "enhanceable"), "Efficiency": ("safe", "efficient")}  # fmt: skip
BESIDE = ("reachable", "match_rate", "fallen", "order_value", "rfm_classes", "roi", "roas", "points_earned",
          "points_spent", "exposures_per_point")  # fmt: skip
"""Metrics that are shown beside the eight."""
REFERENCES = {"reachable": 0.3, "identifiable": 0.3, "interactive": 0.2, "growing": 0.1, "convertible": 0.1,
              "enhanceable": 0.3, "safe": 0.8, "efficient": 486.7}  # fmt: skip
"""The last: yuan for a new customer, as published of public traffic in 2019."""
PLAYBOOKS = {
    "first-order": ("New users to a first order", "拉新转化"),
    "repurchase": ("Old users to more and again", "复购提升"),
    "win-back": ("Lost users back", "流失召回"),
}
_FOR = {"reachable": "first-order", "identifiable": "first-order", "interactive": "win-back", "growing": "repurchase",
        "convertible": "first-order", "enhanceable": "repurchase", "safe": "win-back",
        "efficient": "first-order"}  # fmt: skip


@dataclass(frozen=True)
class Judged:
    """One of the eight. score: ln(value / reference), turned round where less is better; below 0 is weak.

    against: 'previous' or 'reference'; sure: whether the value's interval, and that of the board before, bear it out.
    """

    name: str
    value: Value
    reference: float | None
    against: str
    score: float | None
    sure: bool


@dataclass(frozen=True)
class Diagnosis:
    """All eight, the weakest and its playbook; both None where no value is known."""

    judged: tuple[Judged, ...]
    weakest: str | None
    playbook: str | None

    @property
    def text(self) -> str:
        """In a sentence, in the current language."""
        found = next((each for each in self.judged if each.name == self.weakest), None)
        if found is None or self.playbook is None:
            return t("None of the eight values is known.")
        metric = REGISTRY[EIGHT[found.name]]
        names = {"value": metric.title, "playbook": PLAYBOOKS[self.playbook][current() == "zh"]}
        if found.score is not None and found.score < 0 and found.sure:
            return t("Weakest: {value}. Playbook: {playbook}.", **names)
        return t("No value is surely weak; the lowest is {value}. Playbook: {playbook}.", **names)


def eight(view: View) -> dict[str, Value]:
    """The eight values by name."""
    return {name: evaluate(REGISTRY[metric], view).value for name, metric in EIGHT.items()}


def diagnose(view: View, before: View | None = None) -> Diagnosis:
    """The eight against the board before, or against their references."""
    now, past = eight(view), eight(before) if before else {}
    judged = tuple(_worse(name, value, past.get(name)) for name, value in now.items())
    known = [each for each in judged if each.score is not None]
    if not known:
        return Diagnosis(judged, None, None)
    weakest = min(known, key=lambda each: each.score or 0.0).name
    return Diagnosis(judged, weakest, _playbook(weakest, view))


def _playbook(weakest: str, view: View) -> str:
    """Where more fall than rise, growth begins with those who are being lost."""
    if weakest == "growing":
        rates = [evaluate(REGISTRY[name], view).value.value for name in ("growing", "fallen")]
        if None not in rates and (rates[1] or 0.0) > (rates[0] or 0.0):
            return "win-back"
    return _FOR[weakest]


def _worse(name: str, value: Value, past: Value | None) -> Judged:
    fixed = _judged(name, value, Value(REFERENCES[name], REFERENCES[name], REFERENCES[name]), "reference")
    if fixed.score is None or past is None or past.value is None or past.value <= 0:
        return fixed
    moved = _judged(name, value, past, "previous")
    return moved if moved.score is not None and moved.score < fixed.score else fixed


def _judged(name: str, value: Value, reference: Value, against: str) -> Judged:
    if value.value is None or reference.value is None:
        return Judged(name, value, reference.value, against, None, sure=False)
    turned = -1 if REGISTRY[EIGHT[name]].better == "low" else 1
    score = turned * math.log(max(value.value, 1e-9) / reference.value)
    if value.low is None or value.high is None or reference.low is None or reference.high is None:
        return Judged(name, value, reference.value, against, score, sure=False)
    apart = value.high < reference.low or value.low > reference.high
    return Judged(name, value, reference.value, against, score, sure=apart)
