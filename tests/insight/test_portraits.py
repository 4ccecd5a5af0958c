"""Portraits: TGI against pandas, its interval against repeated noise, top tags, cities, and the speed of many keys."""

import time
from functools import cache

import numpy as np
import pandas as pd
import pytest

from cleanroom.errors import UsageError
from cleanroom.insight import portraits
from cleanroom.insight.linear import Absent
from cleanroom.insight.tables import Tables
from cleanroom.plan.cube import Cube
from cleanroom.rooms.draft import UNKNOWN
from tests.insight.microdata import persons, tables_of
from tests.plan import world

SEGMENT = {"stage_30d": ("pay", "repeat")}


@cache
def people() -> pd.DataFrame:
    """Payers are three times as often `a`."""
    frame, draw = persons(6000, 11), np.random.default_rng(2)
    pays = frame["stage_30d"].isin(SEGMENT["stage_30d"])
    frame["gender"] = np.where(pays, draw.choice(["a", "b", "unknown"], len(frame), p=[0.6, 0.3, 0.1]),
                               draw.choice(["a", "b", "unknown"], len(frame), p=[0.2, 0.7, 0.1]))  # fmt: skip
    return frame


def tgi(frame: pd.DataFrame, segment: pd.Series, base: pd.Series, label: str) -> float:
    known = frame["gender"] != UNKNOWN
    share = (frame.loc[segment & known, "gender"] == label).mean()
    return float(100 * share / (frame.loc[base & known, "gender"] == label).mean())


def test_tgi_is_among_known_values_and_against_the_named_base() -> None:
    df, tables = people(), tables_of(people())
    pays, everybody = df["stage_30d"].isin(SEGMENT["stage_30d"]), df["stage_30d"].notna()
    found = portraits.of_board(tables, "gender", SEGMENT)
    values = {each.label: each for each in found.indices}
    assert values["a"].tgi == pytest.approx(tgi(df, pays, everybody, "a"))
    assert values["a"].people == (pays & (df["gender"] == "a")).sum() and values["unknown"].tgi is None
    assert found.coverage == pytest.approx((df.loc[pays, "gender"] != UNKNOWN).mean())
    others = portraits.of_board(tables, "gender", SEGMENT, {"stage_30d": ("none", "visit")})  # two crowds
    assert others.indices[0].tgi == pytest.approx(tgi(df, pays, df["stage_30d"].isin(["none", "visit"]), "a"))
    with pytest.raises(Absent):
        portraits.of_board(tables, "gender", {"device": ("a",)})


def noised(tables: Tables, seed: int) -> Tables:
    draw = np.random.default_rng(seed)
    counts = {
        name: each + np.rint(draw.normal(0, 15, each.shape)).astype(np.int64) for name, each in tables.counts.items()
    }
    return Tables("users", tables.report_date, tables.columns, counts, {}, {}, 15, 100, 172, "", "", "")


def test_intervals_hold_the_true_index_and_alike_groups_are_not_significant() -> None:
    tables, df = tables_of(people(), columns=("gender", "stage_30d", "device")), people()
    truth = tgi(df, df["stage_30d"].isin(SEGMENT["stage_30d"]), df["stage_30d"].notna(), "b")
    inside, alike = [], []
    for seed in range(200):
        found = noised(tables, seed)
        index = portraits.of_board(found, "gender", SEGMENT).indices[1]
        assert index.low is not None and index.high is not None
        inside.append(index.low <= truth <= index.high)
        whole = portraits.of_board(found, "gender", {"stage_30d": ("none", "visit", "interact", "pay", "repeat")})
        alike.append(bool(whole.indices[0].significant))
    assert np.mean(inside) >= 0.9
    assert np.mean(alike) <= 0.1


def test_small_segments_are_withheld() -> None:
    df = people().assign(stage_30d="none")
    df.loc[:20, "stage_30d"] = "pay"
    found = portraits.of_board(noised(tables_of(df), 1), "gender", SEGMENT)
    assert found.coverage is None and all(each.tgi is None and each.people is None for each in found.indices)


@cache
def plan(columns: int = 20) -> Cube:
    labels: dict[str, tuple[str, ...]] = {
        f"users.key_{number:02}": ("a", "b", "c", "d", "e", "other", "unknown") for number in range(columns)
    }
    labels |= {"users.province": ("zj", "js", "unknown"), "users.city": ("hz", "nb", "nj", "unknown")}
    draw = np.random.default_rng(4)
    sizes = {name: len(each) for name, each in labels.items()}
    codes = world.people(draw, sizes, 60_000)
    city = codes["users.city"]
    codes["users.province"] = np.array([0, 0, 1, 2])[city]
    return world.made(world.noised(draw, world.counted(codes, sizes), 20), labels)


def test_a_portrait_with_twenty_keys_takes_less_than_two_seconds() -> None:
    cube = plan()
    keys = [name for name in cube.columns if "key" in name][1:]
    segment = ((("users.key_00", (0, 1)),),)
    started = time.perf_counter()
    found = portraits.of_plan(cube, keys, segment)
    assert time.perf_counter() - started < 2
    assert [each.column for each in found] == keys
    top = portraits.top_tags(found)
    assert 0 < len(top) <= portraits.TOP
    indices = [tag.index.tgi or 0.0 for tag in top]
    assert indices == sorted(indices, reverse=True)
    assert all(tag.index.low > 100 and tag.index.label not in ("other", "unknown") for tag in top if tag.index.low)


def test_cities_stand_in_their_provinces() -> None:
    found = {
        each.label: [label for label, _ in each.cities]
        for each in portraits.geography(plan(), "users.province", "users.city")
    }
    assert set(found["zj"]) == {"hz", "nb"} and found["js"] == ["nj"]
    with pytest.raises(UsageError):
        portraits.of_plan(plan(), ["users.nothing"])
