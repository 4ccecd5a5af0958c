"""Runs of rooms among three nodes, each a process over its own home: what is asked, told, charged, refused."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.lines import Lines
from cleanroom.rooms.store import Rooms
from tests.node import world as worlds
from tests.node.world import PARTIES, ROWS, SHARED, World

pytestmark = [pytest.mark.nodes, pytest.mark.xdist_group("nodes")]
BY_CITY = "SELECT city, COUNT(*) FROM matched GROUP BY city"


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from worlds.usual(tmp_path_factory.mktemp("nodes"))


def test_two_owners_and_an_operator_answer_once_and_charge_once(nodes: World) -> None:
    first = nodes.done("merchant", nodes.ask("merchant", "keyed", BY_CITY))
    counts = {row["city"]: row["people"] for row in first["rows"]}
    assert counts.keys() == {"Hangzhou", "Shanghai"}
    assert abs(sum(counts.values()) - SHARED) < 200  # twice noise of 20 persons
    again = nodes.done("platform", nodes.ask("platform", "keyed", BY_CITY))
    nodes.quiet()  # whoever asked has its answer a moment before the others have ended
    assert again["rows"] == first["rows"]
    assert again["price"] is None
    for name in ("merchant", "platform"):
        assert len(nodes.charges(name)) == 1
    assert nodes.charges("merchant") == nodes.charges("platform") == [again["receipt"]["question"]]
    kinds = {name: [(job.kind, job.peer, job.state) for job in nodes.jobs(name)] for name in PARTIES}
    assert kinds == {
        "merchant": [("run", "platform", "done"), ("query", "", "done")],
        "platform": [("query", "", "done"), ("run", "merchant", "done")],
        "operator": [("run", "platform", "done"), ("run", "merchant", "done")],
    }
    nodes.audit()


def test_runs_of_the_same_parties_at_once_are_each_answered_and_charged_once(nodes: World) -> None:
    before = nodes.charges("merchant")
    asked = [(name, nodes.ask_run(name, "dh", sigma)) for name, sigma in
             (("merchant", 61), ("platform", 62), ("merchant", 63), ("platform", 64))]  # fmt: skip
    questions = {nodes.done(name, number)["receipt"]["question"] for name, number in asked}
    nodes.quiet()
    assert len(questions) == 4
    assert sorted(nodes.charges("merchant")[len(before) :]) == sorted(questions)
    nodes.audit()


def test_the_receiver_has_its_members_from_two_nodes_alone(nodes: World, tmp_path: Path) -> None:
    out = tmp_path / "members.csv"
    found = nodes.done("platform", nodes.ask_run("platform", "dh", 20, members=str(out)))
    assert found["size"] == SHARED
    with out.open(encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    phones = {cell[-11:] for row in rows[1:] for cell in row if cell[-11:].isdigit()}
    assert phones == {f"138{n:08d}" for n in range(ROWS - SHARED, ROWS)}
    assert nodes.jobs("operator", room="dh") == []
    assert nodes.charges("merchant")[-1] == nodes.charges("platform")[-1] == found["receipt"]["question"]


def test_the_log_and_the_jobs_hold_nothing_of_the_data(nodes: World) -> None:
    for name in PARTIES:
        text = nodes.nodes[name].log.read_text("utf-8")
        shown = text + repr([(job.arguments, job.result) for job in nodes.jobs(name, state="done") if job.peer])
        assert "1380" not in shown
        assert "Hangzhou" not in shown
        assert not any(line["event"] in ("?", "mistake") for line in nodes.nodes[name].lines()), text


@pytest.mark.parametrize(
    ("room", "text"),
    [
        ("apart", "The two sides hold different contracts. Sign the same version on both sides."),
        ("alone", "There is no room alone of merchant and platform. cleanroom room list, on both sides."),
    ],
)
def test_a_room_that_the_sides_do_not_share_is_refused_before_anything_moves(
    nodes: World, room: str, text: str
) -> None:
    line, charged = nodes.proxies["merchant", "platform"], nodes.charges("merchant")
    jobs, passed = len(nodes.jobs("platform")), line.passed
    done = nodes.cli("merchant", "job", "submit", "match", "--room", room)
    assert done.returncode == 3, done.stderr
    assert text in " ".join(done.stderr.split())
    refused = [line for line in nodes.nodes["platform"].lines() if line["event"] == "refused"]
    assert refused[-1]["call"] == "run.ask"
    assert refused[-1]["text"].format(room=room, party="merchant", peer="platform") in text
    assert line.passed - passed < 20_000  # a session and two calls, TLS included
    assert len(nodes.jobs("platform")) == jobs
    assert nodes.charges("merchant") == charged


# -- refused before anything moves: `run.ask` as a peer's node would say it


@pytest.fixture(scope="module")
def merchant(nodes: World) -> Iterator[Lines]:
    """Calls with the merchant's own keys, as its node makes them."""
    home = Home.open(nodes.home("merchant"))
    lines = Lines(home, config.load(home.path, {}))
    yield lines
    lines.close()


def asking(nodes: World, **changes: Any) -> dict[str, Any]:
    contract = Rooms(nodes.home("merchant") / "rooms").load("keyed").contract
    job = {"room": "keyed", "query": {"by": [], "sums": [], "sigma": 20, "where": []}}
    body = {"format": "cleanroom-run/1", "run": "0" * 32, "room": "keyed", "contract": contract.digest(),
            "parties": sorted(PARTIES), "job": job, "asker": "merchant"}  # fmt: skip
    return {**body, **changes}


@pytest.mark.parametrize(
    ("changes", "template"),
    [
        ({"room": "another"}, "There is no room {room} of {party} and {peer}."),
        ({"room": "../keyed"}, "There is no room {room} of {party} and {peer}."),
        ({"contract": "0" * 64}, "The two sides hold different contracts."),
        ({"parties": ["operator", "platform"]}, "A run is asked for in a form that this version does not know."),
        ({"parties": ["merchant", "platform", "stranger"]},
         "A run is asked for in a form that this version does not know."),
        ({"parties": [["merchant"], "platform"]}, "A run is asked for in a form that this version does not know."),
        ({"run": "0" * 31}, "A run is asked for in a form that this version does not know."),
        ({"run": "../" + "0" * 29}, "A run is asked for in a form that this version does not know."),
        ({"format": "cleanroom-run/2"}, "A run is asked for in a form that this version does not know."),
        ({"more": 1}, "A run is asked for in a form that this version does not know."),
        ({"job": {"room": "dh"}}, "A run is asked for in a form that this version does not know."),
        ({"job": []}, "A run is asked for in a form that this version does not know."),
    ],
)  # fmt: skip
def test_a_run_that_does_not_fit_is_refused_in_the_same_words_on_both_sides(
    nodes: World, merchant: Lines, changes: dict[str, Any], template: str
) -> None:
    before, jobs = nodes.logged("platform", "refused", text=template), len(nodes.jobs("platform"))
    mistakes = nodes.logged("platform", "mistake")
    with pytest.raises(Exception) as caught:
        merchant.call("platform", "run.ask", asking(nodes, **changes))
    assert caught.value.template == template  # type: ignore[attr-defined]
    assert caught.value.exit_code in (3, 4)  # type: ignore[attr-defined]
    assert nodes.logged("platform", "refused", text=template) == before + 1
    assert len(nodes.jobs("platform")) == jobs
    assert nodes.logged("platform", "mistake") == mistakes


def test_a_run_that_was_not_agreed_to_does_not_start(nodes: World, merchant: Lines) -> None:
    pairs = [["merchant", "operator"], ["platform", "operator"]]
    for run in ("1" * 32, 7, None, ["x"]):
        with pytest.raises(Exception, match=r"not agreed to"):
            merchant.call("platform", "run.start", {"run": run, "pairs": pairs})
    merchant.call("platform", "run.ask", asking(nodes, run="2" * 32))
    operator = Home.open(nodes.home("operator"))
    lines = Lines(operator, config.load(operator.path, {}))
    with pytest.raises(Exception, match=r"not agreed to"):  # by another than who asked
        lines.call("platform", "run.start", {"run": "2" * 32, "pairs": pairs})
    lines.close()
    merchant.call("platform", "run.end", {"run": "2" * 32})
    with pytest.raises(Exception, match=r"not agreed to"):
        merchant.call("platform", "run.start", {"run": "2" * 32, "pairs": pairs})


def test_whoever_asks_does_not_say_where_another_writes_its_members(nodes: World, tmp_path: Path) -> None:
    planted = tmp_path / "planted.csv"
    job = nodes.ended("merchant", nodes.ask_run("merchant", "dh", 50, others={"members": str(planted)}))
    assert not planted.exists()
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["template"] == "A run is asked for in a form that this version does not know."


def test_what_a_peer_refuses_in_the_midst_of_a_run_is_told_in_its_words_and_not_tried_again(nodes: World) -> None:
    charged = nodes.charges("merchant")
    job = nodes.ended("merchant", nodes.ask_run("merchant", "dh", 51, others={"again": True, "expected": "0" * 64}))
    nodes.quiet()
    refused = nodes.jobs("platform", room="dh")[0]
    assert refused.peer == "merchant"
    assert refused.error is not None
    assert job.error == refused.error
    assert job.error["kind"] == "Refused"
    assert job.attempts <= 1
    assert nodes.charges("merchant") == charged


def test_a_node_that_is_away_is_named_and_nothing_is_charged(nodes: World) -> None:
    charged = len(nodes.charges("platform"))
    assert nodes.stop("merchant") == 0
    number = nodes.ask_run("platform", "dh", 33)
    nodes.until(lambda: nodes.job("platform", number).error)
    waiting = nodes.job("platform", number)
    assert waiting.error is not None
    assert waiting.error["template"] == "The node of {party} cannot be reached."
    assert len(nodes.charges("platform")) == charged
    nodes.start("merchant")
    assert nodes.done("platform", number)["size"] == SHARED  # tried again by itself
    assert len(nodes.charges("platform")) == charged + 1
