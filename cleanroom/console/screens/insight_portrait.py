"""Portraits: how a segment differs from its base by column (TGI), and where its people live. Read for nothing.

A segment is put together from values, or typed as a condition; either goes by POST and is kept under an id.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Query
from starlette.datastructures import FormData
from starlette.responses import Response

from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens import insight_portrait_figures as shown
from cleanroom.console.screens.insight_frame import PLAIN, Around, Text, Wished, title_of, with_settings
from cleanroom.console.screens.insight_kept import condition, keep_condition
from cleanroom.console.visit import Fields, Visited
from cleanroom.errors import Refused, UsageError
from cleanroom.insight import portrait_views
from cleanroom.insight.tables import ATTRIBUTES
from cleanroom.plan.store import Plans
from cleanroom.querying import understand

SCREEN = Screen()
_NOT_NAMED = ("unknown", "other")
_SHOWN = 6
"""Columns that a portrait shows where none are named."""
_FIRST = ("gender", "age_band", "level", "member_level", "city_tier", "stage_30d", "spend_30d", "rfm", "value_band",
          "visited_last", "paid_last")  # fmt: skip
_PLACES = ("city_tier", "province", "city")
Names = Annotated[list[str], Query(max_length=80)]


@dataclass(frozen=True)
class Asked:
    """segment, base: conditions, "" for everybody."""

    columns: tuple[str, ...]
    segment: str
    base: str


@SCREEN.get("/insight/{room}/portrait", call="insight")
def portrait(visit: Visited, room: str, asked: Wished, of: Text = "match", columns: Names = [], segment: Text = "",  # noqa: B006
             base: Text = "") -> Page:  # fmt: skip
    """By each column: people, shares, TGI; and the values that are surely commoner."""
    around = Around.of(visit, room, "portrait", asked)
    if visit.home.party not in around.contract.owners:
        return visit.page("insight/unready.html", around=around, **title_of(around))
    everybody = of == "everybody" and around.state == "ready"
    if not everybody and not around.has_plan:
        return visit.page("insight/no_plan.html", around=around, **title_of(around))
    choices = _board_columns(around) if everybody else _plan_columns(around)
    chosen = tuple(each for each in columns if each in choices) or tuple(choices)[:_SHOWN]
    wanted = Asked(chosen, condition(visit.home, room, segment), condition(visit.home, room, base))
    found = _found(around, wanted, everybody=everybody)
    compared = bool(wanted.segment or wanted.base)
    charts = [shown.chart(number, each, compared=compared) for number, each in enumerate(found["portraits"])]
    top = shown.top(found["top"]) if compared else []
    if top:
        charts.append(shown.top_chart(found["top"]))
    return visit.page(
        "insight/portrait.html", charts=charts, sheets=[shown.sheet(found["portraits"])], around=around, found=found,
        of="everybody" if everybody else "match", chosen=chosen, choices=choices, asked=wanted,
        compared=compared, top=top,
        blocks=[shown.block(number, each) for number, each in enumerate(found["portraits"])],
        tgi=shown.tgi_columns(), **_names(choices), **title_of(around),
    )  # fmt: skip


@SCREEN.post("/insight/{room}/portrait", call="insight")
def chosen(visit: Visited, room: str, fields: Fields) -> Response:
    """Keep the segment and its base, and show it. Raises UsageError and Refused for a condition that is none."""
    around = Around.of(visit, room, "portrait", _plain(fields))
    texts = [_condition(fields, "in:", "segment_text"), _condition(fields, "of:", "base_text")]
    for text in filter(None, texts):
        understand(visit.home, around.held, f"SELECT COUNT(*) FROM matched WHERE {text}")  # noqa: S608 - the gate reads it
    ids = [keep_condition(visit.home, visit.caller.name, room, each) for each in texts]
    tab = "map" if fields.get("tab") == "map" else "portrait"
    query = around.asked.query(of=str(fields.get("of", "")), segment=ids[0], base=ids[1] if tab == "portrait" else "")
    for each in fields.getlist("columns") if tab == "portrait" else ():
        query += ("&" if query else "?") + "columns=" + str(each)
    return visit.go(f"/insight/{room}/{tab}{query}")


@SCREEN.get("/insight/{room}/map", call="insight")
def mapped(visit: Visited, room: str, asked: Wished, of: Text = "match", segment: Text = "") -> Page:
    """By city tier, province and city."""
    around = Around.of(visit, room, "map", asked)
    if visit.home.party not in around.contract.owners:
        return visit.page("insight/unready.html", around=around, **title_of(around))
    everybody = of == "everybody" and around.state == "ready"
    if not everybody and not around.has_plan:
        return visit.page("insight/no_plan.html", around=around, **title_of(around))
    choices = _board_columns(around) if everybody else _plan_columns(around)
    names = [column for place in _PLACES for column in choices if column.rpartition(".")[2] == place]
    wanted = Asked(tuple(names), condition(visit.home, room, segment), "")
    found: dict[str, Any] = {"portraits": [], "said": "", "receipt": ""}
    if names:
        found = _found(around, wanted, everybody=everybody)
    charts = [shown.place_chart(each) for each in found["portraits"]]
    return visit.page(
        "insight/map.html", charts=charts, sheets=[shown.sheet(found["portraits"])] if names else [], around=around,
        found=found, of="everybody" if everybody else "match", asked=wanted, choices=choices,
        provinces=[] if everybody else _provinces(around, wanted, found), places=[each.name for each in charts],
        **_names(choices), **title_of(around),
    )  # fmt: skip


# -- what is asked


def _plan_columns(around: Around) -> dict[str, tuple[str, ...]]:
    """The plan's columns with the values that people choose from."""
    cube = Plans(around.visit.home).latest(around.room)
    names = [] if cube is None else sorted(cube.columns, key=lambda name: (_rank(name), name))
    return {name: _values(cube.columns[name]) for name in names} if cube is not None else {}


def _board_columns(around: Around) -> dict[str, tuple[str, ...]]:
    """The board's attributes likewise."""
    tables = around.read.tables()
    names = [each for each in (*ATTRIBUTES, "value_band") if each in tables.columns]
    return {name: _values(tables.columns[name]) for name in names}


def _rank(column: str) -> int:
    """Where a column stands: first what people ask for first."""
    own = column.rpartition(".")[2]
    return _FIRST.index(own) if own in _FIRST else len(_FIRST)


def _values(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(label for label in labels if label not in _NOT_NAMED)


def _condition(fields: FormData, marked: str, typed: str) -> str:
    """What was typed, else the chosen values: any of a column's, and all of the columns."""
    text = str(fields.get(typed, "")).strip()
    if text:
        return text
    parts = []
    for name in dict.fromkeys(key for key in fields if key.startswith(marked)):
        values = ", ".join("'" + str(value).replace("'", "''") + "'" for value in fields.getlist(name))
        parts.append(f"{name.removeprefix(marked)} IN ({values})")
    return " AND ".join(parts)


def _plain(fields: FormData) -> Any:
    return with_settings(PLAIN, dataset=str(fields.get("dataset", "")), date=str(fields.get("date", "")))


def _found(around: Around, asked: Asked, *, everybody: bool) -> dict[str, Any]:
    path, room = around.visit.path, around.room
    if not everybody:
        return portrait_views.portrait(path, room, asked.columns, where=asked.segment, base=asked.base)
    kept = []
    for each in asked.columns:  # of what no table crosses with the condition the others are shown
        try:
            kept.append(portrait_views.of_everybody(path, room, (each,), where=asked.segment, base=asked.base,
                                                    dataset=around.dataset, date=around.asked.date))  # fmt: skip
        except Refused:
            continue
    if not kept:
        raise UsageError("The board has no table of this segment.", "Choose people in the match, or another segment.")
    return {**kept[0], "portraits": [one for each in kept for one in each["portraits"]],
            "top": [one for each in kept for one in each["top"]]}  # fmt: skip


def _names(choices: dict[str, tuple[str, ...]]) -> dict[str, Any]:
    """What the form of a segment shows."""
    column, labels = next(((name, labels) for name, labels in choices.items() if labels), ("users.gender", ("",)))
    return {"names": shown.column_name, "said_as": shown.label_name, "example": f"{column} = '{labels[0]}'"}


def _provinces(around: Around, asked: Asked, found: dict[str, Any]) -> list[dict[str, Any]]:
    """Provinces with their cities, each with its ±, where the plan has both."""
    own = {column.rpartition(".")[2] for column in asked.columns}
    if not {"province", "city"} <= own:
        return []
    by_label = {(one["column"].rpartition(".")[2], each["label"]): each
                for one in found["portraits"] for each in one["values"]}  # fmt: skip
    told = portrait_views.geography(around.visit.path, around.room, where=asked.segment)["provinces"]
    return [
        {"label": shown.label_name(each["label"]), "people": shown.figures(by_label["province", each["label"]])[0],
         "cities": [(shown.label_name(one["label"]), shown.figures(by_label["city", one["label"]])[0])
                    for one in each["cities"]]}
        for each in told
    ]  # fmt: skip
