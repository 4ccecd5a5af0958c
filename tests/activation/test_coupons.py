"""Coupons: frozen terms that both sides read alike; claims and redemptions folded to figures a batch."""

import datetime as dt
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.activation import desk
from cleanroom.activation.coupons import Batch, Coupons, from_json
from cleanroom.activation.redemptions import fold, median_time
from cleanroom.errors import BadData, CleanroomError, UsageError
from tests.near import new_home

SPRING = Batch("SPRING20", "春季满减", "tier = 'gold'", 2_000, 10_000, ("S01", "S02"), ("8928308280fffff",), "杭州",
               "2026-03-01", "2026-03-31", 1_000)  # fmt: skip
NOON = dt.datetime(2026, 3, 10, 4, tzinfo=dt.UTC)  # noon in China
DAY = dt.date(2026, 3, 15)


def events(*told: tuple[str, str, dt.datetime, str]) -> pa.Table:
    columns = list(zip(*told, strict=True)) if told else [[], [], [], []]
    types = (pa.string(), pa.string(), pa.timestamp("us", "UTC"), pa.string())
    return pa.table([pa.array(each, kind) for each, kind in zip(columns, types, strict=True)],
                    names=["user", "event", "time", "batch"])  # fmt: skip


def after(minutes: float) -> dt.datetime:
    return NOON + dt.timedelta(minutes=minutes)


def test_terms_are_read_alike_on_both_sides_and_never_change(tmp_path: Path) -> None:
    merchant, platform = (new_home(tmp_path / name, name) for name in ("merchant", "platform"))
    made = desk.created(merchant.path, SPRING)
    file = tmp_path / "spring.json"
    file.write_text(made["json"], "utf-8")
    file.chmod(0o600)
    assert desk.taken(platform.path, file)["digest"] == made["digest"] == SPRING.digest
    assert desk.created(merchant.path, SPRING) == made
    with pytest.raises(UsageError, match="other terms"):
        desk.created(merchant.path, replace(SPRING, quantity=2_000))
    assert list(Coupons(platform).every()) == [SPRING]
    with pytest.raises(UsageError):
        Coupons(platform).get("../node")


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "../x"}, {"code": ""}, {"name": ""}, {"name": "a\x1b[2J"}, {"face_value": 0}, {"face_value": 1.5},
        {"threshold": -1}, {"quantity": 0}, {"quantity": True}, {"begins": "today"}, {"ends": "2026-02-01"},
        {"cells": ("30.27,120.15",)}, {"cells": ("8928308280fffff",) * 2}, {"stores": ("",)}, {"stores": ["S01"]},
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        replace(SPRING, **wrong)


def test_another_version_or_a_damaged_file_is_refused() -> None:
    told = json.loads(SPRING.to_json())
    assert from_json(SPRING.to_json()) == SPRING
    for value in ({**told, "format": "cleanroom-coupons/2"}, {**told, "more": 1}, [], "x", {"format": told["format"]}):
        with pytest.raises(BadData):
            from_json(json.dumps(value).encode())
    with pytest.raises(CleanroomError):
        from_json(b"\xff{")


def test_claims_and_redemptions_are_paired_by_person_and_order() -> None:
    told = events(
        ("a", "coupon.claim", after(0), "SPRING20"), ("a", "coupon.redeem", after(15), "SPRING20"),
        ("a", "coupon.claim", after(60), "SPRING20"), ("b", "coupon.claim", after(0), "SPRING20"),
        ("b", "coupon.redeem", after(30), "SPRING20"), ("c", "coupon.claim", after(0), "SPRING20"),
        ("d", "coupon.redeem", after(0), "SPRING20"), ("a", "coupon.claim", after(0), "OTHER"),
        ("e", "coupon.claim", after(60 * 24 * 9), "SPRING20"), ("a", "coupon.expire", after(1), "SPRING20"),
    )  # fmt: skip
    (found,) = fold(told, [SPRING], DAY)
    assert (found.claimed, found.redeemed, found.unclaimed, found.left) == (4, 2, 1, 996)
    assert found.rate == 0.5 and found.median_seconds == 30 * 60 and found.immature
    assert not fold(told, [replace(SPRING, ends="2026-03-14")], DAY)[0].immature
    assert fold(told, [replace(SPRING, code="NONE")], DAY)[0].rate is None
    assert fold(events(), [SPRING], DAY)[0].claimed == 0


def test_a_days_end_is_that_of_china() -> None:
    last = dt.datetime(2026, 3, 15, 15, 59, 59, tzinfo=dt.UTC)
    told = events(("a", "coupon.claim", last, "SPRING20"),
                  ("b", "coupon.claim", last + dt.timedelta(seconds=1), "SPRING20"))  # fmt: skip
    assert fold(told, [SPRING], DAY)[0].claimed == 1


def test_a_missing_column_is_named() -> None:
    with pytest.raises(UsageError, match="batch"):
        fold(events().drop_columns(["batch"]), [SPRING], DAY)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.booleans()), min_size=1, max_size=40))
def test_the_median_is_that_of_the_product_limit(told: list[tuple[int, bool]]) -> None:
    """Against the estimator written out by hand, a time at a time."""
    survival, expected = 1.0, None
    for time in sorted({each for each, _ in told}):
        at_risk = sum(each >= time for each, _ in told)
        hits = sum(happened for each, happened in told if each == time)
        survival *= 1 - hits / at_risk
        if expected is None and survival < 0.5 + 1e-9:
            expected = float(time)
    found = median_time(np.array([each for each, _ in told], float), np.array([hit for _, hit in told]))
    assert found == expected or (found is not None and expected is not None and math.isclose(found, expected))


def test_censoring_does_not_hide_quick_redemptions() -> None:
    """Nine of ten redeem after a quarter of an hour; that most claimed a minute ago must not change it."""
    seconds = np.array([900.0] * 90 + [20_000.0] * 10 + [60.0] * 900)
    happened = np.array([True] * 90 + [False] * 910)
    assert median_time(seconds, happened) == 900.0


def test_figures_come_from_a_file_of_events(tmp_path: Path) -> None:
    home = new_home(tmp_path / "platform", "platform")
    Coupons(home).create(SPRING)
    told = events(("a", "coupon.claim", after(0), "SPRING20"), ("a", "coupon.redeem", after(15), "SPRING20"),
                  ("b", "coupon.claim", after(0), "SPRING20"))  # fmt: skip
    pq.write_table(told, tmp_path / "coupon.parquet")
    found = desk.coupon(home.path, "SPRING20", str(tmp_path / "coupon.parquet"), "2026-03-15")
    assert (found["figures"]["claimed"], found["figures"]["rate"]) == (2, 0.5)
    assert found["figures"]["report_date"] == "20260315"
