"""The standard columns of a platform's users: their names, the labels of their cells in order, and what they mean.

Boards, crowds and measurements know columns by these names; a dataset may lack some. Nothing is read here.
"""

from dataclasses import dataclass
from typing import Literal

YES_NO = ("no", "yes")
STAGES = ("none", "visit", "interact", "pay", "repeat")
RECENCY = ("1 day", "2-7 days", "8-30 days", "31-90 days", "91+ days", "never")
WEEKS = ("w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "older", "never")
RETURNED = ("no", "yes", "early", "none")
SPEND = ("0", "<50", "50-199", "200-499", "500-1999", "2000+")
RFM = ("none", "HHH", "HLH", "LHH", "LLH", "HHL", "HLL", "LHL", "LLL")
RELATIONS = {
    "mini_program": ("mini-program",),
    "life_account": ("life-account",),
    "live": ("live",),
    "coupon": ("coupon",),
    "payment": ("payment",),
    "fan_group": ("fan-group",),
    "member_card": ("member-card",),
    "message": ("message",),
    "promotion": ("promotion",),
    "lead": ("lead",),
}
"""Flag → the relations of `event_types` whose events, ever, raise it."""


@dataclass(frozen=True)
class StandardColumn:
    """name; labels: of its cells, in the order of their codes, empty for an amount; meaning: one English sentence;
    kind: as a contract has it. Amounts leave in minor units (hundredths)."""

    name: str
    labels: tuple[str, ...]
    meaning: str
    kind: Literal["category", "amount"] = "category"


def _categories() -> tuple[StandardColumn, ...]:
    flags = [(name, YES_NO, f"Had an event of {name}, ever.") for name in RELATIONS]
    weeks = [1, 2, 3, 4]
    rows = [
        ("imported", YES_NO, "Known only from the users' table: no event on or before the report date."),
        *flags,
        ("reach", YES_NO, "Has a usable channel (one of the next four) and did not opt out."),
        ("subscribed", YES_NO, "A lasting subscription that has not ended, or a quota of single messages above 0."),
        ("card_open", YES_NO, "The member card was opened, and not closed since."),
        ("group_member", YES_NO, "Joined the fan group, and did not leave since."),
        ("life_follow", YES_NO, "Follows the life account."),
        ("consent", YES_NO, "Consent as the users' table says; unknown where it says nothing."),
        *(
            (f"stage_{days}d", STAGES, f"Highest stage in {days} days: repeat is paid on two days or more.")
            for days in (1, 7, 30, 90)
        ),
        ("stage_before", STAGES, "As stage_30d, 30 days before the report date."),
        ("visited_last", RECENCY, "Since the last visit."),
        ("interacted_last", RECENCY, "Since the last interaction."),
        ("paid_last", RECENCY, "Since the last payment."),
        ("first_seen", RECENCY, "Since the first event."),
        ("converted_30d", ("none", "no", "yes"), "Interacted in 30 days; paid the same day or within 7 days after."),
        (
            "new_payer",
            ("no", "1 day", "2-7 days", "8-30 days"),
            "Since the first payment of the last 30 days, where none lies in the 365 days before it.",
        ),
        ("visits_30d", ("0", "1", "2-3", "4-7", "8-15", "16+"), "Visits in 30 days."),
        ("seconds_30d", ("0", "1-59", "60-299", "300-1799", "1800+"), "Seconds of visits and watching in 30 days."),
        ("spend_30d", SPEND, "Net paid in 30 days, in whole currency units."),
        ("pay_days_90d", ("0", "1", "2", "3-5", "6+"), "Days with a payment in 90 days."),
        ("cohort", WEEKS, "Week of the first visit, counted back from the report date (w0: its last 7 days)."),
        *((f"revisit_w{week}", RETURNED, f"Visited in week {week} after the first visit.") for week in weeks),
        ("pay_cohort", WEEKS, "Week of the first payment, counted likewise."),
        *((f"repurchase_w{week}", RETURNED, f"Paid in week {week} after the first payment.") for week in weeks),
        ("rfm", RFM, "RFM class of payers by 365 days: recency, payment days, net paid; none: did not pay."),
        ("value_band", ("0", "<100", "100-499", "500-1999", "2000-9999", "10000+"), "Net paid ever, in whole units."),
        ("message_30d", ("none", "sent", "delivered", "opened"), "The furthest that a message got in 30 days."),
        ("coupon_30d", ("none", "claimed", "redeemed"), "Claimed a coupon in 30 days, and redeemed one since."),
        (
            "redeem_time",
            ("none", "15 min", "1 hour", "1 day", "7 days", "later", "open"),
            "From the first claim of 30 days to a redemption; open: not redeemed.",
        ),
    ]
    return tuple(StandardColumn(*row) for row in rows)


CATEGORIES = _categories()
AMOUNTS = (
    StandardColumn("net_paid_30d", (), "Payments less refunds in 30 days.", "amount"),
    StandardColumn("orders_30d", (), "Payments in 30 days; one is 1.00.", "amount"),
    StandardColumn("points_earned_30d", (), "Points earned in 30 days; one is 1.00.", "amount"),
    StandardColumn("points_spent_30d", (), "Points spent in 30 days; one is 1.00.", "amount"),
    StandardColumn("exposures_30d", (), "Exposures of promotions in 30 days; one is 1.00.", "amount"),
)
ATTRIBUTES = ("gender", "age_band", "city_tier", "province", "city", "member_level", "device", "credit")
"""Taken from the users' table as they are; member_level and credit also from events, where it lacks them."""
ARM_SLOTS = ("arm_1", "arm_2", "arm_3", "arm_4")
"""Of campaigns, from the users' table: outside, treated, holdout."""
MOST_CAMPAIGNS = 4
STANDARD: dict[str, StandardColumn] = {one.name: one for one in (*CATEGORIES, *AMOUNTS)}
