"""Metrics of the asset overview and the composition: how many persons, from which relation, in which stage.

Every count is of distinct persons: relations overlap, so their sum is not the total.
"""

from collections.abc import Callable
from functools import partial

from cleanroom.insight.linear import Value
from cleanroom.insight.metric import ALL_WINDOWS, NOT_KNOWN, RECENT, Metric, Series, View
from cleanroom.insight.tables import ATTRIBUTES, CHANNELS, IMPORTED, RELATIONS

STAGES = ("none", "visit", "interact", "pay", "repeat")
PERSONS, PERSONS_ZH = "all persons of the dataset, each once", "数据集内去重后的全部用户"

_NAMED = {
    "gender": ("gender", "性别"),
    "age_band": ("age band", "年龄段"),
    "city_tier": ("city tier", "城市等级"),
    "member_level": ("member level", "会员等级"),
    "device": ("device", "设备"),
    "credit": ("credit tier", "信用等级"),
    "province": ("province", "省份"),
    "city": ("city", "城市"),
    "value_band": ("lifetime value band", "生命周期价值段"),
}


def recent(view: View, column: str, **where: tuple[str, ...]) -> Value:
    """Persons whose last event of a column lies in the window."""
    return view.persons(**where, **{column: RECENT[view.window]})


def shares(view: View, column: str, without: tuple[str, ...] = ("unknown",), **where: tuple[str, ...]) -> Series:
    """The distribution of a column over its labels but `without`."""
    labels = view.labels(column, without)
    base = view.count(**where, **{column: labels})
    return {label: view.share(view.count(**where, **{column: (label,)}), base) for label in labels}


def _payers_share(view: View) -> Value:
    return view.share(view.count(paid_last=RECENT[view.window]), view.count())


def _stages(view: View) -> Series:
    return {label: view.persons(**{view.stage: (label,)}) for label in view.labels(view.stage, NOT_KNOWN)}


def _flags(names: tuple[str, ...], view: View) -> Series:
    """Persons by relation or channel; those without a column are left out."""
    return {name: view.persons(**{name: ("yes",)}) for name in names if name in view.tables.columns}


def _flag_shares(view: View) -> Series:
    there = [name for name in RELATIONS if name in view.tables.columns]
    return {name: view.share(view.count(**{name: ("yes",)}), view.count()) for name in there}


def _overview(
    name: str, names: tuple[str, str], texts: tuple[str, str], needs: tuple[str, ...],
    formula: Callable[[View], Value | Series], windows: tuple[int, ...] = (),
) -> Metric:  # fmt: skip
    return Metric(name, "overview", *names, *texts, PERSONS, PERSONS_ZH, "persons", needs, formula, windows)


def _composition(column: str) -> Metric:
    en, zh = _NAMED[column]
    return Metric(
        f"by_{column}", "composition", f"Composition by {en}", f"{zh}构成",
        f"Share of each {en} among persons whose {en} is known.", f"各{zh}占该项已知用户的比例。",
        f"persons whose {en} is known", f"{zh}已知的用户", "share", (column,),
        partial(shares, column=column), better="",
    )  # fmt: skip


METRICS = (
    _overview("total_users", ("Total users", "用户总数"),
              ("Distinct persons of the dataset at the report date, not the sum of the relations.",
               "报表日数据集内去重后的用户数，不是各关系用户数之和。"),
              (), lambda view: view.persons()),
    _overview("imported_users", ("Imported users", "仅导入用户数"),
              ("Distinct persons who are known only by upload.", "仅通过上传得知的去重用户数。"),
              (IMPORTED,), lambda view: view.persons(imported=("yes",))),
    _overview("new_users", ("New users", "新增用户数"),
              ("Persons whose first event lies in the window.", "首次行为落在窗口内的用户数。"),
              ("first_seen",), partial(recent, column="first_seen"), ALL_WINDOWS),
    _overview("visitors", ("Visitors", "访问用户数"),
              ("Persons who visited at least once in the window, each once.", "窗口内至少访问一次的去重用户数。"),
              ("visited_last",), partial(recent, column="visited_last"), ALL_WINDOWS),
    _overview("interactors", ("Interacting users", "互动用户数"),
              ("Persons who interacted at least once in the window, each once. An exposure, a delivery or a bare visit "
               "is no interaction.", "窗口内至少互动一次的去重用户数。曝光、送达与单纯访问不算互动。"),
              ("interacted_last",), partial(recent, column="interacted_last"), ALL_WINDOWS),
    _overview("payers", ("Paying users", "支付用户数"),
              ("Persons who paid at least once in the window, each once.", "窗口内至少支付一次的去重用户数。"),
              ("paid_last",), partial(recent, column="paid_last"), ALL_WINDOWS),
    Metric("payers_share", "overview", "Payers' share", "支付用户占比",
           "Persons who paid in the window / all persons.", "窗口内支付用户 / 用户总数。",
           PERSONS, PERSONS_ZH, "share", ("paid_last",), _payers_share, ALL_WINDOWS),
    _overview("new_payers", ("New payers", "新增支付用户数"),
              ("Persons who paid in the window and had paid nothing in the 365 days before that payment.",
               "窗口内支付、且该次支付前 365 天内无支付的用户数。"),
              ("new_payer",), partial(recent, column="new_payer"), (1, 7, 30)),
    _overview("stages", ("Persons by stage", "各阶段用户数"),
              ("Persons by the highest stage that they reached in the window: none, visit, interact, pay, repeat (paid "
               "on two days or more).",
               "按窗口内到达的最高阶段统计的用户数：无、访问、互动、支付、复购（至少两天有支付）。"),
              ("stage_{w}",), _stages, ALL_WINDOWS),
    _overview("relation_users", ("Persons by relation object", "各关系用户数"),
              ("Distinct persons of each relation object; a person may be in several.",
               "各关系对象的去重用户数；一人可属于多个关系。"), (), partial(_flags, RELATIONS)),
    _overview("channel_users", ("Persons by channel of reach", "各触达渠道用户数"),
              ("Distinct persons of each usable channel: live follow, subscription quota above 0, open card, current "
               "group member.", "各可用触达渠道的去重用户数：直播关注、订阅额度大于 0、会员卡有效、当前在群。"),
              (), partial(_flags, CHANNELS)),
    Metric("relation_shares", "composition", "Composition by relation object", "关系构成",
           "Persons of each relation object / all persons. Relations overlap: the shares add up to more than 1.",
           "各关系对象用户 / 用户总数。关系有重叠，占比之和可大于 1。",
           PERSONS, PERSONS_ZH, "share", (), _flag_shares, better=""),
    Metric("stage_shares", "composition", "Composition by stage", "阶段构成",
           "Share of each stage among all persons.", "各阶段用户占全部用户的比例。",
           PERSONS, PERSONS_ZH, "share", ("stage_{w}",), lambda view: shares(view, view.stage), ALL_WINDOWS, better=""),
    *(_composition(column) for column in (*ATTRIBUTES, "value_band")),
)  # fmt: skip

TREND = {"day": 1, "week": 7, "month": 30}
"""Periods of the trend, and the window in which each counts a person once. A month is the 30 days up to its last."""
