"""Crowds as they are run: who is in one, who is told, what it costs, and what the wires and files do not say."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cleanroom import auditing
from cleanroom.activation import memberships
from cleanroom.answer.crowd import CrowdAsked
from cleanroom.crowds import running
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.lookalike_request import list_code
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selecting import FILLED_UP, choose
from cleanroom.crowds.selection import Listed, Selection, Within
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.ledger.store import read
from cleanroom.node.parties import usual
from cleanroom.rooms import asked_for
from cleanroom.rooms.store import Rooms
from protocols.errors import ProtocolError
from tests.crowds.world import ENDS, ROOM, World, build
from tests.near import engines, parties
from tests.room.world import run as run_tapped


@pytest.fixture(scope="module", params=["keyed", "vole"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with parties():
        yield build(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def neutral(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with parties():
        yield build(tmp_path_factory.mktemp("neutral"), "keyed", sigma=20)


def within(world: World, column: str, *labels: str) -> Within:
    held = world.room.annex(*column.split(".")).labels
    return Within(column, tuple(sorted(held.index(label) for label in labels)))


def note(world: World, code: str, **other: str) -> CrowdNote:
    usual = {"version": "20261121", "name": code, "channel": "coupon", "ends": ENDS,
             "purpose": world.room.contract.purposes[0]}  # fmt: skip
    return CrowdNote(code, **{**usual, **other})


def given(world: World, code: str) -> set[str]:
    held = memberships.load(world.homes["platform"], ROOM, code, "20261121")
    return {world.users[row] for row in held.rows}


def test_the_receiver_alone_learns_just_who_is_in_the_crowd(world: World) -> None:
    rule = Selection(((within(world, "crm.level", "gold"), within(world, "users.stage", "visit", "pay")),))
    found = running.run(world.merchant, ROOM, rule, note=note(world, "G1"), tables=("users.city",))
    meant = world.meant(("gold",), ("visit", "pay"))
    assert given(world, "G1") == meant
    assert abs(found.people - len(meant)) < 8 * found.sigma
    assert abs(found.tables["users.city"]["Hangzhou"] + found.tables["users.city"]["Shanghai"] - len(meant)) < 60
    assert found.shown()["size"]["range"] == [1000, 1999]
    assert "people" not in found.shown()
    with pytest.raises(UsageError):
        memberships.load(world.homes["merchant"], ROOM, "G1", "20261121")
    again = running.run(world.merchant, ROOM, rule, note=note(world, "G1"), tables=("users.city",))
    assert replace(again, charged=True) == found
    assert not again.charged
    for home in world.homes.values():
        assert auditing.verified(home.path, None, None)
        auditing.entries(home.path)


def test_a_crowd_below_the_floor_is_given_to_nobody(world: World) -> None:
    rule = Selection(((within(world, "crm.level", "basic"), within(world, "users.stage", "none"),
                       within(world, "users.city", "Hangzhou")),))  # fmt: skip
    found = running.run(world.merchant, ROOM, rule, note=note(world, "FEW"))
    assert not found.enough
    with pytest.raises(UsageError):
        memberships.load(world.homes["platform"], ROOM, "FEW", "20261121")


def test_what_the_contract_does_not_allow_is_refused_before_anything_is_charged(world: World) -> None:
    everybody = Selection(((within(world, "users.stage", "visit", "pay"),),))
    before = running.price(world.merchant, ROOM)["left_rho_micro"]
    for wrong in ({"channel": "live"}, {"purpose": "something else"}, {"ends": "2031-01-01"}):
        with pytest.raises(Refused):
            running.run(world.merchant, ROOM, everybody, note=note(world, "W", **wrong))
    with pytest.raises(Refused):  # whom the platform may address is for the merchant to say
        running.run(world.homes["platform"].path, ROOM, everybody, note=note(world, "W"))
    with pytest.raises(Refused):
        running.run(world.merchant, ROOM, everybody, tables=("crm.level",))
    with pytest.raises(Refused):
        running.run(world.merchant, ROOM, Selection(((Within("users.stage", (99,)),),)))
    assert running.price(world.merchant, ROOM)["left_rho_micro"] == before


def test_an_operator_gives_nobody_members_of_whom_the_other_side_was_asked_for_the_size(neutral: World) -> None:
    """The receiver asks the other owner for a size, which any column may define, and the operator for its members."""
    platform, contract = neutral.homes["platform"], neutral.room.contract
    size = CrowdAsked.of(Selection(((within(neutral, "crm.level", "basic"),),)), None)
    query = {"by": [], "sums": [], "sigma": 20, "plan": True}
    wanted = {**size.for_operator(), "given": True}
    jobs = {name: {"room": ROOM, "query": query, "crowd": size.for_owner()} for name in contract.owners}
    jobs["operator"] = {"room": ROOM, "query": query, "crowd": wanted}
    spent = [len(read(home.ledger_path).entries) for home in neutral.homes.values()]
    with usual(platform, contract, list(neutral.homes), None) as met, pytest.raises(ProtocolError, match="same"):
        met.call("run", jobs)
    assert [len(read(home.ledger_path).entries) for home in neutral.homes.values()] == spent
    job = {"room": ROOM, "query": query, "crowd": wanted}
    with pytest.raises(Refused, match="for the other side to say"):  # nor at its node
        asked_for.check(contract, "operator", "platform", list(neutral.homes), job)
    asked_for.check(contract, "operator", "merchant", list(neutral.homes), job)


def test_a_crowd_is_not_given_by_a_size_that_says_nothing(world: World) -> None:
    """With noise of a million persons, a crowd of one would reach the floor every other time."""
    one = Selection(((within(world, "crm.level", "gold"), within(world, "users.city", "Hangzhou")),))
    before = running.price(world.merchant, ROOM)["left_rho_micro"]
    with pytest.raises(Refused, match="noise of 5 persons at most"):
        running.run(world.merchant, ROOM, one, note=note(world, "WIDE"), sigma=1_000_000)
    assert running.price(world.merchant, ROOM)["left_rho_micro"] == before


def test_a_list_made_for_peers_of_another_room_is_nobodys_to_name(neutral: World) -> None:
    home, room = neutral.homes["platform"], Rooms(neutral.homes["platform"].rooms).load(ROOM)
    people = home.vault.digests("users")[:100]
    own, others = list_code(ROOM, "C9", "1"), list_code("another", "C9", "1")
    for code in (own, others):
        Lists(home).create(code, "lookalike", "1/10", people)
    Lists(home).create("MINE", "upload", "mine", people)
    assert (choose(home, room, Selection(((Listed("users", own),),)), by_peer=True).classes > 0).sum() == 100
    for code in (others, f"{others}@20261122", "MINE", "NONE"):
        with pytest.raises(Refused, match="its owner's alone"):
            choose(home, room, Selection(((Listed("users", code),),)), by_peer=True)


@pytest.mark.parametrize("change", [{"version": "2026112"}, {"version": "20261311"}, {"ends": "20261220"},
                                    {"ends": "2026-W52-1"}, {"code": "../x"}])  # fmt: skip
def test_a_note_says_its_days_in_one_way(change: dict[str, str]) -> None:
    with pytest.raises(BadData):
        CrowdNote(**{"code": "C1", "version": "20261121", "name": "n", "channel": "coupon", "purpose": "p",
                     "ends": "2026-12-20", **change})  # fmt: skip


def test_columns_that_may_not_define_members_define_none(neutral: World, tmp_path: Path) -> None:
    world = build(tmp_path, "keyed", members=(), lists=False)
    rule = Selection(((within(world, "crm.level", "gold"),),))
    with pytest.raises(Refused, match="does not name crm"):
        running.run(world.merchant, ROOM, rule, note=note(world, "G"))
    running.run(world.merchant, ROOM, rule)  # its size may be asked for, of a neutral enclave
    Lists(world.homes["merchant"]).create("LX", "upload", "x", np.zeros((1, 32), np.uint8))
    with pytest.raises(Refused, match="no uploaded list"):
        running.run(world.merchant, ROOM, Selection(((Listed("crm", "LX"),),)), note=note(world, "G"))


def test_alternatives_that_mix_both_sides_need_a_neutral_enclave(world: World) -> None:
    rule = Selection(((within(world, "crm.level", "gold"),), (within(world, "users.stage", "pay"),)))
    if world.room.contract.match.protocol == "keyed":
        running.run(world.merchant, ROOM, rule, note=note(world, "MIX"))
        assert given(world, "MIX") == world.meant(("gold",)) | world.meant(stage=("pay",))
    else:
        with pytest.raises(Refused, match="neutral enclave"):
            running.run(world.merchant, ROOM, rule, note=note(world, "MIX"))


def test_a_list_brings_in_people_without_a_row_and_leaves_others_out(world: World) -> None:
    merchant = world.homes["merchant"]
    rows, code = merchant.vault.digests("crm"), world.room.contract.match.protocol
    platform = world.homes["platform"].vault.digests("users")
    strangers = platform[5_000:6_500]  # users who are no members
    Lists(merchant).create(f"L{code}", "upload", "list", np.concatenate([rows[:1_000], strangers]))
    Lists(merchant).create(f"B{code}", "black", "not these", rows[500:700])
    rule = Selection(((Listed("crm", f"L{code}"), Listed("crm", f"B{code}", inside=False)),))
    running.run(world.merchant, ROOM, rule, note=note(world, "LIST"))
    users = np.array(world.users)
    of = {digest.tobytes(): phone for digest, phone in zip(platform, users, strict=True)}
    wanted = {of[each.tobytes()] for each in np.concatenate([rows[:500], rows[700:1_000], strangers])
              if each.tobytes() in of}  # fmt: skip
    assert given(world, "LIST") == wanted


def test_how_many_an_owner_selects_is_not_told(neutral: World) -> None:
    """Two rules, one that means a third of the members and one that means all: the same sizes in every message."""
    sizes = []
    for labels in (("gold",), ("gold", "silver", "basic")):
        rule = Selection(((within(neutral, "crm.level", *labels), within(neutral, "users.stage", "pay")),))
        asked = CrowdAsked.of(rule, None)
        with engines():
            ran = run_tapped(neutral.homes, Query(), plan=True, crowd=asked)
        assert not ran.failures
        sizes.append([len(frame) for frame in ran.frames["operator"]["merchant"] if len(frame) > 4_000])
        assert rule.digest().encode() not in b"".join(ran.frames["operator"]["merchant"])
    assert sizes[0] and sizes[0] == sizes[1]


def test_items_of_whoever_is_not_meant_are_random_each_time(neutral: World) -> None:
    home, room = neutral.homes["merchant"], Rooms(neutral.homes["merchant"].rooms).load(ROOM)
    Lists(home).create("ONE", "upload", "one", neutral.homes["platform"].vault.digests("users")[-1:])
    rule = Selection(((within(neutral, "crm.level", "gold"),), (Listed("crm", "ONE"),)))
    first, second = choose(home, room, rule), choose(home, room, rule)
    same = (first.items == second.items).all(axis=1)
    assert len(first.items) == 6_000 + FILLED_UP
    assert first.digest == second.digest
    held = home.vault.digests("crm")
    meant = np.array([level == "gold" for level in neutral.level])
    assert (same[:6_000] == meant).all()
    assert (first.items[:6_000][meant] == held[meant]).all()
    assert same[6_000:].sum() == 1


def test_a_run_that_was_cut_off_before_the_members_came_gives_them_without_another_charge(world: World) -> None:
    rule = Selection(((within(world, "crm.level", "silver"), within(world, "users.stage", "pay", "visit")),))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memberships, "keep", _fails)
        with pytest.raises(CleanroomError):
            running.run(world.merchant, ROOM, rule, note=note(world, "CUT"))
    found = running.run(world.merchant, ROOM, rule, note=note(world, "CUT"))
    assert not found.charged
    assert given(world, "CUT") == world.meant(("silver",), ("pay", "visit"))


def _fails(*_: object) -> None:
    raise Refused("The disk is full.")
