"""How often each person came in something: in versions of crowds in a month, in sends on a day. Sealed, a file each.

    rooms/ROOM/given/yyyyMM     activation/contacts/yyyyMMdd

What is counted has a name and counts once, so that whoever died half-way may count again.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cleanroom.activation.people import Keys, among, places
from cleanroom.activation.sealed import Form
from cleanroom.canonical import Json
from cleanroom.home import Home

_FORM = Form("cleanroom-tally/1", "activation/tally")
_MOST = int(np.iinfo(np.uint16).max)
Counts = NDArray[np.uint16]


class Tally:
    """The counts in a file, which need not exist yet. Hold a lock from reading to `add`."""

    def __init__(self, home: Home, path: Path) -> None:
        """Raises BadData where the file was changed."""
        self._home, self._path = home, path
        self.names: frozenset[str] = frozenset()
        """Of what is counted."""
        self._keys: Keys = np.zeros(0, np.uint64)
        self._counts: Counts = np.zeros(0, np.uint16)
        if path.exists():
            head, arrays = _FORM.load(home, path)
            self.names, self._keys, self._counts = frozenset(head["names"]), arrays["keys"], arrays["counts"]

    def of(self, keys: Keys) -> Counts:
        """uint16[n]: how often each of these people came."""
        found = np.zeros(len(keys), np.uint16)
        at = places(keys, self._keys)
        found[at >= 0] = self._counts[at[at >= 0]]
        return found

    def add(self, name: str, keys: Keys) -> None:
        """Count these people, each once, under a name that was not counted yet; durably."""
        if name in self.names:
            return
        at = places(keys, self._keys)
        counts = self._counts.astype(np.int64)
        counts[at[at >= 0]] += 1
        fresh = keys[at < 0]
        self._keys = np.concatenate([self._keys, fresh])
        counts = np.concatenate([counts, np.ones(len(fresh), np.int64)])
        self._counts = np.minimum(counts, _MOST).astype(np.uint16)
        self.names |= {name}
        self._save()

    def keep_only(self, there: Keys) -> None:
        """Drop the counts of people who are not among these: they were forgotten."""
        stay = among(self._keys, there)
        if not stay.all():
            self._keys, self._counts = self._keys[stay], self._counts[stay]
            self._save()

    def _save(self) -> None:
        for folder in (self._path.parent.parent, self._path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        head: dict[str, Json] = {"names": sorted(self.names)}
        _FORM.save(self._home, self._path, head, {"keys": self._keys, "counts": self._counts})


def files(folder: Path) -> Iterator[Path]:
    """The tallies of a folder, by month or day."""
    yield from sorted(path for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else ()
