"""Three nodes whose lines break and whose processes die: each run is resumed, or done again, or ends by the same name
on both sides; never a wrong result, never a question charged twice. What takes longer is in `faults.py`."""

import json
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom import canonical
from cleanroom.errors import CleanroomError
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.node import certificate, config, flight, session
from cleanroom.node.lines import Lines
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, seal
from tests.near import new_home
from tests.node import world as worlds
from tests.node.world import PARTIES, SHARED, World

pytestmark = [pytest.mark.nodes, pytest.mark.xdist_group("nodes-faults")]
DATA_BYTES = 40_000
"""Of the wire of a run of this world's rooms: in the midst of the match."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    yield from worlds.usual(tmp_path_factory.mktemp("faults"))


@pytest.fixture(autouse=True)
def mended(nodes: World) -> Iterator[None]:
    """After each test all lines carry, and all nodes run: a dead one is told."""
    yield
    for line in nodes.proxies.values():
        line.heal()
    dead = {name: code for name in PARTIES if (code := nodes.nodes[name].process.poll()) is not None}
    nodes.start(*dead)
    assert not dead, nodes.told()


def settled(nodes: World, number: str, party: str = "platform") -> dict[str, Any]:
    """The result of a run of a room after whatever happened: right, and charged once to each owner."""
    result: dict[str, Any] = nodes.done(party, number)
    nodes.quiet()
    if party == "platform":
        assert result["size"] == SHARED
    question = result["receipt"]["question"]
    for name in ("merchant", "platform"):
        assert nodes.charges(name).count(question) == 1, name
    nodes.audit()
    return result


# -- the line


def test_a_line_that_is_cut_altered_and_stopped_in_a_match_is_resumed(nodes: World) -> None:
    """One run; of a changed bit TLS makes a cut."""
    line = nodes.proxies["merchant", "platform"]
    before = line.connections
    line.cut_after(DATA_BYTES)
    number = nodes.ask_run("platform", "dh", 100)
    nodes.until(lambda: line.cuts, what="the cut")
    line.flip_after(15_000)
    nodes.until(lambda: not line._flip_at, what="the changed bit")
    nodes.until(lambda: line.connections >= before + 2, what="a new connection")
    line.hole()
    time.sleep(1.0)
    line.heal()
    settled(nodes, number)
    assert nodes.job("platform", number).attempts == 0  # the same run went on
    assert nodes.jobs("merchant", room="dh")[0].state == "done"


@pytest.mark.slow
def test_a_line_that_is_gone_for_too_long_ends_both_sides_in_the_same_words(nodes: World) -> None:
    lines = [nodes.proxies["merchant", "platform"], nodes.proxies["platform", "merchant"]]
    start = lines[0].passed
    number = nodes.ask_run("platform", "dh", 103)
    nodes.until(lambda: lines[0].passed > start + DATA_BYTES)
    theirs = nodes.jobs("merchant", room="dh")[0]
    assert theirs.state == "running"
    for line in lines:
        line.hole()
    nodes.until(lambda: nodes.job("platform", number).error is not None, 60, "our side ends")
    ours = nodes.job("platform", number).error
    ended = nodes.ended("merchant", theirs.id, 60)
    for line in lines:
        line.heal()
    assert ended.state == "failed"
    assert ended.error == ours
    assert ended.error["template"] == "The link between {party} and {peer} was lost for {seconds} seconds."
    assert ended.error["kind"] == "Interrupted"  # exit code 5
    settled(nodes, number)  # it was tried again by itself


# -- processes that die


def test_nodes_that_are_killed_in_a_match_cost_nothing_twice(nodes: World) -> None:
    """kill -9 of the operator's node in the midst of a run of three; then of both owners' in the run that follows."""
    line = nodes.proxies["platform", "operator"]
    start = line.passed
    number = nodes.ask_run("platform", "keyed", 110)
    for victims in (["operator"], ["merchant", "platform"]):
        start = line.passed
        nodes.until(lambda start=start: line.passed > start + DATA_BYTES // 2, what="the match")  # type: ignore[misc]
        workers = [pid for name in victims for pid in nodes.workers(name)]
        assert workers
        for name in victims:
            nodes.kill(name)
        nodes.until(lambda workers=workers: not worlds.alive(workers), 30, "the workers end")  # type: ignore[misc]
        nodes.start(*victims)
    settled(nodes, number)
    assert nodes.job("platform", number).attempts >= 1
    failed = [job for name in PARTIES for job in nodes.jobs(name, state="failed") if job.room == "keyed"]
    assert all(job.peer and job.error is not None and job.error["kind"] in ("Interrupted", "PeerAborted")
               for job in failed)  # fmt: skip


@pytest.mark.slow
def test_power_that_goes_at_the_moment_of_the_release_costs_nothing_twice(nodes: World, tmp_path: Path) -> None:
    """The merchant's machine dies between its debit and its release; the other side has been debited too."""
    (flag := tmp_path / "flag").touch()
    assert nodes.stop("merchant") == 0
    dying = worlds.dying("cleanroom.ledger.ledger", "Ledger.record_release", "before", flag)
    nodes.start("merchant", environment=dying)
    number = nodes.ask_run("platform", "dh", 120)
    nodes.until(lambda: nodes.nodes["merchant"].process.poll() is not None, what="it dies")
    assert not flag.exists()
    nodes.start("merchant")
    settled(nodes, number)


# -- who calls: sessions, peers, messages


@pytest.fixture(scope="module")
def merchant(nodes: World) -> Iterator[Lines]:
    home = Home.open(nodes.home("merchant"))
    lines = Lines(home, config.load(home.path, {}))
    yield lines
    lines.close()


def client(nodes: World, home: Home) -> flight.Client:
    """Bare calls to the platform's node with a home's certificate."""
    own = certificate.own(home)
    peer = Peers(Home.open(nodes.home("merchant"))).get("platform")
    return flight.Client(peer, own.pem, own.key_pem(SecretAccess("test")), 30.0)


def said(bare: flight.Client, name: str, body: Any) -> dict[str, Any]:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found: dict[str, Any] = json.loads(bare.call(name, content))
    return found


def test_hellos_proofs_and_tokens_are_good_once_and_for_one(nodes: World, merchant: Lines) -> None:
    home = Home.open(nodes.home("merchant"))
    platform = Peers(home).get("platform")
    bare = client(nodes, home)
    mine = session.hello_of(home, platform, [session.VERSION])
    first = said(bare, "hello", mine)["result"]
    signed = session.check_answer(home, platform, mine, first, 300.0)
    proof = {"nonce": first["hello"]["nonce"], "signature": home.keys.sign(session.LABEL, b"caller" + signed).hex()}
    # a proof of another hello, of the other role, of another party: none opens a session
    other = said(bare, "hello", session.hello_of(home, platform, [session.VERSION]))["result"]
    assert "error" in said(bare, "prove", {**proof, "nonce": other["hello"]["nonce"]})
    turned = said(bare, "hello", session.hello_of(home, platform, [session.VERSION]))["result"]
    assert "error" in said(bare, "prove", {"nonce": turned["hello"]["nonce"], "signature": turned["signature"]})
    token = said(bare, "prove", proof)["result"]["token"]
    assert said(bare, "ping", {"token": token, "body": {}})["result"].keys() == {"time"}
    assert said(bare, "prove", proof)["session"] == "ended"  # replayed
    # a hello of an earlier hour, and one for somebody else
    late = {**mine, "time": "2020-01-01T00:00:00+00:00"}
    assert said(bare, "hello", late)["error"]["template"] == (
        "The clocks of {party} and {peer} are about {minutes} minutes apart."
    )
    assert "error" in said(bare, "hello", {**mine, "to": "operator"})
    assert "error" in said(bare, "hello", {**mine, "sender": "stranger"})
    # the token's session is the merchant's: it cannot be another's, nor used by a guess
    for wrong in ("", token[:-1], token[::-1], None, 7, [token], {"a": 1}):
        assert said(bare, "ping", {"token": wrong, "body": {}}).get("session") == "ended"
    bare.close()


def test_another_version_is_told_by_name_on_both_sides(nodes: World) -> None:
    home = Home.open(nodes.home("merchant"))
    bare = client(nodes, home)
    mine = session.hello_of(home, Peers(home).get("platform"), [session.VERSION])
    told = said(bare, "hello", {**mine, "versions": ["cleanroom-node/9"]})["error"]
    assert told["template"] == "The nodes speak different versions: {ours}, and {theirs}."
    assert told["params"] == {"ours": session.VERSION, "theirs": "cleanroom-node/9"}
    bare.close()


def test_a_pinned_peer_cannot_be_another_one(nodes: World) -> None:
    """The operator's TLS lets it in; what it says in the merchant's name opens nothing (C8)."""
    operator, victim = Home.open(nodes.home("operator")), Home.open(nodes.home("merchant"))
    platform = Peers(victim).get("platform")
    bare = client(nodes, operator)
    mine = session.hello_of(victim, platform, [session.VERSION])
    first = said(bare, "hello", mine)["result"]
    signed = canonical.encode({"caller": mine, "called": first["hello"]})
    signature = operator.keys.sign(session.LABEL, b"caller" + signed).hex()
    told = said(bare, "prove", {"nonce": first["hello"]["nonce"], "signature": signature})
    assert told["error"]["template"] == "A signature does not verify."
    # a message that the merchant signed for the operator, and one that the operator signed as the merchant
    lines = Lines(operator, config.load(operator.path, {}))
    for home, sender, to in ((victim, "merchant", "operator"), (victim, "merchant", "platform"),
                             (operator, "merchant", "platform"), (operator, "operator", "merchant")):  # fmt: skip
        message = Message("room.offered", sender, to, "a" * 32, "2026-01-01T00:00:00+00:00", {})
        with pytest.raises(CleanroomError):
            lines.call("platform", "messages", {"contents": [_base64(seal(home, message))]})
    lines.close()
    bare.close()


def test_a_message_comes_once_however_often_it_is_sent(nodes: World, merchant: Lines) -> None:
    home = Home.open(nodes.home("merchant"))
    content = _base64(
        seal(home, Message("of.no.kind", "merchant", "platform", "b" * 32, "2026-01-01T00:00:00+00:00", {}))
    )
    for _ in range(3):
        assert merchant.call("platform", "messages", {"contents": [content, content]}) == {"ids": ["b" * 32] * 2}
    nodes.until(lambda: nodes.logged("platform", "message refused", kind="unknown"))
    time.sleep(0.5)
    assert nodes.logged("platform", "message refused", kind="unknown") == 1


def test_a_certificate_that_nobody_pinned_is_not_let_in(nodes: World, tmp_path: Path) -> None:
    stranger = new_home(tmp_path / "stranger", "merchant")  # it calls itself by a known name
    bare = client(nodes, stranger)
    with pytest.raises(CleanroomError) as caught:
        bare.call("hello", b"{}")
    assert caught.value.exit_code == 5
    bare.close()


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 100, b"[]", b"7", b"null", b"{", b'{"token": 1}', b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe{}",
     b'"' + b"x" * 1_000_000 + b'"', b'{"nonce": [1], "signature": {}}', b'{"nonce": null, "signature": "zz"}'],
)  # fmt: skip
def test_garbage_is_answered_by_name_and_breaks_nothing(nodes: World, content: bytes) -> None:
    bare = client(nodes, Home.open(nodes.home("merchant")))
    mistakes = nodes.logged("platform", "mistake")
    for name in ("hello", "prove", "run.ask", "messages", "no such call", ""):
        told = said(bare, name, content)
        assert set(told) <= {"error", "session"}
    assert nodes.logged("platform", "mistake") == mistakes
    bare.close()


@pytest.mark.parametrize(
    ("call", "body"),
    [
        ("messages", {}), ("messages", {"contents": [1]}), ("messages", {"contents": ["!!!"]}),
        ("messages", {"contents": ["AAAA"] * 33}), ("messages", {"contents": [None]}),
        ("messages", {"contents": ["é"]}),
        ("poll", {"had": [[]]}), ("poll", {"had": [{}]}),
        ("run.end", {"run": [1]}), ("run.end", {}), ("answered", {"number": [1], "answer": {}}), ("answered", {}),
        ("run.start", {"run": {}, "pairs": 1}), ("run.ask", {}), ("no.call", {}),
    ],
)  # fmt: skip
def test_a_proved_peer_may_say_what_it_likes(nodes: World, merchant: Lines, call: str, body: dict[str, Any]) -> None:
    mistakes = nodes.logged("platform", "mistake")
    try:
        merchant.call("platform", call, body, 2.0)
    except CleanroomError as error:
        assert error.template != "Our mistake: {name} in {line}."
    except Exception as error:
        assert getattr(error, "template", "") == "A message has an unknown form."
    assert nodes.logged("platform", "mistake") == mistakes


def test_a_wire_of_no_run_is_told_so(nodes: World, merchant: Lines) -> None:
    for first in ({"run": "0" * 32}, {"run": ["x"]}, {}):
        exchange = merchant.exchange("platform", first)
        header, payload = exchange.receive()
        assert header[:4] == b"OCRL"
        assert b"has no such run" in bytes(payload)
        exchange.close()


def test_a_thousand_connections_take_nothing_from_the_others(nodes: World, merchant: Lines) -> None:
    pid = nodes.nodes["platform"].process.pid
    before, held = _memory(pid), []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        for n in range(1000):
            line = socket.create_connection(("127.0.0.1", nodes.ports["platform"]), 5)
            if n % 10 == 0:
                line.sendall(b"\x16\x03\x01\x02\x00garbage")
            held.append(line)
        assert merchant.call("platform", "ping", {}).keys() == {"time"}
        fresh = Lines(Home.open(nodes.home("operator")), config.load(nodes.home("operator"), {}))
        assert fresh.call("platform", "ping", {}, 10.0).keys() == {"time"}
        fresh.close()
        assert _memory(pid) - before < 200 << 20
    finally:
        for line in held:
            line.close()


def test_more_wires_than_the_limit_are_turned_away(nodes: World, merchant: Lines) -> None:
    """Of `limits.links`, 64: each waits for a run that there may yet be."""
    held = []
    refused = threading.Event()

    def one(n: int) -> None:
        try:
            exchange = merchant.exchange("platform", {"run": f"{n:032x}"})
            held.append(exchange)
            exchange.receive()
        except Exception:
            refused.set()

    threads = [threading.Thread(target=one, args=(n,), daemon=True) for n in range(100)]
    for thread in threads:
        thread.start()
    assert refused.wait(60)
    for thread in threads:
        thread.join(20)
    for each in held:
        each.close()
    assert merchant.call("platform", "ping", {}).keys() == {"time"}


def _memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _base64(content: bytes) -> str:
    import base64

    return base64.b64encode(content).decode()
