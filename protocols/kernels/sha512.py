"""SHA-512 (FIPS 180-4) of many messages of one length, eight at a time: a lane each, on whatever vectors there are.

LLVM splits the eight lanes over the target's registers (AVX-512, AVX2, NEON), so there is one path for all machines.
A digest's time depends on the messages' length and number only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types

from protocols.kernels.compiled import intrinsic, kernel
from protocols.kernels.threads import in_parts
from protocols.kernels.words import I64, Rows, Word, in_all_lanes

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]

LANES = 8
BLOCK_BYTES = 128
DIGEST_BYTES = 64
LEAST_ROWS = 8192
"""Rows that are worth a thread."""
_BLOCK_WORDS, _STATE_WORDS = BLOCK_BYTES // 8, DIGEST_BYTES // 8
_ROUNDS = 80
_CHUNK = 4096
"""Rows whose blocks stay in a core's own cache."""


def _primes(count: int) -> list[int]:
    found: list[int] = []
    number = 2
    while len(found) < count:
        if all(number % prime for prime in found):
            found.append(number)
        number += 1
    return found


def _root_bits(number: int, power: int) -> int:
    """The first 64 bits of the fraction of a square or cube root."""
    scaled, root = number << (64 * power), 0
    for bit in reversed(range(70)):
        if (root | 1 << bit) ** power <= scaled:
            root |= 1 << bit
    return root % 2**64


CONSTANTS = [_root_bits(prime, 3) for prime in _primes(_ROUNDS)]
"""FIPS 180-4, 4.2.3."""
INITIAL = [_root_bits(prime, 2) for prime in _primes(_STATE_WORDS)]
"""FIPS 180-4, 5.3.5."""
_CONSTANTS = np.array(CONSTANTS, np.uint64)


def round_of(state: Sequence[Word], added: Word) -> list[Word]:
    """One round of FIPS 180-4, 6.4.2; added: K_t + W_t."""
    a, b, c, d, e, f, g, h = state
    first = h + (e.rotated(14) ^ e.rotated(18) ^ e.rotated(41)) + ((e & f) ^ (~e & g)) + added
    second = (a.rotated(28) ^ a.rotated(34) ^ a.rotated(39)) + ((a & b) ^ (a & c) ^ (b & c))
    return [first + second, a, b, c, d + first, e, f, g]


def next_schedule(words: Sequence[Word]) -> list[Word]:
    """W_(t+16) to W_(t+31) from W_t to W_(t+15)."""
    w = list(words)
    for t in range(_BLOCK_WORDS):
        late, early = w[t + 14], w[t + 1]
        sigma1 = late.rotated(19) ^ late.rotated(61) ^ (late >> 6)
        sigma0 = early.rotated(1) ^ early.rotated(8) ^ (early >> 7)
        w.append(sigma1 + w[t + 9] + sigma0 + w[t])
    return w[_BLOCK_WORDS:]


def compressed(state: list[Word], block: list[Word], constants: Any) -> list[Word]:
    """The next state. constants: LLVM address of CONSTANTS."""
    like = state[0]
    builder = like.builder

    def sixteen(index: Any, words: list[Word]) -> list[Word]:
        now, w = words[:_STATE_WORDS], words[_STATE_WORDS:]
        base = builder.mul(index, ir.Constant(I64, _BLOCK_WORDS))
        for t in range(_BLOCK_WORDS):
            place = builder.add(base, ir.Constant(I64, t))
            k = in_all_lanes(builder, LANES, builder.load(builder.gep(constants, [place]), align=8))
            now = round_of(now, w[t] + k)
        return now + next_schedule(w)

    after = like.repeat(_ROUNDS // _BLOCK_WORDS, state + block, sixteen)[:_STATE_WORDS]
    return [old + new for old, new in zip(state, after, strict=True)]


@intrinsic
def _compress_eight(typing: Any, blocks: Any, states: Any, constants: Any, start: Any) -> Any:
    """Rows start to start + 8 of states uint64[n, 8] go on by the same rows of blocks uint64[n, 16]."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        block, state, table = (
            context.make_array(kind)(context, builder, array).data
            for kind, array in zip(sig.args[:3], args[:3], strict=True)
        )
        content = Rows(builder, LANES, block, _BLOCK_WORDS, args[3])
        states = Rows(builder, LANES, state, _STATE_WORDS, args[3])
        before = [states.load(word) for word in range(_STATE_WORDS)]
        after = compressed(before, [content.load(word).swapped() for word in range(_BLOCK_WORDS)], table)
        for word, value in enumerate(after):
            states.store(word, value)
        return context.get_dummy_value()

    return types.void(blocks, states, constants, types.int64), lower


@kernel
def _compress(blocks: Words, states: Words, constants: Words) -> None:
    for start in range(0, len(states), 8):
        _compress_eight(blocks, states, constants, start)


def digest_rows(prefix: bytes, rows: Bytes, suffix: bytes = b"") -> Bytes:
    """uint8[n, 64]: SHA-512 of prefix ‖ row ‖ suffix for rows uint8[n, w]. Several threads where there are cores."""
    whole = len(prefix) // BLOCK_BYTES * BLOCK_BYTES
    begun = _prefix_state(prefix[:whole])
    length = len(prefix) + rows.shape[1] + len(suffix)
    message = _Template(prefix[whole:], rows.shape[1], suffix, length)
    digests = np.empty((len(rows), DIGEST_BYTES), np.uint8)

    def part(where: slice) -> None:
        for start in range(where.start, where.stop, _CHUNK):
            chunk = slice(start, min(start + _CHUNK, where.stop))
            digests[chunk] = _digests(begun, message, rows[chunk])

    in_parts(len(rows), part, least=LEAST_ROWS, multiple=LANES)
    return digests


@dataclass(frozen=True)
class _Template:
    """A message but for its row: what stands before and after, and how many bytes it has in all."""

    prefix: bytes
    width: int
    suffix: bytes
    length: int

    def bytes(self) -> bytes:
        """Whole blocks, padded, with zeros for the row."""
        content = self.prefix + bytes(self.width) + self.suffix + b"\x80"
        zeros = -(len(content) + 16) % BLOCK_BYTES
        return content + bytes(zeros) + (8 * self.length).to_bytes(16, "big")


def _digests(begun: Words, message: _Template, rows: Bytes) -> Bytes:
    content = np.frombuffer(message.bytes(), np.uint8).reshape(-1, BLOCK_BYTES)
    states = np.empty((-(-len(rows) // LANES) * LANES, _STATE_WORDS), np.uint64)
    states[:] = begun
    block = np.empty((len(states), BLOCK_BYTES), np.uint8)
    begin = len(message.prefix)
    for number, fixed in enumerate(content):
        at = number * BLOCK_BYTES
        first, last = max(begin, at), min(begin + message.width, at + BLOCK_BYTES)
        block[:] = fixed
        if first < last:
            block[: len(rows), first - at : last - at] = rows[:, first - begin : last - begin]
        _compress(block.view("<u8"), states, _CONSTANTS)
    return states.astype(">u8").view(np.uint8)[: len(rows)]


def _prefix_state(prefix: bytes) -> Words:
    """The state after whole blocks that all messages begin with."""
    states = np.tile(np.array(INITIAL, np.uint64), (LANES, 1))
    for start in range(0, len(prefix), BLOCK_BYTES):
        block = np.frombuffer(prefix[start : start + BLOCK_BYTES] * LANES, "<u8").reshape(LANES, -1).copy()
        _compress(block, states, _CONSTANTS)
    state: Words = states[0]
    return state


def warm() -> None:
    """Compile the kernel, or load it from the cache."""
    digest_rows(b"", np.zeros((1, 1), np.uint8))
