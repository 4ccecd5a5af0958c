"""Weighted sums of elements: the compiled kernel, eight lanes and one, against libsodium term by term."""

from functools import reduce

import numpy as np
import pytest

from protocols import canary
from protocols.errors import BadMessage
from protocols.group import ORDER, backend
from protocols.kernels import SMALL_ROWS
from protocols.kernels.ristretto import sums
from protocols.oprf import points, suite

pytestmark = pytest.mark.xdist_group("ristretto")  # each worker would compile its kernels anew

LANES = sorted({1, sums.default_lanes()})
GENERATOR = points.multiply_generator(1)


def rows(*contents: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)


def elements(n: int) -> np.ndarray:
    return backend().hash_to_group(np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 4), b"sums")


def scalars(*values: int) -> np.ndarray:
    return rows(*(points.to_bytes(value) for value in values))


def total(weights: np.ndarray, given: np.ndarray, lanes: int) -> bytes:
    parts, valid = sums.weighted(weights, given, lanes)
    assert valid
    return reduce(points.add, [part.tobytes() for part in parts])


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("n", [1, 7, 8, 9, 33, 300])
def test_the_kernel_gives_libsodiums_sum(lanes, n):
    weights = points.hash_to_scalars(elements(n), b"weights")
    assert total(weights, elements(n), lanes) == points.weighted_sum(weights, elements(n))


@pytest.mark.parametrize("lanes", LANES)
def test_weights_at_the_edges(lanes):
    """Digits of every size and sign, carries through the whole scalar, a sum that is zero."""
    edges = [0, 1, 7, 8, 9, 15, 16, ORDER - 1, ORDER - 8, 2**252, int("8" * 63, 16) % ORDER]
    edges += [int("7" * 63, 16), 2**64 - 1, 2**192 - 2**64, 2**252 - 1]
    generators = rows(*[GENERATOR] * len(edges))
    assert total(scalars(*edges), generators, lanes) == points.multiply_generator(sum(edges) % ORDER)
    for edge in edges:
        assert total(scalars(edge), generators[:1], lanes) == points.multiply_generator(edge)
    assert total(scalars(5, -5), generators[:2], lanes) == bytes(32)


@pytest.mark.parametrize("lanes", LANES)
def test_the_kernel_says_what_is_no_element(lanes):
    given = elements(20)
    given[13] = 255
    assert not sums.weighted(points.hash_to_scalars(given, b"weights"), given, lanes)[1]


@pytest.mark.parametrize("small", [0, points.FEW_POINTS])
@pytest.mark.parametrize("bad", [b"\xff" * 32, bytes(32)])
def test_a_sum_over_what_is_no_element_is_refused(monkeypatch, small, bad):
    monkeypatch.setattr(points, "FEW_POINTS", small)
    given = np.concatenate([elements(9), rows(bad)])
    with pytest.raises(BadMessage, match="group element"):
        points.weighted_sum(points.hash_to_scalars(given, b"weights"), given)


def test_few_rows_are_libsodiums():
    assert suite._group(points.FEW_POINTS) is backend()
    assert points.FEW_POINTS == SMALL_ROWS + canary.COUNT
