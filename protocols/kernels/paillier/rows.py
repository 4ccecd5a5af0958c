"""What surrounds the products: rows of bytes ↔ limbs, sums with their carries, least residues."""

import numpy as np

from protocols.kernels.compiled import inner, kernel
from protocols.kernels.paillier.dual import Words
from protocols.kernels.paillier.tiles import LANES, LIMB_BITS, load_word

_MASK = np.uint64((1 << LIMB_BITS) - 1)
_WORD_BITS = 64


@kernel
def load(z: Words, addresses: Words, words: int) -> None:
    """z = the limbs of the numbers of `words` 64-bit words at the addresses; zero above. Eight addresses a line."""
    last = words * 8 - 8
    for line in range(z.shape[0]):
        for i in range(z.shape[1] // LANES):
            first = min(i * LIMB_BITS // 8, last)  # a limb lies within the 64 bits from the byte where it begins
            shift = i * LIMB_BITS - 8 * first
            for lane in range(LANES):
                value = load_word(addresses[line * LANES + lane] + np.uint64(first))
                z[line, i * LANES + lane] = (value >> np.uint64(shift)) & _MASK if shift < _WORD_BITS else np.uint64(0)


@kernel
def save(rows: Words, z: Words) -> None:
    """rows uint64[lines · 8, words] = the numbers of z, below 2^(64 · words)."""
    limbs = z.shape[1] // LANES
    for line in range(z.shape[0]):
        for word in range(rows.shape[1]):
            at = word * _WORD_BITS
            first, shift = at // LIMB_BITS, at % LIMB_BITS
            for lane in range(LANES):
                value = z[line, first * LANES + lane] >> np.uint64(shift)
                if first + 1 < limbs:
                    value |= z[line, (first + 1) * LANES + lane] << np.uint64(LIMB_BITS - shift)
                if first + 2 < limbs and 2 * LIMB_BITS - shift < _WORD_BITS:
                    value |= z[line, (first + 2) * LANES + lane] << np.uint64(2 * LIMB_BITS - shift)
                rows[line * LANES + lane, word] = value


@inner
def _subtract_once(x: Words, modulus: Words, taken: Words) -> None:
    """Subtract the modulus where it is not larger; taken[lane] is 1 there, else 0."""
    borrow = np.zeros(LANES, np.uint64)
    for i in range(modulus.shape[0]):
        for lane in range(LANES):
            borrow[lane] = (x[i * LANES + lane] - modulus[i] - borrow[lane]) >> np.uint64(63)
    for lane in range(LANES):
        taken[lane] = np.uint64(1) - borrow[lane]
        borrow[lane] = 0
    for i in range(modulus.shape[0]):
        for lane in range(LANES):
            value = x[i * LANES + lane] - (modulus[i] & (np.uint64(0) - taken[lane])) - borrow[lane]
            borrow[lane] = value >> np.uint64(63)
            x[i * LANES + lane] = value & _MASK


@kernel
def subtract_once(x: Words, modulus: Words) -> None:
    """The first parts of x, below twice the modulus, reduced in place."""
    taken = np.zeros(LANES, np.uint64)
    for line in range(x.shape[0]):
        _subtract_once(x[line], modulus, taken)


@kernel
def least(z: Words, modulus: Words, twice: Words) -> None:
    """Pairs z as v + u N with v and u below N, in place; z[0] < 2 N, z[1] < 1.5 N; twice: limbs of 2 N."""
    size = modulus.shape[0]
    taken = np.zeros(LANES, np.uint64)
    carry = np.zeros(LANES, np.int64)
    for line in range(z.shape[0]):
        low, high = z[line, : size * LANES], z[line, size * LANES :]
        _subtract_once(low, modulus, taken)
        # z0 - z1 N = v + u N with u = taken - z1, here plus 2 N.
        for lane in range(LANES):
            carry[lane] = np.int64(taken[lane])
        for i in range(size):
            for lane in range(LANES):
                value = np.int64(twice[i] - high[i * LANES + lane]) + carry[lane]
                high[i * LANES + lane] = np.uint64(value) & _MASK
                carry[lane] = value >> np.int64(LIMB_BITS)
        _subtract_once(high, modulus, taken)
        _subtract_once(high, modulus, taken)


@kernel
def plus_minus(z: Words, x: Words, shift: Words, y: Words) -> None:
    """z = x + shift - y, part by part, no part below 0; z may be x or y; shift: a pair, one word a limb."""
    size = shift.shape[0] // 2
    carry = np.zeros(LANES, np.int64)
    for line in range(z.shape[0]):
        for i in range(2 * size):
            if i % size == 0:
                carry[:] = 0
            for lane in range(LANES):
                at = i * LANES + lane
                value = np.int64(x[line, at] + shift[i] - y[line, at]) + carry[lane]
                z[line, at] = np.uint64(value) & _MASK
                carry[lane] = value >> np.int64(LIMB_BITS)


def warm() -> None:
    """Compile every kernel here, or load it from the cache."""
    pairs, modulus = np.zeros((1, 2 * LANES), np.uint64), np.ones(1, np.uint64)
    content = np.zeros((LANES, 1), np.uint64)
    load(pairs, content.ctypes.data + np.arange(0, 8 * LANES, 8, dtype=np.uint64), 1)
    save(content, pairs)
    subtract_once(pairs, modulus)
    least(pairs, modulus, modulus)
    plus_minus(pairs, pairs, np.ones(2, np.uint64), pairs)
