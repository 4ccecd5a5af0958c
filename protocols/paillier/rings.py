"""Numbers modulo N² for the kernels: constants of a modulus, and integers or rows as lines of eight numbers.

Imports the kernels, and numba with them: `backend.kernels` decides who may load this.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from protocols.kernels.paillier import dual, rows
from protocols.kernels.paillier.tiles import LANES, LIMB_BITS, TILE
from protocols.paillier.numbers import Rows, pack

Words = NDArray[np.uint64]
Lines = NDArray[np.uint64]
"""uint64[lines, limbs · 8], see kernels.paillier."""

HEADROOM_BITS = 14
"""R is so many bits longer than N, at least: sums of a few numbers stay below what the kernels ask."""


class Ring:
    """A modulus N, and what the kernels need of it."""

    def __init__(self, n: int) -> None:
        self.n, self.square = mpz(n), mpz(n) ** 2
        self.size = TILE * -(-(n.bit_length() + HEADROOM_BITS) // (LIMB_BITS * TILE))
        self.r = mpz(1) << (LIMB_BITS * self.size)
        self.modulus, self.twice = (limbs_of(number, self.size) for number in (n, 2 * n))
        self.inverse = np.uint64(int(-gmpy2.invert(self.n, 1 << LIMB_BITS) % (1 << LIMB_BITS)))

    def blank(self, lines: int) -> Lines:
        """Room for pairs, or for plain numbers of twice the limbs."""
        return blank(lines, 2 * self.size)

    def pairs(self, values: Sequence[int]) -> Lines:
        """The values modulo N² as pairs, eight a line; the last again to the end of its line."""
        lines = -(-len(values) // LANES)
        parts = [divmod(value % self.square, self.n) for value in values]
        parts += parts[-1:] * (lines * LANES - len(parts))
        found, half = self.blank(lines), self.size * LANES
        found[:, :half] = _numbers((low for _, low in parts), self.size)
        found[:, half:] = _numbers((-high % self.n for high, _ in parts), self.size)
        return found

    def pair(self, value: int) -> Lines:
        """One value in all lanes of one line."""
        return self.pairs([value])

    def shift(self, first: int, second: int) -> Words:
        """Two numbers to add to the parts of pairs (`rows.plus_minus`)."""
        return np.concatenate([limbs_of(first, self.size), limbs_of(second, self.size)])

    @cached_property
    def one(self) -> Lines:
        """1 in Montgomery form, in all lanes."""
        return self.pair(self.r)

    @cached_property
    def plain_one(self) -> Lines:
        """1: a product with it leaves Montgomery form."""
        return self.pair(1)

    def multiply(self, z: Lines, x: Lines, y: Lines) -> Lines:
        """z = x · y / R; z may be x or y, whose lines may be one for all."""
        dual.multiply(z, x, y, self.modulus, self.inverse)
        return z

    def halved(self, x: Lines) -> Lines:
        """Plain numbers of twice the limbs, divided by R, as pairs."""
        z = self.blank(len(x))
        dual.halve(z, x, self.modulus, self.inverse)
        return z

    def plain(self, z: Lines) -> Lines:
        """Pairs (products of loose ones) as plain numbers below N²; z is spent."""
        rows.least(z, self.modulus, self.twice)
        return expanded(z, self.modulus)


def blank(lines: int, limbs: int) -> Lines:
    """An uninitialised array that starts on a cache line."""
    space = np.empty(lines * limbs * LANES + LANES, np.uint64)
    start = -space.ctypes.data % 64 // 8
    return space[start : start + lines * limbs * LANES].reshape(lines, -1)


def expanded(x: Lines, modulus: Words) -> Lines:
    """x0 + x1 · modulus, of pairs of plain numbers."""
    z = blank(len(x), 2 * len(modulus))
    dual.expand(z, x, modulus)
    return z


def limbs_of(number: int, size: int) -> Words:
    """One number, a word a limb."""
    mask = (1 << LIMB_BITS) - 1
    return np.array([int(number >> (LIMB_BITS * i)) & mask for i in range(size)], np.uint64)


def addresses(numbers: Rows) -> Words:
    """Where each row of a contiguous array begins; the last again to a multiple of eight. The array must outlive it."""
    starts = numbers.ctypes.data + np.arange(len(numbers), dtype=np.uint64) * np.uint64(numbers.shape[1])
    return np.pad(starts, (0, -len(starts) % LANES), "edge")


def loaded(at: Words, width: int, limbs: int) -> Lines:
    """The numbers of `width` bytes at the addresses, as plain numbers of `limbs` limbs."""
    z = blank(len(at) // LANES, limbs)
    rows.load(z, at, width // 8)
    return z


def saved(z: Lines, width: int) -> Rows:
    """uint8[lines · 8, width] of plain numbers."""
    found = np.empty((len(z) * LANES, width // 8), np.uint64)
    rows.save(found, z)
    return found.view(np.uint8)


def _numbers(values: Iterable[int], size: int) -> Lines:
    """Plain numbers of so many limbs that the bytes of `size` limbs hold."""
    width = -(-size * LIMB_BITS // 64) * 8
    content = pack(values, width)
    return loaded(addresses(content), width, size)
