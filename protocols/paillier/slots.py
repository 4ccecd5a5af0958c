"""Several bounded signed integers in one plaintext, so that sums of plaintexts hold the sums of each.

A plaintext is the integer Σ v_j · 2^offset_j modulo n, v_j signed: adding plaintexts adds the v_j as long as each sum
stays in its slot. What could leave a slot is refused before anything is encrypted; what is found outside its declared
bounds after decryption is refused too. `phe` reads a single slot at offset 0 as its own signed encoding.
"""

import functools
import secrets
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier.keys import PublicKey
from protocols.paillier.numbers import Rows, pack, single, unpack

MASK_BITS = 40
MOST_SLOT_BITS = 127
INT64 = np.iinfo(np.int64)

Integers = NDArray[np.object_]
"""Python integers: sums under a mask outgrow 64 bits."""


@dataclass(frozen=True)
class Slot:
    """One number of a row: `low` and `high` bound it, `noise` bounds what both parties' noise adds to its sum.

    The sum of a `masked` slot is shown to the decryptor under a mask only.
    """

    name: str
    low: int
    high: int
    masked: bool = False
    noise: int = 0


class Field(NamedTuple):
    """Where a slot lies, and what may stand in it: sums in [least, most], masks in [0, mask)."""

    plaintext: int
    offset: int
    width: int
    least: int
    most: int
    mask: int


@dataclass(frozen=True)
class Layout:
    """Slots in plaintexts under a modulus of `bits` bits, for sums of at most `rows` rows.

    Raises ProtocolError for bounds that cannot be laid out.
    """

    bits: int
    slots: tuple[Slot, ...]
    rows: int
    mask_bits: int = MASK_BITS

    def __post_init__(self) -> None:
        if self.rows < 1 or not self.slots or self.mask_bits < MASK_BITS:
            raise ProtocolError("A slot layout needs a slot, a row and masks of at least {bits} bits.", bits=MASK_BITS)
        for slot, field in zip(self.slots, self.fields, strict=True):
            if not INT64.min <= slot.low <= slot.high <= INT64.max or slot.noise < 0:
                raise ProtocolError("The bounds of {column} are not in order.", column=slot.name)
            if field.width > MOST_SLOT_BITS:
                raise ProtocolError(
                    "Sums of {column} would need {bits} bits, more than {most}.",
                    "Declare narrower bounds, fewer rows or a coarser unit.",
                    column=slot.name,
                    bits=field.width,
                    most=MOST_SLOT_BITS,
                )

    @functools.cached_property
    def fields(self) -> tuple[Field, ...]:
        """A field a slot: in order, a new plaintext where the last has no room; two bits stay free for the sign."""
        fields, plaintext, offset = [], 0, 0
        for slot in self.slots:
            width, mask = _width(slot, self.rows, self.mask_bits)
            if offset + width > self.bits - 2:
                plaintext, offset = plaintext + 1, 0
            least, most = (self.rows * end for end in (min(slot.low, 0), max(slot.high, 0)))
            fields.append(Field(plaintext, offset, width, least - slot.noise, most + slot.noise, mask))
            offset += width
        return tuple(fields)

    @property
    def plaintexts(self) -> int:
        """Plaintexts a row."""
        return self.fields[-1].plaintext + 1

    def check_key(self, key: PublicKey) -> None:
        """Raises ProtocolError if the layout was made for keys of another size."""
        if key.bits != self.bits:
            raise ProtocolError(
                "The contract's slots are laid out for a Paillier key of {wanted} bits; the key has {found}.",
                wanted=self.bits,
                found=key.bits,
            )

    def check_rows(self, most: int) -> None:
        """Raises ProtocolError if `most` rows are to be summed and the layout has room for fewer."""
        if most > self.rows:
            raise ProtocolError(
                "{found} rows in one sum are more than the {declared} that the contract declares.",
                found=most,
                declared=self.rows,
            )

    def encode(self, values: NDArray[np.int64], key: PublicKey) -> Rows:
        """uint8[n, plaintexts · plain_width] of int64[n, slots]. Raises ProtocolError for a value out of bounds."""
        if values.ndim != 2 or values.shape[1] != len(self.slots):
            raise ValueError("one column of values for each slot")
        rows = np.arange(len(values))
        entries = []
        for j, slot in enumerate(self.slots):
            check_bounds(slot, values[:, j], rows)
            entries.append(Entry(rows, np.full(len(rows), j), values[:, j]))
        return self.encode_entries(len(values), entries, key)

    def encode_entries(self, count: int, entries: list["Entry"], key: PublicKey) -> Rows:
        """`encode` of what is not zero and was checked. An entry names a row once; no two entries, one slot of it."""
        self.check_key(key)
        words = np.zeros((count * self.plaintexts, key.plain_width // 8), np.uint64)
        places = [self._places(entry) for entry in entries]
        signs = [entry.values < 0 for entry in entries]
        for entry, (at, offsets), negative in zip(entries, places, signs, strict=True):
            _put(words, at[~negative], offsets[~negative], entry.values[~negative].astype(np.uint64))
        owing = np.unique(np.concatenate([at[negative] for (at, _), negative in zip(places, signs, strict=True)]))
        if len(owing):
            debts = np.zeros((len(owing), words.shape[1]), np.uint64)
            for entry, (at, offsets), negative in zip(entries, places, signs, strict=True):
                magnitudes = np.negative(entry.values[negative]).view(np.uint64)  # right for -2^63 too
                _put(debts, np.searchsorted(owing, at[negative]), offsets[negative], magnitudes)
            words[owing] = _subtract_modulo(words[owing], debts, key.n)
        return words.astype("<u8", copy=False).view(np.uint8).reshape(count, self.plaintexts * key.plain_width)

    def _places(self, entry: "Entry") -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        plaintexts = np.array([field.plaintext for field in self.fields], np.int64)
        offsets = np.array([field.offset for field in self.fields], np.int64)
        return entry.rows * self.plaintexts + plaintexts[entry.slots], offsets[entry.slots]

    def draw_masks(self, groups: int) -> Integers:
        """Python integers [groups, slots]: uniform in [0, mask) where masked, 0 elsewhere."""
        drawn = np.zeros((groups, len(self.slots)), object)
        for j, field in enumerate(self.fields):
            if field.mask:
                drawn[:, j] = [secrets.randbelow(field.mask) for _ in range(groups)]
        return drawn

    def encode_masks(self, masks: Integers, key: PublicKey) -> Rows:
        """Plaintext rows to add to sums. Raises ProtocolError for a mask that would spill."""
        return self._encode_totals(masks, [(0, max(field.mask - 1, 0)) for field in self.fields], key)

    def encode_noise(self, draws: Integers, key: PublicKey) -> Rows:
        """Plaintext rows to add to sums. Raises ProtocolError for a draw beyond the slot's declared noise."""
        return self._encode_totals(draws, [(-slot.noise, slot.noise) for slot in self.slots], key)

    def _encode_totals(self, totals: Integers, limits: list[tuple[int, int]], key: PublicKey) -> Rows:
        self.check_key(key)
        if totals.ndim != 2 or totals.shape[1] != len(self.slots):
            raise ValueError("one column of totals for each slot")
        numbers = []
        for row in totals.tolist():
            sums = [0] * self.plaintexts
            for slot, field, (least, most), value in zip(self.slots, self.fields, limits, row, strict=True):
                if not least <= value <= most:
                    raise ProtocolError("A draw for {column} would leave its slot.", column=slot.name)
                sums[field.plaintext] += int(value) << field.offset
            numbers += [total % key.n for total in sums]
        return pack(numbers, key.plain_width).reshape(len(totals), self.plaintexts * key.plain_width)

    def decode(self, plain: Rows, key: PublicKey) -> Integers:
        """Python integers [n, slots]: the sums, under their masks where masked.

        Raises BadMessage for a sum outside what the layout declares.
        """
        self.check_key(key)
        numbers = unpack(single(plain, key.plain_width))
        if len(numbers) != len(plain) * self.plaintexts:
            raise ValueError("plaintext rows of another layout")
        sums = np.empty((len(plain), len(self.slots)), object)
        for i in range(len(plain)):
            sums[i] = self._decode_row([int(x) for x in numbers[i * self.plaintexts : (i + 1) * self.plaintexts]], key)
        return sums

    def _decode_row(self, numbers: list[int], key: PublicKey) -> list[int]:
        # With half of each slot added, every field is a non-negative number of its own.
        halves = [0] * self.plaintexts
        for field in self.fields:
            halves[field.plaintext] += 1 << (field.offset + field.width - 1)
        lifted = [(x if x <= key.n // 2 else x - key.n) + half for x, half in zip(numbers, halves, strict=True)]
        sums = []
        for slot, field in zip(self.slots, self.fields, strict=True):
            lifted[field.plaintext], digit = divmod(lifted[field.plaintext], 1 << field.width)
            value = digit - (1 << (field.width - 1))
            if not field.least <= value < field.most + max(field.mask, 1):
                raise BadMessage("A decrypted sum of {column} is outside its declared bounds.", column=slot.name)
            sums.append(value)
        if any(lifted):
            raise BadMessage("A decrypted sum holds more than the declared slots.")
        return sums

    def unmask(self, slot: int, values: Integers, masks: Integers) -> Integers:
        """Sums of one slot without their masks. Raises BadMessage for one outside its declared bounds."""
        field = self.fields[slot]
        sums: Integers = values - masks
        if any(not field.least <= value <= field.most for value in sums.ravel().tolist()):
            raise BadMessage(
                "An unmasked sum of {column} is outside its declared bounds.", column=self.slots[slot].name
            )
        return sums


class Entry(NamedTuple):
    """Values of some rows, each for one slot of its row: three arrays of equal length."""

    rows: NDArray[np.int64]
    slots: NDArray[np.int64]
    values: NDArray[np.int64]


def check_bounds(slot: Slot, values: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Raises ProtocolError with the first of `rows` whose value is out of the slot's bounds."""
    outside = (values < slot.low) | (values > slot.high)
    if outside.any():
        row = int(rows[outside.argmax()])
        raise ProtocolError(
            "{column}: row {row} of the batch is outside the declared bounds.",
            "Values are clamped to the contract's bounds before they are encrypted.",
            column=slot.name,
            row=row,
        )


def _width(slot: Slot, rows: int, mask_bits: int) -> tuple[int, int]:
    """(bits of the slot, number of masks): a sign, the largest sum with noise, and for masked slots the mask on top."""
    reach = rows * max(abs(slot.low), abs(slot.high)) + slot.noise
    width = reach.bit_length() + 1
    if not slot.masked:
        return width, 0
    mask = 1 << (width + mask_bits)
    return (reach + mask).bit_length() + 1, mask


def _put(
    words: NDArray[np.uint64], at: NDArray[np.int64], offsets: NDArray[np.int64], values: NDArray[np.uint64]
) -> None:
    """words[at] |= values · 2^offsets; no two of the same place."""
    word, shift = offsets // 64, (offsets % 64).astype(np.uint64)
    words[at, word] |= values << shift
    high = (values >> np.uint64(1)) >> (np.uint64(63) - shift)
    spills = high != 0
    words[at[spills], word[spills] + 1] |= high[spills]


def _subtract_modulo(left: NDArray[np.uint64], right: NDArray[np.uint64], n: int) -> NDArray[np.uint64]:
    """left - right modulo n, row by row, of numbers below n as little-endian words."""
    words, borrow = left.T.copy(), np.zeros(len(left), np.bool_)
    for word, less in zip(words, right.T.copy(), strict=True):
        below = (word < less) | ((word == less) & borrow)
        word -= less
        word -= borrow
        borrow = below
    negative = np.flatnonzero(borrow)
    lifted, carry = words[:, negative], np.zeros(len(negative), np.bool_)
    modulus = np.frombuffer(int(n).to_bytes(8 * len(words), "little"), "<u8")
    for word, more in zip(lifted, modulus, strict=True):
        word += more
        word += carry
        carry = (word < more) | ((word == more) & carry)
    words[:, negative] = lifted
    return words.T
