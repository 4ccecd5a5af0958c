"""The SQL that folds events to a state a user.

Three aggregates: over all events, over payments, over the few that open, close or grant something.

Only numbers and names of ours stand in it. The state needs neither the order of events nor distinct counts: days are
bits, and the last of several events is the largest of their times; of two at the same microsecond the end wins.
"""

from connectors.private_domain.classes import CODE, ENDS, INTERACT, MONEY, PAY, VISIT
from connectors.private_domain.users import CARRIED

PAY_WORDS = 6
"""Words of 64 days for payments: 384 days, of which the last 365 count."""
_VISIT, _INTERACT, _PAY = (f"(s & {bit}) > 0" for bit in (VISIT, INTERACT, PAY))
_QUOTA, _END = CODE["mini-program.subscribe"], CODE["mini-program.subscribe-end"]
_RARE = [
    code for name, code in CODE.items()
    if name.partition(".")[0] in ("fan-group", "member-card", "coupon", "credit")
    or name.rpartition("-")[0] in ("promotion.points", "mini-program.subscribe")
    or name in ("mini-program.subscribe", "message.sent", "life-account.follow", "life-account.unfollow")
]  # fmt: skip
"""Events that some aggregate of `_rare` is about."""
_MASKS = ("ever", "recent", "v0", "i0", "slots", *(f"p{word}" for word in range(PAY_WORDS)))
_SUMS = ("visits", "seconds", "exposures", "net_30", "net_365", "net", "orders", "earned", "spent", "granted", "used")
_CLAIM, _REDEEM = CODE["coupon.claim"], CODE["coupon.redeem"]


def joined() -> str:
    """Users of `events` and of `users` with all that is known of each: masks q_…, sums z_… (never null), the rest."""
    return f"""WITH marked AS (
  SELECT *, 1::UBIGINT << (b & 63) AS m, t * 2 + ((s & {ENDS}) // {ENDS}) AS x FROM events
), base AS (
  SELECT u, {_listed(_base())} FROM marked GROUP BY u
), money AS (
  SELECT u AS mu, {_listed(_money())} FROM marked WHERE (s & {PAY | MONEY}) > 0 GROUP BY u
), rare AS (
  SELECT u AS ru, {_listed(_rare())} FROM marked WHERE e IN ({", ".join(map(str, _RARE))}) GROUP BY u
), people AS (
  SELECT u AS pu, {_first_rows()} FROM users GROUP BY u
)
SELECT coalesce(u, pu) AS person, u IS NULL AS only_there, {_known()},
  base.*, money.*, rare.*
FROM base LEFT JOIN money ON u = mu LEFT JOIN rare ON u = ru FULL JOIN people ON u = pu"""  # noqa: S608 (names of ours)


def _base() -> dict[str, str]:
    """What any event may change. b: days back from the report date, so that the last is the least; m: the day's bit."""
    return {
        "ever": "bit_or(1::UBIGINT << e)",
        "recent": "bit_or(1::UBIGINT << e) FILTER (b < 30)",
        "v0": f"bit_or(m) FILTER (b < 64 AND {_VISIT})",
        "i0": f"bit_or(m) FILTER (b < 64 AND {_INTERACT})",
        "slots": "bit_or(k)::UBIGINT",
        "visited_at": f"min(b) FILTER ({_VISIT})",
        "first_visit": f"max(b) FILTER ({_VISIT})",
        "interacted_at": f"min(b) FILTER ({_INTERACT})",
        "seen_first": "max(b)",
        "visits": f"count(*) FILTER (b < 30 AND {_VISIT})",
        "seconds": f"sum(v) FILTER (b < 30 AND {_VISIT})",
        "exposures": f"count(*) FILTER (b < 30 AND e = {CODE['promotion.exposure']})",
    }


def _money() -> dict[str, str]:
    """What payments and refunds change."""
    words = [(64 * word, min(64 * word + 64, 365)) for word in range(PAY_WORDS)]
    return {
        **{f"p{at}": f"bit_or(m) FILTER ({_PAY} AND b >= {low} AND b < {end})" for at, (low, end) in enumerate(words)},
        "paid_at": f"min(b) FILTER ({_PAY})",
        "first_paid": f"max(b) FILTER ({_PAY})",
        "first_paid_30": f"max(b) FILTER ({_PAY} AND b < 30)",
        "paid_before": f"min(b) FILTER ({_PAY} AND b >= 30)",
        "net_30": "sum(v) FILTER (b < 30)",
        "net_365": "sum(v) FILTER (b < 365)",
        "net": "sum(v)",
        "orders": f"count(*) FILTER (b < 30 AND {_PAY})",
    }


def _rare() -> dict[str, str]:
    """What few events change. x: twice the time, and 1 for the end of something; t × 1024 fits up to the year 2199."""

    def last(*names: str) -> str:
        return f"max(x) FILTER (e IN ({', '.join(str(CODE[name]) for name in names)}))"

    levels = f"e IN ({CODE['member-card.open']}, {CODE['member-card.level-change']})"
    return {
        "earned": f"sum(v) FILTER (b < 30 AND e = {CODE['promotion.points-earned']})",
        "spent": f"sum(v) FILTER (b < 30 AND e = {CODE['promotion.points-spent']})",
        "granted": f"count(*) FILTER (e = {_QUOTA} AND c = 1)",
        "used": f"count(*) FILTER (e = {CODE['message.sent']} AND c = 3)",
        "follow": last("life-account.follow", "life-account.unfollow"),
        "member": last("fan-group.join", "fan-group.leave"),
        "card": last("member-card.open", "member-card.close"),
        "lasting": f"max(x) FILTER ((e = {_QUOTA} AND c = 2) OR e = {_END})",
        "granted_at": f"max(t) FILTER (e = {_QUOTA} AND c = 1)",
        "ended_at": f"max(t) FILTER (e = {_END})",
        "level_now": f"max(t * 1024 + c) FILTER ({levels} AND c > 0)",
        "tier_now": f"max(t * 1024 + c) FILTER (e = {CODE['credit.tier']} AND c > 0)",
        "claimed_at": f"min(t) FILTER (b < 30 AND e = {_CLAIM})",
        "redeemed_first": f"min(t) FILTER (b < 30 AND e = {_REDEEM})",
        "redeemed_last": f"max(t) FILTER (b < 30 AND e = {_REDEEM})",
    }


def _first_rows() -> str:
    """A user that stands several times in the users' table counts by its first row."""
    return ", ".join(f"arg_min({name}, n) AS {name}" for name in (*CARRIED, "consent", "out", "near"))


def _known() -> str:
    masks = ", ".join(f"coalesce({name}, 0::UBIGINT) AS q_{name}" for name in _MASKS)
    sums = ", ".join(f"coalesce({name}, 0) AS z_{name}" for name in (*_SUMS, *CARRIED, "consent", "out", "near"))
    return f"{masks}, {sums}"


def _listed(parts: dict[str, str]) -> str:
    return ",\n    ".join(f"{sql} AS {name}" for name, sql in parts.items())
