"""Rows of two owners lined up by token as they stream, for an operator that goes on with those alone that both sent.

It holds a batch of each side, and of every token eight bytes: what it takes to look for the canaries that are named
once all rows have passed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from protocols import canary
from protocols.psi import tokens as bulk
from protocols.psi.keyed import Received
from protocols.psi.tokens import Pair, Words
from protocols.rows import Bytes, Indices

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shared:
    """Rows whose tokens stand on both sides, ascending: token and columns of the left, then columns of the right.

    left, right: their places in what each side sent, int64.
    """

    rows: pa.RecordBatch
    left: Indices
    right: Indices


class Passing:
    """One side's rows as they pass by: its latest batch, and the first half of every token, ascending."""

    def __init__(self, received: Received) -> None:
        self._received, self._start, self._end = received, 0, 0
        self._batch = pa.RecordBatch.from_arrays([], names=[])
        self._seen = np.empty(received.rows, np.uint64)

    def tokens(self) -> Iterator[Pair]:
        """Of each batch. Raises BadMessage as reading them does."""
        for batch, tokens in self._received.parts:
            self._batch = batch
            self._start, self._end = self._end, self._end + len(tokens[0])
            self._seen[self._start : self._end] = tokens[0]
            yield tokens

    def rows(self, positions: Indices) -> pa.RecordBatch:
        """Some rows of the latest batch, by their place in all that was sent."""
        places = np.ascontiguousarray(positions - self._start)
        return self._batch.take(pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)]))

    def places(self, high: Words) -> Indices:
        """For each of these first halves of tokens its place in all that was sent, or -1."""
        seen = self._seen[: self._end]
        return bulk.index(high, high, seen, seen)


def lined_up(left: Passing, right: Passing) -> Iterator[Shared]:
    """Merge both, reading them to their ends. Raises BadMessage as reading does."""
    for found in bulk.joined(left.tokens(), right.tokens()):
        if len(found.left):
            one, other = left.rows(found.left), right.rows(found.right)
            names = [*one.schema, *list(other.schema)[1:]]
            rows = pa.RecordBatch.from_arrays([*one.columns, *other.columns[1:]], schema=pa.schema(names))
            yield Shared(rows, found.left, found.right)


def canaries_among(named: Sequence[Bytes], sent: Sequence[Pair]) -> Bytes:
    """The dummy tokens uint8[4 + 2 m, 16] to be taken out of all sides, given what each named and all that it sent.

    Raises ProtocolError unless all named the same common ones, which stand on all sides, and the others on one.
    """
    words = bulk.words(np.concatenate(named))
    return canaries_agreed(named, np.stack([bulk.index(*words, *tokens) >= 0 for tokens in sent]))


def canaries_passed(named: Sequence[Bytes], sides: Sequence[Passing]) -> Bytes:
    """As `canaries_among`, of sides that passed by: by the first halves of their tokens.

    That the second halves of the common ones agree too shows in how many are among the rows lined up: `check_common`.
    """
    high, _ = bulk.words(np.concatenate(named))
    return canaries_agreed(named, np.stack([side.places(high) >= 0 for side in sides]))


def canaries_agreed(named: Sequence[Bytes], found: Flags) -> Bytes:
    """As `canaries_among`, given bool[sides, 6 · sides]: at which side stands what all named, one after another."""
    sides = len(named)
    stands = found.reshape(sides, sides, canary.COUNT)  # at which side, named by which, which one
    common = named[0][: canary.COMMON]
    agreed = np.stack([(each[: canary.COMMON] == common).all(axis=1) for each in named])
    own = stands[:, :, canary.COMMON :] != np.eye(sides, dtype=np.bool_)[:, :, None]
    matched = stands[:, :, : canary.COMMON].reshape(-1, canary.COMMON)
    canary.check(np.concatenate([agreed, matched]), own)
    return np.concatenate([common, *(each[canary.COMMON :] for each in named)])


def check_common(rows: int) -> None:
    """Raises ProtocolError unless so many rows lined up were canaries as both sides have in common."""
    canary.check(np.array([rows == canary.COMMON]), np.zeros(1, np.bool_))
