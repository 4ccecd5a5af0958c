"""`grant` and `portfolio` for people: who may do what in this party's name, and what this party may do in others'."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show

STATES = {
    "in force": "in force",
    "pending": "pending",
    "active": "in force",
    "expiring": "expires soon",
    "revoked": "revoked",
    "expired": "expired",
    "refused": "refused",
    "forged": "not signed by this party",
}
"""What `grants.state` and `portfolio.state_of` say, for people."""


def given_shown(console: Console, result: dict[str, Any]) -> None:
    """The grant as it was signed."""
    show.fact(console, t("Grant {number}", number=result["number"]), f"{result['name']} {result['key']}")
    show.fact(console, t("Calls"), ", ".join(result["calls"]))
    show.fact(console, t("Rooms"), _names(result["rooms"]))
    show.fact(console, t("Channels"), _names(result["channels"]))
    show.fact(console, t("Columns"), _names(result["columns"]))
    show.fact(console, t("Until"), result["expires"])
    sent_shown(console, result)
    show.line(
        console, t("It can be ended at any time: {command}", command=f"cleanroom grant revoke {result['number']}")
    )


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A grant a line."""
    if not result["grants"]:
        show.line(console, t("Nobody but {party} may do anything with this home.", party=t(result["party"])))
        return
    titles = (t("number"), t("to"), *_titles())
    rows = [(each["number"], each["name"], *_row(each)) for each in result["grants"]]
    show.table(console, t("Grants of {party}", party=t(result["party"])), titles, rows)


def ended_shown(console: Console, result: dict[str, Any]) -> None:
    """Which grant ended."""
    show.line(console, t("Grant {number} is revoked; the next call under it is refused.", number=result["number"]))
    sent_shown(console, result)


def sent_shown(console: Console, result: dict[str, Any]) -> None:
    """Which peer is told."""
    if result["told"]:
        show.line(console, t("{peer} is told as soon as both nodes run.", peer=t(result["told"])))


def portfolio_shown(console: Console, result: dict[str, Any]) -> None:
    """A table a merchant."""
    if not result["merchants"]:
        show.line(console, t("Nobody has granted {party} anything.", party=t(result["party"])))
    for merchant in result["merchants"]:
        rows = [(str(each["number"] or "–"), *_row(each)) for each in merchant["grants"]]
        title = t("Granted by {party}", party=t(merchant["merchant"]))
        show.table(console, title, (t("number"), *_titles()), rows)
        for each in merchant["grants"]:
            if each["reason"]:
                show.line(console, t("Refused: {reason}", reason=show.harmless(each["reason"])))


def asked_shown(console: Console, result: dict[str, Any]) -> None:
    """What was asked of whom."""
    show.line(console, t("{party} is asked for a grant; a person there decides.", party=t(result["merchant"])))


def _titles() -> tuple[str, ...]:
    return t("calls"), t("rooms"), t("channels"), t("columns"), t("until"), t("state")


def _row(grant: dict[str, Any]) -> tuple[str, ...]:
    scope = (_names(grant[each]) for each in ("rooms", "channels", "columns"))
    return ", ".join(grant["calls"]), *scope, grant["expires"][:10], t(STATES[grant["state"]])


def _names(names: Sequence[str]) -> str:
    return ", ".join(t("all") if name == "*" else name for name in names)
