"""A whole room whose operator computes on Spark: the same answers, releases and receipts as on one machine."""

import dataclasses
from pathlib import Path
from typing import Any

from cleanroom.cluster.settings import ClusterSettings
from cleanroom.node import config
from tests.room import three
from tests.room.three import OPERATOR, OWNERS, TRIPLE, asked, joined, segments

BY, SUMS = ("crm.level",), ("crm.spend", "orders.fee")


def on_spark(home: Path, settings: ClusterSettings, role: str) -> None:
    """A node.toml that says so."""
    lines = [f'role = "{role}"', 'engine = "spark"', "[cluster]"]
    lines += [f"{name} = {value!r}".replace("'", '"') for name, value in dataclasses.asdict(settings).items()
              if name not in ("options", "pairs")]  # fmt: skip
    (home / config.FILE).write_text("\n".join(lines))


def test_three_owners_on_a_cluster(tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any) -> None:
    three.build(tmp_path / "made")
    homes = three.copied(tmp_path / "made", tmp_path)
    on_spark(homes[OPERATOR].path, spark_settings, "enclave")
    ran = asked(homes, "exact", TRIPLE, BY, SUMS)
    for owner in OWNERS:
        assert segments(ran, owner, BY, SUMS) == joined(TRIPLE, BY, SUMS)
    assert not list(Path(spark_settings.staging).rglob("*.parquet")), "parts of a run outlived it"


def test_an_owner_whose_tokens_and_slots_executors_make(
    tmp_path: Path, spark_settings: ClusterSettings, spark_session: Any
) -> None:
    three.build(tmp_path / "made")
    homes = three.copied(tmp_path / "made", tmp_path)
    on_spark(homes["shop"].path, spark_settings, "merchant")
    ran = asked(homes, "exact", TRIPLE, BY, SUMS)
    for owner in OWNERS:
        assert segments(ran, owner, BY, SUMS) == joined(TRIPLE, BY, SUMS)
    assert not list(Path(spark_settings.staging).rglob("*.parquet")), "parts of a run outlived it"
