"""Who is calling: a hello signed by both parties' keys over both nonces and both certificates, then a token.

TLS lets in any pinned certificate, and Flight shows Python neither which nor an exporter; so the parties' own keys say
who is there, bound to the two certificates, so that nobody in between can pass a hello on. The token that follows goes
with each call, inside that TLS, and ends after an hour. The contract's hash is signed in the hello of each run's
channel (`protocols.hello`), within the wire.
"""

import datetime as dt
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, CleanroomError, Refused
from cleanroom.home import Home
from cleanroom.keys import verify
from cleanroom.node import certificate
from cleanroom.node.peers import Peer, Peers

VERSION = "cleanroom-node/1"
LABEL = "cleanroom/node-hello/1"
SESSION_SECONDS = 3600.0
_HELLO_SECONDS = 30.0
_MOST_SESSIONS = 32
_MOST_BEGUN = 1024
_MOST_TEXT, _MOST_VERSIONS = 256, 16
_HELLO = frozenset(("versions", "sender", "to", "nonce", "time", "certificate", "peer"))


class NoSession(CleanroomError):
    """The token is not of a session that this node has: it was restarted, or the session has ended."""

    code = "session"


@dataclass(frozen=True)
class _Begun:
    """A hello that waits for its signature."""

    peer: Peer
    signed: bytes
    until: float


class Sessions:
    """The calling side's proofs, at the node that is called."""

    def __init__(self, home: Home, skew: float) -> None:
        """skew: seconds by which the clocks may differ."""
        self._home, self._skew = home, skew
        self._peers = Peers(home)
        self._lock = threading.Lock()
        self._begun: dict[str, _Begun] = {}
        self._open: dict[str, tuple[str, float]] = {}

    def hello(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The first answer: this side's hello, signed over both. Raises Refused, BadData by name."""
        now = time.monotonic()
        theirs = _checked(body)
        peer = self._peers.get(theirs["sender"]) if theirs["sender"] in self._peers.names() else None
        if peer is None or theirs["to"] != self._home.party:
            raise _no_peer(theirs["sender"], self._home.party)
        check_clock(self._home.party, peer.name, theirs["time"], self._skew)
        mine = hello_of(self._home, peer, theirs["versions"])
        own = certificate.own(self._home).digests
        if theirs["certificate"] not in peer.digests:
            raise _no_peer(theirs["sender"], self._home.party)
        if theirs["peer"] not in own:
            raise Refused("{party} and {peer} do not hold each other's certificates.",
                          "cleanroom peer add it again, on the side that was not told of the new one.",
                          **_both(self._home.party, peer.name))  # fmt: skip
        signed = canonical.encode({"caller": theirs, "called": mine})
        nonce = mine["nonce"]
        with self._lock:
            self._begun = {key: each for key, each in self._begun.items() if each.until > now}
            while len(self._begun) >= _MOST_BEGUN:
                del self._begun[next(iter(self._begun))]
            self._begun[nonce] = _Begun(peer, signed, now + _HELLO_SECONDS)
        return {
            "hello": mine,
            "fetch": not peer.url,
            "signature": self._home.keys.sign(LABEL, b"called" + signed).hex(),
        }

    def prove(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The token, against the caller's signature."""
        with self._lock:
            begun = self._begun.pop(str(body.get("nonce")), None)
        if begun is None or begun.until < time.monotonic():
            raise NoSession("The hello has ended.")
        verify(begun.peer.public.signing, LABEL, b"caller" + begun.signed, _hex(body.get("signature")))
        token = secrets.token_hex(32)
        now = time.monotonic()
        with self._lock:
            self._open = {key: each for key, each in self._open.items() if each[1] > now}
            own = [key for key, (name, _) in self._open.items() if name == begun.peer.name]
            for oldest in own[: max(0, len(own) - _MOST_SESSIONS + 1)]:
                del self._open[oldest]
            self._open[token] = (begun.peer.name, now + SESSION_SECONDS)
        return {"token": token}

    def peer(self, token: object) -> Peer:
        """Whose session this is. Raises NoSession; also where the peer has been removed."""
        with self._lock:
            name, until = self._open.get(token, ("", 0.0)) if isinstance(token, str) else ("", 0.0)
        if until < time.monotonic() or name not in self._peers.names():
            raise NoSession("The session has ended.")
        return self._peers.get(name)


def hello_of(home: Home, peer: Peer, versions: list[str]) -> dict[str, Any]:
    """This party's hello to `peer`. Raises Refused where no version is common."""
    if VERSION not in versions:
        ours, theirs = sorted((VERSION, ", ".join(str(each)[:40] for each in versions[:4])))
        raise Refused("The nodes speak different versions: {ours}, and {theirs}.", "Bring both to the same release.",
                      ours=ours, theirs=theirs)  # fmt: skip
    own = certificate.own(home).certificate
    return {
        "versions": [VERSION],
        "sender": home.party,
        "to": peer.name,
        "nonce": secrets.token_hex(32),
        "time": utc().isoformat(timespec="seconds"),
        "certificate": own.digest,
        "peer": certificate.read_any(peer.certificate).digest,
    }


def check_answer(home: Home, peer: Peer, mine: dict[str, Any], answer: Mapping[str, Any], skew: float) -> bytes:
    """The calling side's check of the first answer; what it now signs. Raises BadData, Refused."""
    theirs = _checked(answer.get("hello", {}))
    if (theirs["sender"], theirs["to"]) != (peer.name, home.party):
        raise BadData("The node of {party} says that it is another.", party=peer.name)
    check_clock(home.party, peer.name, theirs["time"], skew)
    if theirs["certificate"] not in peer.digests or theirs["peer"] not in certificate.own(home).digests:
        raise BadData("The node of {party} says that it is another.", party=peer.name)
    signed = canonical.encode({"caller": mine, "called": theirs})
    verify(peer.public.signing, LABEL, b"called" + signed, _hex(answer.get("signature")))
    return signed


def check_clock(one: str, other: str, told: str, skew: float) -> None:
    """Raises Refused, in the same words on both sides, where the clocks are too far apart."""
    try:
        apart = abs((utc() - dt.datetime.fromisoformat(told)).total_seconds())
    except (ValueError, TypeError) as error:
        raise _malformed() from error
    if apart > skew:
        minutes = max(1, round(apart / 60))
        raise Refused(
            "The clocks of {party} and {peer} are about {minutes} minutes apart.", "Set them by a time server.",
            **_both(one, other), minutes=minutes,
        )  # fmt: skip


def utc() -> dt.datetime:
    """This moment."""
    return dt.datetime.now(dt.UTC)


def _no_peer(sender: str, party: str) -> Refused:
    return Refused("{party} is not a peer of {peer}.", "cleanroom peer add, on both sides.", party=sender, peer=party)


def _both(one: str, other: str) -> dict[str, str]:
    """Two parties in an order that does not depend on who says it."""
    return dict(zip(("party", "peer"), sorted((one, other)), strict=True))


def _checked(body: object) -> dict[str, Any]:
    if not isinstance(body, Mapping) or body.keys() != _HELLO:
        raise _malformed()
    value = dict(body)
    texts = [each for name, each in value.items() if name != "versions"]
    versions = value["versions"] if type(value["versions"]) is list else None
    if versions is None or len(versions) > _MOST_VERSIONS:
        raise _malformed()
    if not all(type(each) is str and len(each) <= _MOST_TEXT for each in (*texts, *versions)):
        raise _malformed()
    return value


def _malformed() -> BadData:
    return BadData("A hello is not in a form that this version knows.")


def _hex(value: object) -> bytes:
    try:
        return bytes.fromhex(str(value))
    except ValueError as error:
        raise BadData("A signature does not verify.", "The content was changed, or another party signed it.") from error
