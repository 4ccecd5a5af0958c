"""Σ weight · point for public weights, a weight a row: what a proof over a whole batch needs.

Straus: the rows of a block share the doublings of their common accumulator, one a lane; the lanes are added up at the
end by the caller. Weights are public here, so that the one-lane twin may address its table by digit.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocols.kernels.compiled import kernel
from protocols.kernels.ristretto.edwards25519 import (
    ENTRY_WORDS,
    TABLE_POINTS,
    WINDOW_BITS,
    WINDOWS,
    Addend,
    Factors,
    add,
    addend,
    double,
    flat,
    four,
)
from protocols.kernels.ristretto.field25519 import LIMBS, PACKED_WORDS, select
from protocols.kernels.ristretto.ristretto255 import ELEMENT_BYTES, Bytes, Words, decode, default_lanes, encode
from protocols.kernels.threads import in_parts
from protocols.kernels.words import I64, Rows, Word, in_all_lanes, llvm_word

BLOCK = 32
"""Steps of `lanes` rows that share doublings: their tables fit the second-level cache."""
LEAST_ROWS = 1024
"""Rows that are worth a thread."""
_ENTRIES = TABLE_POINTS + 1
_NEGATIVE = 16
"""Added to a digit's magnitude in its code."""


class _Array:
    """Words of an array of the caller's, one a lane, from its 64-bit word number `first` on."""

    def __init__(self, builder: Any, lanes: int, address: Any, first: Any) -> None:
        self._builder, self._lanes = builder, lanes
        self._start = builder.bitcast(builder.gep(address, [first]), llvm_word(lanes).as_pointer())

    def _at(self, slot: Any) -> Any:
        return self._builder.gep(self._start, [ir.Constant(I64, slot) if isinstance(slot, int) else slot])

    def load(self, slot: Any) -> Word:
        """The word at a slot: a Python int, or an i64 known only when the kernel runs."""
        return Word(self._builder, self._lanes, self._builder.load(self._at(slot), align=8))

    def store(self, slot: Any, word: Word) -> None:
        """Put a word at a slot."""
        self._builder.store(word.value, self._at(slot), align=8)

    def load_entry(self, base: Any) -> list[Word]:
        """The limbs of four elements from slot `base` on."""
        return [self.load(self._builder.add(base, ir.Constant(I64, place))) for place in range(ENTRY_WORDS)]

    def store_entry(self, base: Any, words: list[Word]) -> None:
        """The inverse of `load_entry`."""
        for place, word in enumerate(words):
            self.store(self._builder.add(base, ir.Constant(I64, place)), word)


_CURRENT, _TOTAL = ir.Constant(I64, 0), ir.Constant(I64, ENTRY_WORDS)
"""Where the two accumulators stand, as factors."""


def _table(builder: Any, lanes: int, tables: Any, step: Any) -> _Array:
    return _Array(builder, lanes, tables, builder.mul(step, ir.Constant(I64, _ENTRIES * ENTRY_WORDS * lanes)))


def _accumulators(builder: Any, lanes: int, sums: Any) -> _Array:
    return _Array(builder, lanes, sums, ir.Constant(I64, 0))


def _added(factors: list[Word], q: Addend) -> list[Word]:
    """The factors of p + q, for the p of these: one function in the machine code, called."""

    def body(words: list[Word]) -> list[Word]:
        p = Factors(*four(words[:ENTRY_WORDS])).point()
        return flat(add(p, Addend(*four(words[ENTRY_WORDS:]))))

    return factors[0].shared("add", [*factors, *flat(q)], ENTRY_WORDS, body)


def _emit_tabulate(builder: Any, lanes: int, source: Any, valid: Any, tables: Any, start: Any, step: Any) -> None:
    """Decode rows from `start` on; the addends of 0 to 8 times their points become table number `step`."""
    rows = Rows(builder, lanes, source, PACKED_WORDS, start)
    ok, point = decode([rows.load(word) for word in range(PACKED_WORDS)])
    _Array(builder, lanes, valid, start).store(0, ok)
    table, first = _table(builder, lanes, tables, step), addend(point)
    zero, one, two = (point.x.constant(number) for number in (0, 1, 2))
    table.store_entry(ir.Constant(I64, 0), flat((one, one, two, zero)))

    def fill(index: Any, words: list[Word]) -> list[Word]:
        following = builder.add(index, ir.Constant(I64, 1))
        multiple = addend(Factors(*four(words)).point())
        table.store_entry(builder.mul(following, ir.Constant(I64, ENTRY_WORDS)), flat(multiple))
        return _added(words, first)

    ok.repeat(TABLE_POINTS, flat((point.x, one, one, point.y)), fill)  # the factors of a point with z = 1


def _emit_double(builder: Any, lanes: int, sums: Any) -> None:
    """The current accumulator, doubled once a bit of a window."""
    held = _accumulators(builder, lanes, sums)
    words = held.load_entry(_CURRENT)
    doubled = words[0].repeat(WINDOW_BITS, words, lambda _, state: flat(double(Factors(*four(state)))))
    held.store_entry(_CURRENT, doubled)


def _emit_plus(builder: Any, lanes: int, sums: Any, tables: Any, digits: Any, first: Any, step: Any) -> None:
    """The current accumulator plus digit · point, for the digits from word `first` on and table number `step`."""
    held = _accumulators(builder, lanes, sums)
    code = _Array(builder, lanes, digits, first).load(0)
    entry = _look_up(_table(builder, lanes, tables, step), code & (_NEGATIVE - 1), builder)
    a, b, c, d = four(entry)
    negative = (code >> 4).equals(1)
    q = Addend(select(negative, b, a), select(negative, a, b), c, select(negative, -d, d))
    held.store_entry(_CURRENT, _added(held.load_entry(_CURRENT), q))


def _look_up(table: _Array, magnitude: Word, builder: Any) -> list[Word]:
    """The table's entry: by its address with one lane, else by looking at all, as lanes want different ones."""
    if magnitude.lanes == 1:
        return table.load_entry(builder.mul(magnitude.value, ir.Constant(I64, ENTRY_WORDS)))

    def choose(index: Any, words: list[Word]) -> list[Word]:
        hit = magnitude.equals(in_all_lanes(builder, magnitude.lanes, index))
        found = table.load_entry(builder.mul(index, ir.Constant(I64, ENTRY_WORDS)))
        return [(hit & new) | (~hit & old) for new, old in zip(found, words, strict=True)]

    return magnitude.repeat(_ENTRIES, [magnitude.constant(0)] * ENTRY_WORDS, choose)


def _emit_gather(builder: Any, lanes: int, sums: Any) -> None:
    """The total plus the current accumulator."""
    held = _accumulators(builder, lanes, sums)
    current = Factors(*four(held.load_entry(_CURRENT))).point()
    held.store_entry(_TOTAL, _added(held.load_entry(_TOTAL), addend(current)))


def _emit_encode(builder: Any, lanes: int, sums: Any, result: Any) -> None:
    """The total's encoding in each lane."""
    total = Factors(*four(_accumulators(builder, lanes, sums).load_entry(_TOTAL))).point()
    rows = Rows(builder, lanes, result, PACKED_WORDS, ir.Constant(I64, 0))
    for word, content in enumerate(encode(total).packed()):
        rows.store(word, content)


def _lowering(emit: Callable[..., None], lanes: int) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(sig.args, args, strict=True)
        ]
        emit(builder, lanes, *values)
        return context.get_dummy_value()

    return lower


def _operations(lanes: int) -> tuple[Any, ...]:
    """numba's names for what is emitted above."""
    i64, void = types.int64, types.void

    def tabulate(context: Any, source: Any, valid: Any, tables: Any, start: Any, step: Any) -> Any:
        return void(source, valid, tables, i64, i64), _lowering(_emit_tabulate, lanes)

    def double_all(context: Any, sums: Any) -> Any:
        return void(sums), _lowering(_emit_double, lanes)

    def plus(context: Any, sums: Any, tables: Any, digits: Any, first: Any, step: Any) -> Any:
        return void(sums, tables, digits, i64, i64), _lowering(_emit_plus, lanes)

    def gather(context: Any, sums: Any) -> Any:
        return void(sums), _lowering(_emit_gather, lanes)

    def encoded(context: Any, sums: Any, result: Any) -> Any:
        return void(sums, result), _lowering(_emit_encode, lanes)

    return tuple(map(intrinsic, (tabulate, double_all, plus, gather, encoded)))


_tabulate_1, _double_1, _plus_1, _gather_1, _encode_1 = _operations(1)
_tabulate_8, _double_8, _plus_8, _gather_8, _encode_8 = _operations(8)


@kernel
def _sum_1(source: Words, digits: Words, valid: Words, work: tuple[Words, Words, Words], result: Words) -> None:
    tables, sums, neutral = work
    sums[:] = neutral
    for block in range(0, len(source), BLOCK):
        steps = min(BLOCK, len(source) - block)
        for step in range(steps):
            _tabulate_1(source, valid, tables, block + step, step)
        sums[: len(neutral) // 2] = neutral[: len(neutral) // 2]
        for window in range(WINDOWS - 1, -1, -1):
            _double_1(sums)
            for step in range(steps):
                _plus_1(sums, tables, digits, window * len(source) + block + step, step)
        _gather_1(sums)
    _encode_1(sums, result)


@kernel
def _sum_8(source: Words, digits: Words, valid: Words, work: tuple[Words, Words, Words], result: Words) -> None:
    tables, sums, neutral = work
    sums[:] = neutral
    for block in range(0, len(source), 8 * BLOCK):
        steps = min(BLOCK, (len(source) - block) // 8)
        for step in range(steps):
            _tabulate_8(source, valid, tables, block + 8 * step, step)
        sums[: len(neutral) // 2] = neutral[: len(neutral) // 2]
        for window in range(WINDOWS - 1, -1, -1):
            _double_8(sums)
            for step in range(steps):
                _plus_8(sums, tables, digits, window * len(source) + block + 8 * step, step)
        _gather_8(sums)
    _encode_8(sums, result)


def weighted(weights: Bytes, points: Bytes, lanes: int | None = None) -> tuple[Bytes, bool]:
    """(a few encodings uint8[k, 32] whose sum is Σ weight · point; whether every point was valid).

    weights: uint8[n, 32], little-endian, below 2^253; points: uint8[n, 32]. Several threads work where there are cores.
    """
    lanes = lanes or default_lanes()
    results: list[tuple[Bytes, bool]] = []

    def part(where: slice) -> None:
        results.append(_weighted(weights[where], points[where], lanes))

    in_parts(len(points), part, least=LEAST_ROWS, multiple=lanes * BLOCK)
    return np.concatenate([result for result, _ in results]), all(valid for _, valid in results)


def _weighted(weights: Bytes, points: Bytes, lanes: int) -> tuple[Bytes, bool]:
    count = -(-len(points) // lanes) * lanes
    source, scalars = (np.zeros((count, ELEMENT_BYTES), np.uint8) for _ in range(2))
    source[: len(points)], scalars[: len(points)] = points, weights
    valid = np.zeros(count, np.uint64)
    neutral = np.zeros((2, 4, LIMBS, lanes), np.uint64)
    neutral[:, 1:, 0] = 1  # the factors e = 0, f = g = h = 1
    tables, sums = (np.empty(size, np.uint64) for size in (BLOCK * _ENTRIES * ENTRY_WORDS * lanes, neutral.size))
    result = np.empty((lanes, ELEMENT_BYTES), np.uint8)
    run = _sum_8 if lanes == 8 else _sum_1
    run(source.view("<u8"), digit_codes(scalars), valid, (tables, sums, neutral.ravel()), result.view("<u8"))
    return result, bool(valid.all())


def digit_codes(scalars: Bytes) -> Words:
    """uint64[64 · n]: for each window of four bits, least significant first, each scalar's digit from -8 to 7 as its
    magnitude, plus 16 where it is negative. scalars: uint8[n, 32], below 2^253.

    Adding 8 to every digit makes them the plain base-16 digits of one sum.
    """
    words, carry = scalars.view("<u8").astype(np.uint64), np.zeros(len(scalars), np.uint64)
    for place in range(PACKED_WORDS):
        lifted = words[:, place] + np.uint64(0x8888888888888888)
        total = lifted + carry
        carry = (lifted < words[:, place]).astype(np.uint64) | (total < lifted).astype(np.uint64)
        words[:, place] = total
    packed = words.astype("<u8").view(np.uint8).reshape(-1, ELEMENT_BYTES).T
    digits = np.stack([packed & 15, packed >> 4], axis=1).reshape(WINDOWS, -1).astype(np.int64) - 8
    codes: Words = (np.abs(digits) + _NEGATIVE * (digits < 0)).astype(np.uint64)
    return codes.reshape(-1)


def warm() -> None:
    """Compile the kernel that this machine uses, or load it from the cache."""
    nothing = np.zeros((1, ELEMENT_BYTES), np.uint8)
    weighted(nothing, nothing)
