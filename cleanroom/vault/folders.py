"""A dataset's folder: versions beside each other, and a pointer to the one that counts.

    <32 hex of the name's digest>/current      the pointer, replaced in one step
                                  v00000007/   a whole version; those above the pointer's do not exist for readers
                                  .new-…/      a version being written, or what a crash left of it
                                  .gone-…/     a version being removed
The order of steps is what makes a crash harmless: files synced, folder renamed, pointer replaced, old versions removed.
Folder names come from us alone; a dataset's name never becomes a path.
"""

import hashlib
import re
import secrets
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.vault.files import FolderFiles

_POINTER_FORMAT = "cleanroom-current/1"
_VERSION = re.compile(r"v([0-9]{8})")
_DATASET = re.compile(r"[0-9a-f]{32}")
_LONGEST_NAME = 100


def checked_name(name: str) -> str:
    """A dataset's name in Unicode's NFC. Raises UsageError for what is empty, too long, a path or not printable."""
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= _LONGEST_NAME or not name.isprintable() or name.strip() != name or set(name) & set("/\\"):
        raise UsageError(
            "This cannot name a dataset.", "Use up to {most} letters, digits, '-', '_' or '.'.", most=_LONGEST_NAME
        )
    return name


@dataclass(frozen=True)
class DatasetFolder:
    """Where the versions of one dataset stand."""

    path: Path

    @classmethod
    def of(cls, vault: Path, name: str) -> "DatasetFolder":
        """The folder for a dataset's name, which need not exist yet."""
        return cls(vault / hashlib.sha256(checked_name(name).encode()).hexdigest()[:32])

    @classmethod
    def all(cls, vault: Path) -> list["DatasetFolder"]:
        """Every dataset of a vault that has a version."""
        found = (cls(path) for path in sorted(vault.iterdir()) if _DATASET.fullmatch(path.name))
        return [folder for folder in found if folder.current() is not None]

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever writes; readers need none."""
        if not self.path.is_dir():
            self.path.mkdir(0o700, exist_ok=True)
        private_files.check_folder(self.path)
        return private_files.locked(self.path / "lock")

    def current(self) -> int | None:
        """The version that counts; None before the first. Raises BadData for a damaged pointer."""
        pointer = self.path / "current"
        if not pointer.is_symlink() and not pointer.exists():
            return None
        form, _, text = private_files.read(pointer, 100).decode("ascii", "replace").strip().partition(" ")
        match = _VERSION.fullmatch(text)
        if form != _POINTER_FORMAT or not match:
            raise BadData("A dataset's pointer is damaged or of an unknown version.", "Import the dataset again.")
        return int(match[1])

    def versions(self) -> list[int]:
        """The versions there are, oldest first, the last one the current one."""
        current = self.current() or 0
        found = (_VERSION.fullmatch(path.name) for path in self.path.iterdir())
        return sorted(number for match in found if match and (number := int(match[1])) <= current)

    def version_path(self, number: int) -> Path:
        """A version's folder."""
        return self.path / f"v{number:08d}"

    def file_id(self, number: int, file: str) -> str:
        """A file's name over the whole vault, to which its column keys are bound."""
        return f"vault/{self.path.name}/v{number:08d}/{file}"

    def files(self, number: int) -> FolderFiles:
        """A version's files."""
        return FolderFiles(self.version_path(number), self.file_id(number, ""))

    @contextmanager
    def aside(self, number: int) -> Iterator[FolderFiles]:
        """Files that no reader sees, to become this version; removed if they did not. Needs the lock."""
        self._sweep()
        path = self.path / f".new-{secrets.token_hex(8)}"
        path.mkdir(0o700)
        try:
            yield FolderFiles(path, self.file_id(number, ""))
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def make_current(self, aside: FolderFiles, number: int) -> None:
        """Turns finished files into the current version. Needs the lock."""
        private_files.sync_folder(aside.path)
        aside.path.rename(self.version_path(number))
        private_files.sync_folder(self.path)
        write_bytes(self.path / "current", f"{_POINTER_FORMAT} v{number:08d}\n".encode())

    def remove(self, number: int) -> None:
        """Removes a version that is not the current one. Needs the lock."""
        gone = self.path / f".gone-{secrets.token_hex(8)}"
        self.version_path(number).rename(gone)  # first out of sight: removing takes many steps
        shutil.rmtree(gone)

    def retire(self, number: int) -> None:
        """As `remove`: whoever began to read it has its files open."""
        self.remove(number)

    def purge(self) -> None:
        """Removes what may be left of versions that nobody reads any more: nothing here."""

    def _sweep(self) -> None:
        """Removes what a crash left: unfinished versions, and finished ones that never became current."""
        kept = set(self.versions())
        for path in self.path.iterdir():
            match = _VERSION.fullmatch(path.name)
            if path.is_dir() and (path.name.startswith(".") or (match and int(match[1]) not in kept)):
                shutil.rmtree(path)
            elif path.name.startswith("."):
                path.unlink()
