"""Amounts, numbers, dates, truth values and categories against judges in plain Python."""

import datetime
from decimal import ROUND_HALF_UP, Context, Decimal

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.values import (
    LIMIT,
    parse_amount,
    parse_bool,
    parse_category,
    parse_date,
    parse_number,
    parse_time,
    unparsed,
)

CONTEXT = Context(prec=60)
UNITS = {"": 1, "万": 10**4, "亿": 10**8}
FULL = str.maketrans("0123456789.,()+-", "０１２３４５６７８９．，（）＋－")


@st.composite
def amounts(draw: st.DrawFn) -> tuple[str, Decimal]:
    """A text as exports write amounts, and what it means."""
    whole = draw(st.integers(0, 10**17))
    part = draw(st.text("0123456789", max_size=6))
    unit, negative = draw(st.sampled_from(list(UNITS))), draw(st.booleans())
    digits = f"{whole:,}" if draw(st.booleans()) else str(whole)
    text = digits + ("." + part if part else "") + unit
    text = draw(st.sampled_from(["", "¥", "￥", "$", "CNY", "hk$"])) + text + draw(st.sampled_from(["", "元", " rmb"]))
    if negative:
        text = draw(st.sampled_from(["-{}", "({})", "−{}", "－{}"])).format(text)
    text = text.translate(FULL) if draw(st.booleans()) else text
    value = Decimal(f"{whole}.{part or 0}") * UNITS[unit]
    return draw(st.sampled_from(["{}", " {} ", "\u200b{}\t"])).format(text), -value if negative else value


@given(st.lists(amounts(), min_size=5, max_size=20), st.integers(0, 3))
@settings(max_examples=25, deadline=None)
def test_amounts_as_decimal_says(rows: list[tuple[str, Decimal]], scale: int) -> None:
    exact = [int((value * 10**scale).quantize(Decimal(1), ROUND_HALF_UP, CONTEXT)) for _, value in rows]
    column = pa.array([text for text, _ in rows], pa.string())
    found = parse_amount(column, scale)
    assert found.to_pylist() == [minor if abs(minor) <= LIMIT else None for minor in exact]
    assert unparsed(column, found).tolist() == [abs(minor) > LIMIT for minor in exact]


@given(st.lists(st.floats(-1e12, 1e12), max_size=30))
@settings(max_examples=25, deadline=None)
def test_amounts_that_come_as_floats_count_as_their_shortest_text(values: list[float]) -> None:
    def judge(value: float) -> int:
        return int((Decimal(repr(value)) * 100).quantize(Decimal(1), ROUND_HALF_UP))

    assert parse_amount(pa.array(values, pa.float64())).to_pylist() == [judge(value) for value in values]


@given(st.lists(st.one_of(st.none(), st.decimals(-(10**9), 10**9, places=2)), max_size=20))
@settings(max_examples=25, deadline=None)
def test_amounts_that_come_as_decimals_or_integers(values: list[Decimal | None]) -> None:
    wanted = [None if value is None else int(value * 100) for value in values]
    assert parse_amount(pa.array(values, pa.decimal128(20, 2))).to_pylist() == wanted
    whole = [None if value is None else int(value) for value in values]
    assert parse_amount(pa.array(whole, pa.int64())).to_pylist() == [v if v is None else v * 100 for v in whole]


@pytest.mark.parametrize(
    "text",
    [
        *("abc", "1.2.3", "1,23", "1.234,56", "12,34,567", "1-2", "--1", "(-1)", "(1", "1)", "¥", "万", ".", "-"),
        "1e5",
        "5%",
    ],
)
def test_what_is_no_amount_is_null_and_counted(text: str) -> None:
    column = pa.array([text])
    found = parse_amount(column)
    assert found.to_pylist() == [None]
    assert unparsed(column, found).tolist() == [text != "-"]  # a dash is how people write nothing


def test_the_edge_of_what_an_amount_can_be() -> None:
    texts = ["46116860184273879.04", "46116860184273879.05", "-46116860184273879.04", "9" * 40, "0" * 40 + "7"]
    assert parse_amount(pa.array(texts)).to_pylist() == [LIMIT, None, -LIMIT, None, 700]
    assert parse_amount(pa.array([2**62, 2**61, None])).to_pylist() == [None, None, None]
    assert parse_amount(pa.array([float("nan"), float("inf"), 1e300, 1e-9])).to_pylist() == [None, None, None, 0]


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=12), st.text("0123456789.,¥万亿元()-+ ", max_size=12)), max_size=30)
)
@settings(max_examples=12, deadline=None)
def test_arbitrary_texts_parse_or_become_null(values: list[str | None]) -> None:
    column = pa.array(values, pa.string())
    middle = len(values) // 2
    for parse in (parse_amount, parse_number, parse_date, parse_time, parse_bool, parse_category):
        whole = parse(column)
        assert len(whole) == len(values)
        assert whole.to_pylist() == parse(column[:middle]).to_pylist() + parse(column[middle:]).to_pylist()
        assert not unparsed(column, whole)[[value is None or not value.strip() for value in values]].any()


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
@settings(max_examples=25, deadline=None)
def test_numbers_as_python_reads_them(values: list[float]) -> None:
    assert parse_number(pa.array([repr(value) for value in values], pa.string())).to_pylist() == values


def test_numbers_as_people_write_them() -> None:
    texts = ["1,234.5", "（３）", "1.2万", "2亿", "¥7", "1e400", "x", ""]
    assert parse_number(pa.array(texts)).to_pylist() == [1234.5, -3.0, 12_000.0, 2e8, 7.0, None, None, None]


DAYS = st.dates(datetime.date(1900, 1, 1), datetime.date(2199, 12, 31))
WAYS = (
    "{0:04}-{1:02}-{2:02}",
    "{0}/{1}/{2}",
    "{0}.{1}.{2}",
    "{0}年{1}月{2}日",
    "{0:04}{1:02}{2:02}",
    "{0}年{1:02}月{2}",
)


@given(st.lists(st.tuples(DAYS, st.sampled_from(WAYS), st.times(), st.sampled_from(["", " {}", "T{}"])), max_size=20))
@settings(max_examples=25, deadline=None)
def test_dates_as_they_are_written(rows: list[tuple[datetime.date, str, datetime.time, str]]) -> None:
    def text(day: datetime.date, way: str, time: datetime.time, suffix: str) -> str:
        clock = suffix.format(time.isoformat()) if way in WAYS[:3] else ""
        return way.format(day.year, day.month, day.day) + clock

    assert parse_date(pa.array([text(*row) for row in rows], pa.string())).to_pylist() == [row[0] for row in rows]


@given(
    st.lists(st.datetimes(datetime.datetime(1901, 1, 1), datetime.datetime(2199, 1, 1)), max_size=20),
    st.integers(-12, 14),
)
@settings(max_examples=30, deadline=None)
def test_times_with_a_zone_fall_on_the_day_in_shanghai(moments: list[datetime.datetime], hours: int) -> None:
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    shanghai = datetime.timezone(datetime.timedelta(hours=8))
    there = [moment.replace(tzinfo=zone) for moment in moments]
    texts = pa.array([moment.isoformat() for moment in there], pa.string())
    assert parse_date(texts).to_pylist() == [moment.astimezone(shanghai).date() for moment in there]
    assert parse_time(texts).to_pylist() == there
    typed = pa.array(there, pa.timestamp("us", "UTC"))
    assert parse_date(typed).to_pylist() == parse_date(texts).to_pylist()


@given(st.lists(st.datetimes(datetime.datetime(1901, 1, 1), datetime.datetime(2199, 1, 1)), max_size=20))
@settings(max_examples=25, deadline=None)
def test_times_without_a_zone_are_utc_and_dates_as_written(moments: list[datetime.datetime]) -> None:
    texts = pa.array([moment.isoformat(" ", "seconds") for moment in moments], pa.string())
    whole = [moment.replace(microsecond=0) for moment in moments]
    assert parse_time(texts).to_pylist() == [moment.replace(tzinfo=datetime.UTC) for moment in whole]
    assert parse_date(texts).to_pylist() == [moment.date() for moment in whole]
    for unit in ("s", "ms", "us", "ns"):
        assert parse_date(pa.array(whole, pa.timestamp(unit))).to_pylist() == [moment.date() for moment in whole]


@given(st.integers(10_000, 73_050))
@settings(max_examples=30, deadline=None)
def test_excel_serial_days(serial: int) -> None:
    wanted = datetime.date(1899, 12, 30) + datetime.timedelta(days=serial)
    texts = pa.array([str(serial), f"{serial}.75", f"{serial}.0"])
    assert parse_date(texts).to_pylist() == [wanted] * 3
    assert parse_date(pa.array([serial])).to_pylist() == [wanted]
    assert parse_date(pa.array([serial + 0.5, float(serial)])).to_pylist() == [wanted] * 2


def test_seconds_since_1970_and_other_forms() -> None:
    texts = [
        "1704153600",
        "1704153600000",
        "20240102030405",
        "20240101T200000Z",
        "2024年1月2日 13时5分6秒",
        "2024-1-2 3:04",
    ]
    assert parse_date(pa.array(texts)).to_pylist() == [datetime.date(2024, 1, 2)] * 6
    assert parse_date(pa.array([datetime.date(2024, 1, 2), None])).to_pylist() == [datetime.date(2024, 1, 2), None]


@pytest.mark.parametrize(
    "text",
    [
        *("2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "0000-00-00", "01/02/2024", "24-1-2"),
        *(
            "2024-01-02 25:00:00",
            "2024-01-02 10:60:00",
            "2024-01-02 10:00:00+99:00",
            "1899-12-31",
            "2200-01-01",
            "soon",
        ),
    ],
)
def test_what_is_no_date_is_null_and_counted(text: str) -> None:
    column = pa.array([text])
    assert parse_date(column).to_pylist() == [None]
    assert unparsed(column, parse_date(column)).tolist() == [True]


def test_a_hostile_timestamp_becomes_null() -> None:
    wild = pa.array(np.array([2**62, -(2**62), 0]), pa.timestamp("s"))
    assert parse_date(wild).to_pylist() == [None, None, datetime.date(1970, 1, 1)]


def test_truth_and_categories() -> None:
    assert parse_bool(pa.array(["是", "YES", " 同意 ", "１", "否", "no", "0", "maybe", "", None])).to_pylist() == [
        *(True, True, True, True, False, False, False, None, None, None)
    ]
    assert parse_bool(pa.array([True, False, None])).to_pylist() == [True, False, None]
    assert parse_category(pa.array([" 上海 ", "ＶＩＰ　", "", " ", None])).to_pylist() == [
        "上海",
        "VIP",
        None,
        None,
        None,
    ]
    assert parse_category(pa.array([3.0, 2.5, None])).to_pylist() == ["3", "2.5", None]
    assert parse_category(pa.chunked_array([pa.array(["a"]), pa.array(["b"])])).to_pylist() == ["a", "b"]


@given(st.lists(st.text(max_size=10), max_size=20))
@settings(max_examples=25, deadline=None)
def test_categories_as_the_judge_says(values: list[str]) -> None:
    table = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}

    def judge(text: str) -> str | None:
        return pa.compute.utf8_trim_whitespace(pa.scalar(text.translate(table))).as_py() or None

    assert parse_category(pa.array(values, pa.string())).to_pylist() == [judge(value) for value in values]
