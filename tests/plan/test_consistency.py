"""Consistent tables: against a judge that solves the whole least-squares problem, and what they gain."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cleanroom.plan.consistency import Names, consistent, errors
from cleanroom.plan.cube import tables
from tests.plan import world

SIZES = {"a": 3, "b": 4, "c": 2}


def _design(order: tuple[Names, ...], sizes: dict[str, int]) -> NDArray[np.float64]:
    """Which cells of the full crossing each cell of each table sums: float[cells of tables, crossings]."""
    rows = []
    everything = list(product(*(range(size) for size in sizes.values())))
    for table in order:
        for cell in product(*(range(sizes[name]) for name in table)):
            wanted = dict(zip(table, cell, strict=True))
            rows.append(
                [all(dict(zip(sizes, each, strict=True))[n] == c for n, c in wanted.items()) for each in everything]
            )
    return np.array(rows, np.float64)


@pytest.mark.parametrize("mixed", [False, True])
def test_they_are_the_weighted_least_squares_and_so_are_their_errors(mixed: bool) -> None:
    rng = np.random.default_rng(3)
    order = tables(list(SIZES))
    raw = {table: rng.integers(0, 900, [SIZES[name] for name in table]) for table in order}
    draws = {table: 1 + (mixed and "c" in table) for table in order}
    design = _design(order, SIZES)
    weights = np.concatenate([np.full(raw[table].size, 1 / (49 * draws[table])) for table in order])
    measured = np.concatenate([raw[table].reshape(-1) for table in order])
    inverse = np.linalg.pinv(design.T @ (weights[:, None] * design))
    judged = design @ inverse @ design.T @ (weights * measured)
    covariance = design @ inverse @ design.T
    found = consistent(raw, 7, draws)
    assert np.allclose(np.concatenate([found[table].reshape(-1) for table in order]), judged)

    known, start = errors(raw, 7, draws), 0
    for table in order:
        size = raw[table].size
        block = covariance[start : start + size, start : start + size]
        start += size
        cells = known.of_blocks(table, np.ones((1, len(table))))
        assert math.isclose(cells[0], math.sqrt(block[0, 0]), rel_tol=1e-9)
        chosen = rng.normal(size=raw[table].shape)
        judged_error = math.sqrt(chosen.reshape(-1) @ block @ chosen.reshape(-1))
        assert math.isclose(known.of(table, chosen), judged_error, rel_tol=1e-9)


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 2**32))
def test_all_margins_agree_and_agreeing_tables_stay(sizes: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    named = {f"c{at}": size for at, size in enumerate(sizes)}
    raw = {table: rng.integers(-50, 900, [named[name] for name in table]) for table in tables(list(named))}
    found = consistent(raw, 20)
    for table, estimate in found.items():
        for axis in range(len(table)):
            less = table[:axis] + table[axis + 1 :]
            assert np.allclose(estimate.sum(axis=axis), found[less], atol=1e-6)
    codes = {name: rng.integers(size, size=300) for name, size in named.items()}
    true = world.counted(codes, named)
    assert all(np.allclose(estimate, true[table], atol=1e-6) for table, estimate in consistent(true, 20).items())


def test_they_are_nearer_to_the_truth_than_what_was_released() -> None:
    rng = np.random.default_rng(5)
    sizes = {f"c{at:02}": 6 + at for at in range(12)}
    true = world.counted(world.people(rng, sizes, 100_000), sizes)
    raw = world.noised(rng, true, 20)
    found = consistent(raw, 20)

    def off(estimates: dict[Names, NDArray[np.float64]], columns: int) -> float:
        apart = [(estimates[table] - true[table]).reshape(-1) for table in true if len(table) == columns]
        return float(np.sqrt(np.mean(np.concatenate(apart) ** 2)))

    one = off(found, 1) / off(raw, 1)  # type: ignore[arg-type]
    two = off(found, 2) / off(raw, 2)  # type: ignore[arg-type]
    halves = [table for table in true if len(table) == 2]
    parts = [tuple(np.s_[: size // 2] for size in true[table].shape) for table in halves]
    blocks = [
        [float(each[t][p].sum() - true[t][p].sum()) for t, p in zip(halves, parts, strict=True)]
        for each in (found, raw)
    ]
    quarter = float(np.sqrt(np.mean(np.square(blocks[0])) / np.mean(np.square(blocks[1]))))
    assert one < 0.75
    assert two < 0.95
    assert quarter < 0.7
