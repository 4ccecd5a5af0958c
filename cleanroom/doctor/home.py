"""A party's home: whether it opens, who else may read it, whether its disk holds what is written, its databases."""

import contextlib
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cleanroom.doctor.finding import Finding
from cleanroom.doctor.reasons import reason
from cleanroom.errors import KNOWN
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.lang import explain, t

LEAST_FREE, GOOD_FREE = 256 << 20, 2 << 30
"""Bytes. An import writes a version beside the one before."""
MOST_CHECKED = 64 << 20
"""A larger database is opened, not read through: that is for `cleanroom audit verify`."""
_SHOWN = 3
_TRIAL_BYTES = 1 << 16
_SECRET = ("keys/*", "unlock.key", "keystore.json", "users.json", "certificate.json", "gateway/*", "*.sqlite",
           "grants.json", "pinned.json", "node.toml")  # fmt: skip
_FOLDERS = ("keys", "vault", "rooms", "peers", "gateway")
_UNSURE = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "vboxsf", "drvfs")
"""File systems whose locks and renames are not to be relied on."""
_MOUNTS = Path("/proc/self/mounts")


def opened(path: Path) -> tuple[Home | None, Finding]:
    """The home, where it opens by what the environment says."""
    title = t("Home")
    try:
        home = Home.open(path)
    except KNOWN as error:
        what, hint = explain(error)
        return None, Finding("home", title, "bad", what, hint or t("Restore it from a backup."))
    return home, Finding("home", title, "ok", t("of {party}; its keys open", party=home.party))


def checks(path: Path) -> Iterator[Finding]:
    """What can be said of a home that may not open."""
    yield permissions(path)
    yield disk(shutil.disk_usage(path).free, vault_bytes(path))
    yield writing(path)
    yield file_system(file_system_of(path))
    yield from databases(path)


def permissions(path: Path) -> Finding:
    """Whether folders are the owner's alone, and files with secrets too."""
    title = t("Who may read the home")
    if sys.platform == "win32":
        return Finding("permissions", title, "warn", t("cannot be seen on this system"),
                       t("See that the folder is yours alone."))  # fmt: skip
    folders = [path, *(path / name for name in _FOLDERS)]
    files = [file for pattern in _SECRET for file in path.glob(pattern) if not file.is_dir()]
    open_ones = [each for each in (*folders, *files) if _mode(each) & 0o077]
    foreign = [each for each in (*folders, *files) if _owner(each) not in (None, os.geteuid())]
    if open_ones:
        return Finding("permissions", title, "bad", t("open to others: {names}", names=_named(path, open_ones)),
                       t("Run: chmod -R go-rwx {folder}", folder=str(path)))  # fmt: skip
    if foreign:
        advice = t("Run this as the user who runs the node, or give the home to that user: chown -R")
        return Finding("permissions", title, "bad", t("of another user: {names}", names=_named(path, foreign)), advice)
    return Finding("permissions", title, "ok", t("its owner alone"))


def vault_bytes(path: Path) -> int:
    """What the datasets take."""
    return sum(_size(file) for file in (path / "vault").rglob("*"))


def disk(free: int, vault: int) -> Finding:
    """Whether there is room for what comes. free: bytes; vault: bytes that the datasets take."""
    title = t("Disk")
    found = t("{free} GB free; the datasets take {vault} MB", free=f"{free / 1e9:.1f}", vault=f"{vault / 1e6:,.0f}")
    if free >= max(GOOD_FREE, vault):
        return Finding("disk", title, "ok", found)
    advice = t("Make room: an import keeps the version before until it is done, and a full disk stops the node's jobs.")
    return Finding("disk", title, "bad" if free < LEAST_FREE else "warn", found, advice)


def writing(path: Path) -> Finding:
    """Whether a file and a database can be written here and survive a crash. Both are removed."""
    title = t("Writing")
    try:
        with tempfile.TemporaryDirectory(prefix=".doctor-", dir=path) as folder:
            write_bytes(Path(folder) / "trial", bytes(_TRIAL_BYTES))
            with contextlib.closing(sqlite3.connect(Path(folder) / "trial.sqlite")) as database:
                database.execute("PRAGMA journal_mode=WAL")
                database.execute("CREATE TABLE trial (n INTEGER)")
                database.commit()
    except (*KNOWN, OSError) as error:
        advice = t("Make room, lift the quota or the limit, or give the folder to the user who runs this.")
        return Finding("writing", title, "bad", t("a file cannot be written: {reason}", reason=reason(error)), advice)
    except sqlite3.Error as error:
        found = t("a database cannot be written: {reason}", reason=type(error).__name__)
        return Finding("writing", title, "bad", found, t("Put the home on a local disk."))
    return Finding("writing", title, "ok", t("files and databases are written, synced and renamed"))


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """The kind of file system that the home lies on; "" where the system does not tell."""
    try:
        lines = [line.split() for line in mounts.read_text("utf-8", "replace").splitlines()]
    except OSError:
        return ""
    whole = path.resolve()
    over = [(line[1], line[2]) for line in lines if len(line) > 2 and whole.is_relative_to(line[1])]
    return max(over, key=lambda each: len(each[0]), default=("", ""))[1]


def file_system(kind: str) -> Finding:
    """Whether its locks hold."""
    title = t("File system")
    if kind in _UNSURE:
        return Finding("file-system", title, "warn", kind,
                       t("Locks and renames are not sure over a network: put the home on a local disk."))  # fmt: skip
    return Finding("file-system", title, "ok", kind or t("this system does not tell"))


def databases(path: Path) -> Iterator[Finding]:
    """Whether the node's state and the ledger are whole."""
    title = t("Databases")
    held = [each for name in ("node.sqlite", "ledger.sqlite") if (each := path / name).is_file()]
    damaged = [each.name for each in held if not _is_whole(each)]
    if damaged:
        yield Finding("databases", title, "bad", t("damaged: {names}", names=", ".join(damaged)),
                      t("Restore the home from a backup: cleanroom restore"))  # fmt: skip
    elif held:
        yield Finding("databases", title, "ok", t("whole: {names}", names=", ".join(each.name for each in held)))


def _is_whole(path: Path) -> bool:
    check = "quick_check" if path.stat().st_size <= MOST_CHECKED else "schema_version"
    try:
        opened_only = f"{path.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(opened_only, uri=True, timeout=1.0)) as database:
            found = database.execute(f"PRAGMA {check}").fetchone()
    except sqlite3.OperationalError as error:  # busy is not damaged
        return "locked" in str(error)
    except sqlite3.DatabaseError:
        return False
    return check != "quick_check" or found == ("ok",)


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.lstat().st_mode)
    except OSError:
        return 0


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _named(home: Path, paths: list[Path]) -> str:
    names = [str(each.relative_to(home)) if each != home else t("the home itself") for each in paths]
    more = t("and {count} more", count=len(names) - _SHOWN) if len(names) > _SHOWN else ""
    return ", ".join([*names[:_SHOWN], *([more] if more else [])])
