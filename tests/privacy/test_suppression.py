"""Q9: totals and answers to other questions reveal no withheld cell. The attacker has a linear-program solver."""

import time

import numpy as np
import pytest
from lp_judge import all_shapes, knowledge, narrowest, table_cells, width

from cleanroom.errors import Refused, UsageError
from cleanroom.privacy.suppression import withhold

K = 10


def released(counts, rows=None, k=K):
    counts = np.asarray(counts, np.int64)
    rows = np.ones(counts.shape, bool) if rows is None else rows
    shown = np.zeros(counts.shape, bool)
    shown[rows] = withhold(*table_cells(counts, rows), k)
    return shown


def random_table(draw, shape):
    mean, spread = draw.choice([3, 10, 20, 60, 300]), draw.choice([0.5, 2, 20])
    counts = draw.negative_binomial(spread, 1 / (1 + mean / 2), size=shape).astype(np.int64)
    return counts, (counts > 0) | (draw.random(shape) < draw.choice([0, 0.5, 1]))


@pytest.mark.parametrize("seed", range(10))
def test_no_withheld_cell_can_be_pinned(seed):
    draw = np.random.default_rng(seed)
    for shape in all_shapes():
        counts, rows = random_table(draw, shape)
        if counts.sum() < K:
            continue
        shown = released(counts, rows)
        assert not shown[counts < K].any()
        assert narrowest(counts, rows, shown, K) >= K - 1e-6, (counts.tolist(), rows.tolist())


@pytest.mark.parametrize("shape", [(4, 5), (6, 3), (3, 4, 3)])
def test_a_host_that_knows_all_totals_of_its_groups_pins_no_cell_of_a_large_group(shape):
    draw = np.random.default_rng(7)
    for _ in range(8):
        counts = draw.negative_binomial(0.5, 1 / (1 + draw.choice([5, 20, 60])), size=shape).astype(np.int64)
        shown = released(counts)
        matrix, right = knowledge(counts, np.ones(shape, bool), shown, K)
        groups = np.eye(shape[0]).repeat(counts[0].size, axis=1)
        matrix, right = np.vstack([matrix, groups]), np.concatenate([right, groups @ counts.reshape(-1)])
        large = np.ones(shape, bool)
        for d, size in enumerate(shape):
            totals = counts.sum(axis=tuple(e for e in range(len(shape)) if e != d))
            large &= withhold([np.arange(size)], totals, K).reshape([-1 if e == d else 1 for e in range(len(shape))])
        for cell in np.flatnonzero((large & ~shown).reshape(-1)):
            assert width(matrix, right, counts.size, cell) >= K - 1e-6


def test_the_judge_pins_cells_where_only_small_ones_are_withheld():
    counts = np.array([[3, 400, 90], [50, 60, 70], [80, 20, 40]])
    assert narrowest(counts, np.ones((3, 3), bool), counts >= K, K) < 1e-6


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([10, 500, 40], [True, True, True]),
        ([9, 500, 40], [False, True, False]),  # the smallest other goes with it
        ([9, 8, 40], [False, False, True]),  # two that are ten together need no third
        ([4, 5, 40], [False, False, False]),  # two that are nine together do
        ([0, 500, 40], [False, True, False]),  # an empty cell is withheld like a small one
        ([4, 5], [False, False]),
        ([9], [False]),
        ([10], [True]),
    ],
)
def test_one_column(counts, expected):
    assert released(counts).tolist() == expected


def test_without_columns_the_only_cell_is_the_total():
    assert withhold([], np.array([10]), 10).tolist() == [True]
    assert withhold([], np.array([9]), 10).tolist() == [False]
    assert withhold([], np.array([], np.int64), 10).tolist() == []


def test_a_small_cell_takes_one_cell_of_its_row_one_of_its_column_and_their_crossing():
    counts = np.full((4, 5), 100)
    counts[1, 2] = 3
    hidden = ~released(counts)
    assert hidden.sum() == 4
    assert hidden[1, 2]
    assert sorted(hidden.any(axis=1)) == [False, False, True, True]
    assert sorted(hidden.any(axis=0)) == [False, False, False, True, True]


def test_in_three_columns_a_small_cell_takes_few_others():
    counts = np.full((4, 5, 6), 100)
    counts[1, 2, 3] = 3
    assert (~released(counts)).sum() == 5  # itself, one cell for each of its coordinates, their crossing


def test_a_table_without_small_cells_is_shown_whole():
    assert released(np.full((3, 4, 5), K)).all()


def test_crossings_that_are_no_rows_do_not_count_as_small():
    counts = np.array([[20, 0], [30, 40]])
    assert released(counts, counts > 0)[counts > 0].all()
    assert not released(counts).any()


def test_order_of_rows_makes_no_difference():
    draw = np.random.default_rng(1)
    counts, rows = random_table(draw, (6, 7))
    codes, people = table_cells(counts, rows)
    order = draw.permutation(len(people))
    shuffled = withhold([axis[order] for axis in codes], people[order], K)
    assert (shuffled == withhold(codes, people, K)[order]).all()


@pytest.mark.parametrize(("shape", "mean"), [((100_000,), 120), ((300, 333), 80), ((46, 46, 47), 30), ((10,) * 5, 150)])
def test_a_hundred_thousand_cells_take_less_than_two_seconds(shape, mean):
    counts = np.random.default_rng(2).negative_binomial(1, 1 / (1 + mean), size=shape).astype(np.int64)
    start = time.process_time()
    shown = released(counts, k=100)
    assert time.process_time() - start < 2
    assert shown.any()
    assert not shown[counts < 100].any()


def test_what_is_no_table_of_counts_is_refused():
    with pytest.raises(UsageError):
        withhold([np.array([0])], np.array([-1]), K)
    with pytest.raises(UsageError):
        withhold([np.array([0, 1])], np.array([100]), K)


def test_too_many_crossings_are_refused_before_memory_is_taken():
    diagonal = np.arange(3000)
    with pytest.raises(Refused, match="possible cells"):
        withhold([diagonal, diagonal], np.full(3000, 200), 100)


def test_columns_that_hardly_cross_are_covered_too():
    counts = np.zeros((4, 4, 4), np.int64)
    counts[np.arange(4), np.arange(4), np.arange(4)] = 150
    counts[0, 1, 2] = 3
    shown = released(counts, counts > 0)
    assert not shown[0, 1, 2]
    assert narrowest(counts, counts > 0, shown, K) >= K - 1e-6
