"""CSV for people: opens as UTF-8, runs nothing, loses no number (attack F1)."""

import csv
import datetime
import decimal
import io

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.targets import MARK, write_csv


def written(table: pa.Table) -> list[list[str]]:
    handle = io.BytesIO()
    assert write_csv(handle, table.to_batches(), table.schema) == table.num_rows
    assert handle.getvalue().startswith(MARK)
    return list(csv.reader(io.StringIO(handle.getvalue()[len(MARK) :].decode(), newline="")))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1+1", "'+1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-1+1", "'-1+1"),
        ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        (" =1", "' =1"),
        ("\u3000=1", "'\u3000=1"),
        ("\ufeff=1", "'\ufeff=1"),
        ("\uff1d1", "'\uff1d1"),
        ("-", "'-"),
        ("+8613800138000", "'+8613800138000"),
        ("+86 138-0013-8000", "'+86 138-0013-8000"),
        ("13800138000", "13800138000"),
        ("013800138000", "013800138000"),
        ("-12.5", "-12.5"),
        ("-1,234.50", "-1,234.50"),
        ("-2e5", "-2e5"),
        ("a=b", "a=b"),
        ('"=1', '"=1'),
        ('金卡,"x"\ny', '金卡,"x"\ny'),
        ("", ""),
    ],
)
def test_cells(cell: str, expected: str) -> None:
    assert written(pa.table({cell + "x": [cell], "b": ["z"]}))[1] == [expected, "z"]


@given(st.text(min_size=1, max_size=8))
def test_no_cell_begins_as_a_formula(cell: str) -> None:
    cell = cell.replace("\0", "")
    (header, row) = written(pa.table({f"={cell}": [cell], "b": ["z"]}))
    assert header[0].startswith("'=")
    out = row[0].lstrip(" \u3000\xa0\u200b\ufeff\t\r\n\v\f")
    assert not out.startswith(tuple("=+@＝＋＠")) and (not out.startswith("-") or out[1:2].isdigit())
    assert row[0].removeprefix("'") == cell or row[0] == cell


def test_numbers_days_and_nulls_survive() -> None:
    table = pa.table(
        {
            "n": [-5, None],
            "f": [-1.5, 2.0],
            "d": pa.array([decimal.Decimal("-1.50"), None]),
            "day": [datetime.date(2024, 1, 2), None],
            "cat": pa.array(["=x", None]).dictionary_encode(),
            "ok": [True, False],
        }
    )
    assert written(table) == [
        ["n", "f", "d", "day", "cat", "ok"],
        ["-5", "-1.5", "-1.50", "2024-01-02", "'=x", "true"],
        ["", "2", "", "", "", "false"],
    ]


def test_an_empty_table_has_its_header() -> None:
    assert written(pa.table({"a": pa.array([], pa.string()), "=b": pa.array([], pa.int64())})) == [["a", "'=b"]]
    handle = io.BytesIO()
    assert write_csv(handle, []) == 0 and handle.getvalue() == MARK
