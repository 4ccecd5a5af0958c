"""A due moment gives its job once: over month ends, summer times, nights off, and clocks that were wrong."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.errors import UsageError
from cleanroom.node.queue import Jobs
from cleanroom.node.schedule import Schedules, next_after
from cleanroom.node.state import FILE, State, stamp

DAY, HOUR = dt.timedelta(days=1), dt.timedelta(hours=1)
SHANGHAI = ZoneInfo("Asia/Shanghai")
SPECS = ["daily 03:30", "daily 00:00", "weekly mon 03:30", "weekly sun 23:59", "monthly 1 03:30", "monthly 31 23:00",
         "hourly :15", "hourly :00", "daily 02:30 Europe/Berlin", "monthly 29 02:30 America/New_York"]  # fmt: skip


def at(text, zone=SHANGHAI):
    return dt.datetime.fromisoformat(text).replace(tzinfo=zone)


@pytest.fixture
def world(tmp_path):
    with State(tmp_path / FILE) as state:
        jobs = Jobs(state, most_waiting=3)
        yield Schedules(state, jobs), jobs, state


def begun(world, spec, moment, **more):
    """A schedule that was added at `moment`."""
    schedules, _, state = world
    name = schedules.add(spec, more.get("kind", "refresh"), "room", {"dataset": "crm"}, "me")
    with state.transaction() as database:
        database.execute("UPDATE schedules SET next = ? WHERE id = ?", (stamp(next_after(spec, moment)), name))
    return name


def done(world):
    """All that waits is taken and done."""
    _, jobs, _ = world
    while job := jobs.take(at("2100-01-01T00:00"), 0):
        jobs.finish(job.id, {})


@pytest.mark.parametrize(
    ("spec", "moment", "expected"),
    [
        ("daily 03:30", "2026-11-22T03:29", "2026-11-22T03:30"),
        ("daily 03:30", "2026-11-22T03:30", "2026-11-23T03:30"),
        ("daily 03:30", "2026-12-31T12:00", "2027-01-01T03:30"),
        ("daily 03:30 Asia/Shanghai", "2026-12-31T12:00", "2027-01-01T03:30"),
        ("weekly mon 03:30", "2026-11-22T23:00", "2026-11-23T03:30"),
        ("weekly mon 03:30", "2026-11-23T03:30", "2026-11-30T03:30"),
        ("weekly sun 3:05", "2026-11-22T12:00", "2026-11-29T03:05"),
        ("monthly 1 03:30", "2026-11-01T03:30", "2026-12-01T03:30"),
        ("monthly 31 03:30", "2026-01-31T04:00", "2026-02-28T03:30"),
        ("monthly 31 03:30", "2028-02-01T00:00", "2028-02-29T03:30"),
        ("monthly 30 03:30", "2026-02-01T00:00", "2026-02-28T03:30"),
        ("monthly 30 03:30", "2026-03-01T00:00", "2026-03-30T03:30"),
        ("monthly 31 03:30", "2026-04-30T03:30", "2026-05-31T03:30"),
        ("monthly 31 03:30", "2026-12-31T03:30", "2027-01-31T03:30"),
        ("hourly :15", "2026-11-22T03:14:59", "2026-11-22T03:15"),
        ("hourly :15", "2026-11-22T03:15", "2026-11-22T04:15"),
        ("hourly :00", "2026-12-31T23:59", "2027-01-01T00:00"),
    ],
)
def test_the_next_moment_in_shanghai(spec, moment, expected):
    assert next_after(spec, at(moment)) == at(expected)


@pytest.mark.parametrize(
    ("spec", "moment", "expected"),
    [
        ("daily 02:30 Europe/Berlin", "2026-03-28T12:00+00:00", "2026-03-29T01:30+00:00"),  # there is no 02:30
        ("daily 02:30 Europe/Berlin", "2026-03-29T01:30+00:00", "2026-03-30T00:30+00:00"),
        ("daily 02:30 Europe/Berlin", "2026-10-24T12:00+00:00", "2026-10-25T00:30+00:00"),  # there are two
        ("daily 02:30 Europe/Berlin", "2026-10-25T00:30+00:00", "2026-10-26T01:30+00:00"),
        ("hourly :15 Asia/Kolkata", "2026-11-22T03:00+00:00", "2026-11-22T03:45+00:00"),
        ("daily 03:30", "2026-11-21T19:29+00:00", "2026-11-21T19:30+00:00"),
        ("daily 03:30", "2026-11-22T03:29+08:00", "2026-11-21T19:30+00:00"),
    ],
)
def test_the_next_moment_over_zones_and_summer_times(spec, moment, expected):
    found = next_after(spec, dt.datetime.fromisoformat(moment))
    assert found == dt.datetime.fromisoformat(expected)
    assert found.tzinfo is dt.UTC


@pytest.mark.parametrize(
    "spec",
    ["", "daily", "daily 24:00", "daily 03:60", "daily 3", "weekly 03:30", "weekly xyz 03:30", "monthly 0 03:30",
     "monthly 32 03:30", "hourly 15", "hourly 03:15", "daily :15", "daily 03:30 Mars/Base", "daily 03:30 ../../etc",
     "daily 03:30 Asia", "* * * * *", "daily  03:30", "daily ٠٣:30", "daily 03:30\n", "x" * 200],
)  # fmt: skip
def test_what_says_no_time_is_refused(world, spec):
    with pytest.raises(UsageError, match=r"no schedule|time zone") as refused:
        world[0].add(spec, "refresh", "room", {}, "me")
    assert len(str(refused.value)) < 300
    assert world[0].listed() == []


@given(spec=st.sampled_from(SPECS), seconds=st.integers(0, 4 * 366 * 86400), more=st.integers(0, 40 * 86400))
def test_moments_go_forward_and_none_is_left_out(spec, seconds, more):
    moment = at("2025-01-01T00:00") + dt.timedelta(seconds=seconds)
    later = moment + dt.timedelta(seconds=more)
    first, second = next_after(spec, moment), next_after(spec, later)
    assert moment < first <= second
    assert second == first or first <= later
    assert next_after(spec, first - dt.timedelta(milliseconds=1)) == first


def test_a_node_that_was_off_for_three_days_runs_a_daily_job_once(world):
    schedules, jobs, _ = world
    begun(world, "daily 03:30", at("2026-11-20T12:00"))
    (job,) = schedules.due(at("2026-11-23T12:00"))
    assert (job.kind, job.room, job.arguments, job.asked_by) == ("refresh", "room", {"dataset": "crm"}, "me")
    assert schedules.due(at("2026-11-23T12:00")) == []
    assert schedules.listed()[0].next == stamp(at("2026-11-24T03:30"))
    done(world)
    assert schedules.due(at("2026-11-24T03:29")) == []
    assert len(schedules.due(at("2026-11-24T03:30"))) == 1
    assert len(jobs.listed()) == 2


def test_a_clock_set_back_by_a_day_brings_nothing_twice(world):
    schedules, jobs, _ = world
    begun(world, "daily 03:30", at("2026-11-20T12:00"))
    assert len(schedules.due(at("2026-11-22T12:00"))) == 1  # a day too early, as it turns out
    done(world)
    for hours in range(24):  # 21 November 12:00 to 22 November 12:00, again
        assert schedules.due(at("2026-11-21T12:00") + hours * HOUR) == []
    assert len(schedules.due(at("2026-11-23T03:30"))) == 1
    assert len(jobs.listed()) == 2


def test_a_clock_that_was_years_ahead_does_not_silence_a_schedule_for_years(world):
    schedules, _, _ = world
    begun(world, "daily 03:30", at("2026-11-20T12:00"))
    assert len(schedules.due(at("2036-01-01T12:00"))) == 1
    done(world)
    assert schedules.due(at("2026-11-20T12:01")) == []
    assert len(schedules.due(at("2026-11-21T03:30"))) == 1


@settings(deadline=None)
@given(
    spec=st.sampled_from(["daily 03:30", "hourly :15", "monthly 31 03:30", "daily 02:30 Europe/Berlin"]),
    steps=st.lists(st.integers(-2 * 86400, 5 * 86400), min_size=1, max_size=15),
)
def test_no_moment_ever_gives_two_jobs_however_the_clock_goes(tmp_path_factory, spec, steps):
    with State(tmp_path_factory.mktemp("node") / FILE) as state:
        jobs = Jobs(state)
        world, moment, stood_for = (Schedules(state, jobs), jobs, state), at("2026-11-20T12:00"), []
        begun(world, spec, moment)
        for step in steps:
            moment += dt.timedelta(seconds=step)
            given = world[0].due(moment)
            assert len(given) <= 1
            assert world[0].due(moment) == []
            if given:
                stood_for.append(latest(spec, moment))
            done(world)
        assert len(set(stood_for)) == len(stood_for)


def latest(spec, moment):
    """The last moment of a schedule until `moment`, by trying."""
    back = next(hours for hours in range(1, 800) if next_after(spec, moment - hours * HOUR) <= moment)
    found = moment - back * HOUR
    while (after := next_after(spec, found)) <= moment:
        found = after
    return found


def test_while_the_last_job_still_waits_no_other_is_queued(world):
    schedules, jobs, _ = world
    begun(world, "hourly :15", at("2026-11-22T00:00"))
    assert len(schedules.due(at("2026-11-22T00:15"))) == 1
    assert schedules.due(at("2026-11-22T01:15")) == []
    jobs.take(at("2100-01-01T00:00"), 0)
    assert len(schedules.due(at("2026-11-22T02:15"))) == 1


def test_where_too_many_jobs_wait_a_schedule_stays_due_and_others_go_on(world):
    schedules, jobs, _ = world
    for kind in ("match", "refresh", "query", "crowd"):
        begun(world, "daily 03:30", at("2026-11-20T12:00"), kind=kind)
    assert len(schedules.due(at("2026-11-21T12:00"))) == 3
    assert schedules.due(at("2026-11-21T12:00")) == []
    done(world)
    (last,) = schedules.due(at("2026-11-21T12:01"))
    assert last.kind == "crowd"
    assert len(jobs.listed()) == 4


def test_a_node_killed_while_jobs_are_given_gives_them_once(world):
    """All jobs of a look, and what is due next, are one transaction."""
    schedules, jobs, state = world
    begun(world, "daily 03:30", at("2026-11-20T12:00"))
    with pytest.raises(KeyboardInterrupt), state.transaction():
        schedules.due(at("2026-11-21T12:00"))
        raise KeyboardInterrupt
    assert jobs.listed() == []
    assert len(schedules.due(at("2026-11-21T12:00"))) == 1


def test_a_schedule_is_listed_found_and_removed(world):
    schedules, jobs, _ = world
    first = begun(world, "daily 03:30", at("2026-11-20T12:00"))
    second = begun(world, "hourly :15", at("2026-11-20T12:00"))
    assert [each.id for each in schedules.listed()] == [second, first]
    assert schedules.get(first[:8]).spec == "daily 03:30"
    assert len(schedules.due(at("2026-11-21T12:00"))) == 2
    schedules.remove(second[:8])
    assert [each.id for each in schedules.listed()] == [first]
    assert len(jobs.listed()) == 2
    with pytest.raises(UsageError):
        schedules.remove(second)
