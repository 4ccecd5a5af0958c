"""The correlation itself: leaf streams folded to vectors, the receiver's correction, the sender's product with Delta.

No branch and no address here depends on Delta or on a leaf's seed: products with Delta's bits are masks.
"""

import numpy as np
import numpy.typing as npt
from numba import types

from protocols.kernels.compiled import inner, kernel
from protocols.kernels.vole import DEGREE, FIELD, LANES, LEAF_BLOCKS, LEAF_WORDS, SLOTS
from protocols.kernels.vole.aes import HARDWARE
from protocols.kernels.vole.planes import fold_leaves, reduce_planes, rows_to_planes, xor_planes

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]


@inner
def _weighted(buffer: Words, stride: int, offset: int, sums: Words, work: Words) -> None:
    """Of leaves at buffer + offset + x · stride bytes: sums[6] = Σ r_x, work[:48] = Σ x · r_x.

    Σ x · r_x = Σ_t 2^t · (sum over x with bit t of r_x), and a product with 2^t moves planes.
    """
    base, out = buffer.ctypes.data + offset, sums.ctypes.data
    for plane in range(DEGREE):
        at = 8 * LANES * plane
        fold_leaves(types.uintp(base + at), types.uintp(stride), types.uintp(out + at), types.uintp(8 * LEAF_WORDS))
    work[:] = 0
    for bit in range(DEGREE):
        for word in range(LEAF_WORDS):
            work[bit * LANES + word] ^= sums[bit, word]
    reduce_planes(work)


@inner
def _keep(block: int, coordinate: int, sums: Words, work: Words, u: Words, v: Words) -> None:
    for word in range(LEAF_WORDS):
        v[block, coordinate, word] = work[word]
    if u.shape[0]:
        for word in range(LEAF_WORDS):
            u[block, coordinate, word] = sums[DEGREE, word]


@kernel
def fold_streams(streams: Words, coordinate: int, u: Words, v: Words) -> None:
    """Streams uint64[64, blocks, 48] of one coordinate's leaves into v[:, coordinate] and, unless u is empty, u."""
    sums = np.empty((DEGREE + 1, LEAF_WORDS), np.uint64)
    work = np.empty((2 * DEGREE - 1) * LANES, np.uint64)
    for block in range(streams.shape[1]):
        _weighted(streams, 8 * LEAF_WORDS * streams.shape[1], 8 * LEAF_WORDS * block, sums, work)
        _keep(block, coordinate, sums, work, u, v)


if HARDWARE:
    from protocols.kernels.vole.aes import GROUP, aes_counters

    @kernel
    def expand(round_keys: npt.NDArray[np.uint32], counter: np.uint64, salt: np.uint64, u: Words, v: Words) -> None:
        """Streams of all leaves, round keys uint32[n, 64, 44], from AES block `counter` on, folded.

        v uint64[blocks, n, 48] = Σ x · r_x; u alike = Σ r_x. Where u is empty, leaf 0, whose weight is zero, is not
        needed and its key not used.
        """
        buffer = np.zeros((FIELD, LEAF_WORDS), np.uint64)
        sums = np.empty((DEGREE + 1, LEAF_WORDS), np.uint64)
        work = np.empty((2 * DEGREE - 1) * LANES, np.uint64)
        first = 0 if u.shape[0] else 1
        for coordinate in range(round_keys.shape[0]):
            for block in range(v.shape[0]):
                start = counter + np.uint64(block * LEAF_BLOCKS)
                for leaf in range(first, FIELD):
                    keys = round_keys[coordinate, leaf].ctypes.data
                    out = buffer.ctypes.data + leaf * 8 * LEAF_WORDS
                    for group in range(LEAF_BLOCKS // GROUP):
                        aes_counters(
                            types.uintp(keys),
                            start + np.uint64(group * GROUP),
                            salt,
                            types.uintp(out + 16 * GROUP * group),
                        )
                _weighted(buffer, 8 * LEAF_WORDS, 0, sums, work)
                _keep(block, coordinate, sums, work, u, v)


@kernel
def correct(u: Words, values: Words, offsets: Indices, sources: Indices, message: Words) -> None:
    """u uint64[blocks, n, 48] += the code word of each slot's value: the correction, in place.

    values uint64[blocks · 512, 2]; message uint64[blocks, bits, 8]: their planes, filled in here; parity plane p is
    the sum of the message planes sources[offsets[p] : offsets[p + 1]].
    """
    bits = message.shape[1]
    for block in range(u.shape[0]):
        rows_to_planes(values[block * SLOTS : (block + 1) * SLOTS], message[block])
        word = u[block].reshape(-1, LANES)
        for plane in range(bits):
            for lane in range(LANES):
                word[plane, lane] ^= message[block, plane, lane]
        base, begun = message[block].ctypes.data, word.ctypes.data + 8 * LANES * bits
        for parity in range(offsets.shape[0] - 1):
            xor_planes(
                types.uintp(begun + 8 * LANES * parity),
                types.uintp(base),
                types.uintp(sources.ctypes.data + 8 * offsets[parity]),
                offsets[parity + 1] - offsets[parity],
            )


@kernel
def add_product(w: Words, correction: Words, delta: Indices) -> None:
    """w += delta[i] · correction[:, i], in place; both uint64[blocks, n, 48]."""
    work = np.empty((2 * DEGREE - 1) * LANES, np.uint64)
    for block in range(w.shape[0]):
        for coordinate in range(w.shape[1]):
            work[:] = 0
            for bit in range(DEGREE):
                mask = np.uint64(0) - np.uint64((delta[coordinate] >> bit) & 1)
                for word in range(LEAF_WORDS):
                    work[bit * LANES + word] ^= correction[block, coordinate, word] & mask
            reduce_planes(work)
            for word in range(LEAF_WORDS):
                w[block, coordinate, word] ^= work[word]


def warm(coordinates: int, bits: int) -> None:
    """Compile or load every kernel here."""
    shape = (1, coordinates, LEAF_WORDS)
    u, v = np.zeros(shape, np.uint64), np.zeros(shape, np.uint64)
    if HARDWARE:
        expand(np.zeros((coordinates, FIELD, 44), np.uint32), np.uint64(0), np.uint64(0), u, v)
    fold_streams(np.zeros((FIELD, 1, LEAF_WORDS), np.uint64), 0, u, v)
    message = np.zeros((1, bits, LANES), np.uint64)
    offsets = np.zeros(2, np.int64)
    correct(u, np.zeros((SLOTS, 2), np.uint64), offsets, np.zeros(1, np.int64), message)
    add_product(v, u, np.zeros(coordinates, np.int64))
