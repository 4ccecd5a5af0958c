"""What people see of a plan, on the terminal and in pictures, in both languages; and the accuracy they may ask."""

import io
import re
from collections.abc import Iterator

import pytest
from rich.console import Console

from cleanroom import lang
from cleanroom.errors import UsageError
from cleanroom.plan import charts
from cleanroom.plan.accuracy import within
from cleanroom.plan.comparing import portrait
from cleanroom.plan.overview import overview
from cleanroom.plan.reading import answer
from cleanroom.terminal.plan import plan_shown
from tests.plan import world


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    lang.choose("en")
    yield
    lang.choose("en")


def _shown(count: int = 20_000) -> str:
    console = Console(file=io.StringIO(), width=100)
    plan_shown(console, overview(world.small(count=count)[0]))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_terminal_shows_each_column_with_its_intervals() -> None:
    text = _shown()
    assert "from the plan of 2026-11-22, ±" in text
    gold = answer(world.small()[0], ("crm.tier",)).groups[0]
    assert re.search(rf"gold.*█.*{gold.people:,}.*{gold.within}", text)
    assert "withheld" in _shown(2000)


def test_the_terminal_speaks_chinese() -> None:
    lang.choose("zh")
    text = _shown(2000)
    assert "匹配人群" in text
    assert "2026-11-22 的测算快照" in text
    assert "不予显示" in text
    words = set(re.findall("[A-Za-z]{3,}", text)) - set(re.findall("[a-z]+", " ".join(world.LABELS)))
    assert words <= {"demo", "gold", "silver", "basic", *re.findall("[A-Za-z]{3,}", "cd" * 32)}


def test_the_figures_are_plain() -> None:
    figures = overview(world.small()[0])
    assert [each["column"] for each in figures["columns"]] == sorted(world.LABELS)
    assert figures["total"]["within"] < 39, "less than of a table alone"


def test_pictures_have_whiskers_and_withheld_values_have_none() -> None:
    cube = world.small(count=1500)[0]
    found = answer(cube, ("crm.tier",))
    drawn = charts.groups_drawn("等级", found).svg
    shown = [group for group in found.groups if group.people is not None]
    assert 0 < len(shown) < len(found.groups)
    assert drawn.count("withheld") >= 1
    assert all(f"{group.people:,}" in drawn for group in shown)
    assert drawn.count("rule mark") >= 1
    assert "from the plan of 2026-11-22" in drawn
    picture = charts.portrait_drawn("城市", portrait(world.small()[0], "users.city", ((("crm.tier", (0,)),),)))
    assert picture.png(1.0).startswith(b"\x89PNG")
    assert "TGI" in picture.svg


@pytest.mark.parametrize(
    ("text", "population", "persons"),
    [("30", None, 30), (" 30 ", 5, 30), ("5%", 1000, 50), ("0.5 %", 10_000, 50), ("5％", 1000, 50)],
)
def test_an_accuracy_is_persons_or_a_share(text: str, population: int | None, persons: int) -> None:
    assert within(text, population) == persons


@pytest.mark.parametrize(
    ("text", "population"),
    [("5%", None), ("", 5), ("0", 5), ("1.5", 5), ("-3", 5), ("5%", 10), ("nan", 5), ("1e3", 5), ("5%%", 5), ("٣٠", 5)],
)
def test_other_accuracies_are_refused(text: str, population: int | None) -> None:
    with pytest.raises(UsageError):
        within(text, population)
