"""Declared cells, each with a count and with amounts: the slot layout of a contract.

A row belongs to one cell, or to none; it counts 1 there and adds its amounts. Counts are shown to the decryptor as
they are (its threshold needs them), amounts under masks. With one cell this is the (count, amounts) pair of a row.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from protocols.errors import ProtocolError
from protocols.paillier.keys import PublicKey
from protocols.paillier.numbers import Rows
from protocols.paillier.slots import MASK_BITS, Entry, Integers, Layout, Slot, check_bounds

FORMAT = 1


@dataclass(frozen=True)
class Amount:
    """A column summed by cell: integers in minor units, clamped to [low, high]; `noise` bounds both parties' noise."""

    name: str
    low: int
    high: int
    noise: int = 0


class Totals(NamedTuple):
    """What the key holder sees of each group: counts int64[groups, cells], masked amounts [groups, cells, amounts]."""

    counts: NDArray[np.int64]
    amounts: Integers


@dataclass(frozen=True)
class CellLayout:
    """`cells` cells for a key of `bits` bits and sums of at most `rows` rows. Raises ProtocolError if impossible."""

    bits: int
    cells: int
    amounts: tuple[Amount, ...]
    rows: int
    mask_bits: int = MASK_BITS
    count_noise: int = 0

    def __post_init__(self) -> None:
        if self.cells < 1:
            raise ProtocolError("A slot layout needs a cell.")
        _ = self.layout

    @functools.cached_property
    def layout(self) -> Layout:
        """The slots: cell by cell, the count, then the amounts."""
        amounts = [Slot(each.name, each.low, each.high, masked=True, noise=each.noise) for each in self.amounts]
        cell = (Slot("count", 0, 1, noise=self.count_noise), *amounts)
        return Layout(self.bits, cell * self.cells, self.rows, self.mask_bits)

    @property
    def plaintexts(self) -> int:
        """Plaintexts, and so ciphertexts, a row."""
        return self.layout.plaintexts

    def clamp(self, amounts: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[n, amounts], each column within its bounds: the owner's duty before `encode`."""
        lows, highs = (np.array(ends, np.int64) for ends in zip(*((a.low, a.high) for a in self.amounts), strict=True))
        return np.clip(amounts, lows, highs)

    def encode(self, codes: NDArray[np.int64], amounts: NDArray[np.int64], key: PublicKey) -> Rows:
        """Plaintext rows uint8[n, plaintexts · plain_width].

        codes: int64[n], the row's cell or -1 for none; amounts: int64[n, amounts], of rows without a cell ignored.
        Raises ProtocolError for amounts out of bounds, ValueError for codes out of range.
        """
        if amounts.shape != (len(codes), len(self.amounts)) or codes.ndim != 1:
            raise ValueError("one code a row, and one column for each amount")
        if len(codes) and not -1 <= codes.min() <= codes.max() < self.cells:
            raise ValueError("a code is not a declared cell")
        rows = np.flatnonzero(codes >= 0)
        first = codes[rows].astype(np.int64) * (1 + len(self.amounts))
        entries = [Entry(rows, first, np.ones(len(rows), np.int64))]
        for j, slot in enumerate(self.layout.slots[1 : 1 + len(self.amounts)]):
            values = amounts[rows, j].astype(np.int64, copy=False)
            check_bounds(slot, values, rows)
            entries.append(Entry(rows, first + 1 + j, values))
        return self.layout.encode_entries(len(codes), entries, key)

    def decode(self, plain: Rows, key: PublicKey) -> Totals:
        """The sums in plaintext rows. Raises BadMessage for sums outside what the layout declares."""
        sums = self.layout.decode(plain, key).reshape(len(plain), self.cells, 1 + len(self.amounts))
        return Totals(sums[:, :, 0].astype(np.int64), sums[:, :, 1:])

    def draw_masks(self, groups: int) -> Integers:
        """Masks for the amounts, [groups, cells, amounts]: uniform, of 40 bits more than the largest sum."""
        return self.layout.draw_masks(groups).reshape(groups, self.cells, 1 + len(self.amounts))[:, :, 1:]

    def encode_masks(self, masks: Integers, key: PublicKey) -> Rows:
        """Plaintext rows to add to sums. Raises ProtocolError for a mask that would spill."""
        return self.layout.encode_masks(self._totals(np.zeros(masks.shape[:2], np.int64), masks), key)

    def encode_noise(self, counts: NDArray[np.int64], amounts: Integers, key: PublicKey) -> Rows:
        """Plaintext rows to add to sums. Raises ProtocolError for a draw beyond the declared noise."""
        return self.layout.encode_noise(self._totals(counts, amounts), key)

    def _totals(self, counts: NDArray[np.int64], amounts: Integers) -> Integers:
        return np.concatenate([counts.astype(object)[:, :, None], amounts], axis=2).reshape(
            len(counts), len(self.layout.slots)
        )

    def unmask(self, amounts: Integers, masks: Integers) -> Integers:
        """amounts - masks, Python integers of any equal shape [..., amounts]. Raises BadMessage out of bounds."""
        if amounts.shape != masks.shape or amounts.shape[-1] != len(self.amounts):
            raise ValueError("as many masks as amounts")
        sums = np.empty(amounts.shape, object)
        for j in range(len(self.amounts)):
            sums[..., j] = self.layout.unmask(1 + j, amounts[..., j], masks[..., j])
        return sums

    def to_canonical(self) -> dict[str, Any]:
        """Integers and names for a contract."""
        return {
            "format": FORMAT,
            "bits": self.bits,
            "cells": self.cells,
            "amounts": [[each.name, each.low, each.high, each.noise] for each in self.amounts],
            "rows": self.rows,
            "mask_bits": self.mask_bits,
            "count_noise": self.count_noise,
        }

    @classmethod
    def from_canonical(cls, value: Mapping[str, Any]) -> Self:
        """The layout of `to_canonical`. Raises ProtocolError for an unknown format or other fields."""
        if value.get("format") != FORMAT:
            raise ProtocolError("The slot layout has an unknown format.")
        given = {name: value[name] for name in value if name not in ("format", "amounts")}
        try:
            amounts = tuple((str(name), *numbers) for name, *numbers in value["amounts"])
            if not all(type(number) is int for number in (*given.values(), *(n for each in amounts for n in each[1:]))):
                raise TypeError("not an integer")
            return cls(**given, amounts=tuple(Amount(*each) for each in amounts))
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError("The slot layout in the contract is malformed.") from error
