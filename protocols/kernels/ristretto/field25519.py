"""Arithmetic modulo p = 2^255 - 19, in one or eight lanes.

An element is five limbs of 51 bits, least significant first, each a word a lane. It is "reduced" when its limbs are
below 2^51 + 2^13: not the least residue, but below 2p.

Eight lanes: every element is reduced, so each limb is within the 52 bits that the AVX512-IFMA multiplier reads. One
lane: every operation takes limbs below 2^53.5 and gives reduced ones, but for `Product.reduced`, `select`, `absolute`.

A `Product` is not reduced yet: formulas that only add and subtract products reduce their sums instead of each product.
A mask is a word, all ones for true and zero for false.

Sources: RFC 9496, 4 (names, SQRT_RATIO_M1), RFC 8032, 5.1.
"""

from collections.abc import Sequence

from protocols.kernels.words import WideSum, Word

P = 2**255 - 19
LIMBS = 5
LIMB_BITS = 51
LIMB_MASK = 2**LIMB_BITS - 1
PACKED_WORDS = 4
"""64-bit words in the 32-byte encoding of an element."""
SQRT_M1 = 19681161376707505956807079304988542015446066515923890162744021073123829784752

Limbs = list[Word]


def limbs_of(number: int) -> list[int]:
    """The limbs of an integer below 2^255."""
    return [(number >> (LIMB_BITS * place)) & LIMB_MASK for place in range(LIMBS)]


def _multiple_of_p(bounds: Sequence[int]) -> list[int]:
    """Limbs, each from its bound up to 2^51 above it, of a multiple of p."""
    total = sum(bound << (LIMB_BITS * place) for place, bound in enumerate(bounds))
    return [bound + limb for bound, limb in zip(bounds, limbs_of(-total % P), strict=True)]


# A difference a - b is computed as a + (pad - b), limb by limb, for a multiple of p with limbs not below those of b.
_PAD_REDUCED = [2 * limb for limb in limbs_of(P)]  # not below 2^51 + 2^13
_PAD_LOOSE = [8 * limb for limb in limbs_of(P)]  # not below 2^53.5
# Eight lanes: the columns of a product are below these (see `_folded`), and three of them with one padded difference
# satisfy `_carried`. One lane: products are reduced at once, and such a sum stays below 2^53.5.
_PAD_COLUMNS = _multiple_of_p([bound << 52 for bound in (267, 213, 159, 105, 51)])


class Element:
    """An element of the field in each lane."""

    __slots__ = ("limbs",)

    def __init__(self, limbs: Limbs) -> None:
        self.limbs = limbs

    def constant(self, number: int) -> "Element":
        """`number` mod p in every lane."""
        return Element([self.limbs[0].constant(limb) for limb in limbs_of(number % P)])

    @property
    def _pad(self) -> list[int]:
        return _PAD_LOOSE if self.limbs[0].lanes == 1 else _PAD_REDUCED

    def __add__(self, other: "Element") -> "Element":
        return Element(_carried([x + y for x, y in zip(self.limbs, other.limbs, strict=True)]))

    def __sub__(self, other: "Element") -> "Element":
        pairs = zip(self._pad, self.limbs, other.limbs, strict=True)
        return Element(_carried([x + (pad - y) for pad, x, y in pairs]))

    def __neg__(self) -> "Element":
        return Element(_carried([pad - x for pad, x in zip(self._pad, self.limbs, strict=True)]))

    def __mul__(self, other: "Element") -> "Element":
        word = self.limbs[0]
        if word.lanes == 1:  # a call: code of a fifth of the size, which compiles that much faster
            return Element(word.shared("product", [*self.limbs, *other.limbs], LIMBS, _product_of))
        return product(self, other).reduced()

    def squared(self, times: int = 1) -> "Element":
        """self^(2^times)."""
        if times == 1:
            return square(self).reduced()
        word = self.limbs[0]
        return Element(word.repeat(times, self.limbs, lambda _, limbs: square(Element(limbs)).reduced().limbs))

    def is_zero(self) -> Word:
        """Mask: 0 mod p."""
        limbs = _canonical(self.limbs)
        return (limbs[0] | limbs[1] | limbs[2] | limbs[3] | limbs[4]).equals(0)

    def is_negative(self) -> Word:
        """Mask: the least residue is odd (RFC 9496, 3.1)."""
        return (_canonical(self.limbs)[0] & 1).equals(1)

    def absolute(self) -> "Element":
        """CT_ABS: whichever of self and -self is not negative."""
        return select(self.is_negative(), -self, self)

    def packed(self) -> list[Word]:
        """The four words of the canonical encoding."""
        c = _canonical(self.limbs)
        return [
            c[0] | (c[1] << 51),
            (c[1] >> 13) | (c[2] << 38),
            (c[2] >> 26) | (c[3] << 25),
            (c[3] >> 39) | (c[4] << 12),
        ]


def _product_of(limbs: Limbs) -> Limbs:
    return product(Element(limbs[:LIMBS]), Element(limbs[LIMBS:])).reduced().limbs


class Product:
    """A sum of products of elements, not reduced yet."""

    __slots__ = ("columns",)

    def __init__(self, columns: Limbs) -> None:
        self.columns = columns

    def __add__(self, other: "Product") -> "Product":
        return Product([x + y for x, y in zip(self.columns, other.columns, strict=True)])

    def __sub__(self, other: "Product") -> "Product":
        """`other` may be one product, not a sum of them."""
        pads = _PAD_REDUCED if self.columns[0].lanes == 1 else _PAD_COLUMNS
        triples = zip(pads, self.columns, other.columns, strict=True)
        return Product([x + (pad - y) for pad, x, y in triples])

    def reduced(self) -> Element:
        """The element equal to a sum of at most three products, from which at most one was taken."""
        return Element(self.columns if self.columns[0].lanes == 1 else _carried(self.columns))


def product(a: Element, b: Element) -> Product:
    """a · b."""
    x, y = a.limbs, b.limbs
    return Product(_wide_product(x, y) if x[0].lanes == 1 else _folded(_columns(x, y)))


def square(a: Element) -> Product:
    """a²."""
    x = a.limbs
    return Product(_wide_square(x) if x[0].lanes == 1 else _folded(_square_columns(x)))


def select(mask: Word, a: Element, b: Element) -> Element:
    """a in the lanes where the mask is true, b in the others."""
    return Element([(mask & x) | (~mask & y) for x, y in zip(a.limbs, b.limbs, strict=True)])


def unpacked(words: Sequence[Word]) -> Element:
    """The element of four words, bit 255 ignored."""
    w = words
    limbs = [w[0], (w[0] >> 51) | (w[1] << 13), (w[1] >> 38) | (w[2] << 26), (w[2] >> 25) | (w[3] << 39), w[3] >> 12]
    return Element([limb & LIMB_MASK for limb in limbs])


def is_canonical(words: Sequence[Word]) -> Word:
    """Mask: the four words encode an integer below p."""
    differs = [x ^ y for x, y in zip(words, unpacked(words).packed(), strict=True)]
    return (differs[0] | differs[1] | differs[2] | differs[3]).equals(0)


def sqrt_ratio_m1(u: Element, v: Element) -> tuple[Word, Element]:
    """SQRT_RATIO_M1 of RFC 9496, 4.2: (mask was_square, root). One function in the machine code, called."""

    def body(words: list[Word]) -> list[Word]:
        was_square, root = _sqrt_ratio_m1(Element(words[:LIMBS]), Element(words[LIMBS:]))
        return [was_square, *root.limbs]

    was_square, *root = u.limbs[0].shared("sqrt_ratio_m1", [*u.limbs, *v.limbs], 1 + LIMBS, body)
    return was_square, Element(root)


def _sqrt_ratio_m1(u: Element, v: Element) -> tuple[Word, Element]:
    i = u.constant(SQRT_M1)
    v3 = v.squared() * v
    v7 = v3.squared() * v
    r = (u * v3) * _pow22523(u * v7)
    check = v * r.squared()
    correct = (check - u).is_zero()
    flipped = (check + u).is_zero()
    flipped_i = (check + u * i).is_zero()
    r = select(flipped | flipped_i, i * r, r)
    return correct | flipped, r.absolute()


def _pow22523(a: Element) -> Element:
    """a^((p - 5) / 8) = a^(2^252 - 3). One function in the machine code, called."""
    return Element(a.limbs[0].shared("pow22523", a.limbs, LIMBS, lambda limbs: _power(Element(limbs)).limbs))


def _power(a: Element) -> Element:
    """x_k is a^(2^k - 1), so x_(j + k) = x_j^(2^k) · x_k."""
    x2 = a.squared() * a
    x4 = x2.squared(2) * x2
    x5 = x4.squared() * a
    x10 = x5.squared(5) * x5
    x20 = x10.squared(10) * x10
    x40 = x20.squared(20) * x20
    x50 = x40.squared(10) * x10
    x100 = x50.squared(50) * x50
    x200 = x100.squared(100) * x100
    x250 = x200.squared(50) * x50
    return x250.squared(2) * a


def inverse(a: Element) -> Element:
    """a^(p - 2), as p - 2 = 8 (2^252 - 3) + 3; 0 for 0."""
    return _pow22523(a).squared(3) * (a.squared() * a)


def _carried(limbs: Limbs) -> Limbs:
    """The bits above 51 of every limb moved to the next, all at once; out of the top limb times 19, as 2^255 = 19.

    The result is reduced if the limbs are below 2^63 and the top one below 2^59.7.
    """
    kept = [limb & LIMB_MASK for limb in limbs]
    carries = [limb >> LIMB_BITS for limb in limbs]
    if limbs[0].lanes == 1:
        first = kept[0] + carries[4] * 19
    else:
        first = kept[0].plus_product52(carries[4], limbs[0].constant(19), high=False)
    return [first] + [kept[place] + carries[place - 1] for place in range(1, LIMBS)]


def _canonical(limbs: Limbs) -> Limbs:
    """The limbs of the least residue."""
    limbs = _carried(limbs) if limbs[0].lanes == 1 else limbs
    excess = (limbs[0] + 19) >> LIMB_BITS
    for limb in limbs[1:]:
        excess = (limb + excess) >> LIMB_BITS
    result = []
    carry = excess * 19  # excess is 1 where the value is not below p: add 19 there and drop bit 255
    for limb in limbs:
        total = limb + carry
        result.append(total & LIMB_MASK)
        carry = total >> LIMB_BITS
    return result


# -- eight lanes


def _columns(a: Limbs, b: Limbs) -> Limbs:
    """The ten columns, of weights 2^(51 k), of the product of two elements.

    A product of limbs i and j splits at bit 52: its low half has weight 2^(51 (i + j)), its high half twice the weight
    of the next column.
    """
    zero = a[0].constant(0)
    columns = [zero] * 10
    for i in range(LIMBS):
        for j in range(LIMBS):
            columns[i + j + 1] = columns[i + j + 1].plus_product52(a[i], b[j], high=True)
    columns = [zero] + [column + column for column in columns[1:]]
    for i in range(LIMBS):
        for j in range(LIMBS):
            columns[i + j] = columns[i + j].plus_product52(a[i], b[j], high=False)
    return columns


def _square_columns(a: Limbs) -> Limbs:
    """`_columns(a, a)` with each product of two different limbs made once: 2 (2 high + low + high²) + low²."""
    columns = [a[0].constant(0)] * 10
    pairs = [(i, j) for i in range(LIMBS) for j in range(i + 1, LIMBS)]
    for i, j in pairs:
        columns[i + j + 1] = columns[i + j + 1].plus_product52(a[i], a[j], high=True)
    columns[2:9] = [column + column for column in columns[2:9]]
    for i, j in pairs:
        columns[i + j] = columns[i + j].plus_product52(a[i], a[j], high=False)
    for i in range(LIMBS):
        columns[2 * i + 1] = columns[2 * i + 1].plus_product52(a[i], a[i], high=True)
    columns[1:] = [column + column for column in columns[1:]]
    for i in range(LIMBS):
        columns[2 * i] = columns[2 * i].plus_product52(a[i], a[i], high=False)
    return columns


def _folded(columns: Limbs) -> Limbs:
    """Five columns from ten, as 2^255 = 19.

    With limbs below 2^52, columns 0 to 9 hold at most 1, 4, 7, 10, 13, 14, 11, 8, 5 and 2 times 2^52: see _PAD_COLUMNS.
    """
    return [_plus_19_times(columns[place], columns[place + LIMBS]) for place in range(LIMBS)]


def _plus_19_times(a: Word, b: Word) -> Word:
    """a + 19 b by shift and additions, which LLVM would join to one multiplication three times as slow (VPMULLQ)."""
    return (a + b) + (b * 16 + (b + b).hidden())


# -- one lane


def _wide_product(a: Limbs, b: Limbs) -> Limbs:
    """Columns as 128-bit sums, with 19 applied to a limb of b first."""
    scaled = [limb * 19 for limb in b]
    sums = []
    for k in range(LIMBS):
        terms = [a[i].wide_product(b[k - i] if i <= k else scaled[k - i + LIMBS]) for i in range(LIMBS)]
        sums.append(_total(terms))
    return _carried_wide(sums)


def _wide_square(a: Limbs) -> Limbs:
    """`_wide_product(a, a)` with each product of two different limbs made once."""
    doubled = [limb + limb for limb in a]
    scaled = [limb * 19 for limb in a]
    sums = []
    for k in range(LIMBS):
        terms = []
        for i in range(LIMBS):
            j = (k - i) % LIMBS
            if i <= j:
                first = a[i] if i == j else doubled[i]
                terms.append(first.wide_product(a[j] if i + j == k else scaled[j]))
        sums.append(_total(terms))
    return _carried_wide(sums)


def _total(terms: list[WideSum]) -> WideSum:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _carried_wide(sums: list[WideSum]) -> Limbs:
    """Five 128-bit sums reduced, carrying from each to the next.

    With limbs below 2^53.5 the sums are below 2^113.4, and the last, in which nothing is scaled by 19, below 2^109.4:
    every carry fits 64 bits.
    """
    limbs: Limbs = [sums[0].low() & LIMB_MASK]
    carry = sums[0].shifted(LIMB_BITS)
    for part in sums[1:]:
        total = part.plus(carry)
        carry = total.shifted(LIMB_BITS)
        limbs.append(total.low() & LIMB_MASK)
    first = limbs[0] + carry * 19
    return [first & LIMB_MASK, limbs[1] + (first >> LIMB_BITS), *limbs[2:]]
