"""The standard columns of one user, slowly and in plain Python: the judge of the fold. Times are in Shanghai here."""

import datetime as dt
from typing import Any

Event = dict[str, Any]
"""event, time (UTC), and the columns that it carries."""
RELATIONS = ("mini_program", "life_account", "live", "coupon", "payment", "fan_group", "member_card", "message",
             "promotion", "lead")  # fmt: skip
INTERACTIONS = {
    "mini-program": ("favourite", "search-direct", "subscribe"),
    "life-account": ("follow", "read", "like", "comment"),
    "live": ("comment", "click-goods"),
    "coupon": ("claim", "redeem"),
    "fan-group": ("join", "message", "share"),
    "member-card": ("open", "goal-joined", "goal-fulfilled"),
    "message": ("opened",),
    "promotion": ("click", "points-spent", "sign-up"),
    "lead": ("submitted",),
}
VISITS = ("mini-program.visit", "live.watch")
CELLS = ((1, "1 day"), (7, "2-7 days"), (30, "8-30 days"), (90, "31-90 days"))
REDEEM = ((900, "15 min"), (3600, "1 hour"), (86400, "1 day"), (604800, "7 days"))


def interacts(name: str) -> bool:
    relation, _, what = name.partition(".")
    return what in INTERACTIONS.get(relation, ())


def bucket(value: float, edges: tuple[tuple[float, str], ...], top: str) -> str:
    return next((label for edge, label in edges if value < edge), top)


def recency(days: list[int]) -> str:
    return bucket(min(days), CELLS, "91+ days") if days else "never"


def stage(paid: list[int], interacted: list[int], visited: list[int], low: int, high: int) -> str:
    def within(days: list[int]) -> set[int]:
        return {day for day in days if low <= day < high}

    if within(paid):
        return "repeat" if len(within(paid)) > 1 else "pay"
    return "interact" if within(interacted) else "visit" if within(visited) else "none"


def returned(days: list[int], week: int) -> str:
    if not days or max(days) > 62:
        return "none"
    first, last = max(days) - 7 * week, max(days) - 7 * week - 6
    return "early" if last < 0 else "yes" if any(last <= day <= first for day in days) else "no"


def cohort(days: list[int]) -> str:
    return "never" if not days else f"w{max(days) // 7}" if max(days) <= 62 else "older"


def is_on(events: list[Event], start: str, end: str) -> bool:
    """Of two at the same time the end wins."""
    of = sorted((one["time"], one["event"] == end) for one in events if one["event"] in (start, end))
    return bool(of) and not of[-1][1]


def fold(events: list[Event], as_of: dt.date) -> dict[str, Any]:
    """What the columns say of one user with at least one event on or before `as_of`; RFM is left out."""
    zone = dt.timedelta(hours=8)
    events = [{**one, "back": (as_of - (one["time"] + zone).date()).days} for one in events]
    events = [one for one in events if one["back"] >= 0]

    def of(*names: str, days: int = 10**9) -> list[Event]:
        return [one for one in events if one["event"] in names and one["back"] < days]

    def back(some: list[Event]) -> list[int]:
        return [one["back"] for one in some]

    visited, paid = back(of(*VISITS)), back(of("payment.pay"))
    interacted = [one["back"] for one in events if interacts(one["event"])]

    def money(days: int) -> int:
        amounts = [[one.get("amount") or 0 for one in of(f"payment.{what}", days=days)] for what in ("pay", "refund")]
        return sum(amounts[0]) - sum(amounts[1])

    row = {name: any(one["event"].split(".")[0].replace("-", "_") == name for one in events) for name in RELATIONS}
    row |= channels(events)
    row |= {f"stage_{days}d": stage(paid, interacted, visited, 0, days) for days in (1, 7, 30, 90)}
    row["stage_before"] = stage(paid, interacted, visited, 30, 60)
    row |= {"visited_last": recency(visited), "interacted_last": recency(interacted), "paid_last": recency(paid)}
    row["first_seen"] = bucket(max(back(events)), CELLS, "91+ days")
    month = [day for day in interacted if day < 30]
    soon = any(0 <= day - pay <= 7 for day in month for pay in paid)
    row["converted_30d"] = "none" if not month else "yes" if soon else "no"
    recent = [day for day in paid if day < 30]
    new = recent and not any(max(recent) < day <= max(recent) + 365 for day in paid)
    row["new_payer"] = bucket(max(recent), CELLS, "") if new else "no"
    visits = len(of(*VISITS, days=30))
    row["visits_30d"] = bucket(visits, ((1, "0"), (2, "1"), (4, "2-3"), (8, "4-7"), (16, "8-15")), "16+")
    seconds = sum(one.get("seconds") or 0 for one in of(*VISITS, days=30))
    row["seconds_30d"] = bucket(seconds, ((1, "0"), (60, "1-59"), (300, "60-299"), (1800, "300-1799")), "1800+")
    spend = ((1, "0"), (5000, "<50"), (20000, "50-199"), (50000, "200-499"), (200000, "500-1999"))
    row["spend_30d"] = bucket(money(30), spend, "2000+")
    row["pay_days_90d"] = bucket(len({day for day in paid if day < 90}),
                                 ((1, "0"), (2, "1"), (3, "2"), (6, "3-5")), "6+")  # fmt: skip
    row |= {"cohort": cohort(visited), "pay_cohort": cohort(paid)}
    row |= {f"revisit_w{week}": returned(visited, week) for week in range(1, 5)}
    row |= {f"repurchase_w{week}": returned(paid, week) for week in range(1, 5)}
    value = ((1, "0"), (10000, "<100"), (50000, "100-499"), (200000, "500-1999"), (1000000, "2000-9999"))
    row["value_band"] = bucket(money(10**9), value, "10000+")
    row |= coupons(of("coupon.claim", days=30), of("coupon.redeem", days=30))
    row["message_30d"] = next(
        (what for what in ("opened", "delivered", "sent") if of(f"message.{what}", days=30)), "none"
    )
    row |= {"net_paid_30d": money(30), "orders_30d": 100 * len(of("payment.pay", days=30))}
    for name in ("earned", "spent"):
        points = sum(one.get("points") or 0 for one in of(f"promotion.points-{name}", days=30))
        row[f"points_{name}_30d"] = 100 * points
    row["exposures_30d"] = 100 * len(of("promotion.exposure", days=30))
    return {name: ("yes" if value else "no") if isinstance(value, bool) else value for name, value in row.items()}


def channels(events: list[Event]) -> dict[str, bool]:
    quota = [one for one in events if one["event"] == "mini-program.subscribe"]
    ends = [one for one in events if one["event"] == "mini-program.subscribe-end"]
    once = [one["time"] for one in quota if one.get("quota") == "once"]
    used = [one for one in events if one["event"] == "message.sent" and one.get("about") == "subscription"]
    lasting = is_on([one for one in quota if one.get("quota") == "lasting"] + ends, "mini-program.subscribe",
                    "mini-program.subscribe-end")  # fmt: skip
    single = len(once) > len(used) and max(once) > max((one["time"] for one in ends), default=dt.datetime.min)
    found = {
        "subscribed": lasting or single,
        "card_open": is_on(events, "member-card.open", "member-card.close"),
        "group_member": is_on(events, "fan-group.join", "fan-group.leave"),
        "life_follow": is_on(events, "life-account.follow", "life-account.unfollow"),
    }
    return {"reach": any(found.values()), **found}


def coupons(claims: list[Event], redeemed: list[Event]) -> dict[str, str]:
    """From the first claim to the first redemption; where that lies before the claim, to the last."""
    if not claims:
        return {"coupon_30d": "none", "redeem_time": "none"}
    claim, times = min(one["time"] for one in claims), sorted(one["time"] for one in redeemed)
    after = [time for time in (times[:1] + times[-1:]) if time >= claim]
    if not after:
        return {"coupon_30d": "claimed", "redeem_time": "open"}
    seconds = (after[0] - claim).total_seconds()
    return {"coupon_30d": "redeemed", "redeem_time": next((name for most, name in REDEEM if seconds <= most), "later")}
