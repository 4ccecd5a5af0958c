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

from cleanroom.answer.notes import hear, malformed, take, tell, whole_numbers
from cleanroom.cluster import executor_keys
from cleanroom.cluster.buckets import Layout, bucket_of
from cleanroom.cluster.parts import Parts, under
from cleanroom.cluster.settings import MOST_BUCKETS, ClusterSettings
from cleanroom.cluster.staging import Staged
from cleanroom.cluster.tokenising import Tokenised, shown_part
from cleanroom.enclave import tables
from cleanroom.errors import BadData, Refused
from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi import keyed
from protocols.psi import tokens as bulk

FORMAT = "cleanroom-handover/1"
_NAME = re.compile(r"[0-9a-f]{32}")
_KEY = re.compile(r"[0-9a-f]{64}")
_UNEVEN = 64
"""Rows that a bucket may have beyond twice its share: more than that tokens give it once in e^80 runs."""


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


def wished(channel: Channel, most: int, widths: dict[str, int]) -> int:
    """Into how many buckets an owner must cut. most, widths: as `taken` has them; by these nobody makes all others cut
    into more than its rows can need. Raises BadMessage."""
    wish = hear(channel, "handover.wish")
    buckets = take(wish, "buckets", int)
    needed = Layout(keyed.TOKEN_BYTES, sum(widths.values()), 1).enough_for(most).of
    if take(wish, "format", str) != FORMAT or not 1 <= buckets <= min(needed, MOST_BUCKETS):
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
        """See `Staged`. Raises BadMessage for what is not there, or not as the room's contract has it."""
        name, of = self.part(kind, bucket), keyed.layout(dict(self.widths))
        try:
            for batch in self.parts.read(name, columns, self.counts[kind][bucket], of):
                if any(column.null_count for column in tables.validated(batch).columns):
                    raise _unfit(self.dataset)
                yield batch
        except BadData as error:
            raise _unfit(self.dataset) from error

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

    Raises BadMessage for anything else than asked, Refused where nothing of it stands at this node's place, MissingKey.
    """
    given = hear(channel, "handover.given")
    name, key = take(given, "name", str), take(given, "key", str)
    counts = whole_numbers(take(given, "rows", list), buckets)
    rows = sum(counts)
    fits = _NAME.fullmatch(name) and _KEY.fullmatch(key) and min(counts) >= 0
    even = max(counts) <= 2 * rows // buckets + _UNEVEN  # tokens are uniform: no bucket is one task's ruin
    if not fits or not even or not canary.COUNT <= rows <= most + canary.COUNT:
        raise malformed()
    parts = _parts(settings, name, bytes.fromhex(key))
    if not parts.stands(shown_part(0)):
        raise Refused(
            "Nothing of {dataset} stands where this node looks for what owners hand over.",
            "Set `handover` to one and the same place at all parties' nodes, and let this node read there.",
            dataset=dataset,
        )
    schema = pa.schema([field for field in keyed.layout(widths) if field.name != tables.TOKEN])
    return HandedOver(parts, number, dataset, schema, rows, (tuple(counts),), tuple(widths.items()))


def _parts(settings: ClusterSettings, name: str, key: bytes) -> Parts:
    place = f"handover-{name}"
    return Parts(under(settings.handover, place), executor_keys.seal(settings, place, key))


def _unfit(dataset: str) -> BadMessage:
    return BadMessage(
        "What the owner of {dataset} left is missing, damaged, or not as it should send it.",
        "Nothing was answered. Ask again; if it stays so, look who can write at that place.",
        dataset=dataset,
    )
