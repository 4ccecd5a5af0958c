"""What executors must know to turn an owner's rows into tokens, and nobody else may: sealed for them as one secret.

The room key, the secret of the canaries, the labels of cells, and where sums are asked the Paillier key. Nothing of it
stands in a closure, a plan or a log.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.answer.slots import crossed
from cleanroom.cluster.executor_keys import SealedKey, seal
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.errors import BadData
from cleanroom.matching.cells import TYPED, codes_of
from cleanroom.rooms.terms import Annex
from protocols import canary
from protocols.canary import Canaries
from protocols.paillier import cipher
from protocols.paillier.cells import CellLayout
from protocols.paillier.keys import PrivateKey
from protocols.psi import keyed
from protocols.rows import Bytes

Ints = NDArray[np.int64]
_FORMAT = "cleanroom-tokens-brief/1"
_LABEL = "cleanroom/tokens-brief/1"
_NAME = "tokens"


class Source(Protocol):
    """A dataset whose pieces executors read. Picklable; holds keys only as SealedKey."""

    @property
    def pieces(self) -> int:
        """In how many pieces it is read."""

    @property
    def digest(self) -> str:
        """SHA-256 in hex of this version of it."""

    def read(self, piece: int, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """A piece's rows, always in the same order: some of the vault's columns."""


@dataclass(frozen=True)
class SlotTerms:
    """How rows become Paillier slots: under which key, in the cells crossed of which columns, summing which.

    The layout's amounts name the columns that are summed.
    """

    key: PrivateKey = field(repr=False)
    layout: CellLayout
    by: tuple[Annex, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The vault's columns that it takes."""
        return tuple(TYPED + name for name in (*(a.column for a in self.by), *(a.name for a in self.layout.amounts)))

    def plain(self, columns: Sequence[pa.Array]) -> Ints:
        """int64[n, 1 + amounts] of these columns: the cell, then the amounts within their bounds."""
        codes = [codes_of(values, annex) for values, annex in zip(columns, self.by, strict=False)]
        cells = crossed(codes, [len(annex.labels) for annex in self.by], len(columns[0]))
        amounts = [
            self._amount(values, a.name) for values, a in zip(columns[len(self.by) :], self.layout.amounts, strict=True)
        ]
        found = np.stack([cells, *amounts], axis=1)
        if amounts:
            found[:, 1:] = self.layout.clamp(found[:, 1:])
        return found

    def nobody(self, rows: int) -> Ints:
        """The same for so many that are in no cell."""
        found = np.zeros((rows, 1 + len(self.layout.amounts)), np.int64)
        found[:, 0] = -1
        return found

    def encrypted(self, plain: Ints) -> Bytes:
        """uint8[n, width]: fresh ciphertexts of `plain`."""
        return cipher.encrypt(self.key, self.layout.encode(plain[:, 0], plain[:, 1:], self.key.public))

    @property
    def width(self) -> int:
        """Bytes of a row's slots."""
        return self.layout.plaintexts * self.key.public.width

    def _amount(self, values: pa.Array, column: str) -> Ints:
        if not pa.types.is_int64(values.type):
            raise BadData("{column} was not imported as an amount.", column=column)
        return np.asarray(pc.fill_null(values, pa.scalar(0, pa.int64())).to_numpy(zero_copy_only=False), np.int64)


@dataclass(frozen=True)
class Brief:
    """room_key: 32 bytes; canaries: the secret that they are drawn from; side: whose; width: bytes of a digest;
    columns: the cells of each column asked, whose tokens are named dataset.column; slots: where sums are asked."""

    room_key: bytes = field(repr=False)
    canaries: bytes = field(repr=False)
    side: str
    dataset: str
    width: int
    columns: tuple[Annex, ...] = ()
    slots: SlotTerms | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """dataset.column of each column."""
        return tuple(f"{self.dataset}.{annex.column}" for annex in self.columns)

    @property
    def drawn(self) -> Canaries:
        """This side's canaries."""
        return canary.draw(self.canaries, self.side, self.width)

    @cached_property
    def dummies(self) -> Bytes:
        """Their tokens uint8[6, 16], common first."""
        return keyed.identity_tokens(self.room_key, self.drawn.rows)

    def values(self, columns: Sequence[pa.Array]) -> list[Bytes]:
        """The value tokens uint8[n, 8] of each column asked."""
        return [keyed.value_tokens(self.room_key, name, codes_of(values, annex))
                for name, values, annex in zip(self.names, columns, self.columns, strict=True)]  # fmt: skip

    def unknown(self, rows: int) -> list[Bytes]:
        """Those of so many whose values are unknown."""
        return [keyed.value_tokens(self.room_key, name, np.full(rows, len(annex.labels) - 1))
                for name, annex in zip(self.names, self.columns, strict=True)]  # fmt: skip

    @property
    def digest(self) -> str:
        """Names all of it, and tells nothing: keyed with the room key."""
        key = keyed.subkey(self.room_key, _LABEL)
        return hashlib.blake2b(self._encoded(), digest_size=32, key=key).hexdigest()

    def sealed(self, settings: ClusterSettings) -> SealedKey:
        """For executors. Raises MissingKey."""
        return seal(settings, _NAME, self._encoded())

    def _encoded(self) -> bytes:
        slots, terms = self.slots, None
        if slots is not None:
            by = [asdict(annex) for annex in slots.by]
            terms = {"key": slots.key.export_secret().hex(), "layout": slots.layout.to_canonical(), "by": by}
        fields: dict[str, Any] = {
            "format": _FORMAT,
            "room_key": self.room_key.hex(),
            "canaries": self.canaries.hex(),
            "side": self.side,
            "dataset": self.dataset,
            "width": self.width,
            "columns": [asdict(annex) for annex in self.columns],
            "slots": terms,
        }
        return canonical.encode(fields)

    @classmethod
    def opened(cls, sealed: SealedKey) -> Brief:
        """On an executor. Raises MissingKey; BadData for an unknown version."""
        fields: dict[str, Any] = json.loads(sealed.open())
        if fields["format"] != _FORMAT:
            raise BadData("What was sealed for executors is of an unknown version.", "Update this program everywhere.")
        terms = fields["slots"]
        slots = terms and SlotTerms(
            PrivateKey.import_secret(bytes.fromhex(terms["key"])),
            CellLayout.from_canonical(terms["layout"]),
            _annexes(terms["by"]),
        )
        return cls(
            bytes.fromhex(fields["room_key"]),
            bytes.fromhex(fields["canaries"]),
            fields["side"],
            fields["dataset"],
            fields["width"],
            _annexes(fields["columns"]),
            slots,
        )


def _annexes(found: Sequence[dict[str, Any]]) -> tuple[Annex, ...]:
    return tuple(
        Annex(each["dataset"], each["column"], each["salt"], tuple(each["labels"]), tuple(each["edges"]))
        for each in found
    )
