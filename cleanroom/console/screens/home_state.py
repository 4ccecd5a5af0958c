"""What the first page says beside the figures: next steps, jobs, budget in words, approvals, rooms, usage, the ledger.

Every part asks first whether the user may; a part that they may not see is empty, never an error.
"""

from dataclasses import dataclass
from typing import Any

from cleanroom import budgets as spent
from cleanroom.access import catalogue
from cleanroom.console import rooms_held
from cleanroom.console.screens import jobs as jobs_screen
from cleanroom.console.visit import Visit
from cleanroom.insight.board_store import Boards
from cleanroom.lang import t
from cleanroom.ledger.store import read
from cleanroom.node import desk
from cleanroom.plan.store import Plans
from cleanroom.rooms import desk as rooms_desk

MOST_JOBS, MOST_WAITING = 5, 5


@dataclass(frozen=True)
class Step:
    """Something to do, in the order in which it is done. path: "" where somebody else does it."""

    title: str
    text: str
    path: str
    done: bool


@dataclass(frozen=True)
class Left:
    """A budget in words. share: of the month's that is left, 0 to 1."""

    dataset: str
    room: str
    share: float
    text: str


def steps(visit: Visit) -> list[Step]:
    """What a new node needs, until all of it was done; empty then, and for who can do none of it."""
    if not any(map(visit.may, ("import", "room.sign", "plan"))):
        return []
    rooms = [each["room"] for each in visit.rooms if each["in_force"]]
    has_data = bool(visit.home.vault.datasets())
    has_plan = any(Plans(visit.home).list(room) for room in rooms)
    has_board = any(_boards(visit, room) for room in rooms)
    wanted = [
        ("import", "/data", t("Upload your customers"),
         t("A CRM export as CSV, XLSX or Parquet. It stays on this machine, encrypted."), has_data),
        ("status", "/rooms", t("Agree on a room"), t("Invite the other party, read the contract in plain words, sign."),
         bool(rooms)),
        ("plan", f"/insight/{rooms[-1]}/refresh" if rooms else "", t("Count the match once"),
         t("A plan makes portraits, maps and crowd estimates free."), has_plan),
        ("plan", f"/insight/{rooms[-1]}/refresh" if rooms else "", t("Have a board made"),
         t("Overview, C-CARE and trends of the other side's users, with noise."), has_board),
    ]  # fmt: skip
    found = [Step(title, text, path if visit.may(call) else "", done) for call, path, title, text, done in wanted]
    return [] if all(step.done for step in found) else found


def jobs(visit: Visit) -> list[dict[str, Any]]:
    """Those under way, then those that ended last."""
    if not visit.may("jobs"):
        return []
    listed: list[dict[str, Any]] = list(jobs_screen.listed(visit).context["jobs"])
    listed.sort(key=lambda job: job["state"] not in ("running", "queued"))
    return [{**job, "title": jobs_screen.kind_name(job["kind"]), "said": jobs_screen.state_name(job["state"])}
            for job in listed[:MOST_JOBS]]  # fmt: skip


def budgets(visit: Visit) -> dict[str, Any]:
    """How much of this month's budget is left of every dataset, in words."""
    if not visit.may("budget"):
        return {"left": [], "renews": ""}
    told = spent.told(visit.path)
    found = [
        Left(each["dataset"], each["room"], each["left"]["rho_micro"] / max(1, each["budget"]["rho_micro"]),
             t("about {count} more questions within ± {within} people", count=f"{each['questions_left']:,}",
               within=each["within"]))
        for each in told["budgets"]
    ]  # fmt: skip
    return {"left": found, "renews": told["renews"]}


def waiting(visit: Visit) -> list[dict[str, Any]]:
    """What waits for a yes of this user's."""
    if not visit.may("approve"):
        return []
    found: list[dict[str, Any]] = desk.inbox(visit.path, everything=False)["approvals"]
    return found[:MOST_WAITING]


def rooms(visit: Visit) -> list[dict[str, Any]]:
    """The rooms and whether they hold; what is being agreed on stands with the rooms."""
    return [
        {"name": each["room"], "parties": each["parties"], "expires": each["expires"], "in_force": each["in_force"],
         "state": _state(visit, each["room"])}
        for each in visit.rooms
    ]  # fmt: skip


def usage(visit: Visit) -> list[list[Any]]:
    """What each merchant used at a platform: numbers of runs, never what was asked."""
    if not visit.may("usage") or visit.place.settings.role != "platform":
        return []
    found = catalogue.used(visit.path)["usage"]
    found.sort(key=lambda each: (each["month"], each["merchant"]), reverse=True)
    return [[each["merchant"], each["month"], each["runs"], each["rows"]] for each in found[:MOST_JOBS]]


def ledger(visit: Visit) -> dict[str, Any] | None:
    """How long the record is and what it last recorded, for those who audit it."""
    path = visit.home.ledger_path
    if not visit.may("audit") or not path.exists():
        return None
    entries = read(path).entries
    releases = sum(1 for each in entries if each.kind == "release")
    return {"entries": len(entries), "releases": releases, "last": entries[-1].time if entries else ""}


def _boards(visit: Visit, room: str) -> bool:
    contract = rooms_held.held(visit.home, room).contract
    return any(Boards(visit.home).list(room, name) for name in contract.release.alone)


def _state(visit: Visit, room: str) -> str:
    found = rooms_desk.state_of_room(rooms_held.held(visit.home, room))
    return t(found["template"], **{name: _said(value) for name, value in found.items() if name != "template"})


def _said(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
