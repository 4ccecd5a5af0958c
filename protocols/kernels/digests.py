"""SHA-256 of each text of an Arrow column, read where the text lies: nothing is copied, and no text becomes an object.

Digests of identities can be counted through, so they are no protection and never leave their owner.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import types

from protocols.kernels.compiled import inlined, kernel
from protocols.kernels.machine import load8, load32, load64, store8, swapped
from protocols.kernels.sha256 import BLOCK_BYTES, LANES, begin_rows, compress_rows, put_text
from protocols.kernels.threads import in_parts
from protocols.rows import Bytes

Words = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]

_LEAST = 4_096
"""Texts below which a thread does not pay."""
_NARROW, _WIDE = (pa.string(), pa.binary()), (pa.large_string(), pa.large_binary())
_VIEWS = (pa.string_view(), pa.binary_view())


def sha256(column: pa.Array | pa.ChunkedArray, width: int = 32) -> Bytes:
    """The first `width` (16 or 32) bytes of SHA-256 of each text's bytes: uint8[n, width].

    column: (large) string or binary, or views, in chunks or not. Raises ValueError where a text is null, since a null
    is nobody and must not match, TypeError for another type.
    """
    if column.null_count:
        raise ValueError("a null has no digest: leave nulls out")
    if width not in (16, 32):
        raise ValueError("digests have 16 or 32 bytes")
    chunks = [_plain(chunk) for chunk in (column.chunks if isinstance(column, pa.ChunkedArray) else [column])]
    starts = np.cumsum([0, *map(len, chunks)]).tolist()
    out = np.empty((starts[-1], width // 8), np.uint64)
    in_parts(len(out), lambda rows: _hash(chunks, starts, rows, out), least=_LEAST, multiple=LANES)
    return out.view(np.uint8)


def _plain(chunk: pa.Array) -> pa.Array:
    if chunk.type in _VIEWS:
        return chunk.cast(pa.large_binary())
    if chunk.type not in (*_NARROW, *_WIDE):
        raise TypeError(f"texts or bytes have SHA-256, not {chunk.type}")
    return chunk


def _hash(chunks: Sequence[pa.Array], starts: Sequence[int], rows: slice, out: Words) -> None:
    """Digests of these rows of all chunks."""
    scratch = np.zeros(_SCRATCH, np.int64)
    for start, chunk in zip(starts, chunks, strict=False):
        first, last = max(rows.start, start), min(rows.stop, start + len(chunk))
        if first < last:
            _, offsets, data = chunk.buffers()
            size = data.size if data else 0
            begin, into = chunk.offset + first - start, out[first:last]
            _hash_range(offsets.address, chunk.type in _WIDE, data.address if size else 0, size, begin, scratch, into)


_STARTS, _LENGTHS = 0, LANES
_BLOCKS = _LENGTHS + LANES
_SPARE = _BLOCKS + LANES * BLOCK_BYTES // 8
_STATE = _SPARE + BLOCK_BYTES // 8
_DIGESTS = _STATE + LANES * 4
_SCRATCH = _DIGESTS + LANES * 4
"""Where in a kernel's scratch memory, in words, stand eight texts' starts, lengths, blocks, ...; and how many in all.
One flat array: numba takes seconds to compile the making and slicing of several."""


@kernel
def _hash_range(offsets: int, wide: bool, data: int, size: int, begin: int, scratch: Numbers, out: Words) -> None:
    """Digests of the texts from `begin` on into out uint64[n, 2 or 4]; scratch: int64[_SCRATCH].

    offsets: address of int32 or (wide) int64; data, size: address and number of the bytes they point into.
    """
    here = np.int64(scratch.ctypes.data)
    spare, blocks = here + 8 * _SPARE, here + 8 * _BLOCKS
    state, digests = types.uintp(here + 8 * _STATE), types.uintp(here + 8 * _DIGESTS)
    for group in range(0, out.shape[0], LANES):
        some = min(LANES, out.shape[0] - group)
        longest = np.int64(0)
        for lane in range(some):
            start = _offset(offsets, wide, begin + group + lane)
            length = _offset(offsets, wide, begin + group + lane + 1) - start
            scratch[_STARTS + lane], scratch[_LENGTHS + lane] = start, length
            longest = max(longest, length)
        begin_rows(state)
        for at in range(0, longest + 9, BLOCK_BYTES):
            for lane in range(some):
                start, length = scratch[_STARTS + lane], scratch[_LENGTHS + lane]
                text, readable = data + start + at, size - start - at
                if readable < BLOCK_BYTES:
                    for j in range(readable):
                        store8(types.uintp(spare + j), load8(types.uintp(text + j)))
                    text = spare
                left = min(max(length - at, -1), BLOCK_BYTES)
                put_text(types.uintp(text), left, types.uintp(blocks + BLOCK_BYTES * lane))
                if length + 8 < at + BLOCK_BYTES:
                    scratch[_BLOCKS + 8 * lane + 7] = swapped(np.uint64(8 * length))
            compress_rows(types.uintp(blocks), state, digests)
            for lane in range(some):
                if at <= scratch[_LENGTHS + lane] + 8 < at + BLOCK_BYTES:
                    for j in range(out.shape[1]):
                        out[group + lane, j] = np.uint64(scratch[_DIGESTS + 4 * lane + j])


@inlined
def _offset(offsets: int, wide: bool, i: int) -> np.int64:
    """Where text i begins."""
    return np.int64(load64(types.uintp(offsets + 8 * i)) if wide else load32(types.uintp(offsets + 4 * i)))


def warm() -> None:
    """Compile or load every kernel here."""
    text = pa.py_buffer(b"\0\0\0\0\1\0\0\0a")
    sha256(pa.StringArray.from_buffers(1, text[:8], text[8:]))
