"""A version's files in an object store: verified by one listing, read by ranges, each opened when its turn comes.

What a store calls an object's content (its ETag) stands in the signed manifest. As long as it says the same, nothing is
fetched to be hashed; where it says something else, as after a move to another bucket, everything is. Either way each
piece that is read authenticates itself (AES-GCM), under keys that are bound to the file's name.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from cleanroom.errors import BadData, CleanroomError, Interrupted
from cleanroom.stores import Listed, Sink, Store
from cleanroom.vault.columns import damaged
from cleanroom.vault.manifest import StoredFile
from cleanroom.vault.shelves import Overtaken

_CHUNK = 8 << 20


class ObjectFiles:
    """The objects in one folder of a store, which no two writers share."""

    lasting = True

    def __init__(self, store: Store, folder: str, prefix: str) -> None:
        self._store, self.folder, self.prefix = store, folder, prefix
        self._seen: dict[str, Listed] | None = None

    @property
    def address(self) -> tuple[str, str]:
        """As `Files.address`."""
        return self._store.uri, self.folder

    def create(self, name: str) -> Sink:
        """As `Files.create`."""
        return self._store.create(self._whole(name))

    def open(self, name: str) -> pa.NativeFile:
        """As `Files.open`. Raises Interrupted where it is gone: the version was verified, so that it was removed."""
        try:
            return self._store.open(self._whole(name))
        except BadData:
            raise Interrupted("The dataset was replaced while it was read.", "Ask again.") from None

    def read(self, name: str, limit: int) -> bytes:
        """As `Files.read`."""
        found = self._store.read(self._whole(name), limit)
        if found is None:
            raise BadData("{name} is missing.", "Restore it from a backup.", name=name)
        return found[0]

    def replace(self, name: str, content: bytes) -> None:
        """As `Files.replace`. Raises Overtaken where another did so at the same time."""
        whole, found = self._whole(name), self._store.tag(self._whole(name))
        done = self._store.put_new(whole, content) if found is None else self._store.put_if(whole, content, found)
        if not done:
            raise overtaken()

    def mark(self, files: Sequence[StoredFile]) -> object:
        """As `Files.mark`."""
        self._seen = {one.name.rpartition("/")[2]: one for one in self._store.listed(self.folder)}
        return self.folder, *((file.sha256, _there(self._seen, file).tag) for file in files)

    def check(self, files: Sequence[StoredFile]) -> None:
        """As `Files.check`, of what `mark` saw."""
        for file in files:
            seen = _there(self._seen or {}, file)
            if not file.tag or seen.tag != file.tag:
                self._check_content(file)

    def tagged(self, files: Sequence[StoredFile]) -> tuple[StoredFile, ...]:
        """As `Files.tagged`. Raises Overtaken where another took them for a rest."""
        try:
            self.mark(files)
        except BadData:
            raise overtaken() from None
        return tuple(replace(file, tag=_there(self._seen or {}, file).tag) for file in files)

    def blamed(self, name: str, error: Exception) -> CleanroomError:
        """As `Files.blamed`: what the store refuses or does not answer is no damage."""
        return self._store.failure(name, error) or damaged(name)

    def _whole(self, name: str) -> str:
        return f"{self.folder}/{name}" if self.folder else name

    def _check_content(self, file: StoredFile) -> None:
        digest = hashlib.sha256()
        try:
            with self._store.open(self._whole(file.name)) as stored:
                while chunk := stored.read(_CHUNK):
                    digest.update(chunk)
        except (pa.ArrowException, OSError) as error:
            raise self.blamed(file.name, error) from None
        if digest.hexdigest() != file.sha256:
            raise damaged(file.name)


def overtaken() -> Overtaken:
    """The error for a writer that was not the first."""
    return Overtaken("Another process changed this dataset meanwhile.", "Nothing of this was kept. Run it again.")


def _there(seen: dict[str, Listed], file: StoredFile) -> Listed:
    found = seen.get(file.name)
    if found is None or found.size != file.size:
        raise damaged(file.name)
    return found
