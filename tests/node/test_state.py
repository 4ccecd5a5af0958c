"""The node's state: private, whole after every crash, readable on a full disk, refused where it is not what it says."""

import sqlite3
import threading

import pytest
from queue_processes import processes

from cleanroom.errors import BadData, Interrupted, Refused, UsageError
from cleanroom.node.queue import Jobs
from cleanroom.node.state import FILE, State, now, row_of, stamp
from tests.near import new_home


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


@pytest.fixture
def state(path):
    with State(path) as opened:
        yield opened


def test_only_the_owner_may_read_any_of_its_files(tmp_path):
    home = new_home(tmp_path / "home", "merchant")
    with State.open(home) as state:
        Jobs(state).submit("match", "room", {}, "me")
        modes = {file.name: file.stat().st_mode & 0o777 for file in home.path.glob(f"{FILE}*")}
    assert set(modes) == {FILE, f"{FILE}-wal", f"{FILE}-shm", f"{FILE}.lock"}
    assert set(modes.values()) == {0o600}
    assert {file.name for file in home.path.glob(f"{FILE}*")} == {FILE, f"{FILE}.lock"}


def test_what_was_written_is_there_for_the_next(path):
    with State(path) as state:
        job = Jobs(state).submit("match", "room", {"by": ["tier"]}, "me")
    with State(path) as state:
        assert Jobs(state).get(job.id) == job


def test_a_state_of_another_format_is_refused(path):
    State(path).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE meta SET format = 'cleanroom-state/2'")
    database.close()
    with pytest.raises(BadData, match="unknown format"):
        State(path)


def test_a_database_that_is_no_state_is_refused_and_left_alone(path):
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE somebody (else_s TEXT)")
    database.close()
    with pytest.raises(BadData, match="unknown format"):
        State(path)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name FROM sqlite_schema").fetchall() == [("somebody",)]
    database.close()


def test_what_is_no_database_or_no_file_is_refused(tmp_path):
    (tmp_path / "garbage").write_bytes(b"13800138000\n" * 1000)
    with pytest.raises(BadData, match="damaged") as damaged:
        State(tmp_path / "garbage")
    assert "138" not in str(damaged.value)
    (tmp_path / "elsewhere").touch()
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BadData, match="not a regular file"):
        State(tmp_path / "link")
    with pytest.raises(Interrupted, match="could not be"):
        State(tmp_path / "nowhere" / FILE)


def test_a_transaction_is_all_or_nothing_and_so_is_each_inside_another(state):
    jobs = Jobs(state)
    with pytest.raises(Refused), state.transaction():
        jobs.submit("match", "room", {}, "me")
        raise Refused("No.")
    assert jobs.listed() == []
    with state.transaction():
        kept = jobs.submit("match", "room", {}, "me")
        with pytest.raises(Refused), state.transaction():
            jobs.submit("query", "room", {}, "me")
            with state.transaction():
                jobs.submit("crowd", "room", {}, "me")
            raise Refused("No.")
        assert [job.kind for job in jobs.listed()] == ["match"]
    assert jobs.listed() == [kept]


def test_what_is_under_way_is_seen_by_nobody_else(state):
    seen = []
    with state.transaction():
        Jobs(state).submit("match", "room", {}, "me")
        other = threading.Thread(target=lambda: seen.append(Jobs(state).listed()))
        other.start()
        other.join()
    assert seen == [[]]
    assert len(Jobs(state).listed()) == 1


def test_threads_that_come_and_go_leave_no_connection_behind(state):
    def one():
        Jobs(state).submit("match", "room", {}, "me")

    for _ in range(10):
        threads = [threading.Thread(target=one) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(Jobs(state).listed()) == 40
    assert len(state._idle) <= 4


def test_a_closed_state_says_so(path):
    state = State(path)
    state.close()
    with pytest.raises(Interrupted, match="closed"):
        Jobs(state).listed()


def test_a_full_disk_is_named_and_what_is_there_stays_readable(path):
    State(path).close()
    pages = path.stat().st_size // 4096
    with State(path, most_pages=pages + 20) as state:
        jobs = Jobs(state)
        kept = []
        with pytest.raises(Interrupted, match="SQLITE_FULL") as full:
            for _ in range(1000):
                kept.append(jobs.submit("query", "room", {"by": "x" * 1000}, "me"))
        assert full.value.hint == "Check free space and rights."
        assert jobs.listed(most=1000) == kept[::-1]
        running = jobs.take(now(), 0)
        with pytest.raises(Interrupted, match="SQLITE_FULL"):
            jobs.finish(running.id, {"cells": "x" * 100_000})
        assert jobs.get(running.id) == running
        with pytest.raises(Interrupted), state.transaction() as database:
            database.execute("UPDATE jobs SET room = 'another'")
            jobs.submit("query", "room", {"by": "x" * 100_000}, "me")
        assert {job.room for job in jobs.listed()} == {"room"}
    with State(path) as state:  # there is room again
        Jobs(state).finish(running.id, {"cells": "x" * 100_000})
        assert Jobs(state).get(running.id).state == "done"


def test_many_processes_may_make_it_at_the_same_moment(tmp_path):
    for turn in range(3):
        path = tmp_path / f"{turn}.sqlite"
        ids = processes("open", path, 8)
        with State(path) as state:
            assert len(ids) == 8
            assert {job.id for job in Jobs(state).listed()} == set(ids)


def test_moments_are_kept_in_utc_and_sort():
    moment = now()
    assert stamp(moment).endswith("Z")
    assert stamp(moment) < stamp(moment.replace(year=moment.year + 1))
    assert len(stamp(moment.replace(microsecond=0))) == len(stamp(moment.replace(microsecond=999_999)))


@pytest.mark.parametrize("wanted", ["", "abc", "%%%%", "____", "zzzz", "a" * 33, "' OR 1=1"])
def test_what_is_no_number_finds_nothing(state, wanted):
    Jobs(state).submit("match", "room", {}, "me", id="abcd" * 8)
    with pytest.raises(UsageError), state.reading() as database:
        row_of(database, "jobs", wanted)
