"""Q8: one person a hundred times in both files, in every spelling, so that a join of rows would count 10,000."""

from pathlib import Path

import pytest

from cleanroom.overlap.asked import Overlap
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
PEOPLE = 60
"""Everybody of level a; the other side has them too."""
VICTIM = "13800000000"
SPELLINGS = ["{}", "+86{}", "86{}", "+86 {}", "0086{}", " {} ", "+86-{}"]


def file(path: Path, column: str, values: list[str], copies: int) -> str:
    """The victim's row, first, and its copies of another value; then everybody else."""
    phones = [SPELLINGS[n % len(SPELLINGS)].format(VICTIM) for n in range(copies)]
    phones += [str(int(VICTIM) + n) for n in range(1, PEOPLE)]
    return world.csv(path, {"phone": phones, column: values * (len(phones) // len(values)), "spend": [1] * len(phones)})


@pytest.mark.parametrize("protocol", ["keyed", "dh"])
def test_a_person_a_hundred_times_in_both_files_counts_once(protocol: str, tmp_path: Path) -> None:
    merchant = file(tmp_path / "m.csv", "level", ["a"], 100)
    platform = file(tmp_path / "p.csv", "city", ["x"], 100)
    asked = Overlap(
        merchant, platform, by=("merchant.level", "platform.city"), sums=("merchant.spend",), k=K, key_bits=2048
    )
    homes, _, query = world.prepare(tmp_path, asked, protocol)
    result = world.run(homes, query)
    assert not result.failures, result.failures
    for party in ("merchant", "platform"):
        (group,) = result.outcomes[party].segments or []
        assert (group["people"], group["spend"]) == (PEOPLE, PEOPLE)
    assert result.outcomes["platform"].size == PEOPLE
