"""Small pieces of HTML for notebooks: everything is escaped, and nothing is loaded, run or styled beyond its own piece.

Colours are the page's own (`currentColor`, opacity), so that light and dark pages both can be read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from cleanroom.lang import t

_TABLE = "border-collapse:collapse;margin:.3em 0;font-variant-numeric:tabular-nums"
_RULE = "border-bottom:1px solid rgba(128,128,128,.35)"
_HEAD = f"text-align:{{}};font-weight:600;padding:.25em .8em;{_RULE}"
_CELL = f"text-align:{{}};padding:.2em .8em;vertical-align:top;{_RULE}"
_SHORT = 30
"""Letters."""
_MUTED = "opacity:.65;font-size:.9em"


@dataclass(frozen=True)
class Cell:
    """What stands in a field: text; beside: smaller and paler after it; number: put to the right."""

    text: str
    beside: str = ""
    number: bool = False

    def html(self) -> str:
        """Escaped."""
        beside = f' <span style="{_MUTED}">{escape(self.beside)}</span>' if self.beside else ""
        return escape(self.text) + beside


def number(value: float | None, within: float | None = None, *, form: str = "", withheld: bool = True) -> Cell:
    """A number with half its 95 % interval; None is withheld, or merely not there."""
    if value is None:
        return Cell("", t("withheld"), number=True) if withheld else Cell("–", number=True)
    shape = form or (",.2f" if isinstance(value, float) and not float(value).is_integer() else ",.0f")
    return Cell(format(value, shape), f"± {format(within, shape)}" if within is not None else "", number=True)


def between(value: float | None, low: float | None, high: float | None, form: str = ",.0f") -> Cell:
    """A number with its interval."""
    if value is None or low is None or high is None or low == high:
        return number(value, form=form)
    return Cell(format(value, form), f"{format(low, form)} – {format(high, form)}", number=True)


def cell(value: object) -> Cell:
    """Whatever it is."""
    if isinstance(value, Cell):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number(value)
    return Cell("" if value is None else str(value))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; a column of numbers stands to the right."""
    cells = [[cell(value) for value in row] for row in rows]
    right = [bool(cells) and all(row[at].number for row in cells) for at in range(len(head))]
    sides = ["right" if each else "left" for each in right]
    titles = "".join(f'<th style="{_HEAD.format(side)}">{escape(name)}</th>' for name, side in zip(head, sides,
                                                                                             strict=True))  # fmt: skip
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL.format(side)}{_short(each)}">{each.html()}</td>'
                         for each, side in zip(row, sides, strict=True)) + "</tr>"
        for row in cells
    )  # fmt: skip
    above = f'<caption style="text-align:left;font-weight:600;padding:.2em 0">{escape(caption)}</caption>'
    return (f'<table style="{_TABLE}">{above if caption else ""}<thead><tr>{titles}</tr></thead>'
            f"<tbody>{body}</tbody></table>")  # fmt: skip


def _short(shown: Cell) -> str:
    """A short text stays on one line."""
    return ";white-space:nowrap" if len(shown.text) <= _SHORT else ""


def facts(pairs: Mapping[str, object], caption: str = "") -> str:
    """Names and what they are, a line each."""
    rows = "".join(
        f'<tr><th scope="row" style="{_HEAD.format("left")}">{escape(name)}</th>'
        f'<td style="{_CELL.format("left")}">{cell(value).html()}</td></tr>'
        for name, value in pairs.items()
    )
    above = f'<caption style="text-align:left;font-weight:600;padding:.2em 0">{escape(caption)}</caption>'
    return f'<table style="{_TABLE}">{above if caption else ""}<tbody>{rows}</tbody></table>'


def note(text: str) -> str:
    """A line below."""
    return f'<p style="margin:.3em 0;{_MUTED}">{escape(text)}</p>' if text else ""


def title(text: str) -> str:
    """A line above."""
    return f'<p style="margin:.6em 0 .2em;font-weight:600">{escape(text)}</p>' if text else ""


def items(lines: Iterable[str]) -> str:
    """A list."""
    return '<ul style="margin:.2em 0 .4em">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def box(*parts: str) -> str:
    """All together."""
    return f'<div style="margin:.2em 0;overflow-x:auto">{"".join(parts)}</div>'
