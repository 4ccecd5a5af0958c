"""A key for one room and one epoch, what both sides' contract says of that epoch, and how often the key was asked.

A key that never changes would link a person's tags across partners and over time, and one that was asked Q times has
lost about log2(Q) / 2 bits of strength (Cheon's attack on the strong Diffie-Hellman problem): so a key a room, rotated,
and a quota that is kept before any reply leaves.
"""

import functools
import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import Self

from protocols import canary, labels
from protocols.errors import ProtocolError
from protocols.group import ELEMENT_BYTES
from protocols.oprf.suite import SEED_BYTES, Mode, derive_key_pair
from protocols.rows import Draw

KEY_FORMAT = b"oprf-key/1\n"
QUOTA_FORMAT = b"oprf-quota/1\n"
MOST_ROWS = 1 << 32
MOST_QUERIES = 1 << 32
"""Queries that any epoch may allow: 16 of the group's 126 bits."""
ROOM_BYTES = 32
KEY_ID_BYTES = 16
SALT_BYTES = 16
_KEY_INFO = b"cleanroom/oprf/1"
_KEY_ID = b"cleanroom/oprf-key-id/1"


@dataclass(frozen=True)
class Key:
    """The evaluating side's secret. room: 32 bytes that name the room; epoch: from 1 on; seed: 32 secret bytes."""

    room: bytes
    epoch: int
    seed: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.room) != ROOM_BYTES or len(self.seed) != SEED_BYTES or not 0 < self.epoch < 1 << 63:
            raise ProtocolError("This is not a key of the form used here.")

    @classmethod
    def generate(cls, room: bytes, epoch: int = 1, draw: Draw = os.urandom) -> Self:
        """A fresh key."""
        return cls(room, epoch, draw(SEED_BYTES))

    def rotated(self, draw: Draw = os.urandom) -> Self:
        """The room's next key, which has nothing in common with this one."""
        return replace(self, epoch=self.epoch + 1, seed=draw(SEED_BYTES))

    @functools.cached_property
    def _pair(self) -> tuple[bytes, bytes]:
        return derive_key_pair(self.seed, _KEY_INFO + self.room + self.epoch.to_bytes(8, "big"), Mode.VOPRF)

    @property
    def secret(self) -> bytes:
        """The scalar: RFC 9497's DeriveKeyPair over the seed, bound to room and epoch."""
        return self._pair[0]

    @property
    def public(self) -> bytes:
        """The element that the contract names, 32 bytes."""
        return self._pair[1]

    def export_secret(self) -> bytes:
        """Canonical bytes for a keystore: KEY_FORMAT, room, epoch, seed."""
        return KEY_FORMAT + self.room + self.epoch.to_bytes(8, "big") + self.seed

    @classmethod
    def import_secret(cls, data: bytes) -> Self:
        """The key in `export_secret`. Raises ProtocolError for anything else."""
        room, epoch, seed = _fields(data, KEY_FORMAT, ROOM_BYTES, 8, SEED_BYTES)
        return cls(room, int.from_bytes(epoch, "big"), seed)


@dataclass(frozen=True)
class Epoch:
    """What both sides agree on for one key's life.

    public: the key's public element; most_rows: the largest that the evaluated side may become; most_queries: what may
    be asked in all, with canary.COUNT more a session; label_width: bytes of a row's label, 0 for none.
    """

    number: int
    public: bytes
    most_rows: int
    most_queries: int
    label_width: int = 0

    def __post_init__(self) -> None:
        ranges = ((self.number, 1, 1 << 63), (self.most_rows, 0, MOST_ROWS), (self.most_queries, 0, MOST_QUERIES))
        if not all(low <= value <= high for value, low, high in ranges) or not 0 <= self.label_width < 1 << 16:
            raise ProtocolError("The terms of the key epoch are out of range.")
        if len(self.public) != ELEMENT_BYTES:
            raise ProtocolError("The terms of the key epoch are out of range.")

    @property
    def key_id(self) -> bytes:
        """16 bytes that name key and epoch."""
        return hashlib.sha256(_KEY_ID + self.number.to_bytes(8, "big") + self.public).digest()[:KEY_ID_BYTES]

    @property
    def tag_bytes(self) -> int:
        """Bytes of a tag for the epoch's largest sizes, so that rows can be added: neither a query and a row nor two
        rows share one by chance (2^-40)."""
        rows = self.most_rows + canary.COUNT
        return labels.tag_bytes(rows, max(rows, self.most_queries))

    @property
    def sealed_bytes(self) -> int:
        """Bytes of a sealed label."""
        return SALT_BYTES + self.label_width + labels.SEAL_BYTES if self.label_width else 0


@dataclass(frozen=True)
class Quota:
    """How many queries an epoch's key has answered. A small state that its owner keeps, one writer at a time."""

    key_id: bytes
    most: int
    spent: int = 0

    @classmethod
    def of(cls, epoch: Epoch) -> Self:
        """A new epoch's: nothing spent."""
        return cls(epoch.key_id, epoch.most_queries)

    def spend(self, epoch: Epoch, queries: int) -> Self:
        """The state with `queries` more. Raises ProtocolError where the epoch does not allow them."""
        if (self.key_id, self.most) != (epoch.key_id, epoch.most_queries):
            raise ProtocolError("The count of queries belongs to another key epoch.", "Begin each epoch with its own.")
        if queries > self.most - self.spent:
            raise ProtocolError(
                "{queries} queries are asked, {left} are left in this key epoch.",
                "Wait for the next epoch, or agree on a higher quota.",
                queries=queries,
                left=self.most - self.spent,
            )
        return replace(self, spent=self.spent + queries)

    def to_bytes(self) -> bytes:
        """QUOTA_FORMAT, key id, most, spent."""
        return QUOTA_FORMAT + self.key_id + self.most.to_bytes(8, "big") + self.spent.to_bytes(8, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The state in `to_bytes`. Raises ProtocolError for anything else."""
        key_id, most, spent = _fields(data, QUOTA_FORMAT, KEY_ID_BYTES, 8, 8)
        return cls(key_id, int.from_bytes(most, "big"), int.from_bytes(spent, "big"))


def _fields(data: bytes, format_line: bytes, *widths: int) -> list[bytes]:
    if not data.startswith(format_line) or len(data) != len(format_line) + sum(widths):
        raise ProtocolError("What was kept for the key epoch has an unknown format.")
    parts, at = [], len(format_line)
    for width in widths:
        parts.append(data[at : at + width])
        at += width
    return parts
