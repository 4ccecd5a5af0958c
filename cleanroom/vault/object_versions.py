"""The versions of one dataset in an object store, where there are no locks: a writer learns at the end who was first.

    current/<32 hex>                       the pointer: which versions count, replaced only by who read the last one
    data/<32 hex>/v00000007-<16 hex>/…     a version's objects, under a name that no other writer draws
                                    …/writing    while it is written: renewed, so that nobody takes it for a rest
                                    …/retired    when it stopped counting: readers have an hour to end
Objects first, then the pointer: what no pointer names does not exist for readers, and is a rest once its time is over.
"""

import re
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta

from cleanroom.errors import BadData, CleanroomError
from cleanroom.stores import Listed, Store
from cleanroom.vault.lease import Lease
from cleanroom.vault.object_files import ObjectFiles, overtaken

RETIRED_FOR = timedelta(hours=1)
_FORMAT = "cleanroom-versions/1"
_FOLDER = re.compile(r"v([0-9]{8})-[0-9a-f]{16}")
_LIMIT = 1 << 16
_WRITING, _RETIRED, _CLOCK = "writing", "retired", "clock"
_TRIES = 8


class ObjectVersions:
    """As `cleanroom.vault.shelves.Versions`; what the pointer said is remembered until the next lock."""

    def __init__(self, store: Store, code: str, prepare: Callable[[], None]) -> None:
        """code: 32 hex digits, the dataset's; prepare: what to do before the first change."""
        self._store, self._code, self._prepare = store, code, prepare
        self._pointer, self._data = f"current/{code}", f"data/{code}"
        self._known: tuple[dict[int, str], str | None] | None = None
        self._committed: bool | None = False

    @contextmanager
    def lock(self) -> Iterator[None]:
        """As `Versions.lock`: what counts now is what a change builds on."""
        self._prepare()
        self._known = None
        yield

    def current(self) -> int | None:
        """As `Versions.current`."""
        return max(self._folders(), default=None)

    def versions(self) -> list[int]:
        """As `Versions.versions`."""
        return sorted(self._folders())

    def files(self, number: int) -> ObjectFiles:
        """As `Versions.files`. Raises BadData for a version that does not count."""
        folder = self._folders().get(number)
        if folder is None:
            raise BadData("{name} is missing.", "Restore it from a backup.", name=f"v{number:08d}")
        return self._files(folder)

    @contextmanager
    def aside(self, number: int) -> Iterator[ObjectFiles]:
        """As `Versions.aside`: sweeps what crashes left, then holds a lease as long as it is written."""
        self._folders()
        folder = f"v{number:08d}-{secrets.token_hex(8)}"
        self._committed = False
        with Lease.taken(self._store, f"{self._data}/{folder}/{_WRITING}") as self._lease:
            try:
                self._sweep(folder, at_once=False)
                yield self._files(folder)
            finally:
                if self._committed is False:  # None: nobody knows, and what the pointer may name must stay
                    with suppress(CleanroomError):
                        self._remove(folder)

    def make_current(self, aside: ObjectFiles, number: int) -> None:
        """As `Versions.make_current`. Raises Overtaken where another was first, or took this for a rest."""
        folder = aside.folder.rpartition("/")[2]
        folders, tag = self._folders() | {number: folder}, self._known[1] if self._known else None
        self._lease.renew()
        self._committed = None
        done = self._put(folders, tag)
        self._known = None
        self._committed = done or folder in self._folders().values()  # ours, and overtaken since: an answer was lost
        if not self._committed:
            raise overtaken()
        with suppress(CleanroomError):
            self._store.remove(f"{aside.folder}/{_WRITING}")

    def retire(self, number: int) -> None:
        """As `Versions.retire`: gone with the next write after an hour."""
        marker = self._store.create(f"{self._data}/{self._folders()[number]}/{_RETIRED}")
        marker.write(b"")
        marker.finish()
        self._drop(number)

    def remove(self, number: int) -> None:
        """As `Versions.remove`: whoever reads it is interrupted."""
        folder = self._folders()[number]
        self._drop(number)
        self._remove(folder)

    def purge(self) -> None:
        """As `Versions.purge`: what is retired goes at once, and what crashes left; not what is being written."""
        self._sweep("", at_once=True)

    def _files(self, folder: str) -> ObjectFiles:
        return ObjectFiles(self._store, f"{self._data}/{folder}", f"vault/{self._code}/{folder}/")

    def _folders(self) -> dict[int, str]:
        if self._known is None:
            self._known = self._read()
        return self._known[0]

    def _read(self) -> tuple[dict[int, str], str | None]:
        """(folders by version, the pointer's tag)."""
        found = self._store.read(self._pointer, _LIMIT)
        if found is None:
            return {}, None
        form, _, text = found[0].decode("ascii", "replace").strip().partition(" ")
        matches = [_FOLDER.fullmatch(folder) for folder in text.split(" ") if folder]
        if form != _FORMAT or not all(matches):
            raise BadData("A dataset's pointer is damaged or of an unknown version.", "Import the dataset again.")
        return {int(match[1]): match[0] for match in matches if match}, found[1]

    def _put(self, folders: dict[int, str], tag: str | None) -> bool:
        content = " ".join([_FORMAT, *(folders[number] for number in sorted(folders))]).encode() + b"\n"
        if tag is None:
            return self._store.put_new(self._pointer, content)
        return self._store.put_if(self._pointer, content, tag)

    def _drop(self, number: int) -> None:
        """Takes a version off the pointer, whoever else changes that."""
        folder = self._folders()[number]
        for _ in range(_TRIES):
            self._known = folders, tag = self._read()
            if folders.get(number) != folder:
                return
            if self._put({other: name for other, name in folders.items() if other != number}, tag):
                self._known = None
                return
        raise overtaken()

    def _sweep(self, own: str, *, at_once: bool) -> None:
        """Removes what no pointer names, nobody writes any more, and nobody may still read."""
        clock = self._store.create(f"{self._data}/{_CLOCK}")
        clock.write(b"")
        clock.finish()
        found: dict[str, dict[str, Listed]] = defaultdict(dict)
        for one in self._store.listed(self._data):
            folder, _, name = one.name.removeprefix(f"{self._data}/").rpartition("/")
            found[folder][name] = one
        now = found.pop("")[_CLOCK].changed
        counting = set(self._read()[0].values())  # read last: what was written before it was listed counts by now
        for folder in found.keys() - counting - {own}:
            if self._over(found[folder], now, at_once):
                self._remove(folder)

    def _over(self, files: dict[str, Listed], now: datetime, at_once: bool) -> bool:
        if _RETIRED in files:
            return at_once or now - files[_RETIRED].changed > RETIRED_FOR
        return _WRITING not in files or Lease.over(self._store, files[_WRITING], now)

    def _remove(self, folder: str) -> None:
        """Removes a folder's objects, the lease last: until then it is known for a rest."""
        names = self._store.names(f"{self._data}/{folder}")
        lease = f"{self._data}/{folder}/{_WRITING}"
        self._store.remove(*(name for name in names if name != lease))
        self._store.remove(lease)
