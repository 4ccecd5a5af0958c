"""A whole `keyed` room at sizes that no file need be made for: vaults, contract, channels, enclave, groups, receipt.

Used by `benchmarks.keyed_large --room`. Homes, contract and vaults are made first, each vault in a process of its own,
with made-up persons of two columns; then the three parties' processes do what `cleanroom overlap` has them do.

usage of a process: keyed_large_room.py vault|run PARTY FOLDER ROWS SHARED [PLACE=SOCKET …]
"""

import json
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import processes
from benchmarks.synthetic import PART, Persons, peak, processor_seconds
from cleanroom.answer.run import run_room
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query
from cleanroom.home import Home
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.sockets import SocketTransport
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, Reference, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.overlap.run import make_homes
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, Rooms, from_plain, gathered, to_plain
from protocols.rows import Indices

PARTIES = (*SIDES, OPERATOR)
COLUMNS = {
    "merchant": ("level", ("gold", "silver", "plain")),
    "platform": ("city", ("Shanghai", "Beijing", "Hangzhou")),
}
ROOM = "overlap"
SAMPLE = 3_000
"""Rows of the files from which the contract's columns are learned, as by a first import."""


def room(rows: int, overlap: float, folder: Path) -> dict[str, Any]:
    """Make all, run it, check the groups; what its processes tell. Raises processes.Failed."""
    shared, words = int(rows * overlap), [sys.executable, "-m", "benchmarks.keyed_large_room"]
    with tempfile.TemporaryDirectory(dir=folder) as name:
        home = Path(name)
        _agreed(home, rows)
        start, more = time.perf_counter(), (name, str(rows), str(shared))
        written = [processes.together([[*words, "vault", side, *more]]) for side in SIDES]
        made = time.perf_counter() - start
        ran = processes.together([[*words, "run", side, *more] for side in PARTIES], joined=True)
    told = dict(zip(PARTIES, ran.told, strict=True))
    _check(told["platform"]["segments"], rows, shared)
    if told["platform"]["size"] != shared:
        raise processes.Failed(f"{told['platform']['size']} members, not {shared}")
    return {
        "rows": rows, "matched": shared, "seconds": round(ran.seconds, 2),
        "bytes_per_item": round(sum(each["sent"] for each in ran.told) / (2 * rows), 2),
        "vault_seconds": round(made, 2), "vault_megabytes": max(each.memory for each in written) >> 20,
        "parties": {name: {key: value for key, value in each.items() if key not in ("segments", "size")}
                    for name, each in told.items()},
    }  # fmt: skip


def _agreed(folder: Path, rows: int) -> None:
    """Homes with a small import each, and a contract for so many rows, signed by all."""
    for side, (column, labels) in COLUMNS.items():
        lines = [f"{13_000_000_000 + row},{labels[row % len(labels)]}" for row in range(SAMPLE)]
        (folder / f"{side}.csv").write_text("\n".join([f"phone,{column}", *lines]) + "\n", "utf-8")
    asked = Overlap(str(folder / "merchant.csv"), str(folder / "platform.csv"), protocol="keyed")
    make_homes({name: folder / name for name in PARTIES})
    jobs = {name: PartyJobs(Home.open(folder / name), {}, lambda *_: None) for name in PARTIES}
    by = [Reference(side, asked.datasets[side], column) for side, (column, _) in COLUMNS.items()]
    imports, proposals = {}, {}
    for side in SIDES:
        wanted = columns_of(side, by, [])
        imports[side] = jobs[side].job_import(**asked.wish(side), **wanted) | {"rows": rows}
        proposals[side] = jobs[side].job_propose(asked.datasets[side], **wanted, most=20, least=asked.k)
    keys = {name: job.job_keys(0) for name, job in jobs.items()}
    contract, annexes = draft_contract(asked, "keyed", keys, imports, proposals, by, [], [])
    unsigned = Room(SignedContract(contract), annexes)
    signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in PARTIES]
    whole = gathered(unsigned, [from_plain(one) for one in signed])
    for name, job in jobs.items():
        job.job_keep(to_plain(whole, for_operator=name == OPERATOR))


def _write_vault(side: str, folder: Path, rows: int, shared: int) -> None:
    """The dataset anew with so many made-up rows: identities and the column of the question."""
    vault, dataset = Home.open(folder / side).vault, Overlap("", "").datasets[side]
    column, labels = COLUMNS[side]
    schema = pa.schema([vault.schema(dataset).field(name) for name in ("digest", f"t.{column}")])
    persons, kinds = Persons(ROLES[side], rows, shared), pa.array(labels)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, digests in zip(range(0, rows, PART), persons.digests(32), strict=True):
            cells = _cells(persons.of(np.arange(start, start + len(digests), dtype=np.int64)), side)
            texts = pa.DictionaryArray.from_arrays(pa.array(cells.astype(np.int8)), kinds)
            yield pa.record_batch([_binary(digests), texts.cast(schema.field(1).type)], schema=schema)

    vault.write(dataset, schema, batches(), meta=vault.manifest(dataset).meta)


ROLES = {"merchant": "receiver", "platform": "sender"}


def _cells(persons: Indices, side: str) -> Indices:
    """Which label each person has at a side."""
    return (persons if side == "merchant" else persons // 7) % len(COLUMNS[side][1])


def _binary(digests: np.ndarray) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(digests), [None, pa.py_buffer(digests)])


def _check(segments: list[dict[str, Any]], rows: int, shared: int) -> None:
    """Whether the groups are those of the persons that both sides have."""
    left, right = (COLUMNS[side][1] for side in SIDES)
    counts = np.zeros(len(left) * len(right), np.int64)
    for start in range(rows - shared, rows, PART):
        persons = np.arange(start, min(start + PART, rows))
        places = _cells(persons, "merchant") * len(right) + _cells(persons, "platform")
        counts += np.bincount(places, minlength=len(counts))
    expected = {(left[at // len(right)], right[at % len(right)]): int(count) for at, count in enumerate(counts)}
    found = {(each["level"], each["city"]): each["people"] for each in segments}
    if found != expected:
        raise processes.Failed(f"the groups are wrong: {found} instead of {expected}")


def _run(name: str, folder: Path, sockets: dict[int, int]) -> dict[str, Any]:
    """A party's part."""
    home, start = Home.open(folder / name), time.perf_counter()
    peers = {PARTIES[place]: SocketTransport(socket.socket(fileno=number)) for place, number in sockets.items()}
    query = Query(("crm.level", "users.city"))
    outcome = run_room(Side(home, Rooms(home.rooms).load(ROOM), query, peers, None, lambda *_: None))
    for transport in peers.values():
        transport.close()
    return {
        "segments": outcome.segments, "size": outcome.size, "sent": outcome.sent,
        "seconds": outcome.stages | {"all": round(time.perf_counter() - start, 2)},
        "enclave_megabytes": outcome.enclave_memory >> 20,
    }  # fmt: skip


def main() -> None:
    """Be one of the processes."""
    words = [word for word in sys.argv[1:] if "=" not in word]
    pairs = (word.split("=") for word in sys.argv[1:] if "=" in word)
    sockets = {int(place): int(number) for place, number in pairs}
    work, name, folder, rows, shared = words[0], words[1], Path(words[2]), int(words[3]), int(words[4])
    if work == "vault":
        _write_vault(name, folder, rows, shared)
        return
    told = _run(name, folder, sockets)
    sys.stdout.write(json.dumps({**told, "cpu": processor_seconds(), "megabytes": peak() >> 20}) + "\n")


if __name__ == "__main__":
    main()
