"""The lookalike's model against a planted truth, and against scikit-learn trained on the list that it never saw."""

from functools import cache
from typing import Any

import numpy as np
import pytest
import scipy
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cleanroom.crowds import lookalike
from cleanroom.crowds.lookalike_gain import gains
from cleanroom.errors import Refused, UsageError

CELLS = {"age": 6, "city": 8, "spend": 5, "stage": 5, "visits": 6, "gender": 3}


@cache
def world(users: int = 40_000, base: float = -2.5) -> tuple[dict[str, Any], NDArray[np.bool_], NDArray[np.float64]]:
    """Correlated columns of users, who of them is in the seed, and the true log-odds."""
    draw = np.random.default_rng(7)
    habit = draw.normal(size=users)
    columns, odds = {}, np.full(users, base)
    for name, cells in CELLS.items():
        value = 0.8 * habit + draw.normal(size=users)
        columns[name] = np.searchsorted(np.linspace(-1.2, 1.4, cells - 1), value).astype(np.uint8)
        odds += draw.normal(scale=0.7, size=cells)[columns[name]]
    return columns, draw.random(users) < 1 / (1 + np.exp(-odds)), odds


def tables(columns: dict[str, Any], seed: NDArray[np.bool_], sigma: float = 0.0, draw: int = 1) -> dict[str, Any]:
    """The seed's histograms, noised."""
    random = np.random.default_rng(draw)
    counts = {name: np.bincount(codes[seed], minlength=CELLS[name]) for name, codes in columns.items()}
    return {name: each + np.rint(random.normal(scale=sigma, size=len(each))).astype(np.int64)
            for name, each in counts.items()}  # fmt: skip


def scored(sigma: float = 0.0) -> NDArray[np.float64]:
    columns, seed, _ = world()
    model = lookalike.fit(columns, CELLS, tables(columns, seed, sigma), int(seed.sum()), sigma)
    return lookalike.rank(model, columns)


def area(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """Under the ROC curve."""
    ranks, inside = scipy.stats.rankdata(scores), int(truth.sum())
    return float((ranks[truth].sum() - inside * (inside + 1) / 2) / (inside * (len(truth) - inside)))


@cache
def judged() -> NDArray[np.float64]:
    """What scikit-learn's regression on the true list, one-hot, says of every user."""
    from sklearn.linear_model import LogisticRegression  # a second of every worker's start, if it stood above

    columns, seed, _ = world()
    hot = scipy.sparse.hstack([scipy.sparse.csr_array(np.eye(CELLS[name])[columns[name]]) for name in CELLS]).tocsr()
    model = LogisticRegression(C=1.0, tol=1e-9, max_iter=2_000).fit(hot, seed)
    return np.asarray(model.decision_function(hot))


def test_without_noise_it_is_the_regression_on_the_true_list() -> None:
    assert np.abs(scored() - judged()).max() < 1e-3


@pytest.mark.parametrize("sigma", [20.0, 60.0])
def test_noise_costs_little(sigma: float) -> None:
    _, seed, odds = world()
    assert area(scored(sigma), seed) > 0.98 * area(judged(), seed)
    assert np.corrcoef(scored(sigma), odds)[0, 1] > 0.95


def test_where_noise_is_large_beside_the_cells_the_penalty_keeps_the_ranking() -> None:
    columns, _, odds = world()
    few = np.random.default_rng(3).random(len(odds)) < 0.12 / (1 + np.exp(-odds))  # about 1,000 of 40,000
    noised = tables(columns, few, 40.0)
    told = lookalike.fit(columns, CELLS, noised, 1_050, 40.0)
    believed = lookalike.fit(columns, CELLS, noised, 1_050, 0.0)
    best = area(odds, few)
    assert area(lookalike.rank(told, columns), few) > 0.95 * best
    assert area(lookalike.rank(told, columns), few) > area(lookalike.rank(believed, columns), few)


def test_a_seed_that_is_too_small_is_refused_without_its_size() -> None:
    columns, seed, _ = world()
    with pytest.raises(Refused) as refused:
        lookalike.fit(columns, CELLS, tables(columns, seed), 999, 20.0)
    assert "999" not in str(refused.value) and refused.value.params == {"least": 1_000}


def test_columns_that_say_nothing_change_nothing() -> None:
    columns, seed, _ = world()
    constant = {**columns, "same": np.zeros(len(seed), np.uint8)}
    noised = {**tables(columns, seed), "same": np.array([seed.sum(), 0, 0])}
    model = lookalike.fit(constant, {**CELLS, "same": 3}, noised, int(seed.sum()), 0.0)
    with_it, without = lookalike.rank(model, constant), scored()
    assert np.abs(with_it - without).max() < 0.01
    assert np.argsort(with_it)[-100:].tolist() == np.argsort(without)[-100:].tolist()


def test_the_same_numbers_give_the_same_crowd() -> None:
    first, again = scored(20.0), scored(20.0)
    assert (first == again).all()
    assert (lookalike.choose(first, 500) == lookalike.choose(again, 500)).all()


def test_a_large_platform_is_sampled_and_ranked_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    _, seed, _ = world()
    whole = area(scored(), seed)
    monkeypatch.setattr(lookalike, "MOST_FIT", 10_000)
    assert len(scored()) == len(seed)
    assert area(scored(), seed) > 0.99 * whole


@pytest.mark.parametrize("change", [
    lambda columns, counts: counts.pop("age"),
    lambda columns, counts: counts.update(age=counts["age"][:-1]),
    lambda columns, counts: columns.update(age=np.full_like(columns["age"], 9)),
    lambda columns, counts: columns.update(age=columns["age"][:-1]),
])  # fmt: skip
def test_tables_of_other_columns_are_refused(change: Any) -> None:
    columns, seed, _ = world()
    columns, counts = dict(columns), tables(columns, seed)
    change(columns, counts)
    with pytest.raises(UsageError):
        lookalike.fit(columns, CELLS, counts, 5_000, 20.0)


# -- choosing


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(1, 80), st.data())
def test_the_chosen_are_the_most_like_and_as_many_as_asked(values: list[int], size: int, data: st.DataObject) -> None:
    scores = np.array(values, np.float64)
    out = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1)))), np.int64)
    chosen = lookalike.choose(scores, size, without=out)
    assert len(chosen) == min(size, len(values) - len(out))
    assert (np.diff(chosen) > 0).all() and not set(chosen) & set(out)
    left = np.setdiff1d(np.arange(len(values)), np.concatenate([chosen, out]))
    assert not len(left) or not len(chosen) or scores[chosen].min() >= scores[left].max()


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=60), st.data())
def test_the_seed_comes_first_where_it_is_included(values: list[float], data: st.DataObject) -> None:
    seed = np.array(sorted(data.draw(st.sets(st.integers(0, len(values) - 1), min_size=1))), np.int64)
    size = data.draw(st.integers(1, len(values)))
    chosen = set(lookalike.choose(np.array(values), size, first=seed).tolist())
    assert chosen <= set(seed.tolist()) if size <= len(seed) else set(seed.tolist()) <= chosen


def test_among_equals_the_order_of_rows_tells_nothing() -> None:
    chosen = lookalike.choose(np.zeros(10_000), 1_000)
    assert abs(chosen.mean() - 5_000) < 400


@given(st.lists(st.integers(-3, 3), min_size=10, max_size=300))
def test_tenths_are_equal_and_in_order(values: list[int]) -> None:
    scores = np.array(values, np.float64)
    tenths = lookalike.deciles(scores)
    sizes = np.bincount(tenths, minlength=10)
    assert sizes.max() - sizes.min() <= 1
    for earlier in range(9):
        assert scores[tenths == earlier].min() >= scores[tenths == earlier + 1].max()


# -- gain


def _held_out(sigma: float, seed: NDArray[np.bool_], part: int = 0) -> tuple[Any, ...]:
    """Three quarters fitted, the gain by the last, both noised."""
    columns, _, _ = world()
    random = np.random.default_rng(11 + part)
    held = seed & (random.random(len(seed)) < 0.25)
    rest = seed & ~held
    model = lookalike.fit(columns, CELLS, tables(columns, rest, sigma, part), int(rest.sum()), sigma)
    tenths = lookalike.deciles(lookalike.rank(model, columns))
    return gains(np.bincount(tenths[held], minlength=10) + np.rint(random.normal(scale=sigma, size=10)), sigma)


def test_the_gain_of_a_true_likeness_is_seen() -> None:
    _, seed, _ = world()
    found = _held_out(20.0, seed)
    assert found[0].low > 1.5 and found[9].high < 0.7 and found[0].significant
    assert found[9].together == pytest.approx(1.0)
    assert sum(each.gain for each in found) == pytest.approx(10.0)


def test_a_seed_without_likeness_gains_nothing() -> None:
    """Drawn at random, however well the model fits its noise: about one in twenty intervals misses 1, not more."""
    misses, first = 0, []
    for part in range(12):
        seed = np.random.default_rng(part).random(len(world()[1])) < 0.2
        found = _held_out(20.0, seed, part)
        misses += sum(each.significant for each in found)
        first.append(found[0].gain)
    assert misses <= 14 and abs(float(np.mean(first)) - 1.0) < 0.05


def test_too_few_held_out_show_no_gain() -> None:
    assert gains([40, 30, 30, 20, 20, 10, 10, 10, 10, 5], 28.3) == ()
    assert gains([0] * 10, 0.0) == ()


def test_the_interval_covers_the_true_share() -> None:
    random, truth = np.random.default_rng(5), np.array([0.3, 0.2, 0.1, 0.1, 0.08, 0.07, 0.06, 0.04, 0.03, 0.02])
    inside = 0
    for _ in range(400):
        found = gains(np.rint(random.multinomial(3_000, truth) + random.normal(scale=25, size=10)), 25.0)
        inside += sum(each.low <= share * 10 <= each.high for each, share in zip(found, truth, strict=True))
    assert 0.93 < inside / 4_000 < 0.975
