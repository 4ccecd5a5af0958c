"""The node's state: one SQLite database where everything durable of a node meets; and nothing of the data.

`home/node.sqlite` is written by the node and by its owner's commands at the same time. A write-ahead log with
`synchronous=FULL` makes every commit durable, and a process killed at any point leaves either before or after it. A
connection is used by one thread at a time and lent out again. Nothing else may open the file, not even to read it:
closing a second handle would let go of SQLite's locks, so a backup goes through SQLite.
"""

import datetime as dt
import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.errors import BadData, Interrupted, UsageError
from cleanroom.home import Home

FORMAT = "cleanroom-state/1"
FILE = "node.sqlite"
_WAIT_SECONDS = 30.0
_SHORTEST_PREFIX = 4
_MOST_IDLE = 16
HEX = frozenset("0123456789abcdef")
_SCHEMA = (
    "CREATE TABLE meta (format TEXT NOT NULL)",
    """CREATE TABLE jobs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, room TEXT NOT NULL,
    arguments TEXT NOT NULL, asked_by TEXT NOT NULL, peer TEXT NOT NULL, state TEXT NOT NULL,
    stage TEXT NOT NULL DEFAULT '', done INTEGER NOT NULL DEFAULT 0, total INTEGER NOT NULL DEFAULT 0,
    created TEXT NOT NULL, started TEXT NOT NULL DEFAULT '', ended TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0, not_before TEXT NOT NULL, error TEXT, result TEXT,
    cancelling INTEGER NOT NULL DEFAULT 0)""",
    "CREATE INDEX jobs_state ON jobs (state, seq)",
    "CREATE INDEX jobs_like ON jobs (kind, room, state, seq)",
    """CREATE TABLE schedules (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, spec TEXT NOT NULL, kind TEXT NOT NULL,
    room TEXT NOT NULL, arguments TEXT NOT NULL, asked_by TEXT NOT NULL, created TEXT NOT NULL, next TEXT NOT NULL,
    last_job TEXT NOT NULL DEFAULT '')""",
    """CREATE TABLE approvals (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, room TEXT NOT NULL,
    asked_by TEXT NOT NULL, what TEXT NOT NULL, reveals TEXT NOT NULL, payload TEXT NOT NULL, digest TEXT NOT NULL,
    created TEXT NOT NULL, state TEXT NOT NULL, decided_by TEXT NOT NULL DEFAULT '', decided TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '', ends TEXT NOT NULL, reminded TEXT NOT NULL DEFAULT '',
    substitute TEXT NOT NULL)""",
    "CREATE UNIQUE INDEX approvals_waiting ON approvals (digest) WHERE state = 'waiting'",
    "CREATE INDEX approvals_same ON approvals (digest, seq)",
    """CREATE TABLE approval_acts (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, approval TEXT NOT NULL, time TEXT NOT NULL, act TEXT NOT NULL,
    who TEXT NOT NULL, reason TEXT NOT NULL)""",
    "CREATE INDEX approval_acts_of ON approval_acts (approval)",
    """CREATE TRIGGER approvals_stay BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'kept for ever'); END""",
    """CREATE TRIGGER acts_stay BEFORE DELETE ON approval_acts BEGIN SELECT RAISE(ABORT, 'kept for ever'); END""",
    """CREATE TRIGGER acts_are_so BEFORE UPDATE ON approval_acts BEGIN SELECT RAISE(ABORT, 'kept for ever'); END""",
    """CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, peer TEXT NOT NULL, kind TEXT NOT NULL,
    content BLOB NOT NULL, created TEXT NOT NULL, delivered TEXT, attempts INTEGER NOT NULL DEFAULT 0, next TEXT)""",
    "CREATE INDEX outbox_waiting ON outbox (peer, delivered, seq)",
    """CREATE TABLE inbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, sender TEXT NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL,
    content BLOB NOT NULL, received TEXT NOT NULL, handled TEXT, failed TEXT, UNIQUE (sender, id))""",
    "CREATE INDEX inbox_waiting ON inbox (handled, seq)",
)


class State:
    """The open state of one home. Any thread may use it; close it, or use it in a `with`."""

    def __init__(self, path: Path, most_pages: int = 0) -> None:
        """The database at `path`, made where there is none. most_pages: how large it may grow; 0 = as the disk lets it.

        Raises BadData where the file is no state of a known format, Interrupted where it cannot be written.
        """
        self._path, self._most_pages = path, most_pages
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._closed = False
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    @classmethod
    def open(cls, home: Home) -> "State":
        """The state of that home. Raises as the constructor."""
        return cls(home.path / FILE)

    def __enter__(self) -> "State":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _begin(self) -> None:
        with _alone(self._path):
            _create(self._path)
            with self.reading() as database:
                fresh = _is_empty(database)
            if fresh:
                with self.transaction() as database:
                    _fill(database)
        with self.reading() as database:
            _check_format(database)

    def close(self) -> None:
        """Let go of the file; a transaction still under way in another thread ends by itself."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for database in idle:
            database.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, alone, on the disk at return. Inside another one of the same thread: a part of that.

        Raises Interrupted where the disk is full or fails, or another holds the state too long; BadData where the file
        is damaged.
        """
        outer: sqlite3.Connection | None = getattr(self._mine, "database", None)
        with _storage():
            if outer is not None:
                with _inside(outer, "SAVEPOINT part", "RELEASE part", "ROLLBACK TO part", "RELEASE part"):
                    yield outer
                return
            with self._lent() as database, _inside(database, "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"):
                self._mine.database = database
                try:
                    yield database
                finally:
                    del self._mine.database

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """As of one moment, waiting for nobody, also on a full disk; inside a transaction with what it wrote."""
        outer: sqlite3.Connection | None = getattr(self._mine, "database", None)
        with _storage():
            if outer is not None:
                yield outer
                return
            with self._lent() as database, _inside(database, "BEGIN", "COMMIT", "ROLLBACK"):
                yield database

    @contextmanager
    def _lent(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            if self._closed:
                raise Interrupted("The node's state is closed.")
            database = self._idle.pop() if self._idle else None
        database = database or self._connect()
        try:
            yield database
        finally:
            with self._lock:
                keep = not self._closed and not database.in_transaction and len(self._idle) < _MOST_IDLE
                if keep:
                    self._idle.append(database)
            if not keep:
                database.close()

    def _connect(self) -> sqlite3.Connection:
        uri = self._path.resolve().as_uri() + "?mode=rw"
        database = sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")
            if self._most_pages:
                database.execute(f"PRAGMA max_page_count = {self._most_pages}")
        except sqlite3.Error:
            database.close()
            raise
        return database


def stamp(moment: dt.datetime) -> str:
    """A moment (with its time zone) as it is kept: ISO 8601 in UTC, milliseconds; such texts sort by time."""
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> dt.datetime:
    """This moment, in UTC."""
    return dt.datetime.now(dt.UTC)


def row_of(database: sqlite3.Connection, table: str, wanted: str) -> tuple[Any, ...]:
    """The row of `table` whose id begins with `wanted` (4 to 32 hex digits). Raises UsageError unless there is one."""
    wanted = wanted.lower()
    if len(wanted) < _SHORTEST_PREFIX or not HEX.issuperset(wanted):
        raise UsageError("{id} is no number of this list.", "Give at least four of its signs.", id=wanted[:64])
    query = f"SELECT * FROM {table} WHERE id >= ? AND id < ? LIMIT 2"  # noqa: S608
    rows = database.execute(query, (wanted, f"{wanted}g")).fetchall()
    if not rows:
        raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=wanted)
    if len(rows) > 1:
        raise UsageError("More than one begins with {id}.", "Give more of its signs.", id=wanted)
    found: tuple[Any, ...] = rows[0]
    return found


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One opens it at a time: SQLite does not wait for another that turns on the write-ahead log of a new file."""
    try:
        with private_files.locked(path.with_name(f"{path.name}.lock")):
            yield
    except OSError as error:
        raise Interrupted(
            "The node's state could not be read or written: {reason}.",
            "Check free space and rights.",
            reason=error.strerror,
        ) from error


def _create(path: Path) -> None:
    """An empty file that only its owner may read is an empty database."""
    if not os.path.lexists(path):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if not stat.S_ISREG(path.lstat().st_mode):
        raise BadData("{name} is not a regular file.", name=path.name)


def _is_empty(database: sqlite3.Connection) -> bool:
    return not database.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]


def _fill(database: sqlite3.Connection) -> None:
    for statement in _SCHEMA:
        database.execute(statement)
    database.execute("INSERT INTO meta VALUES (?)", (FORMAT,))


def _check_format(database: sqlite3.Connection) -> None:
    known = database.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'meta'").fetchone()[0]
    if not known or database.execute("SELECT * FROM meta").fetchall() != [(FORMAT,)]:
        raise BadData("The node's state is of an unknown format.", "Update this program, or restore a backup.")


@contextmanager
def _inside(database: sqlite3.Connection, begin: str, done: str, *undo: str) -> Iterator[None]:
    database.execute(begin)
    try:
        yield
        database.execute(done)
    except BaseException:
        if database.in_transaction:  # SQLite has rolled back by itself where the disk is full
            for statement in undo:
                database.execute(statement)
        raise


@contextmanager
def _storage() -> Iterator[None]:
    """What goes wrong in SQLite, by name; what is wrong with a query passes as it is."""
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        reason = getattr(error, "sqlite_errorname", type(error).__name__)
        if not isinstance(error, sqlite3.OperationalError):
            raise BadData(
                "The node's state is damaged: {reason}.", "Restore it from a backup.", reason=reason
            ) from error
        raise Interrupted(
            "The node's state could not be read or written: {reason}.", "Check free space and rights.", reason=reason
        ) from error
