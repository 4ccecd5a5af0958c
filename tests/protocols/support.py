"""Two protocol roles in two threads over an in-memory wire that records, and on demand changes, every frame."""

import hashlib
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocols import canary
from protocols.channel import Channel
from protocols.errors import PeerAborted
from protocols.header import BYTES, Header, unpack
from protocols.hello import Hello, signed_bytes
from protocols.rows import Bytes, Draw

PATIENCE = 20.0
SECRET = b"s" * 32
CONTRACT = hashlib.sha256(b"contract").digest()
Tamper = Callable[[int, bytes], Sequence[bytes]]
"""Number of the frame on this direction, its bytes → what arrives instead."""


class Wire:
    """One end of an in-memory transport."""

    def __init__(self, tamper: Tamper | None = None) -> None:
        self.frames: list[bytes] = []
        self.inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.peer: Wire = self
        self.sent = self.received = 0
        self._tamper = tamper

    def send(self, frame: Sequence[Any]) -> None:
        content = b"".join(bytes(part) for part in frame)
        self.frames.append(content)
        self.sent += len(content)
        for changed in self._tamper(len(self.frames) - 1, content) if self._tamper else [content]:
            self.peer.inbox.put(changed)

    def receive(self) -> memoryview:
        content = self.inbox.get(timeout=PATIENCE)
        if content is None:
            self.inbox.put(None)
            raise PeerAborted("The connection to the peer is gone.")
        self.received += len(content)
        return memoryview(bytearray(content))

    def close(self) -> None:
        self.peer.inbox.put(None)


def wires(tamper: Tamper | None = None) -> tuple[Wire, Wire]:
    """Two ends; `tamper` changes what the first sends."""
    left, right = Wire(tamper), Wire()
    left.peer, right.peer = right, left
    return left, right


class Signer:
    """A party's Ed25519 key, drawn from its name."""

    def __init__(self, name: str) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        return self._key.sign(signed_bytes(label, message))


def opening(role: str, peer_role: str, **other: Any) -> dict[str, Any]:
    """What `Channel.open` takes at `role`, unless `other` says so."""
    return {
        "role": role,
        "peer_role": peer_role,
        "me": Signer(role),
        "peer_key": Signer(peer_role).public,
        "contract_hash": CONTRACT,
        "fingerprints": (f"print of {role}", f"print of {peer_role}"),
        "parameters": {"lambda": 40, "suite": 1},
    } | other


@dataclass
class Outcome:
    """What both roles returned or raised, and the frames of each."""

    results: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    frames: dict[str, list[bytes]] = field(default_factory=dict)

    def both(self) -> tuple[Any, Any]:
        for error in self.errors.values():
            raise error
        return self.results["sender"], self.results["receiver"]


Role = Callable[[Channel], Any]


def session(
    sender: Role,
    receiver: Role,
    *,
    tamper: Tamper | None = None,
    roles: tuple[str, str] = ("sender", "receiver"),
    given: Mapping[str, Mapping[str, Any]] | None = None,
    known_session: bytes | None = None,
) -> Outcome:
    """Run both roles, `tamper` on the sender's frames; results stand under 'sender' and 'receiver' whatever `roles`
    call the two on the wire."""
    ends = dict(zip(("sender", "receiver"), wires(tamper), strict=True))
    outcome = Outcome()

    def run(which: str, work: Role, names: tuple[str, str]) -> None:
        arguments = opening(*names) | dict((given or {}).get(which, {}))
        try:
            with Channel.open(ends[which], **arguments) as channel:
                if known_session:
                    channel.session = known_session
                outcome.results[which] = work(channel)
        except Exception as error:
            outcome.errors[which] = error
        finally:
            ends[which].close()

    jobs = {"sender": (sender, roles), "receiver": (receiver, roles[::-1])}
    threads = [threading.Thread(target=run, args=(which, *job)) for which, job in jobs.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(3 * PATIENCE)
        assert not thread.is_alive(), "a role hangs"
    outcome.frames = {which: end.frames for which, end in ends.items()}
    return outcome


def open_with_nonce(wire: Wire, nonce: bytes, role: str, peer_role: str) -> Channel:
    """A channel whose hello is not fresh."""
    given = opening(role, peer_role)
    prints = given["fingerprints"]
    mine = Hello("cleanroom/1 ed25519 sha256 arrow-ipc", role, nonce, CONTRACT, *prints, given["parameters"])
    return Channel._open(wire, mine, peer_role, given["me"], given["peer_key"])


def headers(frames: Sequence[bytes]) -> list[Header]:
    return [unpack(memoryview(frame)) for frame in frames]


def shapes(frames: Sequence[bytes]) -> list[tuple[Any, ...]]:
    """All of a view that may depend on nothing secret: kind, name, bucket, sequence and length of each frame."""
    return [(h.kind, h.role, h.name, h.bucket, h.sequence, h.length) for h in headers(frames)]


def contents(frames: Sequence[bytes]) -> bytes:
    return b"".join(frame[BYTES:] for frame in frames)


def digests(numbers: Sequence[int], width: int = 32) -> Bytes:
    """Identity digests of a made-up person each."""
    rows = [hashlib.sha256(b"person %d" % number).digest()[:width] for number in numbers]
    return np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), width)


def canaries(side: str, width: int = 32) -> canary.Canaries:
    return canary.draw(SECRET, side, width)


def drawing(seed: bytes) -> Draw:
    """A deterministic stand-in for os.urandom."""
    state = {"count": 0}

    def draw(n: int) -> bytes:
        state["count"] += 1
        return hashlib.shake_256(seed + state["count"].to_bytes(8, "big")).digest(n)

    return draw
