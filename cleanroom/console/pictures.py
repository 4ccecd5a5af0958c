"""Charts of pages: drawn on the server as SVG, kept by what they show, so that the same figures are drawn once.

Drawing takes a tenth of a second, so a page comes without the charts that were never drawn, and the browser fetches
each as a part of the page. The figures of a chart stand beside it as a table for readers who cannot see it.
"""

import functools
import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cleanroom.lang import current
from cleanroom.report.charts import Picture

MOST_KEPT = 500
_NAMES = re.compile(r'\bid="([^"]+)"')


@dataclass(frozen=True)
class Chart:
    """One chart. name: lower case, for its address; columns, rows: the figures that it shows, None where withheld;
    draw: makes the picture from them; note: a line below it."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | int | float | None]]
    draw: Callable[[], Picture]
    note: str = ""


@dataclass(frozen=True)
class Shown:
    """A chart in a page; svg: None where it is still to be drawn."""

    chart: Chart
    svg: Markup | None


class Pictures:
    """Pictures by what they show."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Picture] = OrderedDict()
        self._lock = threading.Lock()

    def shown(self, chart: Chart) -> Shown:
        """As it stands in a page: drawn, if it was drawn before."""
        with self._lock:
            picture = self._held.get(_key(chart))
        return Shown(chart, None if picture is None else _own(picture.svg, chart.name))

    def drawn_now(self, chart: Chart) -> Shown:
        """The same, drawn in any case."""
        return Shown(chart, _own(self.of(chart).svg, chart.name))

    def of(self, chart: Chart) -> Picture:
        """The picture."""
        key = _key(chart)
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        picture = chart.draw()
        with self._lock:
            self._held[key] = picture
            while len(self._held) > MOST_KEPT:
                self._held.popitem(last=False)
        return picture


def _key(chart: Chart) -> str:
    content = (current(), chart.name, chart.title, tuple(chart.columns), [tuple(row) for row in chart.rows], chart.note)
    return hashlib.sha256(repr(content).encode()).hexdigest()


@functools.lru_cache(MOST_KEPT)
def _own(svg: str, name: str) -> Markup:
    """The SVG with ids of its own, since a page holds several; hidden from readers, who get the table."""
    svg = _NAMES.sub(rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))  # noqa: S704 - drawn by us, text escaped
