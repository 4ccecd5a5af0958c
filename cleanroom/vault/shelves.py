"""Where a vault's datasets stand: in the home's own folder, or in an object store (`object_shelf`).

A shelf knows which datasets and versions there are and which of them count, and keeps the list of forgotten persons. It
knows nothing of what is in them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from cleanroom import private_files
from cleanroom.errors import Interrupted
from cleanroom.files import write_bytes
from cleanroom.vault.files import Files
from cleanroom.vault.folders import DatasetFolder
from cleanroom.vault.tombstones import SIZE_LIMIT


class Overtaken(Interrupted):
    """Another writer was first: nothing of this write is left."""

    code = "overtaken"


class Versions(Protocol):
    """The versions of one dataset."""

    def lock(self) -> AbstractContextManager[None]:
        """Around whatever changes the versions. Raises Overtaken in here where it waits for nobody, but notices."""

    def current(self) -> int | None:
        """The version that counts; None before the first. Raises BadData for a damaged pointer."""

    def versions(self) -> list[int]:
        """The versions there are, oldest first, the last one the current one."""

    def files(self, number: int) -> Files:
        """A version's files."""

    def aside(self, number: int) -> AbstractContextManager[Any]:
        """Files that no reader sees, to become this version; removed if they did not. Needs the lock."""

    def make_current(self, aside: Any, number: int) -> None:
        """Turns finished files into the current version, in one step. Needs the lock."""

    def retire(self, number: int) -> None:
        """Removes a version that is not the current one; whoever reads it reads on. Needs the lock."""

    def remove(self, number: int) -> None:
        """Removes a version that is not the current one, at once. Needs the lock."""

    def purge(self) -> None:
        """Removes what is left of versions that do not count any more. Needs the lock."""


class Shelf(Protocol):
    """All datasets of a vault."""

    def dataset(self, name: str) -> Versions:
        """The dataset of this name, which need not exist yet. Raises UsageError for what is no name."""

    def datasets(self) -> Sequence[Versions]:
        """Every dataset that has a version."""

    def stones(self) -> bytes | None:
        """The file of the forgotten persons, None before the first."""

    def stones_mark(self) -> object:
        """What changes when `stones` does."""

    def change_stones(self, change: Callable[[bytes | None], bytes]) -> None:
        """Replaces that file by what `change` makes of it, durably; nobody else's change is lost."""


class FolderShelf:
    """The datasets in a folder of the home. Processes may share it."""

    def __init__(self, path: Path) -> None:
        """Raises BadData or Refused for an unfit folder."""
        private_files.check_folder(path)
        self._path = path

    def dataset(self, name: str) -> DatasetFolder:
        """As `Shelf.dataset`."""
        return DatasetFolder.of(self._path, name)

    def datasets(self) -> list[DatasetFolder]:
        """As `Shelf.datasets`."""
        return DatasetFolder.all(self._path)

    def stones(self) -> bytes | None:
        """As `Shelf.stones`."""
        path = self._stones
        return private_files.read(path, SIZE_LIMIT) if path.is_symlink() or path.exists() else None

    def stones_mark(self) -> object:
        """As `Shelf.stones_mark`."""
        return private_files.mark(self._stones) if self._stones.exists() else None

    def change_stones(self, change: Callable[[bytes | None], bytes]) -> None:
        """As `Shelf.change_stones`."""
        with private_files.locked(self._path / "tombstones.lock"):
            write_bytes(self._stones, change(self.stones()))

    @property
    def _stones(self) -> Path:
        return self._path / "tombstones"
