"""What a match costs: seconds and bytes by protocol, sizes, kind of machine and link. Estimates, never promises.

A cost is a fixed part and a part a row of each side, for two cores and both parties on them; more cores divide it. The
constants of "avx512" reproduce the runs in docs/evidence/benchmarks.md, process start included but for `oprf`, whose
sessions find the table and the kernels loaded. Those of the other two are taken from single operations timed with the
portable twins, and are rougher. `cleanroom bench --save` puts this machine's own beside them.
"""

import json
import math
import os
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.machine import Kind, Machine
from protocols.kernels import SMALL_ROWS as SMALL_ROWS

FORMAT = "cleanroom-figures/1"
REFERENCE_CORES = 2
MOST_CORES = 16
"""More than this many cores are not counted: memory is the limit by then."""
SLOT_ROW_SECONDS: dict[Kind, float] = {"avx512": 1.7e-4, "x86": 2.0e-3, "portable": 2.0e-3}
"""Seconds a row of the side that sends Paillier slots takes, for one plaintext of 3072 bits."""
_SLOT_BITS = 3072
_SLOT_POWER = 2.4
"""How the time of an encryption grows with its key's length."""


@dataclass(frozen=True)
class Cost:
    """fixed, receiver, sender: seconds in all, a row of the receiver, a row of the sender; up, down: bytes a row of
    the receiver, of the sender; rounds: journeys of the link; offline: seconds a sender's row once a key epoch."""

    fixed: float
    receiver: float
    sender: float
    up: float
    down: float
    rounds: int
    offline: float = 0.0


@dataclass(frozen=True)
class Link:
    """Between the parties: bits a second (0: no limit worth counting) and seconds a journey."""

    bandwidth: float = 0.0
    latency: float = 0.0


@dataclass(frozen=True)
class Estimate:
    """Seconds and bytes of one match; later: seconds of a later one, which need not do again what is done once a key
    epoch."""

    seconds: float
    wire: int
    later: float


COSTS: dict[str, dict[Kind, Cost]] = {
    "keyed": {
        "avx512": Cost(0.6, 2.3e-7, 2.3e-7, 16, 16, 4),
        "x86": Cost(0.3, 4.0e-7, 4.0e-7, 16, 16, 4),
        "portable": Cost(0.3, 8.0e-7, 8.0e-7, 16, 16, 4),
    },
    "vole": {
        "avx512": Cost(1.0, 6.5e-7, 6.5e-7, 34, 11, 4),
        "x86": Cost(0.4, 5.0e-7, 5.0e-7, 34, 11, 4),
        "portable": Cost(0.6, 2.5e-6, 2.5e-6, 34, 11, 4),
    },
    "dh": {
        "avx512": Cost(1.0, 1.35e-5, 8.5e-6, 64, 11, 4),
        "x86": Cost(0.4, 4.0e-5, 2.4e-5, 64, 11, 4),
        "portable": Cost(0.4, 4.0e-5, 2.4e-5, 64, 11, 4),
    },
    "join-sum": {
        "avx512": Cost(1.0, 1.7e-5, 8.0e-6, 64, 11, 4),
        "x86": Cost(0.4, 6.6e-5, 2.4e-5, 64, 11, 4),
        "portable": Cost(0.4, 6.6e-5, 2.4e-5, 64, 11, 4),
    },
    "oprf": {
        "avx512": Cost(0.6, 2.0e-5, 1.0e-7, 64, 11, 4, offline=8.0e-6),
        "x86": Cost(0.35, 6.6e-5, 3.0e-8, 64, 11, 4, offline=2.4e-5),
        "portable": Cost(0.35, 6.6e-5, 3.0e-8, 64, 11, 4, offline=2.4e-5),
    },
}
"""`join-sum` is the match alone; its slots come on top."""
_SMALL = Cost(0.1, 1.0e-4, 4.0e-5, 64, 16, 4)
"""With libsodium and without numba, up to SMALL_ROWS; `keyed` is quicker still."""


def estimate(protocol: str, receiver_rows: int, sender_rows: int, machine: Machine, link: Link, slot_rows: int = 0,
             key_bits: int = _SLOT_BITS) -> Estimate:  # fmt: skip
    """A match of so many rows; slot_rows: rows of them that bring Paillier slots, of one plaintext each."""
    cost = _cost(protocol, max(receiver_rows, sender_rows), machine)
    share = REFERENCE_CORES / min(machine.cores, MOST_CORES)
    work = cost.fixed + share * (cost.receiver * receiver_rows + cost.sender * sender_rows)
    work += share * slot_seconds(slot_rows, machine, key_bits)
    labels = slot_rows * key_bits / 4
    wire = cost.up * receiver_rows + cost.down * sender_rows + labels
    seconds = _over(link, work + share * cost.offline * sender_rows, wire, cost.rounds)
    later = _over(link, work, cost.up * receiver_rows, cost.rounds) if cost.offline else seconds
    return Estimate(seconds, int(wire), later)


def _over(link: Link, work: float, wire: float, rounds: int) -> float:
    """Seconds of so much work and so many bytes, which overlap, and of the link's journeys, which do not."""
    transfer = wire * 8 / link.bandwidth if link.bandwidth else 0.0
    return max(work, transfer) + rounds * link.latency


def slot_seconds(rows: int, machine: Machine, key_bits: int) -> float:
    """Seconds on two cores to encrypt and use the slots of so many rows."""
    return rows * SLOT_ROW_SECONDS[machine.kind] * math.pow(key_bits / _SLOT_BITS, _SLOT_POWER)


def _cost(protocol: str, rows: int, machine: Machine) -> Cost:
    if rows <= SMALL_ROWS and protocol in ("dh", "join-sum", "oprf"):
        return _SMALL
    return saved(machine).get(protocol) or COSTS[protocol][machine.kind]


# -- this machine's own figures


def saved(machine: Machine) -> dict[str, Cost]:
    """What `cleanroom bench --save` measured here, by protocol; nothing where that was another machine or version."""
    try:
        found = json.loads(figures_path().read_text("utf-8"))
        if found["version"] != FORMAT or found["machine"] != _named(machine):
            return {}
        return {name: Cost(**cost) for name, cost in found["costs"].items() if name in COSTS}
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
    ):  # a cache of measurements: without it, ours count
        return {}


def save(costs: dict[str, Cost], machine: Machine) -> Path:
    """Keep this machine's figures for `auto`; the file. Raises UsageError where it cannot be written."""
    path = figures_path()
    content = {"version": FORMAT, "machine": _named(machine), "costs": {name: asdict(c) for name, c in costs.items()}}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, json.dumps(content, indent=1).encode())
    except OSError as error:
        raise UsageError("The figures cannot be written: {reason}.", reason=error.strerror or "") from error
    return path


def figures_path() -> Path:
    """In the user's folder of settings."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "cleanroom" / "figures.json"


def _named(machine: Machine) -> str:
    return f"{machine.name}, {machine.cores}, {machine.kind}"


# -- a link as people write it

_UNITS = {"kbit": 1e3, "mbit": 1e6, "gbit": 1e9}
_LINK = re.compile(r"(?P<rate>\d+(?:\.\d+)?)\s*(?P<unit>[kmg]bit)(?:/s)?(?:\s*,\s*(?P<wait>\d+(?:\.\d+)?)\s*ms)?", re.I)


def link(text: str | None) -> Link:
    """'100Mbit,20ms' or '1Gbit'; None is the same machine. Raises UsageError for anything else."""
    if text is None:
        return Link()
    found = _LINK.fullmatch(text.strip())
    if found is None or not float(found["rate"]):
        raise UsageError("This is no link: {text}.", "Write it as 100Mbit,20ms or 1Gbit.", text=text)
    return Link(float(found["rate"]) * _UNITS[found["unit"].lower()], float(found["wait"] or 0) / 1000)
