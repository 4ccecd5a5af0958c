"""`cleanroom insight` on a room: the owner's own numbers, another owner's boards, costs, portraits and diagnosis."""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom.commands.insight import app
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.insight import boards_read, care, costs, portrait_views, views
from cleanroom.insight.board_store import Boards
from cleanroom.insight.metric import Spent, View
from cleanroom.insight.registry import REGISTRY, documentation
from cleanroom.plan.store import Plans
from cleanroom.rooms.store import Rooms
from tests.boards import world
from tests.insight.microdata import DAY, persons, tables_of
from tests.plan import world as plan_world

ROOM = "spring"
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Home]:
    """The merchant has boards of six weeks, the last two days restated; the platform has its dataset."""
    made = world.homes(tmp_path_factory.mktemp("insight"))
    world.room(made, ROOM)
    world.room(made, "match")
    boards = Boards(made["merchant"])
    frame = persons(3000, 3)
    for back in (35, 34, 30, 28, 21, 14, 7, 2, 1, 0):
        part = frame.head(3000 - 20 * back)
        keep(boards, tables_of(part, sigma=20, seed=back, day=DAY - dt.timedelta(days=back)), back)
    keep(boards, tables_of(frame, sigma=20, seed=99, day=DAY - dt.timedelta(days=1)), 99)
    return made


def keep(boards: Boards, tables: Any, number: int, room: str = ROOM) -> None:
    moment = dt.datetime(2026, 10, 1, tzinfo=dt.UTC) + dt.timedelta(days=60 - number if number < 60 else 61)
    boards.keep(
        room,
        replace(tables, room=room, receipt=f"{number:016x}" + "0" * 48, made=moment.isoformat()),
        f"{number:016x}" * 4,
    )


def path(homes: dict[str, Home], party: str) -> Path:
    return homes[party].path


def values(page: dict[str, Any], name: str) -> dict[str, Any]:
    return next(
        {each["label"]: each for each in found["values"]} for found in page["metrics"] if found["metric"] == name
    )


def test_an_owner_sees_its_own_numbers_exactly(homes: dict[str, Home]) -> None:
    frame = world.users()
    shown = views.page(path(homes, "platform"), ROOM, "overview")
    assert shown["exact"] and shown["sigma"] == 0
    assert values(shown, "total_users")[""]["value"] == len(frame)
    week = frame["visited_last"].isin(["1 day", "2-7 days"]).sum()
    assert values(views.page(path(homes, "platform"), ROOM, "overview", window=7), "visitors")[""]["value"] == week
    alone = views.page(path(homes, "platform"), ROOM, "overview", exclude_import=True)
    assert values(alone, "total_users")[""]["value"] == (frame["imported"] == "no").sum()
    assert "missing" in values(shown, "new_payers")[""]["reason"]
    assert len(Boards(homes["platform"]).list(ROOM, "users")) == 1  # kept once, for later comparison


def test_another_owner_reads_the_newest_board(homes: dict[str, Home]) -> None:
    shown = views.page(path(homes, "merchant"), ROOM, "overview")
    assert (shown["report_date"], shown["exact"], shown["restated"]) == ("20261121", False, False)
    total = values(shown, "total_users")[""]
    assert abs(total["value"] - 3000) < 100 and total["low"] < total["value"] < total["high"]
    earlier = views.page(path(homes, "merchant"), ROOM, "overview", date="20261120")
    assert earlier["restated"] and abs(values(earlier, "total_users")[""]["value"] - 3000) < 100
    with pytest.raises(UsageError) as error:
        views.page(path(homes, "merchant"), ROOM, "overview", date="20260101")
    assert "refresh" in error.value.hint
    with pytest.raises(UsageError):
        views.page(path(homes, "merchant"), ROOM, "overview", date="yesterday")
    with pytest.raises(UsageError):
        views.page(path(homes, "merchant"), ROOM, "overview", window=12)
    with pytest.raises(Refused):
        views.page(path(homes, "operator"), ROOM, "overview")


def test_trends_and_comparisons_over_boards(homes: dict[str, Home]) -> None:
    merchant = path(homes, "merchant")
    found = views.trend(merchant, ROOM)
    assert [point["date"] for point in found["points"]][-2:] == ["20261120", "20261121"]
    assert found["points"][-2]["marks"] == ["restated"] and not found["points"][-1]["marks"]
    assert len(views.trend(merchant, ROOM, period="month")["points"]) == 2
    with pytest.raises(UsageError):
        views.trend(merchant, ROOM, name="by_gender")
    compared = views.compared(merchant, ROOM, names=["total_users", "visitors"])
    assert compared["previous"]["report_date"] == "20261022" and compared["year"]["report_date"] is None
    grown = compared["previous"]["changes"][0]
    assert grown["significant"] and grown["growth"]["low"] < 3000 / 2400 - 1 < grown["growth"]["high"]


def test_flow_is_between_two_dates_thirty_days_apart(homes: dict[str, Home]) -> None:
    found = views.flow(path(homes, "merchant"), ROOM, since="20261022")
    assert found["between"] == ["20261022", "20261121"]
    with pytest.raises(UsageError):
        views.flow(path(homes, "merchant"), ROOM, since="20261001")


def test_costs_are_kept_sealed_and_feed_the_efficiency_metrics(homes: dict[str, Home]) -> None:
    merchant = path(homes, "merchant")
    costs.entered(merchant, ROOM, "2026-11-11", "double-11", "media", "9000.50", None)
    costs.entered(merchant, ROOM, "2026-11-12", "double-11", "coupons", "999.5", None)
    costs.entered(merchant, ROOM, "2026-11-12", "double-11", "attributed", "30000", None)
    costs.entered(merchant, ROOM, "2026-11-12", "double-11", "incremental", "40000", 0.5)
    costs.entered(merchant, ROOM, "2026-09-01", "autumn", "media", "77", None)
    assert costs.spent(homes["merchant"], ROOM, DAY) == Spent(10_000.0, 30_000.0, 40_000.0, 0.5)
    assert len(costs.table(merchant, ROOM)["costs"]) == 5
    assert b"double-11" not in (homes["merchant"].rooms / ROOM / "costs").read_bytes()
    shown = {
        each["metric"]: each["values"][0] for each in views.care(merchant, ROOM)["beside"] if len(each["values"]) == 1
    }
    assert (shown["roi"]["value"], shown["roas"]["value"]) == (1.0, 3.0)
    for bad in (("2026-11-11", "x", "media", "1.005", None), ("11.11.", "x", "media", "1", None),
                ("2026-11-11", "x", "gifts", "1", None), ("2026-11-11", "x", "media", "-1", None),
                ("2026-11-11", "x", "media", "1", 0.5), ("2026-11-11", "x", "incremental", "1", None),
                ("2026-11-11", "", "media", "1", None), ("2026-11-11", "x", "media", "NaN", None)):  # fmt: skip
        with pytest.raises(UsageError):
            costs.entered(merchant, ROOM, *bad)
    assert len(costs.table(merchant, ROOM)["costs"]) == 5
    file = homes["merchant"].rooms / ROOM / "costs"
    kept = file.read_bytes()
    file.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(BadData):
        costs.table(merchant, ROOM)
    file.write_bytes(kept)


def test_the_diagnosis_names_the_weakest_and_one_playbook(homes: dict[str, Home]) -> None:
    shown = views.care(path(homes, "merchant"), ROOM, diagnosed=True)
    assert [each["name"] for each in shown["eight"]] == list(care.EIGHT)
    found = shown["diagnosis"]
    assert found["weakest"] in care.EIGHT and found["playbook"] in care.PLAYBOOKS and found["before"] == "20261022"
    base = persons(3000, 5).assign(consent="yes", reach="yes", converted_30d="yes")
    view = View(tables_of(base))
    assert care.diagnose(View(tables_of(base.assign(interacted_last="never")))).weakest == "interactive"
    again = care.diagnose(View(tables_of(base.assign(converted_30d="no"))), view)
    assert (again.weakest, again.playbook) == ("convertible", "first-order")
    assert next(each for each in again.judged if each.name == "convertible").against == "previous"
    falling = base.assign(stage_before="repeat", stage_30d="none")
    falling.loc[:9, "stage_before"], falling.loc[0, "stage_30d"] = "none", "visit"
    lost = care.diagnose(View(tables_of(falling)), View(tables_of(falling.assign(stage_30d="repeat"))))
    assert (lost.weakest, lost.playbook) == ("growing", "win-back")
    nothing = care.diagnose(View(tables_of(base, columns=("gender",))))
    assert nothing.weakest is None and "None" in nothing.text


def test_a_portrait_of_everybody_is_read_from_the_board(homes: dict[str, Home]) -> None:
    frame = world.users()
    shown = portrait_views.of_everybody(path(homes, "platform"), ROOM, ["gender"], where="stage_30d = 'pay'")
    payers = frame[frame["stage_30d"] == "pay"]
    for each in shown["portraits"][0]["values"]:
        if each["label"] in ("f", "m"):
            share, base = (payers["gender"] == each["label"]).mean(), (frame["gender"] == each["label"]).mean()
            assert each["tgi"] == pytest.approx(100 * share / base)
    with pytest.raises(Refused):
        portrait_views.of_everybody(path(homes, "platform"), ROOM, ["gender"], where="level = 'gold'")
    with pytest.raises(UsageError):
        portrait_views.portrait(path(homes, "merchant"), ROOM)  # no plan


def test_a_portrait_of_the_match_is_read_from_the_plan(homes: dict[str, Home], tmp_path: Path) -> None:
    merchant = homes["merchant"]
    room = Rooms(merchant.rooms).load("match")
    labels = {f"{each.dataset}.{each.column}": each.labels for each in room.annexes or ()}
    sizes = {name: len(each) for name, each in labels.items() if each}
    draw = np.random.default_rng(8)
    counts = plan_world.noised(draw, plan_world.counted(plan_world.people(draw, sizes, 20_000), sizes), 20)
    made = plan_world.made(counts, {name: labels[name] for name in sizes})
    Plans(merchant).keep("match", replace(made, room="match", contract=room.contract.digest()))
    shown = portrait_views.portrait(
        merchant.path, "match", ["gender"], where="level = 'gold'", chart=tmp_path / "p.svg"
    )
    assert [each["label"] for each in shown["portraits"][0]["values"]] == list(labels["users.gender"])
    same = CliRunner().invoke(app, ["portrait", "match", "--where", "level = 'gold'", "--base", "level = 'plain'",
                                    "--home", str(merchant.path), "--json"], catch_exceptions=False)  # fmt: skip
    several = json.loads(same.stdout)
    assert {each["column"] for each in several["portraits"]} == set(sizes) - {"crm.level"}
    assert several["base"] == "level = 'plain'"
    with pytest.raises(UsageError):
        portrait_views.geography(merchant.path, "match")
    assert boards_read.reading(homes["platform"].path, "match").view().matched is None  # it keeps no such plan
    keep(Boards(merchant), tables_of(persons(3000, 3), sigma=20, seed=1), 1, "match")
    identified = {each["name"]: each for each in views.care(merchant.path, "match")["eight"]}["identifiable"]
    assert identified["values"][0]["value"] == 1.0  # more in the match than persons on the board: cut


@pytest.fixture
def chinese() -> Iterator[None]:
    lang.choose("zh")
    yield
    lang.choose("en")


@pytest.mark.parametrize("words", [
    ["overview"], ["composition"], ["behaviour"], ["funnel", "--window", "7"], ["retention"], ["flow"],
    ["care", "--diagnose"], ["trend", "--by", "week"], ["compare"],
])  # fmt: skip
def test_every_command_shows_a_table_a_picture_and_json(
    homes: dict[str, Home], words: list[str], tmp_path: Path, chinese: None
) -> None:
    runner, picture = CliRunner(), tmp_path / "picture.svg"
    where = ["--home", str(path(homes, "merchant"))]
    said = runner.invoke(app, [words[0], ROOM, *words[1:], *where, "--chart", str(picture)], catch_exceptions=False)
    assert said.exit_code == 0 and "spring" in said.stdout and "报表日" in said.stdout
    assert picture.read_text("utf-8").startswith("<svg")
    plain = runner.invoke(app, [words[0], ROOM, *words[1:], *where, "--json"], catch_exceptions=False)
    assert json.loads(plain.stdout)["room"] == ROOM


def test_the_registry_is_listed_and_documented() -> None:
    shown = json.loads(CliRunner().invoke(app, ["metrics", "--json"], catch_exceptions=False).stdout)
    assert [each["name"] for each in shown["metrics"]] == list(REGISTRY)
    assert all(each[key] for each in shown["metrics"] for key in ("en", "zh", "definition", "definition_zh", "base_zh"))
    assert DOCUMENT.read_text("utf-8") == documentation()


def test_reading_keeps_versions_of_ones_own_data(tmp_path: Path) -> None:
    made = world.homes(tmp_path, ("merchant", "platform", "operator"))
    world.room(made, ROOM)
    platform = made["platform"]
    assert boards_read.reading(platform.path, ROOM).restated == ()
    more = pd.concat([world.users(), world.users(50, 9).assign(phone=[str(13_900_000_000 + n) for n in range(50)])])
    world.add(platform, tmp_path, "users", more)
    read = boards_read.reading(platform.path, ROOM)
    assert int(read.tables().counts[()]) == len(more) and read.restated == (read.day,)
