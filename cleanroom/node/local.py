"""Parties on this machine, each in a process and a home of its own, joined pairwise by socket pairs."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import combinations
from pathlib import Path
from typing import Any, Self

from cleanroom.errors import Interrupted
from cleanroom.node.control import Control, unpack_error

Progress = Callable[[str, str, int, int], None]
"""party, stage, done, total (0 where unknown)"""
_NO_IDLE_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
"""numpy starts a thread a core for linear algebra, which nobody does here: a tenth of a second of a process's start."""
_STOP_SECONDS = 60.0
"""Longer than a party takes to leave what it is at; then its process is ended."""


class LocalParties:
    """Processes of the parties named, each with a line to us and one to every other party."""

    def __init__(self, homes: Mapping[str, Path], progress: Progress | None = None) -> None:
        self._progress = progress
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._lines: dict[str, Control] = {}
        wires: dict[str, dict[str, socket.socket]] = {name: {} for name in homes}
        for a, b in combinations(homes, 2):
            wires[a][b], wires[b][a] = socket.socketpair()
        for name, home in homes.items():
            self._start(name, home, wires[name])
        for ends in wires.values():  # the processes hold them now; ours would hide a peer's death
            for end in ends.values():
                end.close()

    def _start(self, name: str, home: Path, wires: Mapping[str, socket.socket]) -> None:
        self._processes[name], self._lines[name] = start(home, wires)

    def call(self, job: str, arguments: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        """Run `job` at every party named in `arguments` at once; their results by party.

        Raises the first party's own error rather than the echo it caused at the others.
        """
        with ThreadPoolExecutor(max(len(arguments), 1)) as pool:
            waiting = {pool.submit(self._call, party, job, given): party for party, given in arguments.items()}
            results, failures = {}, []
            for done in as_completed(waiting):
                error = done.exception()
                if error is None:
                    results[waiting[done]] = done.result()
                else:
                    failures.append(error)
        if failures:
            raise min(failures, key=_echo)
        return results

    def _call(self, party: str, job: str, arguments: Mapping[str, Any]) -> Any:
        line = self._lines[party]
        line.send({"job": job, "arguments": arguments})
        while (reply := line.receive()) is not None:
            if "progress" in reply:
                if self._progress:
                    self._progress(party, *reply["progress"])
            elif "error" in reply:
                raise unpack_error(reply["error"])
            else:
                return reply["result"]
        raise Interrupted(
            "The process of {party} ended before its work was done.", "Run the command again.", party=party
        )

    def close(self) -> dict[str, int]:
        """End all processes; the peak memory of each in bytes, as it last told."""
        peaks: dict[str, int] = {}
        for party, line in self._lines.items():
            line.hurry(_STOP_SECONDS)
            try:
                peaks |= {party: self._call(party, "stop", {})}
            except Interrupted:
                continue
            finally:
                line.close()
        for process in self._processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return peaks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0] is not None:
            for process in self._processes.values():
                process.terminate()
        self.close()


def start(home: Path, wires: Mapping[str, socket.socket]) -> tuple[subprocess.Popen[bytes], Control]:
    """A process of the party that lives in `home`, holding the wires to its peers, and the line to it."""
    ours, theirs = socket.socketpair()
    handles = [theirs.fileno(), *(wire.fileno() for wire in wires.values())]
    peers = [f"{peer}={wire.fileno()}" for peer, wire in wires.items()]
    command = [sys.executable, "-m", "cleanroom.node.party", str(home), str(theirs.fileno()), *peers]
    process = subprocess.Popen(
        command, pass_fds=handles, stdin=subprocess.DEVNULL, process_group=0, env=_NO_IDLE_THREADS | os.environ
    )
    theirs.close()
    return process, Control(ours)


def _echo(error: BaseException) -> int:
    """Root causes first: an aborted or vanished peer is what the others merely see."""
    return {"PeerAborted": 2, "Interrupted": 1}.get(type(error).__name__, 0)
