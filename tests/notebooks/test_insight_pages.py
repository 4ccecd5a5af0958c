"""Boards in a notebook: figures with their intervals, pictures, the diagnosis, changes; in both languages."""

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import cleanroom as cr
from cleanroom import lang
from cleanroom.errors import UsageError
from cleanroom.insight.board_store import Boards
from cleanroom.insight.views import PAGES
from tests.boards import world
from tests.insight.microdata import DAY, persons, tables_of

ROOM = "spring"
COMMAND = "cleanroom insight cost add"
pytestmark = pytest.mark.xdist_group("notebooks-pages")


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> cr.Room:
    """The merchant's, with two boards of the platform's dataset, thirty days apart."""
    homes = world.homes(tmp_path_factory.mktemp("pages"))
    world.room(homes, ROOM)
    for number, back in enumerate((30, 0)):
        tables = tables_of(persons(3000 - 20 * back, 3), sigma=20, seed=back, day=DAY - dt.timedelta(days=back))
        made = dt.datetime(2026, 10, 1 + number, tzinfo=dt.UTC).isoformat()
        kept = replace(tables, room=ROOM, receipt=f"{number:016x}" * 4, made=made)
        Boards(homes["merchant"]).keep(ROOM, kept, f"{number:016x}" * 4)
    return cr.Room.open(Path(homes["merchant"].path), ROOM)


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    before = lang.current()
    lang.choose(request.param)
    yield request.param
    lang.choose(before)


def text(shown: Any) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", shown._repr_html_())))


def test_every_page_shows_its_figures_in_the_language_asked_for(room: cr.Room, language: str) -> None:
    pages = [*map(room.page, PAGES), room.care(), room.care().diagnosis, room.trend(), room.compare()]
    for page in pages:
        shown = text(page)
        chinese = len(re.findall(r"[\u4e00-\u9fff]", shown))
        assert (chinese > 20) == (language == "zh"), (page, shown)
        assert language == "en" or not re.findall(r"[A-Za-z]+(?: [a-z]+){3}", shown.replace(COMMAND, "")), shown


def test_a_figure_stands_with_its_interval(room: cr.Room) -> None:
    page = room.page("overview")
    first = page.df().iloc[0]
    assert first["from"] < first["value"] < first["to"]
    assert f"{first['value']:,.0f} {first['from']:,.0f} – {first['to']:,.0f}" in text(page)
    assert "Reading is free" in page.said()
    assert room.page("funnel").chart().svg.startswith("<svg")


def test_changes_are_against_the_board_there_is(room: cr.Room) -> None:
    compared = room.compare("total_users")
    assert "there is no board" in compared.said()
    (line,) = compared.rows
    assert line["now"] > line["before"]
    assert line["from"] <= line["growth"] <= line["to"]


def test_a_diagnosis_names_what_helps(room: cr.Room) -> None:
    found = room.care().diagnosis
    assert found.weakest
    assert found.plain["text"] in text(found)


def test_another_day_or_dataset_is_refused(room: cr.Room) -> None:
    with pytest.raises(UsageError):
        room.page("overview", date="20200101")
    with pytest.raises(UsageError):
        room.trend("funnel")
