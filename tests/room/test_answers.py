"""Answers against pandas: every protocol, groups of both sides, sums, thresholds, members."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cleanroom.overlap.asked import Overlap
from tests.room import world

K = 50
BITS = 2048


def sides(rows: int = 560, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    phones = rng.choice(10**8, rows + rows // 2, replace=False) + 13_800_000_000
    merchant = pd.DataFrame({
        "phone": phones[:rows].astype(str),
        "level": rng.choice(["gold", "silver"], rows, p=[0.5, 0.5]),
        "spend": np.round(rng.gamma(2, 90, rows), 2),
        "note": [f"private-{n}" for n in range(rows)],
    })  # fmt: skip
    platform = pd.DataFrame({
        "phone": phones[rows // 2 :].astype(str),
        "city": rng.choice(["Shanghai", "Hangzhou"], rows),
        "visits": rng.integers(0, 9, rows),
    })  # fmt: skip
    return merchant, platform


def truth(merchant: pd.DataFrame, platform: pd.DataFrame, by: list[str]) -> list[dict[str, object]]:
    joined = merchant.merge(platform, on="phone")
    grouped = joined.groupby(by).agg(people=("phone", "size"), spend=("spend", "sum")).reset_index()
    return grouped[grouped.people >= K].sort_values(by).round(2).to_dict("records")


def ran(tmp_path: Path, protocol: str, by: tuple[str, ...], sums: tuple[str, ...] = (), receiver: str = "platform",
        members: bool = False) -> tuple[world.Ran, pd.DataFrame, pd.DataFrame]:  # fmt: skip
    merchant, platform = sides()
    merchant.to_csv(tmp_path / "m.csv", index=False)
    platform.to_csv(tmp_path / "p.csv", index=False)
    asked = Overlap(
        str(tmp_path / "m.csv"), str(tmp_path / "p.csv"), by=by, sums=sums, receiver=receiver, k=K, key_bits=BITS
    )  # type: ignore[arg-type]
    homes, _, query = world.prepare(tmp_path, asked, protocol)
    out = {receiver: tmp_path / "members.csv"} if members else {}
    result = world.run(homes, query, out)
    assert not result.failures, result.failures
    return result, merchant, platform


def segments(result: world.Ran, party: str, by: list[str]) -> list[dict[str, object]]:
    found = result.outcomes[party].segments
    assert found is not None
    keys = [*by, "people", "spend"]
    rows = [{key: row[key] for key in keys if key in row} for row in found]
    return sorted(rows, key=lambda row: [str(row[name]) for name in by])


@pytest.mark.parametrize("protocol", ["keyed", "dh", "vole", "oprf"])
def test_groups_of_both_sides_with_sums_are_exact(tmp_path: Path, protocol: str) -> None:
    result, merchant, platform = ran(tmp_path, protocol, ("merchant.level", "platform.city"), ("merchant.spend",))
    expected = truth(merchant, platform, ["level", "city"])
    for party in ("merchant", "platform"):  # both are recipients, and see the same
        assert segments(result, party, ["level", "city"]) == expected
    size = len(merchant.merge(platform, on="phone"))
    assert result.outcomes["platform"].size == size
    assert result.outcomes["merchant"].size is None
    assert result.outcomes["merchant"].range == {"range": [200, 499], "withheld": False}
    receipts = [outcome.receipt for name, outcome in result.outcomes.items() if name != "operator"]
    assert receipts[0] == receipts[1]


def test_join_sum_gives_sums_but_no_rows(tmp_path: Path) -> None:
    result, merchant, platform = ran(tmp_path, "join-sum", ("merchant.level",), ("merchant.spend",))
    assert segments(result, "platform", ["level"]) == truth(merchant, platform, ["level"])
    assert result.outcomes["platform"].size is None
    assert result.outcomes["platform"].members is None


def test_the_hosts_own_columns_need_no_ciphertext(tmp_path: Path) -> None:
    result, merchant, platform = ran(
        tmp_path, "dh", ("merchant.level",), ("merchant.spend",), receiver="merchant", members=True
    )
    assert segments(result, "merchant", ["level"]) == truth(merchant, platform, ["level"])
    assert result.room.contract.slots == ()
    written = pd.read_csv(tmp_path / "members.csv", dtype=str)
    expected = merchant[merchant.phone.isin(platform.phone)].astype(str)
    assert written.to_dict("records") == expected.to_dict("records")


def test_small_groups_stay_and_take_another_with_them(tmp_path: Path) -> None:
    result, _, _ = ran(tmp_path, "keyed", ("platform.visits",))
    shown = result.outcomes["platform"].segments
    assert shown is not None
    assert all(row["people"] >= K for row in shown)
    assert result.outcomes["platform"].withheld


def test_a_question_without_columns_releases_a_range_and_no_number(tmp_path: Path) -> None:
    result, merchant, platform = ran(tmp_path, "keyed", ())
    assert result.outcomes["merchant"].segments == []
    assert result.outcomes["merchant"].size is None
    assert result.outcomes["platform"].size == len(merchant.merge(platform, on="phone"))
