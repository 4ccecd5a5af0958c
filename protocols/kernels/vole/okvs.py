"""Oblivious key-value store: rows of keys, and solving for a vector that gives every key its value.

After Raghuraman and Rindal, "Blazing Fast PSI from Improved OKVS and Subfield VOLE" (CCS 2022), sections 2 (triangular
form with a gap) and 3 (bins with dense columns of their own). A key's row and value come from its 256-bit digest:
word 0 → bin, first and second sparse column; low half of word 1 → third; high half of word 1 and low half of word 2 →
dense bits; the rest → value. All here works on one side's own items: nothing of Delta is in it.
"""

import numpy as np
import numpy.typing as npt
from numba import types

from protocols.kernels.compiled import inlined, inner, kernel
from protocols.kernels.machine import mul_wide
from protocols.kernels.sha256 import BLOCK_BYTES, LANES, begin_rows, compress_rows
from protocols.kernels.vole import MOST_DENSE, SLOTS

Words = npt.NDArray[np.uint64]
Words32 = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Short = npt.NDArray[np.uint16]

_ALL = 0xFFFFFFFFFFFFFFFF


def message(tag: bytes, seed: bytes) -> Words:
    """uint64[8, 8]: eight padded blocks of an 8-byte tag and a 16-byte seed; an item goes to words 3 and 4 of each."""
    return blocks(tag + seed, 40)


def blocks(begun: bytes, nbytes: int) -> Words:
    """uint64[8, 8]: eight SHA-256 blocks of messages of nbytes ≤ 55 that begin so and go on with zeros."""
    block = begun.ljust(nbytes, b"\0") + b"\x80"
    block = block.ljust(BLOCK_BYTES - 8, b"\0") + (8 * nbytes).to_bytes(8, "big")
    return np.tile(np.frombuffer(block, "<u8").astype(np.uint64), (LANES, 1))


@inner
def hash_blocks(message: Words, state: Words32, digests: Words) -> None:
    """SHA-256 of eight one-block messages uint64[8, 8] into uint64[8, 4]; state: uint32[8, 8], for its own use."""
    begun = types.uintp(state.ctypes.data)
    begin_rows(begun)
    compress_rows(types.uintp(message.ctypes.data), begun, types.uintp(digests.ctypes.data))


@kernel
def hash_rows(message: Words, hi: Words, lo: Words, bins: int, digests: Words, which: Short, counts: Indices) -> None:
    """The digests uint64[n, 4] of items (hi, lo), the bin of each, and in counts int64[bins] how many each has.

    message is written over. digests may have no rows, for bins alone.
    """
    digest, state = np.empty((LANES, 4), np.uint64), np.empty((8, LANES), np.uint32)
    for first in range(0, hi.shape[0], LANES):
        some = min(LANES, hi.shape[0] - first)
        for lane in range(some):
            message[lane, 3], message[lane, 4] = hi[first + lane], lo[first + lane]
        hash_blocks(message, state, digest)
        for lane in range(some):
            into = np.int64(mul_wide(digest[lane, 0], np.uint64(bins))[0])
            which[first + lane] = into
            counts[into] += 1
            if digests.shape[0]:
                for word in range(4):
                    digests[first + lane, word] = digest[lane, word]


@kernel
def place_rows(digests: Words, which: Short, fill: Indices, base: int, order: Places, placed: Words) -> None:
    """Digests by their bins, from fill[bin] on, and in order base + where each stood."""
    for i in range(digests.shape[0]):
        at = fill[which[i]]
        fill[which[i]] += 1
        order[at] = base + i
        for word in range(4):
            placed[at, word] = digests[i, word]


@kernel
def move_rows(
    hi: Words, lo: Words, which: Short, fill: Indices, base: int, to_hi: Words, to_lo: Words, source: Places
) -> None:
    """The items to where their part is filled to, and to source, unless it is empty, base + where each stood."""
    for i in range(hi.shape[0]):
        at = fill[which[i]]
        fill[which[i]] += 1
        to_hi[at], to_lo[at] = hi[i], lo[i]
        if source.shape[0]:
            source[at] = base + i


@kernel
def repeated(digests: Words) -> int:
    """How many of a bin's keys stand there a second time: a table of places with open addressing."""
    mask = 1
    while mask < 2 * digests.shape[0]:
        mask *= 2
    mask -= 1
    table = np.full(mask + 1, -1, np.int32)
    count = 0
    for i in range(digests.shape[0]):
        at = np.int64(digests[i, 3] >> np.uint64(32)) & mask
        fresh = True
        while fresh and table[at] >= 0:
            same = True
            for word in range(4):
                same = same and digests[table[at], word] == digests[i, word]
            fresh = not same
            at = (at + 1) & mask
        if fresh:
            table[at] = i
        else:
            count += 1
    return count


@inlined
def sparse_columns(d: Words, bins: int, sparse: int) -> tuple[np.int64, np.int64, np.int64]:
    """Three distinct columns of a key in its bin, uniform over the 3-subsets (to within 2^-12 relatively)."""
    rest = mul_wide(d[0], np.uint64(bins))[1]
    x, rest = mul_wide(rest, np.uint64(sparse))
    y, rest = mul_wide(rest, np.uint64(sparse - 1))
    z = ((d[1] & np.uint64(0xFFFFFFFF)) * np.uint64(sparse - 2)) >> np.uint64(32)
    a, b, c = np.int64(x), np.int64(y), np.int64(z)
    if b >= a:
        b += 1
    low, high = min(a, b), max(a, b)
    if c >= low:
        c += 1
    if c >= high:
        c += 1
    return a, b, c


@inlined
def dense_bits(d: Words, dense: int) -> np.uint64:
    """A key's bits in its bin's dense columns."""
    mask = np.uint64(_ALL) >> np.uint64(64 - dense)
    return np.uint64(((d[1] >> np.uint64(32)) | (d[2] << np.uint64(32))) & mask)


@inlined
def value_words(d: Words, high_bits: int) -> tuple[np.uint64, np.uint64]:
    """A key's value: 64 bits, then `high_bits` ≤ 32 more."""
    mask = (np.uint64(1) << np.uint64(high_bits)) - np.uint64(1)
    return (d[2] >> np.uint64(32)) | (d[3] << np.uint64(32)), (d[3] >> np.uint64(32)) & mask


@inner
def _solve_gap(masks: Words, values: Words, gap: int, solution: Words) -> bool:
    """Gauss–Jordan on `gap` equations mask · x = value over bits (x: 64 unknowns of two words); False if dependent."""
    pivots = np.empty(gap, np.int64)
    for r in range(gap):
        mask = masks[r]
        if mask == 0:
            return False
        p = 0
        while not (mask >> np.uint64(p)) & np.uint64(1):
            p += 1
        pivots[r] = p
        for s in range(gap):
            if s != r and (masks[s] >> np.uint64(p)) & np.uint64(1):
                masks[s] ^= mask
                values[s, 0] ^= values[r, 0]
                values[s, 1] ^= values[r, 1]
    for r in range(gap):
        solution[pivots[r], 0] = values[r, 0]
        solution[pivots[r], 1] = values[r, 1]
    return True


@inner
def _take(row: int, columns: Places, degree: Places, sums: Places, stack: Places, top: int) -> int:
    """Take a row out of its columns; columns left with one row go onto the stack, whose height is returned."""
    for t in range(3):
        c = columns[row, t]
        degree[c] -= 1
        sums[c] ^= row
        if degree[c] == 1:
            stack[top] = c
            top += 1
    return top


@inner
def _triangulate(
    keys: int, columns: Places, degree: Places, sums: Places, peel_row: Places, peel_col: Places, gap_rows: Places
) -> tuple[int, int]:
    """(rows peeled, rows in the gap; -1 for too many): RR22, figure 1.

    Peel columns of degree one; where none is left, move all rows but one of a least column to the gap.
    """
    stack = np.empty(3 * keys + degree.shape[0], np.int32)
    removed = np.zeros(keys, np.uint8)
    top = peeled = gap = 0
    for c in range(degree.shape[0]):
        if degree[c] == 1:
            stack[top] = c
            top += 1
    while True:
        while top > 0:
            top -= 1
            c = stack[top]
            if degree[c] == 1:
                row = sums[c]
                removed[row] = 1
                peel_row[peeled], peel_col[peeled] = row, c
                peeled += 1
                top = _take(row, columns, degree, sums, stack, top)
        if peeled + gap == keys:
            return peeled, gap
        best = -1
        for c in range(degree.shape[0]):
            if degree[c] > 1 and (best < 0 or degree[c] < degree[best]):
                best = c
        kept = False
        for row in range(keys):
            if removed[row] or (columns[row, 0] != best and columns[row, 1] != best and columns[row, 2] != best):
                continue
            if not kept:
                kept = True
                continue
            if gap == MOST_DENSE:
                return peeled, -1
            gap_rows[gap] = row
            gap += 1
            removed[row] = 1
            top = _take(row, columns, degree, sums, stack, top)


@inner
def _fill_dense(
    digests: Words,
    columns: Places,
    peel_row: Places,
    peel_col: Places,
    gap_rows: Places,
    sparse: int,
    dense: int,
    high_bits: int,
    out: Words,
) -> bool:
    """Solve the gap rows, less the peeled rows that they contain, for the dense columns; False if dependent."""
    gap = gap_rows.shape[0]
    masks, values = np.empty(gap, np.uint64), np.empty((gap, 2), np.uint64)
    support = np.zeros(sparse, np.uint64)
    for j in range(gap):
        d = digests[gap_rows[j]]
        masks[j] = dense_bits(d, dense)
        values[j, 0], values[j, 1] = value_words(d, high_bits)
        for t in range(3):
            support[columns[gap_rows[j], t]] ^= np.uint64(1) << np.uint64(j)
    for q in range(peel_row.shape[0]):
        hit = support[peel_col[q]]
        if hit == 0:
            continue
        d = digests[peel_row[q]]
        bits = dense_bits(d, dense)
        v0, v1 = value_words(d, high_bits)
        for t in range(3):
            support[columns[peel_row[q], t]] ^= hit
        for j in range(gap):
            if (hit >> np.uint64(j)) & np.uint64(1):
                masks[j] ^= bits
                values[j, 0] ^= v0
                values[j, 1] ^= v1
    return _solve_gap(masks, values, gap, out[sparse : sparse + dense])


@kernel
def encode_bin(digests: Words, bins: int, sparse: int, dense: int, high_bits: int, out: Words) -> int:
    """Fill out uint64[columns, 2], zeros before, so that every key's row gives its value; the gap, or -1 if that fails.

    digests: uint64[n, 4] of the bin's keys. Columns that no key needs stay zero, so out hides nothing by itself.
    """
    keys = digests.shape[0]
    columns = np.empty((keys, 3), np.int32)
    degree, sums = np.zeros(sparse, np.int32), np.zeros(sparse, np.int32)
    for row in range(keys):
        columns[row, 0], columns[row, 1], columns[row, 2] = sparse_columns(digests[row], bins, sparse)
        for t in range(3):
            degree[columns[row, t]] += 1
            sums[columns[row, t]] ^= row
    peel_row, peel_col = np.empty(keys, np.int32), np.empty(keys, np.int32)
    gap_rows = np.empty(MOST_DENSE, np.int32)
    peeled, gap = _triangulate(keys, columns, degree, sums, peel_row, peel_col, gap_rows)
    if gap < 0:
        return -1
    if gap > 0:
        taken = peel_row[:peeled], peel_col[:peeled]
        if not _fill_dense(digests, columns, taken[0], taken[1], gap_rows[:gap], sparse, dense, high_bits, out):
            return -1
    for q in range(peeled - 1, -1, -1):
        row = peel_row[q]
        v0, v1 = value_words(digests[row], high_bits)
        if gap > 0:
            bits = dense_bits(digests[row], dense)
            for j in range(dense):
                if (bits >> np.uint64(j)) & np.uint64(1):
                    v0 ^= out[sparse + j, 0]
                    v1 ^= out[sparse + j, 1]
        for t in range(3):  # the pivot's own entry is still zero
            v0 ^= out[columns[row, t], 0]
            v1 ^= out[columns[row, t], 1]
        out[peel_col[q], 0], out[peel_col[q], 1] = v0, v1
    return gap


def warm() -> None:
    """Compile or load every kernel here."""
    hi, lo = np.arange(3, dtype=np.uint64), np.arange(3, dtype=np.uint64)
    which, counts = np.zeros(3, np.uint16), np.zeros(1, np.int64)
    order, digests = np.zeros(3, np.int32), np.zeros((3, 4), np.uint64)
    raw = np.empty((3, 4), np.uint64)
    hash_rows(message(b"vole-row", bytes(16)), hi, lo, 1, raw, which, counts)
    place_rows(raw, which, np.zeros(1, np.int64), 0, order, digests)
    move_rows(hi, lo, which, np.zeros(1, np.int64), 0, hi.copy(), lo.copy(), order)
    repeated(digests)
    encode_bin(digests, 1, 64, 40, 20, np.zeros((SLOTS, 2), np.uint64))
