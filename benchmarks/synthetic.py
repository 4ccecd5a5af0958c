"""Made-up persons in numbers for which no file need be written: digests of nobody, a part at a time."""

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from protocols.rows import Bytes, Indices

PART = 1 << 17
_GOLDEN, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Persons:
    """A side's persons, of whom the first or last `shared` are the other's too, in an order that says nothing of that:
    row r is person `first` + r · step mod rows."""

    def __init__(self, role: str, rows: int, shared: int) -> None:
        """role: receiver or sender."""
        self.rows, self.first = rows, 0 if role == "receiver" else rows - shared
        self._step = next(step for step in range(int(rows * 0.618) | 1, 3 * rows + 4) if math.gcd(step, rows) == 1)
        self.seconds = 0.0
        """That making them up took."""

    def of(self, rows: Indices) -> Indices:
        """The persons in these rows: the same number is the same person."""
        return self.first + rows * self._step % self.rows

    def digests(self, width: int = 16) -> Iterator[Bytes]:
        """uint8[k, width], PART rows at a time; width: 16 or 32, of which the last 16 bytes are the first anew."""
        for start in range(0, self.rows, PART):
            began = time.perf_counter()
            numbers = self.of(np.arange(start, min(start + PART, self.rows), dtype=np.int64)).astype(np.uint64)
            halves = [_mixed(2 * numbers), _mixed(2 * numbers + 1)]
            part = np.stack(halves * (width // 16), axis=1).view(np.uint8)
            self.seconds += time.perf_counter() - began
            yield part


def _mixed(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64: distinct for distinct numbers, and as if drawn."""
    mixed = (numbers + np.uint64(1)) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def peak() -> int:
    """The most bytes this process ever held."""
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:"))


def processor_seconds() -> float:
    """That this process and those that it waited for computed."""
    return round(sum(os.times()[:4]), 2)
