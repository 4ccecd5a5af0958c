"""The ledger's file: one SQLite database in write-ahead mode, and how it is read. Nothing here decides or signs.

`synchronous=FULL` over a write-ahead log makes a commit durable by one fsync, where a rollback journal takes three or
four. While the file is open, or after a crash, what was committed last stands in `…-wal` beside it, which the next
opening takes over; closing leaves one file again. So a backup is of the whole home, made while nothing runs in it, and
a home lies on a local disk. What is looked up stands beside the body, since an index of a file that may have
been tampered with cannot look into it, and budgets are summed in a table; an audit holds both against the bodies.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, UsageError
from cleanroom.files import replacing
from cleanroom.ledger.chain import FIRST_FORMAT, FORMAT, Body, Entry
from cleanroom.ledger.spending import Spent

TABLES = {"debit": "questions", "draws": "draws", "release": "answers"}
"""Kinds of entries that happen once a question, and where what is sealed with each is kept."""
_WAIT_SECONDS = 60.0
_LONGEST_BODY = 1 << 16
_COLUMNS = 8
_OF_ONE_QUESTION = "kind IN ('debit', 'draws', 'release')"
ONCE = f"WHERE subject = ? AND kind = ? AND {_OF_ONE_QUESTION}"
"""Finds the one entry of a question and kind by the index `once`."""
_FIRST_SCHEMA = (
    "CREATE TABLE meta (format TEXT NOT NULL, party TEXT NOT NULL, key TEXT NOT NULL)",
    """CREATE TABLE entries (
    seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL, subject TEXT NOT NULL)""",
    "CREATE TABLE answers (question TEXT PRIMARY KEY, sealed BLOB NOT NULL)",
)
_SCHEMA = (
    "ALTER TABLE entries ADD COLUMN population TEXT NOT NULL DEFAULT ''",
    "UPDATE entries SET population = json_extract(body, '$.population') WHERE kind = 'debit'",
    "CREATE TABLE questions (question TEXT PRIMARY KEY, sealed BLOB NOT NULL)",
    "CREATE TABLE draws (question TEXT PRIMARY KEY, sealed BLOB NOT NULL)",
    "DROP INDEX IF EXISTS once",
    f"CREATE UNIQUE INDEX once ON entries (subject, kind) WHERE {_OF_ONE_QUESTION}",
    "CREATE INDEX peoples ON entries (population) WHERE kind = 'debit'",
    """CREATE TABLE spending (
    lineage TEXT NOT NULL, month TEXT NOT NULL, rho_micro INTEGER NOT NULL, PRIMARY KEY (lineage, month))""",
)
"""From FIRST_FORMAT to FORMAT."""
_RESTORES = "CREATE INDEX IF NOT EXISTS restores ON entries (kind) WHERE kind = 'restored'"
"""Every debit looks for these, and there are hardly any."""


@dataclass(frozen=True)
class Contents:
    """All of a ledger as it stands, unverified. kept: kind of entry → question → SHA-256 in hex of what is sealed.

    spent: the sums by which budgets are kept; None where they are not at hand.
    """

    format: str
    party: str
    key: str
    entries: tuple[Entry, ...]
    kept: dict[str, dict[str, str]]
    spent: tuple[Spent, ...] | None = None


def create(path: Path, party: str, key: bytes) -> None:
    """A file without entries, whole or not at all. Raises UsageError where there is one, or what is left of one."""
    if path.exists() or path.with_name(f"{path.name}-wal").exists():
        raise UsageError("There is a ledger already.", name=path.name)
    with replacing(path) as aside, storage():
        database = sqlite3.connect(aside, isolation_level=None)
        for statement in _FIRST_SCHEMA:
            database.execute(statement)
        database.execute("INSERT INTO meta VALUES (?, ?, ?)", (FIRST_FORMAT, party, key.hex()))
        upgrade(database)
        database.close()


def connect(path: Path) -> tuple[sqlite3.Connection, tuple[str, str, str]]:
    """The file, open for writing, and what it says of itself: format, party, key. Raises BadData."""
    if not path.is_file():
        raise BadData("The ledger {name} is missing.", "Restore it from a backup.", name=path.name)
    with storage():
        uri = path.resolve().as_uri() + "?mode=rw"
        database = sqlite3.connect(uri, uri=True, timeout=_WAIT_SECONDS, isolation_level=None)
        try:
            database.execute("PRAGMA trusted_schema = OFF")
            database.execute("PRAGMA synchronous = FULL")
            rows = database.execute("SELECT format, party, key FROM meta").fetchall()
            if len(rows) != 1 or not all(isinstance(value, str) for value in rows[0]):
                raise BadData("The ledger does not say whose it is.", "Restore it from a backup.")
        except (sqlite3.Error, UnicodeDecodeError, BadData):
            database.close()
            raise
    return database, (rows[0][0], rows[0][1], rows[0][2])


def upgrade(database: sqlite3.Connection) -> None:
    """Brings a file of FIRST_FORMAT to FORMAT, keeping every entry as it is."""
    with transaction(database):
        if database.execute("SELECT format FROM meta").fetchone()[0] == FIRST_FORMAT:  # else another process was first
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute("UPDATE meta SET format = ?", (FORMAT,))
    with storage():
        database.execute("PRAGMA journal_mode = WAL")


def index(database: sqlite3.Connection) -> None:
    """Makes what came after FORMAT and changes nothing that is said, where it is not there yet."""
    with storage():
        database.execute(_RESTORES)


def read(path: Path) -> Contents:
    """Everything that stands in the ledger file at `path`, unverified. Raises BadData where it cannot be read."""
    database, (format_, party, key) = connect(path)
    try:
        with storage():
            database.execute("BEGIN")  # all tables as of one moment
            entries = tuple(map(entry_of, database.execute("SELECT * FROM entries ORDER BY seq")))
            there = {row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            kept = {kind: _digests(database, table) if table in there else {} for kind, table in TABLES.items()}
            sums = database.execute("SELECT * FROM spending ORDER BY lineage, month") if "spending" in there else ()
            spent = tuple(Spent(*row) for row in sums)
    finally:
        database.close()
    return Contents(format_, party, key, entries, kept, spent)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, alone: BEGIN IMMEDIATE takes the write lock before anything is read."""
    with storage():
        database.execute("BEGIN IMMEDIATE")
        try:
            yield
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")


@contextmanager
def storage() -> Iterator[None]:
    """What goes wrong in SQLite, as BadData."""
    try:
        yield
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter where SQLite's own message quotes the file
        raise BadData(
            "The ledger could not be read or written: {reason}.",
            "Check free space and rights, then run: cleanroom audit verify.",
            reason=getattr(error, "sqlite_errorname", type(error).__name__),
        ) from error


def entry_of(row: tuple[Any, ...]) -> Entry:
    """An entry from a row that may have been tampered with. Raises BadData unless it is of an entry's types."""
    try:
        body = json.loads(row[3]) if len(row[3]) <= _LONGEST_BODY else None
    except (ValueError, TypeError, RecursionError):
        body = None
    texts = (*row[1:3], *row[4:])
    found_by = row[_COLUMNS - 1 :]
    if (
        not isinstance(body, dict)
        or not all(isinstance(text, str) for text in texts)
        or found_by != found_in(body)[: len(found_by)]
    ):
        raise BadData("Entry {seq} of the ledger is damaged.", "Restore it from a backup.", seq=row[0])
    return Entry(row[0], row[1], row[2], body, *row[4 : _COLUMNS - 1])


def found_in(body: Body) -> tuple[object, ...]:
    """What an entry is looked up by: question, population."""
    return tuple(body.get(name, "") for name in ("question", "population"))


def sha256(sealed: bytes | None) -> str:
    """In hex; '' of nothing."""
    return "" if sealed is None else hashlib.sha256(sealed).hexdigest()


def _digests(database: sqlite3.Connection, table: str) -> dict[str, str]:
    rows = database.execute(f"SELECT question, sealed FROM {table}").fetchall()  # noqa: S608
    if not all(isinstance(question, str) and isinstance(sealed, bytes) for question, sealed in rows):
        raise BadData("What the ledger keeps of a question was changed.", "Run: cleanroom audit verify.")
    return {question: sha256(sealed) for question, sealed in rows}
