"""Metrics of retention, coupons, messages and worth: who came back, what was redeemed, what payers are worth."""

from functools import partial

from cleanroom.insight.linear import Linear, Value, amount, ratio
from cleanroom.insight.metric import NEVER, NOT_KNOWN, THIRTY, Metric, Series, View
from cleanroom.insight.themes.overview import shares
from cleanroom.lang import t

MINUTES = {"15 min": 15, "1 hour": 60, "1 day": 1440, "7 days": 10080}
"""Cells of the time from claim to redemption, by their upper edge; 'later' has none, 'open' is not redeemed yet."""
WEEKS = range(1, 5)
_NOT_A_WEEK = ("none", NEVER, *NOT_KNOWN)


def _cohorts(cohort: str, back: str, view: View) -> Series:
    """By cohort and week: who came back / all of the cohort. A week that is not over yet is left out."""
    found: dict[str, Value] = {}
    for label in view.labels(cohort, _NOT_A_WEEK):
        for week in WEEKS:
            yes, base = _came_back(view, cohort, f"{back}{week}", (label,))
            if base.value or view.tables.sigma:
                found[f"{label} +{week}"] = view.share(yes, base)
    return found


def _pooled(cohort: str, back: str, view: View) -> Series:
    labels = view.labels(cohort, _NOT_A_WEEK)
    return {f"+{week}": view.share(*_came_back(view, cohort, f"{back}{week}", labels)) for week in WEEKS}


def _came_back(view: View, cohort: str, column: str, labels: tuple[str, ...]) -> tuple[Linear, Linear]:
    yes = view.count(**{cohort: labels, column: ("yes",)})
    return yes, yes + view.count(**{cohort: labels, column: ("no",)})


def _redemption(view: View) -> Value:
    redeemed = view.count(coupon_30d=("redeemed",))
    value = view.share(redeemed, redeemed + view.count(coupon_30d=("claimed",)))
    still = "open" in view.tables.columns.get("redeem_time", ())
    return value.marked("immature") if value.value is not None and still and _open(view) else value


def _open(view: View) -> bool:
    found = view.persons(redeem_time=("open",))
    return bool(found.value)


def _median(view: View) -> Value:
    """Where half of the claims are redeemed: the cell's upper edge, and the edges where the share's interval is."""
    labels = view.labels("redeem_time", ("none", *NOT_KNOWN))
    base = view.count(redeem_time=labels)
    so_far: list[str] = []
    edges: dict[str, float | None] = {"value": None, "low": None, "high": None}
    for label, minutes in MINUTES.items():
        so_far.append(label)
        reached = view.share(view.count(redeem_time=tuple(so_far)), base)
        if reached.value is None or reached.low is None or reached.high is None:
            return reached
        for name, part in (("value", reached.value), ("low", reached.high), ("high", reached.low)):
            if part >= 0.5 and edges[name] is None:
                edges[name] = float(minutes)
    if edges["value"] is None:
        return Value(None, reason=t("fewer than half were redeemed within 7 days"))
    found = Value(edges["value"], edges["low"], edges["high"])
    return found.marked("immature") if "open" in labels and _open(view) else found


def _redeemed_by(view: View) -> Series:
    labels = view.labels("redeem_time", ("none", *NOT_KNOWN))
    base, so_far = view.count(redeem_time=labels), Linear(0.0)
    found: dict[str, Value] = {}
    for label in MINUTES:
        so_far += view.count(redeem_time=(label,))
        found[label] = view.share(so_far, base)
    return found


def _order_value(view: View) -> Value:
    return ratio(view.total("net_paid_30d"), view.total("orders_30d"), 0.0)


def _message(part: tuple[str, ...], base: tuple[str, ...], view: View) -> Value:
    return view.share(view.count(message_30d=part), view.count(message_30d=base))


def _retention(
    name: str, names: tuple[str, str], texts: tuple[str, str], cohort: str, back: str, *, pooled: bool
) -> Metric:
    formula = partial(_pooled if pooled else _cohorts, cohort, back)
    return Metric(
        name, "retention", *names, *texts, "persons of the cohort whose week is over", "该周已结束的同期群用户",
        "share", (cohort, *(f"{back}{week}" for week in WEEKS)), formula,
    )  # fmt: skip


_CLAIMED, _CLAIMED_ZH = "persons who claimed a coupon in the last 30 days", "近 30 天领券用户"
_SENT, _SENT_ZH = "persons to whom a message was sent in the last 30 days", "近 30 天被发送消息的用户"

METRICS = (
    _retention("revisit_cohorts", ("Revisit by cohort", "同期群回访率"),
               ("By week of the first visit (w0: this week): the share who visited again 1 to 4 weeks after.",
                "按首次访问周（w0 为本周）分组，第 1 至 4 周再次访问的比例。"), "cohort", "revisit_w", pooled=False),
    _retention("revisit_rate", ("Revisit rate", "回访率"),
               ("The share who visited again 1 to 4 weeks after the first visit, over all cohorts whose week is over.",
                "首次访问后第 1 至 4 周再次访问的比例，合并所有该周已结束的同期群。"),
               "cohort", "revisit_w", pooled=True),
    _retention("repurchase_cohorts", ("Repurchase by cohort", "同期群复购率"),
               ("By week of the first payment: the share who paid again 1 to 4 weeks after.",
                "按首次支付周分组，第 1 至 4 周再次支付的比例。"), "pay_cohort", "repurchase_w", pooled=False),
    _retention("repurchase_rate", ("Repurchase rate", "复购率"),
               ("The share who paid again 1 to 4 weeks after the first payment, over all cohorts whose week is over.",
                "首次支付后第 1 至 4 周再次支付的比例，合并所有该周已结束的同期群。"),
               "pay_cohort", "repurchase_w", pooled=True),
    Metric("redemption_rate", "retention", "Redemption rate", "核销率",
           "Persons who claimed a coupon in the last 30 days and redeemed it by the report date / those who claimed. "
           "Immature while claims are open that may yet be redeemed.",
           "近 30 天领券且在报表日前核销的用户 / 领券用户。仍有未到期未核销的券时标为未成熟。",
           _CLAIMED, _CLAIMED_ZH, "share", ("coupon_30d",), _redemption, THIRTY),
    Metric("redemption_time", "retention", "Median time to redemption", "核销时长中位数",
           "The time within which half of the claims were redeemed, as the upper edge of its cell (15 minutes, 1 hour, "
           "1 day, 7 days); claims not redeemed are censored and count as later.",
           "半数领券被核销所需的时间，取所在档的上沿（15 分钟、1 小时、1 天、7 天）；未核销者按删失处理，计为更晚。",
           _CLAIMED, _CLAIMED_ZH, "minutes", ("redeem_time",), _median, THIRTY, better="low"),
    Metric("redeemed_within", "retention", "Redeemed within", "各时长内核销率",
           "Share of the claims redeemed within 15 minutes, 1 hour, 1 day and 7 days.",
           "15 分钟、1 小时、1 天、7 天内核销的比例。",
           _CLAIMED, _CLAIMED_ZH, "share", ("redeem_time",), _redeemed_by, THIRTY),
    Metric("message_delivery_rate", "retention", "Delivery rate of messages", "消息送达率",
           "Persons to whom a message was delivered / persons to whom one was sent.", "消息送达用户 / 发送用户。",
           _SENT, _SENT_ZH, "share", ("message_30d",),
           partial(_message, ("delivered", "opened"), ("sent", "delivered", "opened")), THIRTY),
    Metric("message_open_rate", "retention", "Open rate of messages", "消息打开率",
           "Persons who opened a message / persons to whom one was delivered.", "打开消息的用户 / 送达用户。",
           "persons to whom a message was delivered", "消息送达用户", "share", ("message_30d",),
           partial(_message, ("opened",), ("delivered", "opened")), THIRTY),
    Metric("rfm_classes", "worth", "RFM classes of payers", "支付用户 RFM 分层",
           "Share of each of the eight classes by recency, frequency and money among payers, high or low against the "
           "mean score.", "支付用户按最近支付、频次、金额相对平均分的高低分为八类，各类占比。",
           "payers", "支付用户", "share", ("rfm",), lambda view: shares(view, "rfm", ("none", *NOT_KNOWN)), better=""),
    Metric("order_value", "worth", "Average order value", "客单价",
           "Net paid / paid orders, both of the last 30 days.", "近 30 天净支付金额 / 支付订单数。",
           "paid orders", "支付订单", "money", ("net_paid_30d", "orders_30d"), _order_value, THIRTY),
    Metric("net_paid", "worth", "Net paid", "净支付金额",
           "Payments less refunds of the last 30 days, each person's cut at the contract's bounds.",
           "近 30 天支付减退款，每人按合约上下限截断。",
           "all persons", "全部用户", "money", ("net_paid_30d",),
           lambda view: amount(view.total("net_paid_30d")), THIRTY),
    Metric("orders", "worth", "Paid orders", "支付订单数",
           "Paid orders of the last 30 days.", "近 30 天支付订单数。",
           "all persons", "全部用户", "orders", ("orders_30d",),
           lambda view: amount(view.total("orders_30d"), 0.0), THIRTY),
)  # fmt: skip
