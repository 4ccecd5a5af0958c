"""Little-endian rows of bytes, as in an Arrow fixed_size_binary column, and the integers that stand in them.

Every other module takes and returns numbers as such rows, so that another arithmetic can be put under it.
"""

from collections.abc import Iterable, Iterator

import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

Rows = NDArray[np.uint8]
"""uint8[n, width]; a row may hold several numbers of equal width side by side."""

CHUNK = 1 << 14
"""Numbers that exist as Python objects at one time."""


def pack(numbers: Iterable[int], width: int) -> Rows:
    """uint8[len(numbers), width], little-endian; the numbers are below 256^width and not negative."""
    data = bytearray().join([mpz(x).to_bytes(width, "little") for x in numbers])
    return np.frombuffer(data, np.uint8).reshape(-1, width)


def unpack(rows: Rows) -> list[int]:
    """The number (mpz) in each row."""
    width, data = rows.shape[1], rows.tobytes()
    return [mpz.from_bytes(data[at : at + width], "little") for at in range(0, len(data), width)]


def beside(rows: Rows, width: int) -> int:
    """How many numbers of `width` bytes stand side by side in a row. Raises ValueError for other shapes."""
    if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] == 0 or rows.shape[1] % width:
        raise ValueError(f"expected uint8 rows of a multiple of {width} bytes")
    return int(rows.shape[1]) // width


def single(rows: Rows, width: int) -> Rows:
    """The same numbers, one a row: uint8[n·k, width] of uint8[n, k·width]. Raises ValueError for other shapes."""
    return np.ascontiguousarray(rows).reshape(len(rows) * beside(rows, width), width)


def chunks(count: int) -> Iterator[slice]:
    """Ranges of at most CHUNK numbers that cover `count`."""
    for start in range(0, count, CHUNK):
        yield slice(start, min(start + CHUNK, count))


def below(rows: Rows, limit: int) -> NDArray[np.bool_]:
    """bool[n]: whether each row's number is below `limit`. The width is a multiple of 8."""
    words = np.ascontiguousarray(rows).view("<u8")
    bound = np.frombuffer(int(limit).to_bytes(rows.shape[1], "little"), "<u8")
    smaller = np.zeros(len(rows), np.bool_)
    tied = np.arange(len(rows))
    for j in reversed(range(len(bound))):
        column = words[tied, j]
        smaller[tied[column < bound[j]]] = True
        tied = tied[column == bound[j]]
        if not len(tied):
            break
    return smaller
