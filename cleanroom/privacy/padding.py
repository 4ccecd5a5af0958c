"""Answers are told at whole quanta since their beginning, so that how long one took says next to nothing of the data.

What is left, and cannot be otherwise without waiting for the longest run there is: how many quanta an answer took.
Padding is for what takes much less than a quantum, or differs by much less between neighbouring data; an answer that by
chance ends just before or just after a quantum tells which. A failure is told at a whole quantum too.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from cleanroom.errors import UsageError


@dataclass(frozen=True)
class Quantum:
    """Answers are told at multiples of `seconds` since they began."""

    seconds: float = 0.25

    def __post_init__(self) -> None:
        if not 0 < self.seconds < math.inf:
            raise UsageError("A quantum is a positive number of seconds.")

    @contextmanager
    def padded(self) -> Iterator[None]:
        """Leaves at the next quantum since it was entered, also by an error."""
        with _padded(self, time.perf_counter, time.sleep):
            yield

    def rest(self, passed: float) -> float:
        """Seconds until the next multiple, of `passed` since the beginning: more than 0, at most a quantum."""
        return (math.floor(passed / self.seconds) + 1) * self.seconds - passed


@contextmanager
def _padded(quantum: Quantum, clock: Callable[[], float], sleep: Callable[[float], None]) -> Iterator[None]:
    start = clock()
    try:
        yield
    finally:
        sleep(max(0.0, quantum.rest(clock() - start)))
