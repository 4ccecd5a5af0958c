"""The gateway's last calls, for the people who integrate with it: method, app, code and time, and nothing of a content.

At most `MOST` are kept, in the folder of the gateway. What cannot be written is left out: no call fails by it.
"""

import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cleanroom.errors import BadData

VERSION = 1
MOST = 1_000
FILE = "calls.sqlite"
_TABLE = """CREATE TABLE IF NOT EXISTS calls (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, method TEXT NOT NULL, app TEXT NOT NULL,
    code TEXT NOT NULL, sub_code TEXT NOT NULL, ms REAL NOT NULL)"""

_ADD = "INSERT INTO calls (time, method, app, code, sub_code, ms) VALUES (?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Called:
    """A call that was answered. time: seconds since 1970; method: "" where none is known; app: its id, "" where it was
    not made sure of; ms: how long it took."""

    time: float
    method: str
    app: str
    code: str
    sub_code: str
    ms: float


class Calls:
    """The record of one gateway; several processes may write it."""

    def __init__(self, folder: Path) -> None:
        """Makes it where it is missing. Raises BadData for an unknown format."""
        self._lock = threading.Lock()
        path = folder / FILE
        path.touch(0o600)
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=2.0)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=OFF")
            if self._base.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
                raise BadData("The gateway's list of calls has a format that this version does not know.")
            self._base.execute(_TABLE)
            self._base.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.DatabaseError as error:
            raise BadData("The gateway's list of calls is damaged.", "Remove the file {name}.", name=FILE) from error

    def add(self, method: str, app: str, code: str, sub_code: str, ms: float) -> None:
        """One more; the oldest goes."""
        with self._lock:
            try:
                values = (time.time(), method, app, code, sub_code, ms)
                added = self._base.execute(_ADD, values)
                self._base.execute("DELETE FROM calls WHERE seq <= ?", ((added.lastrowid or 0) - MOST,))
            except sqlite3.OperationalError:  # a full disk, or another that holds it: a call is answered all the same
                return

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()


def last(folder: Path, most: int = 50) -> list[Called]:
    """The newest first; none where there is no record. Raises BadData where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        base = sqlite3.connect(path.resolve().as_uri() + "?mode=ro", uri=True, timeout=2.0)
        try:
            rows = base.execute("SELECT time, method, app, code, sub_code, ms FROM calls ORDER BY seq DESC LIMIT ?",
                                (most,)).fetchall()  # fmt: skip
        finally:
            base.close()
    except sqlite3.DatabaseError as error:
        raise BadData("The gateway's list of calls is damaged.", "Remove the file {name}.", name=FILE) from error
    return [Called(*row) for row in rows]
