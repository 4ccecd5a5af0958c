"""A room with noise as its users meet it: price, budget, conditions, plan, replay, Python; by real parties."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom.api import Room
from cleanroom.errors import Refused
from tests.cli.support import Done, phone, process

CELLS = "SELECT level, COUNT(*) AS n FROM matched WHERE city = 'T1' GROUP BY level ORDER BY n"
COST = 1250
"""Millionths of ρ for a count at sigma 20."""


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes after `overlap --noise`: 2,750 of 3,000 persons in both, two thirds of them of level b."""
    folder = tmp_path_factory.mktemp("noisy")
    rows = [f"{phone(n)},{'b' if n % 3 else 'a'},{'east' if n % 4 < 2 else 'west'},{n % 7}.00" for n in range(3000)]
    (folder / "crm.csv").write_text("phone,level,area,spend\n" + "\n".join(rows) + "\n", "utf-8")
    users = [f"{phone(n)},{'T1' if n % 2 else 'T2'}" for n in range(250, 3250)]
    (folder / "users.csv").write_text("mobile,city\n" + "\n".join(users) + "\n", "utf-8")
    words = ["overlap", "crm.csv", "users.csv", "--by", "level", "--by", "area", "--by", "city", "--sum", "spend"]
    done = process([*words, "--noise", "--home", "home", "--receipt", "receipt.json", "--json"], folder)
    assert done.code == 0, done.err
    assert done.json["noise"]["people"] == 39
    assert all(abs(row["people"] - 458) < 6 * 20 for row in done.json["segments"] if row["level"] == "b")
    return folder


@pytest.fixture
def home(noisy: Path, tmp_path: Path) -> Path:
    """A copy of the homes of that run."""
    shutil.copytree(noisy / "home", tmp_path / "home")
    return tmp_path / "home"


@pytest.mark.usefixtures("near_parties")
def test_a_condition_costs_what_was_said_and_no_more_when_asked_again(home: Path, run: Callable[..., Done]) -> None:
    before = run("query", "overlap", CELLS, "--home", home, "--dry-run", "--json").json["price"]
    assert (before["rho_micro"], before["people"]) == (COST, 39)
    first, second = (run("query", "overlap", CELLS, "--home", home, "--json").json for _ in range(2))
    assert first["rows"] == second["rows"]
    assert first["receipt"] == second["receipt"]
    assert first["receipt"]["rho_micro"] == COST
    assert {row["level"] for row in first["rows"]} == {"a", "b"}
    assert all(abs(row["n"] - {"a": 458, "b": 917}[row["level"]]) < 6 * 20 for row in first["rows"])
    after = run("query", "overlap", CELLS, "--home", home, "--dry-run", "--json").json["price"]
    assert before["left_rho_micro"] - after["left_rho_micro"] == COST
    told = run("budget", "overlap", "--home", home, "--json").json["budgets"]
    assert [each["spent"]["rho_micro"] for each in told] == [2 * COST + COST]  # the run that made the room, and this
    assert [row["n"] for row in first["within"]] == [39, 39]
    people = run("query", "overlap", CELLS, "--home", home)
    assert "± 39" in people.out
    assert "nothing charged" in people.out


@pytest.mark.usefixtures("near_parties")
def test_less_exact_is_cheaper_and_too_exact_is_refused(home: Path, run: Callable[..., Done]) -> None:
    sql = "SELECT COUNT(*) FROM matched"
    wide = run("query", "overlap", sql, "--home", home, "--within", "100", "--json").json
    assert wide["noise"]["people"] <= 100
    assert wide["price"]["rho_micro"] < 250
    assert abs(wide["rows"][0]["people"] - 2750) < 6 * 51
    refused = run("query", "overlap", sql, "--home", home, "--within", "3")
    assert refused.code == 3
    assert run("query", "overlap", sql, "--home", home, "--within", "5%").code == 2  # of how many, nobody knows yet


@pytest.mark.usefixtures("near_parties")
def test_a_plan_is_charged_once_and_read_for_nothing(home: Path, run: Callable[..., Done]) -> None:
    made = run("plan", "make", "overlap", "--home", home, "--json").json
    assert (made["made"], made["tables"]) == (True, 7)
    assert made["rho_micro"] <= 20_000
    assert not run("plan", "make", "overlap", "--home", home, "--json").json["made"]  # once a week
    read = run("plan", "read", "overlap", CELLS, "--home", home, "--json").json
    assert all(abs(row["n"] - {"a": 458, "b": 917}[row["level"]]) < 6 * made["sigma"] for row in read["rows"])
    assert "from the plan of" in read["said"]
    assert "In the match" in run("plan", "show", "overlap", "--home", home).out
    portrait = run("plan", "portrait", "overlap", "city", "--where", "level = 'b'", "--home", home,
                   "--chart", home.parent / "city.svg", "--json").json  # fmt: skip
    tgi = {each["label"]: each for each in portrait["values"]}
    for each in (tgi["T1"], tgi["T2"]):  # the true index is 100; three times the 95 % interval holds it nearly always
        assert abs(each["low"] + each["high"] - 200) <= 3 * (each["high"] - each["low"])
    assert (home.parent / "city.svg").read_text("utf-8").startswith("<svg")
    assert "TGI" in run("plan", "portrait", "overlap", "level", "--home", home).out
    assert run("plan", "trend", "overlap", "level", "--home", home).code == 2  # there is one plan
    assert run("query", "overlap", "SELECT COUNT(*) FROM matched", "--home", home, "--within", "5%").code == 0


@pytest.mark.usefixtures("near_parties")
def test_a_receipt_can_be_computed_again(noisy: Path, home: Path, run: Callable[..., Done]) -> None:
    """With the noise that was drawn then, and for nothing; another table under the same signatures does not verify."""
    before = run("budget", "overlap", "--home", home, "--json").json["budgets"]
    told = run("audit", "replay", noisy / "receipt.json", "--home", home)
    assert told.code == 0
    assert "Yes" in told.out
    receipt = json.loads((noisy / "receipt.json").read_text("utf-8"))
    receipt["receipt"]["table"] = "0" * 64
    forged = home.parent / "forged.json"
    forged.write_text(json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False), "utf-8")
    assert run("audit", "replay", forged, "--home", home).code == 4  # it does not verify
    assert run("audit", "verify", forged, "--home", home).code == 4
    assert run("budget", "overlap", "--home", home, "--json").json["budgets"] == before
    assert run("audit", "verify", noisy / "receipt.json", "--home", home).code == 0


@pytest.mark.usefixtures("near_parties")
def test_the_same_from_python(home: Path) -> None:
    room = Room.open(home, "overlap")
    answer = room.query(CELLS)
    assert answer.table.column_names == ["level", "n"]
    assert answer.within == 39
    assert answer.receipt is not None
    assert answer.price is not None
    assert "± 39" in answer.said()
    assert "± 39" in answer.chart().svg
    assert ">a</td>" in answer._repr_html_()
    assert room.query("SELECT COUNT(*) FROM crm").within is None
    with pytest.raises(Refused):
        room.query("SELECT COUNT(*) FROM users")


@pytest.mark.usefixtures("near_parties")
def test_two_columns_of_one_dataset_travel_in_one_order(home: Path, run: Callable[..., Done]) -> None:
    """The room goes on from its last run: a condition on a column that was grouped by then, and the other way round."""
    sql = "SELECT {}, COUNT(*) AS n FROM matched WHERE {} GROUP BY 1"
    for by, where, expected in (("area", "level = 'b'", 917), ("level", "area = 'east'", 917)):
        rows = run("query", "overlap", sql.format(by, where), "--home", home, "--json").json["rows"]
        assert max(abs(row["n"] - expected) for row in rows if row[by] != "a") < 6 * 20


@pytest.mark.usefixtures("near_parties")
def test_a_refusal_comes_before_the_price_is_paid(home: Path, run: Callable[..., Done], tmp_path: Path) -> None:
    asked = run("query", "overlap", "SELECT COUNT(*) FROM matched WHERE area = 'west'", "--home", home,
                "--receipt", tmp_path / "west.json")  # fmt: skip
    assert "area: west" in asked.out
    assert asked.out.index("Price") < asked.out.index("Answer")
    steps = run("audit", "verify", tmp_path / "west.json", "--home", home).out
    assert "5 table" in steps
    assert "6 ledger" in steps
