"""Blinding by multiples of a fixed base: every backend against libsodium's own multiplications, scalar by scalar."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadMessage
from protocols.group import ORDER, Kernel, libsodium, random_blinds
from protocols.kernels.ristretto import fixed_base
from protocols.kernels.target import has
from protocols.oprf import points

pytestmark = pytest.mark.xdist_group("ristretto")  # each worker would compile its kernels anew

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "rfc9496_ristretto255.json").read_text())
EIGHT = has("avx512f", "avx512ifma")
ALL_LANES = [1, pytest.param(8, marks=pytest.mark.skipif(not EIGHT, reason="no IFMA"))]
LANES = pytest.mark.parametrize("lanes", ALL_LANES)
GROUPS = pytest.mark.parametrize("lanes", [0, *ALL_LANES])
SODIUM = libsodium()
GENERATOR = points.multiply_generator(1)
TABLE = fixed_base.table(GENERATOR)
EDGES = [0, 1, 2, 15, 16, 17, ORDER - 1, ORDER, ORDER + 1, 2**252 - 1, 2**252, 2**255, 2**256 - 1, 15 << 248]
EDGES += [15 << (4 * place) for place in range(0, 60, 7)]
BAD = [row["encoding"] for row in VECTORS["bad_encodings"]]


def group(lanes: int):
    return Kernel(lanes) if lanes else SODIUM


def rows(*contents: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


def expected(point: bytes, scalar: int, base: bytes) -> bytes:
    """2 (point + scalar · base), by libsodium alone."""
    total = points.add(point, points.multiply(scalar % ORDER, base))
    return points.add(total, total)


def elements(n: int, tag: bytes = b"tag") -> np.ndarray:
    return SODIUM.hash_to_group(np.arange(n, dtype="<u4").view(np.uint8).reshape(n, 4), tag)


# -- against libsodium


@LANES
def test_small_multiples_are_the_published_ones(lanes):
    """2 (0 + s G) for s from 0 to 7."""
    multiples = [bytes.fromhex(row["encoding"]) for row in VECTORS["generator_multiples"]]
    scalars = rows(*(little(s) for s in range(8)))
    found = fixed_base.shifted(np.zeros((8, 32), np.uint8), scalars, TABLE, lanes)
    assert [row.tobytes() for row in found] == multiples[::2]


@LANES
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_any_scalar_and_base(lanes, data):
    scalars = data.draw(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, 2**256 - 1)), min_size=1, max_size=9))
    uniform = np.random.default_rng(data.draw(st.integers(0, 99))).integers(0, 256, (len(scalars), 64), dtype=np.uint8)
    base = elements(3)[data.draw(st.integers(0, 2))].tobytes()
    given_points = SODIUM.from_uniform(uniform)
    found = fixed_base.shifted(uniform, rows(*map(little, scalars)), fixed_base.table(base), lanes)
    wanted = [expected(p.tobytes(), s, base) for p, s in zip(given_points, scalars, strict=True)]
    assert [row.tobytes() for row in found] == wanted


@LANES
def test_edges_of_scalars(lanes):
    given_points = elements(len(EDGES))
    found = fixed_base.shifted(given_points, rows(*map(little, EDGES)), TABLE, lanes)
    wanted = [expected(p.tobytes(), s, GENERATOR) for p, s in zip(given_points, EDGES, strict=True)]
    assert [row.tobytes() for row in found] == wanted


@LANES
def test_a_sum_of_zero_and_bad_encodings_give_zeros_and_leave_their_neighbours_alone(lanes):
    mixed = rows(*(row for bad in BAD for row in (bytes.fromhex(bad), GENERATOR)))
    found = fixed_base.shifted(mixed, np.repeat(rows(little(2)), len(mixed), 0), TABLE, lanes)
    assert not found[::2].any()
    assert (found[1::2] == rows(points.multiply_generator(6))).all()
    assert not fixed_base.shifted(rows(GENERATOR), rows(little(ORDER - 1)), TABLE, lanes).any()


@LANES
def test_any_number_of_rows_in_any_layout_and_in_threads(lanes, monkeypatch):
    random = np.random.default_rng(1)
    uniform, scalars = (random.integers(0, 256, (600, width), dtype=np.uint8) for width in (64, 32))
    wanted = fixed_base.shifted(uniform, scalars, TABLE, lanes)
    assert (fixed_base.shifted(SODIUM.from_uniform(uniform), scalars, TABLE, lanes) == wanted).all()
    for count in (0, 1, 7, 9):
        assert (fixed_base.shifted(uniform[:count], scalars[:count], TABLE, lanes) == wanted[:count]).all()
    strided = np.repeat(scalars, 2, axis=0)[::2]
    strided.flags.writeable = False
    monkeypatch.setattr(fixed_base, "LEAST_ROWS", 1)
    monkeypatch.setattr("protocols.kernels.threads.cores", lambda: 3)
    assert (fixed_base.shifted(np.asfortranarray(uniform), strided, TABLE, lanes) == wanted).all()
    kernel = fixed_base._shift_8 if lanes == 8 else fixed_base._shift_1
    assert len(kernel.signatures) == 1


# -- the group


@GROUPS
@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.one_of(st.sampled_from([0, 1, 2**252 - 1]), st.integers(0, 2**252 - 1)), min_size=1, max_size=9),
    st.integers(1, ORDER - 1),
)
def test_a_blind_comes_off_again(lanes, numbers, scalar):
    """(b / 4) · 2 (H + r G) and the key (b / 2) G give b · H, whatever r is, zero too."""
    here, scalar = group(lanes), little(scalar)
    items, blinds = elements(len(numbers)), rows(*map(little, numbers))
    blinded = here.blind(items, b"tag", blinds)
    assert (blinded == SODIUM.blind(items, b"tag", blinds)).all()
    half = SODIUM.halved(scalar)
    replies = here.multiply(SODIUM.halved(half), blinded)
    outputs = here.unblinding(SODIUM.generated(half))(replies, blinds)
    assert (outputs == here.hash_multiply(scalar, items, b"tag")).all()


@GROUPS
@pytest.mark.parametrize("bad", [BAD[0], BAD[9], "00" * 32, (GENERATOR[:31] + bytes([GENERATOR[31] | 128])).hex()])
def test_keys_and_points_that_are_none_are_refused_by_name(lanes, bad):
    bad = bytes.fromhex(bad)
    here = group(lanes)
    with pytest.raises(BadMessage, match="group element"):
        here.unblinding(bad)
    with pytest.raises(BadMessage, match="group element"):
        here.unblinding(GENERATOR)(rows(GENERATOR, bad, GENERATOR), rows(*map(little, (5, 6, 7))))


@GROUPS
def test_a_result_of_zero_is_refused(lanes):
    with pytest.raises(BadMessage, match="group element"):
        group(lanes).unblinding(GENERATOR)(rows(points.multiply_generator(7)), rows(little(7)))


@GROUPS
def test_blinds_of_another_shape_are_a_bug(lanes):
    with pytest.raises(ValueError, match="blinds"):
        group(lanes).unblinding(GENERATOR)(rows(GENERATOR, GENERATOR), rows(little(7)))


def test_halves_and_generated_points():
    for number in (1, 2, ORDER - 1, 12345):
        half = int.from_bytes(SODIUM.halved(little(number)), "little")
        assert 2 * half % ORDER == number
        assert SODIUM.generated(little(number)) == points.multiply_generator(number)
    with pytest.raises(ValueError, match="zero"):
        SODIUM.generated(bytes(32))


def test_blinds_are_252_bits_drawn_afresh():
    blinds = random_blinds(2000)
    assert (blinds[:, 31] < 16).all()
    assert set(blinds[:, 31].tolist()) == set(range(16))
    assert len({row.tobytes() for row in blinds}) == 2000
    assert random_blinds(2, lambda n: b"\xff" * n).tolist() == [[255] * 31 + [15]] * 2
