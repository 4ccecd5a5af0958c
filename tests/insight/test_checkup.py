"""The checkup against a plain count by hand, against known data, and against files that cannot be checked."""

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom import lang
from cleanroom.demo.people import Ints
from cleanroom.demo.purchases import Bought, deal
from cleanroom.errors import BadData, UsageError
from cleanroom.insight import story
from cleanroom.insight.checkup import Checkup, checkup
from cleanroom.insight.rfm import NAMES
from cleanroom.report.page import render
from connectors.errors import InputError
from connectors.memory import ArrowSource

START = date(2025, 1, 1)
AS_OF = date(2025, 12, 31)
Rows = list[tuple[int, int, int]]


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    lang.choose("en")
    yield
    lang.choose("en")


def _orders(rows: Rows) -> ArrowSource:
    return ArrowSource(
        "orders",
        pa.table(
            {
                "客户编号": pa.array([f"C{customer}" for customer, _, _ in rows], pa.string()),
                "下单日期": pa.array([str(START + timedelta(days=day)) for _, day, _ in rows], pa.string()),
                "实付金额": pa.array([f"{cents / 100:.2f}" for _, _, cents in rows], pa.string()),
            }
        ),
    )


rows_of_orders = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 360), st.integers(-500, 100_000)), min_size=1, max_size=60
).filter(lambda rows: any(cents > 0 for _, _, cents in rows))


def _days(rows: Rows) -> dict[int, list[int]]:
    """Paying customer → the days with a payment, in order."""
    days: dict[int, set[int]] = defaultdict(set)
    for customer, day, cents in rows:
        if cents > 0:
            days[customer].add(day)
    return {customer: sorted(found) for customer, found in days.items()}


def _classes(days: dict[int, list[int]], money: dict[int, int]) -> Counter[str]:
    people = list(days)

    def high(values: list[int]) -> list[bool]:
        scores = [1 + 5 * sum(other < value for other in values) // len(values) for value in values]
        return [score * len(scores) > sum(scores) for score in scores]

    letters = [
        high([days[p][-1] for p in people]),
        high([len(days[p]) for p in people]),
        high([money[p] for p in people]),
    ]
    return Counter("".join("H" if flag else "L" for flag in flags) for flags in zip(*letters, strict=True))


@settings(max_examples=12, deadline=None)
@given(rows_of_orders)
def test_every_exact_figure_is_what_a_count_by_hand_gives(rows: Rows) -> None:
    found = checkup(_orders(rows), AS_OF)
    days = _days(rows)
    money = {person: sum(cents for customer, _, cents in rows if customer == person) for person in days}
    assert found.customers == len({customer for customer, _, _ in rows})
    assert found.payers == len(days)
    assert found.money == sum(money.values())
    assert found.repeat is not None
    assert found.repeat.repeaters == sum(len(bought) >= 2 for bought in days.values())
    assert {item.key: item.people for item in found.classes if item.people} == dict(_classes(days, money))
    assert sum(found.recency) == found.payers
    away = {person: 364 - bought[-1] for person, bought in days.items()}
    assert found.recency[0] == sum(gone <= 30 for gone in away.values())
    _check_lapsed(found, days, away)
    _check_cohorts(found, days)
    if sum(money.values()) > 0:
        assert found.concentration is not None
        top = sorted(money.values(), reverse=True)[: math.ceil(len(money) / 10)]
        assert found.concentration[10] == pytest.approx(sum(top) / sum(money.values()))


def _check_lapsed(found: Checkup, days: dict[int, list[int]], away: dict[int, int]) -> None:
    gaps = sorted(b - a for bought in days.values() for a, b in pairwise(bought))
    if not gaps:
        assert found.lapsed is None
        return
    assert found.lapsed is not None
    assert found.lapsed.usual_gap == gaps[math.ceil(len(gaps) * 0.5) - 1]
    assert found.lapsed.limit == gaps[math.ceil(len(gaps) * 0.9) - 1]
    lapsed = 0
    for person, bought in days.items():
        own = [b - a for a, b in pairwise(bought)]
        limit = max(2 * mean(own), found.lapsed.usual_gap) if len(bought) >= 3 else found.lapsed.limit
        lapsed += away[person] > limit + 1e-9
    assert found.lapsed.lapsed == lapsed


def _check_cohorts(found: Checkup, days: dict[int, list[int]]) -> None:
    expected: dict[tuple[date, int], set[int]] = defaultdict(set)
    for person, bought in days.items():
        dates = [START + timedelta(days=day) for day in bought]
        for day in dates:
            expected[dates[0].replace(day=1), day.month - dates[0].month].add(person)
    for cohort in found.cohorts:
        assert cohort.people == len(expected[cohort.month, 0])
        assert cohort.again == tuple(len(expected[cohort.month, later]) for later in range(1, 13 - cohort.month.month))
    assert sum(month.first_time for month in found.months) == found.payers


def _table(bought: Bought, days: Ints) -> ArrowSource:
    day = pa.array(days.astype("int32")).cast(pa.date32())
    amount = pa.array(bought.cents / 100).cast(pa.string())
    return ArrowSource("cdnow", pa.table({"customer id": bought.person, "date": day, "amount": amount}))


@pytest.fixture(scope="module")
def cdnow() -> Checkup:
    bought = deal(23_570, date(1998, 6, 30))
    return checkup(_table(bought, bought.day))


def test_known_purchases_give_known_figures(cdnow: Checkup) -> None:
    assert (cdnow.rows, cdnow.used, cdnow.customers, cdnow.payers) == (69_659, 69_659, 23_570, 23_502)
    assert cdnow.as_of == date(1998, 6, 30)
    assert cdnow.money == 250_031_563 * 7
    assert [cohort.people for cohort in cdnow.cohorts] == [7814, 8455, 7231, 2]
    assert cdnow.missing == ()


def test_the_backtest_tells_of_a_half_that_the_model_has_not_seen(cdnow: Checkup) -> None:
    assert cdnow.forecast is not None
    test = cdnow.forecast.backtest
    assert (test.cut, test.days, test.people) == (date(1997, 9, 30), 273, 23_500)
    assert test.actual == sum(decile.actual for decile in test.deciles) == 19_674
    assert test.predicted == pytest.approx(sum(decile.predicted for decile in test.deciles))
    assert abs(test.bias) < 0.2
    assert test.beats_naive
    assert [decile.predicted for decile in test.deciles] == sorted((d.predicted for d in test.deciles), reverse=True)
    after = [week for week in test.weeks if week.low is not None]
    assert len(after) == 39
    assert sum(week.actual for week in after) == 19_674
    assert test.weeks_inside == sum(w.low <= w.actual <= w.high for w in after if w.low is not None and w.high) / 39  # type: ignore[operator]


def test_the_backtest_has_not_seen_the_second_half() -> None:
    """Where the future changes (all purchases after the cut fall into half the time), the past's forecast stays."""
    bought = deal(6_000, date(1998, 6, 30))
    cut = (date(1997, 9, 30) - date(1970, 1, 1)).days
    moved = np.where(bought.day > cut, cut + 1 + (bought.day - cut - 1) // 2, bought.day)
    tests = [checkup(_table(bought, days), date(1998, 6, 30)).forecast for days in (bought.day, moved)]
    assert tests[0] is not None
    assert tests[1] is not None
    assert tests[0].backtest.predicted == pytest.approx(tests[1].backtest.predicted, rel=1e-9)
    assert tests[0].backtest.actual != tests[1].backtest.actual


def test_classes_forecasts_add_up(cdnow: Checkup) -> None:
    assert cdnow.forecast is not None
    assert [item.key for item in cdnow.forecast.classes] == list(NAMES)
    assert sum(item.people for item in cdnow.forecast.classes) == cdnow.payers
    assert sum(item.purchases for item in cdnow.forecast.classes) == pytest.approx(cdnow.forecast.purchases)
    assert all(item.buyers <= item.people for item in cdnow.forecast.classes)


def test_the_findings_are_json_and_hold_no_customer(cdnow: Checkup) -> None:
    plain = json.loads(json.dumps(cdnow.to_json()))
    assert plain["format"] == "cleanroom-checkup/1"
    assert plain["as_of"] == "1998-06-30"
    assert plain["forecast"]["backtest"]["beats_naive"] is True


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_report_is_complete_in_both_languages(cdnow: Checkup, language: str) -> None:
    lang.choose(language)
    title, below = story.title(cdnow)
    html = render(title, story.render(cdnow), subtitle=below)
    for key in NAMES.values():
        assert lang.t(key) in html
    assert ("重要价值客户" in html) == (language == "zh")
    assert ("At a glance" in html) == (language == "en")
    assert html.count("<svg") == 7


def test_the_report_warns_where_the_model_was_no_better(cdnow: Checkup) -> None:
    worse, test = story._verdict, cdnow.forecast
    assert test is not None
    assert worse(replace(test.backtest, naive=test.backtest.actual, naive_error=0.0)).kind == "warning"
    assert worse(replace(test.backtest, predicted=float(test.backtest.actual), weeks_inside=0.9)).kind == "info"


MEMBERS = {
    "手机号": ["13800138000", "138 0013 8001", "13800138000", "138****8002", "13800138003", "13800138004"],
    "累计消费": ["¥1,000.00", "0.5万", "900", "5", "300", "0"],
    "消费次数": ["4", "3", "3", "1", "1", "0"],
    "首次消费日期": ["2025-01-01", "2025-01-01", "2025-01-01", "2025-01-01", "2025-06-01", ""],
    "最近消费日期": ["2025-12-01", "2025年3月1日", "2025-11-01", "2025-01-01", "2025/6/1", "2025-01-01"],
}


def test_a_member_export_gives_what_it_can_and_says_what_it_cannot() -> None:
    found = checkup(ArrowSource("members", pa.table(MEMBERS)), AS_OF)
    assert found.grain == "members"
    assert found.losses["masked"] == 1
    assert (found.customers, found.payers) == (4, 3)
    assert found.money == 100_000 + 500_000 + 30_000, "the later state of the person that stands there twice"
    assert found.repeat is not None
    assert found.repeat.repeaters == 2
    assert found.forecast is None
    assert any("no forecast" in text for text in found.missing)
    assert "none is given" in render("t", story.render(found))


def test_a_member_export_without_counts_has_no_classes() -> None:
    table = pa.table({name: values for name, values in MEMBERS.items() if name in ("手机号", "最近消费日期")})
    found = checkup(ArrowSource("members", table), AS_OF)
    assert (found.classes, found.repeat, found.money, found.lapsed, found.concentration) == ((), None, None, None, None)
    assert len(found.missing) == 4
    assert render("t", story.render(found)).count('class="note') == 5


def test_purchases_after_the_day_are_left_out_and_counted() -> None:
    found = checkup(_orders([(1, 0, 100), (1, 10, 100), (2, 300, 100)]), START + timedelta(days=20))
    assert found.losses["after the report's day"] == 1
    assert (found.used, found.payers) == (2, 1)
    assert found.as_of == START + timedelta(days=20)


def test_rows_without_a_date_or_an_amount_are_counted() -> None:
    table = pa.table({"会员号": ["1", "2", "3", ""], "日期": ["2025-01-01", "", "2025-01-02", "2025-01-03"],
                      "金额": ["5", "5", "abc", "5"]})  # fmt: skip
    found = checkup(ArrowSource("few", table), AS_OF)
    assert found.used == 1
    assert {name: count for name, count in found.losses.items() if count} == {
        "missing": 1,
        "no date": 1,
        "no amount": 1,
    }


def test_files_that_cannot_be_checked_are_refused_by_name_never_by_value(tmp_path: Path) -> None:
    secret = "secret-value"
    with pytest.raises(UsageError, match="customer"):
        checkup(ArrowSource("t", pa.table({"日期": ["2025-01-01"], "金额": ["1"]})))
    with pytest.raises(UsageError, match="day of the purchase"):
        checkup(ArrowSource("t", pa.table({"手机号": ["13800138000"], "金额": ["1"]})))
    with pytest.raises(BadData) as caught:
        checkup(ArrowSource("t", pa.table({"会员号": ["1"], "日期": [secret], "金额": [secret]})))
    assert secret not in str(caught.value)
    with pytest.raises(BadData, match="paid"):
        checkup(ArrowSource("t", pa.table({"会员号": ["1"], "日期": ["2025-01-01"], "金额": ["0"]})))
    with pytest.raises(UsageError, match="no rows"):
        checkup(ArrowSource("t", pa.table({"会员号": pa.array([], pa.string())})))
    with pytest.raises(UsageError, match="0 days"):
        checkup(_orders([(1, 0, 1)]), days=0)
    with pytest.raises(InputError):
        checkup(str(tmp_path / "none.csv"))


def test_the_customer_column_can_be_chosen() -> None:
    table = pa.table(
        {"会员号": ["1", "1"], "门店": ["a", "b"], "日期": ["2025-01-01", "2025-01-02"], "金额": ["1", "1"]}
    )
    assert checkup(ArrowSource("t", table)).customers == 1
    assert checkup(ArrowSource("t", table), on="门店").customers == 2
