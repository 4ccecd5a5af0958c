"""Every backend of the group gives libsodium's bytes, and refuses what libsodium refuses."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from protocols.errors import BadMessage
from protocols.group import FEW_ROWS, Kernel, Libsodium, backend, libsodium
from protocols.kernels.ristretto import fixed_base, ristretto255
from protocols.kernels.ristretto.ristretto255 import derived, halved, multiplied, signed_digits
from protocols.kernels.target import has

pytestmark = pytest.mark.xdist_group("ristretto")  # each worker would compile its kernels anew

ROOT = Path(__file__).parents[3]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "rfc9496_ristretto255.json").read_text())
ORDER = 2**252 + 27742317777372353535851937790883648493
P = 2**255 - 19
EIGHT = has("avx512f", "avx512ifma")
LANES = pytest.mark.parametrize("lanes", [1, pytest.param(8, marks=pytest.mark.skipif(not EIGHT, reason="no IFMA"))])
SODIUM = libsodium()
BAD = [row["encoding"] for row in VECTORS["bad_encodings"] + VECTORS["bad_encodings_extra"]]


def rows(*contents: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(contents), np.uint8).reshape(len(contents), -1)


def hexes(array: np.ndarray) -> list[str]:
    return [row.tobytes().hex() for row in array]


def little(number: int) -> bytes:
    return number.to_bytes(32, "little")


MULTIPLES = rows(*(bytes.fromhex(row["encoding"]) for row in VECTORS["generator_multiples"]))


# -- published values


@LANES
def test_multiples_of_the_generator(lanes):
    for factor, expected in enumerate(MULTIPLES):
        assert (multiplied(MULTIPLES[1:2], little(factor), lanes)[0] == expected).all()
    assert (multiplied(MULTIPLES, little(1), lanes) == MULTIPLES).all()


@LANES
def test_bad_encodings_give_zeros_and_leave_their_neighbours_alone(lanes):
    mixed = rows(*(row for bad in BAD for row in (bytes.fromhex(bad), MULTIPLES[3].tobytes())))
    products = multiplied(mixed, little(1), lanes)
    assert not products[::2].any()
    assert (products[1::2] == MULTIPLES[3]).all()


@LANES
@pytest.mark.parametrize("bad", [*BAD, "00" * 32])
def test_bad_encodings_and_zero_are_refused_by_name(bad, lanes):
    with pytest.raises(BadMessage, match="group element"):
        Kernel(lanes).multiply(little(5), rows(*[MULTIPLES[1].tobytes()] * 9, bytes.fromhex(bad)))


@LANES
def test_elements_from_uniform_bytes(lanes):
    uniform = rows(*(bytes.fromhex(row["uniform_bytes"]) for row in VECTORS["uniform_bytes_to_element"]))
    expected = [row["encoding"] for row in VECTORS["uniform_bytes_to_element"]]
    assert hexes(Kernel(lanes).from_uniform(uniform)) == expected
    assert hexes(multiplied(uniform, little(1), lanes)) == expected


# -- agreement with libsodium

EDGES = [bytes(32), b"\xff" * 32, little(1), little(2), little(P - 1), little(P), little(P + 1), little(2**255 - 1)]
strings = st.one_of(st.sampled_from([*EDGES, *map(bytes.fromhex, BAD)]), st.binary(min_size=32, max_size=32))
even = strings.map(lambda b: bytes([b[0] & 0xFE]) + b[1:31] + bytes([b[31] & 0x7F]))  # a quarter of these is valid
scalars = st.one_of(
    st.sampled_from([1, 2, 8, 15, 16, ORDER - 1, ORDER - 2, 2**252, *(int("1" * 63, 16) * d for d in (7, 8, 9))]),
    st.integers(1, ORDER - 1),
).map(lambda number: little(number % ORDER or 1))


@LANES
@settings(max_examples=15, deadline=None)
@given(st.lists(st.binary(min_size=64, max_size=64), min_size=1, max_size=20), st.data(), scalars)
def test_derivation_and_multiplication_are_libsodiums(lanes, uniform, data, scalar):
    edge = data.draw(st.sampled_from(EDGES)) + data.draw(st.sampled_from(EDGES))
    uniform = rows(*uniform, edge)
    points = SODIUM.from_uniform(uniform)
    assert (derived(uniform, lanes) == points).all()
    ours = multiplied(uniform, scalar, lanes)
    assert (multiplied(points, scalar, lanes) == ours).all()
    nonzero = points.any(axis=1)
    assert (ours[nonzero] == SODIUM.multiply(scalar, points[nonzero])).all()
    assert not ours[~nonzero].any()


@LANES
@settings(max_examples=15, deadline=None)
@given(st.lists(st.one_of(even, strings), min_size=1, max_size=40))
def test_what_is_valid_is_what_libsodium_takes(lanes, encodings):
    ours = multiplied(rows(*encodings), little(1), lanes)
    for encoding, product in zip(encodings, ours, strict=True):
        try:
            expected = SODIUM.multiply(little(1), rows(encoding))
        except BadMessage:
            expected = bytes(32)
        assert product.tobytes() == bytes(expected)


@pytest.mark.skipif(not EIGHT, reason="no IFMA")
def test_one_lane_and_eight_give_equal_bytes_for_many_rows():
    random = np.random.default_rng(255)
    strings = random.integers(0, 256, (2000, 32), dtype=np.uint8)
    strings[:, 0] &= 0xFE
    strings[:, 31] &= 0x7F
    scalar = little(int.from_bytes(random.bytes(40), "little") % ORDER)
    eight = multiplied(strings, scalar, 8)
    assert (multiplied(strings, scalar, 1) == eight).all()
    assert 200 < eight.any(axis=1).sum() < 900
    uniform = random.integers(0, 256, (500, 64), dtype=np.uint8)
    assert (multiplied(uniform, scalar, 1) == multiplied(uniform, scalar, 8)).all()


@LANES
def test_any_number_of_rows_and_any_layout(lanes):
    uniform = np.random.default_rng(1).integers(0, 256, (600, 64), dtype=np.uint8)
    scalar = little(12345)
    expected = multiplied(uniform, scalar, lanes)
    for count in (0, 1, 7, 8, 9, 600):
        assert (multiplied(uniform[:count], scalar, lanes) == expected[:count]).all()
    frozen = uniform.copy()
    frozen.flags.writeable = False
    for layout in (frozen, np.asfortranarray(uniform), np.repeat(uniform, 2, axis=0)[::2]):
        assert (multiplied(layout, scalar, lanes) == expected).all()
    kernel = ristretto255._multiply_8 if lanes == 8 else ristretto255._multiply_1
    assert len(kernel.signatures) == 1


@LANES
def test_threads_change_nothing(lanes, monkeypatch):
    uniform = np.random.default_rng(2).integers(0, 256, (100, 64), dtype=np.uint8)
    alone = multiplied(uniform, little(7), lanes)
    monkeypatch.setattr(ristretto255, "LEAST_ROWS", 1)
    monkeypatch.setattr("protocols.kernels.threads.cores", lambda: 3)
    assert (multiplied(uniform, little(7), lanes) == alone).all()


@LANES
def test_a_backend_is_a_backend(lanes):
    kernel = Kernel(lanes)
    items = np.random.default_rng(3).integers(0, 256, (40, 32), dtype=np.uint8)
    scalar = kernel.random_scalar()
    hashed = SODIUM.hash_to_group(items, b"tag")
    assert (kernel.hash_to_group(items, b"tag") == hashed).all()
    product = kernel.hash_multiply(scalar, items, b"tag")
    assert (product == SODIUM.hash_multiply(scalar, items, b"tag")).all()
    assert (kernel.multiply(kernel.invert(scalar), product) == hashed).all()
    with pytest.raises(BadMessage):
        kernel.multiply(bytes(32), hashed)
    for points in (hashed[:, :31], hashed[0]):
        with pytest.raises(ValueError, match="uint8"):
            kernel.multiply(scalar, points)


def test_digits_make_up_the_scalar():
    for number in (0, 1, 7, 8, ORDER - 1, 2**252, int("8" * 63, 16) % ORDER):
        assert 2 * halved(little(number)) % ORDER == number
        magnitudes, negative = signed_digits(number).reshape(2, 64)
        digits = [-int(m) if n else int(m) for m, n in zip(magnitudes, negative, strict=True)]
        assert all(-8 <= digit <= 7 for digit in digits)
        assert sum(digit * 16**place for place, digit in enumerate(digits)) == number
    for scalar in (little(ORDER), little(2**255), bytes(31)):
        with pytest.raises(ValueError, match="order"):
            halved(scalar)


# -- which backend


def test_little_work_needs_no_numba():
    code = (
        "import sys, numpy as np\nfrom protocols.group import backend, FEW_ROWS\ng = backend(FEW_ROWS)\n"
        "g.hash_multiply(g.random_scalar(), np.ones((2000, 32), np.uint8), b'tag')\n"
        "print(type(g).__name__, 'numba' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert out.split() == ["Libsodium", "False"]
    assert backend() is backend(FEW_ROWS) is libsodium()


@pytest.mark.parametrize(
    ("lanes", "rows", "kind"),
    [(8, FEW_ROWS + 1, Kernel), (1, FEW_ROWS + 1, Libsodium), (1, 100_000, Libsodium), (1, 100_001, Kernel)],
)
def test_much_work_goes_to_the_kernel_where_it_is_quicker(monkeypatch, lanes, rows, kind):
    monkeypatch.setattr(ristretto255, "default_lanes", lambda: lanes)
    assert type(backend(rows)) is kind


# -- side channels


@pytest.mark.parametrize(
    ("kernel", "signature", "most"),
    [
        (ristretto255._multiply_1, "(uint64[:,::1], uint64[:,::1], int64[::1], uint64[::1], int64)", 20),
        (fixed_base._shift_1, "(uint64[:,::1], uint64[:,::1], uint64[:,::1], uint64[::1], uint64[::1], int64)", 12),
    ],
)
def test_no_jump_of_the_machine_code_depends_on_a_value(kernel, signature, most):
    """Conditional jumps end loops and make the public choice between deriving and decoding.

    One lane, where LLVM could turn a mask into a branch; eight lanes are vectors: when looked at, the same loops.
    """
    compiled = njit(nogil=True, error_model="numpy")(kernel.py_func)
    compiled.compile(signature)
    (assembly,) = compiled.inspect_asm().values()
    jumps: dict[str, int] = {}
    now = ""
    for line in assembly.splitlines():
        if label := re.match(r'"?(\w[\w$.@]*)"?:', line):
            now = "numba" if label[1].startswith(("_ZN7cpython", "NRT", "cfunc")) else label[1]
            now = "rows" if kernel.__name__ in now else now
            jumps.setdefault(now, 0)
        elif re.match(r"\t(j(?!mp)|b\.|cbn?z|tbn?z)", line):
            jumps[now] += 1
    assert jumps["product"] == jumps["map_to_point"] == jumps["sqrt_ratio_m1"] == 0
    assert jumps["pow22523"] == 7  # loops of squarings
    assert jumps["rows"] <= most  # rows, blocks, table, look-ups, digits, doublings, the inversion; derive or decode
