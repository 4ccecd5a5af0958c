"""Rows that an owner's executors leave for those of a neutral room's operator, in a place that both reach.

No single machine carries them: the owner's tasks write a part for each bucket, the operator's read them. The rows are
those that `keyed` sends, in its order. What goes over the channel, and so to the operator alone, is where they stand,
how many they are, and the key that opens them. Which row of its own each is stays with the owner.

    owner                       operator
    wish            →                        into how many buckets it must cut them
                    ←           buckets      as many for all owners
    given           →                        the place's name, its key, rows by bucket
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer.notes import hear, malformed, reading, take, tell, whole_numbers
from cleanroom.cluster import executor_keys
from cleanroom.cluster.buckets import bucket_of
from cleanroom.cluster.parts import Parts, under
from cleanroom.cluster.settings import MOST_BUCKETS, ClusterSettings
from cleanroom.cluster.staging import Staged
from cleanroom.cluster.tokenising import Tokenised, shown_part
from cleanroom.enclave import tables
from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi import keyed
from protocols.psi import tokens as bulk

FORMAT = "cleanroom-handover/1"
_NAME = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")


# -- the owner


@dataclass(frozen=True)
class Place:
    """A place of a run's own. key: what the operator is told, so that its executors open what stands there."""

    name: str
    key: bytes
    parts: Parts

    @classmethod
    def new(cls, settings: ClusterSettings) -> Place:
        """Drawn anew. Raises MissingKey."""
        name, key = secrets.token_hex(16), secrets.token_bytes(32)
        return cls(name, key, _parts(settings, name, key))

    def __repr__(self) -> str:
        return f"Place({self.name})"


def agree(channel: Channel, buckets: int) -> int:
    """Into how many buckets the operator has all owners cut, given how many this one needs. Raises BadMessage."""
    tell(channel, "handover.wish", {"format": FORMAT, "buckets": buckets})
    agreed = take(hear(channel, "handover.buckets"), "buckets", int)
    if not buckets <= agreed <= MOST_BUCKETS:
        raise malformed()
    return agreed


def give(channel: Channel, place: Place, tokenised: Tokenised) -> None:
    """Tell the operator what stands where."""
    rows = [piece.rows for piece in tokenised.pieces]
    tell(channel, "handover.given", {"name": place.name, "key": place.key.hex(), "rows": rows})


# -- the operator


def wished(channel: Channel) -> int:
    """Into how many buckets an owner must cut. Raises BadMessage."""
    wish = hear(channel, "handover.wish")
    buckets = take(wish, "buckets", int)
    if take(wish, "format", str) != FORMAT or not 1 <= buckets <= MOST_BUCKETS:
        raise malformed()
    return buckets


def decide(channel: Channel, buckets: int) -> None:
    """Tell an owner into how many all cut."""
    tell(channel, "handover.buckets", {"buckets": buckets})


@dataclass(frozen=True)
class HandedOver(Staged):
    """A dataset in buckets that its owner wrote. What is read is checked as rows that arrive over a channel are."""

    widths: tuple[tuple[str, int], ...]

    def part(self, kind: int, bucket: int) -> str:
        """See `Staged`."""
        return shown_part(bucket)

    def read(self, kind: int, bucket: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """See `Staged`. Raises BadMessage for what is not as the room's contract has it."""
        expected = keyed.layout(dict(self.widths))
        schema = self.parts.schema(self.part(kind, bucket))
        if [(field.name, field.type) for field in schema] != [(field.name, field.type) for field in expected]:
            raise _unfit(self.dataset)
        for batch in super().read(kind, bucket, columns):
            if any(column.null_count for column in tables.validated(batch).columns):
                raise _unfit(self.dataset)
            yield batch

    def tokens(self, kind: int, bucket: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """See `Staged`. Rows count on from the bucket before. Raises BadMessage for tokens in no order, or that belong
        into another bucket."""
        found = [tables.fixed(batch, tables.TOKEN) for batch in self.read(kind, bucket, [tables.TOKEN])]
        tokens = np.concatenate([np.empty((0, bulk.BYTES), np.uint8), *found])
        if (bucket_of(tokens, self.buckets) != bucket).any() or not bulk.is_ascending(*bulk.words(tokens)):
            raise _unfit(self.dataset)
        start = sum(self.counts[0][:bucket])
        return tokens, np.arange(start, start + len(tokens), dtype=np.int64)


def taken(channel: Channel, settings: ClusterSettings, number: int, dataset: str, widths: dict[str, int], most: int,
          buckets: int) -> HandedOver:  # fmt: skip
    """What an owner left. widths: of its columns; most: the rows that the contract allows, canaries not counted.

    Raises BadMessage for anything else than asked, MissingKey.
    """
    given = hear(channel, "handover.given")
    name, key = take(given, "name", str), take(given, "key", str)
    counts = whole_numbers(take(given, "rows", list), buckets)
    rows = sum(counts)
    fits = _NAME.fullmatch(name) and _KEY.fullmatch(key) and min(counts) >= 0
    if not fits or not canary.COUNT <= rows <= most + canary.COUNT:
        raise malformed()
    with reading():
        secret = bytes.fromhex(key)
    schema = pa.schema([field for field in keyed.layout(widths) if field.name != tables.TOKEN])
    return HandedOver(
        _parts(settings, name, secret), number, dataset, schema, rows, (tuple(counts),), tuple(widths.items())
    )


def _parts(settings: ClusterSettings, name: str, key: bytes) -> Parts:
    place = f"handover-{name}"
    return Parts(under(settings.handover, place), executor_keys.seal(settings, place, key))


def _unfit(dataset: str) -> BadMessage:
    return BadMessage("The rows that the owner of {dataset} left are not as it should send them.", dataset=dataset)
