"""Parties whose wires are tapped, so that a notebook can show what each of them really sees. For made-up data alone.

All parties play in threads of this one process; homes, vaults, contracts, channels and the enclave are the real ones.
Nothing that came over a wire is written anywhere.
"""

import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.local import Progress
from cleanroom.node.parties import homes_here
from cleanroom.node.sockets import SocketTransport
from cleanroom.rooms.contract import Contract
from protocols import header
from protocols.channel import Channel
from protocols.hello import signed_bytes

_SAMPLE = 12


@dataclass(frozen=True)
class Message:
    """What one party had of another under one name. sample: some of its bytes, in hex."""

    sender: str
    receiver: str
    name: str
    frames: int
    bytes: int
    sample: str


@dataclass
class Wires:
    """Every frame that came, by (sender, receiver), in its order."""

    came: dict[tuple[str, str], list[bytes]] = field(default_factory=dict)

    def messages(self, receiver: str = "") -> list[Message]:
        """What came to a party (to all), a message a line, in the order of their first frames."""
        found: dict[tuple[str, str, str], list[bytes]] = {}
        for (sender, to), frames in self.came.items():
            for frame in frames if receiver in ("", to) else ():
                found.setdefault((sender, to, header.unpack(memoryview(frame)).name), []).append(frame)
        return [
            Message(*who, len(frames), sum(map(len, frames)), max(frames, key=len)[-_SAMPLE:].hex())
            for who, frames in found.items()
        ]

    def hold(self, needle: bytes) -> bool:
        """Whether these bytes stand in any frame."""
        return any(needle in frame for frames in self.came.values() for frame in frames)

    def pair(self, left: str, right: str) -> tuple["_Tap", "_Tap"]:
        """Both ends of a new wire."""
        ends = [SocketTransport(end) for end in socket.socketpair()]
        told = [self.came.setdefault(way, []) for way in ((right, left), (left, right))]
        return _Tap(ends[0], told[0]), _Tap(ends[1], told[1])


class _Tap:
    """A transport that remembers every frame that came."""

    def __init__(self, inner: SocketTransport, came: list[bytes]) -> None:
        self._inner, self._came = inner, came
        self.send, self.close = inner.send, inner.close

    def receive(self) -> memoryview:
        """The next frame."""
        frame = self._inner.receive()
        self._came.append(bytes(frame))
        return frame

    @property
    def sent(self) -> int:
        """As the transport's own."""
        return self._inner.sent

    @property
    def received(self) -> int:
        """As the transport's own."""
        return self._inner.received


class Watched:
    """A `Meeting` with tapped wires: `cr.Room.open(home, name, meeting=watched)`; then `watched.wires`.

    told: by party what its role gave back to whoever asked it to play.
    """

    def __init__(self) -> None:
        self.wires = Wires()
        self.told: dict[str, Any] = {}

    def __call__(
        self, home: Home, contract: Contract, names: Iterable[str], progress: Progress | None
    ) -> "_WatchedParties":
        """Parties whose homes are on this machine."""
        found = homes_here(home, contract)
        return _WatchedParties(self, {name: found[name] for name in dict.fromkeys((home.party, *names))})


class _WatchedParties:
    """The parties of one question."""

    def __init__(self, watched: Watched, homes: Mapping[str, Path]) -> None:
        self._watched, self._homes = watched, homes
        self._taps: dict[str, dict[str, _Tap]] = {name: {} for name in homes}
        for left, right in combinations(homes, 2):
            self._taps[left][right], self._taps[right][left] = watched.wires.pair(left, right)

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Every party's role at once; the first to fail hangs up on the others."""
        with ThreadPoolExecutor(len(arguments)) as pool:
            waiting = {name: pool.submit(self._play, name, job, given) for name, given in arguments.items()}
        failures = [error for each in waiting.values() if (error := each.exception()) is not None]
        if failures:
            raise min(failures, key=lambda error: type(error).__name__ in ("PeerAborted", "Interrupted"))
        self._watched.told = {name: each.result() for name, each in waiting.items()}
        return self._watched.told

    def _play(self, name: str, job: str, given: Mapping[str, Any]) -> Any:
        party = PartyJobs(Home.open(self._homes[name]), self._taps[name], lambda *_: None)
        try:
            return getattr(party, f"job_{job}")(**given)
        except BaseException:
            self._hang_up(name)
            raise

    def _hang_up(self, name: str) -> None:
        for tap in self._taps[name].values():
            tap.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for name in self._taps:
            self._hang_up(name)


Role = Callable[[Channel], Any]


def duet(left: Role, right: Role, names: Sequence[str] = ("merchant", "platform")) -> tuple[Any, Any, Wires]:
    """Two roles of a protocol against each other, in two threads over a real channel; what came over its wire."""
    wires = Wires()
    taps = dict(zip(names, wires.pair(names[0], names[1]), strict=True))
    keys = {name: _Signer() for name in names}

    def play(name: str, role: Role) -> Any:
        other = next(each for each in names if each != name)
        given: Any = {"me": keys[name], "peer_key": keys[other].public, "contract_hash": bytes(32)}
        given |= {"fingerprints": (name, other), "parameters": {}}
        try:
            with Channel.open(taps[name], role=name, peer_role=other, **given) as channel:
                return role(channel)
        finally:
            taps[name].close()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(play, names[0], left), pool.submit(play, names[1], right)
    return first.result(), second.result(), wires


class _Signer:
    """A key for one session."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        """As a party's key does."""
        return self._key.sign(signed_bytes(label, message))
