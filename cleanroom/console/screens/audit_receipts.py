"""Receipts: what each release was, its file, whether it holds, and whether it can be counted again to the same."""

import tempfile
from pathlib import Path
from typing import Any

from starlette.responses import Response

from cleanroom import auditing
from cleanroom.answer import closing
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.screen import Screen
from cleanroom.console.screens.audit import Line, failed, held, lines, tabs
from cleanroom.console.visit import Visit, Visited
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.lang import t
from cleanroom.ledger import receipt as receipts
from cleanroom.ledger.audit import RELEASE_STEP
from cleanroom.ledger.chain import is_digest
from cleanroom.ledger.computed import computed
from cleanroom.ledger.receipt import Receipt, SignedReceipt
from cleanroom.ledger.spending import as_rho
from cleanroom.ledger.store import read
from cleanroom.privacy import accounting

SCREEN = Screen()
STEPS = (*receipts.STEPS, RELEASE_STEP)


@SCREEN.get("/audit/receipts", call="audit")
def listed(visit: Visited, room: str = "") -> Page:
    """The newest first; room: of it alone."""
    found = [each for each in lines(visit.home) if each.receipt and room in ("", each.room)]
    columns = (t("entry"), t("time (UTC)"), t("Room"), t("what happened"), t("Receipt"))
    rows = [(each.seq, each.time, each.room, each.text, each.question) for each in found]
    return visit.page("audit/receipts.html", tabs=tabs("/audit/receipts"), lines=found, room=room,
                      sheets=[Sheet(t("Receipts"), columns, rows)])  # fmt: skip


@SCREEN.get("/audit/receipts/{question}", call="audit")
def shown(visit: Visited, question: str) -> Page:
    """One of them in words."""
    line, signed = _signed(visit, question)
    receipt = signed.receipt
    return visit.page("audit/receipt.html", line=line, receipt=receipt, facts=facts_of(receipt),
                      parties=", ".join(map(t, sorted(signed.signatures))),
                      rho=as_rho(receipt.rho_micro), digest=receipt.digest(),
                      steps=held(STEPS, ()), can_replay=not receipt.crowd)  # fmt: skip


@SCREEN.get("/audit/receipts/{question}/file", call="audit")
def downloaded(visit: Visited, question: str) -> Response:
    """Its file, as it was signed."""
    _, signed = _signed(visit, question)
    name = f"receipt-{question[:12]}.json"  # no room: a header takes no other letters than Latin ones
    return Response(signed.encode(), media_type="application/json",
                    headers={"content-disposition": f'attachment; filename="{name}"'})  # fmt: skip


@SCREEN.post("/audit/receipts/{question}/verify", call="audit")
def verified(visit: Visited, question: str) -> Page:
    """It checked now, with the answer that this node keeps and its ledger."""
    _, signed = _signed(visit, question)
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "receipt.json"
            file.write_bytes(signed.encode())
            checked = auditing.verified(visit.path, file, None)["receipt"]
    except (BadData, Refused) as error:
        found = BadData(error.template, error.hint, **error.params)
        return visit.page("audit/steps.html", steps=failed(STEPS, found), good=False, entries=0, spent=[])
    return visit.page("audit/steps.html", steps=held(STEPS, checked["steps"]), good=True, entries=0, spent=[])


@SCREEN.post("/audit/receipts/{question}/replay", call="audit")
def replayed(visit: Visited, question: str) -> Response:
    """Have its counts counted once more by all parties: yes or no, nothing charged."""
    _, signed = _signed(visit, question)
    folder = visit.path / "outgoing"
    folder.mkdir(0o700, exist_ok=True)
    file = folder / f"receipt-{question[:16]}.json"
    write_bytes(file, signed.encode())
    job = visit.place.jobs.submit("replay", signed.receipt.room, {"file": str(file)}, visit.caller.name)
    return visit.follow(job.id, f"/audit/receipts/{question}/replay/{job.id}")


@SCREEN.get("/audit/receipts/{question}/replay/{number}", call="audit")
def counted(visit: Visited, question: str, number: str) -> Page:
    """What came of counting again."""
    line, signed = _signed(visit, question)
    job = visit.place.jobs.get(number)
    result: Any = job.result
    if job.kind != "replay" or job.state != "done" or result["receipt"] != signed.receipt.digest():
        raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=number[:32])
    return visit.page("audit/replayed.html", line=line, same=result["same"], question=question)


def facts_of(receipt: Receipt) -> list[tuple[str, str]]:
    """A receipt in words: of each fact its name and what it says."""
    rules = receipt.rules
    within = accounting.half_width(rules.sigma, rules.draws) if rules.sigma else 0
    noise = (t("σ {sigma} persons, so that a count is within ± {within} in 95 of 100", sigma=rules.sigma, within=within)
             if rules.sigma else t("off: exact numbers"))  # fmt: skip
    size = t("below {k}", k=rules.k) if receipt.people.withheld else receipt.people.text()
    where, filled = computed(receipt.isolation)
    brought = ", ".join(t("{dataset} of {party}", dataset=each.name, party=t(each.owner)) for each in receipt.datasets)
    return [
        (t("Kind"), what(receipt)),
        (t("Columns"), ", ".join((*receipt.by, *receipt.sums)[:40]) or t("everybody")),
        (t("Whom"), t("people who fulfil a condition") if receipt.where else t("everybody")),
        (t("Data"), brought),
        (t("People behind it"), size),
        (t("Released"), t("{rows} rows of {columns} columns", rows=f"{receipt.rows:,}", columns=receipt.columns)),
        (t("Noise"), noise),
        (t("Withheld"), t("groups below {least}; there may be some", least=f"{rules.least:,}") if receipt.withheld
         else t("nothing")),
        (t("Recipients"), ", ".join(map(t, receipt.recipients))),
        (t("Purposes"), ", ".join(receipt.purposes)),
        (t("Match protocol"), receipt.protocol or "–"),
        (t("Computed"), t(where, **filled)),
        (t("Time"), receipt.time),
    ]  # fmt: skip


def what(receipt: Receipt) -> str:
    """What kind of release it is."""
    if receipt.crowd:
        return t("size of a crowd")
    if receipt.tables:
        return t("board")
    return t("plan") if receipt.plan else t("answer to a question")


def _signed(visit: Visit, question: str) -> tuple[Line, SignedReceipt]:
    """The entry and the receipt of a release. Raises UsageError where this ledger has none that this party was told."""
    line = next((each for each in lines(visit.home) if each.receipt and each.question == question), None)
    if line is None or not is_digest(question):
        raise UsageError("This ledger has no such receipt.", "The list shows what there is.")
    body = next(each.body for each in read(visit.home.ledger_path).entries if each.seq == line.seq)
    if not body["answer"]:
        raise UsageError("This party was not told the answer, so it keeps no receipt of it.",
                         "Ask a recipient for the file.")  # fmt: skip
    return line, closing.recall(visit.home, question)[1]
