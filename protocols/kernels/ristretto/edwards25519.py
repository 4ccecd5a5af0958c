"""Points of the twisted Edwards curve -x² + y² = 1 + d x² y².

Extended coordinates (X, Y, Z, T) with x = X/Z, y = Y/Z, x y = T/Z. Formulas: RFC 8032, 5.1.4, which are those of
Hisil, Wong, Carter and Dawson (2008). They are complete: equal, opposite or neutral points are no special case.
"""

from typing import Any, NamedTuple

from llvmlite import ir

from protocols.kernels.ristretto.field25519 import LIMBS, Element, P, product, select, square
from protocols.kernels.words import I64, Memory, Word, in_all_lanes

D = -121665 * pow(121666, -1, P) % P
WINDOW_BITS = 4
WINDOWS = 64
TABLE_POINTS = 2 ** (WINDOW_BITS - 1)
ENTRY_WORDS = 4 * LIMBS
"""Words of four elements: a point, the factors of one, an addend."""
TABLE_WORDS = TABLE_POINTS * ENTRY_WORDS


class Point(NamedTuple):
    """Extended coordinates."""

    x: Element
    y: Element
    z: Element
    t: Element


class Factors(NamedTuple):
    """What the next point is made of: X = E F, Y = G H, Z = F G, T = E H. Who needs no T saves its product."""

    e: Element
    f: Element
    g: Element
    h: Element

    def point(self) -> Point:
        """Four multiplications."""
        e, f, g, h = self
        return Point(e * f, g * h, f * g, e * h)


class Addend(NamedTuple):
    """A point prepared to be added."""

    y_minus_x: Element
    y_plus_x: Element
    z_twice: Element
    t_twice_d: Element


class AffineAddend(NamedTuple):
    """The same of a point whose Z is one."""

    y_minus_x: Element
    y_plus_x: Element
    t_twice_d: Element


def addend(p: Point) -> Addend:
    """Prepare p to be added."""
    return Addend(p.y - p.x, p.y + p.x, p.z + p.z, p.t * p.t.constant(2 * D))


def add(p: Point, q: Addend) -> Factors:
    """p + q."""
    a = product(p.y - p.x, q.y_minus_x)
    b = product(p.y + p.x, q.y_plus_x)
    c = product(p.t, q.t_twice_d)
    d = product(p.z, q.z_twice)
    return Factors((b - a).reduced(), (d - c).reduced(), (d + c).reduced(), (b + a).reduced())


def add_affine(p: Point, q: AffineAddend) -> Factors:
    """p + q."""
    a = product(p.y - p.x, q.y_minus_x)
    b = product(p.y + p.x, q.y_plus_x)
    c = p.t * q.t_twice_d
    d = p.z + p.z
    return Factors((b - a).reduced(), d - c, d + c, (b + a).reduced())


def double(factors: Factors) -> Factors:
    """2 p, for the p of these factors."""
    e, f, g, h = factors
    x, y, z = e * f, g * h, f * g
    a, b, c, s = square(x), square(y), square(z), square(x + y)
    difference, total = a - b, a + b
    return Factors((total - s).reduced(), (c + c + difference).reduced(), difference.reduced(), total.reduced())


def flat(elements: tuple[Element, ...]) -> list[Word]:
    """The limbs of elements one after the other."""
    return [limb for element in elements for limb in element.limbs]


def four(words: list[Word]) -> tuple[Element, Element, Element, Element]:
    """Four elements from their limbs, the inverse of `flat`."""
    a, b, c, d = (Element(words[start : start + LIMBS]) for start in range(0, ENTRY_WORDS, LIMBS))
    return a, b, c, d


class Digits:
    """A scalar common to all lanes, in an array of the caller's: int64[128], 64 magnitudes from 0 to 8, the least
    significant first, then for each 1 where it is negative (see `ristretto255.signed_digits`)."""

    def __init__(self, address: Any) -> None:
        self._address = address

    def load(self, like: Word, place: Any) -> Word:
        """The word at a place known only when the kernel runs, in every lane."""
        value = like.builder.load(like.builder.gep(self._address, [place]), align=8)
        return in_all_lanes(like.builder, like.lanes, value)


def multiply(p: Point, digits: Digits, table: Memory) -> Point:
    """scalar · p with signed windows of four bits, most significant first; table: room for TABLE_WORDS words."""
    like = p.x.limbs[0]
    builder = like.builder
    _fill(table, p)

    def window(index: Any, words: list[Word]) -> list[Word]:
        doubled = like.repeat(WINDOW_BITS, words, lambda _, state: flat(double(Factors(*four(state)))))
        place = builder.sub(ir.Constant(I64, WINDOWS - 2), index)
        return flat(add(Factors(*four(doubled)).point(), _look_up(p.x, table, digits, place)))

    first = add(_neutral(p.x), _look_up(p.x, table, digits, ir.Constant(I64, WINDOWS - 1)))
    return Factors(*four(like.repeat(WINDOWS - 1, flat(first), window))).point()


def _fill(table: Memory, p: Point) -> None:
    """Put the addends of p, 2 p, ..., 8 p, one after the other."""
    like, first = p.x.limbs[0], addend(p)

    def entry(index: Any, words: list[Word]) -> list[Word]:
        multiple = Point(*four(words))
        table.store(flat(addend(multiple)), like.builder.mul(index, ir.Constant(I64, ENTRY_WORDS)))
        return flat(add(multiple, first).point())

    like.repeat(TABLE_POINTS, flat(p), entry)  # the ninth multiple is made in vain: shorter code


def _look_up(like: Element, table: Memory, digits: Digits, place: Any) -> Addend:
    """The addend of digit · p, read with the same accesses to the table for any digit."""
    word = like.limbs[0]
    builder = word.builder
    magnitude = digits.load(word, place)
    zero, one, two = (like.constant(number) for number in (0, 1, 2))

    def entry(index: Any, words: list[Word]) -> list[Word]:
        following = builder.add(index, ir.Constant(I64, 1))
        hit = magnitude.equals(in_all_lanes(builder, word.lanes, following))
        found = table.load(ENTRY_WORDS, builder.mul(index, ir.Constant(I64, ENTRY_WORDS)))
        return [(hit & new) | (~hit & old) for new, old in zip(found, words, strict=True)]

    a, b, c, d = four(word.repeat(TABLE_POINTS, flat((one, one, two, zero)), entry))
    negative = digits.load(word, builder.add(place, ir.Constant(I64, WINDOWS))).equals(1)
    return Addend(select(negative, b, a), select(negative, a, b), c, select(negative, -d, d))


def _neutral(like: Element) -> Point:
    zero, one = like.constant(0), like.constant(1)
    return Point(zero, one, one, zero)
