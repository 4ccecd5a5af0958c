"""A process that becomes the parties of one command: `python -m cleanroom.overlap.nursery PLAN`.

A party's libraries take longer to load than a small match takes. This process loads them while it has no key, no row
and no message, forks a child a party, and waits for them; what a child then reads is its own. It starts no thread. The
plan is JSON: of each party its name, its home and its sockets, by peer, its line to whoever started it under "".
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from cleanroom.node import party

_COMM = Path("/proc/self/comm")
_LONGEST = 15
"""Bytes of a process's name."""


def main(plan: Sequence[tuple[str, str, dict[str, int]]]) -> int:
    """Fork a child a party and wait for all; the exit code of whichever process this then is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started us
    gc.freeze()  # else the first collection of each child would copy what they share
    children = []
    for name, home, own in plan:
        child = os.fork()
        if not child:
            _close(number for _, _, others in plan if others is not own for number in others.values())
            _COMM.write_text(name.encode()[:_LONGEST].decode("utf-8", "ignore"), "utf-8")
            line = own.pop("")
            return party.main([home, str(line), *(f"{peer}={number}" for peer, number in own.items())])
        children.append(child)
    _close(number for _, _, own in plan for number in own.values())
    signal.signal(signal.SIGTERM, lambda *_: _end(children))
    while children:
        os.waitpid(children[0], 0)
        children.pop(0)
    return 0


def _close(numbers: Iterable[int]) -> None:
    for number in numbers:
        os.close(number)


def _end(children: Sequence[int]) -> None:
    for child in children:
        with suppress(ProcessLookupError):  # it ended this moment
            os.kill(child, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
