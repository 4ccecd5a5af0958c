"""How `cleanroom doctor` looks to people: a line a check, below it what to do."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from cleanroom.lang import t
from cleanroom.terminal.show import harmless

_MARKS = {"ok": "[green]✓[/]", "warn": "[yellow]![/]", "bad": "[bold red]✗[/]"}
_TITLES = {
    "machine": "This machine",
    "software": "This installation",
    "home": "The home",
    "node": "The node and its peers",
}


def examined_shown(console: Console, found: dict[str, Any]) -> None:
    """All parts; then in a sentence how it is."""
    part = ""
    for each in found["checks"]:
        if each["part"] != part:
            part = each["part"]
            console.print(t(_TITLES[part]), style="bold", markup=False)
        line = f"{_MARKS[each['state']]} {escape(harmless(each['title']))}  {escape(harmless(each['found']))}"
        console.print(line, soft_wrap=True)
        if each["advice"]:
            console.print(harmless(f"    → {each['advice']}"), markup=False, soft_wrap=True)
    console.print(_summed(found), markup=False, soft_wrap=True)


def _summed(found: dict[str, Any]) -> str:
    states = [each["state"] for each in found["checks"]]
    if found["state"] == "ok":
        return t("All is well: {count} checks in {seconds} s.", count=len(states), seconds=found["seconds"])
    counts = {"bad": states.count("bad"), "warn": states.count("warn"), "seconds": found["seconds"]}
    if found["state"] == "warn":
        return t("It works. Could be better: {warn}. Took {seconds} s.", warn=counts["warn"], seconds=found["seconds"])
    return t("Does not work: {bad}. Could be better: {warn}. Took {seconds} s.", **counts)
