"""Paillier alone, on one core, in a process of its own. usage: python -m cleanroom.bench.primitives BITS COUNT"""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from protocols.paillier import cipher, keys
from protocols.paillier.numbers import Rows

PACKED = 8
"""Values that are packed into one plaintext, where the time of a value is told."""
_GROUPS = 100


def measure(bits: int, count: int) -> dict[str, float]:
    """Microseconds an operation by name, at the second time: once everything is loaded and tables are made."""
    key = keys.generate(bits)
    plain = np.zeros((count, key.public.plain_width), np.uint8)
    plain[:, :4] = np.arange(count, dtype="<u4").view(np.uint8).reshape(-1, 4)
    _round(key, plain)
    return _round(key, plain)


def _round(key: keys.PrivateKey, plain: Rows) -> dict[str, float]:
    count = len(plain)
    encryption, rows = _timed(lambda: cipher.encrypt(key, plain), count)
    groups = np.arange(count) % _GROUPS
    addition, _ = _timed(lambda: cipher.sum_groups(key.public, rows, groups, _GROUPS), count)
    few = max(1, count // 4)
    decryption, _ = _timed(lambda: cipher.decrypt(key, rows[:few]), few)
    return {
        "owner encryption": encryption, "packed value": encryption / PACKED, "group sum": addition,
        "decryption": decryption,
    }  # fmt: skip


def _timed(work: Callable[[], Any], count: int) -> tuple[float, Any]:
    start = time.perf_counter()
    done = work()
    return (time.perf_counter() - start) / count * 1e6, done


def main(words: list[str]) -> None:
    """Bind to one core before any pool of threads is made; measure; tell."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sys.stdout.write(json.dumps(measure(*map(int, words))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
