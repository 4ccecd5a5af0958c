"""Q11: how long an answer takes tells neighbouring data apart. Padded to a quantum it does not (AUC below 0.55)."""

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.enclave.handle import Enclave, start
from cleanroom.enclave.query import Query
from cleanroom.privacy import padding
from cleanroom.privacy.padding import Quantum

QUERY = Query(("m.level", "m.city"), ())
ROWS = 20_000


class Clock:
    """Time as the parties have it; a sleep ends a little late, as on a real machine."""

    def __init__(self, seed: int) -> None:
        self.now, self._late = 100.0, np.random.default_rng(seed)

    def sleep(self, seconds: float) -> None:
        self.now += seconds + abs(self._late.normal(0, 80e-6))

    def told_after(self, took: float, quantum: Quantum) -> float:
        """Seconds until a reader has the answer."""
        start = self.now
        with padding._padded(quantum, lambda: self.now, self.sleep):
            self.now += took
        return self.now - start


def auc(first: np.ndarray, second: np.ndarray) -> float:
    """How often a reader who guesses by the longer time names the neighbour rightly; 0.5 by chance."""
    both = np.concatenate([first, second])
    _, ranks, counts = np.unique(both, return_inverse=True, return_counts=True)
    middle = (np.cumsum(counts) - (counts - 1) / 2)[ranks]
    return float((middle[len(first) :].sum() - len(second) * (len(second) + 1) / 2) / (len(first) * len(second)))


def padded(times: np.ndarray, seed: int, quantum: Quantum | None = None) -> np.ndarray:
    clock = Clock(seed)
    return np.array([clock.told_after(each, quantum or Quantum()) for each in times])


def test_a_delay_that_follows_the_data_is_seen_without_padding_and_not_with_it() -> None:
    draw = np.random.default_rng(1)
    times = [np.abs(draw.normal(mean, 0.010, 4000)) for mean in (0.050, 0.056)]
    assert auc(*times) > 0.6
    assert abs(auc(padded(times[0], 2), padded(times[1], 3)) - 0.5) < 0.05


def test_the_measure_sees_a_quantum_that_is_too_short() -> None:
    draw = np.random.default_rng(1)
    times = [np.abs(draw.normal(mean, 0.010, 4000)) for mean in (0.050, 0.056)]
    assert auc(*(padded(each, 2 + n, Quantum(0.001)) for n, each in enumerate(times))) > 0.6


@pytest.fixture(scope="module")
def neighbours() -> Iterator[tuple[Enclave, Enclave]]:
    """Two enclaves; the second holds one person more."""
    with start() as one, start() as other:
        for enclave, rows in ((one, ROWS), (other, ROWS + 1)):
            who = np.arange(rows)
            table = pa.table({"m.level": pa.array(who % 7), "m.city": pa.array(who % 11)})
            enclave.load_matched(table.schema, table.to_batches())
        yield one, other


def test_neighbours_in_real_enclaves_with_a_delay_beside(neighbours: tuple[Enclave, Enclave]) -> None:
    """Times of real answers, in turns, so that the machine's other work is in both; then a person who takes longer."""
    took: tuple[list[float], list[float]] = ([], [])
    for _ in range(100):
        for enclave, times in zip(neighbours, took, strict=True):
            begun = time.perf_counter()
            enclave.run(QUERY)
            times.append(time.perf_counter() - begun)
    plain, other = (np.tile(np.minimum(each, 0.2), 30) for each in took)
    slower = other + min(0.04, float(np.subtract(*np.quantile(plain, [0.75, 0.25]))) + 1e-3)
    assert auc(plain, slower) > 0.6
    assert abs(auc(padded(plain, 4), padded(slower, 5)) - 0.5) < 0.05
    assert abs(auc(padded(plain, 6), padded(other, 7)) - 0.5) < 0.05


def test_real_answers_are_told_at_whole_quanta(neighbours: tuple[Enclave, Enclave]) -> None:
    quantum = Quantum(0.1)
    for enclave in neighbours * 8:
        begun = time.perf_counter()
        with quantum.padded():
            enclave.run(QUERY)
            took = time.perf_counter() - begun
        told = time.perf_counter() - begun
        assert told >= took + 1e-9
        assert told >= quantum.seconds * (took // quantum.seconds + 1) - 1e-6
