"""A stream of text cut into blocks of whole records, so that each block can be parsed by itself in the caller's thread.

Arrow's streaming reader reads ahead in threads of its own; were the stream Python's, such a thread could call into an
interpreter that is already ending. Quotes count as Arrow's parser counts them: one opens a value only where
a value begins.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from connectors.source import BATCH_ROWS

_LEAST, _MOST = 1 << 20, 1 << 23
_LONGEST = 1 << 26
_CR, _LF = 13, 10
_TAIL = 1 << 16


class Readable(Protocol):
    """What is read from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; empty only at the end."""


@dataclass(frozen=True)
class Block:
    """Bytes that hold whole records; open: a quote in the last one is never closed, or the record is too long."""

    content: bytes
    open: bool = False


def blocks(stream: Readable, delimiter: str, quote: str | None) -> Iterator[Block]:
    """The stream in blocks of about BATCH_ROWS records."""
    size = _LEAST
    held = b""
    first = True
    while piece := stream.read(size):
        held += piece
        end = boundary(held, delimiter, quote)
        if end:
            yield Block(held[:end])
            size, first = _size(held[:end]) if first else size, False
            held = held[end:]
        elif len(held) > _LONGEST:
            yield Block(held, open=True)
            return
    if held:
        yield Block(held, open=not boundary(held + b"\n", delimiter, quote, whole=True))


def boundary(block: bytes, delimiter: str, quote: str | None, *, whole: bool = False) -> int:
    """How many bytes of `block` are whole records; with `whole`, only all of them count."""
    newline = _LF if b"\n" in block else _CR
    end = block.rfind(newline, 0, None if newline == _LF else len(block) - 1) + 1  # a last CR may be half a CRLF
    if not end or quote is None or block.find(quote.encode(), 0, end) < 0:
        return end
    signs = np.frombuffer(block, dtype=np.uint8)
    toggles = _toggles(signs, ord(delimiter), ord(quote))
    last = _outside(signs[:end], newline, toggles, _TAIL) or _outside(signs[:end], newline, toggles, end)
    return last if not whole or last == len(block) else 0


def _outside(signs: np.ndarray, newline: int, toggles: np.ndarray, tail: int) -> int:
    """Where the last line within `tail` bytes of the end ends that ends outside quoted text; 0 where none does."""
    start = max(len(signs) - tail, 0)
    ends = np.flatnonzero(signs[start:] == newline) + start
    outside = ends[np.searchsorted(toggles, ends) % 2 == 0]
    return int(outside[-1]) + 1 if len(outside) else 0


def _toggles(signs: np.ndarray, delimiter: int, quote: int) -> np.ndarray:
    """Where quoted text begins and ends, in turn. `""` within counts as an end and a beginning."""
    quotes = np.flatnonzero(signs == quote)
    before, after = signs.take(quotes[0::2] - 1, mode="clip"), signs.take(quotes[1::2] + 1, mode="clip")
    if all(_edges(each, delimiter, quote).all() for each in (before, after)):  # beyond the block: the quote itself
        return quotes
    return _walked(quotes, signs, delimiter, quote)


def _edges(signs: np.ndarray, delimiter: int, quote: int) -> np.ndarray:
    """Which of these may stand beside quoted text."""
    found: np.ndarray = (signs == delimiter) | (signs == quote) | (signs == _CR) | (signs == _LF)
    return found


def _walked(quotes: np.ndarray, signs: np.ndarray, delimiter: int, quote: int) -> np.ndarray:
    """The same, quote by quote, for blocks in which some quotes are only signs (27" screen)."""
    begins = {delimiter, _CR, _LF}
    toggles: list[int] = []
    inside, skipped = False, -1
    for place in quotes.tolist():
        if place == skipped:
            continue
        if inside and place + 1 < len(signs) and signs[place + 1] == quote:
            skipped = place + 1
        elif inside or place == 0 or int(signs[place - 1]) in begins:
            inside = not inside
            toggles.append(place)
    return np.array(toggles, dtype=np.int64)


def _size(block: bytes) -> int:
    """Bytes that hold about one batch of rows like these."""
    rows = max(block.count(b"\n"), block.count(b"\r"), 1)
    return min(max(len(block) * BATCH_ROWS // rows, _LEAST), _MOST)
