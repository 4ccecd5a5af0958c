"""Answers from a plan: right, with intervals that hold, and silent about small groups."""

import math

import numpy as np
import pytest

from cleanroom import lang
from cleanroom.errors import Refused, UsageError
from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Where, answer
from cleanroom.privacy import accounting
from tests.plan import world

TIER, VISITS, CITY = "crm.tier", "crm.visits", "users.city"
GOLD: Where = (((TIER, (0,)),),)
SHAPED: Where = (((TIER, (0,)), (VISITS, (1, 2))), ((TIER, (1, 2)), (VISITS, (3,))))


def _true(codes: dict[str, np.ndarray], where: Where) -> np.ndarray:
    meant = np.zeros(len(codes[TIER]), bool)
    for box in where or ((),):
        inside = np.ones(len(meant), bool)
        for name, cells in box:
            inside &= np.isin(codes[name], cells)
        meant |= inside
    return meant


def _inside(codes: dict[str, np.ndarray], by: tuple[str, ...], where: Where, cells: tuple[int, ...]) -> int:
    named = [codes[name] == cell for name, cell in zip(by, cells, strict=True)]
    return int(np.logical_and.reduce([_true(codes, where), *named]).sum())


def _cells(cube: Cube, by: tuple[str, ...], where: Where) -> list[tuple[int, ...]]:
    return [group.cells for group in answer(cube, by, where).groups]


@pytest.mark.parametrize("by", [(), (TIER,), (TIER, VISITS), (VISITS, TIER)])
@pytest.mark.parametrize("where", [(), ((),), GOLD, (((VISITS, (0, 3)),),), SHAPED])
def test_counts_of_up_to_two_columns_are_those_of_the_people(by: tuple[str, ...], where: Where) -> None:
    cube, true, codes = world.small()
    cube = world.made(true, world.LABELS)  # no noise, so that the truth is to be read
    found = answer(cube, by, where)
    assert not found.estimated
    for group in found.groups:
        inside = _inside(codes, by, where, group.cells)
        assert group.labels == tuple(world.LABELS[name][cell] for name, cell in zip(by, group.cells, strict=True))
        assert group.people == (inside if inside >= found.least else None)


def test_groups_that_the_condition_leaves_empty_are_no_groups_and_small_ones_are_withheld() -> None:
    cube, _, codes = world.small()
    assert [group.cells for group in answer(cube, (TIER,), GOLD).groups] == [(0,)]
    assert answer(cube, (), (((TIER, ()),),)).groups == ()
    codes = {**codes, TIER: np.maximum(codes[TIER], 1)}  # nobody is left with gold
    sizes = {name: len(labels) for name, labels in world.LABELS.items()}
    found = answer(
        world.made(world.noised(np.random.default_rng(1), world.counted(codes, sizes), 20), world.LABELS), (TIER,)
    )
    assert found.groups[0].people is None
    assert found.groups[0].within is None
    assert found.withheld


def test_nothing_below_the_threshold_is_shown_in_any_way_of_asking() -> None:
    cube = world.small(count=3000)[0]
    least = accounting.threshold(100, 20)
    for by in ((), (TIER,), (TIER, VISITS), (TIER, VISITS, CITY)):
        for where in ((), GOLD, SHAPED, (((CITY, (0, 1)),),)):
            found = answer(cube, by, where)
            assert found.least >= least
            assert all(group.people is None or group.people >= found.least for group in found.groups)


def test_a_sum_of_many_noised_cells_needs_more_people_to_be_shown() -> None:
    cube, _, _ = world.small()
    cells = tuple((TIER, (at,)) for at in range(3))
    checked: Where = tuple((box, (VISITS, (at, at + 1))) for at, box in enumerate(cells))
    found = answer(cube, (), checked)
    error = (found.within or 0) / 1.96
    assert error > 21
    assert found.least >= 100 + 4.75 * (error - 1) > accounting.threshold(100, 20)


def test_the_interval_holds_the_truth_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(8)
    _, true, codes = world.small()
    asked: list[tuple[tuple[str, ...], Where]] = [
        ((), ()),
        ((TIER,), ()),
        ((TIER, VISITS), ()),
        ((CITY,), GOLD),
        ((), SHAPED),
    ]
    held: dict[int, list[bool]] = {at: [] for at in range(len(asked))}
    exact = world.made(true, world.LABELS, k=1)
    truth = [{cells: _inside(codes, by, where, cells) for cells in _cells(exact, by, where)} for by, where in asked]
    for _ in range(500):
        cube = world.made(world.noised(rng, true, 20), world.LABELS)
        for at, (by, where) in enumerate(asked):
            for group in answer(cube, by, where).groups:
                if group.people is not None and group.within is not None and truth[at][group.cells] > 400:
                    held[at].append(abs(group.people - truth[at][group.cells]) <= group.within)
    for each in held.values():
        spread = 3 * math.sqrt(0.05 * 0.95 / len(each)) + 0.006
        assert 0.95 - spread <= np.mean(each) <= 0.965 + spread


def test_asking_often_and_otherwise_averages_nothing_out() -> None:
    """Q4 on the plan: clones of a question, and sums of its parts, give the one estimate again."""
    cube, true, _ = world.small()
    whole = answer(cube).groups[0].people
    clones = {answer(cube, (), (((name, tuple(range(len(labels)))),),)).groups[0].people
              for name, labels in world.LABELS.items()}  # fmt: skip
    assert clones == {whole}
    sums = [float(cube.estimates[table].sum()) for table in cube.estimates]
    assert np.allclose(sums, sums[0])
    assert whole != true[()]


def test_what_the_strongest_attacker_gains_is_what_the_price_says() -> None:
    """Q1 on the plan: knowing all others, is this person in it? The best test over all tables, against rho."""
    rng = np.random.default_rng(4)
    tables = 7
    rho = tables / (2 * 20**2)
    here, away = rng.normal(1, 20, (40_000, tables)).sum(axis=1), rng.normal(0, 20, (40_000, tables)).sum(axis=1)
    assert len(world.small()[0].counts) == tables
    measured = np.mean(here > away)
    assert abs(measured - 0.5 * math.erfc(-math.sqrt(2 * rho) / 2)) < 0.01
    assert measured < 0.56


def test_three_columns_are_estimated_and_claim_no_interval() -> None:
    rng = np.random.default_rng(11)
    sizes = {"a": 6, "b": 5, "c": 7, "d": 4}
    labels = {name: tuple(f"{name}{cell}" for cell in range(size)) for name, size in sizes.items()}
    codes = world.people(rng, sizes, 200_000)
    cube = world.made(world.noised(rng, world.counted(codes, sizes), 20), labels)
    where: Where = ((("a", (0, 1, 2)), ("b", (0, 2)), ("c", (1, 2, 3, 4))),)
    found = answer(cube, (), where)
    true = sum(np.logical_and.reduce([np.isin(codes[name], cells) for name, cells in where[0]]))
    assert found.estimated
    assert found.within is None
    assert found.groups[0].people is not None
    assert abs(found.groups[0].people - true) < 0.1 * true
    grouped = answer(cube, ("d",), where)
    assert abs(sum(group.people or 0 for group in grouped.groups) - true) < 0.1 * true


def test_an_estimate_is_exact_where_columns_hang_together_in_pairs_only() -> None:
    rng = np.random.default_rng(2)
    shape = (3, 4, 5)
    weights = np.exp(
        sum(np.expand_dims(rng.normal(0, 0.7, [shape[a], shape[b]]), 3 - a - b) for a, b in ((0, 1), (0, 2), (1, 2)))
    )
    joint = np.rint(weights * 1e9 / weights.sum()).astype(np.int64)
    counts = {(): np.array(joint.sum())}
    for a in range(3):
        counts[("abc"[a],)] = joint.sum(axis=tuple({0, 1, 2} - {a}))  # type: ignore[index]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        counts["abc"[a], "abc"[b]] = joint.sum(axis=3 - a - b)  # type: ignore[index]
    labels = {name: tuple(map(str, range(size))) for name, size in zip("abc", shape, strict=True)}
    found = answer(world.made(counts, labels), ("a", "b", "c"))  # type: ignore[arg-type]
    assert all(abs(group.people / joint[group.cells] - 1) < 0.002 for group in found.groups if group.people)


def test_foreign_columns_cells_and_crossings_are_refused() -> None:
    cube = world.small()[0]
    bad: list[tuple[tuple[str, ...], object]] = [
        (("crm.age",), ()), ((), ((("crm.age", (0,)),),)), ((), (((TIER, (5,)),),)), ((), (((TIER, (-1,)),),)),
        ((), (((TIER, ("ab",)),),)), ((TIER, TIER), ()), ((), (((TIER, (0,)), (TIER, (1,))),)),
    ]  # fmt: skip
    for by, where in bad:
        with pytest.raises(UsageError):
            answer(cube, by, where)  # type: ignore[arg-type]
    labels = {name: tuple(map(str, range(128))) for name in "abc"}
    counts = {table: np.full([128] * len(table), 100 * 128 ** (2 - len(table))) for table in world.cube.tables("abc")}
    with pytest.raises(Refused):
        answer(world.made(counts, labels), "abc")
    whole = answer(world.made(counts, labels), (), ((("a", (1,)), ("b", (2, 3)), ("c", tuple(range(64)))),))
    assert whole.estimated


def test_where_a_figure_is_from_is_said_in_both_languages() -> None:
    cube = world.small()[0]
    found = answer(cube, (TIER,))
    assert found.said() == f"from the plan of 2026-11-22, ± {found.within}"
    lang.choose("zh")
    try:
        assert "2026-11-22 的测算快照，±" in found.said()
        assert answer(cube, (TIER, VISITS, CITY)).said() == "据 2026-11-22 的测算快照推算"
    finally:
        lang.choose("en")
