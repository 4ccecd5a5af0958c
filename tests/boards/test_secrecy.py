"""What nobody but the two parties of a board sees, and what these do."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cleanroom import auditing, boards
from cleanroom.answer.board import BoardAsked
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData
from cleanroom.home import Home
from cleanroom.insight.board_store import Boards
from cleanroom.ledger.store import read
from protocols.errors import ProtocolError
from tests import near
from tests.boards import world
from tests.room import world as room_world

TABLES = ((), ("users.gender",), ("users.gender", "users.stage_30d"))
BY, SUMS = ("users.gender", "users.stage_30d"), ("users.net_paid_30d",)


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Home]]:
    """A room of three owners, who let boards of users be made."""
    with near.parties():
        homes = world.homes(tmp_path_factory.mktemp("three"), ("merchant", "platform", "shop", "operator"))
        world.room(homes, "spring")
        yield homes


def _text(counts: Any) -> bytes:
    return ",".join(map(str, counts.ravel().tolist())).encode()


def run(homes: dict[str, Home], asker: str, sigma: int = 20, **wishes: Any) -> room_world.Ran:
    part = {name: homes[name] for name in (asker, "platform")}
    board = BoardAsked(asker, "users", TABLES)
    return room_world.run(part, Query(BY, SUMS), name="spring", wished=sigma, board=board, **wishes)


def test_a_second_owner_gets_the_same_numbers_for_nothing(three: dict[str, Home]) -> None:
    before = {name: room_world.everything_in(home.path) for name, home in three.items()}
    first = run(three, "merchant")
    assert not first.failures, first.failures
    for name in ("shop", "operator"):
        assert room_world.everything_in(three[name].path) == before[name]  # not even a ledger's entry
    second = run(three, "shop")
    assert not second.failures, second.failures
    assert (first.outcomes["platform"].charged, second.outcomes["platform"].charged) == (True, False)
    one, other = (Boards(three[name]).latest("spring", "users") for name in ("merchant", "shop"))
    assert one is not None
    assert other is not None
    assert all((one.counts[name] == other.counts[name]).all() for name in one.counts)
    assert one.sums == other.sums
    for name in ("merchant", "platform", "shop"):
        auditing.verified(three[name].path, None, None)


def test_an_asker_sees_noised_numbers_and_how_many_rows_there_are(three: dict[str, Home]) -> None:
    """Its whole view of a run, in files and on the wire."""
    exact = boards.own(three["platform"], "spring")
    ran = run(three, "merchant", sigma=31)
    assert not ran.failures, ran.failures
    came = world.frames_of(ran, "merchant")
    board = Boards(three["merchant"]).latest("spring", "users")
    assert board is not None
    assert _text(board.counts["gender", "stage_30d"]) in came
    assert _text(exact.counts["gender", "stage_30d"]) not in came
    assert str(exact.sums["net_paid_30d"]).encode() not in came
    assert b"13800000" not in came
    assert b'"exact"' not in came
    stored = b"".join(room_world.everything_in(three["merchant"].path).values())
    assert board.counts["gender", "stage_30d"].tobytes() not in stored
    said = [each.template for each in ran.outcomes["merchant"].learned]
    assert said == ["the number of rows of {party}: {rows}", "numbers with noise about all persons of {dataset}"]
    assert ran.outcomes["merchant"].segments == []


def test_empty_cells_leave_like_all_others(three: dict[str, Home]) -> None:
    ran = run(three, "merchant", sigma=33)
    assert not ran.failures, ran.failures
    board = Boards(three["merchant"]).latest("spring", "users")
    assert board is not None
    empty = board.counts["gender", "stage_30d"][-2:]  # other, unknown
    assert empty.size == 12
    assert np.count_nonzero(empty) > 6


def test_noise_is_discrete_gaussian_of_the_sigma_that_is_said(three: dict[str, Home]) -> None:
    by = ("users.gender", "users.imported", "users.stage_30d", "users.visited_last")
    asked = BoardAsked("shop", "users", ((), by))
    part = {name: three[name] for name in ("shop", "platform")}
    ran = room_world.run(part, Query(by, ()), name="spring", wished=40, board=asked)
    assert not ran.failures, ran.failures
    rows = world.users()
    names = tuple(name.removeprefix("users.") for name in by)
    found = Boards(three["shop"]).load("spring", "users", Boards(three["shop"]).days("spring", "users")[-1], [names])
    exact = np.zeros_like(found.counts[names])
    for values, count in rows.groupby(list(names)).size().items():
        exact[tuple(found.columns[name].index(value) for name, value in zip(names, values, strict=True))] = count
    drawn = (found.counts[names] - exact).ravel() / 40
    assert len(drawn) == 576
    assert abs(drawn.mean()) < 4 / np.sqrt(len(drawn))
    assert 0.88 < drawn.std() < 1.12
    assert 0.92 < (abs(drawn) < 1.96).mean() < 0.98


def test_parties_that_were_asked_different_things_charge_nobody(
    three: dict[str, Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(read(three["platform"].ledger_path).entries)

    def side(home: Home, *given: Any, **named: Any) -> Side:
        return Side(home, *given, **{**named, "wished": 20 + len(home.party)})

    monkeypatch.setattr(room_world, "Side", side)
    part = {name: three[name] for name in ("shop", "platform")}
    ran = room_world.run(part, Query(BY, SUMS), name="spring", board=BoardAsked("shop", "users", TABLES))
    assert ProtocolError in {type(each) for each in ran.failures.values()}
    assert len(read(three["platform"].ledger_path).entries) == before


def test_a_changed_or_swapped_board_is_refused(three: dict[str, Home]) -> None:
    store = Boards(three["shop"])
    for sigma in (41, 43):
        assert not run(three, "shop", sigma=sigma).failures
    files = sorted(path for path in (three["shop"].rooms / "spring/boards").rglob("*") if path.is_file())
    whole = files[0].read_bytes()
    files[0].write_bytes(files[1].read_bytes())
    with pytest.raises(BadData):
        store.latest("spring", "users")
    files[0].write_bytes(whole[:-1])
    with pytest.raises(BadData):
        store.latest("spring", "users")
    files[0].write_bytes(whole)
    assert store.latest("spring", "users") is not None
