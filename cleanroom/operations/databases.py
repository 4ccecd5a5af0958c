"""SQLite files as of one moment, while others write to them: by SQLite's own backup, never by reading the file."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cleanroom.errors import BadData
from cleanroom.files import replacing

_PART = 1 << 20
_WAIT_SECONDS = 60.0


def content(path: Path) -> Iterator[bytes]:
    """The database in parts, what stands in its log included. In memory: a copy on the disk would be bare."""
    with _storage(path), closing(_connected(path)) as source, closing(sqlite3.connect(":memory:")) as copy:
        source.backup(copy)
        whole = memoryview(copy.serialize())
    for at in range(0, len(whole), _PART):
        yield bytes(whole[at : at + _PART])


def copy(path: Path, to: Path) -> None:
    """A copy as a file, whole or not at all."""
    with (
        replacing(to) as aside,
        _storage(path),
        closing(_connected(path)) as source,
        closing(sqlite3.connect(aside)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # so that nothing stays beside it


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path.resolve().as_uri() + "?mode=rw", uri=True, timeout=_WAIT_SECONDS)


@contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise BadData(
            "{name} could not be read: {reason}.",
            "It is no database of this program, or the disk is damaged.",
            name=path.name,
            reason=getattr(error, "sqlite_errorname", type(error).__name__),
        ) from error
