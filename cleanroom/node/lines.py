"""Calls to peers and from them: a name and a JSON body each way, within a session that both parties signed.

A peer that can be dialled is; what one that cannot be dialled is to answer waits until it fetches it (`Fetched`).
Errors travel as our own texts, and are shown only where they are ours.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from cleanroom.errors import KNOWN, Interrupted, our_mistake
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.node import certificate, flight, session
from cleanroom.node.config import Config
from cleanroom.node.control import known_error, pack_error
from cleanroom.node.peers import Peer, Peers
from cleanroom.node.session import NoSession, Sessions
from protocols.errors import BadMessage

Answer = Callable[[Peer, dict[str, Any]], dict[str, Any]]
_LOOK_SECONDS = 0.5
_MOST_CALLS = 32
POLL_SECONDS = 20.0
"""How long a peer that fetches may wait for something to be there."""
MOST_FETCHED = 64
"""Calls that wait for one peer, and that one poll brings."""
_MOST_FETCHED_BYTES = 4 << 20


class Lines:
    """This node's calls to its peers."""

    def __init__(self, home: Home, config: Config) -> None:
        self._home, self._config = home, config
        self._peers = Peers(home)
        self._lock = threading.Lock()
        self._clients: dict[str, tuple[tuple[object, ...], flight.Client]] = {}
        self._tokens: dict[str, tuple[flight.Client, str, float]] = {}
        self._fetches: dict[str, bool] = {}
        self.fetched = Fetched()

    def reaches(self, name: str) -> bool:
        """Whether this node can dial that peer."""
        return name in self._peers.names() and bool(self._peers.get(name).url)

    def fetches(self, name: str) -> bool | None:
        """Whether that peer cannot dial this node, so that what is for it there is to be fetched; None: not known."""
        return self._fetches.get(name)

    def call(self, name: str, call: str, body: dict[str, Any], seconds: float | None = None) -> dict[str, Any]:
        """What the peer answers. Raises the error that it answers with, Interrupted where it is not reached."""
        peer = self._peers.get(name)
        if not peer.url:
            return self.fetched.ask(peer.name, call, body, seconds or self._config.times.connect + POLL_SECONDS)
        try:
            return self._call(peer, call, body, seconds)
        except NoSession:  # it was restarted
            with self._lock:
                self._tokens.pop(name, None)
            return self._call(peer, call, body, seconds)

    def exchange(self, name: str, body: dict[str, Any]) -> flight.ClientExchange:
        """A wire to the peer. Raises as `call`."""
        peer = self._peers.get(name)
        self.call(name, "ping", {})  # opens a new session where the peer has lost this one
        client, token = self._session(peer)
        return client.exchange(json.dumps({"token": token, **body}).encode())

    def close(self) -> None:
        """Hang up everywhere."""
        with self._lock:
            for _, client in self._clients.values():
                client.close()
            self._clients, self._tokens = {}, {}

    def _call(self, peer: Peer, call: str, body: dict[str, Any], seconds: float | None) -> dict[str, Any]:
        client, token = self._session(peer)
        return _answered(client.call(call, _packed({"token": token, "body": body}), seconds), peer)

    def _session(self, peer: Peer) -> tuple[flight.Client, str]:
        client = self._client(peer)
        with self._lock:
            known = self._tokens.get(peer.name)
        if known is not None and known[0] is client and known[2] > time.monotonic():
            return client, known[1]
        until = time.monotonic() + session.SESSION_SECONDS - 60
        mine = session.hello_of(self._home, peer, [session.VERSION])
        first = _answered(client.call("hello", _packed(mine)), peer)
        self._fetches[peer.name] = first.get("fetch") is True
        signed = session.check_answer(self._home, peer, mine, first, self._config.times.skew)
        signature = self._home.keys.sign(session.LABEL, b"caller" + signed).hex()
        proof = {"nonce": first["hello"]["nonce"], "signature": signature}
        token = str(_answered(client.call("prove", _packed(proof)), peer).get("token"))
        with self._lock:
            self._tokens[peer.name] = (client, token, until)
        return client, token

    def _client(self, peer: Peer) -> flight.Client:
        own = certificate.own(self._home)
        mark = (peer.url, peer.certificate, peer.previous, own.pem)
        with self._lock:
            held = self._clients.get(peer.name)
            if held is None or held[0] != mark:
                own.certificate.check(session.utc())
                certificate.read_any(peer.certificate).check(session.utc())
                key = own.key_pem(SecretAccess("show who we are in TLS"))
                held = self._clients[peer.name] = (mark, flight.Client(peer, own.pem, key, self._config.times.connect))
        return held[1]


class Fetched:
    """Calls that wait for peers which cannot be dialled: they fetch them, and bring the answers."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[str, list[dict[str, Any]]] = {}
        self._answers: dict[str, tuple[str, dict[str, Any] | None]] = {}
        self._turns: dict[str, int] = {}
        self._count = 0

    def ask(self, peer: str, call: str, body: dict[str, Any], seconds: float) -> dict[str, Any]:
        """What the peer answers. Raises as `Lines.call`."""
        with self._changed:
            if len(self._waiting.setdefault(peer, [])) >= MOST_FETCHED:
                raise _away(peer)
            self._count += 1
            number = str(self._count)
            self._answers[number] = (peer, None)
            self._waiting[peer].append({"number": number, "call": call, "body": body})
            self._changed.notify_all()
            there = self._changed.wait_for(lambda: self._answers[number][1] is not None, seconds)
            _, answer = self._answers.pop(number)
            self._waiting[peer] = [each for each in self._waiting[peer] if each["number"] != number]
        if not there or answer is None:
            raise _away(peer)
        return _result(answer, peer)

    def take(self, peer: str, seconds: float, woken: Callable[[], bool]) -> list[dict[str, Any]]:
        """What waits for the peer; waits for something itself, or until `woken` says that there is something else."""
        deadline = time.monotonic() + seconds
        with self._changed:
            turn = self._turns[peer] = self._turns.get(peer, 0) + 1  # a newer poll of the peer ends this one
            while not self._waiting.get(peer) and not woken() and time.monotonic() < deadline:
                self._changed.wait(_LOOK_SECONDS)
                if self._turns[peer] != turn:
                    return []
            waiting, size = self._waiting.get(peer, []), 0
            for count, call in enumerate(waiting, 1):
                size += len(json.dumps(call["body"]))
                if size > _MOST_FETCHED_BYTES and count > 1:
                    self._waiting[peer] = waiting[count - 1 :]
                    return waiting[: count - 1]
            self._waiting[peer] = []
            return waiting

    def wake(self) -> None:
        """End all polls that wait: the node stops, or listens anew."""
        with self._changed:
            self._turns = {peer: turn + 1 for peer, turn in self._turns.items()}
            self._changed.notify_all()

    def answer(self, peer: str, number: str, answer: dict[str, Any]) -> None:
        """The peer brings an answer; one to what nobody waits for is dropped."""
        with self._changed:
            if self._answers.get(number, ("", {})) == (peer, None):
                self._answers[number] = (peer, answer)
                self._changed.notify_all()


class Calls:
    """What peers may call here. It answers all errors by name, and tells `log` of our own mistakes."""

    def __init__(self, sessions: Sessions, answers: Mapping[str, Answer], log: Callable[..., None]) -> None:
        self._sessions, self._answers, self._log = sessions, answers, log
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()

    def __call__(self, name: str, content: bytes) -> bytes:
        """One call."""
        return _packed(self._outcome(name, content))

    def _outcome(self, name: str, content: bytes) -> dict[str, Any]:
        try:
            body = json.loads(content)
            if not isinstance(body, dict):
                raise BadMessage("A message has an unknown form.")
            if name == "hello":
                return {"result": self._sessions.hello(body)}
            if name == "prove":
                return {"result": self._sessions.prove(body)}
            return {"result": self.one(self._sessions.peer(body.get("token")), name, body.get("body"))}
        except NoSession as error:
            return {"error": pack_error(error), "session": "ended"}
        except (ValueError, RecursionError):
            return {"error": pack_error(BadMessage("A message has an unknown form."))}
        except KNOWN as error:
            return {"error": pack_error(error)}
        except Exception as error:  # noqa: BLE001 - a peer must not learn more than that, nor stop us
            self._log("mistake", call=name, **our_mistake(error).params)
            return {"error": pack_error(our_mistake(error))}

    def one(self, peer: Peer, name: str, body: Any) -> dict[str, Any]:
        """The answer to one call of a peer that has proved itself. Raises BadMessage for an unknown one."""
        answer = self._answers.get(name)
        if answer is None or not isinstance(body, dict):
            raise BadMessage("A message has an unknown form.")
        with self._lock:
            if self._under_way[peer.name] >= _MOST_CALLS:
                raise Interrupted("Too many calls of {party} at once.", "Ask again later.", party=peer.name)
            self._under_way[peer.name] += 1
        try:
            return answer(peer, body)
        finally:
            with self._lock:
                self._under_way[peer.name] -= 1

    def fetched(self, peer: Peer, call: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a call that was fetched from a peer, as it is brought back."""
        try:
            return {"result": self.one(peer, str(call.get("call")), call.get("body"))}
        except KNOWN as error:
            return {"error": pack_error(error)}
        except Exception as error:  # noqa: BLE001 - as above
            self._log("mistake", call=str(call.get("call"))[:40], **our_mistake(error).params)
            return {"error": pack_error(our_mistake(error))}


def _answered(content: bytes, peer: Peer) -> dict[str, Any]:
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadMessage("A message has an unknown form.") from error
    if isinstance(answer, dict) and answer.get("session") == "ended":
        raise NoSession("The session has ended.")
    return _result(answer, peer.name)


def _result(answer: Any, peer: str) -> dict[str, Any]:
    if isinstance(answer, dict) and isinstance(answer.get("result"), dict):
        return dict(answer["result"])
    try:
        error = known_error(answer["error"])
    except (ValueError, KeyError, TypeError):
        error = Interrupted("The node of {party} answered with an error that this version does not know.",
                            "See its own message.", party=peer)  # fmt: skip
    raise error


def _packed(value: dict[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _away(peer: str) -> Interrupted:
    return Interrupted("The node of {party} does not fetch what waits for it.", "Is it running?", party=peer)
