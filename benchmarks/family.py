"""This process and all that it started: what memory and processor time they take, and one of them ended with -9."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FIRST_KILL = 0.5
"""Seconds into a stage after which a worker is ended."""


class Watch:
    """Memory and processor time of this process and all that it started, looked at every so often."""

    def __init__(self, every: float = 0.5) -> None:
        self.peak, self.own_peak = 0, {}
        self._cpu: dict[int, float] = {}
        self._every, self._done = every, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def cpu(self) -> float:
        """Seconds of all of them so far."""
        self._take()
        return sum(self._cpu.values())

    def _look(self) -> None:
        while not self._done.wait(self._every):
            self._take()

    def _take(self) -> None:
        total, by_kind = 0, {}
        for pid in family():
            found = _used(pid)
            if found is not None:
                memory, self._cpu[pid] = found
                total += memory
                kind = kind_of(pid)
                by_kind[kind] = by_kind.get(kind, 0) + memory
        self.peak = max(self.peak, total)
        self.own_peak = {
            kind: max(self.own_peak.get(kind, 0), by_kind.get(kind, 0)) for kind in {*by_kind, *self.own_peak}
        }


def family() -> list[int]:
    """This process and all that it started, and these."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8", "replace").rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [os.getpid()]
    for pid in found:
        found += children.get(pid, [])
    return found


def kind_of(pid: int) -> str:
    """What a process is: of Spark the driver's JVM, an executor's, Python workers; the enclave; or this one."""
    words = _words(pid)
    if "CoarseGrainedExecutorBackend" in words:
        return "executors"
    if "pyspark.daemon" in words or "pyspark/daemon" in words:
        return "workers"
    if "java" in words:
        return "jvm"
    return "enclave" if "cleanroom.enclave.process" in words else "driver"


def workers() -> list[int]:
    """Python workers that tasks run in, not the daemon that starts them."""
    found = {pid for pid in family() if kind_of(pid) == "workers"}
    return [pid for pid in found if _parent(pid) in found]


def executors() -> list[int]:
    """Executors' JVMs, where they are processes of their own."""
    return [pid for pid in family() if kind_of(pid) == "executors"]


def _words(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _used(pid: int) -> tuple[int, float] | None:
    """(bytes, its share of shared ones; seconds of processor time), or None where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("utf-8").splitlines()
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    memory = next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
    return memory, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Killer:
    """Ends one worker or executor in a stage, FIRST_KILL seconds after it begins, or as soon as there is one."""

    def __init__(self, which: str) -> None:
        self._of = {"worker": workers, "executor": executors}.get(which)
        self.killed: dict[str, int] = {}

    @contextmanager
    def during(self, stage: str) -> Iterator[None]:
        """In here one is ended, where that is wanted."""
        if self._of is None:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._kill, args=(stage, over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _kill(self, stage: str, over: threading.Event) -> None:
        if self._of is None or over.wait(FIRST_KILL):
            return
        while not over.wait(0.02):
            for pid in self._of()[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed[stage] = self.killed.get(stage, 0) + 1
                return
