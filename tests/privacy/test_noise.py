"""The noise: what `make test-dp` checks at length, in small. A sound product fails once in 10^9 runs.

Attacks D1 to D3 of the catalogue are here, and releases that must be caught.
"""

import multiprocessing
import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
from dp import checks
from dp.audit import SIGMAS, audit, bank
from dp.faults import FAULTS
from dp.mechanisms import MECHANISMS, Numbers, fresh, random_pair

from cleanroom.errors import Refused, UsageError
from cleanroom.privacy import noise

pytestmark = pytest.mark.xdist_group("noise")
ALPHA = 1e-11
AT_LENGTH = {"amounts not clamped", "noise cut at 3 sigma", "three columns for the price of one"}
"""Faults that take more draws to catch."""


@pytest.fixture(scope="module")
def drawn() -> Numbers:
    """60,000 draws, in rows of either sigma."""
    return bank(6, 10_000)


@pytest.mark.parametrize("name", MECHANISMS)
def test_neighbours_are_not_told_apart_more_often_than_claimed(name: str, drawn: Numbers) -> None:
    columns = 2 if name == "count and clamped sum" else 1
    result = audit(MECHANISMS[name], drawn, ALPHA, columns)
    assert not result.caught, result


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - AT_LENGTH))
def test_a_release_that_breaks_its_claim_is_caught(name: str, drawn: Numbers) -> None:
    assert audit(FAULTS[name], drawn, ALPHA).caught


@pytest.mark.parametrize("place", range(len(SIGMAS)))
def test_noise_has_the_scale_the_shape_and_the_width_that_are_said(place: int, drawn: Numbers) -> None:
    sigma, rows = SIGMAS[place], drawn[place :: len(SIGMAS)]
    flat = rows.ravel()
    found = [
        checks.scale(flat, sigma, ALPHA),
        checks.shape(flat, sigma, ALPHA),
        checks.coverage(flat, sigma, 1, ALPHA),
        checks.coverage(rows[0] + rows[1], sigma, 2, ALPHA),
        checks.independence(flat[:-1], flat[1:], "draw and next", ALPHA),
        checks.independence(rows[0], rows[1], "two columns", ALPHA),
    ]
    assert all(check.held for check in found), found


def test_the_checks_find_noise_of_another_scale(drawn: Numbers) -> None:
    wider = drawn[0] + 3 * np.sign(drawn[0])
    assert not checks.scale(wider, SIGMAS[0], ALPHA).held
    assert not checks.shape(wider, SIGMAS[0], ALPHA).held
    assert not checks.coverage(drawn[0] * 2, SIGMAS[0], 1, ALPHA).held
    assert not checks.independence(drawn[0], drawn[0] + drawn[2], "shared", ALPHA).held


def test_d1_noise_is_whole_numbers_down_to_the_last_bit() -> None:
    large = checks.large(20_000)
    assert large.dtype == np.int64
    assert checks.support(large, "sigma 2^59", ALPHA).held
    assert not checks.support(checks.rounded_floats(20_000), "floats", ALPHA).held


def test_d2_one_person_moves_no_sum_by_more_than_noise_is_scaled_to() -> None:
    for seed in range(300):
        table, person = random_pair(np.random.default_rng(seed))
        without = table.without(person)
        assert np.abs(table.sums() - without.sums()).sum() <= table.bound
        assert np.abs(table.counts() - without.counts()).sum() == 1


def test_d2_the_largest_scale_stays_in_64_bits_and_the_next_is_refused() -> None:
    room = np.iinfo(np.int64).max
    assert noise.MOST_SIGMAS * noise.MOST_SCALE <= room < noise.MOST_SIGMAS * (noise.MOST_SCALE + 1)
    assert np.abs(noise.draw([noise.MOST_SCALE], 200).astype(np.float64)).max() > noise.MOST_SCALE
    with pytest.raises(Refused, match="64 bits"):
        noise.draw([20, noise.MOST_SCALE + 1], 1)


@pytest.mark.parametrize("scale", [0, -20])
def test_there_is_no_noise_of_nothing(scale: int) -> None:
    with pytest.raises(UsageError):
        noise.draw([scale], 1)


def test_draws_are_cut_at_twelve_sigma(monkeypatch: pytest.MonkeyPatch) -> None:
    far = [-(2**63), -240, 240, 241, 2**63 - 1]
    monkeypatch.setattr(noise, "mechanism", lambda _: lambda rows: far[: len(rows)])
    assert noise.draw([20], 5)[:, 0].tolist() == [-240, -240, 240, 240, 240]


@pytest.mark.parametrize("scale", [2**53 + 1, 2**59 + 1, 10**15 + 1])
def test_noise_is_never_of_a_smaller_sigma_than_is_paid_for(monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    asked: list[float] = []
    monkeypatch.setattr(noise, "mechanism", lambda scale: asked.append(scale) or (lambda rows: rows))
    noise.draw([scale], 1)
    assert int(asked[0]) >= scale
    assert asked[0] <= scale * (1 + 2**-52)


def test_columns_are_drawn_apart_and_shaped_as_asked() -> None:
    assert noise.draw([], 3).shape == (3, 0)
    assert noise.draw([20, 20], 0).shape == (0, 2)
    both = noise.draw([20, 2_000_000], 500)
    assert both.shape == (500, 2)
    assert both[:, 0].std() < 100 < 10**6 < both[:, 1].std()
    assert not np.array_equal(noise.draw([1000], 20), noise.draw([1000], 20))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_processes_that_were_forked_do_not_draw_the_same() -> None:
    fresh(1000, 1)
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        one, other = pool.map(fresh, (1000, 1000), (20, 20))
    assert len({tuple(one), tuple(other), tuple(fresh(1000, 20))}) == 3


@pytest.mark.parametrize("place", range(len(SIGMAS)))
def test_d3_the_key_of_one_person_is_not_shown(place: int, drawn: Numbers) -> None:
    check = checks.singletons(drawn[place :: len(SIGMAS)].ravel(), SIGMAS[place])
    assert check.held, check


@pytest.mark.parametrize("k", [50, 100])
def test_d3_the_key_of_one_person_is_shown_once_in_a_million_at_most(k: int) -> None:
    check = checks.likeliest_singleton(k)
    assert check.held, check


def test_drawing_noise_does_not_bring_the_tools_of_analysts() -> None:
    code = ("import sys; from cleanroom.privacy import accounting, noise; accounting.epsilon(1000, 1e-6); "
            "sys.exit(bool({'sklearn', 'pandas', 'scipy'} & sys.modules.keys()))")  # fmt: skip
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_opendp_is_loaded_when_noise_is_drawn_and_not_before() -> None:
    code = "import sys; from cleanroom.privacy import accounting, noise; sys.exit('opendp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
