"""The compile cache of the kernels: filled beforehand with a progress bar, known to be full without loading numba.

Each set of kernels is compiled in a process of its own, which then ends. What says that a set is compiled is a file
beside the cache, named after the set and what numba would compile for. Of other folders only caches of older sources
are ever removed: named by 20 hexadecimal digits, and holding nothing but what numba and this module write.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

from cleanroom import machine
from cleanroom.errors import CleanroomError, UsageError
from cleanroom.files import write_bytes
from protocols.kernels import SMALL_ROWS, cache

Step = Callable[[str, str, int, int], None]
"""Who, what, how much is done, of how much: as `cleanroom.terminal.show.progress` gives it."""
SETS: dict[str, tuple[str, ...]] = {
    "hashing": ("protocols.kernels.sha512", "protocols.kernels.digests"),
    "ristretto": tuple(f"protocols.kernels.ristretto.{name}" for name in ("ristretto255", "fixed_base", "sums")),
    "vole": ("protocols.psi.vole",),
    "paillier": ("protocols.kernels.paillier",),
}
"""Modules whose `warm` compiles a set; `hashing` first, since the others use it."""
_FIRST = "hashing"
_AT_ONCE = 2
_NEEDS: dict[str, tuple[str, ...]] = {
    "keyed": ("hashing",),
    "vole": ("hashing", "vole"),
    "dh": ("hashing", "ristretto"),
    "oprf": ("hashing", "ristretto"),
    "join-sum": ("hashing", "ristretto"),
}
_CACHE = re.compile(r"[0-9a-f]{20}")
_MARK = "warm-"
_OURS = (".nbi", ".nbc")


def needed(protocol: str, rows: int, *, slots: bool) -> tuple[str, ...]:
    """The sets that a match of so many rows on its larger side loads: none where it is small."""
    if rows <= SMALL_ROWS:
        return ()
    return _NEEDS[protocol] + (("paillier",) if slots else ())


def is_warm(name: str) -> bool:
    """Whether a set was compiled here, for what numba compiles for now; without loading numba."""
    return _mark(name).exists()


def ensure(names: Sequence[str], step: Step) -> bool:
    """Compile what of these sets is not yet; whether anything was. Where nothing can be kept, nothing is done: every
    process compiles what it needs."""
    cold = [name for name in names if not is_warm(name)]
    if not cold or cache.cache_folder() is None:
        return False
    _compile(cold, step)
    return True


def warm_up(step: Step) -> dict[str, Any]:
    """Compile all sets, remove caches of older sources, and say what was done, for which target, in how long.

    Raises UsageError where no folder can hold the cache, CleanroomError where a set does not compile.
    """
    folder = cache.cache_folder()
    if folder is None:
        raise UsageError(
            "Compiled kernels cannot be kept in {folder}.", "It must be a folder of your own that can be written.",
            folder=str(cache.caches()),
        )  # fmt: skip
    start = time.perf_counter()
    cold = [name for name in SETS if not is_warm(name)]
    seconds = _compile(cold, step)
    return {
        "target": machine.here().kind,
        "processor": machine.processor(),
        "folder": str(folder),
        "sets": {name: {"compiled": name in cold, "seconds": seconds.get(name, 0.0)} for name in SETS},
        "removed": _remove_older(folder),
        "megabytes": round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6, 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def _compile(names: Sequence[str], step: Step) -> dict[str, float]:
    """Seconds that each took; `hashing` before the others, of which two run at once where there are cores."""
    seconds: dict[str, float] = {}
    step("kernels", "compiling once", 0, len(names))

    def one(name: str) -> None:
        start = time.perf_counter()
        done = subprocess.run(_command(name), capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
            raise CleanroomError("The kernels of {name} do not compile: {reason}", name=name, reason=last)
        write_bytes(_mark(name), b"")
        seconds[name] = round(time.perf_counter() - start, 1)
        step("kernels", "compiling once", len(seconds), len(names))

    for name in (each for each in names if each == _FIRST):
        one(name)
    with ThreadPoolExecutor(min(_AT_ONCE, machine.cores())) as pool:
        list(pool.map(one, (each for each in names if each != _FIRST)))
    return seconds


def _command(name: str) -> list[str]:
    return [sys.executable, "-m", __name__, name]


def _mark(name: str) -> Path:
    """The file that says a set is compiled; processors of one cache folder (a shared home) have each their own."""
    numba = sorted(f"{key}={value}" for key, value in os.environ.items() if key.startswith("NUMBA_"))
    able = "\n".join((platform.machine(), machine.processor(), *sorted(machine.features()), *numba))
    target = hashlib.sha256(able.encode()).hexdigest()[:16]
    return cache.caches() / cache.sources_digest() / f"{_MARK}{name}-{target}"


def _remove_older(present: Path) -> list[str]:
    """Remove caches of other states of the sources; their names. What is not surely one of ours stays."""
    removed = []
    for folder in sorted(present.parent.iterdir()):
        if folder == present or not _CACHE.fullmatch(folder.name) or folder.is_symlink() or not folder.is_dir():
            continue
        files = [path for path in folder.rglob("*") if not path.is_dir()]
        if all(path.suffix in _OURS or path.name.startswith(_MARK) for path in files):
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder.name)
    return removed


def _main(name: str) -> None:
    """In a process of its own: compile a set."""
    for module in SETS[name]:
        import_module(module).warm()


if __name__ == "__main__":
    _main(sys.argv[1])
