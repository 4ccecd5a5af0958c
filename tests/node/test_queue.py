"""Jobs happen once, in order, whoever asks and whatever is killed; they hold no data and end by name."""

import datetime as dt
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from queue_processes import processes

from cleanroom.errors import BadData, CleanroomError, Interrupted, Refused, UsageError
from cleanroom.node.control import unpack_error
from cleanroom.node.queue import LARGEST, Jobs
from cleanroom.node.state import FILE, State, now, stamp

LATER = dt.timedelta(hours=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / FILE


@pytest.fixture
def state(path):
    with State(path) as opened:
        yield opened


@pytest.fixture
def jobs(state):
    return Jobs(state)


def submitted(jobs, kind="match", room="room", **more):
    return jobs.submit(kind, room, {"by": ["tier"]}, "me", **more)


class Node(RuleBasedStateMachine):
    """Any interleaving of calls and kills, against a dictionary."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.model = {}
        self.open()

    def open(self):
        self.state = State(Path(self.folder.name) / FILE)
        self.jobs = Jobs(self.state, most_running=2, most_waiting=4)

    def teardown(self):
        self.state.close()
        self.folder.cleanup()

    def of(self, *states):
        return [name for name, job in self.model.items() if job["state"] in states]

    @rule(peer=st.sampled_from(["", "platform"]), data=st.data())
    def submit(self, peer, data):
        again = data.draw(st.sampled_from([None, *self.model]))
        if again is not None:
            peer = self.model[again]["peer"]
        if again is None and len(self.of("queued")) == 4:
            with pytest.raises(Refused, match="wait already"):
                submitted(self.jobs, peer=peer)
            return
        job = submitted(self.jobs, peer=peer, id=again)
        if again is None:
            self.model[job.id] = {"state": "queued", "peer": peer, "attempts": 0, "cancelling": False, "later": False}
        assert again in (None, job.id)

    @rule()
    def take(self):
        running = len(self.of("running"))
        due = [name for name in self.of("queued") if not self.model[name]["later"] and not self.model[name]["peer"]]
        job = self.jobs.take(now(), running)
        expected = due[0] if due and running < 2 else None
        assert (job.id if job else None) == expected
        if job:
            self.model[job.id]["state"] = "running"

    @rule(data=st.data())
    def begin(self, data):
        name = data.draw(st.sampled_from([*self.model, "0" * 32]))
        job = self.model.get(name)
        if job and job["state"] == "queued" and job["peer"]:
            assert self.jobs.begin(name).state == "running"
            job["state"] = "running"
        else:
            with pytest.raises(UsageError):
                self.jobs.begin(name)

    @rule(data=st.data())
    def finish(self, data):
        name = data.draw(st.sampled_from([*self.model, "0" * 32]))
        if name in self.of("running"):
            self.jobs.finish(name, {"matched": 5})
            self.model[name]["state"] = "done"
        else:
            with pytest.raises(UsageError, match="has ended"):
                self.jobs.finish(name, {"matched": 5})

    @rule(data=st.data(), again=st.booleans())
    def fail(self, data, again):
        name = data.draw(st.sampled_from([*self.model, "0" * 32]))
        again_at = now() + LATER if again else None
        if name not in self.of("running", "queued"):
            with pytest.raises(UsageError, match="has ended"):
                self.jobs.fail(name, Refused("No."), again_at)
            return
        self.jobs.fail(name, Refused("No."), again_at)
        job = self.model[name]
        if job["cancelling"]:
            job["state"] = "cancelled"
        else:
            job.update(state="queued" if again else "failed", later=again, attempts=job["attempts"] + 1)

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data):
        name = data.draw(st.sampled_from([*self.model]))
        job = self.model[name]
        if job["state"] in ("done", "failed"):
            with pytest.raises(UsageError):
                self.jobs.cancel(name)
            return
        self.jobs.cancel(name)
        job["cancelling"] = True
        if job["state"] == "queued":
            job["state"] = "cancelled"

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def retry(self, data):
        name = data.draw(st.sampled_from([*self.model]))
        job = self.model[name]
        if job["state"] not in ("failed", "cancelled") or job["peer"]:
            with pytest.raises(UsageError):
                self.jobs.retry(name)
        elif len(self.of("queued")) == 4:
            with pytest.raises(Refused):
                self.jobs.retry(name)
        else:
            self.jobs.retry(name)
            job.update(state="queued", attempts=0, cancelling=False, later=False)

    @rule()
    def killed(self):
        self.state.close()
        self.open()
        running = self.of("running")
        assert self.jobs.recover() == len(running)
        for name in running:
            job = self.model[name]
            job["attempts"] += 1
            job["state"] = "cancelled" if job["cancelling"] else "failed" if job["peer"] else "queued"
            job["later"] = False

    @invariant()
    def agrees(self):
        found = {job.id: job for job in self.jobs.listed(most=1000)}
        assert list(found) == list(self.model)[::-1]
        for name, job in self.model.items():
            there = found[name]
            assert (there.state, there.peer, there.attempts) == (job["state"], job["peer"], job["attempts"])
            assert self.jobs.cancelled(name) == job["cancelling"]
            assert bool(there.ended) == (job["state"] in ("done", "failed", "cancelled"))
            assert (there.result == {"matched": 5}) == (job["state"] == "done")
            assert there.error is not None or job["state"] != "failed"


Node.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
TestNode = Node.TestCase


def test_jobs_are_whole_after_a_kill_at_any_point(path):
    """Each is as it was told or one step further, of which there is one at most; no half result is ever there."""
    before = {}
    turns = processes("crash", path, 25)
    for turn in turns:
        found = {name: stage for name, stage, _ in turn["found"]}
        assert turn["sound"] == "ok"
        expected = before | turn["told"]
        assert expected.keys() <= found.keys()
        ahead = [name for name, stage in found.items() if stage != expected.get(name, 0)]
        assert all(found[name] == expected.get(name, 0) + 1 for name in ahead)
        assert len(ahead) <= 1
        assert all(result == ({"matched": name} if stage == 3 else None) for name, stage, result in turn["found"])
        assert turn["recovered"] == sum(stage == 2 for stage in found.values()) <= 1
        before = {name: 1 if stage == 2 else stage for name, stage in found.items()}
    assert sum(len(turn["told"]) for turn in turns) > 25


def test_no_two_processes_get_the_same_job(path):
    with State(path) as state:
        wanted = [submitted(Jobs(state)).id for _ in range(60)]
    taken = processes("take", path, 3)
    assert sorted(name for each in taken for name in each) == sorted(wanted)


def test_no_two_threads_get_the_same_job(state, jobs):
    wanted = [submitted(jobs).id for _ in range(60)]
    taken, begin = [], threading.Barrier(4)

    def take():
        begin.wait()
        while job := jobs.take(now(), 0):
            taken.append(job.id)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(wanted)


def test_a_job_of_twenty_clients_at_once_is_queued_once_each(state):
    """The same request of many: one job."""
    found = []

    def ask():
        found.append(submitted(Jobs(state), id="ab" * 16).created)

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert len(set(found)) == 1


def test_an_id_of_somebody_elses_job_is_refused(jobs):
    submitted(jobs, peer="platform", id="ab" * 16)
    for other in (
        {"peer": "agency"},
        {"peer": ""},
        {"peer": "platform", "room": "x"},
        {"peer": "platform", "kind": "x"},
    ):
        with pytest.raises(Refused, match="of another job"):
            submitted(jobs, id="ab" * 16, **other)


@pytest.mark.parametrize("name", ["", "ab", "AB" * 16, "ab" * 17, "zz" * 16, "../" * 10 + "ab"])
def test_what_is_no_id_is_refused(jobs, name):
    with pytest.raises(UsageError, match="32 hex"):
        submitted(jobs, id=name)


def test_a_job_is_found_by_the_beginning_of_its_id(jobs):
    first, second = submitted(jobs, id="abcd1" + "0" * 27), submitted(jobs, id="abcd2" + "0" * 27)
    assert jobs.get("abcd1") == first
    assert jobs.get("ABCD2") == second
    assert jobs.get(first.id) == first
    with pytest.raises(UsageError, match="More than one"):
        jobs.get("abcd")
    with pytest.raises(UsageError, match="There is no"):
        jobs.get("abcd3")


def test_what_is_too_large_is_refused_by_name_and_the_job_goes_on(jobs):
    with pytest.raises(Refused, match=str(LARGEST)):
        jobs.submit("match", "room", {"by": "x" * LARGEST}, "me")
    assert jobs.listed() == []
    job = submitted(jobs)
    jobs.take(now(), 0)
    with pytest.raises(Refused, match=str(LARGEST)):
        jobs.finish(job.id, {"cells": "字" * (LARGEST // 2)})
    assert jobs.get(job.id).state == "running"
    jobs.finish(job.id, {"cells": "x" * (LARGEST - 100)})
    assert jobs.get(job.id).state == "done"


def test_jobs_wait_for_their_time(jobs):
    late, moment = submitted(jobs, not_before=now() + LATER), now()
    soon = submitted(jobs)
    assert jobs.take(now(), 0).id == soon.id
    assert jobs.take(now(), 1) is None
    assert jobs.take(moment + 2 * LATER, 2) is None  # as many run as may
    assert jobs.take(moment + 2 * LATER, 1).id == late.id


def test_a_retry_keeps_the_named_cause_and_waits(jobs):
    job = submitted(jobs)
    jobs.take(now(), 0)
    jobs.fail(job.id, Interrupted("{party} cannot be reached.", party="platform"), now() + LATER)
    waits = jobs.get(job.id)
    assert (waits.state, waits.attempts, waits.started) == ("queued", 1, "")
    assert str(unpack_error(waits.error)) == "platform cannot be reached."
    assert jobs.take(now(), 0) is None
    assert jobs.take(now() + 2 * LATER, 0).id == job.id
    jobs.finish(job.id, {})
    assert jobs.get(job.id).error is None


def test_a_peers_job_fails_by_name_when_the_node_dies(path):
    with State(path) as state:
        own, theirs = submitted(Jobs(state)), submitted(Jobs(state), peer="platform")
        Jobs(state).take(now(), 0)
        Jobs(state).begin(theirs.id)
    with State(path) as state:
        jobs = Jobs(state)
        assert jobs.recover() == 2
        assert jobs.recover() == 0
        assert (jobs.get(own.id).state, jobs.get(own.id).attempts) == ("queued", 1)
        failed = jobs.get(theirs.id)
        assert failed.state == "failed"
        assert isinstance(unpack_error(failed.error), Interrupted)
        with pytest.raises(UsageError, match="platform asked"):
            jobs.retry(theirs.id)


def test_an_error_that_nobody_foresaw_takes_no_value_along(path):
    with State(path) as state:
        jobs = Jobs(state)
        job = submitted(jobs)
        jobs.take(now(), 0)
        jobs.fail(job.id, ValueError("could not convert 13800138000"))
        error = unpack_error(jobs.get(job.id).error)
    assert isinstance(error, CleanroomError)
    assert "ValueError" in str(error)
    assert b"13800138000" not in path.read_bytes()


def test_progress_is_of_running_jobs_and_not_written_at_every_step(state, jobs):
    job = submitted(jobs)
    jobs.progress(job.id, "match", 1, 10)
    assert jobs.get(job.id).stage == ""
    jobs.take(now(), 0)
    for done in range(1000):
        jobs.progress(job.id, "match", done, 1000)
    jobs.progress(job.id, "answer", 1, 2)
    seen = jobs.get(job.id)
    assert (seen.stage, seen.done, seen.total) == ("answer", 1, 2)
    jobs.finish(job.id, {})
    jobs.progress(job.id, "match", 5, 10)
    assert jobs.get(job.id).stage == "answer"


def ran(state, job, seconds):
    """A job that took so long."""
    begin = now() - dt.timedelta(days=1)
    with state.transaction() as database:
        database.execute(
            "UPDATE jobs SET state = 'done', started = ?, ended = ? WHERE id = ?",
            (stamp(begin), stamp(begin + dt.timedelta(seconds=seconds)), job.id),
        )


def test_what_is_left_is_estimated_from_earlier_jobs_of_that_kind_and_room(state, jobs):
    job = submitted(jobs)
    assert jobs.estimate(job) is None
    for seconds in (9000, 100, 110, 90, 5000, 105):  # the first is forgotten over five newer ones
        ran(state, submitted(jobs), seconds)
    ran(state, submitted(jobs, kind="query"), 1)
    ran(state, submitted(jobs, room="other"), 1)
    assert jobs.estimate(job) == 105
    running, moment = jobs.take(now(), 0), now()
    assert jobs.estimate(running, moment + dt.timedelta(seconds=60)) == pytest.approx(45, abs=1)
    assert jobs.estimate(running, moment + dt.timedelta(seconds=600)) == 0
    jobs.finish(job.id, {})
    assert jobs.estimate(jobs.get(job.id)) is None


def test_jobs_are_listed_by_room_and_state(jobs):
    first, second = submitted(jobs), submitted(jobs, room="other")
    jobs.take(now(), 0)
    assert [job.id for job in jobs.listed()] == [second.id, first.id]
    assert [job.id for job in jobs.listed(room="other")] == [second.id]
    assert [job.id for job in jobs.listed(state="running")] == [first.id]
    assert jobs.listed(room="other", state="running") == []
    assert [job.id for job in jobs.listed(most=1)] == [second.id]


def test_only_what_ended_long_ago_is_forgotten(state, jobs):
    old, waits = submitted(jobs), submitted(jobs, not_before=now() - dt.timedelta(days=90))
    ran(state, old, 1)
    assert jobs.forget_older(2) == 0
    assert jobs.forget_older(0) == 1
    assert [job.id for job in jobs.listed()] == [waits.id]


def test_a_damaged_state_is_told_by_name(path):
    with State(path) as state:
        for _ in range(200):
            submitted(Jobs(state))
    content = bytearray(path.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(BadData, match="damaged"), State(path) as state:
        Jobs(state).listed(most=1000)
