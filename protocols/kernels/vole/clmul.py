"""Hashing of bit planes by a polynomial over GF(2^128): sums of carry-less products that nobody has reduced yet.

GF(2^128) = GF(2)[x] / (x^128 + x^7 + x^2 + x + 1), little-endian: word 0 holds the low coefficients. The portable
product needs nothing but integer multiplication, and takes the same time whatever the factors.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from protocols.kernels.compiled import inlined, inner, intrinsic, kernel
from protocols.kernels.target import has
from protocols.kernels.vole import LANES

Words = npt.NDArray[np.uint64]

HARDWARE = has("pclmul", "sse2")
WIDE = has("vpclmulqdq", "avx512f")
CHUNKS = LANES // 2
"""128-bit chunks of a plane of one block."""
_LONG, _BYTE = ir.IntType(64), ir.IntType(8)


def chunk_products(wide: bool) -> Any:
    """An intrinsic (plane, powers, sums): add the products of a plane's four chunks with four powers.

    All are addresses: of uint64[8], [4, 2] and [3, 8], which is low, middle and high parts, two words a chunk.
    wide: four products an instruction (VPCLMULQDQ), else one (PCLMULQDQ).
    """
    suffix, lanes = (".512", CHUNKS) if wide else ("", 1)
    vector = ir.VectorType(_LONG, 2 * lanes)

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        module, name = builder.module, "llvm.x86.pclmulqdq" + suffix
        product = module.globals.get(name) or ir.Function(
            module, ir.FunctionType(vector, [vector, vector, _BYTE]), name
        )

        def at(base: Any, step: int) -> Any:
            return builder.inttoptr(builder.add(base, ir.Constant(_LONG, step)), vector.as_pointer())

        def load(base: Any, step: int) -> Any:
            loaded = builder.load(at(base, step))
            loaded.align = 8
            return loaded

        for chunk in range(0, CHUNKS, lanes):
            data, power = (load(base, 16 * chunk) for base in arguments[:2])
            low, cross, other, high = (
                builder.call(product, [data, power, ir.Constant(_BYTE, halves)]) for halves in (0x00, 0x01, 0x10, 0x11)
            )
            for number, part in enumerate((low, builder.xor(cross, other), high)):
                place = 64 * number + 16 * chunk
                builder.store(builder.xor(load(arguments[2], place), part), at(arguments[2], place)).align = 8
        return context.get_dummy_value()

    @intrinsic
    def products(typingctx: Any, plane: Any, powers: Any, sums: Any) -> Any:
        return types.void(types.uintp, types.uintp, types.uintp), code

    return products


if HARDWARE:
    chunk_products_here = chunk_products(WIDE)

    @kernel
    def hash_planes(planes: Words, powers: Words, sums: Words) -> None:
        """Add to sums uint64[b, 3, 8] the products of planes uint64[blocks, b, 8] with powers uint64[blocks, 4, 2]."""
        for block in range(planes.shape[0]):
            power = types.uintp(powers[block].ctypes.data)
            for plane in range(planes.shape[1]):
                data, out = planes[block, plane].ctypes.data, sums[plane].ctypes.data
                chunk_products_here(types.uintp(data), power, types.uintp(out))


@inlined
def _reversed(x: np.uint64) -> np.uint64:
    """The word with its bits in reverse."""
    for width, mask in (
        (1, 0x5555555555555555),
        (2, 0x3333333333333333),
        (4, 0x0F0F0F0F0F0F0F0F),
        (8, 0x00FF00FF00FF00FF),
        (16, 0x0000FFFF0000FFFF),
        (32, 0x00000000FFFFFFFF),
    ):
        shift, keep = np.uint64(width), np.uint64(mask)
        x = ((x & keep) << shift) | ((x >> shift) & keep)
    return x


@inlined
def _low_product(x: np.uint64, y: np.uint64) -> np.uint64:
    """The low 64 bits of the carry-less product: integer products of every fourth bit, whose sums never meet.

    As BearSSL's ctmul64 (Pornin).
    """
    one = np.uint64(0x1111111111111111)
    two, four, eight = one << np.uint64(1), one << np.uint64(2), one << np.uint64(3)
    x0, x1, x2, x3 = x & one, x & two, x & four, x & eight
    y0, y1, y2, y3 = y & one, y & two, y & four, y & eight
    z0 = (x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)
    z1 = (x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)
    z2 = (x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)
    z3 = (x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)
    return (z0 & one) | (z1 & two) | (z2 & four) | (z3 & eight)


@inner
def _product(x: np.uint64, y: np.uint64) -> tuple[np.uint64, np.uint64]:
    """(low, high) 64 bits of the carry-less product."""
    return _low_product(x, y), _reversed(_low_product(_reversed(x), _reversed(y))) >> np.uint64(1)


@kernel
def hash_planes_portable(planes: Words, powers: Words, sums: Words) -> None:
    """As hash_planes, without special instructions."""
    for block in range(planes.shape[0]):
        for plane in range(planes.shape[1]):
            for chunk in range(CHUNKS):
                a0, a1 = planes[block, plane, 2 * chunk], planes[block, plane, 2 * chunk + 1]
                b0, b1 = powers[block, chunk, 0], powers[block, chunk, 1]
                for part, x, y in ((0, a0, b0), (1, a0, b1), (1, a1, b0), (2, a1, b1)):
                    low, high = _product(x, y)
                    sums[plane, part, 2 * chunk] ^= low
                    sums[plane, part, 2 * chunk + 1] ^= high


@kernel
def powers_down(low: np.uint64, high: np.uint64, out: Words) -> None:
    """The element's powers uint64[n, 2], from n - 1 down to 0."""
    out[-1, 0], out[-1, 1] = 1, 0
    for i in range(out.shape[0] - 2, -1, -1):
        x0, x1 = out[i + 1, 0], out[i + 1, 1]
        w0, w1 = _product(x0, low)
        w2, w3 = _product(x1, high)
        for x, y in ((x0, high), (x1, low)):
            middle = _product(x, y)
            w1, w2 = w1 ^ middle[0], w2 ^ middle[1]
        # x^128 = x^7 + x^2 + x + 1, first for the top word, then for the third, which that has added to
        for top, first in ((w3, False), (w2, True)):
            if first:
                top = w2
            under = top ^ (top << np.uint64(1)) ^ (top << np.uint64(2)) ^ (top << np.uint64(7))
            over = (top >> np.uint64(63)) ^ (top >> np.uint64(62)) ^ (top >> np.uint64(57))
            if first:
                w0, w1 = w0 ^ under, w1 ^ over
            else:
                w1, w2 = w1 ^ under, w2 ^ over
        out[i, 0], out[i, 1] = w0, w1


def warm() -> None:
    """Compile or load every kernel here."""
    planes, powers, sums = np.zeros((1, 1, LANES)), np.zeros((1, CHUNKS, 2)), np.zeros((1, 3, LANES))
    words = [array.astype(np.uint64) for array in (planes, powers, sums)]
    if HARDWARE:
        hash_planes(*words)
    hash_planes_portable(*words)
    powers_down(np.uint64(3), np.uint64(0), np.zeros((2, 2), np.uint64))
