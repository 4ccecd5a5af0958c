"""Messages: signed, once, in order, refused by name; what one party says cannot be another's."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.node import config, post
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post
from cleanroom.node.state import State
from tests.node.nearby import homes

CONFIG = config.Config("merchant")


@pytest.fixture
def two(tmp_path: Path):
    found = homes(tmp_path, "merchant", "platform", "operator")
    yield found
    for home in found.values():
        assert (home.path / "node.toml").exists()


def boxes(two):
    return {party: Post(home, State.open(home)) for party, home in two.items()}


def peer(two, at: str, of: str):
    return Peers(two[at]).get(of)


@settings(deadline=None)
@given(order=st.permutations(range(4)), again=st.lists(st.integers(0, 3), max_size=4))
def test_whatever_comes_again_or_late_is_handled_once(order, again, tmp_path_factory):
    found = homes(tmp_path_factory.mktemp("post"), "merchant", "platform")
    sender, receiver = boxes(found)["merchant"], boxes(found)["platform"]
    for number in range(4):
        sender.send("platform", "note", {"number": number})
    contents = [content for _, content in sender.waiting("platform")]
    for at in (*order, *again):
        receiver.take_in(peer(found, "platform", "merchant"), contents[at])
    seen: list[int] = []
    handled = receiver.handle(
        CONFIG, {"note": lambda home, state, settings, message: seen.append(message.body["number"])}
    )
    assert seen == list(order) and all(failed is None for _, failed in handled)
    for content in contents:
        receiver.take_in(peer(found, "platform", "merchant"), content)
    assert receiver.handle(CONFIG, {}) == []


def test_a_message_is_delivered_until_confirmed_and_then_forgotten(two):
    sender = boxes(two)["merchant"]
    first, second = (sender.send("platform", "note", {}) for _ in range(2))
    assert [name for name, _ in sender.waiting("platform")] == [first, second]
    sender.delivered("operator", [first])
    assert len(sender.waiting("platform")) == 2
    sender.delivered("platform", [first])
    assert [name for name, _ in sender.waiting("platform")] == [second]


def test_a_message_for_another_or_in_anothers_name_is_refused(two):
    sender, receiver = boxes(two)["merchant"], boxes(two)["platform"]
    sender.send("operator", "note", {})
    [(_, content)] = sender.waiting("operator")
    with pytest.raises(BadData, match="from or for another party"):
        receiver.take_in(peer(two, "platform", "merchant"), content)
    sender.send("platform", "note", {})
    [(_, content)] = sender.waiting("platform")
    with pytest.raises(BadData, match="from or for another party"):
        receiver.take_in(peer(two, "platform", "operator"), content)
    forged = Message("note", "operator", "platform", "0" * 32, "2026-01-01T00:00:00+00:00", {})
    with pytest.raises(BadData, match="signature"):
        receiver.take_in(peer(two, "platform", "operator"), post.seal(two["merchant"], forged))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: {**value, "message": {**value["message"], "format": "cleanroom-message/2"}},
        lambda value: {**value, "message": {**value["message"], "body": []}},
        lambda value: {**value, "message": {**value["message"], "more": 1}},
        lambda value: {**value, "message": {**value["message"], "id": "short"}},
        lambda value: {**value, "signature": "zz"},
        lambda value: {**value, "message": {**value["message"], "body": {"x": 1.5}}},
        lambda value: [value],
        lambda value: {"message": value["message"]},
    ],
)
def test_anything_but_a_message_is_refused_by_name(two, spoil):
    sender, receiver = boxes(two)["merchant"], boxes(two)["platform"]
    sender.send("platform", "note", {"x": 1})
    [(_, content)] = sender.waiting("platform")
    with pytest.raises(BadData, match="form that this version knows"):
        receiver.take_in(peer(two, "platform", "merchant"), json.dumps(spoil(json.loads(content))).encode())


@settings(deadline=None)
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_changed_message_comes_through(at, bit, tmp_path_factory):
    found = homes(tmp_path_factory.mktemp("post"), "merchant", "platform")
    sender, receiver = boxes(found)["merchant"], boxes(found)["platform"]
    sender.send("platform", "note", {"number": 7})
    [(_, content)] = sender.waiting("platform")
    changed = bytearray(content)
    changed[at % len(changed)] ^= 1 << bit
    try:
        receiver.take_in(peer(found, "platform", "merchant"), bytes(changed))
    except BadData:
        return
    assert canonical.encode(json.loads(bytes(changed))) == content  # the same, written otherwise


def test_a_failed_message_does_not_stop_those_after_it(two):
    sender, receiver = boxes(two)["merchant"], boxes(two)["platform"]
    for kind in ("bad", "mistake", "unknown", "good"):
        sender.send("platform", kind, {})
    for _, content in sender.waiting("platform"):
        receiver.take_in(peer(two, "platform", "merchant"), content)
    seen = []

    def bad(*_: object) -> None:
        raise UsageError("There is no call {call}.", call="x")

    def mistake(*_: object) -> None:
        raise ZeroDivisionError

    handled = receiver.handle(
        CONFIG, {"bad": bad, "mistake": mistake, "good": lambda *each: seen.append(each[-1].kind)}
    )
    assert [type(failed).__name__ for _, failed in handled] == ["UsageError", "CleanroomError", "BadData", "NoneType"]
    assert seen == ["good"] and receiver.handle(CONFIG, {}) == []


def test_strangers_get_no_messages_and_long_ones_are_not_sent(two):
    sender = boxes(two)["merchant"]
    with pytest.raises(UsageError, match="no peer"):
        sender.send("somebody", "note", {})
    with pytest.raises(UsageError, match="longer"):
        sender.send("platform", "note", {"text": "x" * post.MOST_BYTES})
