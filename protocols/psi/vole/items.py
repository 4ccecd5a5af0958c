"""One side's items as 128-bit keys, in buckets, and in bins within a bucket.

The first 128 bits of a digest are used: collisions are out of reach (2^-89 for 2^20 of them), and a key is then two
words. Which bucket and bin a key goes to is hashed with the session, so that nobody could choose items beforehand that
meet in one, and says nothing of it in another session.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocols.errors import ProtocolError
from protocols.kernels import threads
from protocols.psi.vole.parameters import Layout
from protocols.rows import Bytes, Indices, repeated_items

Words = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int32]

_BUCKET_TAG, _ROW_TAG = b"vole-bkt", b"vole-row"
_SEED_LABEL = b"cleanroom/vole-seed/1"
_CHUNK = 1 << 16
_KEY_BYTES = 16
_LEAST_A_THREAD = 1 << 15


@dataclass(frozen=True)
class Held:
    """Keys (hi, lo) by buckets, which end at bounds int64[buckets + 1]; source: the row of each, unless it is empty."""

    hi: Words
    lo: Words
    source: Places
    bounds: Indices

    def bucket(self, number: int) -> slice:
        """Where a bucket's keys are."""
        return slice(int(self.bounds[number]), int(self.bounds[number + 1]))


def hold(parts: Sequence[Bytes], session: bytes, buckets: int, most: int, *, numbered: bool = True) -> Held:
    """The rows of all parts, digests uint8[n, 16 or 32], numbered through if `numbered`; most: rows of a bucket.

    Raises ProtocolError where one has more, which honest items make happen once in 2^42 sessions.
    """
    rows = sum(len(part) for part in parts)
    hi, lo = np.empty(rows, np.uint64), np.empty(rows, np.uint64)
    source = np.empty(rows if numbered else 0, np.int32)
    bounds = np.zeros(buckets + 1, np.int64)
    if buckets == 1:
        bounds[1] = rows
        source[:] = np.arange(len(source), dtype=np.int32)
        for first, chunk_hi, chunk_lo in _chunks(parts):
            hi[first : first + len(chunk_hi)], lo[first : first + len(chunk_hi)] = chunk_hi, chunk_lo
    else:
        _into_buckets(parts, session, Held(hi, lo, source, bounds))
    if np.diff(bounds).max() > most:
        raise _overfull()
    return Held(hi, lo, source, bounds)


def _into_buckets(parts: Sequence[Bytes], session: bytes, held: Held) -> None:
    from protocols.kernels.vole import okvs

    buckets = len(held.bounds) - 1
    template = okvs.message(_BUCKET_TAG, _seed(session, 0, 0))
    which, no_digests = np.empty(len(held.hi), np.uint16), np.empty((0, 4), np.uint64)
    counts = np.zeros(buckets, np.int64)
    for first, hi, lo in _chunks(parts):
        okvs.hash_rows(template, hi, lo, buckets, no_digests, which[first : first + len(hi)], counts)
    held.bounds[1:] = np.cumsum(counts)
    fill = held.bounds[:-1].copy()
    for first, hi, lo in _chunks(parts):
        part = which[first : first + len(hi)]
        okvs.move_rows(hi, lo, part, fill, first, held.hi, held.lo, held.source)


def _chunks(parts: Sequence[Bytes]) -> Iterator[tuple[int, Words, Words]]:
    """(number of the first row, high words, low words), some rows at a time, whatever the memory they come from."""
    number = 0
    for part in parts:
        for start in range(0, len(part), _CHUNK):
            keys = np.ascontiguousarray(part[start : start + _CHUNK, :_KEY_BYTES]).view("<u8")
            yield number, keys[:, 0].astype(np.uint64), keys[:, 1].astype(np.uint64)
            number += len(keys)


@dataclass(frozen=True)
class Rows:
    """A bucket's digests uint64[n, 4] by bins, which end at bounds int64[bins + 1]; order: the key each is of."""

    digests: Words
    order: Places
    bounds: Indices

    def bin(self, number: int) -> slice:
        """Where a bin's digests are."""
        return slice(int(self.bounds[number]), int(self.bounds[number + 1]))


def rows_of(held: Held, bucket: int, layout: Layout, session: bytes, attempt: int) -> Rows:
    """The OKVS rows of a bucket's keys. Raises ProtocolError where items are repeated."""
    from protocols.kernels.vole import okvs

    part = held.bucket(bucket)
    hi, lo = held.hi[part], held.lo[part]
    template = okvs.message(_ROW_TAG, _seed(session, bucket, attempt))
    slices = _slices(len(hi))
    which, counts = np.empty(len(hi), np.uint16), np.zeros((len(slices), layout.bins), np.int64)
    raw, digests = np.empty((len(hi), 4), np.uint64), np.empty((len(hi), 4), np.uint64)
    order = np.empty(len(hi), np.int32)

    def find(number: int) -> None:
        part = slices[number]
        okvs.hash_rows(template.copy(), hi[part], lo[part], layout.bins, raw[part], which[part], counts[number])

    def place(number: int) -> None:
        part = slices[number]
        okvs.place_rows(raw[part], which[part], fill[number], part.start, order, digests)

    each(len(slices), find)
    bounds = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts.sum(axis=0))])
    fill = bounds[:-1] + np.cumsum(counts, axis=0) - counts
    each(len(slices), place)
    rows = Rows(digests, order, bounds)
    if again := sum(okvs.repeated(digests[rows.bin(number)]) for number in range(layout.bins)):
        raise repeated_items(again)
    return rows


def each(count: int, work: Callable[[int], object]) -> None:
    """Call `work` on 0 … count - 1, at once where there are cores for it."""

    def some(part: slice) -> None:
        for number in range(part.start, part.stop):
            work(number)

    threads.in_parts(count, some, least=1)


def _slices(rows: int) -> list[slice]:
    step = max(_LEAST_A_THREAD, -(-rows // threads.cores()))
    return [slice(start, min(start + step, rows)) for start in range(0, rows, step)]


def _seed(session: bytes, bucket: int, attempt: int) -> bytes:
    """16 bytes: nobody's choice, so that no side can look for one under which some rows collide."""
    spoken = session + bucket.to_bytes(4, "little") + attempt.to_bytes(4, "little")
    return hashlib.sha256(_SEED_LABEL + spoken).digest()[:16]


def _overfull() -> ProtocolError:
    return ProtocolError("A bucket of rows is too full.", "This happens once in 2^40 sessions: run again.")
