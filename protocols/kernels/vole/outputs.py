"""The function that the match compares: a hash of each item with its slots' sum, eight items at a time.

A look-up's address is a digest of this side's own item, whatever the table holds: no address depends on Delta.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.core import cgutils

from protocols.kernels.compiled import inner, intrinsic, kernel
from protocols.kernels.sha256 import LANES
from protocols.kernels.vole import MOST_DENSE, ROW_WORDS, SLOTS, VALUE_OCTETS
from protocols.kernels.vole.okvs import blocks, dense_bits, hash_blocks, sparse_columns, value_words

Words = npt.NDArray[np.uint64]
_LONG = ir.IntType(64)
_ROW = ir.VectorType(_LONG, ROW_WORDS)
_ROW_BYTES = 8 * ROW_WORDS

OUT_BYTES = 52
"""Of the message that is hashed: a tag of 8 bytes, 16 of the item's digest, 28 of its slots' sum."""


@inner
def _byte_tables(rows: Words, tables: Words) -> None:
    """tables[s, byte] = the sum of the rows 8s to 8s + 7 whose bits are set (the method of the four Russians)."""
    for s in range(tables.shape[0]):
        for word in range(ROW_WORDS):
            tables[s, 0, word] = 0
        for t in range(8):
            i, half = 8 * s + t, 1 << t
            for x in range(half):
                for word in range(ROW_WORDS):
                    tables[s, half + x, word] = tables[s, x, word] ^ (
                        rows[i, word] if i < rows.shape[0] else np.uint64(0)
                    )


def _row_sum(octets: int) -> Any:
    """An intrinsic (total, places, tables, low, high): to the address `total` the sum of rows of four words.

    places: a tuple of the addresses of some; tables: the address of uint64[octets, 256, 4], of which row
    [s, octet s of the number low + 2^64 high] is added for every s.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        total, places, tables, *numbers = arguments
        addresses = cgutils.unpack_tuple(builder, places)
        for s in range(octets):
            shifted = builder.lshr(numbers[s // 8], ir.Constant(_LONG, 8 * (s % 8)))
            octet = builder.and_(shifted, ir.Constant(_LONG, 0xFF))
            at = builder.add(octet, ir.Constant(_LONG, 256 * s))
            addresses.append(builder.add(tables, builder.mul(at, ir.Constant(_LONG, _ROW_BYTES))))
        result = ir.Constant(_ROW, [0] * ROW_WORDS)
        for address in addresses:
            row = builder.load(builder.inttoptr(address, _ROW.as_pointer()))
            row.align = 8
            result = builder.xor(result, row)
        builder.store(result, builder.inttoptr(total, _ROW.as_pointer())).align = 8
        return context.get_dummy_value()

    @intrinsic
    def row_sum(typingctx: Any, total: Any, places: Any, tables: Any, low: Any, high: Any) -> Any:
        return types.void(types.uintp, places, types.uintp, types.uint64, types.uint64), code

    return row_sum


_sum_dense = _row_sum(MOST_DENSE // 8)
_sum_products = _row_sum(VALUE_OCTETS)


@inner
def _add_slots(
    total: int, d: Words, rows: Words, tables: Words, products: Words, shape: tuple[int, int, int, int]
) -> None:
    """The sum of a key's rows to the address `total`, and where there are such tables its value times Delta."""
    bins, sparse, dense, high_bits = shape
    first, step = types.uintp(rows.ctypes.data), types.uintp(_ROW_BYTES)
    x, y, z = sparse_columns(d, bins, sparse)
    places = first + types.uintp(x) * step, first + types.uintp(y) * step, first + types.uintp(z) * step
    _sum_dense(total, places, types.uintp(tables.ctypes.data), dense_bits(d, dense), np.uint64(0))
    if products.shape[0]:
        low, high = value_words(d, high_bits)
        _sum_products(total, (total,), types.uintp(products.ctypes.data), low, high)


@kernel
def evaluate(
    message: Words,
    digests: Words,
    rows: Words,
    products: Words,
    shape: tuple[int, int, int, int],
    low_mask: np.uint64,
    hi: Words,
    lo: Words,
    rest: Words,
) -> None:
    """Outputs of a bin's keys, digests uint64[n, 4]: 64 bits in hi, more in lo as low_mask allows, 128 others in rest.

    rows: uint64[slots, 4] of the bin; products: uint64[11, 256, 4], the value's bytes to their products with Delta, or
    empty at the receiver; shape: bins, sparse and dense columns, value bits above 64; rest: uint64[n, 2] or empty.
    """
    _, sparse, dense, _ = shape
    tables = np.empty((MOST_DENSE // 8, 256, ROW_WORDS), np.uint64)
    _byte_tables(rows[sparse : sparse + dense], tables)
    digest, state = np.empty((LANES, 4), np.uint64), np.empty((8, LANES), np.uint32)
    last = message[0, 6]
    for first in range(0, digests.shape[0], LANES):
        some = min(LANES, digests.shape[0] - first)
        for lane in range(some):
            d = digests[first + lane]
            message[lane, 1], message[lane, 2] = d[2], d[3]
            _add_slots(types.uintp(message[lane, 3:].ctypes.data), d, rows, tables, products, shape)
            message[lane, 6] = (message[lane, 6] & np.uint64(0xFFFFFFFF)) | last
        hash_blocks(message, state, digest)
        for lane in range(some):
            hi[first + lane], lo[first + lane] = digest[lane, 0], digest[lane, 1] & low_mask
            if rest.shape[0]:
                rest[first + lane, 0], rest[first + lane, 1] = digest[lane, 2], digest[lane, 3]


def warm() -> None:
    """Compile or load every kernel here."""
    words, digests = np.zeros(1, np.uint64), np.zeros((1, 4), np.uint64)
    rows, products = np.zeros((SLOTS, ROW_WORDS), np.uint64), np.zeros((0, 256, ROW_WORDS), np.uint64)
    shape = (1, 64, 40, 20)
    rest = np.zeros((0, 2), np.uint64)
    evaluate(blocks(b"vole-out", OUT_BYTES), digests, rows, products, shape, np.uint64(1), words, words, rest)
