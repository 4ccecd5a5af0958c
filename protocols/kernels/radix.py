"""Sorting, joining and de-duplicating uniform 128-bit keys, held as two columns: high and low 64 bits.

Keys go into parts of about 4,096 by their top bits, and within a part, which a cache holds, into places of about four
by the bits below: both are linear while keys are spread evenly, as digests and ciphertexts are. Keys that a peer chose
may be many in one place; only `match` takes such keys, and pays for each by the few of ours that share its place.
At most 2^31 - 1 keys.
"""

import numpy as np
import numpy.typing as npt

from protocols.kernels.compiled import inner, kernel

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int32]
Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def radix_bits(count: int) -> tuple[int, int]:
    """(top bits that name a part, bits below that name a place in it) for so many keys."""
    return max(1, min(14, count.bit_length() - 13)), 10


def partition(hi: Words, lo: Words, bits: int) -> tuple[Words, Words, Places, Indices]:
    """Keys by their top `bits`, in order within a part: (high, low, where each stood, bounds int64[2^bits + 1])."""
    phi, plo, source = np.empty_like(hi), np.empty_like(lo), np.empty(len(hi), np.int32)
    start = np.zeros((1 << bits) + 1, np.int64)
    _partition(hi, lo, bits, phi, plo, source, start, np.empty_like(start))
    return phi, plo, source, start


@kernel
def _partition(
    hi: Words, lo: Words, bits: int, phi: Words, plo: Words, source: Places, start: Indices, fill: Indices
) -> None:
    shift = np.uint64(64 - bits)
    for i in range(hi.shape[0]):
        start[np.int64(hi[i] >> shift) + 1] += 1
    for part in range(1 << bits):
        fill[part] = start[part]
        start[part + 1] += start[part]
    for i in range(hi.shape[0]):
        into = np.int64(hi[i] >> shift)
        j = fill[into]
        fill[into] += 1
        phi[j], plo[j], source[j] = hi[i], lo[i], i


@inner
def _places(hi: Words, first: int, last: int, bits: int, fine: int, start: Indices) -> None:
    """Bounds of the 2^fine places of hi[first:last], which is one part, into start int64[2^fine + 1]."""
    shift, mask = np.uint64(64 - bits - fine), np.uint64((1 << fine) - 1)
    for place in range((1 << fine) + 1):
        start[place] = 0
    for i in range(first, last):
        start[np.int64((hi[i] >> shift) & mask) + 1] += 1
    start[0] = first
    for place in range(1 << fine):
        start[place + 1] += start[place]


def sort_pairs(phi: Words, plo: Words, start: Indices, bits: int, fine: int, hi: Words, lo: Words) -> None:
    """Partitioned keys in ascending order into hi, lo."""
    _sort(phi, plo, start, bits, fine, hi, lo, np.empty((1 << fine) + 1, np.int64), np.empty(1 << fine, np.int64))


@kernel
def _sort(
    phi: Words, plo: Words, start: Indices, bits: int, fine: int, hi: Words, lo: Words, fill: Indices, head: Indices
) -> None:
    shift, mask = np.uint64(64 - bits - fine), np.uint64((1 << fine) - 1)
    for part in range(1 << bits):
        _places(phi, start[part], start[part + 1], bits, fine, fill)
        for each in range(1 << fine):
            head[each] = fill[each]
        for i in range(start[part], start[part + 1]):
            x, y = phi[i], plo[i]
            place = np.int64((x >> shift) & mask)
            j = fill[place]
            fill[place] += 1
            while j > head[place] and (hi[j - 1] > x or (hi[j - 1] == x and lo[j - 1] > y)):
                hi[j], lo[j] = hi[j - 1], lo[j - 1]
                j -= 1
            hi[j], lo[j] = x, y


def match(
    phi: Words, plo: Words, source: Places, start: Indices, order: Indices, shi: Words, slo: Words, bits: int, fine: int
) -> Indices:
    """Ascending order[i] of the partitioned keys i that occur among the ascending keys shi, slo."""
    found = np.zeros(len(phi), np.bool_)
    _match(phi, plo, start, shi, slo, bits, fine, np.empty((1 << fine) + 1, np.int64), found)
    return np.sort(order[source[found]])


@kernel
def _match(
    phi: Words, plo: Words, start: Indices, shi: Words, slo: Words, bits: int, fine: int, bounds: Indices, found: Flags
) -> None:
    shift, mask = np.uint64(64 - bits - fine), np.uint64((1 << fine) - 1)
    first = 0
    for part in range(1 << bits):
        last = first
        while last < shi.shape[0] and np.int64(shi[last] >> np.uint64(64 - bits)) == part:
            last += 1
        _places(shi, first, last, bits, fine, bounds)
        for i in range(start[part], start[part + 1]):
            place = np.int64((phi[i] >> shift) & mask)
            for j in range(bounds[place], bounds[place + 1]):
                if shi[j] == phi[i] and slo[j] == plo[i]:
                    found[i] = True
                    break
        first = last


@kernel
def _first_of_each(
    phi: Words,
    plo: Words,
    start: Indices,
    bits: int,
    fine: int,
    fill: Indices,
    head: Indices,
    slot: Places,
    keep: Flags,
) -> None:
    shift, mask = np.uint64(64 - bits - fine), np.uint64((1 << fine) - 1)
    for part in range(1 << bits):
        _places(phi, start[part], start[part + 1], bits, fine, fill)
        for each in range(1 << fine):
            head[each] = fill[each]
        for i in range(start[part], start[part + 1]):  # in their first order, so that the first one is kept
            place = np.int64((phi[i] >> shift) & mask)
            fresh = True
            for j in range(head[place], fill[place]):
                if phi[slot[j]] == phi[i] and plo[slot[j]] == plo[i]:
                    fresh = False
                    break
            if fresh:
                slot[fill[place]] = i
                fill[place] += 1
                keep[i] = True


def distinct(items: Words) -> Indices:
    """Ascending indices of the first of each of the uniform keys uint64[n, 2]."""
    bits, fine = radix_bits(len(items))
    hi, lo = np.ascontiguousarray(items[:, 0]), np.ascontiguousarray(items[:, 1])
    phi, plo, source, start = partition(hi, lo, bits)
    fill, head = np.empty((1 << fine) + 1, np.int64), np.empty(1 << fine, np.int64)
    slot, keep = np.empty(len(items), np.int32), np.zeros(len(items), np.bool_)
    _first_of_each(phi, plo, start, bits, fine, fill, head, slot, keep)
    if keep.all():
        return np.arange(len(items))
    kept = np.zeros(len(items), np.bool_)
    kept[source[keep]] = True
    return np.flatnonzero(kept)


def warm() -> None:
    """Compile or load every kernel here."""
    keys = np.zeros((2, 2), np.uint64)
    distinct(keys)
    bits, fine = radix_bits(2)
    hi, lo = keys[:, 0].copy(), keys[:, 1].copy()
    phi, plo, source, start = partition(hi, lo, bits)
    sort_pairs(phi, plo, start, bits, fine, hi, lo)
    match(phi, plo, source, start, np.arange(2), hi, lo, bits, fine)
