"""Attacks by the answers themselves: differencing, trackers, outliers, totals, marked amounts. Against real rooms."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.enclave import subtraction
from cleanroom.enclave.query import Query, Where
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.overlap.asked import Overlap
from cleanroom.privacy import accounting, noise
from cleanroom.rooms.store import Room
from tests.room.world import Ran, csv, prepare, run

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
PEOPLE = 600
VICTIM = 0


def room_of(folder: Path, *, noised: bool, spend: list[str] | None = None, by: tuple[str, ...] = ("merchant.level",),
            victim: str = "rare") -> tuple[dict[str, Home], Room]:  # fmt: skip
    """A neutral room of 600 people in both; one of them alone has the level `rare`, all others are of a or b."""
    folder.mkdir(exist_ok=True)
    levels = ["a" if at % 2 else "b" for at in range(PEOPLE)]
    merchant = csv(folder / "merchant.csv", {
        "phone": [f"1380000{at:04d}" for at in range(PEOPLE)],
        "level": [victim, *levels[1:]], "spend": spend or ["1.00"] * PEOPLE,
    })  # fmt: skip
    platform = csv(folder / "platform.csv", {
        "phone": [f"1380000{at:04d}" for at in range(PEOPLE)],
        "city": ["x" if at // 2 % 2 else "y" for at in range(PEOPLE)],  # each far above the threshold
    })  # fmt: skip
    asked = Overlap(merchant, platform, protocol="keyed", by=(*by, "platform.city"), sums=("merchant.spend",), k=K,
                    key_bits=2048, noise=noised)  # fmt: skip
    homes, room, _ = prepare(folder, asked, "keyed")
    return homes, room


def column(room: Room, name: str) -> str:
    """dataset.column, as the room calls it."""
    return next(
        f"{dataset.name}.{name}" for dataset in room.contract.datasets for each in dataset.columns if each.name == name
    )


def cells(room: Room, name: str, *labels: str) -> Where:
    """A condition on one column: people with one of these labels."""
    dataset, _, short = column(room, name).partition(".")
    held = room.annex(dataset, short).labels
    return (((column(room, name), tuple(sorted(held.index(label) for label in labels))),),)


def shown(ran: Ran) -> list[dict[str, Any]]:
    assert not ran.failures, ran.failures
    found = ran.outcomes["platform"].segments
    assert found is not None
    return found


def refused(ran: Ran) -> bool:
    return any(isinstance(error, Refused) for error in ran.failures.values())


def test_without_noise_two_populations_one_person_apart_are_not_both_answered(tmp_path: Path) -> None:
    homes, room = room_of(tmp_path, noised=False)
    everybody = Query((column(room, "city"),))
    assert len(shown(run(homes, everybody))) == 2
    labels = room.annex(*column(room, "level").split(".")).labels
    others = cells(room, "level", *(label for label in labels if label in ("a", "b")))
    but_one = run(homes, Query((column(room, "city"),), (), others))
    assert refused(but_one)
    assert all(outcome.segments is None for outcome in but_one.outcomes.values())


def test_with_noise_the_difference_of_two_answers_says_nothing_of_the_one_between_them(tmp_path: Path) -> None:
    """The attacker's best guess from Q(all) − Q(all but one), over what the real noise does to both."""
    sigma = noise.DEFAULT_SIGMA
    drawn = noise.draw([sigma, sigma], 20_000)
    difference = drawn[:, 0] - drawn[:, 1]
    present, absent = difference + 1, difference
    right = (np.mean(present >= 1) + np.mean(absent < 1)) / 2  # the likelihood ratio's threshold
    assert right < 0.5 + 2 * np.sqrt(accounting.rho_micro(sigma, 2) / 1e6 / 2) / 2 + 0.01
    homes, room = room_of(tmp_path, noised=True)
    first = shown(run(homes, Query((column(room, "city"),))))
    second = shown(run(homes, Query((column(room, "city"),), (), cells(room, "level", "a", "b"))))
    assert [row["city"] for row in first] == [row["city"] for row in second] == ["x", "y"]
    assert first != second


SIZES = (2, 3, 4)
TRACKED = 10
"""The k of the small tables that trackers are tried on."""


def test_trackers_do_not_isolate_anybody_on_a_thousand_tables() -> None:
    """Denning's general tracker: q(C) = q(C or T) + q(C or not T) - q(T) - q(not T), each of at least k people."""
    random, possible, isolated = np.random.default_rng(11), 0, 0
    for _ in range(1_000):
        people = random.integers(0, 12, SIZES)
        people[1, 2, 3] = 1  # the victim, alone in its cell
        victim, tracker = (1,), [("t.a", (0,))]
        inside = people[0].sum()
        wanted = (inside + 1, people[1].sum(), inside, people[1].sum())
        if min(wanted) < TRACKED:
            continue
        possible += 1
        c_or_t = (tuple(tracker), (("t.a", victim), ("t.b", (2,)), ("t.c", (3,))))
        asked = [c_or_t, ((("t.a", victim),),), (tuple(tracker),)]
        isolated += all_answered([Query((), (), where) for where in asked], people)
    assert possible > 900
    assert isolated == 0


def all_answered(asked: list[Query], people: np.ndarray) -> bool:
    """Whether a room without noise would answer all of these, one after the other."""
    places = np.indices(people.shape).reshape(3, -1)
    table = pa.table({**{f"t.{name}": places[at] for at, name in enumerate("abc")}, "people": people.ravel()})
    return not any(
        subtraction.subtractable(table, query, asked[:at], TRACKED, lambda: None) for at, query in enumerate(asked)
    )


def test_the_tracker_isolates_everybody_where_answers_are_not_compared() -> None:
    """Before: the same questions on exact counts give the victim's cell on each of a thousand tables."""
    random = np.random.default_rng(11)
    for _ in range(1_000):
        people = random.integers(0, 12, SIZES)
        a, b, c = np.indices(SIZES)
        victim, tracker = (a == 1) & (b == 2) & (c == 3), a == 0
        padded, rest = people[victim | tracker].sum(), people[victim | ~tracker].sum()
        assert padded + rest - people[tracker].sum() - people[~tracker].sum() == people[1, 2, 3]


def test_an_outlier_moves_a_sum_by_no_more_than_the_clamp(tmp_path: Path) -> None:
    """The bound is declared before the outlier comes: here, by the contract of the same room."""
    from cleanroom.matching import cells as codes
    from cleanroom.rooms.terms import Column

    homes, room = room_of(tmp_path, noised=True, spend=["10000000000000.00", *["1.00"] * (PEOPLE - 1)])
    term = next(each for d in room.contract.datasets for each in d.columns if each.name == "spend")
    clamped = Column("spend", "amount", low=0, high=500, unit=term.unit)
    dataset = room.contract.dataset_of("merchant").name
    values = codes.amounts(homes["merchant"].vault, dataset, clamped)
    assert values.max() == 500
    assert values.sum() == 500 + 100 * (PEOPLE - 1)


def test_amounts_that_mark_persons_cannot_be_read_from_a_noised_sum() -> None:
    """Amounts 1, 2, 4, 8 … cents: the exact sum names who is in it. With noise of sigma times the clamp it does not."""
    marks = 2 ** np.arange(20)
    inside = np.random.default_rng(7).integers(0, 2, (2_000, 20))
    exact = inside @ marks
    read = (exact[:, None] >> np.arange(20)) & 1
    assert (read == inside).all()  # before
    noised = exact + noise.draw([noise.DEFAULT_SIGMA * int(marks.max())], 2_000)[:, 0]
    read = (np.clip(noised, 0, 2**20 - 1)[:, None] >> np.arange(20)) & 1
    assert abs((read == inside).mean() - 0.5) < 0.02
