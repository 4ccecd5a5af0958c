"""What distinguishes a crowd: its shares beside a base, label by label (TGI), read from the room's plan for nothing."""

from collections import OrderedDict
from typing import Any

from cleanroom.console.pages import Page
from cleanroom.console.pictures import Chart
from cleanroom.console.screen import Screen
from cleanroom.console.screens import crowds_estimate
from cleanroom.console.screens.crowds import head
from cleanroom.console.screens.crowds_builder import other_crowds
from cleanroom.console.screens.crowds_columns import Columns
from cleanroom.console.screens.crowds_rules import Reader
from cleanroom.console.visit import Visited
from cleanroom.crowds import desk
from cleanroom.errors import KNOWN
from cleanroom.insight import portraits
from cleanroom.insight.pictures import Whiskered, whiskered
from cleanroom.insight.portraits import Portrait
from cleanroom.lang import explain, t
from cleanroom.plan import reading
from cleanroom.plan.comparing import Index
from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Where

SCREEN = Screen()
MOST_KEPT = 64
_kept: OrderedDict[tuple[str, Where, Where], tuple[Portrait, ...]] = OrderedDict()
"""Portraits of plans, which never change."""


@SCREEN.get("/crowds/{code}/portrait", call="crowd")
def shown(visit: Visited, code: str, base: str = "", column: str = "") -> Page:
    """The crowd beside everybody in the match, or beside another crowd (base)."""
    crowd = desk.get(visit.path, code)
    reader = Reader(visit, crowd.room)
    others = other_crowds(visit, crowd.room, code)
    about: dict[str, Any] = {"why": "", "top": [], "portrait": None, "columns": [], "said": "", "least": 0}
    charts: list[Chart] = []
    try:
        sides = [_where(reader, each) for each in (code, base)]
        cube = crowds_estimate.current(reader)
        about["why"] = _why(cube, sides)
        if cube is not None and not about["why"]:
            found = _portraits(cube, *(side or () for side in sides))
            about |= _about(cube, found, reader.columns, column, [side or () for side in sides])
            charts = _charts(about, reader.columns)
    except KNOWN as error:
        about["why"] = " ".join(explain(error)).strip()
    other = next((each.name for each in others if each.code == base), t("everybody in the match"))
    return visit.page("crowds/portrait.html", tab="portrait", charts=charts, others=others, base=base, other=other,
                      columns_of=reader.columns, **about, **head(visit, crowd))  # fmt: skip


def _where(reader: Reader, code: str) -> Where | None:
    """A crowd as a plan is asked; () for everybody, None where a list is in it. Raises what its rule does."""
    if not code:
        return ()
    crowd = desk.get(reader.home.path, code)
    return None if crowd.kind == "spread" else crowds_estimate.boxes(reader.selection(crowd.rule))


def _why(cube: Cube | None, sides: list[Where | None]) -> str:
    """Why there is no portrait; "" where there is."""
    if cube is None:
        return t("The room has no plan yet.")
    if None in sides:
        return t("The rule names a list, and a plan knows no lists.")
    named = {name for side in sides for box in side or () for name, _ in box}
    if named - cube.columns.keys():
        return t("The plan does not hold all columns of this crowd's rule.")
    return ""


def _portraits(cube: Cube, segment: Where, base: Where) -> tuple[Portrait, ...]:
    key = (cube.receipt, segment, base)
    if key not in _kept:
        named = {name for side in (segment, base) for box in side for name, _ in box}
        _kept[key] = portraits.of_plan(cube, [each for each in cube.columns if each not in named], segment, base)
        while len(_kept) > MOST_KEPT:
            _kept.popitem(last=False)
    return _kept[key]


def _about(cube: Cube, found: tuple[Portrait, ...], columns: Columns, column: str,
           sides: list[Where]) -> dict[str, Any]:  # fmt: skip
    chosen = next((each for each in found if each.column == column), found[0] if found else None)
    within = max((each.within for one in found for each in one.indices if each.within is not None), default=None)
    return {
        "top": [(columns.title(tag.column), columns.text(tag.column, [tag.index.label]), tag.index)
                for tag in portraits.top_tags(found)],
        "portrait": chosen, "columns": [(each.column, columns.title(each.column)) for each in found],
        "said": reading.source(cube.made, within, estimated=any(each.estimated for each in found)),
        "least": max(reading.answer(cube, (), side).least for side in sides),
    }  # fmt: skip


def _charts(about: dict[str, Any], columns: Columns) -> list[Chart]:
    titles = (t("Label"), t("Number of people"), "±", t("Share"), t("Share in the base"), "TGI", t("low"), t("high"))
    made = []
    chosen: Portrait | None = about["portrait"]
    if about["top"]:
        rows = [(f"{title}: {label}", each) for title, label, each in about["top"]]
        made.append(_chart("top", t("What is commoner here than in the base"), titles, rows))
    if chosen is not None:
        named = [(columns.text(chosen.column, [each.label]), each) for each in chosen.indices]
        made.append(_chart("column", columns.title(chosen.column), titles, named))
    return made


def _chart(name: str, title: str, titles: tuple[str, ...], named: list[tuple[str, Index]]) -> Chart:
    rows = [(label, each.people, each.within, each.share, each.base_share, each.tgi, each.low, each.high)
            for label, each in named]  # fmt: skip
    items = [Whiskered(label, each.tgi, each.low, each.high) for label, each in named]
    return Chart(name, title, titles, rows, lambda: whiskered(title, items, unit="TGI", mark=100.0, form=".0f"),
                 t("100 is as common as in the base; a bar that holds 100 shows no sure difference."))  # fmt: skip
