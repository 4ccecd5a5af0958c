"""Spreadsheets as people keep them, and as attackers make them."""

import datetime
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import openpyxl
import pytest
from conformance import MARK, Make, SourceConformance, numbers_of, refusal, rows_of
from xls_writer import write_xls

from connectors.files import sheet
from connectors.files import workbook as files
from connectors.open import open_source
from connectors.source import Rejected, Source

Cells = Sequence[Sequence[object]]


def workbook(path: Path, sheets: dict[str, Cells], merged: Sequence[str] = (), hidden: Sequence[str] = ()) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(list(row))
        page.sheet_state = "hidden" if name in hidden else "visible"
    for cells in merged:
        book.worksheets[0].merge_cells(cells)
    book.save(path)
    return path


@pytest.fixture
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workbooks are read in this process: hostile ones, and one that is not, are by the real one."""
    monkeypatch.setattr(files, "_read_apart", sheet.read)


@pytest.mark.usefixtures("near")
class TestXlsx(SourceConformance):
    first = 2
    many = 5_000  # the writer is slow

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def make(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Source:
            book = openpyxl.Workbook(write_only=True)
            page = book.create_sheet("会员")
            for row in (header, *rows):
                page.append(list(row))
            book.save(tmp_path / "a.xlsx")
            return open_source(str(tmp_path / "a.xlsx"))

        return make


@pytest.mark.usefixtures("near")
class TestXls(SourceConformance):
    first = 2
    many = 1_500  # the writer here has one sector for its allocation table

    @pytest.fixture
    def make(self, tmp_path: Path) -> Make:
        def make(header: Sequence[str], rows: Sequence[Sequence[str | None]]) -> Source:
            write_xls(tmp_path / "a.xls", [header, *rows])
            return open_source(str(tmp_path / "a.xls"))

        return make


def test_an_export_for_people(tmp_path: Path) -> None:
    """Title rows, headers over two rows, blank rows, totals in the middle and at the end, a note at the foot."""
    rows: Cells = [
        ["会员消费明细表", None, None, None, None],
        ["导出时间", "2024-06-01", None, None, None],
        ["手机号", "消费", None, "最近消费时间", "会员等级"],
        [None, "金额(元)", "次数", None, None],
        [13800138000, "¥1,234.50", 3, datetime.date(2024, 1, 2), "金卡"],
        [13800138001.0, 12.5, 3, datetime.datetime(2024, 1, 2, 3, 4, 5), None],
        ["小计", 1246.5, 6, None, None],
        [None] * 5,
        ["013800138002", "1.2万", True, datetime.time(3, 4), "银卡"],
        [13912345678, None, None, None, None],
        ["合计:", 9, 9, None, None],
        [None] * 5,
        ["注:数据截至昨日", None, None, None, None],
    ]
    merged = ["A1:E1", "A3:A4", "B3:C3", "D3:D4", "E3:E4"]
    source = open_source(str(workbook(tmp_path / "a.xlsx", {"六月": rows}, merged)))
    assert source.schema.names == ["手机号", "消费 金额(元)", "消费 次数", "最近消费时间", "会员等级"]
    assert rows_of(source) == [
        ("13800138000", "¥1,234.50", "3", "2024-01-02", "金卡"),
        ("13800138001", "12.5", "3", "2024-01-02 03:04:05", None),
        ("013800138002", "1.2万", "true", "03:04:00", "银卡"),
        ("13912345678", None, None, None, None),
    ]
    assert numbers_of(source) == [5, 6, 9, 10]
    assert list(source.rejected) == [Rejected(7, "total"), Rejected(11, "total"), Rejected(13, "note")]


@pytest.mark.usefixtures("near")
def test_groups_of_headers_above_known_ones(tmp_path: Path) -> None:
    rows: Cells = [
        ["基本信息", None, "消费信息", None],
        ["手机号", "会员等级", "累计消费", "订单数"],
        ["13800138000", "金卡", 5, 1],
    ]
    source = open_source(str(workbook(tmp_path / "a.xlsx", {"s": rows}, ["A1:B1", "C1:D1"])))
    assert source.schema.names == ["手机号", "会员等级", "累计消费", "订单数"]
    assert numbers_of(source) == [3]


@pytest.mark.usefixtures("near")
def test_numbers_never_have_exponents(tmp_path: Path) -> None:
    numbers = [13800138000, 13800138000.0, 1e15, 0.00001, 1.5e-7, -3, 123456789.25, 2**60]
    source = open_source(str(workbook(tmp_path / "a.xlsx", {"s": [["n", "m"], *([n, "x"] for n in numbers)]})))
    texts = [row[0] for row in rows_of(source)]
    assert texts[:4] == ["13800138000", "13800138000", "1000000000000000", "0.00001"]
    assert all("E" not in str(text).upper() for text in texts)
    assert [float(str(text)) for text in texts] == [float(number) for number in numbers]


@pytest.mark.usefixtures("near")
def test_the_largest_visible_sheet_is_read_and_others_can_be_named(tmp_path: Path) -> None:
    small, large = [["手机", "城市"], ["1", "a"]], [["手机", "城市"], ["2", "b"], ["3", "c"]]
    sheets: dict[str, Cells] = {"说明": [["只是说明"]], "小": small, "大": large, "藏": [*large, *large], "空": []}
    path = workbook(tmp_path / "a.xlsx", sheets, hidden=["藏"])
    source = open_source(str(path))
    assert rows_of(source) == [("2", "b"), ("3", "c")]
    assert {"sheet": "大", "count": 4} in [params for _, params in source.notes]
    assert rows_of(open_source(str(path), sheet="小")) == [("1", "a")]
    assert sheet.read(path, "藏").num_rows == 5
    assert "大" in str(refusal(lambda: sheet.read(path, "无")))
    refusal(lambda: sheet.read(path, "空"))


@pytest.mark.usefixtures("near")
def test_a_table_that_begins_further_in(tmp_path: Path) -> None:
    rows: Cells = [
        [],
        [],
        [None, None, "手机", "城市"],
        [None, None, "1", "a"],
        [None, None, None, None],
        [None, None, "2"],
    ]
    source = open_source(str(workbook(tmp_path / "a.xlsx", {"s": rows})))
    assert source.schema.names == ["手机", "城市"]
    assert (rows_of(source), numbers_of(source)) == ([("1", "a"), ("2", None)], [4, 6])


@pytest.mark.usefixtures("near")
def test_xls_numbers_and_totals(tmp_path: Path) -> None:
    write_xls(
        tmp_path / "a.xls", [["会员名单"], ["手机号", "金额", "城市"], [13800138000.0, 12.5, "上海"], ["合计", 12.5]]
    )
    source = open_source(str(tmp_path / "a.xls"))
    assert rows_of(source) == [("13800138000", "12.5", "上海")]
    assert list(source.rejected) == [Rejected(4, "total")]


def _packed(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in entries.items():
            archive.writestr(name, body)
    return content.getvalue()


def test_hostile_and_damaged_workbooks(tmp_path: Path) -> None:
    good = workbook(tmp_path / "good.xlsx", {"s": [["手机", "x"], [MARK, MARK]]}).read_bytes()
    sparse = openpyxl.Workbook()
    sparse.active["A1"], sparse.active["XFD1048576"] = MARK, MARK
    sparse.save(tmp_path / "sparse.xlsx")
    bomb = _packed({"xl/worksheets/sheet1.xml": b"<row/>" * 3_000_000})
    lie = bytearray(bomb)
    for place in (bomb.rindex(b"PK\x01\x02") + 24, 22):
        lie[place : place + 4] = (1000).to_bytes(4, "little")
    bad = {
        "bomb": bomb,
        "lie": bytes(lie),
        "sparse": (tmp_path / "sparse.xlsx").read_bytes(),
        "cut": good[: len(good) // 2],
        "flipped": good[:60] + bytes(64) + good[124:],
        "other": _packed({"a.txt": b"hello"}),
        "ole": bytes.fromhex("d0cf11e0a1b11ae1") + bytes(5000),
    }
    for name, content in bad.items():
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(content)
        assert path.stat().st_size < 2_000_000
        refusal(lambda path=path: rows_of(open_source(str(path))))


def test_a_workbook_with_a_header_only(tmp_path: Path) -> None:
    refusal(lambda: sheet.read(workbook(tmp_path / "a.xlsx", {"s": [["手机", "城市"], ["合计", 5]]}), None))
    refusal(lambda: sheet.read(workbook(tmp_path / "b.xlsx", {"s": []}), None))


def test_the_reading_process_answers_with_rows_or_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "a.xlsx", {"s": [["手机", "城市"], ["1", "a"]]})
    assert sheet.read(path, None).num_rows == 1
    monkeypatch.setattr(sheet, "_CELLS", 3)
    assert "too large" in refusal(lambda: sheet.read(path, None)).template
