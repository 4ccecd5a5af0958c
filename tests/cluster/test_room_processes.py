"""A neutral room in processes of its own, as `cleanroom overlap` runs it: its operator and an owner on Sparks."""

from pathlib import Path

import pair_room_support as rooms
import pandas as pd
import pytest

from cleanroom.overlap.asked import Overlap
from cleanroom.overlap.run import home_paths, make_homes, run


@pytest.mark.slow
def test_an_operator_and_an_owner_with_a_spark_each(tmp_path: Path) -> None:
    """A party's process finds no pandas, which PySpark wants: it is there once Spark is."""
    merchant, platform = rooms.write(tmp_path, 900, 1_500, 600)
    homes = home_paths(tmp_path / "home", operator=True)
    make_homes(homes)
    places = [rooms.on_spark(homes[name], name, pairs="") for name in ("operator", "merchant")]
    members = tmp_path / "members.csv"
    told = run(
        Overlap(
            str(tmp_path / "m.csv"), str(tmp_path / "p.csv"), protocol="keyed", by=rooms.BY, sums=("merchant.spend",),
            receiver="platform", k=rooms.K, key_bits=rooms.BITS, members=members,
        ),
        homes["merchant"],
    )  # fmt: skip
    assert rooms.told(told["segments"]) == rooms.joined(merchant, platform)
    assert sorted(pd.read_csv(members, dtype=str).phone) == sorted(set(merchant.phone) & set(platform.phone))
    assert told["receipt"]["isolation"].startswith("cluster")
    assert rooms.left_in(*places) == []
