"""Tokens of 16 bytes in bulk: made, put in order, matched. They are compared as big-endian numbers.

Whole columns in numpy, without compiled kernels: its sort of plain words is as quick, and starts at once.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from protocols.rows import Bytes, Indices, index_in, repeated_items

BYTES = 16
Words = npt.NDArray[np.uint64]
Pair = tuple[Words, Words]
"""Tokens as the high and low halves of big-endian numbers."""
_CHUNK = 65_536
_SLACK = BYTES - 1
"""Bytes that `update_into` wants to see beyond its output."""
_PREFIXES = 1 << 16
"""Values of the first two bytes of a token, by which ranges are told apart."""


@dataclass(frozen=True)
class Items:
    """Digests that no memory need hold at once.

    rows: how many; parts: gives them, uint8[k, 16 or 32] each, from the first on whenever it is called.
    """

    rows: int
    parts: Callable[[], Iterable[Bytes]]


def encrypted(key: bytes, *parts: Bytes) -> Bytes:
    """AES-256 of each row's first 16 bytes, of one part after the other: uint8[n, 16]."""
    return _encrypted(key, sum(map(len, parts)), parts)


def _encrypted(key: bytes, count: int, parts: Iterable[Bytes]) -> Bytes:
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305 - a permutation of single blocks
    out = np.empty(count * BYTES + _SLACK, np.uint8)
    at = 0
    for part in parts:
        for start in range(0, len(part), _CHUNK):
            blocks = np.ascontiguousarray(part[start : start + _CHUNK, :BYTES]).reshape(-1)
            encryptor.update_into(blocks.data, out[at : at + len(blocks) + _SLACK].data)
            at += len(blocks)
    if at != count * BYTES:
        raise ValueError("the parts do not have as many rows as were declared")
    return out[: count * BYTES].reshape(count, BYTES)


def encrypted_in_ranges(key: bytes, items: Items, more: Bytes, ranges: int) -> Iterator[tuple[Bytes, Indices | None]]:
    """The tokens of `items`, then those of `more`, by ascending ranges of about as many: uint8[k, 16] each, with the
    row of each token; of one range all, in the order of rows, without. The items are gone through once a range."""
    if ranges == 1:
        yield _encrypted(key, items.rows + len(more), itertools.chain(items.parts(), [more])), None
        return
    bounds = [place * _PREFIXES // ranges for place in range(ranges + 1)]
    for first, end in itertools.pairwise(bounds):
        tokens, rows, start = [], [], 0
        for part in itertools.chain(items.parts(), [more]):
            made = encrypted(key, part)
            prefixes = made.view(">u2")[:, 0]
            chosen = np.flatnonzero((prefixes >= first) & (prefixes < end))
            tokens.append(take(made, chosen))
            rows.append(chosen + start)
            start += len(part)
        yield np.concatenate(tokens), np.concatenate(rows)


def decrypted(key: bytes, tokens: Bytes) -> Bytes:
    """The reverse of `encrypted`, for a few: uint8[n, 16]."""
    decryptor = Cipher(algorithms.AES256(key), modes.ECB()).decryptor()  # noqa: S305 - as above
    return np.frombuffer(decryptor.update(np.ascontiguousarray(tokens).data), np.uint8).reshape(-1, BYTES)


def words(tokens: Bytes) -> Pair:
    """uint8[n, 16] as numbers: the high and the low 64 bits."""
    both = np.ascontiguousarray(tokens).view(">u8")
    return both[:, 0].astype(np.uint64), both[:, 1].astype(np.uint64)


def to_bytes(high: Words, low: Words) -> Bytes:
    """The reverse of `words`."""
    both = np.empty((len(high), 2), ">u8")
    both[:, 0], both[:, 1] = high, low
    return both.view(np.uint8)


def take(tokens: Bytes, rows: Indices) -> Bytes:
    """Some rows uint8[k, 16]: as 16-byte values, which numpy moves several times faster than rows."""
    return np.take(tokens.view("V16").reshape(-1), rows).view(np.uint8).reshape(-1, BYTES)


def ascending(tokens: Bytes) -> Indices:
    """The order of the tokens. Raises ProtocolError where two are equal, as their items were.

    Sorts words of each token's first bits with its row below them; the few that agree in those bits are sorted anew.
    """
    bits = np.uint64(max(1, len(tokens).bit_length()))
    keys = np.empty(len(tokens), np.uint64)
    for start in range(0, len(tokens), _CHUNK):  # in pieces that a cache holds
        part = keys[start : start + _CHUNK]
        part[:] = tokens[start : start + _CHUNK].view(">u8")[:, 0]
        part >>= bits
        part <<= bits
        part |= np.arange(start, start + len(part), dtype=np.uint64)
    keys.sort()
    ties = _agreeing(keys, bits)
    keys &= np.uint64((1 << int(bits)) - 1)
    order = keys.view(np.int64)
    if len(ties):
        places = np.union1d(ties, ties + 1)
        rows = order[places]
        high, low = words(take(tokens, rows))
        again = np.lexsort((low, high))
        order[places] = rows[again]
        high, low = high[again], low[again]
        if repeated := int(((high[1:] == high[:-1]) & (low[1:] == low[:-1])).sum()):
            raise repeated_items(repeated)
    return order


def _agreeing(keys: Words, bits: np.uint64) -> Indices:
    """The places of ascending keys whose next one differs from them in the last `bits` at most."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(keys) - 1, _CHUNK):
        part = keys[start : start + _CHUNK + 1]
        found.append(start + np.flatnonzero((part[1:] ^ part[:-1]) >> bits == 0))
    return np.concatenate(found)


def is_ascending(high: Words, low: Words) -> bool:
    """Whether each token is greater than the one before."""
    greater = high[1:] > high[:-1]
    return bool(greater.all() or (greater | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))).all())


def index(high: Words, low: Words, among_high: Words, among_low: Words) -> Indices:
    """For each token its place among ascending ones, or -1."""
    if not len(high) or not len(among_high):
        return np.full(len(high), -1, np.int64)
    places = np.searchsorted(among_high, high)
    places[places == len(among_high)] = 0
    same_high = among_high[places] == high
    found = same_high & (among_low[places] == low)
    if (same_high & ~found).any():  # equal first halves: at random once in 2^64
        return index_in(to_bytes(high, low), to_bytes(among_high, among_low))
    return np.where(found, places, -1)


@dataclass(frozen=True)
class Matches:
    """Tokens that stand in two streams, ascending, and their rows there: int64, counted from each stream's start."""

    high: Words
    low: Words
    left: Indices
    right: Indices


def joined(left: Iterable[Pair], right: Iterable[Pair]) -> Iterator[Matches]:
    """Merge two ascending streams of tokens, as words; holds a batch of each. Reads both to their ends."""
    one, other = _Stream(iter(left)), _Stream(iter(right))
    while one.ready() and other.ready():
        upto = min(one.last(), other.last())
        start_one, *tokens = one.pop(upto)
        start_other, *among = other.pop(upto)
        places = index(*tokens, *among)
        hits = np.flatnonzero(places >= 0)
        yield Matches(tokens[0][hits], tokens[1][hits], start_one + hits, start_other + places[hits])
    while one.ready():
        one.pop(one.last())
    while other.ready():
        other.pop(other.last())


@dataclass
class _Stream:
    """What of a stream has come and is not merged yet."""

    batches: Iterator[Pair]
    start: int = 0
    high: Words = field(default_factory=lambda: np.empty(0, np.uint64))
    low: Words = field(default_factory=lambda: np.empty(0, np.uint64))

    def ready(self) -> bool:
        """Whether a token is there, of this batch or the next."""
        while not len(self.high):
            batch = next(self.batches, None)
            if batch is None:
                return False
            self.high, self.low = batch
        return True

    def last(self) -> tuple[int, int]:
        return int(self.high[-1]), int(self.low[-1])

    def pop(self, upto: tuple[int, int]) -> tuple[int, Words, Words]:
        """The tokens up to this one: the row of the first, and their words."""
        count = place_after(self.high, self.low, upto)
        popped = self.start, self.high[:count], self.low[:count]
        self.start, self.high, self.low = self.start + count, self.high[count:], self.low[count:]
        return popped


def place_after(high: Words, low: Words, token: tuple[int, int]) -> int:
    """How many of ascending tokens are not greater than this one."""
    first, last = (np.searchsorted(high, np.uint64(token[0]), side) for side in ("left", "right"))
    return int(first + np.searchsorted(low[first:last], np.uint64(token[1]), "right"))


def places(high: Words, low: Words, among_high: Words, among_low: Words) -> Indices:
    """For each token, of which none stands among the ascending others, how many of those are smaller."""
    found = np.searchsorted(among_high, high)
    inside = np.flatnonzero(found < len(among_high))
    for row in inside[among_high[found[inside]] == high[inside]]:  # equal first halves: at random once in 2^64
        found[row] = place_after(among_high, among_low, (int(high[row]), int(low[row])))
    return found


def union(*parts: Pair) -> Pair:
    """The distinct tokens of all parts, ascending."""
    high, low = (np.concatenate(halves) for halves in zip(*parts, strict=True))
    order = np.lexsort((low, high))
    high, low = high[order], low[order]
    first = np.ones(len(high), np.bool_)
    first[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1])
    return high[first], low[first]
