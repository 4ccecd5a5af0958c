"""The enclave process: gives up what it does not need, says what that was, then answers its party.

Started by `handle.start` with one inherited socket. It must not start a thread before it is in its sandbox, nor load
anything heavy but the kernels of ciphertext sums, which could not be loaded from inside; and what it writes on stderr,
should it ever fail, names places in the code and nothing of the data.
"""

import os
import signal
import socket
import sys
import traceback
from pathlib import Path
from types import TracebackType

from cleanroom.enclave import sandbox
from cleanroom.enclave.wire import Wire

HEADROOM = 1 << 30
"""Private memory above the rows' and DuckDB's: libraries, stacks, what allocators reserve and never touch."""


def main(arguments: list[str]) -> None:
    """`arguments`: the socket, bytes of memory, threads, ciphertexts to be summed, seconds a request may take."""
    descriptor, memory, threads, ciphertexts = map(int, arguments[:4])
    sys.excepthook = report
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the party hears the keyboard too, and decides
    wire = Wire(socket.socket(fileno=descriptor))
    if ciphertexts:
        from protocols.paillier import backend

        backend.prepare(ciphertexts)
    isolation = sandbox.apply(memory + HEADROOM, files=not measured())
    wire.send(isolation=isolation)

    from cleanroom.enclave.duck import DuckEngine
    from cleanroom.enclave.service import Service

    if Service(wire, DuckEngine(memory, threads, float(arguments[4]))).serve():
        wire.send(peak_memory=peak_memory())
    wire.close()


def measured() -> bool:
    """Whether a coverage measurement runs, which has to write its data when the process ends."""
    return any(name.startswith("COVERAGE_") for name in os.environ)


def peak_memory() -> int:
    """The most bytes this process ever held."""
    if sys.platform == "linux":  # getrusage would count the parent's pages from before exec
        status = Path("/proc/self/status").read_text("ascii")
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:"))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say where an unforeseen error happened, without its text, which may hold a value."""
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(trace)))
    sys.stderr.write(f"enclave: {kind.__name__} at {places}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
