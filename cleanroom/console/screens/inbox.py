"""The inbox: what waits for a person's yes, what it would reveal, and what was decided before.

What is about a room's terms is read and signed on the room's page; the rest is answered here, once, with a reason for a
no. Who may decide is the node's rule (`approval` in node.toml), not this page's.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Form
from starlette.responses import Response

from cleanroom.access import delegating
from cleanroom.activation import approving
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import rooms_words as words
from cleanroom.console.visit import Visit, Visited
from cleanroom.lang import t
from cleanroom.node import desk
from cleanroom.node.approvals import Act, Approval, Approvals
from cleanroom.operations import statement

SCREEN = Screen()
_WAITING = "waiting"
_MOST = 200


@dataclass(frozen=True)
class Shown:
    """An approval as a page shows it. facts: of a crowd, what it discloses a person, as label and text; href: where it
    is answered if not here; hindered: why this user does not decide it, "" where they may."""

    approval: Approval
    title: str
    what: tuple[str, ...]
    reveals: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    href: str
    hindered: str


@SCREEN.get("/inbox", call="approve")
def listed(visit: Visited, tab: str = "") -> Page:
    """What waits, the newest first; tab=decided: what no longer does."""
    decided = tab == "decided"
    found = [each for each in _approvals(visit).listed(_MOST) if (each.state != _WAITING) == decided]
    return visit.page("inbox/list.html", found=[_shown(visit, each) for each in found], decided=decided,
                      state_name=state_name, words=words)  # fmt: skip


@SCREEN.get("/inbox/{number}", call="approve")
def opened(visit: Visited, number: str) -> Page:
    """One of them, and what happened to it."""
    held = _approvals(visit)
    found = held.get(number)
    return visit.page("inbox/one.html", each=_shown(visit, found), state_name=state_name, words=words,
                      history=[_act(each) for each in held.history(found.id)])  # fmt: skip


@SCREEN.post("/inbox/{number}", call="approve")
def answered(visit: Visited, number: str, yes: Annotated[bool, Form()], reason: words.Text = "") -> Response:
    """A yes, or a no with its reason."""
    done = desk.decided(visit.path, _approvals(visit).get(number).id, yes=yes, reason=reason, who=visit.caller.name)
    said = t("You said yes.") if done["state"] == "approved" else t("You said no. Who asked reads why.")
    return visit.go("/inbox", said)


def state_name(state: str) -> str:
    """What became of an approval, in the current language."""
    return {"waiting": t("waiting"), "approved": t("approved"), "refused": t("refused"), "expired": t("expired"),
            "withdrawn": t("withdrawn")}.get(state, state)  # fmt: skip


def _approvals(visit: Visit) -> Approvals:
    return Approvals(visit.place.state, visit.place.settings.approval)


def _shown(visit: Visit, found: Approval) -> Shown:
    is_room = found.kind.startswith("room.")
    what, reveals = (tuple(words.sentence(*each) for each in texts) for texts in (found.what, found.reveals))
    facts = _of_crowd(found) if found.kind == approving.KIND else ()
    return Shown(found, _title(found.kind), what, reveals, facts, f"/rooms/{found.room}/review" if is_room else "",
                 "" if found.state != _WAITING else _hindered(visit, found))  # fmt: skip


def _title(kind: str) -> str:
    return {
        "room.card": t("Invitation to a room"), "room.sign": t("Contract to sign"), "run": t("Question of a partner"),
        approving.KIND: t("Crowd to be addressed"), delegating.KIND: t("Grant that is asked for"),
        statement.APPROVAL: t("Restored ledger of a partner"),
    }.get(kind, t("Request"))  # fmt: skip


def _hindered(visit: Visit, found: Approval) -> str:
    """Why this user cannot say yes: told before it is tried; `decide` is what refuses."""
    rules, who = visit.place.settings.approval, visit.caller.name
    if found.kind == delegating.KIND:
        return "" if visit.may("grant") else t("The owner of this node decides on grants.")
    if who == found.asked_by:
        return t("Who asks does not decide. Another approver may.")
    if who in rules.approvers or who in rules.substitutes:
        return ""
    return t("Who may decide here is named in node.toml, under approval: approvers. Your name is not among them.")


def _of_crowd(found: Approval) -> tuple[tuple[str, str], ...]:
    """What a crowd tells of each person in it, fact by fact, from the texts that the approval was asked with."""
    told: dict[str, Any] = {}
    for _, params in (*found.what, *found.reveals):
        told |= params
    facts = [
        (t("Of each person"),
         t("one bit, to {party}: whether they meet the rule", party=t(str(told.get("party", "–"))))),
        (t("Columns that the rule looks at"), str(told.get("columns", t("none")))),
        (t("Channel"), words.channel(str(told.get("channel", "–")))),
    ]  # fmt: skip
    if "versions" in told:
        facts.append((t("Versions this month"), t("{versions} of {most} that a person may be in",
                                                  versions=told["versions"], most=told["most"])))  # fmt: skip
    if "low" in told:
        facts.append((t("Size"), t("{low} to {high} people; the least is {floor}", low=f"{told['low']:,}",
                                   high=f"{told['high']:,}", floor=f"{told['floor']:,}")))  # fmt: skip
    if "purpose" in told:
        facts.append((t("Purpose"), t("{purpose}, until {ends}", purpose=told["purpose"], ends=str(told["ends"])[:10])))
    return tuple(facts)


def _act(act: Act) -> tuple[str, str, str, str]:
    named = {"asked": t("asked"), "reminded": t("reminded"), "approved": t("approved"), "refused": t("refused"),
             "expired": t("expired"), "withdrawn": t("withdrawn")}  # fmt: skip
    who = t(act.who) if act.who else t("the node")
    return f"{act.time[:16].replace('T', ' ')} UTC", named.get(act.act, act.act), who, act.reason or "–"
