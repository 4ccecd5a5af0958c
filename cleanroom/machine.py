"""What this machine can do, as far as it decides which protocol is quickest; found without loading a kernel.

It says what numba will compile for: NUMBA_CPU_NAME and NUMBA_CPU_FEATURES count, not merely the processor present.
"""

import functools
import os
import platform
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import Literal

from protocols.kernels import cache

Kind = Literal["avx512", "x86", "portable"]
_X86 = frozenset({"aes", "pclmul"})
_AVX512 = frozenset({"avx512f", "avx512ifma", "vaes", "vpclmulqdq"}) | _X86


KINDS = {"avx512": "AVX-512", "x86": "AES-NI", "portable": "portable code"}
"""What people call the kinds of machines."""


@dataclass(frozen=True)
class Machine:
    """name: the processor's; cores: that this process may use; features: by LLVM's names; kernels: they can be kept."""

    name: str
    cores: int
    features: frozenset[str]
    kernels: bool = True

    @property
    def kind(self) -> Kind:
        """The fastest of our paths that runs here: AVX-512 with IFMA and VAES, AES-NI, or portable code."""
        if self.features >= _AVX512:
            return "avx512"
        return "x86" if self.features >= _X86 else "portable"


@functools.cache
def here() -> Machine:
    """This machine."""
    kernels = util.find_spec("numba") is not None and cache.cache_folder() is not None
    return Machine(processor(), cores(), features(), kernels)


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name for people."""
    return _cpuinfo().get("model name") or platform.processor() or platform.machine()


def features() -> frozenset[str]:
    """What numba's target has of the features that our paths need, and others; none off x86."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return frozenset()
    if os.environ.get("NUMBA_CPU_NAME", "host") != "host":
        given = os.environ.get("NUMBA_CPU_FEATURES", "").split(",")
        return frozenset(each[1:] for each in given if each.startswith("+"))
    listed = _cpuinfo().get("flags", "aes pclmulqdq").split()  # every x86-64 processor since 2013 has these two
    return frozenset("pclmul" if flag == "pclmulqdq" else flag for flag in listed)


@functools.cache
def _cpuinfo() -> dict[str, str]:
    """The first processor's entries, where Linux lists them."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return {}
    lines = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}
