"""The processor, its memory, and which kernels it runs, with why not faster ones. Without loading a kernel."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path

from cleanroom import machine, warming
from cleanroom.doctor.finding import Finding
from cleanroom.lang import t
from cleanroom.machine import Machine
from protocols.kernels import cache

LEAST_MEMORY, GOOD_MEMORY = 3 << 30, 4 << 30
"""Bytes: an enclave may hold two gibibytes of rows, and takes one more for itself."""
_GIB = 1 << 30
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMORY = Path("/proc/meminfo")


def checks() -> Iterator[Finding]:
    """All of this module."""
    here = machine.here()
    yield cores(here.cores)
    yield memory(memory_bytes())
    yield processor(here)
    yield kernels(here.kernels, [name for name in warming.SETS if not warming.is_warm(name)])


def cores(count: int) -> Finding:
    """How many this process may use."""
    title, found = t("Processor cores"), t("{count} that this program may use", count=count)
    if count > 1:
        return Finding("cores", title, "ok", found)
    return Finding("cores", title, "warn", found, t("Give it two or more: the parties of a run then work at once."))


def memory_bytes() -> int | None:
    """What this machine, or the container, has; None where the system does not tell."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMORY.read_text("ascii").splitlines())
        whole = int(lines["MemTotal"].split()[0]) << 10
    except (OSError, ValueError, KeyError):
        return None
    try:
        return min(whole, int(_CGROUP.read_text("ascii")))
    except (OSError, ValueError):  # no container, or one without a limit
        return whole


def memory(whole: int | None) -> Finding:
    """Whether an enclave fits."""
    title = t("Memory")
    if whole is None:
        return Finding("memory", title, "warn", t("this system does not tell"), t("See that there are 4 GiB."))
    found = t("{size} GiB", size=f"{whole / _GIB:.1f}")
    if whole >= GOOD_MEMORY:
        return Finding("memory", title, "ok", found)
    advice = t("An enclave may take 3 GiB: give this machine or container 4, or keep to fewer rows.")
    return Finding("memory", title, "warn" if whole >= LEAST_MEMORY else "bad", found, advice)


def processor(here: Machine) -> Finding:
    """The path that the kernels take on it, and what a faster one lacks."""
    title = t("Processor")
    found = t("{name}: kernels for {kind}", name=here.name, kind=t(machine.KINDS[here.kind]))
    lacking = ", ".join(sorted(machine._AVX512 - here.features))
    if here.kind == "avx512":
        return Finding("processor", title, "ok", found)
    if os.environ.get("NUMBA_CPU_NAME", "host") != "host":
        return Finding(
            "processor", title, "warn", found,
            t("NUMBA_CPU_NAME names another processor: take it out of the environment for what this one can do."),
        )  # fmt: skip
    if here.kind == "x86":
        more = t("not used here: {features}; with them dh and vole matches take about a third", features=lacking)
        return Finding("processor", title, "ok", f"{found}; {more}")
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return Finding(
            "processor", title, "warn", found,
            t("The fast kernels are for x86-64: large matches take several times as long here."),
        )  # fmt: skip
    advice = t("This processor, or the virtual machine's model of it, lacks {features}: choose another model of it.",
               features=lacking)  # fmt: skip
    return Finding("processor", title, "warn", found, advice)


def kernels(kept: bool, cold: list[str]) -> Finding:
    """Whether they are compiled. cold: the sets that are not."""
    title = t("Compiled kernels")
    if not kept:
        return Finding(
            "kernels", title, "warn", t("cannot be kept: every process compiles them anew"),
            t("Make {folder} a folder of your own, mode 0700, or name another by NUMBA_CACHE_DIR.",
              folder=str(cache.caches())),
        )  # fmt: skip
    if cold:
        return Finding(
            "kernels", title, "warn", t("not compiled yet: {sets}", sets=", ".join(cold)),
            t("Run: cleanroom warm-up. Otherwise the first large match does it, and takes a minute longer."),
        )  # fmt: skip
    return Finding("kernels", title, "ok", t("all are there: {sets}", sets=", ".join(warming.SETS)))
