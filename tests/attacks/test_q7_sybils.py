"""Q7: a group of too few real persons is padded with invented ones to reach k. k counts whom both sides have."""

import datetime as dt
from pathlib import Path

import pytest

from cleanroom.errors import Refused
from cleanroom.overlap.asked import Overlap
from cleanroom.privacy.history import DatasetVersion
from cleanroom.privacy.quotas import Limits, Seen, check_inputs
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
FAKES = 10_000
VICTIMS = 49
"""Gold members whom the platform has too: one fewer than k."""


def phones(start: int, count: int) -> list[int]:
    return list(range(13_800_000_000 + start, 13_800_000_000 + start + count))


@pytest.mark.parametrize("pad", ["invented", "repeated"])
def test_a_group_of_k_minus_one_stays_withheld_with_ten_thousand_fakes(pad: str, tmp_path: Path) -> None:
    gold = phones(0, VICTIMS)
    rows: list[object] = list(gold)
    rows += phones(50_000, FAKES) if pad == "invented" else [f"+86 {each}" for each in gold] * (FAKES // VICTIMS)
    others = {"silver": phones(1000, 300), "none": phones(2000, 400)}
    levels = ["gold"] * len(rows) + [level for level, these in others.items() for _ in these]
    rows += [each for these in others.values() for each in these]
    merchant = world.csv(tmp_path / "m.csv", {"phone": rows, "level": levels})
    platform = world.csv(tmp_path / "p.csv", {"phone": [*gold, *phones(1000, 2000)], "city": ["x"] * (VICTIMS + 2000)})
    asked = Overlap(merchant, platform, by=("merchant.level",), k=K, key_bits=2048)
    homes, _, query = world.prepare(tmp_path, asked, "keyed")
    result = world.run(homes, query)
    assert not result.failures, result.failures
    outcome = result.outcomes["platform"]
    assert outcome.size == VICTIMS + 700
    assert [(row["level"], row["people"]) for row in outcome.segments or []] == [("none", 400)]  # silver goes with gold
    assert outcome.withheld


def test_an_upload_that_grows_by_the_fakes_is_refused() -> None:
    real, padded = (DatasetVersion("merchant", "crm", f"{rows:064x}", rows) for rows in (749, 749 + FAKES))
    now = dt.datetime.now(dt.UTC)
    with pytest.raises(Refused, match="grown"):
        check_inputs([Seen(real, now)], Seen(padded, now), Limits())
