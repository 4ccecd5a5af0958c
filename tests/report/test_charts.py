"""What a person sees in a picture: Chinese as characters, withheld figures as withheld, nothing fetched."""

import json
import math
import re
from collections.abc import Iterator
from datetime import date
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

import cleanroom.lang
from cleanroom import lang
from cleanroom.report import charts
from cleanroom.report.charts import Bar, Cell, Picture, Point, Size

SIGNS = "–—‘’“”…·•≤≥≠≈±×÷−→←↑↓▲▼●○■□◆✓✗€£¥￥‰′″∩∪∅"


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    lang.choose("en")
    yield
    lang.choose("en")


def _texts(picture: Picture) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.svg)


def test_chinese_characters_are_drawn_and_are_not_boxes() -> None:
    drawn = [charts.bars("图", [Bar(label, 1.0)]).png(1.0) for label in ("银", "钻")]
    missing = [charts.bars("图", [Bar(label, 1.0)]).png(1.0) for label in ("\ue000", "\ue001")]
    assert drawn[0].startswith(b"\x89PNG")
    assert drawn[0] != drawn[1]
    assert missing[0] == missing[1], "two characters that no font has look alike: the test above tells boxes"


def test_every_chinese_text_of_the_product_is_in_the_font() -> None:
    for file in resources.files(cleanroom.lang).joinpath("zh").iterdir():
        for text in json.loads(file.read_text("utf-8")).values():
            for sign in set(text) - set(SIGNS):
                assert 0x20 <= ord(sign) < 0x100 or sign == "\n" or len(sign.encode("gb2312")) == 2, sign


def test_a_withheld_bar_is_named_and_not_drawn_as_zero() -> None:
    texts = _texts(charts.bars("levels", [Bar("gold", 12.0), Bar("silver", None), Bar("none", 0.0)]))
    assert "withheld" in texts
    assert "12" in texts
    assert texts.count("0") >= 1


def test_money_keeps_its_cents_and_its_axis_does_not() -> None:
    texts = _texts(charts.bars("spend", [Bar("a", 732.5)], unit="¥ a person", form=",.2f"))
    assert {"732.50", "¥ a person", "700"} <= set(texts)
    assert "700.00" not in texts


def test_a_withheld_cell_is_named() -> None:
    texts = _texts(charts.heat("table", [Cell("gold", "city", 40.0), Cell("gold", "town", None)]))
    assert "withheld" in texts
    assert "40" in texts


def test_a_picture_says_that_no_noise_was_added_when_told_so() -> None:
    bar = [Bar("a", 1.0)]
    assert "noise off" in _texts(charts.bars("x", bar, noise_off=True))
    assert "noise off" not in _texts(charts.bars("x", bar))
    lang.choose("zh")
    assert "未加噪" in _texts(charts.bars("x", bar, noise_off=True))


def test_labels_cannot_become_markup() -> None:
    picture = charts.bars("<script>t</script>", [Bar('<img src="x">', 1.0)])
    assert "<script" not in picture.svg
    assert "<img" not in picture.svg


def _all() -> list[Picture]:
    day = date(2026, 1, 1)
    points = [Point(day, 1.0, "a"), Point(date(2026, 3, 1), 2.0, "b", 1.0, 3.0)]
    return [
        charts.bars("bars", [Bar("a", 1.0, "x"), Bar("a", 2.0, "y")], unit="people"),
        charts.heat("heat", [Cell("a", "b", 1.0)], rows="r", columns="c"),
        charts.line("line", points, split=(date(2026, 2, 1), "here")),
        charts.funnel("funnel", [("read", 100), ("valid", 90)]),
        charts.overlap("overlap", Size("m", 100, 200), Size("p", 300, 300), Size("both", 50, 60)),
    ]


def test_pictures_ask_nothing_of_anybody_and_fit_the_page() -> None:
    for picture in _all():
        assert set(re.findall(r"https?://[^\"'\s]*", picture.svg)) <= {
            "http://www.w3.org/2000/svg",
            "http://www.w3.org/1999/xlink",
        }
        assert "style=" not in picture.svg, "the page's policy forbids inline styles"
        width = re.search(r'viewBox="0 0 (\d+)', picture.svg)
        assert width is not None
        assert int(width[1]) <= charts.WIDTH + 20


def test_a_funnel_shows_counts_and_shares() -> None:
    assert "90  (90.0%)" in _texts(charts.funnel("f", [("read", 100), ("valid", 90)]))


def test_a_withheld_overlap_is_drawn_alike_whatever_the_sizes_hide() -> None:
    picture = charts.overlap("o", Size("m", 100, 199), Size("p", 300, 399), Size("both", None, None))
    assert "withheld" in _texts(picture)
    assert "100 – 199" in _texts(picture)


@given(st.floats(5, 100), st.floats(5, 100), st.floats(0.02, 0.98))
def test_the_shared_area_of_two_circles_is_what_was_asked_for(left: float, right: float, share: float) -> None:
    wanted = share * math.pi * min(left, right) ** 2
    assert charts._lens(left, right, charts._distance(left, right, wanted)) == pytest.approx(wanted, rel=1e-6)
