"""Rooms over the wire: from an invitation to a room in force, and everything that a peer may try on the way."""

import dataclasses
import datetime as dt
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cleanroom import auditing
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.node.peers import Peers
from cleanroom.node.post import Post
from cleanroom.rooms import cards, desk, draft, invitations
from cleanroom.rooms.agreeing import TO_JOIN, TO_SIGN
from cleanroom.rooms.changing import Wished
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.ended import leave
from cleanroom.rooms.invitations import accept, change, invite, refuse, sign
from cleanroom.rooms.left import Left
from cleanroom.rooms.meetings import Asked, Meetings
from cleanroom.rooms.review import reviewed
from cleanroom.rooms.store import Room, Rooms, from_plain, to_plain
from tests.rooms import wire
from tests.rooms.wire import BITS, World

ASKED = Asked("spring campaign")
ALL = ("merchant", "platform", "operator")


@pytest.fixture(autouse=True, scope="module")
def _small_keys() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cards, "DEFAULT_KEY_BITS", BITS)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return wire.prepared(tmp_path_factory.mktemp("made"))


@pytest.fixture
def world(made: Path, tmp_path: Path) -> Iterator[World]:
    found = World(made, tmp_path)
    yield found
    found.close()


@pytest.fixture(scope="module")
def agreed(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Homes with the room `spring` in force at all three."""
    folder = tmp_path_factory.mktemp("agreed")
    found = World(made, folder)
    in_force(found)
    found.close()
    return folder


@pytest.fixture
def room(agreed: Path, tmp_path: Path) -> Iterator[World]:
    found = World(agreed, tmp_path)
    yield found
    found.close()


def asked(world: World, operator: str | None = "operator") -> None:
    invite(world["merchant"].path, "spring", ["platform"], operator, "crm", ["tier", "spend"], ASKED)


def offered(world: World) -> None:
    asked(world)
    world.deliver()
    accept(world["platform"].path, "spring", "users", ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.deliver()


def in_force(world: World) -> None:
    offered(world)
    for party in ALL:
        sign(world[party].path, "spring")
    world.deliver()


def held(world: World, party: str) -> Room:
    return Rooms(world[party].home.rooms).load("spring")


def state(world: World, party: str, name: str = "spring") -> str:
    told = desk.listed(world[party].path)
    (found,) = [each["state"] for each in (*told["rooms"], *told["meetings"]) if each["room"] == name]
    return str(found["template"].format(**{k: v for k, v in found.items() if k != "template"}))


def digests(world: World) -> set[str]:
    return {held(world, party).in_force(dt.datetime.now(dt.UTC)).digest() for party in ALL}


def waiting(world: World, party: str) -> list[str]:
    return [each.kind for each in world[party].here.approvals.waiting()]


def test_three_parties_agree_over_the_wire(world: World) -> None:
    asked(world)
    assert state(world, "merchant") == "waiting for ['operator', 'platform']"
    world.deliver()
    assert [waiting(world, party) for party in ALL] == [[], [TO_JOIN], [TO_JOIN]]
    assert state(world, "platform") == "invited by merchant"
    accept(world["platform"].path, "spring", "users", ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.deliver()
    assert [waiting(world, party) for party in ALL] == [[TO_SIGN]] * 3
    assert Rooms(world["platform"].home.rooms).names() == []
    sign(world["platform"].path, "spring")
    world.deliver()
    assert state(world, "operator") == "waiting for ['merchant', 'operator']"
    sign(world["merchant"].path, "spring")
    sign(world["operator"].path, "spring")
    world.deliver()
    assert len(digests(world)) == 1
    assert [state(world, party) for party in ALL] == ["in force"] * 3
    assert [waiting(world, party) for party in ALL] == [[]] * 3
    assert [node.failed for node in world.nodes.values()] == [[]] * 3
    told = {to for _, to, content in world.carried if b"gold" in content}
    assert told == {"merchant", "platform"}  # labels go to owners, and never to an operator
    contract = held(world, "merchant").contract
    assert contract.match.protocol == "keyed"
    assert [[column.name for column in each.columns] for each in contract.datasets] == [["tier", "spend"], ["tier"]]
    for party in ALL:
        assert len(desk.verified(world[party].path, "spring")["steps"]) == (3 if party == "operator" else 4)
        assert [entry["kind"] for entry in auditing.entries(world[party].path)["entries"]] == ["contract"]


def test_an_operator_gets_no_label_and_owners_get_all(room: World) -> None:
    assert held(room, "operator").annexes is None
    assert {each.dataset for each in held(room, "platform").annexes or ()} == {"crm", "users"}
    everything = b"".join(path.read_bytes() for path in room["operator"].path.rglob("*") if path.is_file())
    assert b"gold" not in everything
    assert b"gold" in (room["platform"].path / "rooms" / "spring" / "room.json").read_bytes()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_messages_in_any_order_again_and_late_end_in_one_room(made: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(made, Path(folder))
        asked(world)
        while True:
            acts: dict[str, Any] = {f"{a} to {b}": (a, b) for a, b in world.lines()}
            for party in ALL:
                meeting = Meetings(world[party].home).open_for("spring")
                if meeting is not None and party not in meeting.cards:
                    acts[f"{party} accepts"] = party
                elif meeting is not None and meeting.offered is not None and party not in meeting.signatures:
                    acts[f"{party} signs"] = party
            if not acts:
                break
            name = data.draw(st.sampled_from(sorted(acts)))
            if isinstance(acts[name], tuple):
                world.carry(*acts[name], times=data.draw(st.integers(1, 2)))
            elif name.endswith("accepts"):
                dataset = wire.DATASETS.get(acts[name])
                accept(world[acts[name]].path, "spring", dataset, ["tier"] if dataset else [])
            else:
                sign(world[acts[name]].path, "spring")
            if data.draw(st.integers(0, 3)) == 3:
                assert world[data.draw(st.sampled_from(ALL))].settle() == []
        assert len(digests(world)) == 1
        assert [node.failed for node in world.nodes.values()] == [[]] * 3
        world.close()


def test_a_crash_between_keeping_and_telling_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def off(*_: object) -> None:
        raise Refused("The power went off.")

    def crash(act: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(Post, "send", off)
            with pytest.raises(Refused, match="power"):
                act()
        for party in ALL:
            assert world[party].settle() == []
        world.deliver()

    crash(lambda: asked(world))
    crash(lambda: accept(world["platform"].path, "spring", "users", ["tier"]))
    crash(lambda: accept(world["operator"].path, "spring", None, []))
    for party in ALL:
        crash(lambda party=party: sign(world[party].path, "spring"))
    assert len(digests(world)) == 1


def test_review_says_in_words_what_would_be_shared(world: World) -> None:
    asked(world)
    world.deliver()
    told = reviewed(world["platform"].path, "spring")
    text = " ".join(template.format(**params) for template, params in (*told["what"], *told["reveals"]))
    assert told["step"] == "accept"
    for part in ("merchant asks for a room spring", "spring campaign", "crm, with: tier, spend", "to: merchant."):
        assert part in text
    assert "gold" not in json.dumps(reviewed(world["operator"].path, "spring"))
    accept(world["platform"].path, "spring", "users", ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.deliver()
    told = reviewed(world["platform"].path, "spring")
    text = " ".join(template.format(**params) for template, params in told["reveals"])
    assert (told["step"], told["contract"]["release"]["k"]) == ("sign", 100)
    assert "platform brings users, at most 1,000 persons, with: tier" in text
    assert "operator learns by each run: both sides' numbers of rows" in text
    assert "symmetric cryptography is enough" in told["why"]["template"]
    with pytest.raises(UsageError, match="Nothing about the room winter"):
        reviewed(world["platform"].path, "winter")


def test_a_no_has_a_reason_and_reaches_all(world: World) -> None:
    asked(world)
    world.deliver()
    with pytest.raises(UsageError):
        refuse(world["platform"].path, "spring", "")
    refuse(world["platform"].path, "spring", "not before summer")
    world.deliver()
    for party in ALL:
        assert state(world, party) == "refused by platform: not before summer"
        assert waiting(world, party) == []
    with pytest.raises(UsageError, match="No invitation"):
        accept(world["operator"].path, "spring", None, [])
    asked(world)  # the name is free again
    world.deliver()
    assert state(world, "platform") == "invited by merchant"


def test_a_contract_that_one_refuses_is_none(world: World) -> None:
    offered(world)
    sign(world["merchant"].path, "spring")
    with pytest.raises(Refused, match="has signed it already"):
        refuse(world["merchant"].path, "spring", "on second thoughts")
    world.deliver()
    refuse(world["operator"].path, "spring", "no room for it")
    world.deliver()
    assert {state(world, party) for party in ALL} == {"refused by operator: no room for it"}
    with pytest.raises(UsageError, match="No contract"):
        sign(world["platform"].path, "spring")


def test_cards_that_do_not_fit_end_it_with_the_reason(world: World) -> None:
    asked(world, operator=None)
    world.deliver()
    with pytest.raises(UsageError, match="cannot offer rare"):
        accept(world["platform"].path, "spring", "users", ["rare"])
    from tests.rooms import parts

    parts.fill(world["platform"].home, "crm", 300)
    accept(world["platform"].path, "spring", "crm", ["tier"])
    world.deliver()
    assert "Both sides call their dataset crm" in state(world, "merchant")
    assert state(world, "platform") == state(world, "merchant")


def test_two_owners_alone_need_no_operator(world: World) -> None:
    asked(world, operator=None)
    world.deliver()
    accept(world["platform"].path, "spring", "users", ["tier"])
    world.deliver()
    for party in ("platform", "merchant"):
        sign(world[party].path, "spring")
    world.deliver()
    contract = held(world, "platform").in_force(dt.datetime.now(dt.UTC))
    assert contract.match.protocol == "dh"
    assert held(world, "merchant").contract == contract
    assert [slots.sums for slots in contract.slots] in ([("spend",)], [()])


def test_people_decide_in_the_list_of_approvals_too(world: World) -> None:
    offered(world)
    for party in ALL:
        (approval,) = world[party].here.approvals.waiting()
        world[party].here.approvals.decide(approval.id, party != "operator", "zhou", "later", owner=True)
        assert world[party].settle() == []
    world.deliver()
    assert {state(world, party) for party in ALL} == {"refused by operator: later"}


def test_what_nobody_signs_in_time_ends(world: World) -> None:
    offered(world)
    sign(world["merchant"].path, "spring")
    world.deliver()
    for party in ALL:
        meetings = Meetings(world[party].home)
        with meetings.changing() as held:
            meeting = held.open_for("spring")
            assert meeting is not None and meeting.offered is not None
            past = dataclasses.replace(
                meeting.offered.contract, created="2020-01-01T00:00:00+00:00", expires="2020-01-02T00:00:00+00:00"
            )
            signed = SignedContract(past, {"merchant": "00" * 64} if party == "merchant" else {})
            held.put(dataclasses.replace(meeting, offered=Room(signed, meeting.offered.annexes)))
        assert world[party].settle() == []
    world.deliver()
    assert {state(world, party).split(": ")[1] for party in ALL} == {"Nobody decided in time."}
    assert [waiting(world, party) for party in ALL] == [[]] * 3


def test_who_may_not_decide_signs_nothing(world: World) -> None:
    offered(world)
    with pytest.raises(Refused, match="mallory may not decide"):
        sign(world["platform"].path, "spring", "mallory")
    assert Meetings(world["platform"].home).open_for("spring").signatures == {}  # type: ignore[union-attr]


# -- what a peer may try


def _meeting(world: World, party: str) -> Any:
    return Meetings(world[party].home).last_for("spring")


def _asking(world: World, **changes: Any) -> dict[str, Any]:
    card = cards.make(world["merchant"].home, "merchant", "crm")
    invited = {"merchant": "owner", "platform": "owner", "operator": "operator"}
    wished = dataclasses.asdict(ASKED)
    plain = {"format": 1, "meeting": "ab" * 16, "room": "spring", "card": card, "invited": invited, "asked": wished}
    return {**plain, **changes}


HOSTILE_INVITATIONS: list[dict[str, Any]] = [
    {"format": 2},
    {"format": True},
    {"more": 1},
    {"meeting": "../../rooms/spring"},
    {"meeting": "AB" * 16},
    {"room": "../spring"},
    {"room": "a/b"},
    {"room": ""},
    {"invited": {"merchant": "owner"}},
    {"invited": {"merchant": "owner", "platform": "king"}},
    {"invited": {"merchant": "owner", "other": "owner"}},
    {"invited": {"merchant": "operator", "platform": "owner", "operator": "owner"}},
    {"invited": {"platform": "owner", "other": "owner"}},
    {"invited": {"merchant": "owner", "platform": ["owner"]}},
    {"invited": {f"p{each}": "owner" for each in range(30)}},
    {"asked": {}},
    {"asked": {**dataclasses.asdict(ASKED), "k": 3}},
    {"asked": {**dataclasses.asdict(ASKED), "k": "100"}},
    {"asked": {**dataclasses.asdict(ASKED), "protocol": "plain"}},
    {"asked": {**dataclasses.asdict(ASKED), "purpose": "two\nlines"}},
    {"asked": {**dataclasses.asdict(ASKED), "days": 10**9}},
    {"asked": {**dataclasses.asdict(ASKED), "more": 1}},
    {"card": {}},
    {"card": {"format": "cleanroom-card/2"}},
]


@pytest.mark.parametrize("change", HOSTILE_INVITATIONS, ids=str)
def test_hostile_invitations_leave_nothing_behind(world: World, change: dict[str, Any]) -> None:
    with pytest.raises(CleanroomError):
        world.say("merchant", "platform", "card.asked", _asking(world, **change))
    assert Meetings(world["platform"].home).all() == []
    assert (waiting(world, "platform"), world.lines()) == ([], [])


def test_a_card_is_its_senders_with_the_pinned_keys(world: World) -> None:
    others = cards.make(world["operator"].home, "merchant", None)
    forged = {**cards.make(world["merchant"].home, "merchant", "crm"), "signing": others["signing"]}
    renamed = {**others, "party": "merchant"}
    keys = {name: others[name] for name in ("signing", "exchange", "fingerprint")}
    swapped = {**cards.make(world["merchant"].home, "merchant", "crm"), **keys}
    for card in (others, forged, renamed, swapped, cards.make(world["merchant"].home, "operator", None)):
        with pytest.raises(BadData):
            world.say("merchant", "platform", "card.asked", _asking(world, card=card))
    with pytest.raises(BadData):  # somebody else's invitation, handed on
        world.say("operator", "platform", "card.asked", _asking(world))
    asked(world)
    world.deliver()
    identity = _meeting(world, "merchant").id
    good = cards.make(world["platform"].home, "platform", "users")
    given = {"format": 1, "meeting": identity, "room": "spring"}
    for sender, to, card in (
        ("operator", "platform", good),
        ("operator", "merchant", good),
        ("platform", "merchant", others),
    ):
        with pytest.raises(BadData):
            world.say(sender, to, "card.given", {**given, "card": card})
    assert set(_meeting(world, "merchant").cards) == {"merchant"}


def test_a_taken_name_is_answered_with_a_no(room: World) -> None:
    before = (room["platform"].path / "rooms" / "spring" / "room.json").read_bytes()
    room.say("operator", "platform", "card.asked", {
        **_asking(room), "card": {**cards.make(room["operator"].home, "provider", None), "dataset": _offer(room)},
        "invited": {"operator": "owner", "platform": "owner"},
    })  # fmt: skip
    assert room.lines() == [("platform", "operator")]
    assert (room["platform"].path / "rooms" / "spring" / "room.json").read_bytes() == before
    assert waiting(room, "platform") == []


def _offer(world: World) -> Any:
    return cards.make(world["merchant"].home, "merchant", "crm")["dataset"]


def test_one_peer_cannot_fill_the_list(world: World) -> None:
    body = _asking(world)
    for number in range(invitations.MOST_OPEN):
        world.say("merchant", "platform", "card.asked", {**body, "meeting": f"{number:032x}", "room": f"r{number}"})
    with pytest.raises(Refused, match="wait already"):
        world.say("merchant", "platform", "card.asked", {**body, "meeting": "ff" * 16, "room": "more"})


def _offering(world: World, room: Room, **changes: Any) -> dict[str, Any]:
    identity = _meeting(world, "merchant").id
    return {"format": 1, "meeting": identity, "room": "spring", "of": "", "contract": to_plain(room), **changes}


def _cards_given(world: World) -> Room:
    """A contract that the merchant would have offered honestly, which has not reached the platform."""
    asked(world, operator=None)
    world.deliver()
    accept(world["platform"].path, "spring", "users", ["tier"])
    world.carry("platform", "merchant")
    return _meeting(world, "merchant").offered  # type: ignore[no-any-return]


def _changed(given: Room, **changes: Any) -> Room:
    return Room(SignedContract(dataclasses.replace(given.contract, **changes)), given.annexes)


def test_a_contract_may_not_say_more_than_the_card(world: World) -> None:
    honest = _cards_given(world)
    users = honest.contract.dataset("users")
    term, annex = draft.column("users", "rare", "category", draft.Cells(("private-1",)))
    wider = dataclasses.replace(users, columns=(*users.columns, term))
    datasets = tuple(wider if each.name == "users" else each for each in honest.contract.datasets)
    more = Room(SignedContract(dataclasses.replace(honest.contract, datasets=datasets)), (*honest.annexes, annex))
    world.say("merchant", "platform", "room.offered", _offering(world, more))
    assert "does not offer" in state(world, "platform")
    assert waiting(world, "platform") == []


def test_a_card_is_not_a_way_to_fill_the_disk(world: World) -> None:
    card = cards.make(world["merchant"].home, "merchant", "crm")
    large = {**card, "dataset": {**card["dataset"], "name": "crm", "more": "x" * cards.MOST_BYTES}}
    body = {"format": 1, "meeting": "ab" * 16, "room": "winter", "card": large, "asked": {"purpose": "x"},
            "invited": {"merchant": "owner", "platform": "owner"}}  # fmt: skip
    with pytest.raises(BadData, match="larger than"):
        world.say("merchant", "platform", "card.asked", body)
    assert Meetings(world["platform"].home).all() == []
    world.say("merchant", "platform", "card.asked", {**body, "card": card})


def test_what_others_wrote_moves_no_cursor_where_people_decide(world: World) -> None:
    hostile = _changed(_cards_given(world), purposes=("pay\x1b[2J\x1b[1;1H\u202e", "x" * 5000))
    world.say("merchant", "platform", "room.offered", _offering(world, hostile))
    (asked,) = world["platform"].here.approvals.waiting()
    told = [str(value) for text in (*asked.what, *asked.reveals) for value in text[1].values()]
    assert any("pay\ufffd[2J" in text for text in told)
    assert all(text.isprintable() or "\ufffd" in text for text in told)
    assert not any("\x1b" in text or "\u202e" in text or len(text) > 501 for text in told)


def test_a_contract_is_of_those_invited_with_the_pinned_keys(world: World) -> None:
    honest = _cards_given(world)
    merchant, platform = honest.contract.parties
    other = dataclasses.replace(merchant, signing=world["operator"].home.keys.public.signing.hex())
    for parties in ((other, platform), (merchant, dataclasses.replace(platform, exchange="ab" * 32))):
        with pytest.raises(BadData, match="other keys"):
            world.say("merchant", "platform", "room.offered", _offering(world, _changed(honest, parties=parties)))
    with pytest.raises(BadData):
        world.say("operator", "platform", "room.offered", _offering(world, honest))
    with pytest.raises(BadData):
        world.say("merchant", "platform", "room.offered", _offering(world, _changed(honest, room="winter")))
    with pytest.raises(CleanroomError):
        world.say("merchant", "platform", "room.offered", _offering(world, honest, of="ab" * 32))
    with pytest.raises(BadData, match="no card"):
        world.say("merchant", "platform", "room.offered", _offering(world, honest, meeting="cd" * 16))
    assert _meeting(world, "platform").offered is None
    world.deliver()
    with pytest.raises(BadData, match="second contract"):
        world.say("merchant", "platform", "room.offered", _offering(world, _changed(honest, purposes=("resale",))))
    assert _meeting(world, "platform").offered.contract == honest.contract


def test_no_signature_counts_but_a_partys_own(world: World) -> None:
    offered(world)
    meeting = _meeting(world, "platform")
    digest = meeting.offered.contract.digest()
    good = SignedContract(meeting.offered.contract).sign("operator", world["operator"].home.keys).signatures["operator"]

    def signed(**signatures: str) -> dict[str, Any]:
        plain = to_plain(Room(SignedContract(meeting.offered.contract, signatures), None))
        return {"format": 1, "meeting": meeting.id, "room": "spring", "signed": plain}

    for signatures in ({"merchant": good}, {"operator": "00" * 64}, {"mallory": good}, {"operator": "zz"}):
        with pytest.raises(BadData):
            world.say("operator", "platform", "room.signed", signed(**signatures))
    assert _meeting(world, "platform").signatures == {}
    world.say("operator", "platform", "room.signed", signed(operator=good))
    assert set(_meeting(world, "platform").signatures) == {"operator"}
    assert Rooms(world["platform"].home.rooms).names() == []
    assert digest == _meeting(world, "platform").offered.contract.digest()


def test_a_no_is_only_ones_own(world: World) -> None:
    offered(world)
    body = {"format": 1, "meeting": _meeting(world, "platform").id, "room": "spring", "reason": "x"}
    for sender, by in (("operator", "merchant"), ("operator", "mallory"), ("merchant", "platform")):
        with pytest.raises(BadData):
            world.say(sender, "platform", "room.refused", {**body, "by": by})
    with pytest.raises(BadData):
        world.say("operator", "platform", "room.refused", {**body, "by": "operator", "reason": "a\x1b[2Jb"})
    assert _meeting(world, "platform").open


def test_nobody_signs_for_parties_that_are_not_pinned(world: World) -> None:
    offered(world)
    Peers(world["platform"].home).remove("operator")
    with pytest.raises(Refused, match="operator is not pinned"):
        sign(world["platform"].path, "spring")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kind=st.sampled_from(sorted(invitations.HANDLERS)), data=st.data())
def test_no_body_trips_a_handler(shared: World, kind: str, data: st.DataObject) -> None:
    body = json.loads(BODIES[kind])
    for name in data.draw(st.lists(st.sampled_from(sorted(body)), min_size=1, max_size=2, unique=True)):
        inner, key = body, name
        while isinstance(inner[key], dict) and inner[key] and data.draw(st.booleans()):
            inner, key = inner[key], data.draw(st.sampled_from(sorted(inner[key])))
        inner[key] = data.draw(json_values)
    before = to_plain(held(shared, "platform"))
    try:
        shared.say("merchant", "platform", kind, body)
    except CleanroomError as error:
        assert "private" not in str(error)
    assert to_plain(held(shared, "platform")) == before


BODIES: dict[str, str] = {}


@pytest.fixture(scope="module")
def shared(agreed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which a change waits, whose messages are the good ones that a property spoils."""
    world = World(agreed, tmp_path_factory.mktemp("shared"))
    change(world["merchant"].path, "spring", Wished(k=200))
    world.carry("merchant", "platform")
    meeting, here = _meeting(world, "merchant"), held(world, "merchant")
    left = Left("spring", here.contract.digest(), "merchant", "over", "2026-11-22T00:00:00+00:00")
    common = {"format": 1, "meeting": meeting.id, "room": "spring"}
    signed = to_plain(Room(meeting.offered.signed.sign("merchant", world["merchant"].home.keys), None))
    bodies: dict[str, Any] = {
        "card.asked": _asking(world, room="winter"),
        "card.given": {**common, "card": _asking(world)["card"]},
        "room.offered": {**common, "of": here.contract.digest(), "contract": to_plain(meeting.offered)},
        "room.signed": {**common, "signed": signed},
        "room.refused": {**common, "by": "merchant", "reason": "x"},
        "room.left": {"format": 1, "left": left.plain()},
    }
    BODIES.update({kind: json.dumps(body) for kind, body in bodies.items()})
    yield world
    world.close()


# -- leaving


def test_who_leaves_ends_the_room_for_all(room: World) -> None:
    change(room["merchant"].path, "spring", Wished(k=200))
    room.deliver()
    leave(room["operator"].path, "spring", "the campaign is over")
    with pytest.raises(Refused, match=r"operator left the room on [-0-9]+: the campaign is over"):
        held(room, "operator").in_force(dt.datetime.now(dt.UTC))
    held(room, "platform").in_force(dt.datetime.now(dt.UTC))  # it does not know yet
    room.deliver()
    for party in ALL:
        with pytest.raises(Refused, match="operator left the room"):
            held(room, party).in_force(dt.datetime.now(dt.UTC))
        assert state(room, party) == "operator left"
        assert waiting(room, party) == []
        assert auditing.verified(room[party].path, None, None)["ledger"]["entries"] == 1
    for act in (
        lambda: change(room["merchant"].path, "spring", Wished(k=300)),
        lambda: sign(room["platform"].path, "spring"),
    ):
        with pytest.raises(CleanroomError):
            act()
    again = leave(room["operator"].path, "spring", "another reason")
    assert again["reason"] == "the campaign is over"
    room.deliver()
    assert [node.failed for node in room.nodes.values()] == [[]] * 3


def test_who_left_what_never_came_into_force_spoils_no_later_room_of_that_name(world: World) -> None:
    drafted = _cards_given(world)
    world.say("merchant", "platform", "room.offered", _offering(world, drafted))
    time = "2026-11-22T00:00:00+00:00"
    gone = Left("spring", drafted.contract.digest(), "merchant", "bye", time).signed(world["merchant"].home.keys)
    world.say("merchant", "platform", "room.left", {"format": 1, "left": gone.plain()})
    refuse(world["platform"].path, "spring", "no")
    contract = drafted.contract
    renamed = {"merchant": "brand", "platform": "platform"}
    later = dataclasses.replace(
        contract,
        parties=tuple(dataclasses.replace(each, name=renamed[each.name]) for each in contract.parties),
        datasets=tuple(dataclasses.replace(each, owner=renamed[each.owner]) for each in contract.datasets),
        match=dataclasses.replace(contract.match, host=renamed[contract.match.host],
                                  receiver=renamed[contract.match.receiver]),
        release=dataclasses.replace(contract.release, recipients=tuple(renamed.values())),
    )  # fmt: skip
    rooms = Rooms(world["platform"].home.rooms)
    rooms.save(Room(SignedContract(later), drafted.annexes))
    assert [each.left for each in rooms.every()] == [()]
    rooms.save(Room(SignedContract(contract), drafted.annexes))
    assert [each.party for each in rooms.load("spring").left] == ["merchant"]


def test_nobody_leaves_in_anothers_name(room: World) -> None:
    digest = held(room, "platform").contract.digest()
    mine = Left("spring", digest, "merchant", "over", "2026-11-22T00:00:00+00:00").signed(room["merchant"].home.keys)
    for sender, statement in (
        ("operator", mine.plain()),
        ("merchant", {**mine.plain(), "reason": "another"}),
        ("merchant", {**mine.plain(), "signature": ""}),
        ("operator", {**mine.plain(), "party": "operator"}),
        ("merchant", Left("spring", "ab" * 32, "merchant", "x", mine.time).signed(room["merchant"].home.keys).plain()),
        ("merchant", Left("winter", digest, "merchant", "x", mine.time).signed(room["merchant"].home.keys).plain()),
        ("merchant", Left("spring", digest, "merchant", "x", "soon").signed(room["merchant"].home.keys).plain()),
    ):
        with pytest.raises(BadData):
            room.say(sender, "platform", "room.left", {"format": 1, "left": statement})
    held(room, "platform").in_force(dt.datetime.now(dt.UTC))
    room.say("merchant", "platform", "room.left", {"format": 1, "left": mine.plain()})
    path = room["platform"].path / "rooms" / "spring" / "left.json"
    path.write_bytes(path.read_bytes().replace(b'"over"', b'"none"'))
    with pytest.raises(BadData, match="does not verify"):
        held(room, "platform")


def test_a_signature_that_comes_before_its_contract_is_not_lost(world: World) -> None:
    asked(world)
    world.deliver()
    accept(world["platform"].path, "spring", "users", ["tier"])
    accept(world["operator"].path, "spring", None, [])
    world.carry("platform", "merchant")
    world.carry("operator", "merchant")
    world.carry("merchant", "operator")
    sign(world["operator"].path, "spring")
    world.carry("operator", "platform")  # which has not been offered the contract yet
    world.carry("merchant", "platform")
    sign(world["platform"].path, "spring")
    sign(world["merchant"].path, "spring")
    world.deliver()
    assert len(digests(world)) == 1


def test_leaving_overtakes_the_last_signature(world: World) -> None:
    offered(world)
    for party in ("platform", "operator", "merchant"):
        sign(world[party].path, "spring")
        while ("platform", "merchant") in world.lines() or ("operator", "merchant") in world.lines():
            world.carry(*next(line for line in world.lines() if line[1] == "merchant"))
    while ("merchant", "operator") in world.lines():
        world.carry("merchant", "operator")
    leave(world["operator"].path, "spring", "at once")
    while ("operator", "platform") in world.lines():
        world.carry("operator", "platform")
    world.deliver()
    for party in ALL:
        assert state(world, party) == "operator left"


def test_a_room_of_the_wire_is_stored_as_ever(room: World) -> None:
    plain = json.loads((room["merchant"].path / "rooms" / "spring" / "room.json").read_bytes())
    assert dataclasses.replace(from_plain(plain), left=()) == held(room, "merchant")
