"""The eight values of C-CARE, and what stands beside them.

The model is public, its formulas are not: these are ours (docs/metrics.md), each with a window and a base.
"""

from functools import partial

from cleanroom.insight.linear import Linear, Value, amount, ratio, withheld
from cleanroom.insight.metric import ALL_WINDOWS, RECENT, THIRTY, Metric, View
from cleanroom.insight.themes.overview import PERSONS, PERSONS_ZH, STAGES
from cleanroom.lang import t

_REACH, _CONSENT = {"reach": ("yes",)}, {"consent": ("yes",)}


def _reachable(view: View) -> Value:
    return view.persons(**_REACH, **_CONSENT)


def _reachable_share(view: View) -> Value:
    return view.share(view.count(**_REACH, **_CONSENT), view.count())


def _interactive(view: View) -> Value:
    active = view.count(**_REACH, **_CONSENT, interacted_last=RECENT[view.window])
    return view.share(active, view.count(**_REACH, **_CONSENT))


def _safe(view: View) -> Value:
    return view.share(view.count(**_REACH, **_CONSENT), view.count(**_REACH))


def _moved(view: View, *, up: bool) -> Value:
    moved, base = Linear(0.0), Linear(0.0)
    there = [stage for stage in STAGES if stage in view.labels("stage_before")]
    for before in there:
        place = STAGES.index(before)
        others = STAGES[place + 1 :] if up else STAGES[:place]
        if others:
            moved += view.count(stage_before=(before,), stage_30d=others)
            base += view.count(stage_before=(before,), stage_30d=STAGES)
    return view.share(moved, base)


def _convertible(view: View) -> Value:
    bought = view.count(converted_30d=("yes",))
    return view.share(bought, bought + view.count(converted_30d=("no",)))


def _enhanceable(view: View) -> Value:
    again = view.count(**{view.stage: ("repeat",)})
    return view.share(again, again + view.count(**{view.stage: ("pay",)}))


def _identified(view: View) -> Value:
    if view.matched is None:
        return Value(None, reason=t("the room has no plan that says how many persons match"))
    return ratio(view.matched, view.count(), 0.0, 1.0)


def _identified_crm(view: View) -> Value:
    if view.matched is None:
        return Value(None, reason=t("the room has no plan that says how many persons match"))
    if view.crm is None:
        return Value(None, reason=t("only the merchant's node knows its valid distinct persons"))
    return ratio(view.matched, Linear(float(view.crm)), 0.0, 1.0)


def _per_new_payer(view: View) -> Value:
    if view.spent is None:
        return Value(None, reason=t("no cost was entered: cleanroom insight cost add"))
    new = view.count(new_payer=RECENT[30])
    return withheld(view.tables, new) or ratio(Linear(view.spent.cost), new, 0.0)


def _roas(view: View) -> Value:
    if view.spent is None or not view.spent.cost or view.spent.attributed is None:
        return Value(None, reason=t("no cost with attributed revenue was entered"))
    return amount(Linear(view.spent.attributed / view.spent.cost))


def _roi(view: View) -> Value:
    spent = view.spent
    if spent is None or not spent.cost or spent.incremental is None or spent.margin is None:
        return Value(None, reason=t("no cost with incremental revenue and margin was entered"))
    return amount(Linear((spent.incremental * spent.margin - spent.cost) / spent.cost))


def _points(name: str, view: View) -> Value:
    return amount(view.total(name), lowest=0.0)


def _exposures_per_point(view: View) -> Value:
    return ratio(view.total("exposures_30d"), view.total("points_spent_30d"), 0.0)


_RULE = ("persons with a usable channel and valid consent", "有可用触达渠道且授权有效的用户")

METRICS = (
    Metric("reachable", "care", "Reachable", "可触达",
           "Persons with a usable channel at the report date (live follow, subscription quota above 0, open card, "
           "current group member) who did not opt out and whose consent is valid.",
           "报表日有可用触达渠道（直播关注、订阅额度大于 0、会员卡有效、当前在群）、未退订且授权有效的用户数。",
           PERSONS, PERSONS_ZH, "persons", ("reach", "consent"), _reachable),
    Metric("reachable_share", "care", "Reachable share", "可触达率",
           "Reachable persons / all persons.", "可触达用户 / 用户总数。",
           PERSONS, PERSONS_ZH, "share", ("reach", "consent"), _reachable_share),
    Metric("identifiable", "care", "Identifiable", "可识别",
           "Persons in the match / private-domain persons. The match is the noised one of the room's plan.",
           "碰撞用户 / 私域用户。碰撞用户数取自测算快照的加噪总数。",
           PERSONS, PERSONS_ZH, "share", (), _identified),
    Metric("match_rate", "care", "Match rate of the CRM", "匹配率",
           "Persons in the match / valid distinct persons of the merchant's CRM.", "碰撞用户 / 商家 CRM 有效去重用户。",
           "valid distinct persons of the CRM", "CRM 有效去重用户", "share", (), _identified_crm),
    Metric("interactive", "care", "Interactive", "可互动",
           "Reachable persons who interacted in the window / reachable persons. An exposure, a delivery or a bare "
           "visit is no interaction.", "窗口内有互动的可触达用户 / 可触达用户。曝光、送达与单纯访问不算互动。",
           *_RULE, "share", ("reach", "consent", "interacted_last"), _interactive, ALL_WINDOWS),
    Metric("growing", "care", "Growing", "可增值",
           "Persons whose stage (the highest of 30 days: visit, interact, pay, repeat) is higher than 30 days before / "
           "persons who were then below the top.",
           "阶段（30 天内最高：访问、互动、支付、复购）高于 30 天前的用户 / 30 天前未达最高阶段的用户。",
           "persons below the top stage 30 days before", "30 天前未达最高阶段的用户", "share",
           ("stage_before", "stage_30d"), lambda view: _moved(view, up=True), THIRTY),
    Metric("fallen", "care", "Fallen", "阶段下降率",
           "Persons whose stage is lower than 30 days before / persons who were then in any stage.",
           "阶段低于 30 天前的用户 / 30 天前处于任一阶段的用户。",
           "persons in any stage 30 days before", "30 天前处于任一阶段的用户", "share",
           ("stage_before", "stage_30d"), lambda view: _moved(view, up=False), THIRTY, better="low"),
    Metric("convertible", "care", "Convertible", "可转化",
           "Persons who paid within 7 days after an interaction / persons who interacted.",
           "互动后 7 天内支付的用户 / 有互动的用户。",
           "persons who interacted in the last 30 days", "近 30 天有互动的用户", "share",
           ("converted_30d",), _convertible, THIRTY),
    Metric("enhanceable", "care", "Enhanceable", "可增强",
           "Persons who paid on two days or more / persons who paid.", "至少两天有支付的用户 / 支付用户。",
           "persons who paid in the window", "窗口内支付用户", "share", ("stage_{w}",), _enhanceable, (7, 30, 90)),
    Metric("safe", "care", "Safe", "可安心",
           "Persons with a usable channel and valid consent / persons with a usable channel.",
           "有可用触达渠道且授权有效的用户 / 有可用触达渠道的用户。",
           "persons with a usable channel", "有可用触达渠道的用户", "share", ("reach", "consent"), _safe),
    Metric("cost_per_new_payer", "care", "Efficient: cost per new payer", "可提效：新增支付用户成本",
           "(media + merchant-borne coupons + priced points) of the last 30 days / new payers of the last 30 days.",
           "近 30 天（媒介 + 商家承担的优惠券 + 计价积分）/ 近 30 天新增支付用户。",
           "new payers", "新增支付用户", "money", ("new_payer",), _per_new_payer, THIRTY, better="low"),
    Metric("roi", "care", "ROI", "投资回报率",
           "(incremental net revenue × margin − cost) / cost. Incremental: of a campaign's randomised arms.",
           "（增量净收入 × 毛利率 − 成本）/ 成本。增量取自活动的随机对照。",
           "cost of the last 30 days", "近 30 天成本", "ratio", (), _roi, THIRTY),
    Metric("roas", "care", "ROAS", "广告支出回报",
           "Attributed revenue / cost.", "归因收入 / 成本。",
           "cost of the last 30 days", "近 30 天成本", "ratio", (), _roas, THIRTY),
    Metric("points_earned", "care", "Incentive points earned", "获得激励积分",
           "Incentive points earned in the last 30 days, by all persons.", "近 30 天获得的激励积分总数。",
           PERSONS, PERSONS_ZH, "points", ("points_earned_30d",), partial(_points, "points_earned_30d"), THIRTY),
    Metric("points_spent", "care", "Incentive points spent", "消耗激励积分",
           "Incentive points spent in the last 30 days, by all persons.", "近 30 天消耗的激励积分总数。",
           PERSONS, PERSONS_ZH, "points", ("points_spent_30d",), partial(_points, "points_spent_30d"), THIRTY,
           better=""),
    Metric("exposures_per_point", "care", "Exposures per point", "单积分曝光",
           "Exposures / incentive points spent, both of the last 30 days.", "近 30 天曝光次数 / 消耗激励积分。",
           "points spent", "消耗积分", "ratio", ("exposures_30d", "points_spent_30d"), _exposures_per_point, THIRTY),
)  # fmt: skip
