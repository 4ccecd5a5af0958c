"""Radix sorting, matching and de-duplication give what numpy gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.kernels import radix

TOP = 2**64 - 1
words = st.one_of(st.integers(0, 3), st.integers(0, TOP), st.just(TOP), st.integers(0, 3).map(lambda n: n << 62))
keys = st.lists(st.tuples(words, words), max_size=60).map(lambda pairs: np.array(pairs, np.uint64).reshape(-1, 2))


def columns(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return items[:, 0].copy(), items[:, 1].copy()


def ascending(items: np.ndarray) -> np.ndarray:
    return items[np.lexsort((items[:, 1], items[:, 0]))]


def sort(items: np.ndarray, bits: int, fine: int) -> np.ndarray:
    hi, lo = columns(items)
    phi, plo, source, start = radix.partition(hi, lo, bits)
    assert (hi[source] == phi).all()
    assert (lo[source] == plo).all()
    assert start[0] == 0
    assert start[-1] == len(items)
    out = np.empty_like(hi), np.empty_like(lo)
    radix.sort_pairs(phi, plo, start, bits, fine, *out)
    return np.stack(out, axis=1)


@settings(max_examples=25, deadline=None)
@given(keys, st.integers(1, 5))
def test_sorted(items, bits):
    assert (sort(items, bits, 10) == ascending(items)).all()


@settings(max_examples=25, deadline=None)
@given(keys, keys)
def test_matched(mine, theirs):
    bits, fine = radix.radix_bits(len(mine))
    order = np.random.default_rng(len(mine)).permutation(len(mine))
    sorted_theirs = ascending(theirs)
    found = radix.match(*radix.partition(*columns(mine), bits), order, *columns(sorted_theirs), bits, fine)
    others = set(map(tuple, theirs.tolist()))
    assert found.tolist() == sorted(order[row] for row, key in enumerate(mine.tolist()) if tuple(key) in others)


@settings(max_examples=25, deadline=None)
@given(keys)
def test_first_of_each(items):
    assert radix.distinct(items).tolist() == sorted(np.unique(items, axis=0, return_index=True)[1].tolist())


@pytest.mark.parametrize("count", [0, 1, 9, 100_000])
def test_of_any_number(count):
    items = np.random.default_rng(count).integers(0, TOP, (count, 2), np.uint64, endpoint=True)
    items = np.concatenate([items, items[: count // 3]])
    assert (sort(items, *radix.radix_bits(len(items))) == ascending(items)).all()
    assert radix.distinct(items).tolist() == list(range(count))


def test_all_equal():
    items = np.full((5_000, 2), 7, np.uint64)
    assert radix.distinct(items).tolist() == [0]
    assert (sort(items, *radix.radix_bits(5_000)) == items).all()
