"""2 (P + s B) on rows: a scalar s a row, one public base B, of which a table holds the multiples.

No doublings: s = Σ digit_i 16^i, and for each i the table has 0 to 15 times 16^i B, affine, so that 64 short additions
do. What is encoded is twice the point, since such encodings share one inversion (`ristretto255.Doubled`).

The scalars are secret, the base is not: tables come from Python's integers, in some 15 ms. A look-up reads all sixteen
entries of its place whatever the digit: eight lanes permute them within registers, one lane masks what it does not
want.
"""

from functools import partial
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocols.kernels.compiled import kernel
from protocols.kernels.ristretto.edwards25519 import (
    ENTRY_WORDS,
    AffineAddend,
    D,
    Point,
    add_affine,
    flat,
    four,
)
from protocols.kernels.ristretto.field25519 import LIMBS, PACKED_WORDS, SQRT_M1, Element, P, limbs_of
from protocols.kernels.ristretto.ristretto255 import (
    BLOCK,
    ELEMENT_BYTES,
    UNIFORM_BYTES,
    Bytes,
    Words,
    block_memory,
    data_of,
    default_lanes,
    emit_block,
    padded,
)
from protocols.kernels.threads import in_parts
from protocols.kernels.words import I64, Memory, Rows, Word, in_all_lanes, llvm_word

LEAST_ROWS = 1024
"""Rows that are worth a thread."""
DIGIT_BITS = 4
ENTRIES = 2**DIGIT_BITS
PLACES = 64
_DIGITS_A_WORD = 64 // DIGIT_BITS
_ADDEND_WORDS = 3 * LIMBS
TABLE_WORDS = PLACES * _ADDEND_WORDS * ENTRIES

Affine = tuple[int, int]


# -- the table of a base


def table(base: bytes) -> Words:
    """uint64[64 · 15 · 16]: for each place the words of an addend, of each word those of 0 to 15 times 16^place · base.

    base: a valid encoding, public.
    """
    x, y = _decoded(int.from_bytes(base, "little"))
    step, multiples = (x, y, 1, x * y % P), []
    for _ in range(PLACES):
        entry = (0, 1, 1, 0)
        for _ in range(ENTRIES):
            multiples.append(entry)
            entry = _sum(entry, step)
        step = entry
    limbs = [limbs_of(part) for x, y in _affine(multiples) for part in ((y - x) % P, (y + x) % P, 2 * D * x * y % P)]
    words = np.array(limbs, np.uint64).reshape(PLACES, ENTRIES, _ADDEND_WORDS)
    return np.ascontiguousarray(words.transpose(0, 2, 1)).ravel()


def _decoded(s: int) -> Affine:
    """RFC 9496, 4.3.1, for what is known to be valid."""
    u1, u2 = 1 - s * s, 1 + s * s
    v = -D * u1 * u1 - u2 * u2
    ratio = v * u2 * u2 % P
    root = pow(ratio, 3, P) * pow(pow(ratio, 7, P), (P - 5) // 8, P) % P  # ratio^-1/2, or times a root of -1
    if root * root * ratio % P != 1:
        root = root * SQRT_M1 % P
    x = 2 * s * root * u2 % P
    return x if x % 2 == 0 else P - x, u1 * root * root * u2 * v % P


def _sum(p: tuple[int, int, int, int], q: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """`edwards25519.add` on integers."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * D * p[3] * q[3] % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def _affine(points: list[tuple[int, int, int, int]]) -> list[Affine]:
    """x and y, by one inversion for all."""
    before, total = [], 1
    for point in points:
        before.append(total)
        total = total * point[2] % P
    after, result = pow(total, -1, P), []
    for point, product in zip(reversed(points), reversed(before), strict=True):
        inverse, after = after * product % P, after * point[2] % P
        result.append((point[0] * inverse % P, point[1] * inverse % P))
    return result[::-1]


# -- the kernels


def _multiple_added(lanes: int, arrays: tuple[Any, Any], row: Any, point: Point, room: Memory) -> Point:
    """point + s · base, for the scalars and the table in `arrays`; room: a few words of scratch."""
    scalars, multiples = arrays
    builder = room.builder
    scalar = Rows(builder, lanes, scalars, PACKED_WORDS, row)
    room.store([scalar.load(word) for word in range(PACKED_WORDS)])

    def each_word(index: Any, words: list[Word]) -> list[Word]:
        def each_digit(place: Any, state: list[Word]) -> list[Word]:
            *point_words, left = state
            place = builder.add(builder.mul(index, ir.Constant(I64, _DIGITS_A_WORD)), place)
            chosen = _look_up(multiples, place, left & (ENTRIES - 1))
            added = add_affine(Point(*four(point_words)), chosen).point()
            return [*flat(added), left >> DIGIT_BITS]

        (digits,) = room.load(1, index)
        return words[0].repeat(_DIGITS_A_WORD, [*words, digits], each_digit)[:ENTRY_WORDS]

    return Point(*four(point.x.limbs[0].repeat(PACKED_WORDS, flat(point), each_word)))


def _look_up(multiples: Any, place: Any, digit: Word) -> AffineAddend:
    """The addend of digit · 16^place · base, with the same accesses to the table for any digit."""
    builder = digit.builder
    address = builder.gep(multiples, [builder.mul(place, ir.Constant(I64, _ADDEND_WORDS * ENTRIES))])
    words = _permuted(address, digit) if digit.lanes == 8 else _masked(address, digit)
    return AffineAddend(*(Element(words[at : at + LIMBS]) for at in range(0, _ADDEND_WORDS, LIMBS)))


def _permuted(address: Any, digit: Word) -> list[Word]:
    """Of each word's sixteen values, two registers full, the one that each lane wants (VPERMI2Q)."""
    builder, kind = digit.builder, llvm_word(8)
    registers = builder.bitcast(address, kind.as_pointer())
    halves = [builder.load(builder.gep(registers, [ir.Constant(I64, at)]), align=8) for at in range(2 * _ADDEND_WORDS)]
    return [digit.chosen16(*halves[at : at + 2]) for at in range(0, len(halves), 2)]


def _masked(address: Any, digit: Word) -> list[Word]:
    builder = digit.builder

    def entry(index: Any, words: list[Word]) -> list[Word]:
        hit = digit.equals(in_all_lanes(builder, 1, index))
        first = builder.gep(address, [index])
        pointers = [builder.gep(first, [ir.Constant(I64, word * ENTRIES)]) for word in range(_ADDEND_WORDS)]
        return [old | (hit & digit.of(builder.load(at, align=8))) for old, at in zip(words, pointers, strict=True)]

    return digit.repeat(ENTRIES, [digit.constant(0)] * _ADDEND_WORDS, entry)


def _shift(lanes: int) -> Any:
    """numba's name for a block of encodings of 2 (P + s B)."""

    def typing(
        context: Any, source: Any, result: Any, scalars: Any, multiples: Any, scratch: Any, derives: Any, start: Any
    ) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            rows, encodings, secret, base, memory = data_of(context, builder, sig.args[:5], args[:5])
            yes = builder.icmp_unsigned("!=", args[5], ir.Constant(I64, 0))
            work = partial(_multiple_added, lanes, (secret, base))
            emit_block(builder, lanes, (rows, encodings, memory), yes, args[6], work)
            return context.get_dummy_value()

        return types.void(source, result, scalars, multiples, scratch, types.int64, types.int64), lower

    return intrinsic(typing)


_shifted_1, _shifted_8 = _shift(1), _shift(8)


@kernel
def _shift_1(source: Words, result: Words, scalars: Words, multiples: Words, scratch: Words, derives: int) -> None:
    for start in range(0, len(result), BLOCK):
        _shifted_1(source, result, scalars, multiples, scratch, derives, start)


@kernel
def _shift_8(source: Words, result: Words, scalars: Words, multiples: Words, scratch: Words, derives: int) -> None:
    for start in range(0, len(result), 8 * BLOCK):
        _shifted_8(source, result, scalars, multiples, scratch, derives, start)


def shifted(rows: Bytes, scalars: Bytes, multiples: Words, lanes: int | None = None) -> Bytes:
    """uint8[n, 32]: the encodings of 2 (P + scalar · B) for each row. As many threads as there are cores.

    rows: as for `ristretto255.multiplied`, whose zeros stand here too; scalars: uint8[n, 32], little-endian, any value;
    multiples: the `table` of B.
    """
    lanes = lanes or default_lanes()
    run = _shift_8 if lanes == 8 else _shift_1
    derives = rows.shape[1] == UNIFORM_BYTES
    source, result = padded(rows, UNIFORM_BYTES if derives else ELEMENT_BYTES, lanes * BLOCK)
    secret, _ = padded(scalars, ELEMENT_BYTES, lanes * BLOCK)

    def part(where: slice) -> None:
        run(source[where], result[where], secret[where], multiples, block_memory(lanes), int(derives))

    in_parts(len(result), part, least=LEAST_ROWS, multiple=lanes * BLOCK)
    return result.view(np.uint8)[: len(rows)]


def warm() -> None:
    """Compile the kernel that this machine uses, or load it from the cache."""
    nothing = np.zeros((1, ELEMENT_BYTES), np.uint8)
    shifted(nothing, nothing, np.zeros(TABLE_WORDS, np.uint64))
