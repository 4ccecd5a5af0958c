"""Changes of a room: told term by term, in force with all signatures or not at all, and nothing of the old is lost."""

import copy
import dataclasses
import datetime as dt
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from cleanroom import auditing
from cleanroom.answer import closing
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.rooms import cards, desk, draft, signing
from cleanroom.rooms.agreeing import TO_SIGN
from cleanroom.rooms.changes import Line, differences
from cleanroom.rooms.changing import Wished
from cleanroom.rooms.contract import Contract, SignedContract, from_canonical
from cleanroom.rooms.invitations import accept, change, invite, refuse, sign
from cleanroom.rooms.meetings import Asked, Meetings
from cleanroom.rooms.review import reviewed
from cleanroom.rooms.store import Room, Rooms, to_plain
from cleanroom.rooms.terms import ReleaseRules
from tests.near import NearEngine
from tests.room import world as runs
from tests.rooms import parts, wire
from tests.rooms.parts import Drafted
from tests.rooms.wire import BITS, World

ALL = ("merchant", "platform", "operator")


@pytest.fixture(autouse=True, scope="module")
def _small_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "DEFAULT_KEY_BITS", BITS)
        yield


@pytest.fixture(scope="module")
def agreed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes with the room `spring` in force at all three."""
    folder = tmp_path_factory.mktemp("agreed")
    world = World(wire.prepared(tmp_path_factory.mktemp("made")), folder)
    asked = Asked("spring campaign")
    invite(world["merchant"].path, "spring", ["platform"], "operator", "crm", ["tier", "spend"], asked)
    world.deliver()
    accept(world["platform"].path, "spring", "users", ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.deliver()
    for party in ALL:
        sign(world[party].path, "spring")
    world.deliver()
    world.close()
    return folder


@pytest.fixture
def world(agreed: Path, tmp_path: Path) -> Iterator[World]:
    found = World(agreed, tmp_path)
    yield found
    found.close()


def now(world: World, party: str) -> Contract:
    """What is in force there."""
    return Rooms(world[party].home.rooms).load("spring").in_force(dt.datetime.now(dt.UTC))


def state(world: World, party: str) -> str:
    found = desk.listed(world[party].path)["rooms"][0]["state"]
    return str(found["template"].format(**{k: v for k, v in found.items() if k != "template"}))


def texts(lines: list[Line]) -> dict[str, bool]:
    return {line.template.format(**line.params): line.weaker for line in lines}


def test_with_all_signatures_the_new_one_is_in_force_and_the_old_one_kept(world: World) -> None:
    before = now(world, "platform")
    change(world["platform"].path, "spring", Wished(expires="200", k=150, epsilon=20, purpose="spring and summer"))
    world.deliver()
    assert state(world, "merchant") == "change waiting for ['merchant', 'platform', 'operator']"
    told = reviewed(world["operator"].path, "spring")
    lines = {each["template"].format(**each["params"]): each["weaker"] for each in told["changes"]}
    assert lines["at least 150 people behind any number; before: 100"] is False
    assert lines["questions of ε 20 a month about each dataset; before: 10"] is True
    assert lines["purposes: spring and summer; before: spring campaign"] is True
    assert any(line.startswith("the room ends on") and weaker for line, weaker in lines.items())
    for party in ("merchant", "platform"):
        sign(world[party].path, "spring")
        world.deliver()
        assert {now(world, each).digest() for each in ALL} == {before.digest()}  # the old one stays
    sign(world["operator"].path, "spring")
    world.deliver()
    (after,) = {now(world, party).digest() for party in ALL}
    assert now(world, "merchant").release.k == 150
    for party in ALL:
        kept = Rooms(world[party].home.rooms)
        assert state(world, party) == "in force"
        assert [room.contract for room in kept.earlier("spring")] == [before]
        found = kept.under(before.digest())
        assert found is not None and found.contract == before and (found.annexes is None) == (party == "operator")
        with pytest.raises(Refused, match="another contract of the room spring since"):
            found.in_force(dt.datetime.now(dt.UTC))
        assert kept.under(after) == kept.load("spring")
        assert (len(kept.names()), len(kept.every())) == (1, 2)
        entries = auditing.entries(world[party].path)["entries"]
        assert [entry["kind"] for entry in entries] == ["contract", "contract"]
        auditing.verified(world[party].path, None, None)
        exported = auditing.exported(world[party].path, world[party].path.with_suffix(".export"))
        assert exported["missing_contracts"] == []


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_at_every_moment_one_contract_is_in_force_at_each_node(agreed: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(agreed, Path(folder))
        before = now(world, "merchant").digest()
        change(world["merchant"].path, "spring", Wished(k=200))
        (wanted,) = [each.offered for each in Meetings(world["merchant"].home).all() if each.of]
        assert wanted is not None
        while True:
            acts: dict[str, Any] = {f"{a} to {b}": (a, b) for a, b in world.lines()}
            for party in ALL:
                meeting = Meetings(world[party].home).open_for("spring")
                if meeting is not None and party not in meeting.signatures:
                    acts[f"{party} signs"] = party
            if not acts:
                break
            name = data.draw(st.sampled_from(sorted(acts)))
            if name.endswith("signs"):
                sign(world[acts[name]].path, "spring")
            else:
                world.carry(*acts[name], times=data.draw(st.integers(1, 2)))
            signed = {p for p in ALL for m in Meetings(world[p].home).all() if m.of and p in m.signatures}
            for party in ALL:
                found = now(world, party).digest()
                assert found == before or (found == wanted.contract.digest() and signed == set(ALL))
        assert {now(world, party).digest() for party in ALL} == {wanted.contract.digest()}
        assert [node.failed for node in world.nodes.values()] == [[]] * 3
        world.close()


def test_a_home_restored_from_before_a_change_catches_up_by_file(world: World, tmp_path: Path) -> None:
    old = tmp_path / "restored"
    shutil.copytree(world["platform"].path, old)
    before = tmp_path / "before.json"
    shutil.copy(world["merchant"].path / "rooms" / "spring" / "room.json", before)
    change(world["merchant"].path, "spring", Wished(k=200))
    world.deliver()
    for party in ALL:
        sign(world[party].path, "spring")
    world.deliver()
    file = tmp_path / "spring.json"
    shutil.copy(world["merchant"].path / "rooms" / "spring" / "room.json", file)
    partial = to_plain(Rooms(world["merchant"].home.rooms).load("spring"))
    del partial["signed"]["signatures"]["platform"]
    (tmp_path / "partial.json").write_text(json.dumps(partial))
    with pytest.raises(Refused, match="which all have signed"):
        signing.sign(old, tmp_path / "partial.json", tmp_path / "out.json")
    signing.sign(old, file, tmp_path / "out.json")
    kept = Rooms(old / "rooms")
    assert kept.load("spring").in_force(dt.datetime.now(dt.UTC)) == now(world, "merchant")
    assert len(kept.earlier("spring")) == 1
    with pytest.raises(Refused, match="which all have signed"):  # and never back
        signing.sign(old, before, tmp_path / "out.json")


def test_a_refused_change_leaves_everything_as_it_was(world: World) -> None:
    before = now(world, "merchant")
    change(world["merchant"].path, "spring", Wished(epsilon=100))
    world.deliver()
    sign(world["merchant"].path, "spring")
    sign(world["platform"].path, "spring")
    refuse(world["operator"].path, "spring", "too much")
    world.deliver()
    for party in ALL:
        assert (now(world, party), state(world, party)) == (before, "in force")
        assert world[party].here.approvals.waiting() == []
        with pytest.raises(UsageError):
            sign(world[party].path, "spring")
    change(world["operator"].path, "spring", Wished(k=300))  # and another may be proposed, by an operator too
    world.deliver()
    for party in ALL:
        sign(world[party].path, "spring")
    world.deliver()
    assert {now(world, party).release.k for party in ALL} == {300}
    assert {now(world, party).release.epsilon for party in ALL} == {10}


def test_two_changes_at_once_end_each_other(world: World) -> None:
    before = now(world, "merchant")
    change(world["merchant"].path, "spring", Wished(k=200))
    change(world["platform"].path, "spring", Wished(k=300))
    world.deliver()
    with pytest.raises(CleanroomError):
        sign(world["operator"].path, "spring")
    assert {now(world, party).digest() for party in ALL} == {before.digest()}
    assert {state(world, party) for party in ALL} == {"in force"}


def test_a_second_change_waits_for_the_first(world: World) -> None:
    change(world["merchant"].path, "spring", Wished(k=200))
    with pytest.raises(Refused, match="waits already"):
        change(world["merchant"].path, "spring", Wished(k=300))
    world.deliver()
    with pytest.raises(Refused, match="waits already"):
        change(world["platform"].path, "spring", Wished(k=300))
    assert [each.kind for each in world["platform"].here.approvals.waiting()] == [TO_SIGN]


def test_a_change_that_is_none_or_more_is_refused(world: World, tmp_path: Path) -> None:
    path = world["merchant"].path
    room = Rooms(world["merchant"].home.rooms).load("spring")
    assert room.annexes is not None
    for wished, text in (
        (Wished(), "Say what is to change"),
        (Wished(expires="soon"), "no day"),
        (Wished(expires="2020-01-01"), "ends within"),
        (Wished(k=10), "below"),
    ):
        with pytest.raises(CleanroomError, match=text):
            change(path, "spring", wished)
    with pytest.raises(UsageError, match="There is no room winter"):
        change(path, "winter", Wished(k=200))
    draft.write(tmp_path / "draft.toml", room.contract, room.annexes)
    text = (tmp_path / "draft.toml").read_text("utf-8")
    key = room.contract.party("platform").signing
    (tmp_path / "draft.toml").write_text(text.replace(key, "ab" * 32), "utf-8")
    with pytest.raises(Refused, match="parties with their keys"):
        change(path, "spring", Wished(), tmp_path / "draft.toml")
    with pytest.raises(UsageError, match="not by both"):
        change(path, "spring", Wished(k=200), tmp_path / "draft.toml")
    assert world.lines() == []


def test_a_draft_changes_columns_and_labels(world: World, tmp_path: Path) -> None:
    room = Rooms(world["platform"].home.rooms).load("spring")
    assert room.annexes is not None
    draft.write(tmp_path / "draft.toml", room.contract, room.annexes)
    text = (tmp_path / "draft.toml").read_text("utf-8").replace('"gold", "silver"', '"gold"', 1)
    (tmp_path / "draft.toml").write_text(text, "utf-8")
    change(world["platform"].path, "spring", Wished(), tmp_path / "draft.toml")
    world.deliver()
    lines = [
        each["template"].format(**each["params"]) for each in reviewed(world["merchant"].path, "spring")["changes"]
    ]
    assert "crm.tier: values gold, other, unknown; before: gold, silver, other, unknown" in lines
    assert len(lines) == 3  # the number of cells, and that epochs begin anew
    at_operator = reviewed(world["operator"].path, "spring")["changes"]
    assert "gold" not in str(at_operator)
    assert sum("the labels may be others" in each["template"] for each in at_operator) == 2
    for party in ALL:
        sign(world[party].path, "spring")
    world.deliver()
    assert {len(now(world, party).datasets[0].columns) for party in ALL} == {2}


def test_a_peer_cannot_change_what_is_in_force_here(world: World) -> None:
    before = Rooms(world["platform"].home.rooms).load("spring")
    other = dataclasses.replace(before.contract, release=dataclasses.replace(before.contract.release, k=60))
    party = dataclasses.replace(before.contract.parties[2], exchange="ab" * 32)

    def body(contract: Contract, of: str, meeting: str = "ab" * 16) -> dict[str, Any]:
        plain = to_plain(Room(SignedContract(contract, before.signed.signatures), before.annexes))
        return {"format": 1, "meeting": meeting, "room": "spring", "of": of, "contract": plain}

    digest = before.contract.digest()
    swapped = dataclasses.replace(other, parties=(*before.contract.parties[:2], party))
    for wrong in (body(other, "cd" * 32), body(swapped, digest), body(before.contract, digest), body(other, "")):
        with pytest.raises(CleanroomError):
            world.say("merchant", "platform", "room.offered", wrong)
    assert Meetings(world["platform"].home).open_for("spring") is None
    world.say("merchant", "platform", "room.offered", body(other, digest))
    meeting = Meetings(world["platform"].home).open_for("spring")
    assert meeting is not None and meeting.signatures == {}  # those of the old one are none of the new
    with pytest.raises(BadData):
        world.say("merchant", "platform", "room.signed", {
            "format": 1, "meeting": "ab" * 16, "room": "spring",
            "signed": to_plain(Room(SignedContract(other, before.signed.signatures), None)),
        })  # fmt: skip
    assert Rooms(world["platform"].home.rooms).load("spring") == before


def test_the_store_itself_never_replaces_a_contract_unasked(world: World) -> None:
    kept = Rooms(world["merchant"].home.rooms)
    before = kept.load("spring")
    other = dataclasses.replace(before.contract, purposes=("resale",))
    signed = SignedContract(other)
    for party in ALL:
        signed = signed.sign(party, world[party].home.keys)
    for room, instead in (
        (Room(signed, before.annexes), ""),
        (Room(signed, before.annexes), "ab" * 32),
        (Room(SignedContract(other), before.annexes), before.contract.digest()),
    ):
        with pytest.raises(Refused, match="which all have signed"):
            kept.save(room, instead_of=instead)
    assert kept.load("spring") == before


def test_receipts_of_before_hold_after_and_runs_take_the_new_one(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cleanroom.enclave.handle.start", lambda **_: NearEngine())
    homes = {party: node.home for party, node in world.nodes.items()}
    receipts = []
    for k in (150, None):
        ran = runs.run(homes, Query(("crm.tier",), ()), name="spring")
        assert ran.failures == {}
        kept = ran.outcomes["platform"].receipt
        assert kept is not None
        receipts.append(tmp_path / f"{k}.receipt")
        receipts[-1].write_bytes(closing.recall(homes["platform"], kept["question"])[1].encode())
        if k is not None:
            (world["merchant"].path / "rooms" / "spring" / "keyed-1").mkdir(exist_ok=True)
            change(world["merchant"].path, "spring", Wished(k=k))
            world.deliver()
            for party in ALL:
                sign(world[party].path, "spring")
            world.deliver()
            assert not (world["merchant"].path / "rooms" / "spring" / "keyed-1").exists()
    for receipt in receipts:
        for party in ("merchant", "platform"):
            assert auditing.verified(world[party].path, receipt, None)["receipt"] is not None


# -- the differences


@settings(max_examples=30, deadline=None)
@given(parts.contracts(), st.data())
def test_no_changed_term_goes_unsaid(drafted: Drafted, data: st.DataObject) -> None:
    before, plain = drafted[0].canonical(), copy.deepcopy(drafted[0].canonical())
    path = data.draw(st.sampled_from(_leaves(plain)))
    inner = plain
    for key in path[:-1]:
        inner = inner[key]
    value = inner[path[-1]]
    inner[path[-1]] = (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}x"
    try:
        after = from_canonical(plain)
    except CleanroomError:
        return
    assume(path[-1] not in ("created", "annex"))
    rooms = [Room(SignedContract(each), drafted[1]) for each in (drafted[0], after)]
    assert before != plain
    assert len(differences(rooms[0], rooms[1])) >= 2  # the last one says that epochs begin anew
    assert len(differences(rooms[0], rooms[0])) == 1


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [leaf for key, item in items for leaf in _leaves(item, (*path, key))]
    return inner if isinstance(value, dict | list) else [path]


def test_what_protects_less_is_marked(agreed: Path, tmp_path: Path) -> None:
    world = World(agreed, tmp_path)
    room = Rooms(world["merchant"].home.rooms).load("spring")
    contract = room.contract
    crm, users = contract.datasets
    tier, spend = crm.columns
    rules = {"recipients": contract.release.recipients, "k": 50}

    def changed(**terms: Any) -> dict[str, bool]:
        after = Room(SignedContract(dataclasses.replace(contract, **terms)), room.annexes)
        return texts(differences(room, after)[:-1])

    wider = dataclasses.replace(crm, columns=(tier, dataclasses.replace(spend, high=10**9)), rows=10**6)
    fewer = dataclasses.replace(users, columns=())
    assert changed(release=ReleaseRules(**rules)) == {
        "at least 50 people behind any number; before: 100": True,
        "noise in releases: off; before: gaussian": True,
        "noise of no people on each count; before: 20": True,
        "questions of ε no a month about each dataset; before: 10": False,
    }
    assert changed(datasets=(wider, fewer)) == {
        f"crm: at most 1000000 persons; before: {crm.rows}": True,
        f"crm.spend: largest amount {10**9}; before: {spend.high}": True,
        "the column users.tier is left out": False,
    }
    named = dataclasses.replace(tier, members=True)
    assert changed(datasets=(dataclasses.replace(crm, columns=(named, spend)), users)) == {
        "crm.tier: may define members lists: yes; before: no": True
    }
    assert changed(datasets=(dataclasses.replace(crm, columns=(tier, spend), consent="x"), users)) == {
        "crm: consent or legal basis: x; before: ": True
    }
    world.close()
