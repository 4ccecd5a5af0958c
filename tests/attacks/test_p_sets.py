"""P1, P3 and P5: what sizes and own uploads tell of who is in the other side's data; P2 stands elsewhere.

P2 (sizes of 2^k classes from several identities) is mounted in tests/room/test_several.py: whole runs in two worlds of
equal permitted leakage, each role's view compared, for two parties and at an operator.
"""

import datetime as dt
import math
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest

from cleanroom.errors import Refused
from cleanroom.importing import Wish, import_source
from cleanroom.overlap.asked import Overlap
from cleanroom.privacy import accounting, noise
from cleanroom.privacy.history import DatasetVersion
from cleanroom.privacy.quotas import EPOCH, Limits, Seen, check_inputs
from cleanroom.privacy.ranges import size_range
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

K = 100
SIGMA = noise.DEFAULT_SIGMA
RUNS = 30
TRIALS = 2000
DRAWS = 60_000
START = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def bank() -> np.ndarray:
    """Noise as rooms draw it."""
    return noise.draw([SIGMA], DRAWS)[:, 0]


def shown(noised: np.ndarray) -> np.ndarray:
    """The low end of the range in which each noised size is shown; 0 where it is withheld."""
    least = accounting.threshold(K, SIGMA)
    values, places = np.unique(noised, return_inverse=True)
    lows = [size_range(int(value), K).low if value >= least else 0 for value in values]
    return np.array(lows)[places]


def exact(sizes: np.ndarray) -> np.ndarray:
    """As before there was noise."""
    return np.array([size_range(int(size), K).low for size in sizes])


# -- P3


@pytest.mark.parametrize("size", [200, 500, accounting.threshold(K, SIGMA)])
def test_one_victim_at_an_edge_gives_no_signal_beyond_epsilon(size: int, bank: np.ndarray) -> None:
    """An edge of ranges, and the threshold below which all is withheld: with the victim `size`, else one less."""
    draws = DRAWS // 2
    told = [shown(true + drawn) for true, drawn in zip((size, size - 1), bank.reshape(2, draws), strict=True)]
    ranges = np.unique(np.concatenate(told))
    chances = np.array([[(each == low).mean() for low in ranges] for each in told])
    price = accounting.rho_micro(SIGMA, 1)
    error = 5 * math.sqrt(1 / (2 * draws))
    assert np.abs(chances[0] - chances[1]).sum() / 2 <= math.sqrt(price / 2e6) + error  # Pinsker: 0.025
    epsilon = accounting.epsilon(price, 1e-6)
    for one, other in (chances, chances[::-1]):
        assert (one <= np.exp(epsilon) * other + 1e-6 + 2 * error).all()


@pytest.mark.parametrize("size", [200, 500])
def test_without_noise_the_same_victim_is_told_by_one_size(size: int) -> None:
    assert exact(np.array([size])) != exact(np.array([size - 1]))


def test_a_list_that_stays_the_same_is_one_version_and_one_answer() -> None:
    """Frozen lists: the same rows give the same manifest, so the question is the same and its answer is stored."""
    version = DatasetVersion("merchant", "crm", "ab" * 32, 5000)
    history = [Seen(version, START)] * RUNS
    check_inputs(history, Seen(version, START), Limits())
    with pytest.raises(Refused, match="versions"):
        for number in range(Limits().versions + 1):
            now = Seen(DatasetVersion("merchant", "crm", f"{number:064x}", 5000), START)
            check_inputs(history, now, Limits())
            history.append(now)


# -- P1


def allowed(runs: int) -> int:
    """So many of `runs` runs, each with a list of its own, are let in within an epoch, and paid for."""
    history: list[Seen] = []
    paid, budget = 0, accounting.budget_micro(10)
    for number in range(runs):
        now = Seen(DatasetVersion("merchant", "crm", f"{number:064x}", 5000), START + number * EPOCH / (runs + 1))
        paid += accounting.rho_micro(SIGMA, 1)
        try:
            check_inputs(history, now, Limits())
        except Refused:
            continue
        assert paid <= budget
        history.append(now)
    return len(history)


def binary_search(present: bool, rounds: int, hidden: int, told) -> bool:
    """The attacker's guess. Half the lists look for how many known members bring the size to the edge of 1000, the
    others try the victim there. `hidden`: how many of its other rows match, which it does not know."""
    low, high = 0, 1000
    for _ in range(rounds // 2):
        middle = (low + high) // 2
        low, high = (low, middle) if told(hidden + middle) >= 1000 else (middle + 1, high)
    edge = low - 1  # without the victim the size is 999 there
    votes = [told(hidden + edge + present) >= 1000 for _ in range(rounds - rounds // 2)]
    return sum(votes) * 2 > len(votes)


def right(rounds: int, told) -> float:
    """How often the guess is right."""
    draw = np.random.default_rng(6)
    worlds = [(bool(draw.integers(2)), int(draw.integers(100, 900))) for _ in range(TRIALS)]
    return float(np.mean([binary_search(there, rounds, hidden, told) == there for there, hidden in worlds]))


def noised_teller(bank: np.ndarray):
    """A room that shows ranges of noised sizes; another draw for each list."""
    draws = iter(np.random.default_rng(8).choice(bank, TRIALS * (RUNS + 1)).tolist())
    least, lows = accounting.threshold(K, SIGMA), {}

    def told(size: int) -> int:
        value = max(0, size + next(draws))
        if value not in lows:
            lows[value] = size_range(value, K).low if value >= least else 0
        return lows[value]

    return told


def test_a_binary_search_over_thirty_runs_is_no_better_than_chance(bank: np.ndarray) -> None:
    assert right(RUNS, lambda size: size_range(size, K).low) == 1.0  # as it was
    assert allowed(RUNS) == Limits().versions == 10
    assert abs(right(allowed(RUNS), noised_teller(bank)) - 0.5) < 0.05
    assert abs(right(RUNS, noised_teller(bank)) - 0.5) < 0.05  # even if all thirty were let in


def test_the_best_attacker_of_ten_lists_knows_little_more(bank: np.ndarray) -> None:
    """It knows all of its list but the victim, and gets numbers instead of ranges: the likelihood ratio decides."""
    lists = allowed(RUNS)
    trials = DRAWS // lists
    draws = bank.reshape(trials, lists)
    there = np.random.default_rng(7).integers(2, size=trials)
    guess = (draws + there[:, None]).mean(axis=1) > 0.5
    best = NormalDist().cdf(math.sqrt(lists) / (2 * SIGMA))
    assert best < 0.54
    assert (guess == there).mean() == pytest.approx(best, abs=0.03)


# -- P5


def test_a_million_sequential_phones_are_refused() -> None:
    """By growth, by the bound of rows, and in pieces by the number of versions."""
    real = DatasetVersion("merchant", "crm", "ab" * 32, 50_000)
    with pytest.raises(Refused, match="grown"):
        check_inputs([Seen(real, START)], Seen(DatasetVersion("merchant", "crm", "cd" * 32, 10**6), START), Limits())
    history = [Seen(real, START)]
    tried = 0
    for piece in range(10**6 // 75_000):  # the contract allows half as many rows again as the card said
        now = Seen(DatasetVersion("merchant", "crm", f"{piece:064x}", 75_000), START + dt.timedelta(hours=piece))
        try:
            check_inputs(history, now, Limits())
        except Refused:
            continue
        history.append(now)
        tried += 75_000
    assert tried == (Limits().versions - 1) * 75_000


def test_sequential_phones_beyond_the_contract_are_refused_in_a_room(tmp_path: Path) -> None:
    """Both sides signed for 400 rows; the merchant then imports all numbers of a block, and asks for members."""
    start, size = 13_800_000_000, 400
    mine = [start + 100_000 + 7 * n for n in range(size)]
    theirs = [start + 100_000 + 14 * n for n in range(size)]
    merchant = world.csv(tmp_path / "m.csv", {"phone": mine, "level": ["a"] * size})
    platform = world.csv(tmp_path / "p.csv", {"phone": theirs, "city": ["x"] * size})
    asked = Overlap(merchant, platform, receiver="merchant", k=50, key_bits=2048)
    homes, room, query = world.prepare(tmp_path, asked, "dh")
    assert room.contract.dataset("crm").rows == size
    block = world.csv(tmp_path / "block.csv", {"phone": range(start + 100_000, start + 120_000)})
    assert import_source(homes["merchant"], Wish("crm", block))["rows"] == 20_000
    result = world.run(homes, query, {"merchant": tmp_path / "members.csv"})
    assert result.outcomes == {}
    assert any(isinstance(each, Refused) and "more rows" in str(each) for each in result.failures.values())
    assert not (tmp_path / "members.csv").exists()
