"""The evaluated side of an epoch as tags: computed once, refreshed by evaluating additions only, held by the peer.

A tag is the head of its row's output, so it tells nothing to whoever cannot have that output; rows stand in the order
of their tags, so the order tells nothing either. A label is sealed under a key from the whole output and a salt of its
own, so that one key never seals twice. Tables are handed on as Arrow tables; this module writes no file.
"""

import functools
import hashlib
import os
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from protocols import canary, labels
from protocols.canary import Canaries
from protocols.errors import BadMessage, ProtocolError
from protocols.hashing import sha512_rows
from protocols.oprf import suite
from protocols.oprf.keys import SALT_BYTES, Epoch, Key
from protocols.oprf.suite import Mode
from protocols.rows import Bytes, Draw, Indices, check_items, schema, to_batch, to_rows

FORMAT = b"oprf-tags/1"
Strings = npt.NDArray[np.bytes_]
_LABEL_KEY = b"cleanroom/oprf-label/1"
_BATCH = 1 << 16


@dataclass(frozen=True, eq=False)
class TagTable:
    """tags: uint8[n, epoch.tag_bytes], ascending, distinct; labels: uint8[n, epoch.sealed_bytes]. Canaries included.

    Raises BadMessage for tags out of order or repeated, and for more rows than the epoch allows.
    """

    epoch: Epoch
    tags: Bytes
    labels: Bytes

    def __post_init__(self) -> None:
        n, epoch = len(self.tags), self.epoch
        if self.tags.shape != (n, epoch.tag_bytes) or self.labels.shape != (n, epoch.sealed_bytes):
            raise ValueError("tags and labels are as wide as the epoch says")
        if n > epoch.most_rows + canary.COUNT:
            raise BadMessage("There are more tags than the key epoch allows.")
        if not (self._keys[1:] > self._keys[:-1]).all():
            raise BadMessage("Tags are out of order or repeated.")

    @classmethod
    def empty(cls, epoch: Epoch) -> Self:
        """No rows."""
        return cls(epoch, np.empty((0, epoch.tag_bytes), np.uint8), np.empty((0, epoch.sealed_bytes), np.uint8))

    def __len__(self) -> int:
        """Rows, canaries included."""
        return len(self.tags)

    @functools.cached_property
    def _keys(self) -> Strings:
        return _as_strings(self.tags)

    @functools.cached_property
    def fingerprint(self) -> bytes:
        """32 bytes: SHA-256 over format, key and content."""
        digest = hashlib.sha256(FORMAT + self.epoch.key_id)
        for rows in (self.tags, self.labels):
            digest.update(np.ascontiguousarray(rows).data)
        return digest.digest()

    def find(self, tags: Bytes) -> Indices:
        """For each of `tags` its row here, or -1."""
        if not len(self):
            return np.full(len(tags), -1, np.int64)
        places = np.minimum(np.searchsorted(self._keys, _as_strings(tags)), len(self) - 1)
        return np.where((self.tags[places] == tags).all(axis=1), places, -1)

    def open_labels(self, places: Indices, outputs: Bytes) -> Bytes:
        """uint8[m, label_width] of rows, by their outputs uint8[m, 64]. Raises BadMessage where one is damaged."""
        if not self.epoch.label_width:
            return np.empty((len(places), 0), np.uint8)
        rows = self.labels[places]
        return labels.open_sealed(_label_keys(rows[:, :SALT_BYTES], outputs), rows[:, SALT_BYTES:])

    def difference(self, earlier: "TagTable") -> tuple[Bytes, "TagTable"]:
        """(tags that went, rows that came) since `earlier`, whose `updated` makes this table of them."""
        places = self.find(earlier.tags)
        kept = places >= 0
        kept[kept] = (self.labels[places[kept]] == earlier.labels[kept]).all(axis=1)
        came = np.ones(len(self), np.bool_)
        came[places[kept]] = False
        return earlier.tags[~kept], TagTable(self.epoch, self.tags[came], self.labels[came])

    def updated(self, removed: Bytes, added: "TagTable") -> "TagTable":
        """Without the rows of `removed` tags, with `added` ones. Raises BadMessage where one of the former is missing
        or one of the latter is there already."""
        places = self.find(removed)
        if (places < 0).any():
            raise BadMessage("A tag to be removed is not there.")
        stays = np.ones(len(self), np.bool_)
        stays[places] = False
        tags, sealed = (
            np.concatenate([self.tags[stays], added.tags]),
            np.concatenate([self.labels[stays], added.labels]),
        )
        return _sorted(self.epoch, tags, sealed)

    def to_arrow(self) -> pa.Table:
        """Columns tag and, where there are labels, label; FORMAT, epoch, key and sizes in the schema's metadata."""
        return pa.Table.from_batches([self.to_batch()]).replace_schema_metadata(_metadata(self.epoch, len(self)))

    @classmethod
    def from_arrow(cls, table: pa.Table, epoch: Epoch) -> Self:
        """The table in `to_arrow`, if it is of this epoch. Raises ProtocolError for anything else."""
        metadata = table.schema.metadata or {}
        if metadata.get(b"format") != FORMAT:
            raise ProtocolError("The table of tags has an unknown format.")
        if metadata.get(b"key") != epoch.key_id.hex().encode():
            raise other_epoch(epoch)
        whole = metadata == _metadata(epoch, table.num_rows) and table.schema.equals(table_schema(epoch))
        if not whole or any(column.null_count for column in table.columns):
            raise ProtocolError("The table of tags is damaged.", "Fetch it again.")
        return cls.from_batch(table.combine_chunks().to_batches()[0] if len(table) else None, epoch)

    @classmethod
    def from_batch(cls, batch: pa.RecordBatch | None, epoch: Epoch) -> Self:
        """The table of one batch of `table_schema`; None stands for no rows."""
        if batch is None:
            return cls.empty(epoch)
        columns = [to_rows(column) for column in batch.columns]
        return cls(epoch, columns[0], columns[1] if epoch.label_width else np.empty((len(batch), 0), np.uint8))

    def to_batch(self) -> pa.RecordBatch:
        """The same rows for a message."""
        columns = [self.tags, self.labels] if self.epoch.label_width else [self.tags]
        return to_batch(table_schema(self.epoch), *columns)


def other_epoch(epoch: Epoch) -> ProtocolError:
    """The error for a table under another key."""
    return ProtocolError(
        "The table of tags belongs to another key epoch than {epoch}.", "Fetch this epoch's.", epoch=epoch.number
    )


def table_schema(epoch: Epoch) -> pa.Schema:
    """Of the rows of a table, in files and messages."""
    return schema({"tag": epoch.tag_bytes} | ({"label": epoch.sealed_bytes} if epoch.label_width else {}))


def precompute(
    key: Key, epoch: Epoch, items: Bytes, own: Bytes | None, *, canaries: Canaries
) -> tuple[TagTable, Bytes]:
    """(the table for the other side; each item's tag in the order of the items, for later `refresh`: it stays here).

    items: distinct digests uint8[n, 16 or 32]; own: labels uint8[n, label_width], or None where the epoch has none.
    Raises ProtocolError for repeated items, another key than the epoch's, and more rows than it allows.
    """
    return _precompute(key, epoch, items, own, canaries, os.urandom)


def _precompute(
    key: Key, epoch: Epoch, items: Bytes, own: Bytes | None, canaries: Canaries, draw: Draw
) -> tuple[TagTable, Bytes]:
    _check_own(key, epoch, items, own, 0)
    dummies = None if own is None else np.zeros((canary.COUNT, epoch.label_width), np.uint8)
    tags, sealed = _evaluate(key, epoch, items, own, draw)
    more, more_sealed = _evaluate(key, epoch, canaries.rows, dummies, draw)
    return _sorted(epoch, np.concatenate([tags, more]), np.concatenate([sealed, more_sealed])), tags


def refresh(table: TagTable, key: Key, added: Bytes, own: Bytes | None, *, removed: Bytes) -> tuple[TagTable, Bytes]:
    """(the table with `added` items and without `removed` tags; the added items' tags). Evaluates `added` only.

    own: the added items' labels, as in `precompute`, whose errors it raises. An item whose label changes is removed
    and added. Raises BadMessage where an item to be added is there already, or a tag to be removed is not.
    """
    return _refresh(table, key, added, own, removed, os.urandom)


def _refresh(
    table: TagTable, key: Key, added: Bytes, own: Bytes | None, removed: Bytes, draw: Draw
) -> tuple[TagTable, Bytes]:
    _check_own(key, table.epoch, added, own, len(table) - canary.COUNT - len(removed))
    tags, sealed = _evaluate(key, table.epoch, added, own, draw)
    return table.updated(removed, _sorted(table.epoch, tags, sealed)), tags


def _check_own(key: Key, epoch: Epoch, items: Bytes, own: Bytes | None, kept: int) -> None:
    rows, width = len(check_items(items)), epoch.label_width
    if (own is not None) != bool(width) or (own is not None and (own.dtype != np.uint8 or own.shape != (rows, width))):
        raise ValueError("labels must be uint8[n, w], one a row, as wide as the epoch says")
    if (key.epoch, key.public) != (epoch.number, epoch.public):
        raise ProtocolError("The key is not the one of this epoch.", "Take the key that the contract names.")
    if rows + kept > epoch.most_rows:
        raise ProtocolError(
            "{rows} rows are more than the {most} that the key epoch allows.",
            "Begin an epoch that has room for them.",
            rows=rows + kept,
            most=epoch.most_rows,
        )


def _evaluate(key: Key, epoch: Epoch, items: Bytes, own: Bytes | None, draw: Draw) -> tuple[Bytes, Bytes]:
    """(tags, sealed labels) in the order of the items."""
    tags = np.empty((len(items), epoch.tag_bytes), np.uint8)
    sealed = np.empty((len(items), epoch.sealed_bytes), np.uint8)
    for start in range(0, len(items), _BATCH):
        part = slice(start, start + _BATCH)
        outputs = suite.evaluate(key.secret, items[part], Mode.VOPRF)
        tags[part] = outputs[:, : epoch.tag_bytes]
        if own is not None:
            salts = np.frombuffer(draw(SALT_BYTES * len(outputs)), np.uint8).reshape(-1, SALT_BYTES)
            sealed[part] = np.hstack([salts, labels.seal(_label_keys(salts, outputs), own[part])])
    return tags, sealed


def _label_keys(salts: Bytes, outputs: Bytes) -> Bytes:
    return sha512_rows(_LABEL_KEY, np.hstack([salts, outputs]))[:, :32]


def _sorted(epoch: Epoch, tags: Bytes, sealed: Bytes) -> TagTable:
    wide = np.zeros((len(tags), 8), np.uint8)
    wide[:, : epoch.tag_bytes] = tags[:, :8]
    heads = wide.view(">u8")[:, 0].astype(np.uint64)
    order = np.argsort(heads)  # ten times as fast as strings, and enough unless two heads are equal
    if (np.diff(heads[order]) == 0).any():
        order = np.argsort(_as_strings(tags))
    return TagTable(epoch, tags[order], sealed[order])


def _as_strings(tags: Bytes) -> Strings:
    """One value a row, ordered as the rows are."""
    return np.ascontiguousarray(tags).view(f"S{tags.shape[1]}")[:, 0]


def _metadata(epoch: Epoch, rows: int) -> dict[bytes, bytes]:
    numbers = {"epoch": epoch.number, "tag_bytes": epoch.tag_bytes, "label_bytes": epoch.sealed_bytes, "rows": rows}
    texts = {name.encode(): str(value).encode() for name, value in numbers.items()}
    return {b"format": FORMAT, b"key": epoch.key_id.hex().encode(), **texts}
