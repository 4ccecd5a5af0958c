"""`keyed` between two owners and an operator at sizes that no file need be made for: python -m benchmarks.keyed_large

    --rows 100e6 [--overlap 0.5] [--json]    the match alone: tokens, order, wire, merge, members
    --rows 100e6 --room [--json]             the room: vaults, contract, enclave, groups, receipt (as people run it)

Three processes over socket pairs on this machine. Each owner makes up its persons' digests as it goes, so that no file
is read: that part is timed apart, as `scan`. What comes out is checked against what must.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import processes
from benchmarks.pipelines import party
from benchmarks.synthetic import PART, Persons, peak, processor_seconds
from protocols.channel import Channel
from protocols.psi import keyed
from protocols.psi.tokens import Items
from protocols.rows import Indices

ROLES = ("receiver", "sender", "operator")
PATIENCE = 7200.0
_ROOM_KEY = bytes(range(32))
"""What both owners have derived, and the operator has not."""


def main() -> None:
    """Start the three processes, or be one of them."""
    if len(sys.argv) > 1 and sys.argv[1] in ROLES:
        party.run(_play)
        return
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=float, default=1e6, help="of each side")
    options.add_argument("--overlap", type=float, default=0.5, help="of a side's rows that the other has too")
    options.add_argument("--room", action="store_true", help="the whole room, as people run it")
    options.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the room's vaults go")
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    processes.PATIENCE = PATIENCE
    if given.room:
        from benchmarks.keyed_large_room import room  # all of the product

        found = room(int(given.rows), given.overlap, given.folder)
    else:
        found = match(int(given.rows), given.overlap)
    sys.stdout.write(json.dumps(found) + "\n" if given.json else _lines(found))


def match(rows: int, overlap: float) -> dict[str, Any]:
    """The match alone: what its processes tell. Raises processes.Failed."""
    shared = int(rows * overlap)
    words = [sys.executable, "-m", "benchmarks.keyed_large"]
    ran = processes.together([[*words, role, str(rows), str(shared)] for role in ROLES], joined=True)
    told = dict(zip(ROLES, ran.told, strict=True))
    sent = sum(each["sent"] for each in ran.told)
    return {
        "rows": rows, "matched": told["receiver"]["matched"], "seconds": round(ran.seconds, 2),
        "bytes_per_item": round(sent / (2 * rows), 2), "parties": told,
    }  # fmt: skip


def _play() -> None:
    given = party.words()
    rows, shared, start = int(given.file), int(given.out), time.perf_counter()
    if given.role == "operator":
        told = _operate(*(party.channel("operator", ROLES[place], given.sockets[place]) for place in (0, 1)))
    else:
        told = _own(given, Persons(given.role, rows, shared), shared)
    told["seconds"] = {**told["seconds"], "all": time.perf_counter() - start}
    told["seconds"] = {name: round(value, 2) for name, value in told["seconds"].items()}
    party.tell(**told, cpu=processor_seconds(), megabytes=peak() >> 20)


def _own(given: party.Words, persons: Persons, shared: int) -> dict[str, Any]:
    laps = [time.perf_counter()]
    with party.channel(given.role, "operator", given.sockets[2]) as channel:
        items, own = Items(persons.rows, persons.digests), party.canaries(given.role)
        sent = keyed.owner(channel, _ROOM_KEY, items, {}, lambda rows: {}, canaries=own)
        laps.append(time.perf_counter())
        told: dict[str, Any] = {}
        if given.role == "receiver":
            matched = keyed.receive_matched(channel, sent)
            laps.append(time.perf_counter())
            told["matched"] = len(matched)
            _check(matched, persons, shared)
    took = dict(zip(("match", "members"), np.diff(laps).tolist(), strict=False))
    return {**told, "sent": channel.sent, "seconds": {"scan": persons.seconds, **took}}


def _check(matched: Indices, persons: Persons, shared: int) -> None:
    """Whether these rows, ascending as `receive_matched` has them, are just those of the persons that both have."""
    pieces = (persons.of(matched[start : start + PART]) for start in range(0, len(matched), PART))
    if len(matched) != shared or not all((piece >= persons.rows - shared).all() for piece in pieces):
        raise processes.Failed("the match is wrong")


def _operate(receiver: Channel, sender: Channel) -> dict[str, Any]:
    with receiver, sender:
        laps = [time.perf_counter()]
        found = keyed.line_up(keyed.operator(receiver, {}), keyed.operator(sender, {}))
        laps.append(time.perf_counter())
        positions = keyed.without_canaries(found, keyed.named_canaries(receiver), keyed.named_canaries(sender))
        keyed.send_matched(receiver, positions)
        laps.append(time.perf_counter())
        receiver._transport.close()
    took = dict(zip(("merge", "members"), np.diff(laps).tolist(), strict=True))
    return {"sent": receiver.sent + sender.sent, "seconds": took}


def _lines(found: dict[str, Any]) -> str:
    head = f"{found['rows']:,} × {found['rows']:,}: {found['seconds']} s, {found['matched']:,} matched"
    lines = [f"{head}, {found['bytes_per_item']} bytes an item"]
    if "vault_seconds" in found:
        lines.append(
            f"  vaults    {found['vault_megabytes']:,} MB; written one after the other: {found['vault_seconds']} s"
        )
    for role, told in found["parties"].items():
        took = ", ".join(f"{name} {value}" for name, value in told["seconds"].items())
        enclave = f" and {told['enclave_megabytes']:,} MB in the enclave" if told.get("enclave_megabytes") else ""
        lines.append(f"  {role:9} {told['megabytes']:,} MB{enclave}, {told['cpu']} s of CPU; seconds: {took}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
