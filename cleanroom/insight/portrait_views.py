"""Portraits as `cleanroom insight portrait` shows them: of the match, or of everybody in one dataset. Free."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom.errors import Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.gate import gate
from cleanroom.insight import portraits
from cleanroom.insight.boards_read import reading
from cleanroom.insight.linear import Absent, Where
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.insight.portraits import Portrait
from cleanroom.insight.tables import ATTRIBUTES, Tables
from cleanroom.plan.comparing import Index
from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Where as Boxes
from cleanroom.plan.reading import answer, source
from cleanroom.plan.store import Plans
from cleanroom.querying import opened, understand
from cleanroom.rooms.store import Room

MOST_KEYS = 60


def portrait(path: Path, name: str, columns: Sequence[str] = (), *, where: str = "", base: str = "",
             base_name: str = "", chart: Path | None = None) -> dict[str, Any]:  # fmt: skip
    """How the people in the match that `where` means differ from those that `base` means (default: all), by columns.

    columns: by default all of the plan. base: another condition compares two crowds; base_name: what it is called.
    Raises UsageError without a plan, Refused for conditions that cross too many columns.
    """
    cube, room = _plan(path, name)
    sides = [_boxes(path, name, room, each) for each in (where, base)]
    keys = [_column(cube, each) for each in columns] or [each for each in cube.columns if not _named(each, sides)]
    found = portraits.of_plan(cube, keys[:MOST_KEYS], *sides)
    least = max(answer(cube, (), each).least for each in sides)
    if chart is not None:
        _draw(chart, found)
    within = max((i.within for each in found for i in each.indices if i.within is not None), default=None)
    said = source(cube.made, within, estimated=any(each.estimated for each in found))
    return {"room": name, "of": "match", "where": where, "base": base_name or base or "everybody", "least": least,
            "report_date": f"{cube.made:%Y%m%d}", "said": said, "receipt": cube.receipt, **_plain(found)}  # fmt: skip


def of_everybody(path: Path, name: str, columns: Sequence[str] = (), *, where: str = "", base: str = "",
                 base_name: str = "", chart: Path | None = None, date: str = "",
                 dataset: str = "") -> dict[str, Any]:  # fmt: skip
    """The same of all persons of one dataset, matched or not, from its board: as far as its tables hold column and
    condition together. By default by all attributes that they do."""
    read = reading(path, name, dataset=dataset, date=date)
    tables = read.tables()
    sides = [_one_box(_boxes(path, name, read.room, each), read.room, read.dataset) for each in (where, base)]
    there = [
        each for each in (*ATTRIBUTES, "value_band") if each in tables.columns and not any(each in s for s in sides)
    ]
    found = []
    for column in columns or there:
        try:
            found.append(portraits.of_board(tables, column, *sides))
        except Absent as error:
            if columns:
                raise Refused("No table of the board is by {columns}.", "Ask of the match: leave --everybody out.",
                              columns=", ".join(sorted({column, *sides[0], *sides[1]}))) from error  # fmt: skip
    if chart is not None:
        _draw(chart, found)
    return {"room": name, "of": read.dataset, "where": where, "base": base_name or base or "everybody",
            "least": tables.least, "report_date": f"{read.day:%Y%m%d}", "said": _said(tables),
            "receipt": tables.receipt if tables.sigma else "", **_plain(found)}  # fmt: skip


def geography(path: Path, name: str, *, where: str = "") -> dict[str, Any]:
    """People in the match by province, and within them by city. Raises UsageError without such columns."""
    cube, room = _plan(path, name)
    found = portraits.geography(cube, _column(cube, "province"), _column(cube, "city"), _boxes(path, name, room, where))
    provinces = [
        {"label": each.label, "people": each.people, "cities": [{"label": a, "people": b} for a, b in each.cities]}
        for each in found
    ]
    return {"room": name, "where": where, "report_date": f"{cube.made:%Y%m%d}", "provinces": provinces,
            "said": source(cube.made, None, estimated=False), "receipt": cube.receipt}  # fmt: skip


def _plan(path: Path, name: str) -> tuple[Cube, Room]:
    home, room = opened(path, name)
    found = Plans(home).latest(name)
    if found is None or found.contract != room.contract.digest():
        raise UsageError("The room {room} has no plan yet.", "Make one: cleanroom plan make {room}", room=name)
    return found, room


def _boxes(path: Path, name: str, room: Room, where: str) -> Boxes:
    """A condition as the gate reads it: `()` is everybody."""
    if not where:
        return ()
    asked, _ = understand(opened(path, name)[0], room, f"SELECT COUNT(*) FROM {gate.MATCHED} WHERE {where}")  # noqa: S608
    return () if asked.where.everybody else asked.where.boxes


def _one_box(boxes: Boxes, room: Room, dataset: str) -> Where:
    """A condition that a board's tables can be summed by: AND of columns of its dataset."""
    if len(boxes) > 1:
        raise Refused(
            "Of a board only conditions joined by AND can be read.", "Ask of the match: leave --everybody out."
        )
    found: dict[str, tuple[str, ...]] = {}
    for name, cells in boxes[0] if boxes else ():
        own, _, column = name.rpartition(".")
        if own != dataset:
            raise Refused("{column} is not of the dataset {dataset}.", column=name, dataset=dataset)
        labels = room.annex(own, column).labels
        found[column] = tuple(labels[cell] for cell in cells)
    return found


def _column(cube: Cube, name: str) -> str:
    """A column of the plan by its full name, or by its own where only one dataset has it."""
    fitting = [each for each in cube.columns if each == name or each.rpartition(".")[2] == name]
    if len(fitting) != 1:
        raise UsageError("The plan has no column {column}.", "It has {columns}.", column=name,
                         columns=", ".join(cube.columns))  # fmt: skip
    return fitting[0]


def _named(column: str, sides: Sequence[Boxes]) -> bool:
    return any(name == column for where in sides for box in where for name, _ in box)


def _plain(found: Sequence[Portrait]) -> dict[str, Any]:
    shown = [
        {"column": each.column, "coverage": each.coverage, "estimated": each.estimated,
         "values": [_index(index) for index in each.indices]}
        for each in found
    ]  # fmt: skip
    top = [{"column": tag.column, **_index(tag.index)} for tag in portraits.top_tags(found)]
    return {"portraits": shown, "top": top}


def _index(index: Index) -> dict[str, Any]:
    return {**asdict(index), "significant": index.significant}


def _said(tables: Tables) -> str:
    return f"{tables.report_date:%Y%m%d}" + (f", σ = {tables.sigma}" if tables.sigma else "")


def _draw(chart: Path, found: Sequence[Portrait]) -> None:
    """The only column's TGI with its intervals; over several columns that of the top tags."""
    if len(found) == 1:
        title, named = found[0].column, [(each.label, each) for each in found[0].indices]
    else:
        title, named = "TGI", [(f"{tag.column}: {tag.index.label}", tag.index) for tag in portraits.top_tags(found)]
    items = [Whiskered(label, each.tgi, each.low, each.high) for label, each in named]
    write_bytes(chart, whiskered(title, items, unit="TGI", mark=100.0, form=".0f").svg.encode())
