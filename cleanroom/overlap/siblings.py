"""The parties of one command, brought up by `cleanroom.overlap.nursery`: a process each, libraries loaded once.

Where forking is not safe (macOS) or not there (Windows), each party loads its own.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cleanroom.node.control import Control
from cleanroom.node.local import LocalParties, Progress

_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
"""As `cleanroom.node.local` has it; here also since what forks should have no threads."""


class Siblings(LocalParties):
    """`LocalParties` out of one process. Raises what they raise."""

    def __init__(self, homes: Mapping[str, Path], progress: Progress | None = None) -> None:
        self._ends: dict[str, dict[str, socket.socket]] = {}
        super().__init__(homes, progress)
        if self._ends:
            self._processes["all"] = _started(homes, self._ends)

    def _start(self, name: str, home: Path, wires: Mapping[str, socket.socket]) -> None:
        if sys.platform != "linux":
            super()._start(name, home, wires)
            return
        ours, theirs = socket.socketpair()
        self._lines[name] = Control(ours)
        self._ends[name] = {"": theirs, **{peer: wire.dup() for peer, wire in wires.items()}}


def _started(homes: Mapping[str, Path], ends: Mapping[str, Mapping[str, socket.socket]]) -> "subprocess.Popen[bytes]":
    """The process that becomes all parties; it holds the ends, which are closed here. The line's peer is ""."""
    numbers = {name: {peer: end.fileno() for peer, end in own.items()} for name, own in ends.items()}
    plan = [[name, str(homes[name]), own] for name, own in numbers.items()]
    handles = [number for own in numbers.values() for number in own.values()]
    process = subprocess.Popen(
        [sys.executable, "-m", "cleanroom.overlap.nursery", json.dumps(plan)],
        pass_fds=handles, stdin=subprocess.DEVNULL, process_group=0, env=_ONE_THREAD | os.environ,
    )  # fmt: skip
    for own in ends.values():
        for end in own.values():
            end.close()
    return process
