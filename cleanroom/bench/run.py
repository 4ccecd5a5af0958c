"""Start the roles, time them, put a plain join beside, and fit what `auto` needs to know of this machine."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

from cleanroom import machine, warming
from cleanroom.bench import party
from cleanroom.errors import Interrupted
from cleanroom.machine import Machine
from cleanroom.rooms import costs
from cleanroom.rooms.costs import COSTS, MOST_CORES, REFERENCE_CORES, Cost

Sizes = tuple[tuple[int, int], tuple[int, int]]
_BALANCED: Sizes = ((100_000, 100_000), (1_000_000, 1_000_000))
_FEW: Sizes = ((20_000, 20_000), (100_000, 100_000))
_FAST: dict[str, Sizes] = {
    "keyed": _BALANCED, "vole": _BALANCED, "dh": _FEW, "oprf": ((2_000, 100_000), (10_000, 400_000)),
}  # fmt: skip
_SLOW: dict[str, Sizes] = {
    "keyed": _BALANCED, "vole": _FEW, "dh": ((4_000, 4_000), (16_000, 16_000)),
    "oprf": ((2_000, 10_000), (4_000, 80_000)),
}  # fmt: skip
_QUICK: dict[str, Sizes] = {
    "keyed": ((20_000, 20_000), (100_000, 100_000)), "vole": ((20_000, 20_000), (100_000, 100_000)),
    "dh": ((2_500, 2_500), (5_000, 5_000)), "oprf": ((500, 5_000), (1_000, 10_000)),
}  # fmt: skip
_BITS = (2048, 3072)
_FEWEST = 500
_LEAST_SLOPE = 0.05
"""A fit that makes rows cheaper than this part of ours is noise."""


@dataclass(frozen=True)
class Figure:
    """One measured match. offline: seconds that the sender spent beforehand; megabytes: the most of any process."""

    protocol: str
    receiver_rows: int
    sender_rows: int
    seconds: float
    offline: float
    bytes: int
    megabytes: int
    join_seconds: float


def measure(step: warming.Step, *, quick: bool = False, save: bool = False) -> dict[str, Any]:
    """All of it, as JSON has it. save: keep what `auto` needs to know (`cleanroom.rooms.costs.saved`)."""
    here, start = machine.here(), time.perf_counter()
    warming.ensure(tuple(warming.SETS), step)
    sizes = _QUICK if quick else _FAST if here.kind == "avx512" else _SLOW
    figures = []
    for done, protocol in enumerate(sizes):
        step("bench", "measuring", done, len(sizes) + 1)
        figures += [match(protocol, *rows) for rows in sizes[protocol]]
    step("bench", "measuring", len(sizes), len(sizes) + 1)
    primitives = [each for bits in _BITS for each in _primitives(bits, _FEWEST if quick else 4 * _FEWEST)]
    fitted = {
        name: fit(COSTS[name][here.kind], [each for each in figures if each.protocol == name], here) for name in sizes
    }
    return {
        "processor": here.name,
        "cores": here.cores,
        "target": here.kind,
        "synthetic": True,
        "protocols": [vars(each) for each in figures],
        "primitives": primitives,
        "saved": str(costs.save(fitted, here)) if save else None,
        "seconds": round(time.perf_counter() - start, 1),
    }


def match(protocol: str, receiver_rows: int, sender_rows: int) -> Figure:
    """One match in processes of their own. Raises Interrupted where one of them fails, or the overlap is wrong."""
    roles = party.ROLES if protocol == "keyed" else party.ROLES[:2]
    running = _started(protocol, roles, (receiver_rows, sender_rows))
    try:
        ready = [process.stdout.readline() for process in running.values() if process.stdout]
        start = time.perf_counter()
        for process in running.values():
            if process.stdin and not process.poll():
                process.stdin.write("go\n")
                process.stdin.flush()
        told = {role: process.communicate()[0] for role, process in running.items()}
        seconds = time.perf_counter() - start
    except BrokenPipeError as error:
        raise _failed(protocol) from error
    finally:
        for process in running.values():
            _ended(process)
    if not all(ready) or any(process.returncode for process in running.values()):
        raise _failed(protocol)
    results = {role: json.loads(text) for role, text in told.items()}
    if results["receiver"]["matched"] != min(receiver_rows, sender_rows) // 2:
        raise _failed(protocol)
    return Figure(
        protocol, receiver_rows, sender_rows, round(seconds, 3), round(results["sender"].get("offline", 0.0), 3),
        sum(each["sent"] for each in results.values()), max(each["megabytes"] for each in results.values()),
        round(plain_join(receiver_rows, sender_rows), 4),
    )  # fmt: skip


def _ended(process: "subprocess.Popen[str]") -> None:
    """Whatever it did, it is gone, and so are its pipes."""
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _started(protocol: str, roles: Sequence[str], rows: tuple[int, int]) -> dict[str, "subprocess.Popen[str]"]:
    ends: dict[str, dict[str, socket.socket]] = {role: {} for role in roles}
    for a, b in combinations(roles, 2):
        ends[a][b], ends[b][a] = socket.socketpair()
    running = {}
    for role in roles:
        words = [role, protocol, *map(str, rows), *(f"{peer}={end.fileno()}" for peer, end in ends[role].items())]
        running[role] = subprocess.Popen(
            [sys.executable, "-m", "cleanroom.bench.party", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, pass_fds=[end.fileno() for end in ends[role].values()],
        )  # fmt: skip
    for own in ends.values():
        for end in own.values():
            end.close()
    return running


def _failed(protocol: str) -> Interrupted:
    return Interrupted("The measurement of {protocol} failed.", "See the message of its process.", protocol=protocol)


def plain_join(receiver_rows: int, sender_rows: int) -> float:
    """Seconds of a join of the same identities without any privacy."""
    import duckdb
    import pyarrow as pa

    from protocols.rows import to_column

    sides = [pa.table({"id": to_column(rows)}) for rows in party.identities(receiver_rows, sender_rows)]
    with duckdb.connect() as connection:
        for name, table in zip("ab", sides, strict=True):
            connection.register(name, table)
        start = time.perf_counter()
        connection.execute("SELECT count(*) FROM a JOIN b USING (id)").fetchone()
        return time.perf_counter() - start


def _primitives(bits: int, count: int) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "cleanroom.bench.primitives", str(bits), str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise _failed("Paillier")
    told = json.loads(done.stdout)
    return [{"what": name, "bits": bits, "microseconds": round(value, 2)} for name, value in told.items()]


def fit(ours: Cost, figures: Sequence[Figure], here: Machine) -> Cost:
    """`ours` with this machine's own fixed part and slope: a line through the first and the last figure."""
    share = REFERENCE_CORES / min(here.cores, MOST_CORES)
    small, large = figures[0], figures[-1]
    x0, x1 = (ours.receiver * each.receiver_rows + ours.sender * each.sender_rows for each in (small, large))
    slope = max((large.seconds - small.seconds) / (x1 - x0), _LEAST_SLOPE)
    fixed = max(small.seconds - slope * x0, 0.0)
    offline = large.offline / large.sender_rows
    return replace(
        ours, fixed=fixed, receiver=ours.receiver * slope / share, sender=ours.sender * slope / share,
        offline=offline / share,
    )  # fmt: skip
