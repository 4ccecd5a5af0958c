"""A home as one encrypted file, taken while its node runs. Nothing of it stands anywhere in between.

What is taken: all files of the home, of every home inside it (`peers/`) too. A SQLite file is taken as of one moment by
SQLite's own backup, in memory. A dataset's files are written once: its lock keeps versions from being removed while
they are read, and imports of that dataset wait so long. The forgotten persons come after the datasets, the ledger at
the very end: a restored list is never behind a dataset, and a restored ledger knows of all that came before it.

Left out: locks, sockets, what a crash left, and what is kept of former runs, which a restore drops anyway.
"""

import datetime as dt
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom import __version__, private_files
from cleanroom.answer.epochs import PEOPLE
from cleanroom.errors import BadData, UsageError
from cleanroom.files import replacing
from cleanroom.home import FORMAT as HOME_FORMAT
from cleanroom.home import Home
from cleanroom.operations import databases
from cleanroom.operations.archive import ArchiveReader, ArchiveWriter
from cleanroom.operations.sealed_stream import Lock, SealedReader, SealingWriter, Unlock
from cleanroom.vault.folders import DatasetFolder

_READ = 1 << 20
_KEPT_RUN = re.compile(rf"(?:{'|'.join(PEOPLE)})-[0-9]+")
_LEFT_OUT = re.compile(r"\..*|lock|.*\.lock|.*\.sock|.*\.sqlite-(?:wal|shm|journal)|slots-.*|coded-.*")


@dataclass(frozen=True)
class Backup:
    """What a backup says of itself: when it was begun (UTC), whose home, by which program; files and bytes in it."""

    made: str
    party: str
    home: str
    program: str
    files: int
    bytes: int

    def plain(self) -> dict[str, Any]:
        """For programs."""
        return {"made": self.made, "party": self.party, "format": self.home, "program": self.program,
                "files": self.files, "bytes": self.bytes}  # fmt: skip


def write(home: Home, path: Path, lock: Lock) -> Backup:
    """Write the home's backup to `path`, whole or not at all. Raises UsageError where there is such a file."""
    if path.exists() or path.is_symlink():
        raise UsageError("{name} exists already.", "Name a file that does not exist yet.", name=path.name)
    if path.resolve().is_relative_to(home.path.resolve()):
        raise UsageError("A backup does not lie in the home that it is of.", "Name another folder.")
    made = now()
    about = {"made": made, "party": home.party, "home": HOME_FORMAT, "program": __version__}
    with replacing(path) as aside, aside.open("wb") as file:
        sealing = SealingWriter(file, lock)
        archive = ArchiveWriter(sealing, dict(about))
        for name in _parts(home.path):
            with _held(home.path / name):
                _add(archive, home.path, name)
        archive.finish()
        sealing.finish()
    return Backup(made, home.party, HOME_FORMAT, __version__, *_sums(archive))


def verify(path: Path, unlock: Unlock) -> Backup:
    """Read all of a backup and hold it against its list. Raises BadData."""
    with opened(path, unlock) as reading:
        for _, blocks in reading.archive.each():
            for _ in blocks:
                pass
        reading.sealed.finish()
        return reading.told()


@dataclass(frozen=True)
class Reading:
    """A backup being read."""

    sealed: SealedReader
    archive: ArchiveReader
    _file: Any

    def __enter__(self) -> "Reading":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def told(self) -> Backup:
        """What it says of itself. Raises BadData where something is missing."""
        about = self.archive.about
        names = ("made", "party", "home", "program")
        if not all(isinstance(about.get(name), str) for name in names):
            raise BadData("The backup does not say whose it is.", "Take another one.")
        made, party, home, program = (str(about[name]) for name in names)
        return Backup(made, party, home, program, *_sums(self.archive))


def opened(path: Path, unlock: Unlock) -> Reading:
    """A backup, its first line and what it says of itself verified. Raises BadData, UsageError."""
    file = os.fdopen(private_files.open_regular(path, follow=True), "rb")
    try:
        sealed = SealedReader(file, unlock)
        return Reading(sealed, ArchiveReader(sealed), file)
    except BaseException:
        file.close()
        raise


def now() -> str:
    """The time in UTC, to the second, as ledgers have it."""
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sums(archive: ArchiveWriter | ArchiveReader) -> tuple[int, int]:
    return len(archive.files), sum(each.size for each in archive.files)


def _parts(home: Path) -> Iterator[str]:
    """What is taken one after another, under what holds it: first what hardly changes, the ledgers at the end."""
    nested = sorted(path.name for path in (home / "peers").iterdir() if (path / "node.json").is_file())
    for name in nested:
        yield from (f"peers/{name}/{part}" for part in _parts(home / "peers" / name))
    vault = sorted(path.name for path in (home / "vault").iterdir() if path.name != "tombstones")
    late = ("vault", "peers", "ledger.sqlite", "node.sqlite")
    yield from sorted(path.name for path in home.iterdir() if path.name not in late)
    yield from (f"vault/{name}" for name in [*vault, "tombstones"] if (home / "vault" / name).exists())
    yield from (name for name in ("node.sqlite", "ledger.sqlite") if (home / name).exists())


def _held(path: Path) -> Any:
    """The lock of a dataset's folder; of anything else, none."""
    return DatasetFolder(path).lock() if path.parent.name == "vault" and path.is_dir() else nullcontext()


def _add(archive: ArchiveWriter, home: Path, name: str) -> None:
    """A file, or all files of a folder."""
    path = home / name
    if _left_out(path) or _vanished(path):
        return
    mode = path.lstat().st_mode
    if stat.S_ISDIR(mode):
        for inner in _names(path):
            _add(archive, home, f"{name}/{inner}")
    elif stat.S_ISLNK(mode):
        raise BadData("{name} in the home is a symbolic link.", "A home holds files, not links to them.", name=name)
    elif stat.S_ISREG(mode):
        if path.suffix == ".sqlite":
            archive.add(name, databases.content(path), pack=True)
        elif (content := _content(path)) is not None:
            archive.add(name, content, pack=path.suffix != ".parquet")


def _left_out(path: Path) -> bool:
    kept = _KEPT_RUN.fullmatch(path.parent.name)
    return bool(_LEFT_OUT.fullmatch(path.name) or (kept and path.name in PEOPLE[path.parent.name.split("-")[0]]))


def _names(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except FileNotFoundError:  # removed meanwhile
        return []


def _vanished(path: Path) -> bool:
    return not path.is_symlink() and not path.exists()


def _content(path: Path) -> Iterable[bytes] | None:
    """The file's bytes; None where it was removed meanwhile."""
    try:
        handle = private_files.open_regular(path)
    except BadData:
        if _vanished(path):
            return None
        raise
    return _read(handle)


def _read(handle: int) -> Iterator[bytes]:
    with os.fdopen(handle, "rb") as file:
        while part := file.read(_READ):
            yield part
