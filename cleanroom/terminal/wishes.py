"""How what users and providers got of insight and crowds looks to people: as the owner's own commands show it."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import crowds, insight, show

CALLS = ("insight", "crowd", "activate")


def wish_shown(console: Console, call: str, result: dict[str, Any]) -> None:
    """What came of a call of CALLS, or of its job."""
    if call == "insight":
        _insight(console, result)
    elif "crowds" in result:
        crowds.list_shown(console, result)
    elif "rule" in result:
        crowds.crowd_shown(console, result)
    elif "made" in result:
        crowds.version_shown(console, result)
    else:
        crowds.estimate_shown(console, {"understood": (), **result})
        if task := result.get("task"):
            show.fact(console, t("Activation"), task["number"])
            show.fact(console, t("Status"), t(task["status"]))


def _insight(console: Console, result: dict[str, Any]) -> None:
    if "eight" in result:
        insight.care_shown(console, result)
    elif "points" in result:
        insight.trend_shown(console, result)
    elif "previous" in result:
        insight.compared_shown(console, result)
    elif "provinces" in result:
        insight.geography_shown(console, result)
    elif "portraits" in result:
        insight.portrait_shown(console, result)
    else:
        insight.page_shown(console, result)
