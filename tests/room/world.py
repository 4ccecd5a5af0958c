"""A room with all its parties in one process, a thread each, so that a test can see what every one of them sees.

Homes, vaults, contracts, channels and the enclave process are the real ones; only the wires are tapped.
"""

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from cleanroom.answer.run import Outcome, run_room
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.sockets import SocketTransport
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, Reference, columns_of, slotted_sides
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, Rooms, from_plain, gathered, to_plain
from protocols import payload
from protocols.psi import vole
from tests.near import new_home


class Tap:
    """A transport that remembers every frame that came."""

    def __init__(self, inner: SocketTransport) -> None:
        self._inner = inner
        self.came: list[bytes] = []

    def send(self, frame: Sequence[Any]) -> None:
        self._inner.send(frame)

    def receive(self) -> memoryview:
        frame = self._inner.receive()
        self.came.append(bytes(frame))
        return frame

    def close(self) -> None:
        self._inner.close()

    @property
    def sent(self) -> int:
        return self._inner.sent

    @property
    def received(self) -> int:
        return self._inner.received


@dataclass
class Ran:
    """What a run left: outcomes and frames by party (frames by the peer they came from), and the homes.

    values: by party, every value of fixed size that it read in messages, by the column's name.
    """

    outcomes: dict[str, Outcome]
    frames: dict[str, dict[str, list[bytes]]]
    homes: dict[str, Home]
    room: Room
    values: dict[str, dict[str, list[Any]]]
    failures: dict[str, BaseException] = field(default_factory=dict)


def csv(path: Path, columns: Mapping[str, Sequence[object]]) -> str:
    """A CSV file of these columns; its path."""
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def prepare(folder: Path, asked: Overlap, protocol: str) -> tuple[dict[str, Home], Room, Query]:
    """Homes with imported datasets, and the contract signed by all."""
    names = [*SIDES, OPERATOR] if protocol == "keyed" else list(SIDES)
    by, sums = ([reference(asked, name) for name in names] for names in (asked.by, asked.sums))
    slotted = slotted_sides(protocol, asked, by, sums)
    homes = {name: new_home(folder / name, name, asked.key_bits if name in slotted else 0) for name in names}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    imports, proposals = {}, {}
    for side in SIDES:
        wanted = columns_of(side, by, sums)
        imports[side] = jobs[side].job_import(**asked.wish(side), **wanted)
        proposals[side] = jobs[side].job_propose(asked.datasets[side], **wanted, most=20, least=asked.k)
    keys = {name: job.job_keys(asked.key_bits if name in slotted else 0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, protocol, keys, imports, proposals, by, sums, slotted)
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in homes]
    room = gathered(unsigned, [from_plain(one) for one in signed])
    for name in homes:
        jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))
    return homes, room, Query(tuple(r.qualified for r in by), tuple(r.qualified for r in sums))


def reference(asked: Overlap, name: str) -> Reference:
    """Of `merchant.level` and the like."""
    side, column = name.split(".")
    return Reference(side, asked.datasets[side], column)


def run(homes: dict[str, Home], query: Query, members: Mapping[str, Path] | None = None, name: str = "overlap",
        **wishes: Any) -> Ran:  # fmt: skip
    """Every party's role at once. Failures are kept, not raised. wishes: of `Side`, the same for all."""
    taps = wires(list(homes))
    room = Rooms(next(iter(homes.values())).rooms).load(name)
    ran = Ran({}, {}, homes, room, {party: {} for party in homes})
    if room.contract.match.protocol == "vole":
        vole.warm()  # compiling may take longer than a test waits

    def play(party: str) -> None:
        home = homes[party]
        held = Rooms(home.rooms).load(name)
        out = (members or {}).get(party)
        try:
            ran.outcomes[party] = run_room(Side(home, held, query, taps[party], out, lambda *_: None, **wishes))
        except BaseException as error:
            ran.failures[party] = error
            for tap in taps[party].values():
                tap.close()

    threads = [threading.Thread(target=play, args=(party,), name=party) for party in homes]
    with read_values(ran.values):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    ran.frames = {party: {peer: tap.came for peer, tap in taps[party].items()} for party in homes}
    return ran


VALUE_BYTES = 8
"""Narrower columns are pieces of a value, which meet by chance."""


@contextmanager
def read_values(values: dict[str, dict[str, list[Any]]]) -> Iterator[None]:
    """Gather what the parties' threads, which have their names, read of messages."""
    decode = payload.decode

    def gathering(content: memoryview, schema: pa.Schema, most_rows: int) -> pa.RecordBatch:
        batch = decode(content, schema, most_rows)
        held = values.get(threading.current_thread().name, {})
        for each in schema:
            if pa.types.is_fixed_size_binary(each.type) and each.type.byte_width >= VALUE_BYTES:
                held.setdefault(each.name, []).extend(batch.column(each.name).to_pylist())
        return batch

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(payload, "decode", gathering)
        yield


def wires(parties: list[str]) -> dict[str, dict[str, Tap]]:
    """Tapped socket pairs between every two parties."""
    taps: dict[str, dict[str, Tap]] = {party: {} for party in parties}
    for at, a in enumerate(parties):
        for b in parties[at + 1 :]:
            left, right = socket.socketpair()
            taps[a][b], taps[b][a] = Tap(SocketTransport(left)), Tap(SocketTransport(right))
    return taps


def everything_in(folder: Path, skip: Sequence[str] = ()) -> dict[str, bytes]:
    """Every file below a folder, by its relative path."""
    found = {}
    for root, _, files in os.walk(folder):
        for file in files:
            path = Path(root) / file
            relative = str(path.relative_to(folder))
            if not any(relative.startswith(prefix) for prefix in skip):
                found[relative] = path.read_bytes()
    return found
