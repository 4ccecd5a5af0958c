"""Rooms of any size: who is matched as rows stream, and what is not gathered where they are too many to be kept."""

from pathlib import Path

import numpy as np
import pytest

from cleanroom.answer import merging, updates
from cleanroom.answer.side import Side
from cleanroom.enclave.duck import DuckEngine
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap import Overlap
from protocols.errors import ProtocolError
from protocols.psi import lining_up
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

ROWS, SHARED = 300, 200


def phones(first: int) -> list[int]:
    return [13_900_000_000 + 7919 * row for row in range(first, first + ROWS)]


def prepared(folder: Path, **other: object) -> tuple:
    merchant = world.csv(folder / "m.csv", {"phone": phones(0), "level": ["gold", "silver"] * (ROWS // 2)})
    platform = world.csv(folder / "p.csv", {"phone": phones(ROWS - SHARED)[::-1]})
    asked = Overlap(merchant, platform, by=("merchant.level",), k=50, **other)
    return world.prepare(folder, asked, "keyed")


def answered(ran: world.Ran) -> list[dict]:
    assert not ran.failures, ran.failures
    return [{"level": each["level"], "people": each["people"]} for each in ran.outcomes["platform"].segments]


GROUPS = [{"level": "gold", "people": 100}, {"level": "silver", "people": 100}]


def test_the_enclave_is_given_none_but_the_rows_that_both_have(tmp_path, monkeypatch):
    given: list[int] = []
    whole, load = DuckEngine.load_matched, DuckEngine.load
    monkeypatch.setattr(DuckEngine, "load_matched", lambda *of: given.append(rows := whole(*of)) or rows)
    monkeypatch.setattr(DuckEngine, "load", lambda *of: given.append(-1) or load(*of))
    homes, _, query = prepared(tmp_path)
    out = tmp_path / "members.csv"
    assert answered(world.run(homes, query, {"platform": out})) == GROUPS
    assert given == [SHARED + 4]
    members = [int(line.strip('"')) for line in out.read_text("utf-8-sig").split()[1:]]
    assert sorted(members) == phones(ROWS - SHARED)[:SHARED]


def test_a_cluster_lines_up_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(merging, "fits", lambda *_: False)
    homes, _, query = prepared(tmp_path)
    out = tmp_path / "members.csv"
    assert answered(world.run(homes, query, {"platform": out})) == GROUPS
    assert len(out.read_text("utf-8-sig").split()) == 1 + SHARED


def test_canaries_that_do_not_match_end_the_run(tmp_path, monkeypatch):
    places = lining_up.Passing.places
    monkeypatch.setattr(lining_up.Passing, "places", lambda self, high: places(self, high + np.uint64(1)))
    homes, _, query = prepared(tmp_path)
    ran = world.run(homes, query)
    assert isinstance(ran.failures["operator"], ProtocolError)
    assert "canaries" in str(ran.failures["operator"])
    assert not ran.outcomes


def test_what_is_too_large_to_be_kept_is_not_gathered(tmp_path, monkeypatch):
    """In a room that goes on from its last run: the second one sends all again, and nothing of the first is left."""
    drafted = world.draft_contract
    monkeypatch.setattr(world, "draft_contract", lambda *of: drafted(*of, stays=True))
    homes, room, query = prepared(tmp_path)
    assert room.contract.match.updates
    assert answered(world.run(homes, query)) == GROUPS
    assert kept(homes) == ["held", "sent", "sent"]
    levels = ["gold", "silver", "silver", "silver"] * (ROWS // 4)
    changed = world.csv(tmp_path / "m2.csv", {"phone": phones(0), "level": levels})
    import_source(homes["merchant"], Wish("crm", changed, by=("level",)))
    monkeypatch.setattr(updates, "may_be_kept", lambda rows: rows < ROWS)
    monkeypatch.setattr(Side, "digests", pytest.fail)
    groups = [{"level": "gold", "people": 50}, {"level": "silver", "people": 150}]
    assert answered(world.run(homes, query)) == groups
    assert kept(homes) == []


def kept(homes: dict[str, Home]) -> list[str]:
    return sorted(path.name for home in homes.values() for path in home.rooms.glob("*/keyed-*/*"))
