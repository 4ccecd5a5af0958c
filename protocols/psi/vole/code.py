"""The Reed–Solomon code [35, 14, 22] over GF(64), systematic, as sums of bit planes.

The word of m_0 … m_13 is the values at points 0 … 34 of the one polynomial of degree < 14 that is m_i at point i, so
two words agree in 13 places at most. Nothing here is secret but the sender's Delta, which is only ever a mask.
"""

import functools

import numpy as np
import numpy.typing as npt

from protocols.kernels.vole import DEGREE, FIELD, ROW_WORDS
from protocols.psi.vole.parameters import CODE_DIMENSION, CODE_LENGTH, MESSAGE_BITS

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]

_POLYNOMIAL = 0b1000011


@functools.cache
def multiply(a: int, b: int) -> int:
    """The product in GF(64). Not for secrets."""
    product = 0
    for bit in range(DEGREE):
        product ^= (a << bit) * (b >> bit & 1)
    for bit in range(2 * DEGREE - 2, DEGREE - 1, -1):
        product ^= (_POLYNOMIAL << (bit - DEGREE)) * (product >> bit & 1)
    return product


@functools.cache
def inverse(a: int) -> int:
    """Of an element that is not zero."""
    return next(b for b in range(1, FIELD) if multiply(a, b) == 1)


@functools.cache
def _parity() -> list[list[int]]:
    """For each parity point the factors of the message's elements (Lagrange)."""
    rows = []
    for point in range(CODE_DIMENSION, CODE_LENGTH):
        row = []
        for i in range(CODE_DIMENSION):
            above = below = 1
            for j in range(CODE_DIMENSION):
                if j != i:
                    above, below = multiply(above, point ^ j), multiply(below, i ^ j)
            row.append(multiply(above, inverse(below)))
        rows.append(row)
    return rows


@functools.cache
def unit_words() -> list[list[int]]:
    """The word of each single message bit: bit b is bit b % 6 of element b // 6."""
    words = []
    for element in range(CODE_DIMENSION):
        for unit in (1 << bit for bit in range(DEGREE)):
            message = [unit * (i == element) for i in range(CODE_DIMENSION)]
            words.append(message + [multiply(row[element], unit) for row in _parity()])
    return words


@functools.cache
def parity_sources() -> tuple[Indices, Indices]:
    """(offsets, sources): parity plane p is the sum of the message planes sources[offsets[p] : offsets[p + 1]]."""
    offsets, sources = [0], []
    for plane in range(MESSAGE_BITS, CODE_LENGTH * DEGREE):
        element, bit = divmod(plane, DEGREE)
        sources += [b for b, word in enumerate(unit_words()) if word[element] >> bit & 1]
        offsets.append(len(sources))
    return np.array(offsets, np.int64), np.array(sources, np.int64)


def encode_planes(message: Words) -> Words:
    """Message planes uint64[84, w] → word planes uint64[210, w]."""
    offsets, sources = parity_sources()
    return np.concatenate([message, np.bitwise_xor.reduceat(message[sources], offsets[:-1], axis=0)])


def scale_planes(word: Words, delta: Indices) -> Words:
    """Planes uint64[210, w] of a word → those of its product with delta int64[35], element by element. Masks only."""
    elements = word.reshape(CODE_LENGTH, DEGREE, -1)
    work = np.zeros((CODE_LENGTH, 2 * DEGREE - 1, elements.shape[2]), np.uint64)
    for bit in range(DEGREE):
        work[:, bit : bit + DEGREE] ^= elements & _masks(delta, bit)[:, None, None]
    for plane in range(2 * DEGREE - 2, DEGREE - 1, -1):
        work[:, plane - DEGREE] ^= work[:, plane]
        work[:, plane - DEGREE + 1] ^= work[:, plane]
    return work[:, :DEGREE].reshape(word.shape)


def _masks(delta: Indices, bit: int) -> Words:
    """uint64[35]: all ones where delta has the bit."""
    return np.uint64(0) - ((delta >> bit) & 1).astype(np.uint64)


def delta_tables(delta: Indices) -> Words:
    """uint64[11, 256, 4]: byte s of an item's value → its part of the word's product with delta, as row words."""
    units = np.array(unit_words(), np.uint64).T
    planes = ((units[:, None, :] >> np.arange(DEGREE, dtype=np.uint64)[:, None]) & np.uint64(1)).reshape(
        -1, MESSAGE_BITS
    )
    products = scale_planes(planes, delta)  # uint64[210, 84]: bit p of the product with message bit b
    rows = np.zeros((-(-MESSAGE_BITS // 8) * 8, ROW_WORDS), np.uint64)
    for plane in range(CODE_LENGTH * DEGREE):
        rows[:MESSAGE_BITS, plane // 64] |= products[plane] << np.uint64(plane % 64)
    tables = np.zeros((len(rows) // 8, 256, ROW_WORDS), np.uint64)
    for bit in range(8):
        half = 1 << bit
        tables[:, half : 2 * half] = tables[:, :half] ^ rows[bit::8, None, :]
    return tables
