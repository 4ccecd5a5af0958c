"""Boards and portraits in a notebook: metrics with their intervals, TGI, and the pictures that the commands draw.

All of it is read from boards and plans that were released before, or from one's own data: free, however often.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom.api import html
from cleanroom.api.figures import Answers, Chart, Figures
from cleanroom.api.html import Cell
from cleanroom.insight.labels import said
from cleanroom.lang import t

if TYPE_CHECKING:
    from cleanroom.report.charts import Picture

Plain = Mapping[str, Any]
Draw = Callable[[Path], Any]
_FORMS = {"share": ".1%", "money": ",.2f", "ratio": ",.2f"}


def picture(title: str, draw: Draw) -> "Picture":
    """The picture that `draw` writes into the file it is given."""
    from cleanroom.report.charts import Picture

    with tempfile.TemporaryDirectory(prefix="cleanroom-") as folder:
        file = Path(folder) / "picture.svg"
        draw(file)
        return Picture(title, file.read_text("utf-8"))


@dataclass(frozen=True, repr=False)
class Page(Answers):
    """One page of insight: metrics by value. plain: as `cleanroom insight … --json` has it.

    Example: `room.page("overview").df()`; `room.trend("visitors").chart()`.
    """

    plain: Plain
    title: str
    draw: Draw

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A figure a row with the ends of its 95 % interval; None: withheld, or cannot be told."""
        return [
            {t("metric"): metric["title"], t("label"): said(value["label"], metric["metric"]),
             t("unit"): said(metric["unit"]), t("value"): value["value"], t("from"): value["low"],
             t("to"): value["high"]}
            for metric in self.metrics for value in metric["values"]
        ]  # fmt: skip

    @property
    def metrics(self) -> Sequence[Plain]:
        """Each with its title, unit, text and values."""
        if "points" in self.plain:
            points = [{**each, "label": _day(each["date"])} for each in self.plain["points"]]
            named = {name: self.plain[name] for name in ("metric", "title", "unit")}
            return [{**named, "window": None, "values": points}]
        return [*self.plain.get("metrics", ()), *self.plain.get("eight", ()), *self.plain.get("beside", ())]

    def said(self) -> str:
        """Of which day it is, and how exact."""
        day = t("Report date") + f" {_day(self.plain['report_date'])}"
        how = t("Your own data: exact, without noise or charge.")
        if not self.plain["exact"]:
            how = t("From a released board; populations are shown from {least} persons on. Reading is free.",
                    least=f"{self.plain['least']:,}")  # fmt: skip
        return t("{first}. {second}", first=day, second=how)

    def chart(self) -> Chart:
        """The picture of this page."""
        return Chart(picture(self.title, self.draw))

    @property
    def diagnosis(self) -> "Diagnosis":
        """Which value of C-CARE is weakest and what helps; of a page of C-CARE alone."""
        return Diagnosis(self.plain["diagnosis"])

    def _repr_html_(self) -> str:
        return html.box(html.title(self.title), *self._tables(), html.note(self.said()))

    def _tables(self) -> Iterator[str]:
        """Single figures together, then each series by itself."""
        single = [each for each in self.metrics if len(each["values"]) == 1]
        if single:
            rows = [
                (_named(each), _figure(each["values"][0], each["unit"]), _why(each["values"][0])) for each in single
            ]
            yield html.table((t("metric"), t("value"), ""), rows)
        for each in self.metrics:
            if len(each["values"]) > 1:
                rows = [(said(value["label"], each["metric"]), _figure(value, each["unit"]), _why(value))
                        for value in each["values"]]  # fmt: skip
                yield html.table((t("label"), said(each["unit"]), ""), rows, _named(each))


@dataclass(frozen=True)
class Diagnosis:
    """C-CARE's eight values against what they are set against: the weakest, and the playbook for it."""

    plain: Plain

    @property
    def weakest(self) -> str:
        """The value's name; empty where none can be told."""
        return str(self.plain["weakest"] or "")

    @property
    def playbook(self) -> str:
        """The playbook's name; empty where none fits."""
        return str(self.plain["playbook"] or "")

    def __repr__(self) -> str:
        return f"<Diagnosis: {self.plain['text']}>"

    def _repr_html_(self) -> str:
        known = sorted(
            (each for each in self.plain["judged"] if each["score"] is not None), key=lambda one: one["score"]
        )
        rows = [
            (said(each["name"]), _figure(each, "money" if each["name"] == "efficient" else "share"),
             said(each["against"]),
             Cell(f"{100 * each['score']:+.0f}", "" if each["sure"] else "≈", number=True))
            for each in known
        ]  # fmt: skip
        heads = (t("value of C-CARE"), t("now"), t("against"), t("score"))
        return html.box(html.table(heads, rows, t("Diagnosis")), html.note(self.plain["text"]))


@dataclass(frozen=True, repr=False)
class Portrait(Answers):
    """How people differ from a base, by columns: shares and TGI with 95 % intervals.

    Example: `room.portrait("users.city_tier", where="crm.level = '金卡'").top`.
    """

    plain: Plain
    draw: Draw

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A column and value a row; people None: withheld."""
        return [self._row(each["column"], value) for each in self.plain["portraits"] for value in each["values"]]

    @property
    def widths(self) -> list[dict[str, Any]]:
        """Of people."""
        values = (value for each in self.plain["portraits"] for value in each["values"])
        return [{} if value["within"] is None else {t("persons"): value["within"]} for value in values]

    @property
    def top(self) -> list[tuple[str, str, float]]:
        """(column, value, TGI) of what is surely commoner here than in the base, the strongest first."""
        return [(each["column"], each["label"], float(each["tgi"])) for each in self.plain["top"]]

    def said(self) -> str:
        """Where it is read from."""
        told = t("100 is as in the base; ≈ is a difference that is not significant.")
        return t("{first}. {second}", first=self.plain["said"], second=told)

    def chart(self) -> Chart:
        """TGI with its intervals: of the only column, or of the top values of all."""
        return Chart(picture("TGI", self.draw))

    def _repr_html_(self) -> str:
        heads = (t("label"), t("persons"), t("share"), t("share of all"), "TGI", "")
        base = self.plain["base"]
        told = {t("Segment"): self.plain["where"] or t("everybody"),
                t("Base"): t("everybody") if base == "everybody" else base}  # fmt: skip
        parts = [html.table(heads, map(_portrayed, each["values"]), each["column"]) for each in self.plain["portraits"]]
        return html.box(html.facts(told), *parts, html.note(self.said()))

    @staticmethod
    def _row(column: str, value: Plain) -> dict[str, Any]:
        return {t("column"): column, t("label"): _label(value["label"]), t("persons"): value["people"],
                t("share"): value["share"], t("share of all"): value["base_share"], "TGI": value["tgi"],
                t("from"): value["low"], t("to"): value["high"]}  # fmt: skip


def changes(plain: Plain) -> Figures:
    """Metrics beside those of an earlier day; both sides of the comparison, and growth with its interval."""
    lines, notes = [], []
    for against, title in (("previous", t("Against the period before")), ("year", t("Against 52 weeks before"))):
        if plain[against]["report_date"] is None:
            notes.append(t("{title}: there is no board of that day.", title=title))
        for each in plain[against]["changes"]:
            name = f"{each['title']} {said(each['label'], each['metric'])}".strip()
            growth = each["growth"]
            lines.append({t("against"): title, t("metric"): name, t("now"): each["after"]["value"],
                          t("before"): each["before"]["value"], t("growth"): growth["value"],
                          t("from"): growth["low"], t("to"): growth["high"]})  # fmt: skip
    return Figures(lines, " ".join(notes))


def _portrayed(value: Plain) -> tuple[object, ...]:
    label, people = _label(value["label"]), html.number(value["people"], value["within"] or None)
    if value["tgi"] is None:
        return label, people, Cell("", number=True), Cell("", number=True), Cell("", number=True), ""
    mark = {True: "!", False: "≈"}.get(value["significant"], "")
    return (label, people, html.number(value["share"], form=".1%"), html.number(value["base_share"], form=".1%"),
            html.between(value["tgi"], value["low"], value["high"], ".0f"), mark)  # fmt: skip


def _label(label: str) -> str:
    return said(label) if label in ("unknown", "other") else label


def _named(metric: Plain) -> str:
    title = str(metric["title"])
    return title if metric["window"] is None else f"{title} · " + t("{count} days", count=metric["window"])


def _figure(value: Plain, unit: str) -> Cell:
    if value["value"] is None:
        return Cell("–", number=True)
    return html.between(value["value"], value["low"], value["high"], _FORMS.get(unit, ",.0f"))


def _why(value: Plain) -> str:
    """Why there is no figure, or its marks."""
    return str(value["reason"]) if value["value"] is None else ", ".join(said(mark) for mark in value["marks"])


def _day(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:]}"
