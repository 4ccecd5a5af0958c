"""A report as one HTML file that works anywhere: CSS and SVG inside, no script, nothing asked of any server.

All text that comes in is escaped; the only markup taken as it is are the SVGs that `charts` drew. A page's policy
(Content-Security-Policy) allows its own style sheet by hash and the font inside it, and nothing else, so that a browser
holds us to it. A page with Chinese brings the characters it shows, so that it needs no font of its reader's.
"""

import base64
import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path
from typing import Literal

from cleanroom.files import write_bytes
from cleanroom.lang import current, t
from cleanroom.report import webfont
from cleanroom.report.charts import Picture

_SHORT = 26
"""Latin letters up to which a table's text stays on one line; Chinese characters count twice."""

Value = str | int | float | None
"""What a table's field or a figure holds; None is a withheld figure."""


@dataclass(frozen=True)
class Heading:
    """Level 2 opens a new section, which the page's contents list; level 3 stands inside one."""

    text: str
    level: Literal[2, 3] = 2


@dataclass(frozen=True)
class Paragraph:
    """Running text."""

    text: str


@dataclass(frozen=True)
class Note:
    """A remark that must be seen: how to read a figure, or a warning."""

    text: str
    kind: Literal["info", "warning"] = "info"


@dataclass(frozen=True)
class Figure:
    """One figure with its name and a line of detail."""

    label: str
    value: Value
    detail: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    items: Sequence[Figure]


@dataclass(frozen=True)
class Table:
    """A table; columns that hold numbers only are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]
    caption: str = ""


@dataclass(frozen=True)
class Drawing:
    """A chart, with a line below it."""

    picture: Picture
    caption: str = ""


Block = Heading | Paragraph | Note | Figures | Table | Drawing


def render(title: str, blocks: Sequence[Block], *, subtitle: str = "", footer: str = "") -> str:
    """The page as text, in the current language. Blocks before the first heading make a section without a name."""
    sections = _sections(blocks)
    links = "\n".join(
        f'<a href="#s{number}">{escape(section[0].text)}</a>'
        for number, section in enumerate(sections)
        if isinstance(section[0], Heading)
    )
    sections_drawn = "\n".join(_section(number, section) for number, section in enumerate(sections))
    body = (
        f'<body>\n<header><h1>{escape(title)}</h1>\n<p class="subtitle">{escape(subtitle)}</p>\n<nav>{links}</nav>'
        f"</header>\n<main>\n{sections_drawn}\n</main>\n<footer>{escape(footer)}</footer>\n</body>"
    )
    return f"{_head(title, webfont.face(title + body))}{body}\n</html>\n"


def _head(title: str, font: str) -> str:
    css = font + _css()
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'" + ("; font-src data:" if font else "")
    return (
        f'<!doctype html>\n<html lang="{"zh-CN" if current() == "zh" else "en"}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n<style>{css}</style>\n</head>\n"
    )


def write(path: Path, title: str, blocks: Sequence[Block], *, subtitle: str = "", footer: str = "") -> None:
    """The page as a file of its owner's, whole or not at all. Raises UsageError, BadData."""
    write_bytes(path, render(title, blocks, subtitle=subtitle, footer=footer).encode())


def _sections(blocks: Sequence[Block]) -> list[list[Block]]:
    sections: list[list[Block]] = []
    for block in blocks:
        if not sections or (isinstance(block, Heading) and block.level == 2):
            sections.append([])
        sections[-1].append(block)
    return sections


def _section(number: int, blocks: Sequence[Block]) -> str:
    inner = "\n".join(_block(f"s{number}b{place}", block) for place, block in enumerate(blocks))
    return f'<section id="s{number}">\n{inner}\n</section>'


def _block(name: str, block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Note(text, kind):
            return f'<div class="note {kind}">{escape(text)}</div>'
        case Figures(items):
            return f'<div class="figures">{"".join(map(_figure, items))}</div>'
        case Table():
            return _table(block)
        case Drawing(picture, caption):
            below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
            drawn = f'<div role="img" aria-label="{escape(picture.title)}">{_own_names(picture.svg, name)}</div>'
            return f"<figure>{drawn}{below}</figure>"


def _figure(item: Figure) -> str:
    detail = f'<span class="detail">{escape(item.detail)}</span>' if item.detail else ""
    return (
        f'<div class="figure"><span class="label">{escape(item.label)}</span>'
        f'<span class="value">{_shown(item.value)}</span>{detail}</div>'
    )


def _table(table: Table) -> str:
    classes = [_class([row[place] for row in table.rows]) for place in range(len(table.columns))]
    head = "".join(
        f'<th scope="col" class="{kind}">{escape(name)}</th>' for name, kind in zip(table.columns, classes, strict=True)
    )
    rows = "\n".join(
        "<tr>" + "".join(_field(value, kind) for value, kind in zip(row, classes, strict=True)) + "</tr>"
        for row in table.rows
    )
    caption = f"<caption>{escape(table.caption)}</caption>" if table.caption else ""
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table></div>'


def _class(values: Sequence[Value]) -> str:
    """What a column holds: figures (numbers, withheld ones, texts like '12.3%' and '1,000 – 1,999'), short texts, which
    are not broken, or running text."""
    texts = [value for value in values if isinstance(value, str)]
    if values and all(re.fullmatch(r"[-+−–≤≥<>¥$ \d.,:%/]*", text) for text in texts):
        return "number"
    return "short" if all(_width(text) <= _SHORT for text in texts) else "long"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text)


def _field(value: Value, kind: str) -> str:
    return f'<td class="{"withheld" if value is None else kind}">{_shown(value)}</td>'


def _shown(value: Value) -> str:
    if value is None:
        return escape(t("withheld"))
    if isinstance(value, str):
        return escape(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _own_names(svg: str, name: str) -> str:
    """The SVG with its ids made its own: two pictures of one page may both have drawn a 'clip0'."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    return re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)


@functools.cache
def _css() -> str:
    return resources.files(__package__).joinpath("page.css").read_text("utf-8")
