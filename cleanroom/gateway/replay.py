"""Calls that change something are taken once: what was taken is remembered for as long as its timestamp is good.

Only digests of signed parameters stand here. The record is on the disk before the call is carried out, so that a
restart forgets none.
"""

import sqlite3
import threading
from pathlib import Path
from types import TracebackType

from cleanroom.errors import BadData
from cleanroom.gateway.codes import Fault

VERSION = 1


class Seen:
    """The record of one gateway; several processes may share it."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.touch(0o600)
        try:
            self._base = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=10.0)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            if self._base.execute("PRAGMA user_version").fetchone()[0] not in (0, VERSION):
                raise BadData("The gateway's record of calls has a format that this version does not know.")
            self._base.execute("CREATE TABLE IF NOT EXISTS seen (call BLOB PRIMARY KEY, until INTEGER) WITHOUT ROWID")
            self._base.execute(f"PRAGMA user_version={VERSION}")
        except sqlite3.DatabaseError as error:
            raise BadData("The gateway's record of calls is damaged.", "Remove it while the gateway is down, and start "
                          "it no sooner than a day later.") from error  # fmt: skip

    def once(self, call: bytes, until: int, now: int) -> None:
        """Records the call (32 bytes) until that second. Raises Fault where it is recorded already."""
        with self._lock:
            self._base.execute("BEGIN IMMEDIATE")
            self._base.execute("DELETE FROM seen WHERE until < ?", (now,))
            fresh = self._base.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (call, until)).rowcount
            self._base.execute("COMMIT")
        if not fresh:
            raise Fault("isv.replayed-request")

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def __enter__(self) -> "Seen":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
