"""The formulas of ristretto255 on Python integers: right at the limits of the limb bounds, and nothing is ever lost."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from integer_words import IntWord, Lost

from protocols.kernels.ristretto import edwards25519 as curve
from protocols.kernels.ristretto import field25519 as field
from protocols.kernels.ristretto import ristretto255
from protocols.kernels.ristretto.field25519 import Element, P, product, square

pytestmark = pytest.mark.xdist_group("ristretto")  # each worker would compile its kernels anew

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9496_ristretto255.json").read_text())
REDUCED = 2**51 + 2**13
LIMITS = {1: int(2**53.5), 8: REDUCED}
"""Limbs that an operation may be given, exclusive, by lanes."""
LANES = pytest.mark.parametrize("lanes", [1, 8])


def limbs(lanes: int):
    limit = LIMITS[lanes]
    special = [field.limbs_of(number) for number in (0, 1, 18, 19, 20, P - 20, P - 19, P - 1)]
    edges = [0, 1, 2**51 - 20, 2**51 - 19, 2**51 - 1, 2**51, limit - 1]
    limb = st.one_of(st.sampled_from(edges), st.integers(0, limit - 1))
    return st.one_of(st.sampled_from(special), st.lists(limb, min_size=5, max_size=5))


def element(values, lanes: int) -> Element:
    return Element([IntWord(value, lanes) for value in values])


def number(values) -> int:
    return sum(value << (51 * place) for place, value in enumerate(values))


def packed(a: Element) -> int:
    return sum(word.value << (64 * place) for place, word in enumerate(a.packed()))


def unpacked(number: int, lanes: int) -> Element:
    return field.unpacked(words(number.to_bytes(32, "little"), lanes))


def words(content: bytes, lanes: int) -> list[IntWord]:
    starts = range(0, len(content), 8)
    return [IntWord(int.from_bytes(content[start : start + 8], "little"), lanes) for start in starts]


OPERATIONS = {
    "add": (lambda x, y: x + y, lambda x, y: x + y),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y),
    "negate": (lambda x, y: -x, lambda x, y: -x),
    "multiply": (lambda x, y: x * y, lambda x, y: x * y),
    "square": (lambda x, y: x.squared(), lambda x, y: x * x),
    "square often": (lambda x, y: x.squared(3), lambda x, y: x**8),
    "largest sum": (
        lambda x, y: (product(x, y) + product(y, x) + (square(x) - square(y))).reduced(),
        lambda x, y: 2 * x * y + x * x - y * y,
    ),
    "sum multiplied": (
        lambda x, y: (product(x, y) + square(x)).reduced() * (square(x) - square(y)).reduced(),
        lambda x, y: (x * y + x * x) * (x * x - y * y),
    ),
    "absolute": (lambda x, y: x.absolute(), lambda x, y: -x if x % P & 1 else x),
}
LOOSE = ("largest sum", "absolute")
"""What with one lane is given on as it is, within the limit of what is taken."""


@LANES
@pytest.mark.parametrize("name", OPERATIONS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_operations_at_the_limits(name, lanes, data):
    operation, exact = OPERATIONS[name]
    x, y = data.draw(limbs(lanes)), data.draw(limbs(lanes))
    result = operation(element(x, lanes), element(y, lanes))
    expected = exact(number(x), number(y)) % P
    assert number([limb.value for limb in result.limbs]) % P == packed(result) == expected
    limit = LIMITS[lanes] if name in LOOSE else REDUCED
    assert all(limb.value < limit for limb in result.limbs)


def test_the_stand_in_sees_what_is_lost():
    with pytest.raises(Lost):
        element([2**52] * 5, 8) * element([1] * 5, 8)
    with pytest.raises(Lost):
        element([2**60] * 5, 1) * element([2**60] * 5, 1)
    with pytest.raises(Lost):
        element([0] * 5, 8) - element([2**53] * 5, 8)


@LANES
@settings(max_examples=10, deadline=None)
@given(u=st.integers(0, P - 1), v=st.integers(0, P - 1))
def test_square_roots(lanes, u, v):
    """SQRT_RATIO_M1: the non-negative root of u/v or of i·u/v, and which."""
    was_square, root = field.sqrt_ratio_m1(unpacked(u, lanes), unpacked(v, lanes))
    ratio = u * pow(v, -1, P) % P if v else 0
    residue = pow(ratio, (P - 1) // 2, P) <= 1
    assert bool(was_square.value) == (residue if v else u == 0)
    r = packed(root)
    assert r % 2 == 0
    assert r * r % P == (ratio if residue else field.SQRT_M1 * ratio % P)


@LANES
def test_decoding_and_encoding_of_published_elements(lanes):
    for row in VECTORS["generator_multiples"][:3]:
        valid, point = ristretto255.decode(words(bytes.fromhex(row["encoding"]), lanes))
        assert valid.value
        assert packed(ristretto255.encode(point)).to_bytes(32, "little").hex() == row["encoding"]
    for row in VECTORS["bad_encodings"][::4] + VECTORS["bad_encodings_extra"]:
        valid, _ = ristretto255.decode(words(bytes.fromhex(row["encoding"]), lanes))
        assert not valid.value


@LANES
def test_derivation_and_doubling_of_published_elements(lanes):
    row = VECTORS["uniform_bytes_to_element"][0]
    point = ristretto255.derive(words(bytes.fromhex(row["uniform_bytes"]), lanes))
    assert packed(ristretto255.encode(point)).to_bytes(32, "little").hex() == row["encoding"]
    multiples = VECTORS["generator_multiples"]
    _, generator = ristretto255.decode(words(bytes.fromhex(multiples[1]["encoding"]), lanes))
    once = curve.add(generator, curve.addend(generator))
    doubled = ristretto255.Doubled.of(generator)
    s = doubled.encoded(field.inverse(doubled.eg * doubled.fh))
    assert packed(s).to_bytes(32, "little").hex() == multiples[2]["encoding"]
    for factors, factor in ((once, 2), (curve.double(once), 4), (curve.double(curve.double(once)), 8)):
        encoded = packed(ristretto255.encode(factors.point()))
        assert encoded.to_bytes(32, "little").hex() == multiples[factor]["encoding"]
