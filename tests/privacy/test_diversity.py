"""Q5 by the counts: no reader with a linear-program solver can tell that a group shares one sensitive value."""

import numpy as np
import pytest
from lp_judge import knowledge, most, narrowest, table_cells

from cleanroom.errors import UsageError
from cleanroom.privacy.diversity import uniform, withhold_diverse
from cleanroom.privacy.suppression import withhold

K = 10
SHAPES = [((6, 3), (1,)), ((3, 2), (1,)), ((3, 4, 3), (2,)), ((2, 3, 2), (2,)), ((4, 3, 2), (1, 2)), ((5,), (0,))]


def released(counts, rows, sensitive, rule=withhold_diverse):
    shown = np.zeros(counts.shape, bool)
    flags = [d in sensitive for d in range(counts.ndim)]
    codes, people = table_cells(counts, rows)
    shown[rows] = rule(codes, people, K, flags) if rule is withhold_diverse else rule(codes, people, K)
    return shown


def random_table(draw, shape, sensitive):
    """Counts in which most groups of the other columns share one value of the first sensitive column."""
    counts = draw.negative_binomial(2, 1 / (1 + draw.choice([5, 20, 80])), size=shape).astype(np.int64)
    first = np.moveaxis(counts, sensitive[0], -1)  # a view: what is set here is set in counts
    for group in np.ndindex(first.shape[:-1]):
        if draw.random() < 0.6:
            keep = draw.integers(first.shape[-1])
            first[group] = np.where(np.arange(first.shape[-1]) == keep, first[group], 0)
    return counts, (counts > 0) | (draw.random(shape) < draw.choice([0, 0.3]))


def groups_alike(counts, sensitive):
    """(mask of the group's cells with another value than the one that all its persons have), for each such group."""
    found = []
    others = [d for d in range(counts.ndim) if d not in sensitive]
    for key in np.ndindex(*(counts.shape[d] for d in others)):
        group = np.ones(counts.shape, bool)
        for d, value in zip(others, key, strict=True):
            group &= np.indices(counts.shape)[d] == value
        for d in sensitive:
            values = np.indices(counts.shape)[d]
            held = np.unique(values[group & (counts > 0)])
            if len(held) == 1:
                found.append((group, group & (values != held[0])))
    return found


def equations(counts, rows, shown, sensitive):
    """The judge's, with the answers by one sensitive column as this rule gives them."""
    return knowledge(
        counts, rows, shown, K,
        lambda codes, people, k, d: withhold_diverse(codes, people, k, [d in sensitive]),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_of_no_group_it_can_be_told_that_all_share_one_value(seed):
    draw = np.random.default_rng(seed)
    judged = 0
    for shape, sensitive in SHAPES:
        counts, rows = random_table(draw, shape, sensitive)
        if counts.sum() < K:
            continue
        shown = released(counts, rows, sensitive)
        matrix, right = equations(counts, rows, shown, sensitive)
        for group, others in groups_alike(counts, sensitive):
            assert not shown[group].any()
            if others.any():
                assert most(matrix, right, counts.size, others) >= K - 1e-6, (counts.tolist(), rows.tolist())
                judged += 1
    assert judged


@pytest.mark.parametrize("seed", range(4))
def test_what_is_promised_of_small_cells_holds_beside_it(seed):
    draw = np.random.default_rng(100 + seed)
    for shape, sensitive in SHAPES:
        counts, rows = random_table(draw, shape, sensitive)
        if counts.sum() < K:
            continue
        shown = released(counts, rows, sensitive)
        assert not shown[counts < K].any()
        promised = rows.copy()
        for group, _ in groups_alike(counts, sensitive):
            promised &= ~group | (counts < K)
        judge = equations(counts, rows, shown, sensitive)
        assert narrowest(counts, promised, shown, K, judge) >= K - 1e-6, (counts.tolist(), rows.tolist())


def test_without_the_rule_the_judge_tells_that_a_large_group_shares_one_value():
    counts = np.array([[500, 0], [300, 200]])
    shown = released(counts, counts > 0, (1,), withhold)
    matrix, right = knowledge(counts, counts > 0, shown, K)
    assert most(matrix, right, 4, np.array([[False, True], [False, False]])) < 1e-6
    assert not released(counts, counts > 0, (1,))[0].any()


@pytest.mark.parametrize(
    ("counts", "sensitive", "expected"),
    [
        ([[500, 0], [300, 200], [400, 100]], (), [[True, False], [True, True], [True, True]]),
        ([[500, 0], [300, 0]], (1,), [[False, False], [False, False]]),  # everyone of the answer
        ([500, 0, 0], (0,), [False, False, False]),
        ([500, 40, 0], (0,), [True, True, False]),
    ],
)
def test_what_stays(counts, sensitive, expected):
    counts = np.array(counts)
    assert released(counts, counts > 0, sensitive).tolist() == expected


def test_one_more_group_goes_with_a_group_that_shares_a_value():
    counts = np.array([[500, 0], [300, 200], [400, 100]])
    shown = released(counts, counts > 0, (1,))
    assert not shown[0].any()
    assert sorted(shown.any(axis=1)) == [False, False, True]


def test_a_group_shares_a_value_whatever_its_other_sensitive_columns_are():
    counts = np.full((4, 3, 3), 50)
    counts[0, 1:, :] = 0  # of group 0 everyone has value 0 of the second column, and all values of the third
    shown = released(counts, counts > 0, (1, 2))
    assert not shown[0].any()
    assert shown[1:].sum() >= 18


def test_the_empty_cell_stands_in_no_row_and_only_beside_such_groups():
    axes = [np.array([0, 0, 1]), np.array([0, 1, 1])]
    alike, empty = uniform(axes, np.array([30, 20, 40]), [False, True])
    assert alike.tolist() == [False, False, True]
    assert [axis.tolist() for axis in empty] == [[1], [0]]
    everyone, fresh = uniform([np.zeros(1, np.int64)], np.array([40]), [True])
    assert (everyone.tolist(), [axis.tolist() for axis in fresh]) == ([True], [[1]])


def test_without_sensitive_columns_it_is_the_other_rule():
    draw = np.random.default_rng(3)
    counts = draw.negative_binomial(1, 0.02, size=(6, 7)).astype(np.int64)
    codes, people = table_cells(counts, counts >= 0)
    assert (withhold_diverse(codes, people, K, [False, False]) == withhold(codes, people, K)).all()
    assert withhold_diverse([], np.array([40]), K, []).tolist() == [True]


def test_order_of_rows_makes_no_difference_to_large_tables():
    draw = np.random.default_rng(4)
    counts = draw.negative_binomial(0.3, 0.002, size=(300, 30, 4)).astype(np.int64)
    codes, people = table_cells(counts, counts > 0)
    flags = [False, False, True]
    shown = withhold_diverse(codes, people, K, flags)
    order = draw.permutation(len(people))
    shuffled = withhold_diverse([axis[order] for axis in codes], people[order], K, flags)
    assert shown.any()
    assert (shuffled == shown[order]).all()


def test_each_column_needs_its_flag():
    with pytest.raises(UsageError):
        withhold_diverse([np.array([0])], np.array([100]), K, [])
