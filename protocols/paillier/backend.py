"""Which arithmetic serves a batch: gmpy2, or eight lanes at once. Both give the same bytes.

numba takes half a second to load, so small batches stay with gmpy2; so does a machine without AVX512-IFMA.
"""

import platform
import sys
from types import ModuleType

from protocols.kernels.cache import cache_folder

LANES = "protocols.paillier.lanes"
SLOW = 50_000
"""Products modulo n² by gmpy2, at some 10 µs each, that take as long as loading the kernels."""
UNCACHED = 20
"""How much longer it takes to compile them, where compiled code cannot be kept: in an enclave, for one."""
FEWEST = 8
"""Rows that fill the lanes once."""

ENCRYPTION, DECRYPTION, RERANDOMISATION = 64, 400, 400
"""About how many products modulo n² one of these is worth."""


def kernels(rows: int, each: int = 1) -> ModuleType | None:
    """`lanes` if it pays for so many rows, each worth so many products modulo n²; else None."""
    if rows < FEWEST or platform.machine().lower() not in ("x86_64", "amd64"):
        return None
    if LANES not in sys.modules:
        products = rows * each
        if products < SLOW or (products < SLOW * UNCACHED and cache_folder() is None):
            return None
    from protocols.kernels.target import has

    if not has("avx512f", "avx512ifma"):
        return None
    from protocols.paillier import lanes

    return lanes


def prepare(products: int) -> bool:
    """Load the kernels now if so many products modulo n² are to come, in pieces of any size; whether they serve.

    For a process that streams small pieces, or is about to lose the right to open files.
    """
    if kernels(FEWEST, -(-products // FEWEST)) is None:
        return False
    from protocols.kernels import paillier

    paillier.warm()
    return True
