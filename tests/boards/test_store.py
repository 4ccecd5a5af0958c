"""Boards in a home: by report date, what is restated marked, sealed. And the coded columns that make counting fast."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cleanroom import datasets
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.insight import coded
from cleanroom.insight.board_store import Boards
from cleanroom.insight.tables import Tables
from cleanroom.matching import cells
from cleanroom.operations.backup import _LEFT_OUT
from cleanroom.rooms import draft
from cleanroom.rooms.terms import Column
from tests import near
from tests.boards import world

DAY = dt.date(2026, 11, 21)
FULL = {(): np.array(500), ("a",): np.array([1, -2, 499]), ("a", "b"): np.arange(6).reshape(3, 2)}


def tables(day: dt.date = DAY, made: str = "2026-11-22T01:00:00+00:00", receipt: str = "a1" * 32, *,
           full: bool = True) -> Tables:  # fmt: skip
    counts = {name: FULL[name].astype(np.int64) for name in FULL if full or len(name) < 2}
    columns = {"a": ("金牌", "other", "unknown"), "b": ("other", "unknown")}
    return Tables("users", day, columns, counts, {"paid": -5}, {"paid": 100}, 20, 100, 195, made, receipt, "spring")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = near.new_home(tmp_path / "home", "merchant")
    (made.rooms / "spring").mkdir(parents=True)
    return made


def test_a_board_comes_back_as_it_was_kept(home: Home) -> None:
    boards = Boards(home)
    assert boards.latest("spring", "users") is None
    boards.keep("spring", tables(), "c3" * 32)
    boards.keep("spring", tables(), "c3" * 32)
    assert len(boards.list("spring", "users")) == 1
    found = boards.latest("spring", "users")
    assert found is not None
    assert found.counts.keys() == FULL.keys()
    assert all((found.counts[name] == FULL[name]).all() and found.counts[name].shape == FULL[name].shape
               for name in FULL)  # fmt: skip
    assert (found.sums, found.sum_reach, found.columns) == ({"paid": -5}, {"paid": 100}, tables().columns)
    stored = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert "金牌".encode() not in stored
    with pytest.raises(UsageError):
        boards.keep("autumn", tables(), "c3" * 32)
    with pytest.raises(UsageError):
        boards.load("spring", "users", DAY - dt.timedelta(days=1))


def test_a_later_version_of_a_day_is_restated_and_counts(home: Home) -> None:
    boards = Boards(home)
    boards.keep("spring", tables(), "c3" * 32)
    boards.keep("spring", tables(made="2026-11-22T02:00:00+00:00", receipt="a2" * 32, full=False), "c3" * 32)
    assert not boards.restated("spring", "users", DAY)  # of the same data
    assert len(boards.load("spring", "users", DAY).counts) == 3
    later = tables(made="2026-11-23T02:00:00+00:00", receipt="a3" * 32)
    boards.keep("spring", later, "d4" * 32)
    assert boards.restated("spring", "users", DAY)
    assert boards.load("spring", "users", DAY).receipt == "a3" * 32
    assert boards.load("spring", "users", DAY, [("a",)]).receipt == "a3" * 32
    tomorrow = DAY + dt.timedelta(days=1)
    boards.keep("spring", tables(tomorrow, "2026-11-23T03:00:00+00:00", "a4" * 32), "e5" * 32)
    assert not boards.restated("spring", "users", tomorrow)
    assert boards.days("spring", "users") == (DAY, tomorrow)
    newest = boards.latest("spring", "users")
    assert newest is not None
    assert newest.report_date == tomorrow
    before = DAY - dt.timedelta(days=1)
    boards.keep("spring", tables(before, "2026-11-23T04:00:00+00:00", "a5" * 32), "f6" * 32)
    assert boards.restated("spring", "users", before)  # a later day was told before
    with pytest.raises(UsageError):
        boards.load("spring", "users", DAY, [("z",)])


def test_an_unknown_version_is_refused(home: Home) -> None:
    boards = Boards(home)
    kept = boards.keep("spring", tables(), "c3" * 32)
    (path,) = [each for each in (home.rooms / "spring/boards").rglob("*") if each.is_file()]
    name = f"board/spring/{path.parent.name}/{kept.name}"
    path.write_bytes(home.wrapping.wrap(name, b"cleanroom-board/9\n{}"))
    with pytest.raises(BadData, match="format"):
        boards.latest("spring", "users")


def test_coded_columns_are_kept_sealed_and_go_with_the_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coded, "_LEAST_ROWS", 1)
    home = near.new_home(tmp_path / "platform", "platform")
    world.add(home, tmp_path, "users", world.users(500))
    found = cells.propose_cells(home.vault, "users", "gender", most=9, least_people=1)
    annex = draft.column("users", "gender", "category", found)[1]
    amount = Column("net_paid_30d", "amount", low=0, high=1000)
    first = home.vault.manifest("users")
    expected = cells.codes(home.vault, "users", annex)
    for _ in range(2):
        assert (coded.codes(home, first, annex) == expected).all()
        assert coded.total(home, first, amount) == int(cells.amounts(home.vault, "users", amount).sum())
    kept = list(home.path.rglob("coded-*"))
    assert len(kept) == 2
    assert all(_LEFT_OUT.fullmatch(path.name) for path in kept)
    assert all(expected.astype(np.uint8).tobytes() not in path.read_bytes() for path in kept)
    relabelled = replace(annex, labels=tuple(reversed(annex.labels)))
    assert (coded.codes(home, first, relabelled) != expected).any()
    (tmp_path / "gone.csv").write_text(f"phone\n{world.users(500)['phone'][0]}\n")
    datasets.forget(home.path, str(tmp_path / "gone.csv"), "phone", None)
    assert not any(path.exists() for path in kept)
    assert len(coded.codes(home, home.vault.manifest("users"), annex)) == 499
    with pytest.raises(BadData, match="changed"):
        coded.codes(home, first, annex)
