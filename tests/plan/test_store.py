"""Plans in a home: sealed, complete or not there, due once a period."""

import datetime as dt
from pathlib import Path

import pytest

from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.plan.cube import Cube
from cleanroom.plan.store import Plans
from tests.plan import world

WEEK = dt.timedelta(days=7)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.create(tmp_path / "home", "merchant")
    for room in ("demo", "other"):
        (made.rooms / room).mkdir()
    return made


def _cube(when: dt.datetime = world.MADE) -> Cube:
    return world.made(dict(world.small()[0].counts), world.LABELS, when=when)


def test_the_latest_is_given_and_earlier_ones_stay_for_trends(home: Home) -> None:
    plans = Plans(home)
    assert plans.latest("demo") is None
    assert plans.list("demo") == ()
    for when in (world.MADE, world.MADE - WEEK):
        plans.keep("demo", _cube(when))
    latest = plans.latest("demo")
    assert latest is not None
    assert latest.to_bytes() == _cube().to_bytes()
    assert plans.list("demo") == (world.MADE - WEEK, world.MADE)
    assert plans.load("demo", world.MADE - WEEK).made == world.MADE - WEEK
    plans.keep("demo", _cube())
    assert len(plans.list("demo")) == 2


def test_no_label_and_no_count_lies_open_on_the_disk(home: Home) -> None:
    Plans(home).keep("demo", _cube())
    stored = b"".join(path.read_bytes() for path in home.path.rglob("*") if path.is_file())
    assert b"gold" not in stored
    assert "一线".encode() not in stored
    assert _cube().counts["crm.tier",].tobytes() not in stored


def test_changed_or_swapped_files_are_refused(home: Home) -> None:
    plans = Plans(home)
    for when in (world.MADE, world.MADE - WEEK):
        plans.keep("demo", _cube(when))
    files = sorted((home.rooms / "demo/plans").iterdir())
    files[1].write_bytes(files[0].read_bytes())
    with pytest.raises(BadData):
        plans.latest("demo")
    files[1].write_bytes(files[0].read_bytes()[:-1])
    with pytest.raises(BadData):
        plans.latest("demo")


def test_what_a_crash_left_is_no_plan(home: Home) -> None:
    plans = Plans(home)
    plans.keep("demo", _cube())
    (home.rooms / "demo/plans/.20301122T023000Z.ab12cd34").write_bytes(b"half")
    assert plans.list("demo") == (world.MADE,)


def test_a_cube_goes_to_its_own_room_only(home: Home) -> None:
    for room in ("other", "none", "../demo", ".."):
        with pytest.raises(UsageError):
            Plans(home).keep(room, _cube())
    with pytest.raises(UsageError):
        Plans(home).load("demo", world.MADE)


def test_one_a_calendar_week_or_month_is_due(home: Home) -> None:
    plans = Plans(home)
    assert plans.due("demo", "weekly", world.MADE)
    plans.keep("demo", _cube())  # a Sunday, 02:30 UTC
    shanghai = dt.timezone(dt.timedelta(hours=8))
    assert not plans.due("demo", "weekly", dt.datetime(2026, 11, 22, 23, 59, tzinfo=dt.UTC))
    assert not plans.due("demo", "weekly", dt.datetime(2026, 11, 23, 7, 59, tzinfo=shanghai))
    assert plans.due("demo", "weekly", dt.datetime(2026, 11, 23, tzinfo=dt.UTC))
    assert not plans.due("demo", "monthly", dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC))
    assert plans.due("demo", "monthly", dt.datetime(2026, 12, 1, tzinfo=dt.UTC))
    assert not plans.due("demo", "monthly", dt.datetime(2026, 1, 1, tzinfo=dt.UTC)), "a clock that was set back"
    plans.keep("demo", _cube(dt.datetime(2026, 12, 31, tzinfo=dt.UTC)))
    assert not plans.due("demo", "weekly", dt.datetime(2027, 1, 3, tzinfo=dt.UTC)), "a week over new year is one week"
    assert plans.due("demo", "weekly", dt.datetime(2027, 1, 4, tzinfo=dt.UTC))
