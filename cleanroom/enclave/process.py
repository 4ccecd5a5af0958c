"""The enclave process: gives up what it does not need, says what that was, then answers its party.

Started by `handle.start` with one inherited socket. It must not start a thread before it is in its sandbox, nor load
anything heavy but what could not be loaded from inside: the kernels of ciphertext sums, and programs that only root may
read. What it writes on stderr, should it ever fail, names places in the code and nothing of the data.
"""

import importlib
import math
import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import TracebackType

from cleanroom.enclave import sandbox
from cleanroom.enclave.wire import Wire
from cleanroom.lean import without_pandas

HEADROOM = 1 << 30
"""Private memory above the rows' and DuckDB's: libraries, stacks, what allocators reserve and never touch."""

REQUESTS = 16
"""So many requests of the longest duration, on all threads, are what the process may compute in its life."""


def main(arguments: list[str]) -> None:
    """`arguments`: the socket, bytes of memory, threads, ciphertexts to be summed, seconds a request may take."""
    descriptor, memory, threads, ciphertexts = map(int, arguments[:4])
    sys.excepthook = report
    without_pandas()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the party hears the keyboard too, and decides
    wire = Wire(socket.socket(fileno=descriptor))
    if ciphertexts:
        from protocols.paillier import backend

        backend.prepare(ciphertexts)
    if sandbox.programs_are_private():
        importlib.import_module("cleanroom.enclave.service")
    seconds = float(arguments[4])
    computing = REQUESTS * threads * math.ceil(seconds + 1)
    isolation = sandbox.apply(memory + HEADROOM, computing, files=not measured())
    wire.send(isolation=isolation)

    from cleanroom.enclave.duck import DuckEngine
    from cleanroom.enclave.service import Service

    if Service(wire, DuckEngine(memory, threads, seconds)).serve():
        wire.send(peak_memory=peak_memory())
    wire.close()


def measured() -> bool:
    """Whether a coverage measurement runs, which has to write its data when the process ends."""
    return any(name.startswith("COVERAGE_") for name in os.environ)


def peak_memory() -> int:
    """The most bytes this process ever held."""
    if sys.platform == "linux":  # getrusage would count the parent's pages from before exec
        status = Path("/proc/self/status").read_bytes()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith(b"VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say where an unforeseen error happened, without its text, which may hold a value."""
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(trace)))
    sys.stderr.write(f"enclave: {kind.__name__} at {places}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
