"""Who stands in a list: identity digests with tags and an end each, in one order; and how changes are applied to them.

Arrays only: nothing here knows of files. A digest says who, so these never leave their owner and stand in no error.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cleanroom.errors import BadData, UsageError

Bytes = NDArray[np.uint8]
WIDTH = 32
TAGS = ("FRAUD", "DISPUTE", "OVERDUE", "OTHER")
"""Of an entry of a grey or black list; bit i is TAGS[i]."""
_FORMAT = b"cleanroom-list-day/1\n"
_COUNT_BYTES = 8


@dataclass(frozen=True, eq=False)
class Entries:
    """n persons: digests uint8[n, 32], tags uint8[n] (bits), until int32[n], the last day (ordinal) or 0 for ever."""

    digests: Bytes
    tags: Bytes
    until: NDArray[np.int32]

    @classmethod
    def of(cls, digests: Bytes, tags: int = 0, until: int = 0) -> "Entries":
        """All with the same tags and end. Raises UsageError for other digests than SHA-256."""
        if digests.ndim != 2 or digests.shape[1] != WIDTH or digests.dtype != np.uint8:
            raise UsageError("A list holds SHA-256 digests of identities, 32 bytes each.", "MD5 is not taken.")
        count = len(digests)
        return cls(np.ascontiguousarray(digests), np.full(count, tags, np.uint8), np.full(count, until, np.int32))

    def taken(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> "Entries":
        """Some of them."""
        return Entries(self.digests[rows], self.tags[rows], self.until[rows])

    def current(self, day: dt.date) -> "Entries":
        """Those that have not ended before the day."""
        if not self.until.any():
            return self
        return self.taken((self.until == 0) | (self.until >= day.toordinal()))

    def to_bytes(self) -> bytes:
        """A version, the count, and the three arrays."""
        count = len(self.digests).to_bytes(_COUNT_BYTES, "little")
        return b"".join([_FORMAT, count, self.digests.tobytes(), self.tags.tobytes(), self.until.tobytes()])

    @classmethod
    def from_bytes(cls, content: bytes) -> "Entries":
        """Of `to_bytes`. Raises BadData."""
        if not content.startswith(_FORMAT):
            raise BadData("A list is of an unknown version.", "Update this program.")
        start = len(_FORMAT) + _COUNT_BYTES
        count = int.from_bytes(content[len(_FORMAT) : start], "little")
        if len(content) != start + count * (WIDTH + 5):
            raise BadData("A list is damaged.", "Restore it from a backup.")
        digests = np.frombuffer(content, np.uint8, count * WIDTH, start).reshape(count, WIDTH)
        tags = np.frombuffer(content, np.uint8, count, start + count * WIDTH)
        until = np.frombuffer(content[start + count * (WIDTH + 1) :], "<i4")
        return cls(digests, tags, until.astype(np.int32))


NOBODY = Entries.of(np.empty((0, WIDTH), np.uint8))


def applied(base: Entries, changes: Iterable[tuple[str, Entries]]) -> Entries:
    """The list after changes in their order ("add", "remove" or "set" with its entries); sorted, each person once.

    Whoever is added again has the tags and the end of the last time.
    """
    parts, gone = [base], [np.zeros(len(base.digests), np.bool_)]
    for what, entries in changes:
        if what == "set":
            parts, gone = [], []
        parts.append(entries)
        gone.append(np.full(len(entries.digests), what == "remove"))
    whole = Entries(
        *(np.concatenate(each) for each in zip(*((p.digests, p.tags, p.until) for p in parts), strict=True))
    )
    names = _names(whole.digests)
    order = np.argsort(names, kind="stable")
    names = names[order]
    last = np.ones(len(names), np.bool_)
    last[:-1] = names[1:] != names[:-1]
    return whole.taken(order[last & ~np.concatenate(gone)[order]])


def differing(before: Entries, after: Entries) -> tuple[int, int]:
    """How many persons came, and how many went."""
    old, new = _names(before.digests), _names(after.digests)
    both = len(np.intersect1d(old, new, assume_unique=True))
    return len(new) - both, len(old) - both


def bits(tags: Iterable[str]) -> int:
    """Tags as bits. Raises UsageError for one that is not known."""
    found = 0
    for tag in tags:
        if tag not in TAGS:
            raise UsageError("There is no tag {name}.", "Tags: {tags}.", name=tag[:64], tags=", ".join(TAGS))
        found |= 1 << TAGS.index(tag)
    return found


def _names(digests: Bytes) -> NDArray[np.bytes_]:
    """Each digest as one value that sorts by its bytes."""
    return np.ascontiguousarray(digests).view(f"S{WIDTH}").reshape(-1)
