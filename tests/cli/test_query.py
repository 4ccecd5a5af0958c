"""SQL on a room that stays: the same numbers as the run that made it, refusals with their place, one's own data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import near
from tests.cli.support import Done

MATCHED = "SELECT level AS 等级, COUNT(*) AS n FROM matched GROUP BY level ORDER BY n DESC, 等级"


@pytest.fixture
def home(overlap: tuple[Path, Done], tmp_path: Path) -> Path:
    """A copy of the homes of the run."""
    shutil.copytree(overlap[0] / "home", tmp_path / "home")
    return tmp_path / "home"


def test_the_room_answers_as_the_run_that_made_it(
    overlap: tuple[Path, Done], home: Path, run: Callable[..., Done]
) -> None:
    """By real parties, with a receipt; the same question again costs nothing and gets the same receipt."""
    answers = [run("query", "overlap", MATCHED, "--home", home, "--json").json]
    with near.parties():
        answers.append(run("query", "overlap", MATCHED, "--home", home, "--json").json)
    found = {row["等级"]: row["n"] for row in answers[0]["rows"]}
    assert found == {each["level"]: each["people"] for each in overlap[1].json["segments"]}
    counts = [row["n"] for row in answers[0]["rows"]]
    assert counts == sorted(counts, reverse=True)
    assert answers[0]["receipt"]["table"] == answers[1]["receipt"]["table"]
    assert not answers[0]["exact"]


def test_own_data_is_exact(home: Path, run: Callable[..., Done]) -> None:
    """Under any condition and of any size; the other side's is for its owner."""
    sql = "SELECT level, COUNT(*) FROM crm WHERE level <> '金卡' GROUP BY ALL LIMIT 1"
    answer = run("query", "overlap", sql, "--home", home, "--json").json
    assert answer["exact"]
    assert answer["receipt"] is None
    assert answer["rows"] == [{"level": "银卡", "people": 150}]
    refused = run("query", "overlap", "SELECT COUNT(*) FROM users", "--home", home)
    assert refused.code == 3
    assert "for its owner to ask" in refused.err


@pytest.mark.usefixtures("near_parties")
def test_a_size_is_a_range_and_a_dry_run_asks_nobody(home: Path, run: Callable[..., Done]) -> None:
    """COUNT(*) of everybody is never exact."""
    sql = "SELECT COUNT(*) FROM matched"
    assert run("query", "overlap", sql, "--home", home, "--json").json["rows"] == [{"people": "200–499"}]
    shutil.rmtree(home / "peers" / "platform")
    told = run("query", "overlap", sql, "--home", home, "--json", "--dry-run").json
    assert (told["rows"], told["understood"]["table"]) == (None, "matched")
    refused = run("query", "overlap", sql, "--home", home)
    assert refused.code == 3
    assert "not on this machine" in refused.err


@pytest.mark.parametrize(
    ("sql", "code", "column"),
    [
        ("SELECT phone FROM matched GROUP BY 1", "column", 8),
        ("SELECT COUNT(*) FROM matched; DROP TABLE matched", "statement", 1),
        ("SELECT level, MAX(level) FROM matched GROUP BY 1", "select", 19),
    ],
)
def test_a_refusal_says_where(home: Path, run: Callable[..., Done], sql: str, code: str, column: int) -> None:
    """Exit code 3; in JSON the code and the place."""
    refused = run("query", "overlap", sql, "--home", home, "--json")
    error = refused.json["error"]
    assert (refused.code, error["code"], error["line"], error["column"]) == (3, code, 1, column)
    assert f"Line 1, column {column}." in run("query", "overlap", sql, "--home", home).err


@pytest.mark.usefixtures("near_parties")
def test_a_condition_on_the_groups_chooses_among_released_ones(home: Path, run: Callable[..., Done]) -> None:
    """It is the question without it, and so the same receipt."""
    sql = "SELECT level, COUNT(*) FROM matched WHERE level = '金卡' GROUP BY 1"
    chosen, all_ = (run("query", "overlap", each, "--home", home, "--json").json for each in (sql, MATCHED))
    assert [row["people"] for row in chosen["rows"]] == [row["n"] for row in all_["rows"] if row["等级"] == "金卡"]
    assert chosen["receipt"]["question"] == all_["receipt"]["question"]
