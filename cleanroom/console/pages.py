"""What a screen gives back, and how it becomes HTML: a template, its figures, its charts, in the request's language.

Templates escape all that comes in. A page's charts can each be had as SVG, PNG and CSV at the page's own address with
?chart=NAME&as=svg, and its tables as one XLSX with ?as=xlsx; strings there are never formulas.
"""

import csv
import functools
import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cleanroom import __version__, lang
from cleanroom.console.navigation import links
from cleanroom.console.pictures import Chart, Pictures
from cleanroom.errors import UsageError
from cleanroom.insight.labels import said
from cleanroom.lang import t
from connectors.targets import harmless

Value = str | int | float | None
LOOK, LOOKS = "cleanroom-look", ("auto", "light", "dark")
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@dataclass(frozen=True)
class Sheet:
    """A table of a page for a spreadsheet. A value None is a withheld figure."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]


@dataclass(frozen=True)
class Page:
    """What a screen shows. charts: by their names in the template, `chart("name")`; sheets: what ?as=xlsx holds, or the
    charts' tables where there are none; status: of HTTP."""

    template: str
    context: Mapping[str, Any]
    charts: Sequence[Chart] = ()
    sheets: Sequence[Sheet] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def chart(self, name: str) -> Chart:
        """Raises UsageError."""
        for each in self.charts:
            if each.name == name:
                return each
        raise UsageError("There is no chart {name} on this page.", name=name[:40])


class Pages:
    """The templates, and pictures that were drawn already."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader(__package__), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True, extensions=["jinja2.ext.do"],
        )  # fmt: skip
        self._environment.globals.update(t=t, said=said, current=lang.current, version=__version__, static=static_name)
        self._environment.globals.update(links=links, look_of=look_of, with_query=with_query)
        self._environment.filters.update(count=count, day=day, percent=percent, moment=moment,
                                         twice=lambda name: (name, name),
                                         state_entry=_state_entry)  # fmt: skip
        self.pictures = Pictures()

    def answered(self, page: Page, visit: Any, wanted: Mapping[str, str]) -> Response:
        """The page, or the part of it that `wanted` (the query's chart and as) names."""
        form = wanted.get("as", "")
        if form == "xlsx":
            return _file(_workbook(page), XLSX, "table.xlsx")
        if form:
            return self._part(page, page.chart(wanted.get("chart", "")), form, visit)
        html = self._environment.get_template(page.template).render(
            **page.context, visit=visit, chart=lambda name: self.pictures.shown(page.chart(name)),
            can_download=bool(page.sheets or page.charts),
        )  # fmt: skip
        return HTMLResponse(html, page.status, headers=dict(page.headers))

    def _part(self, page: Page, chart: Chart, form: str, visit: Any) -> Response:
        match form:
            case "figure":
                shown = self.pictures.drawn_now(chart)
                return HTMLResponse(self._environment.get_template("figure.html").render(shown=shown, visit=visit))
            case "svg":
                return _file(self.pictures.of(chart).svg.encode(), "image/svg+xml", f"{chart.name}.svg")
            case "png":
                return _file(self.pictures.of(chart).png(), "image/png", f"{chart.name}.png")
            case "csv":
                return _file(_csv(chart.columns, chart.rows), "text/csv; charset=utf-8", f"{chart.name}.csv")
        raise UsageError("There is no form {form}.", "There are: svg, png, csv.", form=form[:10])


def look_of(request: Request) -> str:
    """Light, dark or auto, by the cookie."""
    kept = request.cookies.get(LOOK, "auto")
    return kept if kept in LOOKS else "auto"


def with_query(request: Request, **changed: str) -> str:
    """The address of the page that is shown, with some of its query changed; "" leaves a part out."""
    query = {name: value for name, value in request.query_params.multi_items() if name not in ("chart", "as")}
    query = {name: value for name, value in {**query, **changed}.items() if value}
    return request.url.path + (f"?{urlencode(query)}" if query else "")


def _state_entry(name: str, chosen: str, said_as: Callable[[str], str]) -> tuple[str, str, bool]:
    return f"/jobs?state={name}", said_as(name), name == chosen


def count(value: Any) -> str:
    """A whole number with separators; withheld where there is none."""
    if value is None:
        return t("withheld")
    return f"{value:,}" if isinstance(value, int) else f"{value:,.0f}"


def percent(value: float | None, places: int = 1) -> str:
    """A share as a percentage; withheld where there is none."""
    return t("withheld") if value is None else f"{value:.{places}%}"


def day(text: Any) -> str:
    """The day of an ISO date or time."""
    return str(text)[:10] if "-" in str(text)[:10] else f"{str(text)[:4]}-{str(text)[4:6]}-{str(text)[6:8]}"


def moment(text: Any) -> str:
    """An ISO time in UTC to the minute."""
    return str(text)[:16].replace("T", " ")


@functools.cache
def static(name: str) -> bytes:
    """A file of the page itself. Raises UsageError for anything else."""
    if name not in STATIC:
        raise UsageError("There is no file {name}.", name=name[:40])
    folder = "cleanroom.report" if name.endswith(".otf") else __package__
    place = resources.files(folder).joinpath("fonts" if name.endswith(".otf") else "static", name)
    return place.read_bytes()


STATIC = {
    "htmx.min.js": "text/javascript; charset=utf-8", "console.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml", "CleanroomSansSC-Regular.otf": "font/otf",
}  # fmt: skip
"""The files that the page is made of, and their types."""


@functools.cache
def static_name(name: str) -> str:
    """Its address: with its digest, so that a browser may keep it for good."""
    return f"/static/{name}?v={hashlib.sha256(static(name)).hexdigest()[:12]}"


def _file(content: bytes, kind: str, name: str) -> Response:
    return Response(content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'})


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Value]]) -> bytes:
    """With a mark of its encoding, which spreadsheets need, and no text that one would take for a formula."""
    target = io.StringIO()
    writer = csv.writer(target)
    writer.writerow(map(harmless, columns))
    writer.writerows([harmless(value) if isinstance(value, str) else _told(value) for value in row] for row in rows)
    return target.getvalue().encode("utf-8-sig")


def _told(value: Value) -> Value:
    return t("withheld") if value is None else value


def _workbook(page: Page) -> bytes:
    """The page's tables, a sheet each. Strings are written as strings, whatever they begin with."""
    import xlsxwriter

    sheets = page.sheets or [Sheet(each.title, each.columns, each.rows) for each in page.charts]
    target = io.BytesIO()
    plain = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(target, plain) as book:
        strong = book.add_format({"bold": True})
        for number, sheet in enumerate(sheets, 1):
            name = "".join(" " if sign in "[]:*?/\\'" else sign for sign in sheet.title)[:26]
            tab = book.add_worksheet(f"{number} {name}".strip())
            tab.write_row(0, 0, [str(each) for each in sheet.columns], strong)
            for place, row in enumerate(sheet.rows, 1):
                tab.write_row(place, 0, [_told(value) for value in row])
            tab.autofit()
    return target.getvalue()
