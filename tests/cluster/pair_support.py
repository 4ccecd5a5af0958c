"""Two parties' drivers in two threads, each with a cluster of some threads that runs the very tasks that Spark runs."""

import contextlib
import hashlib
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.cluster import executor_keys, pair_split, pairs
from cleanroom.cluster.buckets import first_heads, merged
from cleanroom.cluster.delegation import KeySigner, Terms
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.errors import Interrupted
from cleanroom.node.sockets import SocketTransport
from protocols.channel import Channel

KEYS = {role: KeySigner(hashlib.sha256(role.encode()).digest()) for role in ("receiver", "sender")}
PARTIES = {role: key.public for role, key in KEYS.items()}
TERMS = Terms(hashlib.sha256(b"contract").digest(), "job-1", 3)
PATIENCE = 60.0


def people(first: int, count: int) -> np.ndarray:
    """Digests of made-up persons, uint8[count, 32]."""
    numbers = np.arange(first, first + count, dtype="<u8")
    mixed = [hashlib.sha256(number.tobytes()).digest() for number in numbers]
    return np.frombuffer(b"".join(mixed), np.uint8).reshape(-1, 32)


def settings(folder: Path) -> ClusterSettings:
    key = folder / "executor.key"
    folder.mkdir(parents=True, exist_ok=True)
    if not key.exists():
        executor_keys.make(key)
    return ClusterSettings(master="local[1]", staging=str(folder / "parts"), executor_key=str(key))


def pairing(role: str, folder: Path, **other: Any) -> pairs.Pairing:
    held = settings(folder)
    Path(held.staging).mkdir(exist_ok=True)
    kept = folder / "parts.key"
    secret = kept.read_bytes() if kept.exists() else hashlib.sha256(role.encode()).digest()
    parts = Parts(held.staging, executor_keys.seal(held, "run", secret))
    begun = pairs.Pairing(role, TERMS, held, parts, KEYS[role], PARTIES, b"s" * 32, most=1 << 24, patience=PATIENCE)
    return replace(begun, **other)


@dataclass
class Threads:
    """A cluster of threads. killed: called before each task with how many were begun; what it raises is its loss."""

    count: int = 2
    killed: Callable[[int], None] = lambda _: None
    begun: list[int] = field(default_factory=list)
    splits: int = 0

    def split(self, split: Any, step: Any) -> Any:
        step("split", 0, split.stage.pieces)
        split = pickle.loads(pickle.dumps(split))
        found = []
        rows = [each for piece in range(split.source.pieces) for each in split.rows(piece)]
        rows = np.concatenate(rows) if rows else np.empty((0, split.layout.width), np.uint8)
        heads = np.ascontiguousarray(rows[:, :8]).view(">u8").reshape(-1).astype(np.uint64)
        which = np.searchsorted(first_heads(split.layout.of), heads, "right") - 1
        for bucket in range(split.stage.pieces):
            if bucket in split.stage.missing():
                self.splits += 1
                found.append(split.make(bucket, merged(rows[which == bucket], split.layout)))
            else:
                found.append(split.stage.piece(bucket))
        return tuple(found)

    def run(self, task: Any, count: int, step: Any) -> list[tuple[int, str]]:
        def one(_: int) -> tuple[int, str]:
            self.begun.append(1)
            self.killed(len(self.begun))
            return pickle.loads(pickle.dumps(task)).one()

        with ThreadPoolExecutor(self.count) as pool:
            jobs = [pool.submit(one, number) for number in range(count)]
            while wait(jobs, 0.05).not_done:
                step("pairs", 0, count)
            return [job.result() for job in jobs]


@dataclass
class Both:
    results: dict[str, Any] = field(default_factory=dict)
    errors: dict[str, BaseException] = field(default_factory=dict)
    steps: dict[str, list[tuple[str, int, int]]] = field(default_factory=dict)


@contextlib.contextmanager
def channel(role: str, end: socket.socket) -> Iterator[Channel]:
    """Between the two drivers, and closed when all has left."""
    other = "sender" if role == "receiver" else "receiver"
    with contextlib.closing(SocketTransport(end, PATIENCE)) as transport:
        line = Channel.open(
            transport, role=role, peer_role=other, me=KEYS[role], peer_key=PARTIES[other],
            contract_hash=TERMS.contract, fingerprints=(role, other), parameters={},
        )  # fmt: skip
        with line:
            yield line


def match(
    given: dict[str, pairs.Pairing],
    items: dict[str, np.ndarray],
    clusters: dict[str, Any] | None = None,
    labels: np.ndarray | None = None,
) -> Both:
    """Both drivers to their ends."""
    both = Both(steps={"receiver": [], "sender": []})
    clusters = clusters or {role: Threads() for role in given}

    def run(role: str, end: socket.socket) -> None:
        try:
            held = given[role]
            source = pair_split.staged(held.parts, items[role], labels if role == "sender" else None)
            with channel(role, end) as line:
                work = pairs.receive if role == "receiver" else pairs.send
                step = lambda *at: both.steps[role].append(at)  # noqa: E731
                both.results[role] = work(line, clusters[role], held, source, step)
        except Exception as error:
            both.errors[role] = error

    ends = dict(zip(("receiver", "sender"), socket.socketpair(), strict=True))
    threads = [threading.Thread(target=run, args=(role, end)) for role, end in ends.items()]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120 - (time.monotonic() - begun))
        assert not thread.is_alive(), "a driver hangs"
    return both


def lost(numbers: set[int]) -> Callable[[int], None]:
    """Tasks that a cluster loses before they have done anything."""

    def killed(begun: int) -> None:
        if begun in numbers:
            raise Interrupted("The cluster could not do this work.")

    return killed
