"""How often a bin of the vole match's key-value store cannot be solved, beside what its formula says.

Failures at the real λ = 40 cannot be seen, so λ is made small: for each size the columns are those that the formula
gives for λ bits (Raghuraman and Rindal, CCS 2022, equations 2 and 3), and rows are drawn at random. Two things are
counted: a gap above what the formula expects, which λ further dense columns may still solve, and a bin that is not
solved. The latter must be rarer than 2^-λ. The last line is of the real columns, where nothing may fail.

    python -m benchmarks.okvs_failure [trials]
"""

import sys
from math import ceil, log2

import numpy as np

from protocols.kernels.vole import MOST_DENSE
from protocols.kernels.vole.okvs import encode_bin
from protocols.psi.vole.parameters import STATISTICAL_BITS, columns_of

_CASES = [(256, 4), (256, 8), (1024, 4), (1024, 6), (1024, 8), (4096, 4), (4096, 6), (16384, 4)]
_ROW = "{:>8} {:>4} {:>9} {:>4} {:>8} {:>16} {:>16}"
_WORK = 60_000_000


def gaps(keys: int, sparse: int, dense: int, trials: int, rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """(the gap of each trial with room for any, how many were not solved with `dense` columns)."""
    found, failed = np.empty(trials, np.int64), 0
    for trial in range(trials):
        digests = rng.integers(0, 2**64, (keys, 4), dtype=np.uint64)
        found[trial] = encode_bin(digests, 1, sparse, MOST_DENSE, 20, np.zeros((sparse + MOST_DENSE, 2), np.uint64))
        if found[trial] != 0:
            failed += encode_bin(digests, 1, sparse, dense, 20, np.zeros((sparse + dense, 2), np.uint64)) < 0
    return np.where(found < 0, MOST_DENSE, found), failed


def rate(count: int, trials: int) -> str:
    """A share as a power of two; where nothing was seen, what that bounds it to with 95 % confidence."""
    return f"2^-{-log2(count / trials):.1f}" if count else f"< 2^-{log2(trials / 3):.1f}"


def main(most: int = 20_000) -> None:
    """Print the table."""
    rng = np.random.default_rng(1)
    print(_ROW.format("keys", "λ", "sparse/n", "gap", "trials", "gap exceeded", "not solved"))
    for keys, bits in [*_CASES, (2006, STATISTICAL_BITS + 2)]:
        sparse, dense = columns_of(keys, bits, 1)
        allowed = dense - ceil(bits)
        trials = min(most, _WORK // keys)
        found, failed = gaps(keys, sparse, dense, trials, rng)
        exceeded = int((found > allowed).sum())
        cells = (keys, bits, f"{sparse / keys:.4f}", allowed, trials, rate(exceeded, trials), rate(failed, trials))
        print(_ROW.format(*cells))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
