"""When jobs come round by themselves: a moment that is due gives its job once, whatever the clock or the node did.

    daily 03:30      weekly mon 03:30      monthly 1 03:30      hourly :15      daily 03:30 Europe/Berlin
Times are of Asia/Shanghai unless another zone of the IANA database is named. `monthly 31` means the month's last day. A
wall time that a zone skips comes as much later, one that it repeats comes once. Of the moments that passed while a node
was off only the last counts. A job's id is a digest of its schedule and its moment, so that a clock that was set back
does not bring it again.
"""

import calendar
import datetime as dt
import hashlib
import json
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cleanroom.errors import Refused, UsageError
from cleanroom.node.queue import Job, Jobs, packed
from cleanroom.node.state import State, now, row_of, stamp

USUAL_ZONE = dt.timezone(dt.timedelta(hours=8), "Asia/Shanghai")
"""Has had no summer time since 1991, and is so known where a machine has no database of zones."""
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SHAPE = re.compile(
    r"(?:(?P<hourly>hourly) |daily |weekly (?P<weekday>mon|tue|wed|thu|fri|sat|sun) |monthly (?P<day>[0-9]{1,2}) )"
    r"(?P<hour>[0-9]{1,2})?:(?P<minute>[0-9]{2})(?: (?P<zone>[A-Za-z0-9_+/-]{1,64}))?",
    re.ASCII,
)
_LONGEST = dt.timedelta(days=63)
"""More than lies between two moments of any schedule, twice."""
_LAST_DAY = 31


@dataclass(frozen=True)
class Schedule:
    """A schedule as it stood when it was read. next: the moment it is due, ISO 8601 in UTC; id: 32 hex digits."""

    id: str
    spec: str
    kind: str
    room: str
    arguments: dict[str, Any]
    asked_by: str
    created: str
    next: str


@dataclass(frozen=True)
class _Spec:
    """weekday: 0 = Monday, day: of the month, hour; each None where any will do."""

    weekday: int | None
    day: int | None
    hour: int | None
    minute: int
    zone: dt.tzinfo


class Schedules:
    """The schedules of one node. Any thread and any process of the home's owner may call it."""

    def __init__(self, state: State, jobs: Jobs) -> None:
        self._state, self._jobs = state, jobs

    def add(self, spec: str, kind: str, room: str, arguments: dict[str, Any], asked_by: str) -> str:
        """A new schedule's id; it is due from now on. Raises UsageError where `spec` says no time."""
        name, created = secrets.token_hex(16), now()
        with self._state.transaction() as database:
            database.execute(
                "INSERT INTO schedules (id, spec, kind, room, arguments, asked_by, created, next) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (name, spec, kind, room, packed(arguments), asked_by, stamp(created), stamp(next_after(spec, created))),
            )
        return name

    def listed(self) -> list[Schedule]:
        """All there are, the next due first."""
        with self._state.reading() as database:
            rows = database.execute("SELECT * FROM schedules ORDER BY next, seq").fetchall()
        return [_schedule(row) for row in rows]

    def get(self, schedule_id: str) -> Schedule:
        """The schedule whose id begins so (4 digits at least). Raises UsageError unless there is exactly one."""
        with self._state.reading() as database:
            return _schedule(row_of(database, "schedules", schedule_id))

    def remove(self, schedule_id: str) -> None:
        """No more jobs of it; those that it gave stay. Raises UsageError unless exactly one id begins so."""
        with self._state.transaction() as database:
            found = _schedule(row_of(database, "schedules", schedule_id))
            database.execute("DELETE FROM schedules WHERE id = ?", (found.id,))

    def due(self, moment: dt.datetime) -> list[Job]:
        """Queues the jobs of all that are due and returns them, each once, and none while its last one still waits.

        Where too many jobs wait, a schedule stays due.
        """
        given = []
        with self._state.transaction() as database:
            for row in database.execute("SELECT * FROM schedules").fetchall():
                with suppress(Refused):
                    given += self._give(database, _schedule(row), row[-1], moment)
        return given

    def _give(self, database: sqlite3.Connection, found: Schedule, last_job: str, moment: dt.datetime) -> list[Job]:
        upcoming = next_after(found.spec, moment)
        if stamp(upcoming) == found.next:
            return []
        given = []
        if found.next <= stamp(moment):
            job_id = _job_id(found.id, _latest(found, moment))
            if not self._known(database, job_id, last_job):
                given = [self._jobs.submit(found.kind, found.room, found.arguments, found.asked_by, id=job_id)]
                last_job = job_id
        database.execute(
            "UPDATE schedules SET next = ?, last_job = ? WHERE id = ?", (stamp(upcoming), last_job, found.id)
        )
        return given

    def _known(self, database: sqlite3.Connection, job_id: str, last_job: str) -> bool:
        """Whether this moment's job was given before, or the one before it still waits and will do for both."""
        query = "SELECT 1 FROM jobs WHERE id = ? OR (id = ? AND state = 'queued')"
        return database.execute(query, (job_id, last_job)).fetchone() is not None


def next_after(spec: str, moment: dt.datetime) -> dt.datetime:
    """The first moment of the schedule after `moment` (which has a time zone), in UTC. Raises UsageError."""
    wanted = _parsed(spec)
    return next(found for found in _moments(wanted, moment.astimezone(wanted.zone)) if found > moment)


def _moments(spec: _Spec, local: dt.datetime) -> Iterator[dt.datetime]:
    """The schedule's moments in UTC, in order, from before `local` on."""
    if spec.hour is None:
        begin = (local - dt.timedelta(hours=1)).astimezone(dt.UTC).replace(second=0, microsecond=0)
        ahead = dt.timedelta(minutes=(spec.minute - begin.astimezone(spec.zone).minute) % 60)
        yield from (begin + ahead + dt.timedelta(hours=hours) for hours in range(4))
        return
    time = dt.time(spec.hour, spec.minute, tzinfo=spec.zone)
    for days in range(-1, _LONGEST.days):
        date = local.date() + dt.timedelta(days=days)
        if spec.weekday in (None, date.weekday()) and spec.day in (None, *_day_of_month(date)):
            yield dt.datetime.combine(date, time).astimezone(dt.UTC)


def _day_of_month(date: dt.date) -> range:
    """What a date is called by: its day, and every later one where it is the last of its month."""
    last = calendar.monthrange(date.year, date.month)[1]
    return range(date.day, (_LAST_DAY if date.day == last else date.day) + 1)


def _latest(found: Schedule, moment: dt.datetime) -> dt.datetime:
    """The last moment of a schedule that is due."""
    latest = max(dt.datetime.fromisoformat(found.next), next_after(found.spec, moment - _LONGEST))
    while (after := next_after(found.spec, latest)) <= moment:
        latest = after
    return latest


def _job_id(schedule_id: str, moment: dt.datetime) -> str:
    return hashlib.sha256(f"cleanroom/schedule/1 {schedule_id} {stamp(moment)}".encode()).hexdigest()[:32]


def _parsed(spec: str) -> _Spec:
    shape = _SHAPE.fullmatch(spec)
    hourly = shape is not None and shape["hourly"] is not None
    if shape is None or hourly != (shape["hour"] is None) or not _in_bounds(shape):
        raise UsageError(
            "{spec} is no schedule.",
            'Write it like "daily 03:30", "weekly mon 03:30", "monthly 1 03:30" or "hourly :15".',
            spec=spec[:64],
        )
    weekday = _DAYS.index(shape["weekday"]) if shape["weekday"] else None
    day, hour = (int(shape[name]) if shape[name] else None for name in ("day", "hour"))
    return _Spec(weekday, day, hour, int(shape["minute"]), _zone(shape["zone"]))


def _in_bounds(shape: re.Match[str]) -> bool:
    return 1 <= int(shape["day"] or 1) <= _LAST_DAY and int(shape["hour"] or 0) < 24 and int(shape["minute"]) < 60


def _zone(name: str | None) -> dt.tzinfo:
    if name in (None, "Asia/Shanghai"):
        return USUAL_ZONE
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise UsageError("The time zone {name} is not known here.", name=name) from error


def _schedule(row: tuple[Any, ...]) -> Schedule:
    _, schedule_id, spec, kind, room, arguments, asked_by, created, upcoming, _ = row
    return Schedule(schedule_id, spec, kind, room, json.loads(arguments), asked_by, created, upcoming)
