"""Files that a browser brought, until they are imported: sealed on the disk, opened in memory alone, gone after a day.

    uploads/NUMBER.sealed    FORMAT, the file's own key as the home wraps it, then frames
    uploads/NUMBER.part      the same while it arrives
    uploads/NUMBER.NOTE      what was found out or chosen about it (asked, found, done), wrapped by the home
A frame is a byte of its kind, its length (4 bytes), and AES-256-GCM (NIST SP 800-38D) under the file's key, the nonce
being the frame's place; the first holds the file's name and whose it is, the last says that it is whole. A key serves
one file that is written once. Nothing of a file, its name included, may reach the disk in the clear; a reader that
needs a path gets that of an unnamed file in memory (which a machine with unencrypted swap may swap out).
"""

import contextlib
import datetime as dt
import json
import os
import re
import secrets
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cleanroom import private_files
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home

FORMAT = b"cleanroom-upload/1\n"
FOLDER = ".uploads"
FRAME = 1 << 20
"""Bytes of plain text in a frame, at most."""
HOURS = 24
MOST_WAITING = 20
"""Files of one user that are neither imported nor removed."""
NOTES = ("asked", "found", "done")
_NUMBER = re.compile(r"[0-9a-f]{32}")
_HEAD, _DATA, _LAST = 0, 1, 2
_TAG = 16
_PART_HOURS = 1
_LONGEST_NAME = 120
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True)
class Upload:
    """A whole file. name: as its owner called it, made harmless; who: the user that brought it; created: UTC, ISO 8601;
    kind: "table", or "people" for a list of persons to be forgotten; sealed: its bytes on the disk."""

    number: str
    name: str
    who: str
    created: str
    kind: str
    sealed: int = 0


def new_number() -> str:
    """A number for a file to come."""
    return secrets.token_hex(16)


def checked(number: str) -> str:
    """Raises UsageError for what is no number of an upload."""
    if not _NUMBER.fullmatch(number):
        raise UsageError("There is no such upload.", "It may be over a day old. Upload the file again.")
    return number


def harmless(name: str) -> str:
    """The last part of a file's name, without what does not print; never used as a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    shown = "".join(sign for sign in last if sign.isprintable()).strip(" .")
    return shown[-_LONGEST_NAME:] or "upload"


class Sealing:
    """A file on its way in. A context manager: what is not `done` at its end is removed."""

    def __init__(self, home: Home, number: str, name: str, who: str, kind: str = "table") -> None:
        """Raises UsageError where the number is taken, Refused where too many of this user's wait."""
        tidy(home)
        if sum(each.who == who for each in listed(home)) >= MOST_WAITING:
            raise Refused("{most} of your uploads wait already.", "Import or remove some.", most=MOST_WAITING)
        self._home, self._number, self._waiting, self._place = home, checked(number), bytearray(), 0
        self._path = _folder(home) / f"{number}.part"
        self._target = self._path.with_suffix(".sealed")
        key = secrets.token_bytes(32)
        self._cipher = AESGCM(key)
        self._file: IO[bytes] = _made(self._path, self._target)
        wrapped = home.wrapping.wrap(_key_name(number), key)
        self._file.write(FORMAT + len(wrapped).to_bytes(4, "big") + wrapped)
        created = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._frame(_HEAD, json.dumps({"name": harmless(name), "who": who, "created": created, "kind": kind}).encode())

    def add(self, content: bytes) -> None:
        """More of the file. Raises BadData where the disk does not take it."""
        self._waiting += content
        while len(self._waiting) > FRAME:
            self._frame(_DATA, bytes(self._waiting[:FRAME]))
            del self._waiting[:FRAME]

    def done(self) -> str:
        """The file is whole and on the disk. Returns its number."""
        self._frame(_LAST, bytes(self._waiting))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.rename(self._target)
        private_files.sync_folder(self._path.parent)
        return self._number

    def _frame(self, kind: int, content: bytes) -> None:
        sealed = self._cipher.encrypt(self._place.to_bytes(12, "big"), content, _bound(self._number, kind))
        self._place += 1
        try:
            self._file.write(bytes([kind]) + len(sealed).to_bytes(4, "big") + sealed)
        except OSError as error:
            raise BadData("{name} could not be written: {reason}.", "Check free space and rights.", name=FOLDER,
                          reason=error.strerror) from error  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


def listed(home: Home) -> list[Upload]:
    """Whole files that wait, the newest first."""
    found = []
    for path in _folder(home).glob("*.sealed"):
        with contextlib.suppress(BadData, UsageError):  # gone meanwhile, or cut: `tidy` removes it
            found.append(find(home, path.stem))
    return sorted(found, key=lambda each: each.created, reverse=True)


def find(home: Home, number: str) -> Upload:
    """Raises UsageError where there is none, BadData where it is damaged."""
    path = _whole(home, number)
    with contextlib.closing(_frames(home, number, path)) as frames:
        head = json.loads(next(frames))
    return Upload(number, head["name"], head["who"], head["created"], head["kind"], path.stat().st_size)


@contextlib.contextmanager
def opened(home: Home, number: str) -> Iterator[Path]:
    """The path of the file in this process's memory, for as long as the context lasts; also for its child processes.

    Raises UsageError where there is none, BadData unless every frame is as it was sealed.
    """
    if not hasattr(os, "memfd_create"):
        raise UsageError("This system has no files in memory.", "Use the command: cleanroom data add")
    path = _whole(home, number)
    handle = os.memfd_create("upload")
    try:
        frames = _frames(home, number, path)
        next(frames)
        for content in frames:
            _write_all(handle, content)
        yield Path(f"/proc/{os.getpid()}/fd/{handle}")
    finally:
        os.close(handle)


def remove(home: Home, number: str) -> None:
    """The file and all notes on it, now."""
    for end in ("sealed", "part", *NOTES):
        (_folder(home) / f"{checked(number)}.{end}").unlink(missing_ok=True)


def remove_file(home: Home, number: str) -> None:
    """The file alone, once it is imported; what came of it stays for the day."""
    (_folder(home) / f"{checked(number)}.sealed").unlink(missing_ok=True)


def tidy(home: Home) -> int:
    """Removes what is older than HOURS, and what began to arrive and does no more. Returns how many files."""
    now, gone = time.time(), 0
    for path in _folder(home).iterdir():
        hours = _PART_HOURS if path.suffix == ".part" else HOURS
        with contextlib.suppress(OSError):
            if now - path.lstat().st_mtime > hours * 3600:
                path.unlink()
                gone += 1
    return gone


def note(home: Home, number: str, title: str) -> Any:
    """What was kept under that title, or None."""
    path = _folder(home) / f"{checked(number)}.{title}"
    if not path.exists():
        return None
    return json.loads(home.wrapping.unwrap(_note_name(number, title), private_files.read(path, 1 << 24)))


def keep(home: Home, number: str, title: str, value: Any) -> None:
    """Keeps plain values, wrapped, for as long as the file."""
    content = home.wrapping.wrap(_note_name(number, title), json.dumps(value, ensure_ascii=False).encode())
    write_bytes(_folder(home) / f"{checked(number)}.{title}", content)


def plain(upload: Upload) -> dict[str, Any]:
    """For pages."""
    return asdict(upload)


def _frames(home: Home, number: str, path: Path) -> Generator[bytes, None, None]:
    """The plain frames, the head first. Raises BadData at the first that is not as it was sealed."""
    damaged = BadData("This upload is damaged.", "Upload the file again.")
    with os.fdopen(private_files.open_regular(path), "rb") as file:
        if file.read(len(FORMAT)) != FORMAT:
            raise BadData("This upload is of an unknown version.", "Upload the file again.")
        wrapped = file.read(min(int.from_bytes(file.read(4), "big"), 1 << 10))
        cipher = AESGCM(home.wrapping.unwrap(_key_name(number), wrapped))
        place, kind = 0, _HEAD
        while kind != _LAST:
            start = file.read(5)
            if len(start) < 5 or int.from_bytes(start[1:], "big") > FRAME + _TAG:
                raise damaged
            kind = start[0]
            try:
                content = cipher.decrypt(place.to_bytes(12, "big"), file.read(int.from_bytes(start[1:], "big")),
                                         _bound(number, kind))  # fmt: skip
            except (InvalidTag, ValueError) as error:
                raise damaged from error
            place += 1
            yield content
        if file.read(1):
            raise damaged


def _made(path: Path, target: Path) -> IO[bytes]:
    if any(target.with_suffix(f".{end}").exists() for end in ("sealed", *NOTES)):  # notes of another's file, too
        raise UsageError("This upload is there already.", "Load the page again for another.")
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW, 0o600), "wb")
    except FileExistsError as error:
        raise UsageError("This upload is there already.", "Load the page again for another.") from error


def _write_all(handle: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def _folder(home: Home) -> Path:
    path = home.path / FOLDER
    path.mkdir(0o700, exist_ok=True)
    private_files.check_folder(path)
    return path


def _whole(home: Home, number: str) -> Path:
    path = _folder(home) / f"{checked(number)}.sealed"
    if not path.exists():
        raise UsageError("There is no such upload.", "It may be over a day old. Upload the file again.")
    return path


def _key_name(number: str) -> str:
    return f"upload/{number}"


def _note_name(number: str, title: str) -> str:
    return f"upload/{number}/{title}"


def _bound(number: str, kind: int) -> bytes:
    """What a frame is bound to beside its place."""
    return FORMAT + number.encode() + bytes([kind])
