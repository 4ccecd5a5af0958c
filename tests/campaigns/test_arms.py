"""Arms: balanced in every stratum, the same however rows come, drawn by the seed alone, and bound by the commitment."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.campaigns import arms
from cleanroom.campaigns.arms import HELD_OUT, Members
from cleanroom.errors import Refused, UsageError

SEED = bytes(range(32))
TERMS = {"name": "spring"}


def people(count: int, width: int = 32, seed: int = 1) -> "np.typing.NDArray[np.uint8]":
    return np.random.default_rng(seed).integers(0, 256, (count, width), dtype=np.uint8)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=1, max_size=8), st.integers(1, 90), st.binary(min_size=32, max_size=32))
def test_each_stratum_is_split_by_its_share_to_within_one_person(sizes: list[int], share: int, seed: bytes) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    given_arms = arms.assign(people(len(strata)), share / 100, strata, seed)
    for stratum, size in enumerate(sizes):
        held = int((given_arms[strata == stratum] == HELD_OUT).sum())
        assert abs(held - size * share / 100) < 1


def test_small_strata_are_rounded_without_leaning_to_one_side() -> None:
    strata = np.arange(20_000) // 4
    held = arms.assign(people(20_000), 0.1, strata, SEED) == HELD_OUT
    assert abs(held.mean() - 0.1) < 0.006, "0.4 of each four: 4 or 5 standard errors of a coin a stratum"


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(200)), st.sampled_from([16, 32]))
def test_the_order_of_rows_does_not_matter(order: list[int], width: int) -> None:
    digests, strata = people(200, width), np.arange(200) % 3
    plain = arms.assign(digests, 0.3, strata, SEED)
    turned = arms.assign(digests[order], 0.3, strata[order], SEED)
    assert np.array_equal(turned, plain[order])


def test_another_seed_draws_independently() -> None:
    digests = people(20_000)
    one, two = (arms.assign(digests, 0.5, None, seed) for seed in (SEED, bytes(32)))
    both = float(((one == HELD_OUT) & (two == HELD_OUT)).mean())
    assert abs(both - 0.25) < 0.012
    assert arms.new_seed() != arms.new_seed()


def test_who_has_an_arm_keeps_it_and_the_new_are_split_among_themselves() -> None:
    digests, strata = people(3000), np.arange(3000) % 2
    first, given_first = arms.admitted(Members.none(), digests[:2000], 0.2, strata[:2000], SEED)
    second, given_second = arms.admitted(first, digests[500:], 0.2, 1 - strata[500:], SEED)
    assert np.array_equal(given_second[:1500], given_first[500:])
    assert (given_second[1500:] == HELD_OUT).sum() == pytest.approx(200, abs=1)
    same, _ = arms.admitted(second, digests[:10], 0.2, None, SEED)
    assert same is second
    arms.check(arms.commitment(SEED, TERMS, second), SEED, TERMS, second, 0.2)
    with pytest.raises(UsageError, match="twice"):
        arms.admitted(Members.none(), digests[[0, 0]], 0.2, None, SEED)


@pytest.mark.parametrize("changed", ["seed", "terms", "arms", "strata", "batches", "draws", "dropped"])
def test_a_commitment_is_to_all_of_it(changed: str) -> None:
    members, _ = arms.admitted(Members.none(), people(500), 0.2, np.arange(500) % 5, SEED)
    stated = arms.commitment(SEED, TERMS, members)
    arms.check(stated, SEED, TERMS, members, 0.2)
    seed, terms, held = SEED, TERMS, members
    if changed == "seed":
        seed = bytes(32)
    elif changed == "terms":
        terms = {"name": "summer"}
    elif changed == "dropped":
        held = Members(*(getattr(members, each.name)[1:] for each in dataclasses.fields(Members)))
    else:
        column = getattr(members, changed).copy()
        column[7] += 1
        held = dataclasses.replace(members, **{changed: column})
    with pytest.raises(Refused):
        arms.check(stated, seed, terms, held, 0.2)


def test_arms_chosen_by_hand_are_refused_even_with_a_commitment_to_them() -> None:
    """Whoever knows who will pay could else put them into one arm, and commit to that."""
    members, _ = arms.admitted(Members.none(), people(500), 0.2, None, SEED)
    chosen = np.zeros(500, np.uint8)
    chosen[-100:] = HELD_OUT
    by_hand = dataclasses.replace(members, arms=chosen)
    with pytest.raises(Refused, match="seed draws"):
        arms.check(arms.commitment(SEED, TERMS, by_hand), SEED, TERMS, by_hand, 0.2)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.95, 1.0, -0.1])
def test_a_share_that_leaves_an_arm_empty_is_refused(share: float) -> None:
    with pytest.raises(UsageError):
        arms.assign(people(10), share, None, SEED)
