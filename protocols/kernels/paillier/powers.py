"""Powers with secret exponents: entries of tables, all of which are read whatever the exponents are."""

import numpy as np

from protocols.kernels.compiled import inner, kernel
from protocols.kernels.paillier.dual import Words, multiply_line, room, square_line
from protocols.kernels.paillier.tiles import (
    COLUMNS,
    ENTRIES,
    LANES,
    TILE,
    add_where,
    permute,
    put_columns,
    zero_columns,
)

_WORD_BITS = 64
_OWN_BITS = 4
_OWN_ENTRIES = 1 << _OWN_BITS


@kernel
def look_up(z: Words, table: Words, exponents: Words, bit: int) -> None:
    """z = the entries of a table uint64[limbs · 64] that six bits of each exponent, from `bit` on, name.

    exponents: uint64[lines · 8, words], with a word beyond the last bit.
    """
    digits = room(LANES)
    word, shift = bit // _WORD_BITS, np.uint64(bit % _WORD_BITS)
    for line in range(z.shape[0]):
        for lane in range(LANES):
            row = line * LANES + lane
            above = (exponents[row, word + 1] << np.uint64(1)) << (np.uint64(_WORD_BITS - 1) - shift)
            digits[lane] = ((exponents[row, word] >> shift) | above) & np.uint64(ENTRIES - 1)
        for limb in range(0, table.shape[0] // ENTRIES, TILE):
            permute(table, limb * (ENTRIES // LANES), digits, z[line], limb)


@inner
def _look_up_own(z: Words, table: Words, digits: Words) -> None:
    """z = the entries of a line's own table that the lanes' digits name."""
    limbs = z.shape[0] // LANES
    for limb in range(0, limbs, COLUMNS):
        chosen = zero_columns()
        for entry in range(_OWN_ENTRIES):
            chosen = add_where(chosen, digits, np.uint64(entry), table, entry * limbs + limb)
        put_columns(chosen, z, limb)


@inner
def _copy(z: Words, x: Words) -> None:
    for i in range(z.shape[0]):
        z[i] = x[i]


@kernel
def power(x: Words, one: Words, digits: Words, modulus: Words, inverse: np.uint64) -> None:
    """x = x^e in Montgomery form, in place, loose pairs; one: uint64[1, limbs · 8], R as a pair.

    digits: of e, which all numbers share, to base 16, the highest first.
    """
    step = x.shape[1]
    space, chosen, m, digit = room(_OWN_ENTRIES * step), room(step), room(step), room(LANES)
    table = space.reshape(_OWN_ENTRIES, step)
    for line in range(x.shape[0]):
        number = x[line]
        _copy(table[0], one[0])
        for entry in range(1, _OWN_ENTRIES):
            multiply_line(table[entry], table[entry - 1], number, modulus, inverse, m)
        _copy(number, one[0])
        for i in range(digits.shape[0]):
            for _ in range(_OWN_BITS):
                square_line(number, number, modulus, inverse, m)
            for lane in range(LANES):
                digit[lane] = digits[i]
            _look_up_own(chosen, space, digit)
            multiply_line(number, number, chosen, modulus, inverse, m)


def warm() -> None:
    """Compile every kernel here, or load it from the cache."""
    pairs, modulus = np.zeros((1, 2 * TILE * LANES), np.uint64), np.ones(TILE, np.uint64)
    look_up(pairs, np.zeros(2 * TILE * ENTRIES, np.uint64), np.zeros((LANES, 2), np.uint64), 0)
    power(pairs, pairs, np.zeros(1, np.uint64), modulus, np.uint64(1))
