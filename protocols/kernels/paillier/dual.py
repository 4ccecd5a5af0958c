"""Products modulo N² of pairs of numbers modulo N, many at a time.

The pair (x0, x1) stands for x0 - x1 N modulo N². With x0 y0 + mN = R z0 (Montgomery 1985; R = 2^(52 · limbs), m the
multiplier that his reduction finds),

    (x0 - x1 N)(y0 - y1 N) = R z0 - (x0 y1 + x1 y0 + m) N  modulo N²,

so a Montgomery product modulo N² takes three products and two reductions of half its size: five units of limbs² limb
products where the usual one takes eight, and 3.5 where the usual square takes six. Our own derivation; pairs for
Z/p² are the usual truncated p-adic numbers.

Sizes: N < R / 2^14. A pair is loose when both parts are below 16 N; the product of loose pairs has parts below 1.1 N
and 1.2 N. In memory: the limbs of x0, then those of x1 (see `tiles`). Lines are uint64[groups, limbs · 8], a line
for eight numbers; a modulus is an array with one word a limb.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from protocols.kernels.compiled import inlined, inner, kernel
from protocols.kernels.paillier.tiles import (
    LANES,
    TILE,
    add_limbs,
    add_tile,
    add_tile_same,
    add_twice,
    emit_tile,
    reduce_tile,
    zero_columns,
)

Words = npt.NDArray[np.uint64]


@inner
def room(words: int) -> Words:
    """An uninitialised array that starts on a cache line: vectors across two lines take twice as long."""
    space = np.empty(words + LANES, np.uint64)
    start = (-space.ctypes.data % 64) // 8
    return space[start : start + words]


@inlined
def _low_tile(c0: Any, c1: Any, modulus: Words, inverse: np.uint64, m: Words, k: int) -> Any:
    """Both reductions of columns k, ..., k + 4 of a product below R."""
    size = modulus.shape[0]
    for i in range(0, k, TILE):
        c0 = add_tile_same(c0, m, i, modulus, k - i)
        c1 = add_tile_same(c1, m, size + i, modulus, k - i)
    c0 = reduce_tile(c0, modulus, inverse, m, k)
    c1 = reduce_tile(add_limbs(c1, m, k), modulus, inverse, m, size + k)
    return c0, c1


@inlined
def _high_tile(c0: Any, c1: Any, modulus: Words, m: Words, z: Words, k: int) -> Any:
    """The same above R: limbs k - size, ... of both parts of z are done."""
    size = modulus.shape[0]
    for i in range(k - size + TILE, size, TILE):
        c0 = add_tile_same(c0, m, i, modulus, k - i)
        c1 = add_tile_same(c1, m, size + i, modulus, k - i)
    return emit_tile(c0, z, k - size), emit_tile(c1, z, k)


@inner
def multiply_line(z: Words, x: Words, y: Words, modulus: Words, inverse: np.uint64, m: Words) -> None:
    """`multiply` of one line; m is room for one."""
    size = modulus.shape[0]
    c0, c1 = zero_columns(), zero_columns()
    for k in range(0, 2 * size, TILE):
        for i in range(max(0, k - size + TILE), min(size, k + TILE), TILE):
            c0 = add_tile(c0, x, i, y, k - i)
            c1 = add_tile(c1, x, i, y, size + k - i)
            c1 = add_tile(c1, x, size + i, y, k - i)
        if k < size:
            c0, c1 = _low_tile(c0, c1, modulus, inverse, m, k)
        else:
            c0, c1 = _high_tile(c0, c1, modulus, m, z, k)


@inner
def square_line(z: Words, x: Words, modulus: Words, inverse: np.uint64, m: Words) -> None:
    """z = x x / R, of one line; z may be x."""
    size = modulus.shape[0]
    c0, c1 = zero_columns(), zero_columns()
    for k in range(0, 2 * size, TILE):
        least, most = max(0, k - size + TILE), min(size, k + TILE)
        half = zero_columns()
        for i in range(least, (k + TILE) // (2 * TILE) * TILE, TILE):
            half = add_tile(half, x, i, x, k - i)
        c0 = add_twice(c0, half)
        if k % (2 * TILE) == 0:
            c0 = add_tile(c0, x, k // 2, x, k // 2)
        half = zero_columns()
        for i in range(least, most, TILE):
            half = add_tile(half, x, i, x, size + k - i)
        c1 = add_twice(c1, half)
        if k < size:
            c0, c1 = _low_tile(c0, c1, modulus, inverse, m, k)
        else:
            c0, c1 = _high_tile(c0, c1, modulus, m, z, k)


@kernel
def multiply(z: Words, x: Words, y: Words, modulus: Words, inverse: np.uint64) -> None:
    """z = x · y / R modulo N², loose pairs; x and y have as many lines as z, or one for all. z may be x or y."""
    m = room(2 * modulus.shape[0] * LANES)
    for line in range(z.shape[0]):
        multiply_line(z[line], x[line % x.shape[0]], y[line % y.shape[0]], modulus, inverse, m)


@kernel
def halve(z: Words, x: Words, modulus: Words, inverse: np.uint64) -> None:
    """z = x / R as pairs, of plain numbers x of twice the limbs below RN. z is apart.

    The low half is Montgomery-reduced, low + mN = Rt, so that x / R = (t + high) - (m / R) N.
    """
    size = modulus.shape[0]
    m = room(2 * size * LANES)
    for line in range(z.shape[0]):
        c0, c1 = zero_columns(), zero_columns()
        for k in range(0, 2 * size, TILE):
            c0 = add_limbs(c0, x[line], k)
            if k < size:
                c0, c1 = _low_tile(c0, c1, modulus, inverse, m, k)
            else:
                c0, c1 = _high_tile(c0, c1, modulus, m, z[line], k)


@kernel
def expand(z: Words, x: Words, modulus: Words) -> None:
    """z = x0 + x1 · modulus of the pairs x, as plain numbers of twice the limbs. z is apart."""
    size = modulus.shape[0]
    for line in range(z.shape[0]):
        c = zero_columns()
        for k in range(0, 2 * size, TILE):
            if k < size:
                c = add_limbs(c, x[line], k)
            for i in range(max(0, k - size + TILE), min(size, k + TILE), TILE):
                c = add_tile_same(c, x[line], size + i, modulus, k - i)
            c = emit_tile(c, z[line], k)


def warm() -> None:
    """Compile every kernel here, or load it from the cache."""
    pairs, modulus = np.zeros((1, 2 * TILE * LANES), np.uint64), np.ones(TILE, np.uint64)
    z, inverse = pairs.copy(), np.uint64(1)
    multiply(z, pairs, pairs, modulus, inverse)
    halve(z, pairs, modulus, inverse)
    expand(z, pairs, modulus)
