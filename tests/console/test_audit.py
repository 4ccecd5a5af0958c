"""The audit's pages: entries in words, receipts, checks step by step, the export, and who may see them."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom import auditing
from cleanroom.ledger.audit import LEDGER_STEPS
from cleanroom.ledger.store import read
from tests.console.conftest import Client, served

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]
SignedIn = Callable[[str, Path, str], Client]


def _question(market: Path) -> str:
    """Of the answer by level."""
    entries = read(market / "ledger.sqlite").entries
    return next(
        str(each.body["question"]) for each in entries if each.kind == "debit" and each.body["by"] == ["crm.level"]
    )


def test_the_ledger_is_told_and_filtered(client: Of) -> None:
    auditor = client("auditor")
    every = auditor.get("/audit").text
    assert "A question by crm.level was charged" in every
    assert "is in force between" in every
    charged = auditor.get("/audit?kind=debit&room=market").text
    assert "A question by crm.level was charged" in charged and "is in force between" not in charged
    assert "No entry is like this" in auditor.get("/audit?day=2020-01-01").text
    assert client("analyst").get("/audit").status == 403


def test_an_entry_is_found_by_its_number(client: Of, market: Path) -> None:
    assert 'id="e1"' in client("auditor").get("/audit?entry=1").html


def test_a_receipt_is_told_taken_along_and_holds(client: Of, market: Path, tmp_path: Path) -> None:
    auditor, question = client("auditor"), _question(market)
    page = auditor.get(f"/audit/receipts/{question}").text
    assert "answer to a question" in page and "merchant, operator, platform" in page and "not checked" in page
    assert "in a process of its own, kept apart by" in page
    file = auditor.get(f"/audit/receipts/{question}/file")
    (tmp_path / "r.json").write_bytes(file.content)
    assert json.loads(file.content)["receipt"]["question"] == question
    assert auditing.verified(market, tmp_path / "r.json", None)["receipt"]["steps"]
    checked = auditor.post(f"/audit/receipts/{question}/verify", part=True)
    assert checked.html.count("✓") == 6 and "Everything that was checked holds." in checked.text
    assert auditor.get(f"/audit/receipts/{'0' * 64}").status == 400
    assert auditor.get("/audit/receipts/..%2f..%2fnode.toml").status in (400, 404)


def test_the_whole_ledger_is_checked_step_by_step(client: Of) -> None:
    checked = client("auditor").post("/audit/verify", part=True)
    assert checked.html.count("✓") >= len(LEDGER_STEPS) - 1 and "✗" not in checked.html


def test_a_changed_ledger_is_told_with_its_step(
    own_market: Path, signed_in: Callable[[str, Path, str], Client]
) -> None:

    with sqlite3.connect(own_market / "ledger.sqlite") as base:
        base.execute("UPDATE entries SET time = '2026-01-01T00:00:00Z' WHERE seq = 2")
    with served(own_market) as url:
        auditor = signed_in(url, own_market, "auditor")
        checked = auditor.post("/audit/verify", part=True)
        assert "✗" in checked.html and checked.html.count("✓") == 2 and "entry 2 was edited" in checked.text
        assert "It does not hold." in checked.text
        assert auditor.get("/audit/export").status >= 400
        auditor.close()


def test_the_export_is_for_an_auditor_without_a_node(client: Of, tmp_path: Path) -> None:
    answer = client("auditor").get("/audit/export")
    (tmp_path / "x.jsonl").write_bytes(answer.content)
    assert "attachment" in answer.headers["content-disposition"]
    assert auditing.verified_export(tmp_path / "none", tmp_path / "x.jsonl", None, None)["ledger"]["steps"]


def test_counting_once_more_is_a_job_with_the_receipt(client: Of, market: Path) -> None:
    auditor, question = client("auditor"), _question(market)
    where = auditor.post(f"/audit/receipts/{question}/replay", part=True).where
    assert where.startswith("/jobs/") and f"receipts/{question}/replay/" in where
    number = where.split("/jobs/")[1].split("?")[0]
    assert auditor.get(f"/audit/receipts/{question}/replay/{number}").status == 400


def test_budgets_are_told_by_month(client: Of) -> None:
    page = client("auditor").get("/audit/budget")
    assert "Spent, by the debits" in page.text and "crm in market" in page.text
    assert client("auditor").get("/audit/budget?chart=spent&as=csv").content.count(b"crm") == 1
