"""A spreadsheet read in a process of its own, so that a hostile file can exhaust only that process.

Started by `workbook.py`: a request (JSON) on stdin; on stdout an Arrow stream whose schema carries the notes and the
rejected rows, or with exit code REFUSED an InputError as JSON. Nothing is written to disk, and stderr is not read.
"""

import datetime
import itertools
import json
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import python_calamine as calamine

from connectors.columns import MAX_COLUMNS, Note, distinct_names, int64
from connectors.errors import InputError
from connectors.headers import header_at, recognise
from connectors.source import BATCH_ROWS

REFUSED = 3
ROW = "\0row"  # a name that no header can have

_MEMORY = 3 << 30
_SECONDS = 300
_UNPACKED = 1 << 30
_RATIO, _SMALL = 200, 1 << 24
_CELLS = 30_000_000
_EXACT = 2.0**53
_TOP = 30
_TOTAL = (
    r"(?i)^\s*((本页|本月|总)?(合计|总计|小计|共计|总和|汇总)\s*([:\x{ff1a}].*)?"
    r"|(grand |sub[- ]?)?totals?\s*:?|sum\s*:?)\s*$"
)
_PROSE = r"[\p{Han}]|\S\s+\S"
_TOO_LARGE = ("{file} is too large a spreadsheet.", "Save the sheet as CSV and give that.")

Cell = str | float | bool | datetime.date | datetime.time | datetime.timedelta


@dataclass(frozen=True)
class Sheet:
    """One worksheet in memory: its cells, the ranges that are merged, and notes on how it was picked."""

    cells: calamine.CalamineSheet
    notes: list[Note]

    def rows(self) -> Iterator[list[Cell]]:
        """Rows from the sheet's first on, empty ones too; cells from its first column on."""
        pad: list[Cell] = [""] * (self.cells.start or (0, 0))[1]
        yield from (pad + row for row in self.cells.iter_rows())


def main() -> int:
    """Answer the one request on stdin."""
    _limit()
    request = json.load(sys.stdin)
    try:
        table = read(Path(request["path"]), request["sheet"])
    except InputError as error:
        sys.stdout.write(json.dumps([error.template, error.hint, error.params]))
        return REFUSED
    with pa.ipc.new_stream(sys.stdout.buffer, table.schema) as writer:
        writer.write_table(table, BATCH_ROWS)
    return 0


def read(path: Path, sheet: str | None) -> pa.Table:
    """The table in a workbook: ROW (int64) and one text column a header. Raises InputError."""
    check_archive(path)
    try:
        with calamine.CalamineWorkbook.from_path(str(path)) as workbook:
            return _table(path.name, _pick(path.name, workbook, sheet))
    except calamine.PasswordError:
        raise InputError(
            "{file} is protected by a password.", "Save it without one.", file=path.name
        ) from None  # fmt: skip
    except calamine.CalamineError:
        raise InputError(
            "{file} is not a workbook, or a damaged one.", "Open and save it again, or save it as CSV.", file=path.name
        ) from None


def check_archive(path: Path) -> None:
    """Raise InputError for a packed workbook that would unpack to more than is allowed, or does not verify."""
    if not zipfile.is_zipfile(path):
        return  # an XLS file is not packed
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            swollen = any(e.file_size > _SMALL and e.file_size > _RATIO * max(e.compress_size, 1) for e in entries)
            if swollen or sum(entry.file_size for entry in entries) > _UNPACKED:
                raise InputError(*_TOO_LARGE, file=path.name)
            # the sizes are claims; reading up to them against their checksums makes them true
            sound = archive.testzip() is None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError):
        sound = False
    if not sound:
        raise InputError(
            "{file} is not a workbook, or a damaged one.", "Open and save it again, or save it as CSV.", file=path.name
        )


def _limit() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pick(file: str, workbook: calamine.CalamineWorkbook, wanted: str | None) -> Sheet:
    """The sheet asked for, else the visible one with the largest table."""
    names = [
        meta.name
        for meta in workbook.sheets_metadata
        if meta.typ == calamine.SheetTypeEnum.WorkSheet
        and (meta.visible == calamine.SheetVisibleEnum.Visible or meta.name == wanted)
    ]
    if wanted is not None and wanted not in names:
        raise InputError(
            "{file} has no sheet {sheet}.", "Its sheets: {sheets}.",
            file=file, sheet=wanted, sheets=", ".join(names),
        )  # fmt: skip
    best, area = None, 0
    for name in names if wanted is None else [wanted]:
        sheet = workbook.get_sheet_by_name(name)
        if sheet.height * sheet.width > area:
            best, area = sheet, sheet.height * sheet.width
    if best is None:
        raise InputError("{file} is empty.", "Export it again with at least one row.", file=file)
    if area > _CELLS or best.total_width > MAX_COLUMNS:
        raise InputError(*_TOO_LARGE, file=file)
    notes: list[Note] = []
    if len(names) > 1 and wanted is None:
        largest = "Sheet {sheet} is read, the largest of {count}. To read another, save it as a file of its own."
        notes.append((largest, {"sheet": best.name, "count": len(names)}))
    return Sheet(best, notes)


def _table(file: str, sheet: Sheet) -> pa.Table:
    rows = sheet.rows()
    top = list(itertools.islice(rows, _TOP))
    header, first = _header(top, sheet.cells.merged_cell_ranges or [])
    names, renamed = distinct_names(header)
    parts = [
        [_texts(cells) for cells in zip(*part, strict=True)] for part in _parts(itertools.chain(top[first:], rows))
    ]
    columns = [pa.chunked_array([part[column] for part in parts], pa.string()) for column in range(len(names))]
    used = [place for place, column in enumerate(columns) if header[place] or column.null_count < len(column)]
    table = pa.table([columns[place] for place in used], names=[names[place] for place in used])
    table, rejected = _sort_out(table, np.arange(first + 1, first + 1 + len(table), dtype=np.int64))
    if not len(table):
        raise InputError(
            "{source} has column names but no rows.", "Export it again with at least one row.", source=file
        )  # fmt: skip
    kept = {names[place] for place in used}
    found: Note = ("The header stands in row {row} of sheet {sheet}.", {"row": first, "sheet": sheet.cells.name})
    notes = [*sheet.notes, found, *(note for note in renamed if note[1]["name"] in kept)]
    return table.replace_schema_metadata({"notes": json.dumps(notes), "rejected": json.dumps(rejected)})


def _parts(rows: Iterator[list[Cell]]) -> Iterator[list[list[Cell]]]:
    while part := list(itertools.islice(rows, BATCH_ROWS)):
        yield part


def _header(top: Sequence[Sequence[Cell]], merged: Sequence[Any]) -> tuple[list[str], int]:
    """The column names, and the index of the first row below them. Two rows of headers become one."""
    width = max(map(len, top))
    labels = [[" ".join(cell.split()) if isinstance(cell, str) else "" for cell in row] for row in top]
    at = header_at(labels)
    if at and _spans(merged, at - 1, labels):
        at -= 1
    groups = _spans(merged, at, labels)
    upper = [*labels[at], *[""] * (width - len(labels[at]))]
    if not groups or at + 1 >= len(labels):
        filled = [_text(cell) or "" for cell in top[at]]  # a header may be a number or a day
        return [*filled, *[""] * (width - len(filled))], at + 1
    for left, right in groups:
        upper[left : right + 1] = [upper[left]] * (right + 1 - left)
    lower = [*labels[at + 1], *[""] * (width - len(labels[at + 1]))]
    return [_joined(above, below) for above, below in zip(upper, lower, strict=True)], at + 2


def _spans(merged: Sequence[Any], row: int, labels: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Columns that share a header in `row`, as (first, last); none where the row is a title over all."""
    if row + 1 >= len(labels) or sum(map(bool, labels[row])) < 2:
        return []
    return [(left, right) for (above, left), (below, right) in merged if above == below == row and right > left]


def _joined(above: str, below: str) -> str:
    if not above or not below or above == below:
        return above or below
    joined = f"{above} {below}"
    return below if recognise(below) and not recognise(joined) else joined


def _texts(cells: Sequence[Cell]) -> pa.Array:
    """A column's cells as texts; columns of one kind, which most are, without asking cell by cell."""
    kinds = set(map(type, cells))
    if kinds == {str}:
        column = pa.array(cells, pa.string())
        return pc.if_else(pc.equal(column, ""), None, column)
    if kinds == {float}:
        numbers = np.array(cells, dtype=np.float64)
        if (np.abs(numbers) < _EXACT).all() and (numbers == np.rint(numbers)).all():
            return int64(numbers.astype(np.int64)).cast(pa.string())
    return pa.array([_text(cell) for cell in cells], pa.string())


def _text(cell: Cell) -> str | None:
    """A cell as text: whole numbers without a point and never with an exponent, days and times in ISO 8601."""
    if isinstance(cell, str):
        return cell or None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return str(int(cell)) if cell == int(cell) else format(Decimal(repr(cell)), "f")
    if isinstance(cell, datetime.datetime):
        return str(cell.date() if cell.time() == datetime.time() else cell)
    if isinstance(cell, datetime.timedelta):
        hours, rest = divmod(int(cell.total_seconds()), 3600)
        return f"{hours}:{rest // 60:02}:{rest % 60:02}"
    return str(cell)


def _sort_out(table: pa.Table, rows: np.ndarray) -> tuple[pa.Table, list[tuple[int, str]]]:
    """The rows of people, with their numbers; and which rows are totals or notes at the foot. Blank ones go."""
    cells = sum(column.is_valid().to_numpy().astype(np.int64) for column in table.columns)
    label = reduce(lambda left, right: pc.coalesce(left, right), table.columns)
    total = _matches(label, _TOTAL) & (cells > 0)
    people = np.flatnonzero((cells >= min(2, table.num_columns)) & ~total)
    foot = np.arange(len(cells)) > (people[-1] if len(people) else -1)
    note = foot & (cells == 1) & _matches(label, _PROSE) & ~total & (table.num_columns > 2)
    rejected = [(int(rows[at]), "total" if total[at] else "note") for at in np.flatnonzero(total | note)]
    keep = pa.array((cells > 0) & ~total & ~note)
    return table.add_column(0, ROW, int64(rows)).filter(keep), rejected


def _matches(label: pa.ChunkedArray, pattern: str) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.match_substring_regex(label, pattern), False))


if __name__ == "__main__":
    sys.exit(main())
