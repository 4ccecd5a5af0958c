"""Boards: another owner's numbers as a release, near the truth, charged once, of what the contract names alone."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom import auditing, boards, replaying
from cleanroom.answer import alone
from cleanroom.answer.board import BoardAsked
from cleanroom.enclave.query import Query
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.insight import tables as wanting
from cleanroom.insight.board_store import Boards
from cleanroom.insight.tables import Tables
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.ledger.store import read
from cleanroom.rooms.disclosure import learns
from cleanroom.rooms.store import Rooms
from tests import near
from tests.boards import world
from tests.room import world as room_world

CUT = 12
"""Sigmas, beyond which no noise goes."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Home]]:
    """Homes with rooms `spring` (boards), `shut` (none), `two` (of two parties), `poor` (ε 1 a month)."""
    with near.parties():
        homes = world.homes(tmp_path_factory.mktemp("boards"))
        world.room(homes, "spring")
        world.room(homes, "shut", alone=())
        world.room(homes, "two", protocol="dh")
        world.room(homes, "poor", epsilon=1)
        yield homes


@pytest.fixture(scope="module")
def asked(made: dict[str, Home]) -> dict[str, Any]:
    """A full board of `spring`, as the merchant asked for it."""
    return boards.make(made["merchant"].path, "spring")


def kinds(home: Home) -> list[str]:
    return [entry.kind for entry in read(home.ledger_path).entries] if home.ledger_path.exists() else []


def spent(home: Home) -> int:
    return sum(int(str(entry.body["rho_micro"])) for entry in read(home.ledger_path).entries
               if entry.kind == "debit" and entry.body["lineage"])  # fmt: skip


def board_of(home: Home, room: str = "spring") -> Tables:
    found = Boards(home).latest(room, "users")
    assert found is not None
    return found


def test_its_numbers_are_near_the_truth_in_every_declared_cell(made: dict[str, Home], asked: dict[str, Any]) -> None:
    board, exact = board_of(made["merchant"]), boards.own(made["platform"], "spring")
    terms = Rooms(made["platform"].rooms).load("spring").contract.dataset("users").columns
    expected, sums = wanting.wanted({term.name: term.kind for term in terms})
    assert set(board.counts) == set(exact.counts) == set(expected)
    assert set(board.sums) == set(sums) == {"net_paid_30d"}
    assert ("imported", "stage_30d") in board.counts
    assert board.columns == exact.columns
    noises = np.concatenate([(board.counts[name] - exact.counts[name]).ravel() for name in board.counts])
    assert abs(noises).max() <= CUT * board.sigma
    assert abs(noises.std() / board.sigma - 1) < 0.5
    assert exact.sigma == 0
    assert board.sigma == asked["sigma"] >= 5
    off = abs(board.sums["net_paid_30d"] - exact.sums["net_paid_30d"])
    assert 0 < off <= CUT * board.sigma * board.sum_reach["net_paid_30d"]
    frame = world.users()
    assert exact.sums["net_paid_30d"] == int(frame["net_paid_30d"].sum()) * 100
    labels = exact.columns["stage_30d"]
    by_gender = exact.counts["gender", "stage_30d"].sum(axis=0)[labels.index("pay")]
    assert by_gender == (frame["stage_30d"] == "pay").sum()


def test_the_price_is_shown_before_and_charged_to_the_owner_alone(made: dict[str, Home], asked: dict[str, Any]) -> None:
    dry = boards.make(made["merchant"].path, "spring", dry_run=True)
    assert (dry["made"], dry["charged"]) == (False, False)
    assert dry["rho_micro"] == asked["rho_micro"] <= boards.RHO["full"]
    assert dry["rho_micro"] == -(-1_000_000 * (asked["tables"] + asked["sums"]) // (2 * asked["sigma"] ** 2))
    assert dry["price"]["month_rho_micro"] > dry["rho_micro"]
    assert asked["charged"]
    debit = next(e.body for e in read(made["platform"].ledger_path).entries if e.kind == "debit")
    assert (debit["lineage"], debit["rho_micro"]) == ("users", dry["rho_micro"])
    assert spent(made["merchant"]) == 0  # keeps account, has no dataset in it


def test_the_same_question_has_the_same_answer_and_costs_nothing(made: dict[str, Home], asked: dict[str, Any]) -> None:
    before, paid = board_of(made["merchant"]), spent(made["platform"])
    again = boards.make(made["merchant"].path, "spring")
    assert (again["charged"], again["receipt"]) == (False, asked["receipt"])
    assert len(Boards(made["merchant"]).list("spring", "users")) == 1
    assert spent(made["platform"]) == paid
    after = board_of(made["merchant"])
    assert all((after.counts[name] == before.counts[name]).all() for name in before.counts)


def test_both_ledgers_hold_it_and_verify(made: dict[str, Home], asked: dict[str, Any], tmp_path: Path) -> None:
    for party in ("merchant", "platform"):
        assert {"debit", "release", "countersign"} <= set(kinds(made[party]))
        assert "match" not in kinds(made[party])
        assert "input" not in kinds(made[party])
        auditing.verified(made[party].path, None, None)
    assert "draws" in kinds(made["platform"])
    assert set(kinds(made["operator"])) == {"contract"}
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(_receipt(made["merchant"]).encode())
    for party in ("merchant", "platform"):
        told = auditing.verified(made[party].path, receipt, None)["receipt"]
        assert told["steps"][-2][:1] == "5"  # the table at hand is the one released
        assert told["steps"][-1][:1] == "6"
    signed = _receipt(made["merchant"])
    assert set(signed.signatures) == {"merchant", "platform"}
    assert signed.receipt.tables[0] == ()


def _receipt(home: Home) -> SignedReceipt:
    from cleanroom.answer import closing

    question = next(str(e.body["question"]) for e in read(home.ledger_path).entries if e.kind == "release")
    return closing.recall(home, question)[1]


def test_it_is_counted_again_by_whoever_asked(made: dict[str, Home], asked: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(_receipt(made["merchant"]).encode())
    assert replaying.replayed(made["merchant"].path, file)["same"]
    with pytest.raises(Refused, match="Whoever asked"):
        replaying.replayed(made["platform"].path, file)
    auditing.verified(made["platform"].path, None, None)


def test_no_contract_no_board(made: dict[str, Home]) -> None:
    with pytest.raises(Refused, match="no boards"):
        boards.make(made["merchant"].path, "shut")
    with pytest.raises(Refused, match="no boards"):
        boards.make(made["merchant"].path, "shut", dataset="users")
    with pytest.raises(Refused, match="no boards"):
        boards.make(made["platform"].path, "spring", dataset="crm")
    with pytest.raises(Refused):
        world.room(made, "quiet", noise=False)


def test_the_owner_refuses_what_its_contract_does_not_allow(made: dict[str, Home]) -> None:
    """Also where whoever asks does not look."""
    asked = BoardAsked("merchant", "users", ((), ("users.gender",)))
    ran = _run(made, "shut", asked, ("users.gender",), (), 20)
    assert isinstance(ran.failures["platform"], Refused)
    assert set(kinds(made["operator"])) == {"contract"}


def test_two_rooms_spend_one_budget_and_where_it_is_spent_nobody_is_charged(made: dict[str, Home]) -> None:
    """One of them of two parties alone, another of a contract that allows hardly any."""
    boards.make(made["merchant"].path, "spring")
    before = spent(made["platform"])
    found = boards.make(made["merchant"].path, "two", board="daily")
    assert spent(made["platform"]) == before + found["rho_micro"]
    assert found["rho_micro"] <= boards.RHO["daily"]
    entries = len(read(made["merchant"].ledger_path).entries)
    with pytest.raises(Refused, match="budget of a dataset"):
        boards.make(made["merchant"].path, "poor")
    assert spent(made["platform"]) == before + found["rho_micro"]
    assert len(read(made["merchant"].ledger_path).entries) == entries
    for party in ("merchant", "platform"):
        auditing.verified(made[party].path, None, None)


def _run(made: dict[str, Home], room: str, asked: BoardAsked, by: tuple[str, ...], sums: tuple[str, ...],
         sigma: int) -> room_world.Ran:  # fmt: skip
    part = {name: made[name] for name in (asked.asker, "platform")}
    return room_world.run(part, Query(by, sums), name=room, wished=sigma, board=asked)


def test_ones_own_numbers_are_exact_and_free(made: dict[str, Home]) -> None:
    before = spent(made["platform"])
    own = boards.make(made["platform"].path, "spring")
    assert (own["exact"], own["charged"], own["people"], own["sigma"]) == (True, False, world.PEOPLE, 0)
    assert spent(made["platform"]) == before
    alone_ = boards.own(made["platform"], "users")
    in_room = boards.own(made["platform"], "spring")
    assert alone_.room == ""
    assert int(alone_.counts[()]) == int(in_room.counts[()])
    assert sorted(alone_.counts["gender", "stage_30d"].ravel())[-8:] == sorted(
        in_room.counts["gender", "stage_30d"].ravel())[-8:]  # fmt: skip
    with pytest.raises(UsageError):
        boards.own(made["platform"], "nothing")
    with pytest.raises(Refused):
        boards.make(made["operator"].path, "spring")


def test_the_contract_says_who_sees_boards(made: dict[str, Home]) -> None:
    contract = Rooms(made["merchant"].rooms).load("spring").contract
    said = {party: " ".join(s.template for s in sentences) for party, sentences in learns(contract).items()}
    assert "boards of {dataset}" in said["merchant"]
    assert "which boards" in said["platform"]
    assert "board" not in said["operator"]
    before = replace(contract, release=replace(contract.release, alone=()))
    assert "alone" not in before.canonical()["release"]
    assert before.digest() != contract.digest()


def test_the_report_date_is_of_the_import_or_the_day_before() -> None:
    assert alone.report_date({"as_of": "2026-01-31"}, "2026-02-03T00:00:00+00:00") == dt.date(2026, 1, 31)
    assert alone.report_date({}, "2026-02-03T15:59:00+00:00") == dt.date(2026, 2, 2)
    assert alone.report_date({}, "2026-02-03T16:01:00+00:00") == dt.date(2026, 2, 3)  # the 4th in China
