"""The SQL from a user's state to the code of its cell in each standard column. Only numbers and names of ours.

The order of codes is that of the labels in `columns`.
"""

from collections.abc import Sequence

from connectors.private_domain import columns
from connectors.private_domain.classes import CODE
from connectors.private_domain.state import PAY_WORDS, joined
from connectors.private_domain.users import CARRIED

RFM = ("r_back", "r_days", "r_net")
"""What RFM is told from, over 365 days: days since the last payment, payment days, net paid; null: did not pay."""
EVENT_LEVELS = {"member_level": "level_now", "credit": "tier_now"}
_AMOUNTS = {"net_paid_30d": "net_30", "orders_30d": "orders", "points_earned_30d": "earned",
            "points_spent_30d": "spent", "exposures_30d": "exposures"}  # fmt: skip
_SPEND = (1, 5_000, 20_000, 50_000, 200_000)
_VALUE = (1, 10_000, 50_000, 200_000, 1_000_000)
_LAST_COHORT = 62
"""Days back of the oldest first day in w8; all later days fit into one word of bits."""


def fold() -> str:
    """A row a user of `events` and `users`: u; a small code a category; amounts; RFM; c_… and l_…, codes of texts."""
    codes = {**_channels(), **_stages(), **_recency(), **_buckets(), **_weeks(), **_coupons()}
    listed = [f"({sql})::UTINYINT AS {name}" for name, sql in codes.items()]
    listed += [f"coalesce(TRY_CAST(z_{state} AS BIGINT), 0) AS {name}" for name, state in _AMOUNTS.items()]
    listed += ["CASE WHEN pay_days > 0 THEN paid_at END::INTEGER AS r_back", "pay_days::INTEGER AS r_days"]
    listed += ["CASE WHEN pay_days > 0 THEN coalesce(TRY_CAST(net_365 AS BIGINT), 0) END AS r_net"]
    listed += [f"z_{name}::SMALLINT AS c_{name}" for name in CARRIED]
    listed += [f"coalesce({state} & 1023, 0)::SMALLINT AS l_{name}" for name, state in EVENT_LEVELS.items()]
    listed += ["q_slots::UTINYINT AS slots", "z_near::UTINYINT AS near"]
    columns_ = ",\n  ".join(listed)
    return f"SELECT person AS u,\n  {columns_}\nFROM (SELECT *, {_between()} FROM ({joined()}))"  # noqa: S608 (names of ours)


def _between() -> str:
    """What several columns need."""
    days = " + ".join(f"bit_count(q_p{word})" for word in range(PAY_WORDS))
    single = "z_granted > z_used AND granted_at > coalesce(ended_at, 0)"
    after = (
        "CASE WHEN redeemed_first >= claimed_at THEN redeemed_first "
        "WHEN redeemed_last >= claimed_at THEN redeemed_last END"
    )
    month = f"(q_i0 & {_bits(0, 30)})"
    soon = " | ".join(f"({month} >> {later})" for later in range(8))
    return f"""({days})::INTEGER AS pay_days, ({after}) - claimed_at AS redeemed_in,
  coalesce(lasting & 1 = 0, false) OR coalesce({single}, false) AS is_subscribed,
  coalesce(card & 1 = 0, false) AS is_open, coalesce(member & 1 = 0, false) AS is_member,
  coalesce(follow & 1 = 0, false) AS follows, {month} AS i30, ({soon}) & q_p0 AS converting"""


def _channels() -> dict[str, str]:
    relations = {
        name: sum(1 << code for event, code in CODE.items() if event.partition(".")[0] in meant)
        for name, meant in columns.RELATIONS.items()
    }
    channels = {
        "subscribed": "is_subscribed", "card_open": "is_open", "group_member": "is_member", "life_follow": "follows",
    }  # fmt: skip
    return {
        "imported": "only_there",
        **{name: f"(q_ever & {bits}::UBIGINT) > 0" for name, bits in relations.items()},
        "reach": f"({' OR '.join(channels.values())}) AND z_out = 0",
        **channels,
        "consent": "z_consent",
    }


def _stages() -> dict[str, str]:
    """Payments lie in words of 64 days."""

    def stage(paid: str, interacted: str, visited: str) -> str:
        return (
            f"CASE WHEN {paid} >= 2 THEN 4 WHEN {paid} = 1 THEN 3 WHEN {interacted} THEN 2 WHEN {visited} THEN 1 "
            "ELSE 0 END"
        )

    def within(days: int) -> str:
        further = f" + bit_count(q_p1 & {_bits(0, days - 64)})" if days > 64 else ""
        paid = f"(bit_count(q_p0 & {_bits(0, min(days, 64))}){further})"
        return stage(paid, f"interacted_at < {days}", f"visited_at < {days}")

    before = _bits(30, 60)
    return {
        **{f"stage_{days}d": within(days) for days in (1, 7, 30, 90)},
        "stage_before": stage(f"bit_count(q_p0 & {before})", f"(q_i0 & {before}) > 0", f"(q_v0 & {before}) > 0"),
        "pay_days_90d": _cell(f"(bit_count(q_p0) + bit_count(q_p1 & {_bits(0, 26)}))", (1, 2, 3, 6)),
    }


def _recency() -> dict[str, str]:
    columns_ = {"visited_last": "visited_at", "interacted_last": "interacted_at", "paid_last": "paid_at",
                "first_seen": "seen_first"}  # fmt: skip
    return {name: f"coalesce({_cell(state, (1, 7, 30, 90))}, 5)" for name, state in columns_.items()}


def _buckets() -> dict[str, str]:
    new = f"1 + {_cell('first_paid_30', (1, 7))}"
    return {
        "converted_30d": "CASE WHEN i30 = 0 THEN 0 WHEN converting = 0 THEN 1 ELSE 2 END",
        "new_payer": f"CASE WHEN first_paid_30 IS NOT NULL AND coalesce(paid_before - first_paid_30 > 365, true) "
        f"THEN {new} ELSE 0 END",
        "visits_30d": _cell("z_visits", (1, 2, 4, 8, 16)),
        "seconds_30d": _cell("z_seconds", (1, 60, 300, 1_800)),
        "spend_30d": _cell("z_net_30", _SPEND),
        "value_band": _cell("z_net", _VALUE),
    }


def _weeks() -> dict[str, str]:
    found = {}
    for cohort, later, first, mask in (
        ("cohort", "revisit", "first_visit", "q_v0"),
        ("pay_cohort", "repurchase", "first_paid", "q_p0"),
    ):
        found[cohort] = f"CASE WHEN {first} IS NULL THEN 10 WHEN {first} > {_LAST_COHORT} THEN 9 ELSE {first} // 7 END"
        for week in range(1, 5):
            end = f"({first} - {7 * week + 6})"
            found[f"{later}_w{week}"] = (
                f"CASE WHEN {first} IS NULL OR {first} > {_LAST_COHORT} THEN 3 WHEN {end} < 0 THEN 2 "
                f"WHEN (({mask} >> greatest({end}, 0)::UBIGINT) & 127) > 0 THEN 1 ELSE 0 END"
            )
    return found


def _coupons() -> dict[str, str]:
    within = " ".join(
        f"WHEN redeemed_in <= {seconds * 1_000_000} THEN {code}"
        for code, seconds in enumerate((15 * 60, 3_600, 86_400, 7 * 86_400), 1)
    )
    message = {
        code: sum(1 << CODE[f"message.{name}"] for name in names)
        for code, names in ((3, ("opened",)), (2, ("delivered",)), (1, ("sent",)))
    }
    furthest = " ".join(f"WHEN (q_recent & {bits}::UBIGINT) > 0 THEN {code}" for code, bits in message.items())
    return {
        "message_30d": f"CASE {furthest} ELSE 0 END",
        "coupon_30d": "CASE WHEN claimed_at IS NULL THEN 0 WHEN redeemed_in IS NULL THEN 1 ELSE 2 END",
        "redeem_time": f"CASE WHEN claimed_at IS NULL THEN 0 WHEN redeemed_in IS NULL THEN 6 {within} ELSE 5 END",
    }


def _cell(value: str, edges: Sequence[int]) -> str:
    """Which cell of ascending lower edges a number lies in, 0 below the first; null stays null."""
    cases = " ".join(f"WHEN {value} < {edge} THEN {code}" for code, edge in enumerate(edges))
    return f"CASE WHEN {value} IS NULL THEN NULL {cases} ELSE {len(edges)} END"


def _bits(first: int, end: int) -> str:
    """The days from `first` to before `end` as bits of one word."""
    return f"{(1 << end) - (1 << first)}::UBIGINT"
