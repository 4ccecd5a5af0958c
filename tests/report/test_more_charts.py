"""The pictures of the console: what is withheld is drawn as withheld, and nothing is drawn that was not given."""

import re

import pytest

from cleanroom import lang
from cleanroom.report import more_charts
from cleanroom.report.charts import Picture
from cleanroom.report.more_charts import Flow, Range, Slice, Tile


def words(picture: Picture) -> list[str]:
    """All texts of a drawing."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", picture.svg)


RANGES = [Range("mini program", 5000, 4900, 5100), Range("live", None), Range("coupon", 1500, 1500, 1500)]


def test_a_withheld_bar_says_so_and_has_no_figure() -> None:
    found = words(more_charts.ranges("Relations", RANGES, unit="persons"))
    assert {"withheld", "5,000", "1,500", "mini program", "live"} <= set(found)


def test_only_a_figure_with_noise_has_a_whisker() -> None:
    noised = more_charts.ranges("a", [Range("x", 10, 5, 15)]).svg
    exact = more_charts.ranges("a", [Range("x", 10, 10, 10)]).svg
    assert noised.count('aria-roledescription="tick"') == 2
    assert 'aria-roledescription="tick"' not in exact


def test_two_dates_stand_side_by_side_with_a_legend() -> None:
    found = words(more_charts.ranges("a", [Range("x", 10, 9, 11, "now"), Range("x", 8, 7, 9, "before")]))
    assert {"now", "before", "10", "8"} <= set(found)


def test_a_ring_shows_every_value_and_leaves_withheld_ones_empty() -> None:
    slices = [Slice("reachable", "Scale", 0.25, "25.0%"), Slice("efficient", "Efficiency", None, "withheld")]
    picture = more_charts.ring("C-CARE", slices, "C-CARE")
    assert {"25.0%", "reachable", "withheld", "efficient", "Scale", "Efficiency", "C-CARE"} <= set(words(picture))
    arcs = [group.count("<path") for group in re.findall(r'class="mark-arc.*?</g>', picture.svg)]
    assert arcs == [2, 1], "a ground each, and only the released one is filled"


def test_steps_give_interval_and_share_of_the_first() -> None:
    items = [Range("all", 1000, 900, 1100), Range("pay", 250, 200, 300), Range("repeat", None)]
    assert {"900 – 1,100  (100.0%)", "200 – 300  (25.0%)", "withheld"} <= {
        each.replace("\xa0", " ") for each in words(more_charts.steps("Funnel", items))
    }


def test_flows_have_a_band_each_and_no_figure_where_withheld() -> None:
    flows = [Flow("none", "visit", 300), Flow("none", "none", 700), Flow("visit", "none", None)]
    picture = more_charts.flows("Flow", flows, before="2026-01-01", after="2026-01-31")
    found = words(picture)
    assert {"300", "700", "2026-01-01", "2026-01-31"} <= set(found)
    assert "0" not in found and "1,000" not in found
    assert picture.svg.count('aria-roledescription="area mark"') == 2
    assert picture.svg.count('aria-roledescription="line mark"') == 1


def test_tiles_stand_at_their_places_and_withheld_ones_have_no_figure() -> None:
    found = words(more_charts.tiles("Map", [Tile("广东", 7, 6, 494), Tile("北京", 9, 2, None)], ground=[(1, 1)]))
    assert {"广东", "494", "北京", "–"} <= set(found)


@pytest.mark.parametrize("empty", [more_charts.ranges, more_charts.steps])
def test_nothing_to_draw_is_no_error(empty: object) -> None:
    assert "<svg" in empty("a", []).svg  # type: ignore[operator]


def test_all_withheld_is_drawn() -> None:
    assert words(more_charts.tiles("Map", [Tile("广东", 7, 6, None)])).count("–") == 1
    assert "withheld" in words(more_charts.ranges("a", [Range("x", None)]))


def test_words_are_chinese_in_chinese() -> None:
    with lang.speaking("zh"):
        assert "不予显示" in words(more_charts.ranges("a", [Range("x", None)]))


def test_a_picture_can_be_had_as_png() -> None:
    assert more_charts.ring("a", [Slice("x", "g", 1.0, "1")], "m").png(1.0).startswith(b"\x89PNG")
