"""What has rows, and what has a picture: as Arrow, pandas, HTML, SVG and files.

A figure stands beside its interval, and one that is withheld is withheld in every form: null in Arrow, a word in HTML.
"""

import csv
import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cleanroom.api import html
from cleanroom.api.html import Cell
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.lang import t
from connectors.targets import harmless

if TYPE_CHECKING:
    import pandas as pd

    from cleanroom.report.charts import Picture

Rows = Sequence[Mapping[str, Any]]
_MOST_SHOWN = 200
"""Rows of a table in a notebook; `table` has all."""


class Chart:
    """A picture: it shows itself in a notebook, and can be saved.

    Example: `answer.chart().save("levels.svg")`.
    """

    def __init__(self, picture: "Picture") -> None:
        self.title, self.svg, self._picture = picture.title, picture.svg, picture

    def png(self, scale: float = 2.0) -> bytes:
        """On white, `scale` device pixels a pixel."""
        return self._picture.png(scale)

    def save(self, path: Path | str) -> Path:
        """Write it as .svg or .png. Raises UsageError for another ending."""
        path = Path(path).expanduser()
        if path.suffix not in (".svg", ".png"):
            raise UsageError("A picture is saved as .svg or .png.")
        write_bytes(path, self.svg.encode() if path.suffix == ".svg" else self.png())
        return path

    def __repr__(self) -> str:
        return f"<Chart: {self.title}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """SVG, and its title for whoever cannot see it."""
        return {"image/svg+xml": self.svg, "text/plain": repr(self)}

    def _repr_svg_(self) -> str:
        return self.svg


class Answers(ABC):
    """What has rows."""

    @property
    @abstractmethod
    def rows(self) -> list[dict[str, Any]]:
        """One object a row, by title; None: withheld, or not there."""

    @property
    def widths(self) -> list[dict[str, Any]]:
        """Of every noised number in `rows`, row by row, half its 95 % interval; empty where all is exact."""
        return []

    @abstractmethod
    def said(self) -> str:
        """How exact it is and where it is from, in the current language."""

    @cached_property
    def table(self) -> pa.Table:
        """The rows as an Arrow table."""
        return pa.table({name: pa.array([row.get(name) for row in self.rows]) for name in self._names()})

    def df(self, *, intervals: bool = False) -> "pd.DataFrame":
        """As a pandas frame; intervals: a column `… ±` beside each that is noised."""
        table, widths = self.table, self.widths
        for name in [name for name in table.column_names if intervals and any(name in each for each in widths)]:
            place = table.column_names.index(name) + 1
            table = table.add_column(place, f"{name} ±", pa.array([each.get(name) for each in widths]))
        frame: pd.DataFrame = table.to_pandas()
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_integer(column.type) and column.null_count:
                frame[name] = frame[name].astype("Int64")  # whole numbers stay whole beside those withheld
        return frame

    to_pandas = df

    def to_csv(self, path: Path | str) -> Path:
        """Write all rows with their intervals; texts that a spreadsheet would compute are quoted."""
        frame, text = self.df(intervals=True), io.StringIO()
        writer = csv.writer(text)
        writer.writerow(map(harmless, frame.columns))
        writer.writerows(
            [harmless(value) if isinstance(value, str) else value for value in row]
            for row in frame.itertuples(index=False)
        )
        path = Path(path).expanduser()
        write_bytes(path, text.getvalue().encode("utf-8-sig"))
        return path

    def _names(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self)} rows. {self.said()}>"

    def _repr_html_(self) -> str:
        names, beside = self._names(), self.widths or [{}] * len(self.rows)
        rows = [[_cell(row.get(name), width.get(name)) for name in names]
                for row, width in list(zip(self.rows, beside, strict=True))[:_MOST_SHOWN]]  # fmt: skip
        more = t("… and {count} more rows", count=len(self) - _MOST_SHOWN) if len(self) > _MOST_SHOWN else ""
        shown = html.table(names, rows) if rows else html.note(t("No group may be shown."))
        return html.box(shown, html.note(more), html.note(self.said()))


@dataclass(frozen=True, repr=False)
class Figures(Answers):
    """Rows that were read for nothing. drawn: makes the picture, where there is one."""

    lines: Rows
    about: str = ""
    halves: Rows = ()
    drawn: Callable[[], "Picture"] | None = None
    title: str = ""
    forms: Mapping[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [dict(each) for each in self.lines]

    @property
    def widths(self) -> list[dict[str, Any]]:
        return [dict(each) for each in self.halves]

    def said(self) -> str:
        return self.about

    def chart(self) -> Chart:
        """The picture. Raises UsageError where these figures have none."""
        if self.drawn is None:
            raise UsageError("There is no picture of this.", "Draw its .table.")
        return Chart(self.drawn())

    def _repr_html_(self) -> str:
        return html.box(html.title(self.title), super()._repr_html_())


def _cell(value: Any, within: float | None) -> Cell:
    if value is None:
        return Cell("", t("withheld"))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return html.number(value, within)
    return Cell(t(value) if value in ("unknown", "other") else str(value))
