"""Leave to be unfinished: a small object that its writer renews, and that others may take once it is old.

Whoever takes a lease changes it, on the condition that it is still the one that was old. So a writer that slept too
long learns of it before its version counts. Ages are told by the store's clock alone.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import Self

from cleanroom.errors import Interrupted
from cleanroom.stores import Listed, Store
from cleanroom.vault.object_files import overtaken

HELD_FOR = timedelta(minutes=15)
RENEWED_AFTER = 60.0
_LIMIT = 100


class Lease:
    """Held while a version is written."""

    def __init__(self, store: Store, name: str) -> None:
        self._store, self._name = store, name
        self._drawn: set[bytes] = set()
        self._using, self._ended = threading.Lock(), threading.Event()

    @classmethod
    @contextmanager
    def taken(cls, store: Store, name: str) -> Iterator[Self]:
        """A new lease, renewed in the background until the end. It is left to its owner to remove it."""
        lease = cls(store, name)
        store.put_new(name, lease._draw())
        keeper = threading.Thread(target=lease._keep, name="lease", daemon=True)
        keeper.start()
        try:
            yield lease
        finally:
            lease._ended.set()
            keeper.join()

    def renew(self) -> None:
        """Holds it for another while. Raises Overtaken where another took it, and what it stood for, for a rest."""
        with self._using:
            found = self._store.read(self._name, _LIMIT)
            ours = found is not None and found[0] in self._drawn
            if found is None or not ours or not self._store.put_if(self._name, self._draw(), found[1]):
                raise overtaken()

    @staticmethod
    def over(store: Store, lease: Listed, now: datetime) -> bool:
        """Whether a lease had run out, and is ours now."""
        if now - lease.changed <= HELD_FOR:
            return False
        found = store.read(lease.name, _LIMIT)
        return found is not None and store.put_if(lease.name, _drawn(), found[1])

    def _draw(self) -> bytes:
        content = _drawn()
        self._drawn.add(content)  # all of them: whether one arrived, a store that did not answer leaves open
        return content

    def _keep(self) -> None:
        while not self._ended.wait(RENEWED_AFTER):
            with suppress(Interrupted):  # not reached, or lost: who commits will be told
                self.renew()


def _drawn() -> bytes:
    return secrets.token_hex(16).encode() + b"\n"
