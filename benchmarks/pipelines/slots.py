"""Paillier slots: seconds to encrypt rows of declared cells by their owner, on all cores.

usage: slots.py BITS ROWS CELLS
"""

import sys
import time
from typing import Any

import numpy as np

from benchmarks.pipelines import party
from protocols.paillier import cipher, keys
from protocols.paillier.cells import CellLayout


def main() -> None:
    """Measure and tell."""
    party.tell(**slots(*map(int, sys.argv[1:4])))


def slots(bits: int, rows: int, cells: int) -> dict[str, Any]:
    """Seconds and bytes."""
    key = keys.generate(bits)
    layout = CellLayout(bits, cells, (), rows)
    codes = np.random.default_rng(1).integers(0, cells, rows)
    nothing = np.empty((rows, 0), np.int64)
    cipher.encrypt(key, layout.encode(codes[:64], nothing[:64], key.public))
    start, wire = time.perf_counter(), 0
    for part in range(0, rows, 1 << 16):
        encoded = layout.encode(codes[part : part + (1 << 16)], nothing[part : part + (1 << 16)], key.public)
        wire += cipher.encrypt(key, encoded).nbytes
    return {"seconds": time.perf_counter() - start, "bytes": wire, "plaintexts": layout.plaintexts}


if __name__ == "__main__":
    party.run(main)
