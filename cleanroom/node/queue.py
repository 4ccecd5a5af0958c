"""The node's jobs: each asked for once, run by one at a time, its end on the disk before anyone is told.

A job holds the asker's own words and column names, how far it is, and a small result or a named error; never a value of
the data. A job is queued, then running, then done, failed or cancelled; a retry queues it again.
"""

import datetime as dt
import json
import secrets
import statistics
import time
from dataclasses import dataclass
from typing import Any

from cleanroom.errors import Interrupted, Refused, UsageError
from cleanroom.node.control import pack_error
from cleanroom.node.state import HEX, State, now, row_of, stamp

LARGEST = 1 << 20
"""Bytes of a job's arguments, and of its result."""
ENDED = ("done", "failed", "cancelled")
STATES = ("queued", "running", *ENDED)
_ID_LENGTH = 32
_EARLIER = 5
_PROGRESS_SECONDS = 0.5


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was read.

    id: 32 hex digits. state: queued, running, done, failed or cancelled. peer: the party whose node asked for it; ''
    where this node began it. done, total: of the stage, in its own units; total 0 = unknown. created, started, ended,
    not_before: ISO 8601 in UTC, '' = not yet. attempts: how many ended without a result. error: `pack_error`'s.
    """

    id: str
    kind: str
    room: str
    arguments: dict[str, Any]
    asked_by: str
    peer: str
    state: str
    stage: str
    done: int
    total: int
    created: str
    started: str
    ended: str
    attempts: int
    not_before: str
    error: dict[str, Any] | None
    result: Any


class Jobs:
    """The jobs of one node. Any thread and any process of the home's owner may call it."""

    def __init__(self, state: State, *, most_running: int = 2, most_waiting: int = 1000) -> None:
        self._state, self._most_running, self._most_waiting = state, most_running, most_waiting
        self._told: dict[str, tuple[str, float]] = {}

    def submit(
        self, kind: str, room: str, arguments: dict[str, Any], asked_by: str, *,
        peer: str = "", id: str | None = None, not_before: dt.datetime | None = None,  # noqa: A002
    ) -> Job:  # fmt: skip
        """A job, queued and on the disk at return; the same id again is the same job, whatever became of it.

        Raises Refused where too many wait, the arguments are too large, or the id is of somebody else's job;
        UsageError for what is no id.
        """
        name = secrets.token_hex(_ID_LENGTH // 2) if id is None else _checked_id(id)
        text, created = packed(arguments), now()
        with self._state.transaction() as database:
            there = database.execute("SELECT * FROM jobs WHERE id = ?", (name,)).fetchone()
            if there is not None:
                return _same(_job(there), kind, room, peer)
            self._check_waiting(database)
            database.execute(
                "INSERT INTO jobs (id, kind, room, arguments, asked_by, peer, state, created, not_before) "
                "VALUES (?, ?, ?, ?, ?, ?, 'queued', ?, ?)",
                (name, kind, room, text, asked_by, peer, stamp(created), stamp(not_before or created)),
            )
            return _job(row_of(database, "jobs", name))

    def get(self, job_id: str) -> Job:
        """The job whose id begins so (4 digits at least). Raises UsageError unless there is exactly one."""
        with self._state.reading() as database:
            return _job(row_of(database, "jobs", job_id))

    def listed(self, room: str | None = None, state: str | None = None, most: int = 50) -> list[Job]:
        """The newest jobs first, of one room or in one state where named."""
        with self._state.reading() as database:
            rows = database.execute(
                "SELECT * FROM jobs WHERE (?1 IS NULL OR room = ?1) AND (?2 IS NULL OR state = ?2) "
                "ORDER BY seq DESC LIMIT ?3",
                (room, state, most),
            ).fetchall()
        return [_job(row) for row in rows]

    def take(self, now: dt.datetime, running: int) -> Job | None:
        """The oldest queued job of this node's own that is due, now running and handed to nobody else; None where there
        is none, or where `running` jobs are all that may run at once."""
        if running >= self._most_running:
            return None
        with self._state.transaction() as database:
            row = database.execute(
                "UPDATE jobs SET state = 'running', started = ?1, stage = '', done = 0, total = 0 WHERE seq = "
                "(SELECT seq FROM jobs WHERE state = 'queued' AND peer = '' AND not_before <= ?1 ORDER BY seq LIMIT 1) "
                "RETURNING *",
                (stamp(now),),
            ).fetchone()
        return None if row is None else _job(row)

    def begin(self, job_id: str) -> Job:
        """A queued job of a peer, now running; the node makes room for it. Raises UsageError where it is none."""
        with self._state.transaction() as database:
            database.execute(
                "UPDATE jobs SET state = 'running', started = ? WHERE id = ? AND state = 'queued' AND peer != ''",
                (stamp(now()), job_id),
            )
            _check_changed(database, job_id)
            return _job(row_of(database, "jobs", job_id))

    def progress(self, job_id: str, stage: str, done: int, total: int) -> None:
        """How far a running job is; written a few times a second at most, and dropped where it runs no more."""
        told_stage, told_at = self._told.get(job_id, ("", 0.0))
        moment = time.monotonic()
        if stage == told_stage and moment - told_at < _PROGRESS_SECONDS:
            return
        self._told[job_id] = (stage, moment)
        with self._state.transaction() as database:
            database.execute(
                "UPDATE jobs SET stage = ?, done = ?, total = ? WHERE id = ? AND state = 'running'",
                (stage, done, total, job_id),
            )

    def estimate(self, job: Job, at: dt.datetime | None = None) -> float | None:
        """Seconds left of a queued or running job, by what the last ones of its kind and room took; None = unknown."""
        if job.state in ENDED:
            return None
        with self._state.reading() as database:
            rows = database.execute(
                "SELECT started, ended FROM jobs WHERE kind = ? AND room = ? AND state = 'done' "
                "ORDER BY seq DESC LIMIT ?",
                (job.kind, job.room, _EARLIER),
            ).fetchall()
        if not rows:
            return None
        usual = statistics.median(_seconds(started, ended) for started, ended in rows)
        gone = _seconds(job.started, stamp(at or now())) if job.state == "running" else 0.0
        return max(0.0, usual - gone)

    def finish(self, job_id: str, result: Any) -> None:
        """A running job is done. Raises Refused where the result is too large, UsageError where it does not run."""
        self._end(job_id, ("running",), "done", result=packed(result))

    def fail(self, job_id: str, error: Exception, again_at: dt.datetime | None = None) -> None:
        """A queued or running job failed with that error; with again_at it is queued again for then.

        A job that was to be cancelled is cancelled. Raises UsageError where it has ended already.
        """
        text = json.dumps(pack_error(error), ensure_ascii=False)
        with self._state.transaction() as database:
            if again_at is not None and not self.cancelled(job_id):
                database.execute(
                    "UPDATE jobs SET state = 'queued', started = '', not_before = ?, error = ?, "
                    "attempts = attempts + 1 WHERE id = ? AND state IN ('queued', 'running')",
                    (stamp(again_at), text, job_id),
                )
                _check_changed(database, job_id)
                self._told.pop(job_id, None)
                return
            self._end(job_id, ("queued", "running"), "cancelled" if self.cancelled(job_id) else "failed", error=text)

    def cancel(self, job_id: str) -> None:
        """A queued job is cancelled at once; a running one is to be (`cancelled`). Raises UsageError where it ended."""
        with self._state.transaction() as database:
            job = _job(row_of(database, "jobs", job_id))
            if job.state in ("done", "failed"):
                raise _ended(job.id)
            database.execute("UPDATE jobs SET cancelling = 1 WHERE id = ?", (job.id,))
            if job.state == "queued":
                self._end(job.id, ("queued",), "cancelled")

    def cancelled(self, job_id: str) -> bool:
        """Whether the job is or is to be cancelled."""
        with self._state.reading() as database:
            row = database.execute("SELECT cancelling FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return row is not None and bool(row[0])

    def retry(self, job_id: str) -> Job:
        """A failed or cancelled job of this node, queued again, its attempts counted anew.

        Raises UsageError where it waits, runs or is done, or where a peer asked for it; Refused where too many wait.
        """
        with self._state.transaction() as database:
            job = _job(row_of(database, "jobs", job_id))
            if job.state not in ("failed", "cancelled"):
                raise UsageError("The job {id} neither failed nor was cancelled.", id=job.id)
            if job.peer:
                raise UsageError("{peer} asked for the job {id}, and may ask again.", peer=job.peer, id=job.id)
            self._check_waiting(database)
            database.execute(
                "UPDATE jobs SET state = 'queued', cancelling = 0, error = NULL, attempts = 0, stage = '', done = 0, "
                "total = 0, started = '', ended = '', not_before = ? WHERE id = ?",
                (stamp(now()), job.id),
            )
            return _job(row_of(database, "jobs", job.id))

    def recover(self) -> int:
        """At the start of a node, before anything is taken: what a dead one left running. Returns how many those are.

        Own jobs are queued again, those of a peer failed (it asks again), those to be cancelled are cancelled.
        """
        gone = Interrupted("The node ended before the job was done.")
        text, ended = json.dumps(pack_error(gone), ensure_ascii=False), stamp(now())
        with self._state.transaction() as database:
            done = database.execute(
                "UPDATE jobs SET attempts = attempts + 1, started = CASE WHEN peer = '' THEN '' ELSE started END, "
                "state = CASE WHEN cancelling THEN 'cancelled' WHEN peer = '' THEN 'queued' ELSE 'failed' END, "
                "error = CASE WHEN peer = '' THEN error ELSE ?1 END, "
                "ended = CASE WHEN peer = '' AND NOT cancelling THEN '' ELSE ?2 END WHERE state = 'running'",
                (text, ended),
            )
            return done.rowcount

    def forget_older(self, days: int) -> int:
        """Forget jobs that ended so many days ago. Returns how many."""
        before = stamp(now() - dt.timedelta(days=days))
        with self._state.transaction() as database:
            return database.execute(
                "DELETE FROM jobs WHERE state IN ('done', 'failed', 'cancelled') AND ended < ?", (before,)
            ).rowcount

    def _check_waiting(self, database: Any) -> None:
        waiting = database.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
        if waiting >= self._most_waiting:
            raise Refused(
                "{most} jobs wait already.", "Wait until some are done, or cancel some.", most=self._most_waiting
            )

    def forget_asked(self, job_id: str) -> None:
        """Drop what a peer asked for in a job that has ended: it is the peer's to keep."""
        with self._state.transaction() as database:
            database.execute("UPDATE jobs SET arguments = '{}' WHERE id = ? AND peer != ''", (job_id,))

    def _end(
        self, job_id: str, of: tuple[str, ...], state: str, *, error: str | None = None, result: str | None = None
    ) -> None:
        marks = ", ".join("?" * len(of))
        with self._state.transaction() as database:
            database.execute(
                "UPDATE jobs SET state = ?, ended = ?, error = ?, result = ?, attempts = attempts + ? "  # noqa: S608
                f"WHERE id = ? AND state IN ({marks})",
                (state, stamp(now()), error, result, state == "failed", job_id, *of),
            )
            _check_changed(database, job_id)
        self._told.pop(job_id, None)


def packed(value: Any) -> str:
    """Arguments or a result as they are kept. Raises Refused where they are larger than `LARGEST`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    if (size := len(text.encode())) > LARGEST:
        raise Refused("A job carries {size} bytes, and may carry {most}.", size=size, most=LARGEST)
    return text


def _job(row: tuple[Any, ...]) -> Job:
    _, job_id, kind, room, arguments, *plain, error, result, _ = row
    kept = [None if text is None else json.loads(text) for text in (error, result)]
    return Job(job_id, kind, room, json.loads(arguments), *plain, *kept)


def _same(job: Job, kind: str, room: str, peer: str) -> Job:
    if (job.kind, job.room, job.peer) != (kind, room, peer):
        raise Refused("The number {id} is of another job.", id=job.id)
    return job


def _checked_id(job_id: str) -> str:
    if len(job_id) != _ID_LENGTH or not HEX.issuperset(job_id):
        raise UsageError("A job's number has 32 hex digits.")
    return job_id


def _check_changed(database: Any, job_id: str) -> None:
    if not database.execute("SELECT changes()").fetchone()[0]:
        raise _ended(job_id)


def _ended(job_id: str) -> UsageError:
    return UsageError("The job {id} has ended, or never ran.", id=job_id)


def _seconds(begin: str, end: str) -> float:
    return (dt.datetime.fromisoformat(end) - dt.datetime.fromisoformat(begin)).total_seconds()
