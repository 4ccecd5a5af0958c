"""Answers: of a question's job as it was asked, or of a release in the ledger; with what every number may be off."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from cleanroom import querying
from cleanroom.answer import closing
from cleanroom.answer.release import MINOR
from cleanroom.answer.slots import draws, reach
from cleanroom.console.pages import Page, Sheet
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens.audit import Line, lines
from cleanroom.console.screens.audit_receipts import what
from cleanroom.console.screens.query_history import charged, own_job
from cleanroom.console.visit import Visit, Visited
from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.errors import UsageError
from cleanroom.insight.labels import said
from cleanroom.lang import t
from cleanroom.ledger.chain import is_digest
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.ledger.store import read
from cleanroom.privacy import accounting
from cleanroom.report import charts
from cleanroom.seen import receipt_kept

SCREEN = Screen()
MOST_BARS = 40
MOST_FIELDS = 400
MOST_LISTED = 50
Rows = list[dict[str, Any]]


@SCREEN.get("/query/{room}/answers", call="query")
def listed(visit: Visited, room: str) -> Page:
    """What this party was answered in the room, whoever asked: to be read again for nothing."""
    found = [each for each in lines(visit.home) if each.receipt and each.room == room]
    return visit.page("query/answers.html", room=room, lines=[_line(visit, each) for each in found[:MOST_LISTED]])


@SCREEN.get("/query/{room}/answers/{which}", call="query")
def shown(visit: Visited, room: str, which: str) -> Page | Response:
    """which: a job's number, or a question's digest."""
    return _of_release(visit, room, which) if is_digest(which) else _of_job(visit, room, which)


@SCREEN.get("/query/{room}/asked/{number}", call="query")
def again(visit: Visited, room: str, number: str) -> Page:
    """The text of an earlier question, for the editor."""
    job = own_job(visit, room, number)
    return visit.page("query/text.html", sql=str(job.arguments.get("sql", "")))


def _line(visit: Visit, line: Line) -> dict[str, Any]:
    """A release in a list; readable: whether its page is here, not among boards, plans and crowds."""
    if not line.answer:
        return {"line": line, "kind": t("release"), "columns": "–", "rows": 0, "readable": False}
    receipt = receipt_kept(visit.home, line.question, line.answer)
    columns = ", ".join((*receipt.by, *receipt.sums)[:6]) or t("everybody")
    more = " …" if len(receipt.by) + len(receipt.sums) > 6 else ""
    return {"line": line, "kind": what(receipt), "columns": columns + more, "rows": receipt.rows,
            "readable": not (receipt.plan or receipt.tables or receipt.crowd)}  # fmt: skip


def _of_job(visit: Visit, room: str, number: str) -> Page | Response:
    job = own_job(visit, room, number)
    result: Any = job.result
    if job.state != "done" or not isinstance(result, dict) or result.get("rows") is None:
        return visit.go(f"/jobs/{job.id}")
    receipt = result.get("receipt")
    digest = "" if receipt is None else str(SignedReceipt.parse(receipt["file"].encode()).receipt.question)
    facts = {"exact": result["exact"], "withheld": result["withheld"], "k": result["k"], "charged": charged(job),
             "least": _least(result, receipt), "repeated": not result["exact"] and result["price"] is None,
             "noised": bool(result["within"])}  # fmt: skip
    return _page(visit, room, result["rows"], result["within"], digest, facts, str(job.arguments.get("sql", "")))


def _least(result: dict[str, Any], receipt: dict[str, Any] | None) -> int:
    if receipt is None:
        return int(result["k"])
    return SignedReceipt.parse(receipt["file"].encode()).receipt.rules.least


def _of_release(visit: Visit, room: str, question: str) -> Page:
    """As it stands in the ledger: its groups, not as somebody laid them out."""
    home, held = querying.opened(visit.path, room)
    body = next((each.body for each in read(home.ledger_path).entries
                 if each.kind == "release" and each.body["question"] == question), None)  # fmt: skip
    if body is None or not body["answer"]:
        raise UsageError("This node keeps no such answer.", "The list shows what there is.")
    release, signed = closing.recall(home, question)
    receipt = signed.receipt
    if receipt.room != room or receipt.plan or receipt.tables or receipt.crowd:
        raise UsageError("This is no answer to a question of this room.", "Its receipt says what it is.")
    sigma = receipt.rules.sigma
    people = accounting.half_width(sigma, draws(held.contract, (*receipt.by, *receipt.sums))) if sigma else 0
    rows, within = [], []
    terms = {name: held.contract.dataset(split_name(name)[0]).column(split_name(name)[1]) for name in receipt.sums}
    for each in release.table.to_pylist():
        row = {name: each[name] for name in receipt.by} | {t("people"): each[PEOPLE]}
        rows.append(row | {t("sum of {column}", column=name): float(each[name] / MINOR) for name in receipt.sums})
        width: dict[str, Any] = {t("people"): people} if sigma else {}
        within.append(width | {t("sum of {column}", column=name): round(float(people * reach(terms[name]) / MINOR), 2)
                               for name in receipt.sums if sigma})  # fmt: skip
    facts = {"exact": not sigma, "withheld": receipt.withheld, "k": receipt.rules.k, "charged": "",
             "least": receipt.rules.least, "repeated": False, "noised": bool(sigma)}  # fmt: skip
    return _page(visit, room, rows, within, question, facts, "")


def _page(visit: Visit, room: str, rows: Rows, within: Rows, question: str, facts: dict[str, Any], sql: str) -> Page:
    columns = list(rows[0]) if rows else []
    beside = within or [{}] * len(rows)
    shown = [[cell(value, width.get(title)) for title, value in row.items()]
             for row, width in zip(rows, beside, strict=True)]  # fmt: skip
    numbers = [at for at, title in enumerate(columns) if _is_number(rows, title)]
    told: dict[str, Any] = {"room": room, "columns": columns, "rows": shown, "numbers": numbers}
    told |= {"question": question, "sql": sql}
    drawn = _charts(rows, columns)
    return visit.page("query/answer.html", charts=drawn, drawn=bool(drawn), sheets=[_sheet(rows, beside, columns)],
                      **told, **facts)  # fmt: skip


def cell(value: Any, within: float | None) -> str:
    """A value with what it may be off, in the current language."""
    if value is None:
        return t("withheld")
    if isinstance(value, int | float):
        text = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
        return text if within is None else f"{text} ± {within:,}"
    return said(str(value))


def _is_number(rows: Rows, title: str) -> bool:
    return all(isinstance(row[title], int | float) or row[title] is None for row in rows)


def _sheet(rows: Rows, within: Sequence[dict[str, Any]], columns: Sequence[str]) -> Sheet:
    """Numbers as numbers, what they may be off in a column beside."""
    noised = [title for title in columns if any(title in each for each in within)]
    titles = [part for title in columns for part in ([title, f"{title} ±"] if title in noised else [title])]
    table = [[part for title in columns for part in
              ([row[title], width.get(title)] if title in noised else [row[title]])]
             for row, width in zip(rows, within, strict=True)]  # fmt: skip
    return Sheet(t("Answer"), titles, table)


def _charts(rows: Rows, columns: Sequence[str]) -> list[Chart]:
    """Bars of the first number by one label, a heat table by two; none where there is nothing to compare."""
    numbers = [title for title in columns if _is_number(rows, title)]
    names = [title for title in columns if title not in numbers]
    if len(rows) < 2 or not numbers or not 1 <= len(names) <= 2 or len(rows) > (MOST_BARS, MOST_FIELDS)[len(names) - 1]:
        return []
    value, title = numbers[0], t("{value} by {names}", value=numbers[0], names=", ".join(names))
    figures = [(*(said(str(row[name])) for name in names), row[value]) for row in rows]
    if len(names) == 1:
        bars = [charts.Bar(label, number) for label, number in figures]
        return [Chart("answer", title, (*names, value), figures, lambda: charts.bars(title, bars))]
    cells = [charts.Cell(one, other, number) for one, other, number in figures]
    return [Chart("answer", title, (*names, value), figures,
                  lambda: charts.heat(title, cells, rows=names[0], columns=names[1]))]  # fmt: skip
