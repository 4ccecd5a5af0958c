"""The evaluated side of `oprf` at scale: a whole dataset's tags once a key epoch, and then those of additions only.

Two stages. The first makes every person's tag, in buckets by digest, and stays with its owner: a later version of the
dataset takes from there what it can. The second is the table for the other side: the same tags, canaries among them,
in buckets by tag. Read one after the other these are, byte by byte, the table that `protocols.oprf.tables` makes on one
machine. The key reaches executors sealed; neither it nor a digest or tag is anything that Spark itself sees.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from cleanroom import canonical
from cleanroom.cluster import stages
from cleanroom.cluster.brief import Source
from cleanroom.cluster.buckets import Layout, bucketed, first_heads
from cleanroom.cluster.executor_keys import SealedKey, seal
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Piece, Stage, Step
from cleanroom.errors import BadData
from cleanroom.vault.identities import DIGEST, as_bytes
from connectors.arrays import is_valid
from protocols import canary
from protocols.canary import Canaries
from protocols.errors import BadMessage, ProtocolError
from protocols.oprf import tables
from protocols.oprf.keys import Epoch, Key
from protocols.oprf.tables import FORMAT, TagTable
from protocols.rows import Bytes, Indices, index_in, schema, to_batch, to_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

EVALUATED = "evaluated"
"""The first stage, and what its pieces count: items whose tags are new."""
TAGS = "tag-table"
_ITEM, _TAG = "item", "tag"


@dataclass(frozen=True)
class OwnTags:
    """Every person's digest with its tag, in parts with the columns item and tag; it stays with its owner."""

    stage: Stage
    epoch: Epoch
    width: int
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """Persons."""
        return sum(piece.rows for piece in self.pieces)

    @property
    def evaluated(self) -> int:
        """For how many of them the key was used; the others' tags were known."""
        return sum(piece.counts[EVALUATED] for piece in self.pieces)

    @property
    def schema(self) -> pa.Schema:
        """Of the parts."""
        return schema({_ITEM: self.width, _TAG: self.epoch.tag_bytes})

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, by item. Raises BadData for a missing or damaged part."""
        return (batch for piece in self.pieces for batch in self.stage.read(piece))


@dataclass(frozen=True)
class StoredTable:
    """The table for the other side in many parts, ascending over all: each holds rows of `tables.table_schema`."""

    stage: Stage
    epoch: Epoch
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """Canaries included."""
        return sum(piece.rows for piece in self.pieces)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All rows, ascending. Raises BadData for a missing or damaged part."""
        return (batch for piece in self.pieces for batch in self.stage.read(piece))

    def bucket(self, number: int) -> TagTable:
        """One part as a table. Raises BadData as `batches`, BadMessage where its tags are out of order."""
        return _table(self.epoch, self.stage.read(self.pieces[number]))

    def whole(self) -> TagTable:
        """All in memory: what `tables.precompute` makes."""
        return _table(self.epoch, self.batches())

    def find(self, tags: Bytes) -> Indices:
        """For each of `tags` its row here, or -1; a part is in memory at a time."""
        places, found, start = (
            Layout(self.epoch.tag_bytes, 0, len(self.pieces)).buckets(tags),
            np.full(len(tags), -1),
            0,
        )
        for number, piece in enumerate(self.pieces):
            asked = np.flatnonzero(places == number)
            if len(asked):
                rows = self.bucket(number).find(tags[asked])
                found[asked] = np.where(rows >= 0, rows + start, -1)
            start += piece.rows
        return found

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """As `TagTable.fingerprint`, of the whole."""
        digest = hashlib.sha256(FORMAT + self.epoch.key_id)
        for batch in self.batches():
            digest.update(np.ascontiguousarray(to_rows(batch.column(0))).data)
        return digest.digest()


@dataclass(frozen=True)
class Terms:
    """What a table is made under. side: whose canaries, drawn from `canaries`; width: bytes of a digest."""

    key: Key
    epoch: Epoch
    canaries: bytes = field(repr=False)
    side: str
    width: int

    def __post_init__(self) -> None:
        if (self.key.epoch, self.key.public) != (self.epoch.number, self.epoch.public):
            raise ProtocolError("The key is not the one of this epoch.", "Take the key that the contract names.")
        if self.epoch.label_width:
            raise ProtocolError("Tables with labels are made anew for each run, on one machine.")


def evaluate(
    spark: SparkSession, settings: ClusterSettings, parts: Parts, source: Source, terms: Terms, rows: int, step: Step,
    *, earlier: OwnTags | None = None,
) -> OwnTags:  # fmt: skip
    """The tags of a dataset of about so many rows, or finish making them. earlier: of the same epoch, what is known.

    Raises ProtocolError for more persons than the epoch allows, and executors' named errors.
    """
    epoch = terms.epoch
    if earlier is not None and (earlier.epoch != epoch or earlier.width != terms.width):
        raise tables.other_epoch(epoch)
    layout = Layout(terms.width, 0, settings.buckets).enough_for(rows)
    of: dict[str, Any] = {"source": source.digest, "key": epoch.key_id.hex(), "layout": asdict(layout)}
    stage = Stage(parts, EVALUATED, canonical.digest("cleanroom/oprf-evaluated/1", of), layout.of)
    read = _Items(source, layout)
    make = _Evaluate(stage, seal(settings, EVALUATED, terms.key.export_secret()), epoch, layout, earlier)
    pieces = stages.run(
        spark,
        stage,
        lambda wanted: bucketed(spark, source.pieces, layout, wanted, read, make),
        step,
        before=source.pieces,
    )
    found = OwnTags(stage, epoch, terms.width, pieces)
    if found.rows > epoch.most_rows:
        raise ProtocolError(
            "{rows} rows are more than the {most} that the key epoch allows.",
            "Begin an epoch that has room for them.",
            rows=found.rows,
            most=epoch.most_rows,
        )
    return found


def table(
    spark: SparkSession, settings: ClusterSettings, parts: Parts, own: OwnTags, terms: Terms, step: Step
) -> StoredTable:
    """The table of these tags, or finish making it. Raises BadMessage for repeated tags, executors' named errors."""
    layout = Layout(terms.epoch.tag_bytes, 0, settings.buckets).enough_for(own.rows)
    drawn = hashlib.blake2b(terms.side.encode(), digest_size=32, key=terms.canaries).hexdigest()
    of: dict[str, Any] = {"own": own.stage.digest, "canaries": drawn, "layout": asdict(layout)}
    stage = Stage(parts, TAGS, canonical.digest("cleanroom/oprf-table/1", of), layout.of)
    secret = seal(settings, TAGS, canonical.encode({
        "key": terms.key.export_secret().hex(), "canaries": terms.canaries.hex()
    }))  # fmt: skip
    read = _Tags(own, secret, terms.side, layout)
    pieces = stages.run(
        spark,
        stage,
        lambda wanted: bucketed(spark, len(own.pieces) + 1, layout, wanted, read, _Sort(stage, terms.epoch, layout)),
        step,
        before=len(own.pieces) + 1,
    )
    found = StoredTable(stage, terms.epoch, pieces)
    if found.rows != own.rows + canary.COUNT:
        raise BadMessage("Tags are out of order or repeated.")
    return found


@dataclass(frozen=True)
class _Items:
    """A piece's digests; rows without one are left out."""

    source: Source
    layout: Layout

    def __call__(self, piece: int) -> Iterator[Bytes]:
        for batch in self.source.read(piece, [DIGEST]):
            items = as_bytes(batch.column(0))[is_valid(batch.column(0))]
            if items.shape[1] != self.layout.key:
                raise BadData("A dataset's identities are not of the width that the contract says.")
            yield self.layout.packed(items, np.zeros(len(items), np.int64))


@dataclass(frozen=True)
class _Evaluate:
    """A bucket's items with their tags: those that are known, and new ones."""

    stage: Stage
    sealed: SealedKey
    epoch: Epoch
    layout: Layout
    earlier: OwnTags | None

    def __call__(self, bucket: int, rows: Bytes) -> Piece:
        items, width = np.ascontiguousarray(self.layout.keys(rows)), self.epoch.tag_bytes
        known, tags_known = self._known(bucket)
        places = index_in(items, known)
        new = np.flatnonzero(places < 0)
        nothing, gone = TagTable.empty(self.epoch), np.empty((0, width), np.uint8)
        tags = np.empty((len(items), width), np.uint8)
        tags[places >= 0] = tags_known[places[places >= 0]]
        tags[new] = tables.refresh(nothing, Key.import_secret(self.sealed.open()), items[new], None, removed=gone)[1]
        of = schema({_ITEM: self.layout.key, _TAG: width})
        return self.stage.put(bucket, of, [to_batch(of, items, tags)], {EVALUATED: len(new)})

    def _known(self, bucket: int) -> tuple[Bytes, Bytes]:
        """(items, tags) of the earlier version that may stand in this bucket, whatever number of them it had."""
        found = [(np.empty((0, self.layout.key), np.uint8), np.empty((0, self.epoch.tag_bytes), np.uint8))]
        if self.earlier is not None:
            firsts = np.append(first_heads(self.layout.of), np.uint64((1 << 64) - 1))
            theirs = first_heads(len(self.earlier.pieces))
            first, last = (int(np.searchsorted(theirs, head, "right")) - 1 for head in firsts[bucket : bucket + 2])
            for piece in self.earlier.pieces[first : last + 1]:
                batches = self.earlier.stage.read(piece, [_ITEM, _TAG])
                found += [(to_rows(batch.column(0)), to_rows(batch.column(1))) for batch in batches]
        items, tags = (np.concatenate(each) for each in zip(*found, strict=True))
        return items, tags


@dataclass(frozen=True)
class _Tags:
    """A piece's tags; the last piece are those of the canaries."""

    own: OwnTags
    sealed: SealedKey
    side: str
    layout: Layout

    def __call__(self, piece: int) -> Iterator[Bytes]:
        if piece == len(self.own.pieces):
            yield self._packed(self._canaries())
            return
        for batch in self.own.stage.read(self.own.pieces[piece], [_TAG]):
            yield self._packed(to_rows(batch.column(0)))

    def _canaries(self) -> Bytes:
        secret: dict[str, str] = json.loads(self.sealed.open())
        key, drawn = Key.import_secret(bytes.fromhex(secret["key"])), bytes.fromhex(secret["canaries"])
        dummies: Canaries = canary.draw(drawn, self.side, self.own.width)
        whole, _ = tables.precompute(
            key, self.own.epoch, np.empty((0, self.own.width), np.uint8), None, canaries=dummies
        )
        return whole.tags

    def _packed(self, tags: Bytes) -> Bytes:
        return self.layout.packed(tags, np.zeros(len(tags), np.int64))


@dataclass(frozen=True)
class _Sort:
    """A bucket's tags."""

    stage: Stage
    epoch: Epoch
    layout: Layout

    def __call__(self, bucket: int, rows: Bytes) -> Piece:
        of = tables.table_schema(self.epoch)
        return self.stage.put(bucket, of, [to_batch(of, self.layout.keys(rows))])


def _table(epoch: Epoch, batches: Iterator[pa.RecordBatch]) -> TagTable:
    whole = pa.Table.from_batches(batches, tables.table_schema(epoch)).combine_chunks()
    return TagTable.from_batch(whole.to_batches()[0] if len(whole) else None, epoch)
