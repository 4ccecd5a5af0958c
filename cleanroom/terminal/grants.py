"""`grant` for people: who may do what in this party's name."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show

STATES = {
    "in force": "in force",
    "revoked": "revoked",
    "expired": "expired",
    "forged": "not signed by this party",
}
"""What `grants.state` says, for people."""


def given_shown(console: Console, result: dict[str, Any]) -> None:
    """The grant as it was signed."""
    show.fact(console, t("Grant {number}", number=result["number"]), f"{result['name']} {result['key']}")
    show.fact(console, t("Calls"), ", ".join(result["calls"]))
    show.fact(console, t("Rooms"), _rooms(result["rooms"]))
    show.fact(console, t("Until"), result["expires"])
    show.line(
        console, t("It can be ended at any time: {command}", command=f"cleanroom grant revoke {result['number']}")
    )


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A grant a line."""
    if not result["grants"]:
        show.line(console, t("Nobody but {party} may do anything with this home.", party=t(result["party"])))
        return
    rows = [
        (each["number"], each["name"], ", ".join(each["calls"]), _rooms(each["rooms"]), each["expires"][:10],
         t(STATES[each["state"]]))
        for each in result["grants"]
    ]  # fmt: skip
    titles = (t("number"), t("to"), t("calls"), t("rooms"), t("until"), t("state"))
    show.table(console, t("Grants of {party}", party=t(result["party"])), titles, rows)


def ended_shown(console: Console, result: dict[str, Any]) -> None:
    """Which grant ended."""
    show.line(console, t("Grant {number} is revoked; the next call under it is refused.", number=result["number"]))


def _rooms(rooms: list[str]) -> str:
    return ", ".join(t("all") if room == "*" else room for room in rooms)
