"""Who is calling: hellos signed by both, tokens; over real Flight servers in this process."""

import datetime as dt
import json
from contextlib import contextmanager

import pytest

from cleanroom.errors import BadData, Interrupted, Refused
from cleanroom.keys import SecretAccess
from cleanroom.node import certificate, session
from cleanroom.node.config import Config
from cleanroom.node.flight import Server
from cleanroom.node.lines import Calls, Lines
from cleanroom.node.peers import Peers
from cleanroom.node.session import NoSession, Sessions
from protocols.errors import BadMessage
from tests.node.nearby import homes, introduce

CONFIG = Config("platform")


@contextmanager
def listening(home, skew=300.0, roots=None):
    """A server of that home, that answers `who` with the name of whoever calls. Yields its sessions and its url."""
    sessions = Sessions(home, skew)
    calls = Calls(sessions, {"who": lambda peer, body: {"name": peer.name, **body}}, lambda *_, **__: None)
    own = certificate.own(home)
    key = own.key_pem(SecretAccess("test"))
    server = Server("127.0.0.1:0", own.pem, key, roots or Peers(home).roots(), calls, lambda *_: None, lambda _: "", 4)
    try:
        yield calls, f"grpc+tls://127.0.0.1:{server.port}"
    finally:
        server.stop()


@pytest.fixture
def three(tmp_path):
    return homes(tmp_path, "merchant", "platform", "operator")


def dial(home, other, url):
    """Calls of `home` to `other`, at that address."""
    introduce(home, other, url=url)
    return Lines(home, CONFIG)


def test_each_is_who_it_proved_to_be(three):
    with listening(three["platform"]) as (_, url):
        for caller in ("merchant", "operator"):
            lines = dial(three[caller], three["platform"], url)
            assert lines.call("platform", "who", {"more": 1}) == {"name": caller, "more": 1}
            lines.close()


def test_a_session_that_the_node_has_lost_is_opened_anew(three):
    with listening(three["platform"]) as (calls, url):
        lines = dial(three["merchant"], three["platform"], url)
        lines.call("platform", "who", {})
        calls._sessions._open.clear()
        assert lines.call("platform", "who", {})["name"] == "merchant"


def test_a_renewed_certificate_lets_both_in_before_and_after(three):
    merchant, platform = three["merchant"], three["platform"]
    with listening(platform) as (_, url):
        lines = dial(merchant, platform, url)
        following = certificate.renew(platform).following
        Peers(merchant).renew("platform", following.pem)
        assert lines.call("platform", "who", {})["name"] == "merchant"
        mine = certificate.renew(merchant).following
        Peers(platform).renew("merchant", mine.pem)
        assert lines.call("platform", "who", {})["name"] == "merchant"


def test_a_peer_that_is_removed_is_out_at_its_next_call(three):
    with listening(three["platform"]) as (_, url):
        lines = dial(three["merchant"], three["platform"], url)
        lines.call("platform", "who", {})
        Peers(three["platform"]).remove("merchant")
        with pytest.raises(Refused, match="merchant is not a peer of platform"):
            lines.call("platform", "who", {})


def test_who_has_not_been_pinned_gets_no_connection(three, tmp_path):
    stranger = homes(tmp_path / "s", "stranger")["stranger"] if (tmp_path / "s").mkdir() is None else None
    with listening(three["platform"]) as (_, url):
        lines = dial(stranger, three["platform"], url)
        with pytest.raises(Interrupted, match=r"does not let this node in|cannot be reached"):
            lines.call("platform", "who", {})


def test_a_node_with_another_certificate_than_the_pinned_one_is_not_spoken_to(three):
    with listening(three["operator"]) as (_, url):
        lines = dial(three["merchant"], three["platform"], url)
        with pytest.raises(Refused, match="another certificate than the one that is pinned"):
            lines.call("platform", "who", {})


def test_clocks_a_day_apart_are_told_in_the_same_words_on_both_sides(three, monkeypatch):
    with listening(three["platform"]) as (_, url):
        lines = dial(three["merchant"], three["platform"], url)
        real = session.hello_of

        def late(home, *rest):
            found = real(home, *rest)
            if home.party == "merchant":
                moment = dt.datetime.fromisoformat(found["time"]) - dt.timedelta(days=1)
                found["time"] = moment.isoformat()
            return found

        monkeypatch.setattr(session, "hello_of", late)
        with pytest.raises(Refused) as failed:
            lines.call("platform", "who", {})
    assert str(failed.value).startswith("The clocks of merchant and platform are about 1440 minutes apart.")


def test_another_version_is_refused_by_name(three, monkeypatch):
    with listening(three["platform"]) as (_, url):
        lines = dial(three["merchant"], three["platform"], url)
        real = session.hello_of
        monkeypatch.setattr(
            session, "hello_of",
            lambda home, *rest: {**real(home, *rest), "versions": ["cleanroom-node/9"]} if home.party == "merchant"
            else real(home, *rest),
        )  # fmt: skip
        with pytest.raises(Refused, match="cleanroom-node/1, and cleanroom-node/9"):
            lines.call("platform", "who", {})


def hello(three, caller="merchant", called="platform", **changed):
    mine = session.hello_of(three[caller], Peers(three[caller]).get(called), [session.VERSION])
    return {**mine, **changed}


def proved(three, sessions, caller="merchant", signer=None, **changed):
    mine = hello(three, caller, **changed)
    answer = sessions.hello(mine)
    signed = session.check_answer(three[caller], Peers(three[caller]).get("platform"), mine, answer, 300)
    signature = three[signer or caller].keys.sign(session.LABEL, b"caller" + signed).hex()
    return {"nonce": answer["hello"]["nonce"], "signature": signature}


def test_a_proof_counts_once_and_only_its_owners(three):
    sessions = Sessions(three["platform"], 300)
    proof = proved(three, sessions)
    assert sessions.peer(sessions.prove(proof)["token"]).name == "merchant"
    with pytest.raises(NoSession):
        sessions.prove(proof)
    with pytest.raises(BadData, match="signature"):
        sessions.prove(proved(three, sessions, signer="operator"))
    with pytest.raises(NoSession):
        sessions.peer("0" * 64)
    with pytest.raises(NoSession):
        sessions.peer(None)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sender": "nobody"}, "is not a peer of"),
        ({"to": "operator"}, "is not a peer of"),
        ({"certificate": "0" * 64}, "is not a peer of"),
        ({"peer": "0" * 64}, "each other's certificates"),
        ({"time": "yesterday"}, "form that this version knows"),
        ({"versions": [1]}, "form that this version knows"),
        ({"nonce": 1}, "form that this version knows"),
        ({"more": 1}, "form that this version knows"),
        ({"to": "x" * 300}, "form that this version knows"),
        ({"versions": ["x"] * 20}, "form that this version knows"),
    ],
)
def test_a_hello_that_is_wrong_in_one_thing_is_refused(three, changed, words):
    with pytest.raises((BadData, Refused), match=words):
        Sessions(three["platform"], 300).hello(hello(three, **changed))


def test_a_hello_cannot_be_passed_on_to_another(three):
    """What the operator gets from the merchant is of no use to it at the platform, whose certificate it has not."""
    with pytest.raises(Refused, match=r"is not a peer of|certificates"):
        Sessions(three["platform"], 300).hello(hello(three, "merchant", "operator"))
    passed_on = {**hello(three, "merchant", "operator"), "to": "platform"}
    with pytest.raises(Refused, match="certificates"):
        Sessions(three["platform"], 300).hello(passed_on)


def test_an_answer_by_another_key_is_not_taken(three):
    mine = hello(three)
    answer = Sessions(three["platform"], 300).hello(mine)
    peer = Peers(three["merchant"]).get("platform")
    forged = {**answer, "signature": three["operator"].keys.sign(session.LABEL, b"called").hex()}
    with pytest.raises(BadData, match="signature"):
        session.check_answer(three["merchant"], peer, mine, forged, 300)
    with pytest.raises(BadData, match="signature"):
        session.check_answer(three["merchant"], peer, hello(three), answer, 300)  # to another hello of ours


def test_garbage_is_answered_by_name(three):
    calls = Calls(Sessions(three["platform"], 300), {}, lambda *_, **__: None)
    for content in (b"", b"\xff", b"[]", b"{", b"[" * 100_000, b'{"token": 1}', b'{"versions": []}'):
        for name in ("hello", "prove", "who"):
            assert "error" in json.loads(calls(name, content))


def test_hellos_that_nobody_proves_keep_nobody_out(three):
    sessions = Sessions(three["platform"], 300)
    for _ in range(session._MOST_BEGUN + 5):
        sessions.hello(hello(three))
    assert len(sessions._begun) == session._MOST_BEGUN
    assert sessions.peer(sessions.prove(proved(three, sessions, "operator"))["token"]).name == "operator"


def test_an_error_in_foreign_words_is_not_shown(three):
    from cleanroom.node import lines

    for error in ({"kind": "Refused", "template": "Send money to {x:>99999999}", "hint": "", "params": {"x": 1}},
                  {"kind": "Exit", "template": "The session has ended.", "hint": "", "params": {}},
                  {"kind": "Refused", "template": "{party} ended the run.", "hint": "", "params": {}},
                  {"kind": "Refused", "template": "{party} ended the run.", "hint": "", "params": {"party": "x" * 999}},
                  None, [], "x"):  # fmt: skip
        with pytest.raises(Interrupted, match="an error that this version does not know"):
            lines._result({"error": error}, "platform")
    with pytest.raises(BadMessage):
        lines._answered(b"{", Peers(three["merchant"]).get("platform"))
