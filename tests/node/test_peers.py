"""Peers: pinned only by the right fingerprint, kept so that nobody can swap one, renewed only by their own key."""

import datetime as dt
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleanroom import lang
from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, SecretAccess
from cleanroom.node import certificate, peers, renewals, words
from cleanroom.node.peers import Peers, card, fetch, read_card
from tests.node import forging

URL = "grpc+tls://platform.example:8815"
NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
DAY = dt.timedelta(days=1)


@pytest.fixture
def homes(tmp_path: Path) -> dict[str, Home]:
    return {name: Home.create(tmp_path / name, name) for name in ("merchant", "platform", "agency")}


@pytest.fixture
def pinned(homes: dict[str, Home]) -> Peers:
    """The merchant's peers: the platform."""
    held = Peers(homes["merchant"])
    held.add("platform", URL, certificate.own(homes["platform"]).pem, homes["platform"].keys.fingerprint)
    return held


def test_a_peer_is_known_by_name_and_key_also_when_read_again(homes: dict[str, Home], pinned: Peers) -> None:
    for held in (pinned, Peers(Home.open(homes["merchant"].path))):
        assert held.names() == ["platform"]
        peer = held.get("platform")
        assert (peer.name, peer.url, peer.public) == ("platform", URL, homes["platform"].keys.public)
        assert held.by_key(peer.public.signing) == peer and held.all() == (peer,)
        assert held.by_key(bytes(32)) is None
        assert held.roots() == certificate.own(homes["platform"]).pem
    with pytest.raises(UsageError, match="There is no peer agency"):
        pinned.get("agency")


def test_any_spelling_of_the_whole_fingerprint_and_its_words(homes: dict[str, Home]) -> None:
    pem, text = certificate.own(homes["platform"]).pem, homes["platform"].keys.fingerprint
    held = Peers(homes["merchant"])
    spellings = [
        text, text.replace(" ", ""), text.upper(), text.replace(" ", ":"), f"  {text}\n", text.replace(" ", "\n"),
        " ".join(words.spoken(text, "en")), ", ".join(words.spoken(text, "en")).upper(),
        " ".join(words.spoken(text, "zh")), "、".join(words.spoken(text, "zh")),
    ]  # fmt: skip
    for spelling in spellings:
        assert held.add("platform", "", pem, spelling).name == "platform"
        held.remove("platform")


def test_another_fingerprint_pins_nothing_and_does_not_learn_the_right_one(homes: dict[str, Home]) -> None:
    own = homes["platform"].keys
    held = Peers(homes["merchant"])
    near = own.fingerprint[:-1] + ("0" if own.fingerprint[-1] != "0" else "1")
    for wrong in (
        homes["agency"].keys.fingerprint,
        near,
        " ".join(words.spoken(homes["agency"].keys.fingerprint, "zh")),
    ):
        with pytest.raises(Refused) as caught:
            held.add("platform", URL, certificate.own(homes["platform"]).pem, wrong)
        assert own.fingerprint[:9] not in str(caught.value), "it would only be copied"
        assert caught.value.exit_code == 3
    mixed = words.spoken(own.fingerprint, "en")[:8] + words.spoken(own.fingerprint, "zh")[8:]
    for no in ("", own.fingerprint[:19], own.fingerprint + " 0000", " ".join(words.spoken(own.fingerprint)[:15]),
               "platform", "g" * 64, " ".join(mixed)):  # fmt: skip
        with pytest.raises(UsageError, match="no fingerprint"):
            held.add("platform", URL, certificate.own(homes["platform"]).pem, no)
    assert held.names() == [] and not (homes["merchant"].path / "pinned.json").exists()


def test_names_are_the_parties_own_and_keys_have_one(homes: dict[str, Home], tmp_path: Path, pinned: Peers) -> None:
    own = homes["merchant"].keys.fingerprint
    with pytest.raises(UsageError, match="calls itself agency"):
        pinned.add("platform2", "", certificate.own(homes["agency"]).pem, homes["agency"].keys.fingerprint)
    with pytest.raises(UsageError, match="node itself"):
        pinned.add("merchant", "", certificate.own(homes["merchant"]).pem, own)
    double, namesake = (Home.create(tmp_path / f"{name}2", name) for name in ("platform", "merchant"))
    with pytest.raises(UsageError, match="with other keys"):
        pinned.add("platform", URL, certificate.own(double).pem, double.keys.fingerprint)
    with pytest.raises(UsageError, match="name of this node's own party"):
        pinned.add("merchant", "", certificate.own(namesake).pem, namesake.keys.fingerprint)
    renamed = forging.certificate(homes["platform"], party="bank", begins=NOW)
    with pytest.raises(UsageError, match="keys of the peer platform"):
        pinned.add("bank", "", renamed, homes["platform"].keys.fingerprint)
    with pytest.raises(UsageError, match="no address of a node"):
        pinned.add("agency", "http://x:1", certificate.own(homes["agency"]).pem, homes["agency"].keys.fingerprint)
    assert pinned.names() == ["platform"]


def test_added_again_a_peer_has_its_new_address_and_newest_certificate(homes: dict[str, Home], pinned: Peers) -> None:
    old, fingerprint = certificate.own(homes["platform"]).pem, homes["platform"].keys.fingerprint
    new = forging.certificate(homes["platform"], begins=NOW)
    pinned.add("platform", "grpc+tls://new.example:1", new, fingerprint)
    assert (pinned.get("platform").url, pinned.get("platform").certificate) == ("grpc+tls://new.example:1", new)
    with pytest.raises(Refused, match="older"):
        pinned.add("platform", URL, old, fingerprint)


def test_a_removed_peer_is_none_at_the_next_look(homes: dict[str, Home], pinned: Peers) -> None:
    other = Peers(homes["merchant"])
    assert other.names() == ["platform"]
    pinned.remove("platform")
    assert other.names() == [] and other.roots() == b"" and pinned.by_key(homes["platform"].keys.public.signing) is None
    with pytest.raises(UsageError):
        pinned.remove("platform")


def test_nobody_else_can_write_the_list(homes: dict[str, Home], pinned: Peers) -> None:
    agency = Peers(homes["agency"])
    agency.add("platform", URL, certificate.own(homes["platform"]).pem, homes["platform"].keys.fingerprint)
    path = homes["merchant"].path / "pinned.json"
    good = path.read_bytes()
    value = json.loads(good)
    one = value["peers"][0]
    foreign = certificate.own(homes["agency"]).pem.decode()
    swapped: list[Any] = [
        {**value, "peers": [{**one, "certificate": foreign}]}, {**value, "peers": [{**one, "name": "bank"}]},
        {**value, "peers": [{**one, "url": "grpc+tls://evil:1"}]}, {**value, "peers": []},
        {**value, "peers": [one, one]}, {**value, "signature": "00" * 64}, {**value, "format": "cleanroom-pinned/2"},
        {"peers": [one]}, [], 5, {**value, "peers": 1.5},
        json.loads((homes["agency"].path / "pinned.json").read_bytes()),
    ]  # fmt: skip
    for each in swapped:
        path.write_text(json.dumps(each))
        for held in (pinned, Peers(homes["merchant"])):
            with pytest.raises(BadData):
                held.names()
    path.write_bytes(good[:-9])
    with pytest.raises(BadData):
        pinned.roots()
    path.unlink()
    path.symlink_to(homes["agency"].path / "pinned.json")
    with pytest.raises(BadData):
        pinned.names()


def test_the_next_certificate_is_trusted_beside_the_present_one(homes: dict[str, Home], pinned: Peers) -> None:
    first = certificate.own(homes["platform"], NOW)
    near = certificate.own(homes["platform"], NOW + 368 * DAY)
    assert near.following is not None
    early = forging.certificate(homes["platform"], begins=NOW)
    with pytest.raises(BadData, match="begins only"):
        pinned.renew("platform", near.following.pem)
    renewed = pinned.renew("platform", early)
    assert renewed.certificates == early + first.pem == pinned.roots(NOW)
    assert len(renewed.digests) == 2
    assert pinned.roots(first.certificate.ends + DAY / 4 + dt.timedelta(hours=1)) == b"", (
        "expired ones are trusted no more"
    )
    assert pinned.renew("platform", early) == renewed, "told twice is told once"
    with pytest.raises(Refused, match="older"):
        pinned.renew("platform", first.pem)
    assert pinned.renew("platform", early, at_once=True).certificates == early


def test_only_the_pinned_keys_renew_a_peer(homes: dict[str, Home], tmp_path: Path, pinned: Peers) -> None:
    double = Home.create(tmp_path / "double", "platform")
    before = pinned.get("platform")
    for pem in (certificate.own(double).pem, certificate.own(homes["agency"]).pem,
                forging.certificate(homes["platform"], party="bank", begins=NOW)):  # fmt: skip
        with pytest.raises(Refused, match="its keys are others"):
            pinned.renew("platform", pem)
    with pytest.raises(BadData, match="not signed by its key"):
        pinned.renew("platform", forging.certificate(homes["platform"], signed_by=double, begins=NOW))
    with pytest.raises(UsageError):
        pinned.renew("agency", certificate.own(homes["agency"]).pem)
    assert pinned.get("platform") == before


def test_a_node_tells_its_peers_and_they_take_it(
    homes: dict[str, Home], pinned: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert renewals.announcement(homes["platform"]) is None
    successor = certificate.renew(homes["platform"]).following
    body = renewals.announcement(homes["platform"])
    assert body is not None and successor is not None

    def told(sender: str, body: dict[str, Any]) -> None:
        message: Any = SimpleNamespace(sender=sender, body=body)
        renewals.HANDLERS["certificate.given"](homes["merchant"], None, None, message)  # type: ignore[arg-type]

    with pytest.raises(Refused, match="too often"):  # each new one makes the node listen anew
        told("platform", body)
    monkeypatch.setattr(renewals, "_LEAST_AGE", dt.timedelta(0))
    told("platform", body)
    assert successor.digest in pinned.get("platform").digests
    for wrong in ({}, {**body, "format": 2}, {**body, "certificate": 5}, {**body, "more": 1}):
        with pytest.raises(BadData):
            told("platform", wrong)
    with pytest.raises(UsageError):
        told("agency", body)


def test_a_card_says_who_and_where_and_is_signed(homes: dict[str, Home]) -> None:
    content = card(homes["platform"], URL)
    found = read_card(content)
    assert (found.url, found.certificate.public) == (URL, homes["platform"].keys.public)
    assert read_card(card(homes["platform"], "")).url == ""
    value = json.loads(content)
    foreign = certificate.own(homes["agency"]).pem.decode()
    changes = ({"url": "grpc+tls://evil:1"}, {"format": "cleanroom-card/2"}, {"url": 5}, {"certificate": foreign},
               {"signature": "x"})  # fmt: skip
    for bad in ({}, [], *({**value, **change} for change in changes)):
        with pytest.raises(BadData):
            read_card(json.dumps(bad).encode())
    with pytest.raises(BadData):
        read_card(b"{" * 40_000)
    with pytest.raises(BadData, match="expired"):
        read_card(content, NOW + 500 * DAY)


@contextmanager
def listening(home: Home | None, answer: bytes = b"") -> Iterator[str]:
    """The address of a server that wants a client's certificate as a node does; without a home, of one that says
    `answer`."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(60)

    def serve() -> None:
        try:
            line, _ = server.accept()
        except TimeoutError:  # the test failed before it called
            return
        if home is None:
            line.sendall(answer)
            line.close()
            return
        own = certificate.own(home)
        file = home.path / "tls.pem"
        file.write_bytes(own.pem + own.key_pem(SecretAccess("a test of TLS")))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_cert_chain(file)
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        try:
            context.wrap_socket(line, server_side=True).close()
        except (ssl.SSLError, OSError):
            line.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"grpc+tls://127.0.0.1:{server.getsockname()[1]}"
    finally:
        thread.join()
        server.close()


def test_the_certificate_is_fetched_from_a_node_that_does_not_know_us(homes: dict[str, Home]) -> None:
    with listening(homes["platform"]) as url:
        assert fetch(url) == certificate.own(homes["platform"]).pem


def test_what_is_no_node_is_named() -> None:
    with listening(None, b"HTTP/1.1 400 Bad Request\r\n\r\n") as url, pytest.raises(Interrupted, match="no node"):
        fetch(url)
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    with pytest.raises(Interrupted, match="cannot be reached: timed out"):  # it listens, and says nothing
        fetch(f"grpc+tls://127.0.0.1:{port}", timeout=0.2)
    closed.close()
    with pytest.raises(Interrupted, match="cannot be reached") as caught:
        fetch(f"grpc+tls://127.0.0.1:{port}")
    assert caught.value.exit_code == 5
    with pytest.raises(Interrupted, match="cannot be reached"):
        fetch(f"grpc+tls://{'a' * 70}.example:1")
    with pytest.raises(UsageError):
        fetch("https://platform.example")


@given(signing=st.binary(min_size=32, max_size=32), exchange=st.binary(min_size=32, max_size=32))
def test_words_are_the_first_half_and_read_back_in_both_languages(signing: bytes, exchange: bytes) -> None:
    try:
        public = PublicKeys(signing, exchange)
    except CleanroomError:
        return
    first = bytes.fromhex(public.fingerprint)[:16]
    for language in lang.LANGUAGES:
        spoken = words.spoken(public.fingerprint, language)
        assert bytes(words._lists()[language].index(word) for word in spoken) == first
        assert words.same(" ".join(spoken), public)
        assert not words.same(" ".join([spoken[1], spoken[0], *spoken[2:]]), public) or spoken[0] == spoken[1]


def _apart(one: str, two: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(two) + 1))
    for at, sign in enumerate(one, 1):
        last, row[0] = row[0], at
        for column, other in enumerate(two, 1):
            last, row[column] = row[column], min(row[column] + 1, row[column - 1] + 1, last + (sign != other))
    return row[-1]


def _shortened(word: str) -> set[str]:
    """Less two letters: words at a distance of up to two have one of these in common, or are closer still."""
    return {word[:a] + word[a + 1 : b] + word[b + 1 :] for b in range(len(word) + 1) for a in range(b)} | {word}


def test_words_cannot_be_mistaken_for_each_other() -> None:
    english, chinese = words._lists()["en"], words._lists()["zh"]
    assert len(english) == len(chinese) == 256
    assert len({word[:4] for word in english}) == 256 and all(
        word.isascii() and 3 <= len(word) <= 9 for word in english
    )
    short = {word: _shortened(word) for word in english}
    near = [(one, two) for at, one in enumerate(english) for two in english[:at] if short[one] & short[two]]
    assert all(_apart(one, two) >= 3 for one, two in near)
    assert len({word[0] for word in chinese}) == 256 and all(len(word) == 2 for word in chinese)


def test_the_words_never_change() -> None:
    """Those that people have written down must stay right."""
    ends = {language: (listed[0], listed[127], listed[255]) for language, listed in words._lists().items()}
    assert ends == {"en": ("acorn", "ketchup", "zodiac"), "zh": ("苹果", "粉丝", "栅栏")}
    assert peers.FORMAT == "cleanroom-pinned/1"
