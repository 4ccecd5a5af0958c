"""`checkup` as one call: figures and a page, or a named error and no file."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanroom import lang
from cleanroom.errors import BadData, UsageError
from cleanroom.insight.run import run_checkup
from connectors.errors import InputError

ORDERS = "客户编号,下单日期,实付金额\nC1,2026-01-05,10.00\nC1,2026-03-05,20.00\nC2,2026-02-01,5.50\n"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    lang.choose("en")
    yield
    lang.choose("en")


def _orders(folder: Path, text: str = ORDERS) -> str:
    (folder / "orders.csv").write_text(text, "utf-8")
    return str(folder / "orders.csv")


def test_the_figures_are_told_and_stand_in_the_page(tmp_path: Path) -> None:
    told = run_checkup(_orders(tmp_path), "2026-03-31", None, tmp_path / "out.html")
    assert (told["payers"], told["money"], told["as_of"]) == (2, 3550, "2026-03-31")
    assert told["report"] == str(tmp_path / "out.html")
    assert json.loads(json.dumps(told)) == told
    page = re.sub(r"<style>.*?</style>", "", (tmp_path / "out.html").read_text("utf-8"), flags=re.S)
    assert "Customer checkup" in page
    assert "36" in page, "net money, rounded"
    assert "C1" not in page, "no customer is named"


def test_the_page_goes_beside_the_caller_by_default_and_speaks_its_language(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lang.choose("zh")
    told = run_checkup(_orders(tmp_path), None, None, None)
    assert told["report"] == str(tmp_path / "orders-checkup.html")
    page = (tmp_path / "orders-checkup.html").read_text("utf-8")
    assert "客户体检报告" in page
    assert "font-src data:" in page


@pytest.mark.parametrize(
    "text",
    ["", "a,b\n1,2\n", "客户编号,下单日期,实付金额\n", "客户编号,下单日期,实付金额\nC1,never,10\n"],
    ids=["empty", "unknown columns", "no rows", "no dates"],
)
def test_a_file_that_cannot_be_checked_leaves_no_page(tmp_path: Path, text: str) -> None:
    file = _orders(tmp_path, text)
    with pytest.raises((InputError, BadData, UsageError)):
        run_checkup(file, None, None, tmp_path / "out.html")
    assert [path.name for path in tmp_path.iterdir()] == ["orders.csv"]


def test_a_senseless_day_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises((UsageError, InputError)):
        run_checkup(_orders(tmp_path), "yesterday", None, tmp_path / "out.html")
    assert not (tmp_path / "out.html").exists()
