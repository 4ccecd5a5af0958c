"""What waits for a person's yes: who asked what, what it would reveal, who decided, when and why; kept for ever.

Nothing happens because nobody answered: what is not approved in time has expired. A no needs a reason; a yes is not
given by who asked. Texts are templates with parameters, put into words where they are shown; they hold column names and
numbers of people at most, never a value of the data.
"""

import datetime as dt
import hashlib
import json
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom.errors import Refused, UsageError
from cleanroom.node import config
from cleanroom.node.queue import packed
from cleanroom.node.state import State, now, row_of, stamp

Text = tuple[str, dict[str, Any]]
"""An English template, and what fills it."""
MOST_WAITING = 100
"""Approvals that may wait for one asker."""
MOST_REASON = 1000
"""Signs of a reason."""


@dataclass(frozen=True)
class Approval:
    """An approval as it stood when it was read.

    state: waiting, approved, refused, expired or withdrawn. All times are ISO 8601 in UTC, '' = not yet or never: ends,
    until when it may be decided; reminded, when last; decided, when; substitute, from when on substitutes may decide.
    payload: what is to happen after a yes.
    """

    id: str
    kind: str
    room: str
    asked_by: str
    what: tuple[Text, ...]
    reveals: tuple[Text, ...]
    payload: dict[str, Any]
    created: str
    state: str
    decided_by: str
    decided: str
    reason: str
    ends: str
    reminded: str
    substitute: str


@dataclass(frozen=True)
class Act:
    """What happened to an approval: asked, reminded, approved, refused, expired, withdrawn. who: '' = the node."""

    time: str
    act: str
    who: str
    reason: str


class Approvals:
    """The approvals of one node. Any thread and any process of the home's owner may call it."""

    def __init__(self, state: State, rules: config.Approval) -> None:
        self._state, self._rules = state, rules

    def ask(
        self, kind: str, room: str, asked_by: str, what: Sequence[Text], reveals: Sequence[Text],
        payload: dict[str, Any], ends: dt.datetime | None = None,
    ) -> str:  # fmt: skip
        """The id of an approval that now waits; where the same asker waits for the same payload already, of that one.

        Raises Refused where too many of this asker's wait, or where it is too large.
        """
        texts, body, created = (packed(list(what)), packed(list(reveals))), packed(payload), now()
        digest = _digest(kind, room, asked_by, payload)
        with self._state.transaction() as database:
            _expire(database, created)
            waiting = "SELECT id FROM approvals WHERE state = 'waiting' AND "
            if there := database.execute(f"{waiting} digest = ?", (digest,)).fetchone():
                return str(there[0])
            if len(database.execute(f"{waiting} asked_by = ?", (asked_by,)).fetchall()) >= MOST_WAITING:
                raise Refused("{most} questions of {party} wait for an answer already.", most=MOST_WAITING,
                              party=asked_by)  # fmt: skip
            name, open_to_others = secrets.token_hex(16), created + dt.timedelta(hours=self._rules.substitute_hours)
            database.execute(
                "INSERT INTO approvals (id, kind, room, asked_by, what, reveals, payload, digest, created, state, "
                "ends, substitute) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?, ?)",
                (name, kind, room, asked_by, *texts, body, digest, stamp(created), stamp(ends) if ends else "",
                 stamp(open_to_others)),
            )  # fmt: skip
            _note(database, name, created, "asked", asked_by)
        return name

    def answer(self, kind: str, room: str, asked_by: str, payload: dict[str, Any],
               since: dt.datetime) -> Approval | None:  # fmt: skip
        """What was decided since then about exactly this, the newest first; None where nobody has."""
        with self._state.reading() as database:
            row = database.execute(
                "SELECT * FROM approvals WHERE digest = ? AND state IN ('approved', 'refused') AND decided >= ? "
                "ORDER BY seq DESC LIMIT 1",
                (_digest(kind, room, asked_by, payload), stamp(since)),
            ).fetchone()
        return None if row is None else _approval(row, now())

    def waiting_rooms(self) -> dict[str, str]:
        """The ids of what waits, each with its room: for a look a few times a second."""
        with self._state.reading() as database:
            return dict(database.execute("SELECT id, room FROM approvals WHERE state = 'waiting'").fetchall())

    def waiting(self) -> list[Approval]:
        """What waits, the oldest first."""
        with self._state.reading() as database:
            rows = database.execute("SELECT * FROM approvals WHERE state = 'waiting' ORDER BY seq").fetchall()
        seen = [_approval(row, now()) for row in rows]
        return [approval for approval in seen if approval.state == "waiting"]

    def listed(self, most: int = 50) -> list[Approval]:
        """All there ever were, the newest first."""
        with self._state.reading() as database:
            rows = database.execute("SELECT * FROM approvals ORDER BY seq DESC LIMIT ?", (most,)).fetchall()
        return [_approval(row, now()) for row in rows]

    def get(self, approval_id: str) -> Approval:
        """The approval whose id begins so (4 digits at least). Raises UsageError unless there is exactly one."""
        with self._state.reading() as database:
            return _approval(row_of(database, "approvals", approval_id), now())

    def history(self, approval_id: str) -> tuple[Act, ...]:
        """What happened to it, in order."""
        with self._state.reading() as database:
            name = row_of(database, "approvals", approval_id)[1]
            query = "SELECT time, act, who, reason FROM approval_acts WHERE approval = ? ORDER BY seq"
            return tuple(Act(*row) for row in database.execute(query, (name,)))

    def decide(
        self, approval_id: str, yes: bool, who: str, reason: str, *, owner: bool = False, at: dt.datetime | None = None
    ) -> Approval:
        """Approve or refuse, once. who: by name, for the record; owner: the caller has the home itself.

        Raises Refused where `who` may not decide (yet), or where it is decided, withdrawn or over; UsageError for a no
        without a reason.
        """
        moment, reason = at or now(), reason.strip()
        if not yes and not reason:
            raise UsageError("A no needs a reason.", "Say in a few words why; who asked will read it.")
        if len(reason) > MOST_REASON:
            raise UsageError("A reason has {most} signs at most.", most=MOST_REASON)
        with self._state.transaction() as database:
            found = _waiting(database, approval_id, moment)
            if not owner:
                self._check_may(found, yes, who, moment)
            state = "approved" if yes else "refused"
            _end(database, found.id, state, moment, who, reason)
        return self.get(found.id)

    def withdraw(self, approval_id: str) -> None:
        """Who asked no longer does. Raises Refused where it does not wait."""
        moment = now()
        with self._state.transaction() as database:
            found = _waiting(database, approval_id, moment)
            _end(database, found.id, "withdrawn", moment, found.asked_by, "")

    def remind(self, moment: dt.datetime) -> list[Approval]:
        """Those whose deciders are to be reminded now, each at most once in remind_hours; ends what is over."""
        before = stamp(moment - dt.timedelta(hours=self._rules.remind_hours))
        with self._state.transaction() as database:
            _expire(database, moment)
            rows = database.execute(
                "UPDATE approvals SET reminded = ? WHERE state = 'waiting' AND max(created, reminded) <= ? RETURNING *",
                (stamp(moment), before),
            ).fetchall()
            reminded = sorted((_approval(row, moment) for row in rows), key=lambda each: each.created)
            for each in reminded:
                _note(database, each.id, moment, "reminded", "")
        return reminded

    def _check_may(self, found: Approval, yes: bool, who: str, moment: dt.datetime) -> None:
        if yes and who == found.asked_by:
            raise Refused("Who asks does not decide.", "Another approver may.")
        if who in self._rules.approvers:
            return
        if who not in self._rules.substitutes:
            raise Refused("{who} may not decide this.", "The approvers are named in node.toml.", who=who)
        if stamp(moment) < found.substitute:
            raise Refused("A substitute may decide this from {moment} on.", moment=found.substitute)


def _waiting(database: sqlite3.Connection, approval_id: str, moment: dt.datetime) -> Approval:
    found = _approval(row_of(database, "approvals", approval_id), moment)
    if found.state != "waiting":
        raise Refused("{id} no longer waits for an answer.", id=found.id)
    return found


def _expire(database: sqlite3.Connection, moment: dt.datetime) -> None:
    over = database.execute(
        "SELECT id FROM approvals WHERE state = 'waiting' AND ends != '' AND ends <= ?", (stamp(moment),)
    ).fetchall()
    for (name,) in over:
        _end(database, name, "expired", moment, "", "")


def _end(database: sqlite3.Connection, name: str, state: str, moment: dt.datetime, who: str, reason: str) -> None:
    database.execute(
        "UPDATE approvals SET state = ?, decided_by = ?, decided = ?, reason = ? WHERE id = ?",
        (state, who, stamp(moment), reason, name),
    )
    _note(database, name, moment, state, who, reason)


def _note(database: sqlite3.Connection, name: str, moment: dt.datetime, act: str, who: str, reason: str = "") -> None:
    database.execute(
        "INSERT INTO approval_acts (approval, time, act, who, reason) VALUES (?, ?, ?, ?, ?)",
        (name, stamp(moment), act, who, reason),
    )


def _digest(kind: str, room: str, asked_by: str, payload: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps([kind, room, asked_by, payload], sort_keys=True).encode()).hexdigest()


def _approval(row: tuple[Any, ...], moment: dt.datetime) -> Approval:
    """What is over counts as expired before that is written down."""
    _, name, kind, room, asked_by, what, reveals, payload, _, created, state, *rest = row
    decided_by, decided, reason, ends, reminded, substitute = rest
    if state == "waiting" and ends and ends <= stamp(moment):
        state = "expired"
    return Approval(
        name, kind, room, asked_by, _texts(what), _texts(reveals), json.loads(payload), created, state,
        decided_by, decided, reason, ends, reminded, substitute,
    )  # fmt: skip


def _texts(kept: str) -> tuple[Text, ...]:
    return tuple((template, params) for template, params in json.loads(kept))
