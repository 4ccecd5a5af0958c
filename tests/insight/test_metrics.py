"""Every metric against pandas on the persons themselves, its intervals against repeated noise, and its bounds."""

import datetime as dt
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.insight import compare, linear
from cleanroom.insight.linear import Linear, Value
from cleanroom.insight.metric import Spent, View, evaluate
from cleanroom.insight.registry import REGISTRY, computed
from cleanroom.insight.tables import MOST_DAILY, MOST_TABLES, RELATIONS, Tables, daily, wanted
from tests.insight.microdata import DAY, LABELS, STAGES, persons, tables_of

WITHIN = {1: ["1 day"], 7: ["1 day", "2-7 days"], 30: ["1 day", "2-7 days", "8-30 days"],
          90: ["1 day", "2-7 days", "8-30 days", "31-90 days"]}  # fmt: skip
SPENT = Spent(cost=5000.0, attributed=12_000.0, incremental=9_000.0, margin=0.4)


@cache
def people() -> pd.DataFrame:
    return persons()


@cache
def exact() -> Tables:
    return tables_of(people())


def figures(name: str, window: int = 30, tables: Tables | None = None, **more: Any) -> dict[str, float | None]:
    found = evaluate(REGISTRY[name], View(tables or exact(), window, spent=SPENT, **more))
    return {label: each.value for label, each in found.values.items()}


def figure(name: str, window: int = 30, **more: Any) -> float:
    value = figures(name, window, **more)[""]
    assert value is not None
    return value


def rate(part: pd.Series, base: pd.Series) -> float:
    return float((part & base).sum() / base.sum())


@pytest.mark.parametrize("window", [1, 7, 30, 90])
def test_overview_counts_persons_once(window: int) -> None:
    df = people()
    for name, column in [("new_users", "first_seen"), ("visitors", "visited_last"), ("interactors", "interacted_last"),
                         ("payers", "paid_last")]:  # fmt: skip
        assert figure(name, window) == df[column].isin(WITHIN[window]).sum()
    assert figure("payers_share", window) == pytest.approx(df["paid_last"].isin(WITHIN[window]).mean())
    stage = f"stage_{window}d"
    assert figures("stages", window) == df[stage].value_counts().reindex(STAGES).to_dict()
    assert figures("stage_shares", window) == pytest.approx(df[stage].value_counts(normalize=True).to_dict())
    ready = df[(df["reach"] == "yes") & (df["consent"] == "yes")]
    assert figure("interactive", window) == pytest.approx(ready["interacted_last"].isin(WITHIN[window]).mean())
    at_least = {step: df[stage].isin(STAGES[place:]).sum() for place, step in enumerate(STAGES) if place}
    assert figures("funnel", window) == {"all": len(df)} | at_least


def test_relations_composition_and_care() -> None:
    df = people()
    assert figure("total_users") == len(df)
    assert figures("relation_users") == {name: (df[name] == "yes").sum() for name in RELATIONS}
    assert figures("relation_shares") == pytest.approx({name: (df[name] == "yes").mean() for name in RELATIONS})
    known = df.loc[df["gender"] != "unknown", "gender"].value_counts(normalize=True)
    assert figures("by_gender") == pytest.approx(known.to_dict())
    assert figure("new_payers") == (df["new_payer"] != "no").sum()
    reach, consent = df["reach"] == "yes", df["consent"] == "yes"
    assert figure("reachable") == (reach & consent).sum()
    assert figure("safe") == pytest.approx(rate(consent, reach))
    assert figure("convertible") == pytest.approx(rate(df["converted_30d"] == "yes", df["converted_30d"] != "none"))
    paid = df["stage_30d"].isin(["pay", "repeat"])
    assert figure("enhanceable") == pytest.approx(rate(df["stage_30d"] == "repeat", paid))
    before, after = (df[name].map({stage: place for place, stage in enumerate(STAGES)}) for name in
                     ("stage_before", "stage_30d"))  # fmt: skip
    assert figure("growing") == pytest.approx(rate(after > before, before < 4))
    assert figure("fallen") == pytest.approx(rate(after < before, before > 0))
    assert figure("identifiable", matched=Linear(1200.0)) == 1200 / len(df)
    assert figure("match_rate", matched=Linear(1200.0), crm=1500) == 0.8


def test_flow_sums_to_the_total_and_agrees_with_a_crosstab() -> None:
    df = people()
    cross = pd.crosstab(df["stage_before"], df["stage_30d"])
    flow = figures("flow")
    assert flow == {f"{a} → {b}": cross.loc[a, b] for a in STAGES for b in STAGES}
    assert sum(value or 0 for value in flow.values()) == len(df)


def test_retention_coupons_and_worth() -> None:
    df = people()
    weeks = {}
    for label in ("w0", "w1", "w2", "w3", "w4", "older"):
        for week in range(1, 5):
            back = df.loc[df["cohort"] == label, f"revisit_w{week}"]
            weeks[f"{label} +{week}"] = (back == "yes").sum() / back.isin(["yes", "no"]).sum()
    assert figures("revisit_cohorts") == pytest.approx(weeks)
    bought = df[(df["pay_cohort"] != "never") & df["repurchase_w2"].isin(["yes", "no"])]
    assert figures("repurchase_rate")["+2"] == pytest.approx((bought["repurchase_w2"] == "yes").mean())
    claimed = df["coupon_30d"] != "none"
    assert figure("redemption_rate") == pytest.approx(rate(df["coupon_30d"] == "redeemed", claimed))
    assert figure("order_value") == pytest.approx(df["net_paid_30d"].sum() / df["orders_30d"].sum())
    assert figure("exposures_per_point") == pytest.approx(df["exposures_30d"].sum() / df["points_spent_30d"].sum())
    assert figure("cost_per_new_payer") == pytest.approx(5000 / (df["new_payer"] != "no").sum())
    assert figure("roas") == 2.4
    assert figure("roi") == pytest.approx((9000 * 0.4 - 5000) / 5000)
    rfm = df.loc[df["rfm"] != "none", "rfm"].value_counts(normalize=True)
    assert figures("rfm_classes") == pytest.approx(rfm.to_dict())
    sent, there = df["message_30d"] != "none", df["message_30d"].isin(["delivered", "opened"])
    assert figure("message_delivery_rate") == pytest.approx(rate(there, sent))


def test_unredeemed_coupons_are_censored_and_marked() -> None:
    times = ["15 min"] * 300 + ["1 hour"] * 250 + ["open"] * 450
    df = people().head(1000).assign(redeem_time=times, coupon_30d=["redeemed"] * 550 + ["claimed"] * 450)
    tables = tables_of(df)
    median = evaluate(REGISTRY["redemption_time"], View(tables)).value
    assert (median.value, median.marks) == (60.0, ("immature",))  # 55 % within the hour; of those redeemed 15 min
    slow = tables_of(df.assign(redeem_time=["15 min"] * 400 + ["open"] * 600))
    assert evaluate(REGISTRY["redemption_time"], View(slow)).value.value is None
    assert "immature" in evaluate(REGISTRY["redemption_rate"], View(tables)).value.marks
    done = tables_of(df.assign(redeem_time=["1 hour"] * 1000, coupon_30d="redeemed"))
    assert evaluate(REGISTRY["redemption_rate"], View(done)).value == Value(1.0, 1.0, 1.0)


def test_without_imported_users() -> None:
    df = people()
    real = df[df["imported"] == "no"]
    only: dict[str, Any] = {"exclude_import": True}
    assert figure("total_users", **only) == len(real)
    assert figure("imported_users", **only) == len(df) - len(real)
    assert figures("flow", **only) == figures("flow", tables=tables_of(real))
    assert figure("interactive", **only) == pytest.approx(figure("interactive", tables=tables_of(real)))
    assert figures("by_gender", **only)[""] is None  # that table is not by `imported`


def test_a_missing_column_is_no_figure_but_a_reason() -> None:
    few = tables_of(people(), columns=("visited_last",))
    for name in REGISTRY:
        for value in evaluate(REGISTRY[name], View(few)).values.values():
            assert value.value is not None or value.reason
    value = evaluate(REGISTRY["convertible"], View(few)).value
    assert value.value is None and "converted_30d" in value.reason
    assert figure("total_users", tables=few) == len(people())


def test_a_small_population_is_withheld_and_a_small_part_is_not() -> None:
    df = people().head(600).copy()
    df["converted_30d"] = ["yes"] * 5 + ["no"] * 395 + ["none"] * 200
    df["gender"] = "a"
    tables = tables_of(df, sigma=20, seed=1)
    assert tables.least == 195
    assert figures("convertible", tables=tables)[""] is not None
    assert figures("by_gender", tables=tables)["b"] is not None
    assert figures("relation_users", tables=tables_of(df.assign(live="no"), sigma=20, seed=1))["live"] is None
    tiny = tables_of(df.assign(converted_30d=["yes"] * 60 + ["none"] * 540), sigma=20, seed=1)
    value = evaluate(REGISTRY["convertible"], View(tiny)).value
    assert value.value is None and "fewer than" in value.reason


@pytest.mark.parametrize("name", ["total_users", "visitors", "interactive", "growing", "safe", "payers_share",
                                  "order_value", "cost_per_new_payer", "by_gender", "funnel_rates",
                                  "redeemed_within"])  # fmt: skip
def test_intervals_hold_the_exact_figure_95_times_in_100(name: str) -> None:
    truth = figures(name)
    label = list(truth)[len(truth) // 2]
    inside = []
    for seed in range(160):
        value = evaluate(REGISTRY[name], View(noised(seed), spent=SPENT)).values[label]
        if value.low is not None and value.high is not None:
            inside.append(value.low - 1e-9 <= (truth[label] or 0.0) <= value.high + 1e-9)
    assert len(inside) > 140
    assert np.mean(inside) >= 0.9  # 95 % but for 2.9 deviations of 160 draws


@cache
def noised(seed: int) -> Tables:
    """The same persons' board drawn anew: only its noise differs."""
    draw, tables = np.random.default_rng(seed), exact()
    counts = {
        name: each + np.rint(draw.normal(0, 20, each.shape)).astype(np.int64) for name, each in tables.counts.items()
    }
    sums = {name: round(each + draw.normal(0, 20 * 5_000)) for name, each in tables.sums.items()}
    return Tables(
        "users", DAY, tables.columns, counts, sums, dict.fromkeys(sums, 5_000), 20, 100, 195, "", "", "spring"
    )


def test_changes_cover_the_true_change_and_say_when_it_is_noise() -> None:
    later = people().sample(frac=0.9, random_state=3)
    new = tables_of(later)
    truth = figure("visitors", tables=new) / figure("visitors") - 1
    inside = []
    for seed in range(150):
        draw = np.random.default_rng(10_000 + seed)
        counts = {
            name: each + np.rint(draw.normal(0, 20, each.shape)).astype(np.int64) for name, each in new.counts.items()
        }
        after = Tables("users", DAY, new.columns, counts, {}, {}, 20, 100, 195, "", "", "spring")
        (change,) = compare.changes(REGISTRY["visitors"], View(after), View(noised(seed)))
        assert change.growth.low is not None and change.growth.high is not None
        inside.append(change.growth.low <= truth <= change.growth.high)
    assert np.mean(inside) >= 0.9
    (same,) = compare.changes(REGISTRY["visitors"], View(noised(1)), View(noised(2)))
    assert same.significant is False
    (kept,) = compare.changes(REGISTRY["safe"], View(exact()), View(exact()))
    assert (kept.difference.value, kept.growth.value) == (0.0, 0.0)


def test_trends_are_of_period_ends_and_mark_restated_days() -> None:
    days = [DAY - dt.timedelta(days=back) for back in range(20, -1, -1)]
    views = {day: View(exact()) for day in compare.period_ends(days, "week")}
    weekly = compare.trend(REGISTRY["visitors"], views, "week", days[-2:])
    assert [point.day.isoweekday() for point in weekly[:-1]] == [7] * (len(weekly) - 1)
    assert weekly[-1].day == DAY and weekly[-1].restated and not weekly[0].restated
    assert weekly[0].value.value == people()["visited_last"].isin(WITHIN[7]).sum()
    assert compare.then(DAY, days, 7) == DAY - dt.timedelta(days=7)
    assert compare.then(DAY, days[:-5], 2) == DAY - dt.timedelta(days=5)
    assert compare.then(DAY, days, 364) is None


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0, 5, 40]), st.booleans(), st.sampled_from([1, 7, 30, 90]))
def test_shares_are_shares_and_intervals_hold_their_figure(seed: int, sigma: int, alone: bool, window: int) -> None:
    tables = tables_of(persons(500, seed), sigma=sigma, seed=seed)
    for found in computed(View(tables, window, alone), REGISTRY):
        for value in found.values.values():
            if value.value is None:
                assert value.reason
                continue
            if found.metric.unit == "share":
                assert 0 <= value.value <= 1
            if value.low is not None and value.high is not None:
                assert value.low <= value.value <= value.high
            if not sigma:
                assert value.low == value.value == value.high


def test_boards_are_small() -> None:
    kinds = dict.fromkeys([*LABELS, "near_mall"], "category")
    full, _ = wanted(kinds)
    assert () in full and len(set(full)) == len(full) <= MOST_TABLES and ("near_mall",) in full
    assert all(list(table) == sorted(table) for table in full)
    assert len(daily(kinds)[0]) <= MOST_DAILY
    assert wanted({"net_paid_30d": "amount", "phone": "identity"}) == (((),), ("net_paid_30d",))


def test_a_share_knows_that_its_parts_have_noise_in_common() -> None:
    part, rest = Linear(900.0, {("a",): np.array([20.0, 0.0])}), Linear(100.0, {("a",): np.array([0.0, 20.0])})
    together = linear.ratio(part, part + rest)
    apart = linear.ratio(part, Linear(1000.0, {("b",): np.array([20.0, 20.0])}))
    assert together.high is not None and together.low is not None and apart.high is not None and apart.low is not None
    assert together.high - together.low < (apart.high - apart.low) / 1.5
