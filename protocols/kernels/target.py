"""What the processor that numba compiles for can do.

Not merely the processor present: NUMBA_CPU_NAME, NUMBA_CPU_FEATURES and NUMBA_ENABLE_AVX change the target, and LLVM
ends the process when it meets an instruction that its target lacks.
"""

import functools
import platform

from numba.core.registry import cpu_target


@functools.cache
def features() -> frozenset[str]:
    """LLVM's names of the target's features, such as "avx512f"."""
    _, _, listed = cpu_target.target_context.codegen().magic_tuple()
    return frozenset(name[1:] for name in listed.split(",") if name.startswith("+"))


def has(*names: str) -> bool:
    """Whether the target has all of these features; none of them off x86, whose names they are."""
    return platform.machine().lower() in ("x86_64", "amd64") and features().issuperset(names)


def name() -> str:
    """The target's name for people, such as "znver4"."""
    _, cpu, _ = cpu_target.target_context.codegen().magic_tuple()
    return str(cpu)
