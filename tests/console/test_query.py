"""Questions on the page: what they mean and cost before anybody is asked, where the gate refuses one, and answers."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cleanroom.console.screens import query_examples
from cleanroom.gate import gate
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.ledger.store import read
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.rooms.store import Rooms
from tests.console.conftest import QUERY, Client, served

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]


def _check(client: Client, sql: str, **more: str) -> Any:
    return client.post("/query/market/check", {"sql": sql, **more}, part=True)


def test_the_editor_shows_the_columns_of_the_contract(client: Of) -> None:
    page = client("analyst").get("/query/market").text
    assert "crm.level" in page and "users.gender" in page and "5 labels" in page
    assert client("analyst").get("/query").where == "/query/market"
    assert client("marketer").get("/query/market").status == 403
    labels = client("analyst").get("/query/market/columns/crm.level", part=True).text
    assert "金卡" in labels


def test_every_columns_example_is_let_in(client: Of, market: Path) -> None:
    room = Rooms(Home.open(market).rooms).load("market")
    schema = Schema.of(room.contract, room.annexes or ())
    for field in schema.fields:
        asked = gate.ask(query_examples.example(room, field.name), schema)
        assert field.name in (*asked.by, *asked.sums)
    shown = client("analyst").get("/query/market/example?column=crm.spend", part=True)
    assert "SUM(crm.spend)" in shown.text
    assert client("analyst").get("/query/market/example?column=crm.secret", part=True).status == 400


def test_a_question_is_told_in_words_with_its_price_and_nothing_is_charged(client: Of, market: Path) -> None:
    before = len(read(market / "ledger.sqlite").entries)
    told = _check(client("analyst"), QUERY).text
    assert "Grouped by crm.level" in told and "Price" in told and "± 39" in told and "questions like this" in told
    assert "of 5 groups" in told  # by the plan, which groups will probably be withheld
    dearer = _check(client("analyst"), QUERY, within="5%").text
    assert "± 39" not in dearer
    own = _check(client("analyst"), "SELECT crm.level, COUNT(*) FROM crm GROUP BY 1").text
    assert "exact, without charge" in own and "Price" not in own
    assert len(read(market / "ledger.sqlite").entries) == before


@pytest.mark.parametrize(
    ("sql", "marked"),
    [
        ("SELECT crm.level, COUNT(*)\nFROM matched\nWHERE crm.levle = '金卡'\nGROUP BY 1", "crm.levle"),
        ("SELECT phone FROM crm", "phone"),
        ("SELECT crm.level, MAX(crm.spend) FROM matched GROUP BY 1", "crm.spend"),
        ("DELETE FROM crm", "DELETE"),
        ("SELECT <script>alert(1)</script>", ""),
    ],
)
def test_a_refusal_marks_the_place(client: Of, sql: str, marked: str) -> None:
    answer = _check(client("analyst"), sql)
    found = answer.html.partition("<mark>")[2].partition("</mark>")[0]
    assert answer.status == 200 and found.lower().startswith(marked.lower()), found
    assert "<script>" not in answer.html and "A refused question costs nothing." in answer.text
    assert client("analyst").post("/query/market/run", {"sql": sql}, part=True).where == ""


def test_asking_is_a_job_of_this_user_that_leads_to_its_answer(client: Of) -> None:
    where = client("analyst").post("/query/market/run", {"sql": QUERY, "within": "20%"}, part=True).where
    number = where.split("/jobs/")[1].split("?")[0]
    assert where.endswith((f"answers%2F{number}", f"answers/{number}"))
    assert "SELECT" not in where
    assert client("analyst").get(f"/query/market/answers/{number}").where == f"/jobs/{number}"
    assert client("marketer").post("/query/market/run", {"sql": QUERY}, part=True).status == 403
    history = client("analyst").get("/query/market").text
    assert "Into the editor" in history and "free" in history
    again = client("analyst").get(f"/query/market/asked/{number}", part=True)
    assert "GROUP BY crm.level" in again.text


def test_a_released_answer_has_a_lasting_page(client: Of, market: Path) -> None:
    analyst = client("analyst")
    debit = next(each for each in read(market / "ledger.sqlite").entries
                 if each.kind == "debit" and each.body["by"] == ["crm.level"])  # fmt: skip
    path = f"/query/market/answers/{debit.body['question']}"
    page = analyst.get(path)
    assert page.status == 200 and "±" in page.text
    assert analyst.get(f"{path}?as=xlsx").content[:2] == b"PK"
    listed = analyst.get("/query/market/answers")
    assert path in listed.html
    board = [part.split('"')[0] for part in client("auditor").get("/audit/receipts").html.split("/audit/receipts/")[1:]]
    others = {each[:64] for each in board} - {debit.body["question"]}
    assert others and all(analyst.get(f"/query/market/answers/{each}").status == 400 for each in others)


def test_an_answer_shows_what_each_number_may_be_off(
    own_market: Path, signed_in: Callable[[str, Path, str], Client]
) -> None:
    home = Home.open(own_market)
    result = {"room": "market", "understood": {}, "k": 100, "noise": {}, "exact": True, "price": None, "receipt": None,
              "rows": [{"level": "金卡", "people": 1200}, {"level": "=x", "people": 40}],
              "within": [{"people": 39}, {"people": 39}], "withheld": True}  # fmt: skip
    with State.open(home) as state:
        jobs = Jobs(state)
        done = jobs.submit("query", "market", {"sql": QUERY}, "analyst")
        while (taken := jobs.take(dt.datetime.now(dt.UTC), 0)) is not None and taken.id != done.id:
            pass
        jobs.finish(done.id, result)
        other = jobs.submit("query", "market", {"sql": QUERY}, "marketer")
    with served(own_market) as url:
        analyst = signed_in(url, own_market, "analyst")
        page = analyst.get(f"/query/market/answers/{done.id}")
        assert "1,200 ± 39" in page.text and "free: your own data" in page.text
        table = analyst.get(f"/query/market/answers/{done.id}?chart=answer&as=csv").content.decode("utf-8-sig")
        assert "'=x" in table
        assert analyst.get(f"/query/market/answers/{other.id}").status == 400
        analyst.close()
