"""Work measured as whole processes that run at once: wall clock from the first start to the last end, memory, bytes."""

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Ran:
    """One run: seconds, the most memory of any process in bytes, bytes between the parties (0: unknown), and the last
    line that each process wrote, where it was a JSON object."""

    seconds: float
    memory: int = 0
    wire: int = 0
    told: tuple[dict[str, Any], ...] = field(default=())


@dataclass(frozen=True)
class Summary:
    """Several runs: their median seconds, the most memory, the bytes of the last."""

    runs: int
    seconds: float
    memory: int
    wire: int
    told: tuple[dict[str, Any], ...]


class Failed(Exception):
    """A process ended with an error, or not within PATIENCE."""


PATIENCE = 300.0
"""Seconds after which a run is given up: some peers' processes wait for each other for ever."""


def together(commands: Sequence[Command], *, joined: bool = False, environment: Mapping[str, str] | None = None,
             count: Callable[[], int] | None = None) -> Ran:  # fmt: skip
    """Start the commands and wait for all. joined: each two get a socket between them, appended as PLACE=NUMBER.

    count: counts bytes on the way, e.g. `loopback`; otherwise what the processes tell they sent. Raises Failed.
    """
    ends = _sockets(len(commands)) if joined else [{} for _ in commands]
    with tempfile.TemporaryDirectory() as name:
        before, start = count() if count else 0, time.perf_counter()
        running = []
        for place, command in enumerate(commands):
            words = [*map(str, command), *(f"{peer}={end.fileno()}" for peer, end in ends[place].items())]
            output = Path(name) / f"{place}.txt"
            with output.open("wb") as file, output.with_suffix(".log").open("wb") as log:
                handles = [end.fileno() for end in ends[place].values()]
                running.append(
                    subprocess.Popen(words, stdout=file, stderr=log, pass_fds=handles,
                                     env=os.environ | dict(environment or {}))
                )  # fmt: skip
        for own in ends:
            for end in own.values():
                end.close()
        watch = threading.Timer(PATIENCE, _kill, [running])
        watch.start()
        memory = max(map(_wait, running))
        seconds = time.perf_counter() - start
        watch.cancel()
        wire = count() - before if count else 0
        if failed := [place for place, process in enumerate(running) if process.returncode]:
            logs = ((Path(name) / f"{place}.log").read_text("utf-8", "replace")[-2000:] for place in failed)
            raise Failed("\n".join(f"{commands[place]}\n{log}" for place, log in zip(failed, logs, strict=True)))
        told = tuple(_last(Path(name) / f"{place}.txt") for place in range(len(commands)))
    return Ran(seconds, memory, wire or sum(each.get("sent", 0) for each in told), told)


def _sockets(count: int) -> list[dict[int, socket.socket]]:
    ends: list[dict[int, socket.socket]] = [{} for _ in range(count)]
    for a in range(count):
        for b in range(a + 1, count):
            ends[a][b], ends[b][a] = socket.socketpair()
    return ends


def _kill(running: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in running:
        process.kill()


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; its peak memory in bytes."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_maxrss << 10


def _last(path: Path) -> dict[str, Any]:
    lines = path.read_text("utf-8", "replace").strip().splitlines()
    try:
        told = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def loopback() -> int:
    """Bytes that the loopback device has carried: for peers that speak TCP on this machine."""
    for line in Path("/proc/net/dev").read_text("utf-8").splitlines():
        name, _, figures = line.partition(":")
        if name.strip() == "lo":
            return int(figures.split()[0])
    return 0


def alternate(contenders: Mapping[str, Callable[[], Ran]], times: int) -> dict[str, Summary]:
    """Run each in turn, `times` rounds: whatever slows the machine meanwhile slows all alike.

    The first is ours, whose failure is one of the whole; another that fails is told on stderr and left out.
    """
    runs: dict[str, list[Ran]] = {name: [] for name in contenders}
    ours = next(iter(contenders))
    for _ in range(times):
        for name, work in contenders.items():
            if name not in runs:
                continue
            try:
                runs[name].append(work())
            except Failed as error:
                if name == ours:
                    raise
                del runs[name]
                sys.stderr.write(f"{name} failed and is left out: {str(error)[-300:]}\n")
    return {name: summary(found) for name, found in runs.items()}


def summary(runs: Sequence[Ran]) -> Summary:
    """What counts of several runs."""
    return Summary(
        len(runs), statistics.median(run.seconds for run in runs), max(run.memory for run in runs),
        runs[-1].wire, runs[-1].told,
    )  # fmt: skip


def ratio(ours: Summary, other: Summary) -> float:
    """How many times longer the other took."""
    return other.seconds / ours.seconds
