"""Metrics of behaviour over 30 days, of the funnel and of the flow between stages.

Distributions are over those who did the thing at all: the cell of nothing is left out of the base.
"""

from functools import partial

from cleanroom.insight.linear import Value
from cleanroom.insight.metric import ALL_WINDOWS, NEVER, NOT_KNOWN, THIRTY, Metric, Series, View
from cleanroom.insight.themes.overview import PERSONS, PERSONS_ZH, shares

_NOTHING = ("0", "none", NEVER, *NOT_KNOWN)
_MEMBER: dict[str, tuple[str, ...]] = {"member_card": ("yes",)}
_STEPS = (("visit", "interact", "pay", "repeat"), ("interact", "pay", "repeat"), ("pay", "repeat"), ("repeat",))
_ORDER = ("none", "visit", "interact", "pay", "repeat")


def _spread(column: str, who: dict[str, tuple[str, ...]], view: View) -> Series:
    return shares(view, column, _NOTHING, **who)


def _behaviour(
    name: str, names: tuple[str, str], of: tuple[str, str], column: str, who: dict[str, tuple[str, ...]] | None = None
) -> Metric:
    text = f"Distribution of {of[0]}."
    base, base_zh = ("members with an open card", "会员卡有效的用户") if who else ("those who did so", "有该行为的用户")
    return Metric(name, "behaviour", *names, text, f"{of[1]}的分布。", base, base_zh, "share",
                  (column, *(who or {})), partial(_spread, column, who or {}), THIRTY, better="")  # fmt: skip


_VISITS = ("visits in the last 30 days, by persons with one or more", "近 30 天访问次数（至少一次者）")
_SECONDS = ("seconds of use in the last 30 days, by persons with any", "近 30 天使用时长秒数（有使用者）")
_SPEND = ("net spend in the last 30 days, by persons with any", "近 30 天净消费金额（有消费者）")
_LAST = ("time since the last visit, by persons with any", "距最近一次访问的时间（曾访问者）")


def _funnel(view: View) -> Series:
    steps = {"all": view.persons()}
    return steps | {step[0]: view.persons(**{view.stage: step}) for step in _STEPS}


def _funnel_rates(view: View) -> Series:
    counts = [view.count(), *(view.count(**{view.stage: step}) for step in _STEPS)]
    return {step[0]: view.share(counts[place + 1], counts[place]) for place, step in enumerate(_STEPS)}


def _flow(view: View) -> Series:
    before, after = (_ordered(view, name) for name in ("stage_before", "stage_30d"))
    return {f"{a} → {b}": view.persons(stage_before=(a,), stage_30d=(b,)) for a in before for b in after}


def _flow_rates(view: View) -> Series:
    found: dict[str, Value] = {}
    for a in _ordered(view, "stage_before"):
        base = view.count(stage_before=(a,), stage_30d=_ordered(view, "stage_30d"))
        for b in _ordered(view, "stage_30d"):
            found[f"{a} → {b}"] = view.share(view.count(stage_before=(a,), stage_30d=(b,)), base)
    return found


def _ordered(view: View, column: str) -> tuple[str, ...]:
    there = view.labels(column)
    return tuple(label for label in _ORDER if label in there)


METRICS = (
    _behaviour("visit_frequency", ("Visits of visitors", "访客访问频次"), _VISITS, "visits_30d"),
    _behaviour("visit_frequency_members", ("Visits of members", "会员访问频次"), _VISITS, "visits_30d", _MEMBER),
    _behaviour("visit_duration", ("Duration of visitors", "访客使用时长"), _SECONDS, "seconds_30d"),
    _behaviour("visit_duration_members", ("Duration of members", "会员使用时长"), _SECONDS, "seconds_30d", _MEMBER),
    _behaviour("visit_recency", ("Recency of visitors", "访客最近访问"), _LAST, "visited_last"),
    _behaviour("visit_recency_members", ("Recency of members", "会员最近访问"), _LAST, "visited_last", _MEMBER),
    _behaviour("pay_frequency", ("Payment days of payers", "支付用户支付频次"),
               ("days with a payment in the last 90 days, by payers", "近 90 天支付天数（支付用户）"), "pay_days_90d"),
    _behaviour("pay_recency", ("Recency of payers", "支付用户最近支付"),
               ("time since the last payment, by payers", "距最近一次支付的时间（支付用户）"), "paid_last"),
    _behaviour("spend", ("Spend of payers", "支付用户消费金额"), _SPEND, "spend_30d"),
    _behaviour("spend_members", ("Spend of members", "会员消费金额"), _SPEND, "spend_30d", _MEMBER),
    Metric("funnel", "funnel", "Behaviour funnel", "行为漏斗",
           "Persons who reached at least each stage in the window: all, visit, interact, pay, repeat.",
           "窗口内至少到达各阶段的用户数：全部、访问、互动、支付、复购。",
           PERSONS, PERSONS_ZH, "persons", ("stage_{w}",), _funnel, ALL_WINDOWS),
    Metric("funnel_rates", "funnel", "Step rates of the funnel", "漏斗转化率",
           "Persons who reached at least the stage / those who reached at least the stage before.",
           "至少到达本阶段的用户 / 至少到达上一阶段的用户。",
           "persons of the step before", "上一步的用户", "share", ("stage_{w}",), _funnel_rates, ALL_WINDOWS),
    Metric("flow", "flow", "Flow between stages", "阶段流转",
           "Persons by their stage 30 days before the report date and at it (each the highest of 30 days).",
           "按报表日前 30 天所处阶段与报表日所处阶段（均取 30 天内最高）统计的用户数。",
           PERSONS, PERSONS_ZH, "persons", ("stage_before", "stage_30d"), _flow, THIRTY, better=""),
    Metric("flow_rates", "flow", "Rates of flow", "阶段流转率",
           "Of the persons in a stage 30 days before, the share in each stage at the report date.",
           "前 30 天处于某阶段的用户在报表日所处各阶段的比例。",
           "persons of the stage before", "此前处于该阶段的用户", "share", ("stage_before", "stage_30d"), _flow_rates,
           THIRTY, better=""),
)  # fmt: skip
