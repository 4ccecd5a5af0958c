"""A page is one file that shows what it was given, runs nothing and asks nobody."""

import base64
import hashlib
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from fontTools.pens.boundsPen import BoundsPen
from fontTools.ttLib import TTFont
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom import lang
from cleanroom.errors import UsageError
from cleanroom.report import charts, page, webfont
from cleanroom.report.page import Block, Drawing, Figure, Figures, Heading, Note, Paragraph, Table

VOID = {"meta"}


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    lang.choose("en")
    yield
    lang.choose("en")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def _read(html: str) -> _Reader:
    reader = _Reader()
    reader.feed(html)
    assert reader.open == []
    return reader


def _blocks(text: str) -> list[Block]:
    return [
        Heading(text),
        Heading(text, 3),
        Paragraph(text),
        Note(text, "warning"),
        Figures([Figure(text, text, text)]),
        Table([text], [[text]], text),
    ]


@settings(max_examples=20, deadline=None)
@given(
    st.text(max_size=30).map(lambda text: "<script>alert(1)</script>'\"&" + text.replace("\r", "").replace("\0", ""))
)
def test_no_text_becomes_markup(text: str) -> None:
    reader = _read(page.render(text, _blocks(text), subtitle=text, footer=text))
    assert "script" not in reader.tags
    assert reader.texts.count(text) == 15


def test_the_policy_allows_the_own_style_and_nothing_else() -> None:
    html = page.render("t", _blocks("x"))
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert style is not None
    assert policy is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy[1] == f"default-src &#x27;none&#x27;; style-src &#x27;sha256-{digest}&#x27;"


def test_nothing_is_fetched_and_every_id_is_its_own() -> None:
    picture = charts.bars("图", [charts.Bar("一", 1.0)])
    html = page.render("t", [Heading("a"), Drawing(picture, "c"), Drawing(picture), Heading("b"), Paragraph("x")])
    reader = _read(html)
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert not {"script", "img", "iframe", "link", "object", "form"} & set(reader.tags)
    assert not [name for name, _ in reader.attributes if name in ("src", "srcset", "action") or name.startswith("on")]
    assert {value for name, value in reader.attributes if name == "href"} == {"#s0", "#s1"}


def test_references_inside_a_picture_follow_its_renamed_ids() -> None:
    svg = '<svg><clipPath id="c"/><g clip-path="url(#c)"/><use href="#c"/></svg>'
    html = page.render("t", [Drawing(charts.Picture("a", svg)), Drawing(charts.Picture("b", svg))])
    for name in re.findall(r'<clipPath id="([^"]+)"', html):
        assert html.count(f'"{name}"') == 1
        assert html.count(f"url(#{name})") == 1
        assert html.count(f'href="#{name}"') == 1


def test_withheld_figures_are_named_in_the_language_of_the_page() -> None:
    blocks: list[Block] = [Table(["n"], [[None], [3]]), Figures([Figure("f", None)])]
    english = page.render("t", blocks)
    assert '<td class="withheld">withheld</td>' in english
    assert '<html lang="en">' in english
    lang.choose("zh")
    chinese = page.render("t", blocks)
    assert chinese.count("不予显示") == 2
    assert '<html lang="zh-CN">' in chinese


def test_numbers_are_grouped_and_set_to_the_right_and_texts_are_not() -> None:
    html = page.render("t", [Table(["name", "n"], [["a", 1234567], ["b", "12.5%"]])])
    assert '<td class="number">1,234,567</td>' in html
    assert '<td class="number">12.5%</td>' in html
    assert '<td class="short">a</td>' in html


def test_short_texts_keep_to_one_line_and_only_running_text_is_broken() -> None:
    digest = "ab" * 32
    html = page.render("t", [Table(["room", "会员等级", "n", "d"], [["audience", "三线及以下", None, digest]])])
    assert '<td class="short">audience</td><td class="short">三线及以下</td>' in html
    assert f'<td class="long">{digest}</td>' in html
    assert '<td class="long">会员会员会员会员会员会员会员会员</td>' in page.render("t", [Table(["a"], [["会员" * 8]])])


def _font(html: str) -> TTFont:
    content = re.search(r"url\(data:font/woff;base64,([^)]*)\)", html)
    assert content is not None
    return TTFont(io.BytesIO(base64.b64decode(content[1])))


def test_a_page_with_chinese_brings_its_own_characters_and_no_others() -> None:
    picture = charts.bars("钻石会员", [charts.Bar("银", 1.0)])
    html = page.render(
        "题", [Heading("甲"), Drawing(picture), Table(["列"], [["值"]], "表")], subtitle="副", footer="脚"
    )
    signs = set(_font(html).getBestCmap())
    assert {ord(sign) for sign in "题甲钻石会员银列值表副脚 0.1"} <= signs
    assert ord("金") not in signs
    assert "; font-src data:" in html
    assert len(html) < 40_000
    style = re.search(r"<style>(.*?)</style>", html, re.S)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in html, "the policy allows the style"
    families = re.findall(r'font-family="([^"]*)"', picture.svg)
    assert families
    assert all(family.startswith(webfont.FAMILY) for family in families)
    assert f'font-family: "{webfont.FAMILY}"' in html


def test_every_character_of_the_font_that_is_shown_has_a_shape() -> None:
    font = _font(page.render("会", [Paragraph("员 A")]))
    glyphs, shapes = font.getBestCmap(), font.getGlyphSet()
    for sign in "会员A":
        pen = BoundsPen(shapes)
        shapes[glyphs[ord(sign)]].draw(pen)
        assert pen.bounds is not None


def test_a_page_without_chinese_carries_no_font() -> None:
    html = page.render("t", [Paragraph("1–2 × ¥3, é, ↑")])
    assert "font-face" not in html
    assert "font-src" not in html


def test_a_page_is_written_whole_for_its_owner_or_not_at_all(tmp_path: Path) -> None:
    page.write(tmp_path / "report.html", "t", [Paragraph("x")])
    assert (tmp_path / "report.html").read_text("utf-8").endswith("</html>\n")
    assert (tmp_path / "report.html").stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError):
        page.write(tmp_path / "none" / "report.html", "t", [])
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
