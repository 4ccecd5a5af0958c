"""A vault's datasets in an object store: a prefix of its own, of one party alone.

    vault                  whose it is, and the format        data/      the versions, encrypted
    tombstones             who is forgotten                   current/   a pointer a dataset
Everything hangs on puts that are done only on condition: a store that does not keep to them is refused before anything
is written.
"""

import hashlib
import secrets
from collections.abc import Callable

from cleanroom.errors import BadData, Refused
from cleanroom.keys import PartyKeys
from cleanroom.stores import Store
from cleanroom.vault.folders import checked_name
from cleanroom.vault.object_files import overtaken
from cleanroom.vault.object_versions import ObjectVersions
from cleanroom.vault.tombstones import SIZE_LIMIT

_FORMAT = "cleanroom-object-vault/1"
_MARKER, _STONES = "vault", "tombstones"
_LABEL = b"cleanroom/object-vault/1"
_NAME_LABEL = "cleanroom/object-dataset/1"
_LIMIT = 1 << 10
_TRIES = 16


class ObjectShelf:
    """As `cleanroom.vault.shelves.Shelf`. Nothing is asked of the store before it is needed."""

    def __init__(self, store: Store, keys: PartyKeys) -> None:
        """keys: by the public one the prefix is known for its party's, by the secret one datasets have names."""
        self._store, self._keys = store, keys
        self._ours = hashlib.sha256(_LABEL + keys.public.signing).hexdigest()
        self._looked = self._marked = False

    def dataset(self, name: str) -> ObjectVersions:
        """As `Shelf.dataset`. Raises Refused where the prefix is another party's."""
        signed = self._keys.sign(_NAME_LABEL, checked_name(name).encode())  # the same each time, and nobody else's
        return self._versions(hashlib.sha256(signed).hexdigest()[:32])

    def datasets(self) -> list[ObjectVersions]:
        """As `Shelf.datasets`."""
        self._look()
        found = [self._versions(name.rpartition("/")[2]) for name in self._store.names("current")]
        return [versions for versions in found if versions.current() is not None]

    def stones(self) -> bytes | None:
        """As `Shelf.stones`."""
        self._look()
        found = self._store.read(_STONES, SIZE_LIMIT)
        return found and found[0]

    def stones_mark(self) -> object:
        """As `Shelf.stones_mark`."""
        return self._store.tag(_STONES)

    def change_stones(self, change: Callable[[bytes | None], bytes]) -> None:
        """As `Shelf.change_stones`: on top of whatever others made of it. Raises Overtaken where that never ends."""
        self._prepare()
        for _ in range(_TRIES):
            found = self._store.read(_STONES, SIZE_LIMIT)
            content = change(found and found[0])
            done = self._store.put_new(_STONES, content) if found is None else self._store.put_if(
                _STONES, content, found[1])  # fmt: skip
            if done:
                return
        raise overtaken()

    def _versions(self, code: str) -> ObjectVersions:
        self._look()
        return ObjectVersions(self._store, code, self._prepare)

    def _look(self) -> None:
        """Raises Refused where the prefix is another party's, BadData where it is of another format."""
        if self._looked:
            return
        found = self._store.read(_MARKER, _LIMIT)
        if found is not None:
            form, _, whose = found[0].decode("ascii", "replace").strip().partition(" ")
            if form != _FORMAT:
                raise BadData("The vault in the object store is of an unknown version.", "Update this program.")
            if whose != self._ours:
                raise Refused("This place in the object store holds the vault of another home.", "Choose another.")
        self._looked, self._marked = True, found is not None

    def _prepare(self) -> None:
        """Before the first change of a process: the prefix is ours from now on, and the store keeps conditions."""
        self._look()
        if self._marked:
            return
        self._try_conditions()
        if not self._store.put_new(_MARKER, f"{_FORMAT} {self._ours}\n".encode()):
            self._looked = False
            self._look()
        self._marked = True

    def _try_conditions(self) -> None:
        name = f"probe-{secrets.token_hex(8)}"
        try:
            first, second = self._store.put_new(name, b"1"), self._store.put_new(name, b"2")
            third = self._store.put_if(name, b"3", f'"{secrets.token_hex(16)}"')
        finally:
            self._store.remove(name)
        if not first or second or third:
            raise Refused("This object store does not put on condition, so that writers could undo each other's work.",
                          "Choose a store that knows If-Match and If-None-Match.")  # fmt: skip
