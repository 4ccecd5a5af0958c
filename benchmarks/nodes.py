"""Nodes against socket pairs, over a slow line, after a cut, under fifty jobs at once: `python -m benchmarks.nodes`.

Nodes are processes over homes of their own (`tests.node.world`); all traffic stays on loopback or in network namespaces
made here and removed again. What is compared alternates, and the median counts. A Markdown table goes to stdout.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks import data, product
from cleanroom import querying
from cleanroom.node.local import LocalParties
from cleanroom.rooms.store import Rooms
from tests.node import world as worlds
from tests.node.world import PARTIES, SIDES, World

TIMES: Mapping[str, float] = {"connect": 10.0, "retry_first": 0.2}
LINK_BYTES = 12.5e6
"""A second, of 100 Mbit/s."""
DELAY = 0.025
LONG = 900.0


def main() -> None:
    """Measure what is asked."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=1_000_000, help="of each side, for a, b")
    options.add_argument("--cut-rows", type=int, default=4_000_000, help="of each side, for c")
    options.add_argument("--times", type=int, default=5, help="alternating runs of a")
    options.add_argument("--jobs", type=int, default=50, help="of d")
    options.add_argument("--only", default="a,b,c,d", help="which, with commas between")
    given = options.parse_args()
    product.warm_up()
    work: dict[str, Callable[[Path], list[str]]] = {
        "a": lambda folder: against_pairs(folder, given.rows, given.times),
        "b": lambda folder: slow_line(folder, given.rows),
        "c": lambda folder: cut(folder, given.cut_rows),
        "d": lambda folder: many_jobs(folder, given.jobs, 20),
    }
    sys.stdout.write("| work | measured | wanted |\n|---|---|---|\n")
    for name in given.only.split(","):
        with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
            for row in work[name](Path(folder)):
                sys.stdout.write(f"| {row} |\n")
                sys.stdout.flush()


def _prepared(folder: Path, rows: int, protocols: Mapping[str, tuple[str, ...]]) -> Path:
    """Homes with made-up exports of so many rows, half of them shared."""
    (made := folder / "made").mkdir()
    return worlds.prepared(made, data.exports(folder, rows), protocols)


@contextmanager
def _running(world: World, *names: str, **how: Any) -> Iterator[World]:
    try:
        world.start(*names, **how)
        yield world
    finally:
        world.close()


# -- a: over nodes against over socket pairs


def against_pairs(folder: Path, rows: int, times: int) -> list[str]:
    """The same homes, rooms and questions: parties joined by socket pairs, and by nodes over mutual TLS."""
    rooms = {"vole": SIDES, "keyed": PARTIES}
    made = _prepared(folder, rows, rooms)
    (there := folder / "nodes").mkdir()
    found = []
    with _running(worlds.world(made, there, times=TIMES, direct=True), *PARTIES) as world:
        for room in rooms:
            pairs, nodes = [], []
            for n in range(times + 1):
                pairs.append(_by_pairs(made, room, 20 + n))
                nodes.append(_by_nodes(world, room, 20 + n))
            found.append(_compared(room, rows, pairs[1:], nodes[1:]))
    return found


Times = tuple[float, float]
"""Seconds of the whole run, processes started and ended, and of its match at the receiver."""


def _by_pairs(homes: Path, room: str, sigma: int) -> Times:
    contract = Rooms(homes / "platform" / "rooms").load(room).contract
    names = [party.name for party in contract.parties]
    job = {"room": room, "query": {"by": [], "sums": [], "sigma": sigma, "where": [], "over": []}, "template": None,
           "values": {}}  # fmt: skip
    start = time.perf_counter()
    with LocalParties({name: homes / name for name in names}) as parties:
        outcome = parties.call("run", querying.jobs(contract, names, job))["platform"]
    return time.perf_counter() - start, outcome["stages"]["match"]


def _by_nodes(world: World, room: str, sigma: int) -> Times:
    start = time.perf_counter()
    outcome = world.done("platform", world.ask_run("platform", room, sigma), LONG)
    seconds = time.perf_counter() - start
    world.quiet()
    return seconds, outcome["stages"]["match"]


def _compared(room: str, rows: int, pairs: list[Times], nodes: list[Times]) -> str:
    whole, match = ([statistics.median(each[at] for each in runs) for runs in (pairs, nodes)] for at in (0, 1))
    return (f"{room} {rows:,} × {rows:,}, nodes over mutual TLS against socket pairs ({len(pairs)} × each) | "
            f"match {match[1]:.2f} s against {match[0]:.2f} s: {match[1] / match[0]:.2f} ×; "
            f"whole {whole[1]:.2f} s against {whole[0]:.2f} s: {whole[1] / whole[0]:.2f} × | ≤ 1.15 ×")  # fmt: skip


# -- b: a slow line


def slow_line(folder: Path, rows: int) -> list[str]:
    """50 ms round trip, 100 Mbit/s: how busy the bulk of a match keeps the line."""
    made = _prepared(folder, rows, {"vole": SIDES})
    (there := folder / "nodes").mkdir()
    try:
        with _namespaces() as (names, hosts, count):
            world = worlds.world(made, there, times=TIMES, direct=True, hosts=hosts)
            try:
                for party, space in names.items():
                    world.start(party, by=("ip", "netns", "exec", space))
                return [_bulk(world, count, rows, "netem")]
            finally:
                world.close()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"no namespaces here ({error.stderr.strip()[-200:]}): a proxy instead\n")
    (proxied := folder / "proxied").mkdir()
    world = worlds.world(made, proxied, times=TIMES)
    line = world.proxies["merchant", "platform"]
    line.delay, line.rate = DELAY, LINK_BYTES
    with _running(world, *SIDES):
        return [_bulk(world, lambda: (line.ways["out"], line.ways["back"]), rows, "a proxy")]


def _bulk(world: World, count: Callable[[], tuple[int, int]], rows: int, by: str) -> str:
    """The middle 90 % of the bytes of the direction that carries more, by time."""
    samples: list[tuple[float, tuple[int, int]]] = []
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.1):
            samples.append((time.perf_counter(), count()))

    watch = threading.Thread(target=sample, daemon=True)
    watch.start()
    start = time.perf_counter()
    outcome = world.done("platform", world.ask_run("platform", "vole", 20), LONG)
    seconds = time.perf_counter() - start
    ended.set()
    watch.join()
    way = max((0, 1), key=lambda at: samples[-1][1][at] - samples[0][1][at])
    first, last = samples[0][1][way], samples[-1][1][way]
    middle = [(at, bytes_[way]) for at, bytes_ in samples
              if first + 0.05 * (last - first) <= bytes_[way] <= first + 0.95 * (last - first)]  # fmt: skip
    rate = (middle[-1][1] - middle[0][1]) / (middle[-1][0] - middle[0][0])
    return (f"vole {rows:,} × {rows:,} over 50 ms round trip and 100 Mbit/s ({by}): {(last - first) / 1e6:.1f} MB one "
            f"way | bulk {rate / 1e6:.2f} MB/s, {rate / LINK_BYTES:.0%} of the line; match "
            f"{outcome['stages']['match']:.1f} s, whole {seconds:.1f} s | ≥ 80 %")  # fmt: skip


@contextmanager
def _namespaces() -> Iterator[tuple[dict[str, str], dict[str, str], Callable[[], tuple[int, int]]]]:
    """Two namespaces joined by a slow line: their names and addresses by party, and the bytes either way. Raises
    CalledProcessError where that is not allowed."""
    spaces = {party: f"cleanroom-{os.getpid()}-{place}" for place, party in enumerate(SIDES)}
    hosts = {party: f"10.77.13.{place + 1}" for place, party in enumerate(SIDES)}
    devices = {party: f"cr{os.getpid() % 100_000}{'ab'[place]}" for place, party in enumerate(SIDES)}
    try:
        for space in spaces.values():
            _sh("ip", "netns", "add", space)
        _sh("ip", "link", "add", devices["merchant"], "type", "veth", "peer", "name", devices["platform"])
        for party, space in spaces.items():
            device, inside = devices[party], ("ip", "netns", "exec", space)
            _sh("ip", "link", "set", device, "netns", space)
            _sh(*inside, "ip", "address", "add", f"{hosts[party]}/24", "dev", device)
            for each in (device, "lo"):
                _sh(*inside, "ip", "link", "set", each, "up")
            _sh(*inside, "tc", "qdisc", "add", "dev", device, "root", "netem", "delay", "25ms", "rate", "100mbit",
                "limit", "20000")  # fmt: skip
        watched = _Counters(spaces["merchant"], devices["merchant"])
        try:
            yield spaces, hosts, watched
        finally:
            watched.close()
    finally:
        for space in spaces.values():
            with suppress(subprocess.CalledProcessError):
                _sh("ip", "netns", "delete", space)


class _Counters:
    """Bytes that a device in a namespace has sent and received."""

    def __init__(self, space: str, device: str) -> None:
        script = ("import sys\nfor line in sys.stdin:\n print(*(open(f'/sys/class/net/" + device
                  + "/statistics/{way}_bytes').read().strip() for way in ('tx', 'rx')), flush=True)")  # fmt: skip
        self._process = subprocess.Popen(["ip", "netns", "exec", space, sys.executable, "-c", script], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip

    def __call__(self) -> tuple[int, int]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sent, received = self._process.stdout.readline().split()
        return int(sent), int(received)

    def close(self) -> None:
        """End the watcher."""
        self._process.communicate()


def _sh(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


# -- c: a cut


def cut(folder: Path, rows: int) -> list[str]:
    """A match whose line is cut when nine tenths of it have passed, against the same uncut."""
    made = _prepared(folder, rows, {"vole": SIDES})
    (there := folder / "nodes").mkdir()
    metrics = dict(zip(SIDES, worlds.free_ports(2), strict=True))
    world = worlds.world(made, there, times=TIMES)
    line = world.proxies["merchant", "platform"]
    try:
        for party in SIDES:
            world.start(party, environment={"CLEANROOM_NODE_METRICS": f"127.0.0.1:{metrics[party]}"})
        sent = {}
        for name in ("uncut", "cut"):
            before, passed = _sent(metrics), line.passed
            if name == "cut":
                line.cut_after(round(0.9 * sent["uncut"][1]))
            outcome = world.done("platform", world.ask_run("platform", "vole", 20 + len(sent)), LONG)
            world.quiet()
            time.sleep(2.5)  # the node measures once a second
            sent[name] = _sent(metrics) - before, line.passed - passed
            if outcome["size"] != rows // 2 or line.cuts != len(sent) - 1:
                raise SystemExit(f"{name}: size {outcome['size']}, {line.cuts} cuts")
    finally:
        world.close()
    again = sent["cut"][0] - sent["uncut"][0]
    return [f"vole {rows:,} × {rows:,} cut at 90 % of {sent['uncut'][1] / 1e6:.0f} MB | resumed; "
            f"{again / 1e6:.2f} MB repeated | ≤ one bucket"]  # fmt: skip


def _sent(ports: Mapping[str, int]) -> float:
    """Payload that the nodes' links have sent, repeated bytes too."""
    total = 0.0
    for port in ports.values():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
            for each in page.read().decode().splitlines():
                if each.startswith("cleanroom_wire_bytes_total") and 'way="sent"' in each:
                    total += float(each.rpartition(" ")[2])
    return total


# -- d: many jobs


def many_jobs(folder: Path, jobs: int, clients: int) -> list[str]:
    """Questions left by processes at once, each of its own; a part of them at either owner."""
    made = worlds.template()
    (there := folder / "nodes").mkdir()
    with _running(worlds.world(made, there, times={**TIMES, "retries": 20}, direct=True), *PARTIES) as world:
        start = time.perf_counter()
        script = ("import json, sys\nfrom tests.node.world import World\nfrom pathlib import Path\n"
                  "world = World(Path(sys.argv[1]), {}, {})\nfor n in map(int, sys.argv[2:]):\n"
                  " party = ('merchant', 'platform')[n % 2]\n room = ('keyed', 'dh')[n // 2 % 2]\n"
                  " print(json.dumps([party, world.ask_run(party, room, 20 + n)]))")  # fmt: skip
        processes = [subprocess.Popen([sys.executable, "-c", script, str(there), *map(str, range(n, jobs, clients))],
                                      stdout=subprocess.PIPE, text=True) for n in range(clients)]  # fmt: skip
        left = [json.loads(each) for process in processes for each in process.communicate()[0].splitlines()]
        ended = [world.ended(party, number, LONG) for party, number in left]
        seconds = time.perf_counter() - start
        world.quiet()
        done = sum(job.state == "done" for job in ended)
        charged = {name: len(world.charges(name)) for name in SIDES}
        world.audit()
        peak = {name: _peak(world.nodes[name].process.pid) for name in PARTIES}
    return [f"{jobs} jobs from {clients} processes at once, two rooms of {worlds.ROWS:,} rows | {done} of {len(left)} "
            f"done in {seconds:.0f} s; charges {charged}; peak memory of the nodes "
            f"{', '.join(f'{name} {size >> 20} MB' for name, size in peak.items())} | all, bounded"]  # fmt: skip


def _peak(pid: int) -> int:
    """The most resident memory that a process has had, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) << 10


if __name__ == "__main__":
    main()
