"""L1: a person who was deleted is matched again, because the old file is imported once more, in whatever form.

Backups brought back, older versions and imports under way stand in tests/vault/test_vault_forget.py.
"""

from pathlib import Path

import pandas as pd
import pytest

from cleanroom import datasets
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.overlap.asked import Overlap
from tests.room import world

pytestmark = pytest.mark.usefixtures("near_engines")

K = 50
ROWS = 120
VICTIM = 13_800_000_007


def phones() -> list[int]:
    return [13_800_000_000 + n for n in range(ROWS)]


def matched(homes: dict[str, Home], query, members: Path) -> tuple[int | None, set[str]]:
    """The platform's size, and whom it has in its list of members."""
    members.unlink(missing_ok=True)
    result = world.run(homes, query, {"platform": members})
    assert not result.failures, result.failures
    return result.outcomes["platform"].size, set(pd.read_csv(members, dtype=str).phone)


@pytest.mark.parametrize(("by", "protocol"), [("merchant", "dh"), ("platform", "keyed")])
def test_whoever_was_forgotten_is_not_matched_when_the_old_file_comes_again(
    by: str, protocol: str, tmp_path: Path
) -> None:
    files = {
        "merchant": world.csv(tmp_path / "m.csv", {"phone": phones(), "level": ["a"] * ROWS}),
        "platform": world.csv(tmp_path / "p.csv", {"phone": phones(), "city": ["x"] * ROWS}),
    }
    asked = Overlap(files["merchant"], files["platform"], k=K, key_bits=2048)
    homes, _, query = world.prepare(tmp_path, asked, protocol)
    out = tmp_path / "members.csv"
    size, members = matched(homes, query, out)
    assert (size, str(VICTIM) in members) == (ROWS, True)
    forgotten = datasets.forget(homes[by].path, world.csv(tmp_path / "gone.csv", {"phone": [VICTIM]}), "phone", None)
    assert forgotten["persons"] == 1
    again = [files[by]]
    if by == "merchant":
        again.append(world.csv(tmp_path / "c.csv", {"phone": [f"+86 {each}" for each in phones()]}))
    for file in again:
        homes[by] = Home.open(homes[by].path)
        assert import_source(homes[by], Wish(asked.datasets[by], file))["rows"] == ROWS - 1
        size, members = matched(homes, query, out)
        assert (size, len(members), str(VICTIM) in members) == (ROWS - 1, ROWS - 1, False)
