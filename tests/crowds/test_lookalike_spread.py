"""A lookalike from the seed's rule to members at whoever addresses people, over the real parties and their ledgers."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanroom.activation import memberships
from cleanroom.crowds import lookalike_asking, lookalike_making, lookalike_request, running
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.lookalike_store import FAILED, WAITS, Lookalikes
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Selection, Within
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.ledger.store import read
from cleanroom.node import config
from cleanroom.node.control import pack_error
from cleanroom.node.post import Message
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.querying import opened
from tests import near
from tests.crowds import world
from tests.crowds.world import ROOM, World

TODAY = dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with near.parties():
        yield world.build(tmp_path_factory.mktemp("lookalike"))


def cells_of(made: World, column: str, *labels: str) -> Selection:
    dataset, name = column.split(".")
    known = made.room.annex(dataset, name).labels
    return Selection(((Within(column, tuple(sorted(known.index(each) for each in labels))),),))


def notes(made: World, code: str, *channels: str) -> list[CrowdNote]:
    purpose = made.room.contract.purposes[0]
    ends = (TODAY + dt.timedelta(days=1)).isoformat()
    return [CrowdNote(code, TODAY.strftime("%Y%m%d"), "more like these", channel, purpose, ends)
            for channel in channels or ("coupon",)]  # fmt: skip


def _question(made: World, receipt: str) -> str:
    """Of the release with that receipt, as the merchant's ledger has it."""
    entries = read(made.homes["merchant"].ledger_path).entries
    return next(each.body["question"] for each in entries if each.body.get("receipt") == receipt)


@pytest.fixture(scope="module")
def payers(made: World) -> Any:
    """2,000 people like those who pay, whom a stage names exactly."""
    return lookalike_asking.spread(made.merchant, ROOM, cells_of(made, "users.stage", "pay"), "SEED1",
                                   notes(made, "LIKE1", "coupon", "message"), count=2_000, include=False)  # fmt: skip


def test_the_crowd_is_of_the_users_who_are_like_the_seed(made: World, payers: Any) -> None:
    held = memberships.load(made.homes["platform"], ROOM, "LIKE1")
    assert payers.state == "made" and (payers.low, payers.high) == (2_000, 4_999) and not payers.short
    assert len(held.rows) == 2_000 and {use.channel for use in held.uses} == {"coupon", "message"}
    assert {made.stage[row] for row in held.rows} == {"pay"}


def test_the_asker_sees_a_range_and_no_member(made: World, payers: Any) -> None:
    shown = json.dumps(payers.shown())
    assert payers.shown()["range"] == [2_000, 4_999] and not payers.shown()["seed_known_there"]
    assert not any(phone in shown for phone in made.users[:50])
    with pytest.raises(UsageError):
        memberships.load(made.homes["merchant"], ROOM, "LIKE1")


def test_the_gain_is_counted_on_people_the_model_never_saw(made: World, payers: Any) -> None:
    home = made.homes["merchant"]
    before = lookalike_asking.price(made.merchant, ROOM)
    found = lookalike_asking.gain(made.merchant, ROOM, "LIKE1")
    after = lookalike_asking.price(made.merchant, ROOM)
    assert before["left_rho_micro"] - after["left_rho_micro"] == before["gain_rho_micro"]
    assert found[0].low > 1.5 and found[9].high < 0.7
    assert Lookalikes(home).load("LIKE1").gain == found
    again = lookalike_asking.gain(made.merchant, ROOM, "LIKE1")
    assert again == found and lookalike_asking.price(made.merchant, ROOM) == after


def test_the_held_out_and_the_fitted_are_different_people(made: World, payers: Any) -> None:
    asked = Lookalikes(made.homes["merchant"]).load("LIKE1")
    held = len(Lists(made.homes["merchant"]).digests(asked.split)) / len(made.members)
    assert 0.2 < held < 0.3
    _, room = opened(made.homes["platform"].path, ROOM)
    request = _question(made, asked.receipt)
    seed = running.recall(made.homes["platform"], room, request).people
    matched = sum(stage == "pay" for stage in made.stage[: world.SHARED])
    assert abs(seed - 0.75 * matched) < 150


def test_the_same_request_makes_the_same_crowd(made: World, payers: Any) -> None:
    platform, asked = made.homes["platform"], Lookalikes(made.homes["merchant"]).load("LIKE1")
    before = memberships.load(platform, ROOM, "LIKE1").rows
    question = _question(made, asked.receipt)
    request = lookalike_request.Request(ROOM, made.room.contract.digest(), question, "SEED1", 2_000, False, False,
                                        tuple(notes(made, "LIKE1")))  # fmt: skip
    lookalike_making.made(platform, request.plain())
    assert np.array_equal(memberships.load(platform, ROOM, "LIKE1").rows, before)


@pytest.mark.parametrize("include", [True, False])
def test_a_seed_that_is_known_there_is_in_or_out(made: World, payers: Any, include: bool) -> None:
    platform, code = made.homes["platform"], f"KNOWN{include}"
    seed = np.arange(0, 6_000, 4, dtype=np.int64)
    memberships.keep(platform, ROOM, notes(made, f"SEED{include}")[0], "users", seed, "0" * 64, noised=1_500)
    asked = Lookalikes(made.homes["merchant"]).load("LIKE1")
    question = _question(made, asked.receipt)
    request = lookalike_request.Request(ROOM, made.room.contract.digest(), question, f"SEED{include}", 2_500, include,
                                        False, tuple(notes(made, code)))  # fmt: skip
    assert lookalike_making.made(platform, request.plain())["known"]
    rows = memberships.load(platform, ROOM, code).rows
    assert np.isin(seed, rows).all() if include else not np.isin(seed, rows).any()
    assert len(rows) == 2_500


def test_how_many_are_left_beside_the_seed_tells_nothing_but_noised_numbers(made: World, payers: Any) -> None:
    """Two seeds one person apart, given before: whatever count is asked for, the same is told of both."""
    platform, asked = made.homes["platform"], Lookalikes(made.homes["merchant"]).load("LIKE1")
    question, users = _question(made, asked.receipt), len(made.users)
    for code, people in (("WITH", range(3_000)), ("WITHOUT", range(1, 3_000))):
        rows = np.array(people, np.int64)
        memberships.keep(platform, ROOM, notes(made, code)[0], "users", rows, "0" * 64, noised=2_990)
    for at, count in enumerate((users - 3_001, users - 3_000, users - 2_999, users - 2_990, users - 2_989)):
        told = []
        for code in ("WITH", "WITHOUT"):
            request = lookalike_request.Request(ROOM, made.room.contract.digest(), question, code, count, False,
                                                False, tuple(notes(made, f"{code}{at}")))  # fmt: skip
            found = lookalike_making.made(platform, request.plain())
            told.append((found["range"], found["short"], found["known"]))
        assert told[0] == told[1] and told[0][1] == (count > users - 2_990)


def test_a_seed_that_is_too_small_makes_nothing(made: World) -> None:
    few = Selection((cells_of(made, "users.stage", "pay").boxes[0] + cells_of(made, "crm.level", "gold").boxes[0],))
    with pytest.raises(Refused, match="fewer than"):
        lookalike_asking.spread(made.merchant, ROOM, few, "SEED2", notes(made, "LIKE2"), count=2_000, include=False)
    with pytest.raises(UsageError):
        Lookalikes(made.homes["merchant"]).load("LIKE2")
    with pytest.raises(UsageError):
        memberships.load(made.homes["platform"], ROOM, "LIKE2")


# -- what the other side may not say


def _request(made: World, **changes: Any) -> dict[str, Any]:
    asked = Lookalikes(made.homes["merchant"]).load("LIKE1")
    question = _question(made, asked.receipt)
    request = lookalike_request.Request(ROOM, made.room.contract.digest(), question, "SEED1", 2_000, False, False,
                                        tuple(notes(made, "LIKE9")))  # fmt: skip
    return {**request.plain(), **changes}


@pytest.mark.parametrize("change", [
    {"format": "cleanroom-lookalike/9"}, {"count": 0}, {"count": True}, {"count": "5"}, {"include": 1}, {"notes": []},
    {"notes": [{"code": "../x"}]}, {"question": ""}, {"seed": "LIKE9"}, {"more": 1}, {"question": "0" * 64},
])  # fmt: skip
def test_what_is_no_request_is_refused(made: World, payers: Any, change: dict[str, Any]) -> None:
    with pytest.raises(BadData):
        lookalike_making.made(made.homes["platform"], _request(made, **change))


@pytest.mark.parametrize("change", [{"count": 999}, {"contract": "0" * 64}])
def test_what_the_contract_does_not_allow_is_refused(made: World, payers: Any, change: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        lookalike_making.made(made.homes["platform"], _request(made, **change))


def test_a_channel_that_the_contract_has_not_is_refused(made: World, payers: Any) -> None:
    with pytest.raises(Refused, match="channel"):
        lookalike_making.made(made.homes["platform"], _request(made, notes=[notes(made, "LIKE9", "live")[0].plain()]))


def test_whoever_addresses_nobody_makes_no_crowd(made: World, payers: Any) -> None:
    with pytest.raises(Refused):
        lookalike_making.made(made.homes["merchant"], _request(made))


# -- between nodes


def _message(made: World, kind: str, body: dict[str, Any], sender: str, to: str) -> Message:
    return Message(kind, sender, to, "ab" * 16, "2026-11-22T00:00:00+00:00", body)


def test_at_a_node_the_message_becomes_one_job_and_its_end_is_told(made: World, payers: Any) -> None:
    platform, sent = made.homes["platform"], []
    settings = config.Config(role="platform")
    with State.open(platform) as state:
        message = _message(made, lookalike_making.ASKED, _request(made), "merchant", "platform")
        for _ in range(2):
            lookalike_making.asked(platform, state, settings, message)
        (job,) = Jobs(state).listed()
        assert (job.kind, job.room, job.asked_by) == ("lookalike", ROOM, "merchant")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("cleanroom.node.post.Post.send", lambda self, *told: sent.append(told))
            lookalike_making.work(platform, ROOM, job.arguments, None, lambda *_: None)
    ((to, kind, body),) = sent
    assert (to, kind) == ("merchant", lookalike_making.MADE)
    home = made.homes["merchant"]
    asked = Lookalikes(home).load("LIKE1")
    Lookalikes(home).keep(replace(asked, code="LIKE9", state=WAITS))
    with State.open(home) as state:
        with pytest.raises(BadData):
            lookalike_asking.told(home, state, settings, _message(made, kind, body, "operator", "merchant"))
        lookalike_asking.told(home, state, settings, _message(made, kind, body, "platform", "merchant"))
    assert (Lookalikes(home).load("LIKE9").low, Lookalikes(home).load("LIKE9").state) == (2_000, "made")


def test_a_failure_at_the_other_node_is_told_in_our_words(made: World, payers: Any) -> None:
    home, sent = made.homes["merchant"], []
    Lookalikes(home).keep(replace(Lookalikes(home).load("LIKE1"), code="LIKE9", state=WAITS))
    arguments = {"request": _request(made, contract="0" * 64), "asker": "merchant"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cleanroom.node.post.Post.send", lambda self, *told: sent.append(told))
        with pytest.raises(Refused):
            lookalike_making.work(made.homes["platform"], ROOM, arguments, None, lambda *_: None)
    body = sent[0][2]
    with State.open(home) as state:
        lookalike_asking.told(
            home, state, config.Config(role="platform"), _message(made, sent[0][1], body, "platform", "merchant")
        )
        assert "different contracts" in Lookalikes(home).load("LIKE9").reason
        forged = {**body, "failure": pack_error(UsageError("Words of somebody else."))}
        message = _message(made, sent[0][1], forged, "platform", "merchant")
        lookalike_asking.told(home, state, config.Config(role="merchant"), message)
    assert (Lookalikes(home).load("LIKE9").state, Lookalikes(home).load("LIKE9").reason) == (FAILED, "")
    with pytest.raises(UsageError):
        lookalike_asking.gain(made.merchant, ROOM, "LIKE9")


def test_what_is_kept_is_sealed(made: World, payers: Any) -> None:
    path: Path = made.homes["merchant"].path / "lookalikes"
    assert b"LIKE1" not in path.read_bytes()
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    with pytest.raises(BadData):
        Lookalikes(made.homes["merchant"]).all()
