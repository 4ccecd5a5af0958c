"""Audit: what stands in the ledger, in words; whether it holds; the file for an auditor; budgets by month."""

import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.responses import Response

from cleanroom import auditing, budgets
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.visit import Visited
from cleanroom.errors import BadData
from cleanroom.home import Home
from cleanroom.lang import catalogue_text, explain, t
from cleanroom.ledger import words
from cleanroom.ledger.audit import LEDGER_STEPS
from cleanroom.ledger.chain import FIELDS
from cleanroom.ledger.spending import Spent, as_rho, by_month
from cleanroom.ledger.store import read
from cleanroom.report import charts
from cleanroom.rooms.store import Rooms

SCREEN = Screen()
A_PAGE = 50
_STEP = re.compile(r"step (\d+)")
_PARTIES = ("party", "peer", "host", "receiver")
"""Parameters of entries that are parties, whose usual names are translated."""


@dataclass(frozen=True)
class Line:
    """An entry for the page. question: of a debit or release, in hex; answer: digest of the sealed one kept here."""

    seq: int
    time: str
    kind: str
    room: str
    text: str
    who: str
    question: str
    answer: str = ""

    @property
    def receipt(self) -> bool:
        """Whether it is a release, which has a receipt."""
        return self.kind == "release"


@dataclass(frozen=True)
class Step:
    """A step of a check: number and text; state: ok, bad or open (not checked); why: where it is bad."""

    number: int
    text: str
    state: str
    why: str = ""


@SCREEN.get("/audit", call="audit")
def listed(visit: Visited, room: str = "", day: str = "", kind: str = "", page: int = 1, entry: int = 0) -> Page:
    """The ledger, the newest first. entry: the page that this entry is on."""
    every = lines(visit.home)
    found = [
        each for each in every if room in ("", each.room) and each.time.startswith(day) and kind in ("", each.kind)
    ]
    if entry:
        place = next((at for at, each in enumerate(found) if each.seq == entry), 0)
        page = place // A_PAGE + 1
    pages = max(1, -(-len(found) // A_PAGE))
    page = min(max(1, page), pages)
    shown = found[(page - 1) * A_PAGE : page * A_PAGE]
    kinds = sorted({each.kind for each in every}, key=list(FIELDS).index)
    columns = (t("entry"), t("time (UTC)"), t("Kind"), t("Room"), t("what happened"), t("Asked by"))
    rows = [(each.seq, each.time, kind_name(each.kind), each.room, each.text, each.who) for each in found]
    return visit.page(
        "audit/list.html", tabs=tabs("/audit"), lines=shown, total=len(found), every=len(every), page=page, pages=pages,
        rooms=[("", t("all")), *((name, name) for name in sorted({each.room for each in every if each.room}))],
        kinds=[("", t("all")), *((each, kind_name(each)) for each in kinds)], room=room, day=day, kind=kind,
        entry=entry, kind_name=kind_name, sheets=[Sheet(t("Ledger"), columns, rows)],
    )  # fmt: skip


@SCREEN.get("/audit/verify", call="audit")
def to_verify(visit: Visited) -> Page:
    """What the check looks at, and the file for an auditor."""
    there = visit.home.ledger_path.exists()
    return visit.page("audit/verify.html", tabs=tabs("/audit/verify"), there=there,
                      steps=[Step(at, _bare(text), "open") for at, text in enumerate(LEDGER_STEPS, 1)])  # fmt: skip


@SCREEN.post("/audit/verify", call="audit")
def verified(visit: Visited) -> Page:
    """The ledger checked now, step by step."""
    try:
        checked = auditing.verified(visit.path, None, None)["ledger"]
    except BadData as error:
        steps = failed(LEDGER_STEPS, error)
        return visit.page("audit/steps.html", steps=steps, good=False, entries=0, spent=[])
    steps = held(LEDGER_STEPS, checked["steps"])
    spent = [(each["lineage"], each["month"], as_rho(each["rho_micro"])) for each in checked["spent"]]
    return visit.page("audit/steps.html", steps=steps, good=True, entries=checked["entries"], spent=spent)


@SCREEN.get("/audit/export", call="audit")
def exported(visit: Visited) -> Response:
    """The ledger, checked, as one file: digests, signatures, terms; no answer."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ledger.jsonl"
        auditing.exported(visit.path, out)
        content = out.read_bytes()
    return Response(content, media_type="application/x-ndjson",
                    headers={"content-disposition": 'attachment; filename="ledger.jsonl"'})  # fmt: skip


@SCREEN.get("/audit/budget", call="audit")
def budget(visit: Visited) -> Page:
    """What was spent of each dataset's budget, a month at a time, and what is left now."""
    home = visit.home
    spent = by_month(read(home.ledger_path).entries) if home.ledger_path.exists() else ()
    left = budgets.told(visit.path)
    drawn = [_chart(spent)] if spent else []
    rows = [(each.lineage, each.month, each.rho_micro / 10**6) for each in spent]
    sheet = Sheet(t("Spent, by the debits"), (t("dataset"), t("month"), "ρ"), rows)
    texts = [(name, month, f"{rho:.6f}".rstrip("0")) for name, month, rho in rows]
    return visit.page("audit/budget.html", tabs=tabs("/audit/budget"), spent=rows, spent_rows=texts, left=left,
                      charts=drawn, sheets=[sheet])  # fmt: skip


def _chart(spent: Sequence[Spent]) -> Chart:
    rows = [(each.lineage, each.month, each.rho_micro / 10**6) for each in spent]
    title = t("Privacy budget spent, by dataset and month (ρ)")
    bars = [charts.Bar(f"{lineage} · {month}", rho) for lineage, month, rho in rows]
    return Chart("spent", title, (t("dataset"), t("month"), "ρ"), rows,
                 lambda: charts.bars(title, bars, unit="ρ", form=",.3f"))  # fmt: skip


def lines(home: Home) -> list[Line]:
    """All entries in words, the newest first, each with the room that it is about."""
    if not home.ledger_path.exists():
        return []
    rooms = Rooms(home.rooms)
    names: dict[str, str] = {}
    about: dict[str, str] = {}
    found = []
    for row, entry in zip(words.show(home.ledger_path), read(home.ledger_path).entries, strict=False):
        digest, question = str(entry.body.get("contract", "")), str(entry.body.get("question", ""))
        if digest and digest not in names:
            held_room = rooms.under(digest)
            names[digest] = "" if held_room is None else held_room.contract.room
        if entry.kind == "debit":
            about[question] = names.get(digest, "")
        room = names.get(digest, "") or about.get(question, "") or str(entry.body.get("room", ""))
        found.append(Line(row.seq, row.time, row.kind, room, told(row), _who(row), question,
                          str(entry.body.get("answer", ""))))  # fmt: skip
    return found[::-1]


def told(row: words.Row) -> str:
    """An entry in the current language."""
    params = {name: t(str(value)) if name in _PARTIES else value for name, value in row.params.items()}
    return t(row.text, **params)


def _who(row: words.Row) -> str:
    return " · ".join(t(name) if at == 0 else name for at, name in enumerate(row.asked_by))


def kind_name(kind: str) -> str:
    """A kind of entry in the current language."""
    return {
        "contract": t("contract"), "import": t("import"), "input": t("data brought"), "match": t("match"),
        "debit": t("charge"), "draws": t("noise drawn"), "release": t("release"), "replay": t("audit replay"),
        "forget": t("person forgotten"), "countersign": t("countersignature"), "restored": t("restored backup"),
        "line": t("accepted ledger"),
    }.get(kind, kind)  # fmt: skip


def held(all_of_them: Sequence[str], steps: Sequence[str]) -> list[Step]:
    """Every step with whether it was checked."""
    return [Step(at, _bare(text), "ok" if text in steps else "open") for at, text in enumerate(all_of_them, 1)]


def failed(all_of_them: Sequence[str], error: BadData) -> list[Step]:
    """The steps up to the one that the error names; all are open where it names none."""
    named = _STEP.search(error.template)
    at = int(named[1]) if named else 0
    why = " ".join(filter(None, explain(error)))
    steps = [Step(number, _bare(text), "ok" if number < at else "bad" if number == at else "open",
                  why if number == at else "") for number, text in enumerate(all_of_them, 1)]  # fmt: skip
    return steps if at else [Step(0, t("It cannot be read."), "bad", why), *steps]


def _bare(text: str) -> str:
    """A step's text without its number, in the current language."""
    return catalogue_text(text).partition(" ")[2]


def tabs(here: str) -> list[tuple[str, str, bool]]:
    """The pages of the audit."""
    entries = (("/audit", t("Ledger")), ("/audit/receipts", t("Receipts")), ("/audit/verify", t("Verify and export")),
               ("/audit/budget", t("Budget")))  # fmt: skip
    return [(path, title, path == here) for path, title in entries]
