"""ristretto255 (RFC 9496, 4) on rows: derivation from uniform bytes, multiplication by one scalar, or both at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from protocols.kernels.compiled import kernel
from protocols.kernels.ristretto import edwards25519 as curve
from protocols.kernels.ristretto.edwards25519 import (
    ENTRY_WORDS,
    TABLE_WORDS,
    WINDOW_BITS,
    WINDOWS,
    D,
    Digits,
    Point,
    add,
    addend,
    flat,
)
from protocols.kernels.ristretto.field25519 import (
    LIMBS,
    PACKED_WORDS,
    SQRT_M1,
    Element,
    inverse,
    is_canonical,
    select,
    sqrt_ratio_m1,
    unpacked,
)
from protocols.kernels.target import has
from protocols.kernels.threads import in_parts
from protocols.kernels.words import I64, Memory, Rows, Word, constant

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Digit = npt.NDArray[np.int64]

ELEMENT_BYTES = 32
UNIFORM_BYTES = 64
LEAST_ROWS = 512
"""Rows that are worth a thread."""
BLOCK = 32
"""Groups of lanes whose encodings share an inversion: a square root saved for each."""
ORDER = 2**252 + 27742317777372353535851937790883648493

# RFC 9496, 4.1.
_SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
_INVSQRT_A_MINUS_D = 54469307008909316920995813868745141605393597292927456921205312896311721017578
_ONE_MINUS_D_SQ = 1159843021668779879193775521855586647937357759715417654439879720876111806838
_D_MINUS_ONE_SQ = 40440834346308536858101042469323190826248399146238708352240133220865137265952


def decode(words: list[Word]) -> tuple[Word, Point]:
    """RFC 9496, 4.3.1: (mask of valid lanes, point)."""
    s = unpacked(words)
    one = s.constant(1)
    acceptable = is_canonical(words) & ~s.is_negative()
    ss = s.squared()
    u1, u2 = one - ss, one + ss
    u2_squared = u2.squared()
    v = -(s.constant(D) * u1.squared()) - u2_squared
    was_square, invsqrt = sqrt_ratio_m1(one, v * u2_squared)
    den_x = invsqrt * u2
    den_y = invsqrt * den_x * v
    x = ((s + s) * den_x).absolute()
    y = u1 * den_y
    t = x * y
    return acceptable & was_square & ~t.is_negative() & ~y.is_zero(), Point(x, y, one, t)


def encode(p: Point) -> Element:
    """RFC 9496, 4.3.2: the element whose packed form is the encoding."""
    i = p.x.constant(SQRT_M1)
    u1 = (p.z + p.y) * (p.z - p.y)
    u2 = p.x * p.y
    _, invsqrt = sqrt_ratio_m1(p.x.constant(1), u1 * u2.squared())
    den1, den2 = invsqrt * u1, invsqrt * u2
    z_inv = den1 * den2 * p.t
    rotate = (p.t * z_inv).is_negative()
    x = select(rotate, p.y * i, p.x)
    y = select(rotate, p.x * i, p.y)
    den_inv = select(rotate, den1 * p.x.constant(_INVSQRT_A_MINUS_D), den2)
    y = select((x * z_inv).is_negative(), -y, y)
    return (den_inv * (p.z - y)).absolute()


def map_to_point(t: Element) -> Point:
    """MAP of RFC 9496, 4.3.4."""
    one, d = t.constant(1), t.constant(D)
    r = t.constant(SQRT_M1) * t.squared()
    u = (r + one) * t.constant(_ONE_MINUS_D_SQ)
    v = (-one - r * d) * (r + d)
    was_square, root = sqrt_ratio_m1(u, v)
    s = select(was_square, root, -(root * t).absolute())
    c = select(was_square, -one, r)
    n = c * (r - one) * t.constant(_D_MINUS_ONE_SQ) - v
    w0 = (s + s) * v
    w1 = n * t.constant(_SQRT_AD_MINUS_ONE)
    ss = s.squared()
    w2, w3 = one - ss, one + ss
    return Point(w0 * w3, w2 * w1, w1 * w3, w0 * w2)


def derive(words: list[Word]) -> Point:
    """Element derivation (RFC 9496, 4.3.4) from the eight words of a uniform string."""

    def body(half: list[Word]) -> list[Word]:
        return flat(map_to_point(unpacked(half)))

    first, second = (
        Point(*curve.four(words[0].shared("map_to_point", half, ENTRY_WORDS, body)))
        for half in (words[:PACKED_WORDS], words[PACKED_WORDS:])
    )
    return add(first, addend(second)).point()


class Doubled(NamedTuple):
    """What the encoding of 2 p needs of p, and shares no square root: `z_inverse` and `t_inverse` of 2 p come from the
    inverse of e g f h, which many points find at once.

    As in curve25519-dalek's `double_and_compress_batch` (Hamburg's Decaf, ristretto.group).
    """

    e: Element
    f: Element
    g: Element
    h: Element
    eg: Element
    fh: Element

    @classmethod
    def of(cls, p: Point) -> "Doubled":
        """e = 2 X Y, f = Z² + d T², g = Y² + X², h = Z² - d T²."""
        zz, dtt = p.z.squared(), p.t.squared() * p.t.constant(D)
        e, f, g, h = p.x * (p.y + p.y), zz + dtt, p.y.squared() + p.x.squared(), zz - dtt
        return cls(e, f, g, h, e * g, f * h)

    def encoded(self, inverse: Element) -> Element:
        """The element whose packed form encodes 2 p, given 1 / (e g f h)."""
        e, f, g, h, eg, fh = self
        i = e.constant(SQRT_M1)
        z_inverse, t_inverse = eg * inverse, fh * inverse
        rotate = (eg * z_inverse).is_negative()
        e, g, h = select(rotate, g, e), select(rotate, -e, g), select(rotate, f * i, h)
        magic = select(rotate, i, e.constant(_INVSQRT_A_MINUS_D))
        g = select((h * e * z_inverse).is_negative(), -g, g)
        return ((h - g) * (magic * (g * t_inverse))).absolute()


_STATE_WORDS = 8 * LIMBS + 1
"""A Doubled, e g f h, the product of these before it, and the mask of what to show."""


def _store_encoding(result: Rows, shown: Word, s: Element) -> None:
    for word, content in enumerate(select(shown, s, s.constant(0)).packed()):
        result.store(word, content)


def _derived(builder: Any, lanes: int, source: Any, result: Any, start: Any) -> None:
    """Instructions for the encodings of `lanes` derived elements."""
    uniform = Rows(builder, lanes, source, 2 * PACKED_WORDS, start)
    point = derive([uniform.load(word) for word in range(2 * PACKED_WORDS)])
    _store_encoding(Rows(builder, lanes, result, PACKED_WORDS, start), constant(builder, lanes, -1), encode(point))


def _load_point(builder: Any, lanes: int, source: Any, derives: Any, start: Any, memory: Memory) -> tuple[Word, Point]:
    """(mask of valid lanes, point) of rows to derive from or to decode."""
    with builder.if_else(derives) as (yes, no):
        with yes:
            uniform = Rows(builder, lanes, source, 2 * PACKED_WORDS, start)
            derived = derive([uniform.load(word) for word in range(2 * PACKED_WORDS)])
            memory.store([constant(builder, lanes, -1), *flat(derived)])
        with no:
            encodings = Rows(builder, lanes, source, PACKED_WORDS, start)
            valid, decoded = decode([encodings.load(word) for word in range(PACKED_WORDS)])
            memory.store([valid, *flat(decoded)])
    valid, *words = memory.load(1 + ENTRY_WORDS)
    return valid, Point(*curve.four(words))


def emit_block(
    builder: Any,
    lanes: int,
    arrays: tuple[Any, Any, Any],
    derives: Any,
    start: Any,
    work: Callable[[Any, Point, Memory], Point],
) -> None:
    """Instructions for a block of encodings: of 2 work(row, point, room) for the point of each row, one inversion.

    arrays: source, result, scratch; derives: whether rows are to derive from rather than to decode.
    """
    source, result, scratch = arrays
    states = Memory(builder, lanes, scratch)
    room = states.at(BLOCK * _STATE_WORDS)
    one = Element([constant(builder, lanes, 0)] * LIMBS).constant(1)

    def place(index: Any) -> tuple[Any, Memory]:
        row = builder.add(start, builder.mul(index, ir.Constant(I64, lanes)))
        return row, states.at(builder.mul(index, ir.Constant(I64, _STATE_WORDS)))

    def begin(index: Any, before: list[Word]) -> list[Word]:
        row, state = place(index)
        valid, point = _load_point(builder, lanes, source, derives, row, room)
        doubled = Doubled.of(work(row, point, room))
        factor = doubled.eg * doubled.fh
        neutral = factor.is_zero()  # of 2 p: its encoding is zero
        factor = select(neutral, one, factor)
        state.store([*flat((*doubled, factor, Element(before))), valid & ~neutral])
        return (Element(before) * factor).limbs

    def finish(index: Any, words: list[Word]) -> list[Word]:
        row, state = place(builder.sub(ir.Constant(I64, BLOCK - 1), index))
        *kept, shown = state.load(_STATE_WORDS)
        *doubled, factor, before = (Element(kept[at : at + LIMBS]) for at in range(0, len(kept), LIMBS))
        after = Element(words)
        products = Rows(builder, lanes, result, PACKED_WORDS, row)
        _store_encoding(products, shown, Doubled(*doubled).encoded(after * before))
        return (after * factor).limbs

    word = one.limbs[0]
    total = Element(word.repeat(BLOCK, one.limbs, begin))
    word.repeat(BLOCK, inverse(total).limbs, finish)


def data_of(context: Any, builder: Any, kinds: Any, arrays: Any) -> list[Any]:
    """The addresses of arrays' contents."""
    pairs = zip(kinds, arrays, strict=True)
    return [context.make_array(kind)(context, builder, array).data for kind, array in pairs]


def _derivation(lanes: int) -> Any:
    """numba's name for `_derived`."""

    def typing(context: Any, source: Any, result: Any, start: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            data, encodings = data_of(context, builder, sig.args[:2], args[:2])
            _derived(builder, lanes, data, encodings, args[2])
            return context.get_dummy_value()

        return types.void(source, result, types.int64), lower

    return intrinsic(typing)


def _multiplication(lanes: int) -> Any:
    """numba's name for a block of halved points multiplied."""

    def typing(context: Any, source: Any, result: Any, digits: Any, scratch: Any, derives: Any, start: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            rows, result, digits, scratch = data_of(context, builder, sig.args[:4], args[:4])
            yes = builder.icmp_unsigned("!=", args[4], ir.Constant(I64, 0))

            def work(row: Any, point: Point, table: Memory) -> Point:
                return curve.multiply(point, Digits(digits), table)

            emit_block(builder, lanes, (rows, result, scratch), yes, args[5], work)
            return context.get_dummy_value()

        return types.void(source, result, digits, scratch, types.int64, types.int64), lower

    return intrinsic(typing)


_derived_1, _derived_8 = _derivation(1), _derivation(8)
_multiplied_1, _multiplied_8 = _multiplication(1), _multiplication(8)


@kernel
def _derive_1(source: Words, result: Words) -> None:
    for start in range(len(result)):
        _derived_1(source, result, start)


@kernel
def _derive_8(source: Words, result: Words) -> None:
    for start in range(0, len(result), 8):
        _derived_8(source, result, start)


@kernel
def _multiply_1(source: Words, result: Words, digits: Digit, scratch: Words, derives: int) -> None:
    for start in range(0, len(result), BLOCK):
        _multiplied_1(source, result, digits, scratch, derives, start)


@kernel
def _multiply_8(source: Words, result: Words, digits: Digit, scratch: Words, derives: int) -> None:
    for start in range(0, len(result), 8 * BLOCK):
        _multiplied_8(source, result, digits, scratch, derives, start)


def default_lanes() -> int:
    """8 where numba's target has AVX512-IFMA, else 1."""
    return 8 if has("avx512f", "avx512ifma") else 1


def signed_digits(scalar: int) -> Digit:
    """int64[128]: magnitudes and signs of 64 digits from -8 to 7 with scalar = Σ digit_i 16^i, for one below 2^253.

    Adding 8 to every digit makes them the plain base-16 digits of one sum.
    """
    half = 2 ** (WINDOW_BITS - 1)
    offset = half * ((2 ** (WINDOW_BITS * WINDOWS) - 1) // (2**WINDOW_BITS - 1))
    packed = np.frombuffer((scalar + offset).to_bytes(32, "little"), np.uint8)
    digits = np.stack([packed & 15, packed >> 4], axis=1).ravel().astype(np.int64) - half
    return np.concatenate([np.abs(digits), (digits < 0).astype(np.int64)])


def halved(scalar: bytes) -> int:
    """scalar / 2 modulo the order. Raises ValueError unless the scalar has 32 bytes and is below the order."""
    number = int.from_bytes(scalar, "little")
    if len(scalar) != ELEMENT_BYTES or number >= ORDER:
        raise ValueError("a scalar has 32 bytes and is below the group's order")
    return (number + ORDER * (number & 1)) >> 1


def derived(uniform: Bytes, lanes: int | None = None) -> Bytes:
    """uint8[n, 32]: the encodings of the elements derived from uint8[n, 64]. As many threads as there are cores."""
    lanes = lanes or default_lanes()
    run = _derive_8 if lanes == 8 else _derive_1
    source, result = padded(uniform, UNIFORM_BYTES, lanes)
    in_parts(len(result), lambda part: run(source[part], result[part]), least=LEAST_ROWS, multiple=lanes)
    return result.view(np.uint8)[: len(uniform)]


def multiplied(rows: Bytes, scalar: bytes, lanes: int | None = None) -> Bytes:
    """uint8[n, 32]: the encodings of scalar · P for each row. As many threads as there are cores.

    rows: uint8[n, 64], from which P is derived, or uint8[n, 32], which encode P. Zeros stand where an encoding is not
    valid and where the product is zero.
    """
    lanes = lanes or default_lanes()
    run = _multiply_8 if lanes == 8 else _multiply_1
    digits, derives = signed_digits(halved(scalar)), rows.shape[1] == UNIFORM_BYTES
    source, result = padded(rows, UNIFORM_BYTES if derives else ELEMENT_BYTES, lanes * BLOCK)

    def part(where: slice) -> None:
        run(source[where], result[where], digits, block_memory(lanes), int(derives))

    in_parts(len(result), part, least=LEAST_ROWS, multiple=lanes * BLOCK)
    return result.view(np.uint8)[: len(rows)]


def padded(rows: Bytes, width: int, multiple: int) -> tuple[Words, Words]:
    """The rows as words, zeros after them to a multiple of rows, and room for as many encodings."""
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError("rows are uint8[n, 32] or uint8[n, 64]")
    count = -(-len(rows) // multiple) * multiple
    source = np.zeros((count, width), np.uint8)
    source[: len(rows)] = rows
    return source.view("<u8"), np.empty((count, PACKED_WORDS), np.uint64)


def block_memory(lanes: int) -> Words:
    """Memory of a thread for a block, from the start of a cache line."""
    words = (BLOCK * _STATE_WORDS + TABLE_WORDS) * lanes
    room = np.empty(words + 8, np.uint64)
    start = -room.ctypes.data % 64 // 8
    return room[start : start + words]


def warm() -> None:
    """Compile the kernels that this machine uses, or load them from the cache."""
    derived(np.zeros((1, UNIFORM_BYTES), np.uint8))
    multiplied(np.zeros((1, ELEMENT_BYTES), np.uint8), bytes([2]) + bytes(31))
