"""What the other side saw: per party and day, in sentences, from this node's own ledger; and what we learned."""

from typing import Any

from cleanroom import seen
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visited
from cleanroom.lang import t

SCREEN = Screen()


@SCREEN.get("/seen", call="audit")
def shown(visit: Visited, party: str = "", room: str = "", days: int = seen.USUAL_DAYS, until: str = "") -> Page:
    """Of one other party, the first where none is named, or of this one."""
    found = seen.told(visit.path, room=room, days=days, until=until)
    others = [each["name"] for each in found["parties"]]
    chosen = party or next(iter(others), found["party"])
    if chosen not in (*others, found["party"]):
        found = seen.told(visit.path, party=chosen)  # says which there are
    shown_days = _merged([{**day, "facts": [_line(fact) for fact in day["facts"] if fact["learner"] == chosen]}
                          for day in found["days"]])  # fmt: skip
    facts = [fact for day in shown_days for fact in day["facts"]]
    return visit.page(
        "seen/page.html", found=found, chosen=chosen, ours=chosen == found["party"], days=shown_days, room=room,
        rooms=_rooms(visit), length=days, until=until, tabs=_tabs(found, chosen),
        untold=[seen.said(**each) for other in found["parties"] if other["name"] == chosen for each in other["not"]],
        given=[each for each in found["given"] if each["learner"] == chosen],
        receipts=len({receipt for fact in facts for receipt in fact["receipts"]}),
        kinds=len(facts), active=sum(1 for day in shown_days if day["facts"]), sheets=[_sheet(chosen, shown_days)],
    )  # fmt: skip


def _rooms(visit: Visited) -> list[tuple[str, str]]:
    return [("", t("all")), *((str(each["room"]), str(each["room"])) for each in visit.rooms)]


def _tabs(found: dict[str, Any], chosen: str) -> list[tuple[str, str, bool]]:
    tabs = [(f"/seen?party={each['name']}", t("What {party} saw", party=t(each["name"])), each["name"] == chosen)
            for each in found["parties"]]  # fmt: skip
    own = found["party"]
    return [*tabs, (f"/seen?party={own}", t("What we learned"), own == chosen)]


def _line(fact: dict[str, Any]) -> dict[str, Any]:
    return {**fact, "text": seen.said(fact["template"], fact["params"])}


def _merged(days: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Days without anything that follow each other as one; the newest first."""
    found: list[dict[str, Any]] = []
    for day in days:
        if found and not day["facts"] and not found[-1]["facts"]:
            found[-1] = {**found[-1], "from": day["from"]}
        else:
            found.append(day)
    return found


def _sheet(chosen: str, days: list[dict[str, Any]]) -> Sheet:
    rows = [(day["from"], fact["room"], fact["text"], len(fact["entries"]),
             ", ".join(receipt[:12] for receipt in fact["receipts"]))
            for day in days for fact in day["facts"]]  # fmt: skip
    return Sheet(chosen, (t("Day"), t("Room"), t("Learned"), t("Times"), t("Receipts")), rows)
