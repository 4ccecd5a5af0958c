"""The standard columns' labels in Chinese. Labels of the data themselves (cities, levels) are never translated."""

from cleanroom.insight.tables import ATTRIBUTES
from cleanroom.lang import current

CHINESE = {
    "all": "全部", "none": "无", "visit": "访问", "interact": "互动", "pay": "支付", "repeat": "复购",
    "yes": "是", "no": "否",
    "unknown": "未知", "other": "其他", "1 day": "1 天内", "2-7 days": "2–7 天", "8-30 days": "8–30 天",
    "31-90 days": "31–90 天", "91+ days": "91 天以上", "never": "从未", "early": "未到期", "older": "更早",
    "mini_program": "小程序", "life_account": "生活号", "live": "直播", "coupon": "商家券", "payment": "支付关系",
    "fan_group": "粉丝群", "member_card": "会员卡", "message": "消息", "promotion": "推广", "lead": "留资",
    "subscribed": "订阅消息", "card_open": "会员卡有效", "group_member": "在群", "life_follow": "生活号关注",
    "claimed": "已领取", "redeemed": "已核销", "15 min": "15 分钟", "1 hour": "1 小时", "7 days": "7 天",
    "later": "更晚",
    "open": "未核销", "HHH": "重要价值客户", "HLH": "重要发展客户", "LHH": "重要保持客户", "LLH": "重要挽留客户",
    "HHL": "一般价值客户", "HLL": "一般发展客户", "LHL": "一般保持客户", "LLL": "一般挽留客户",
    "persons": "人数", "share": "占比", "money": "金额", "orders": "订单", "points": "积分",
    "minutes": "分钟", "ratio": "比值",
    "Scale": "规模", "Active": "活跃", "Worth": "价值", "Efficiency": "效率", "reachable": "可触达",
    "identifiable": "可识别",
    "interactive": "可互动", "growing": "可增值", "convertible": "可转化", "enhanceable": "可增强", "safe": "可安心",
    "efficient": "可提效", "previous": "上一期看板", "reference": "参考值", "immature": "未成熟", "restated": "已重述",
    "media": "媒介", "coupons": "优惠券", "attributed": "归因收入", "incremental": "增量收入",
    "day": "日", "week": "周", "month": "月",
}  # fmt: skip
_OF_DATA = tuple(f"by_{name}" for name in ATTRIBUTES)


def said(label: str, metric: str = "") -> str:
    """A label of ours in the current language; one of the data, or of cohorts (w3 +1), as it is."""
    if current() != "zh" or (metric in _OF_DATA and label not in ("unknown", "other")):
        return label
    if " → " in label:
        return " → ".join(CHINESE.get(part, part) for part in label.split(" → "))
    return CHINESE.get(label, label)
