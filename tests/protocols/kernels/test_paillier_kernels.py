"""The kernels against Python's integers, at the ends of what they are given."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.kernels.target import has

if not has("avx512f", "avx512ifma"):
    pytest.skip("this target has no AVX512-IFMA", allow_module_level=True)

from numba import njit
from numba.core.dispatcher import Dispatcher

from protocols.kernels import paillier
from protocols.kernels.paillier import dual, powers, rows
from protocols.kernels.paillier.tiles import ENTRIES, LANES, LIMB_BITS
from protocols.paillier.rings import Lines, Ring, addresses, blank, expanded, limbs_of, loaded, saved

RINGS = {bits: Ring((1 << bits) - 237) for bits in (246, 500, 1024)}
QUICK = settings(max_examples=15, deadline=None)


def lines(numbers: list[int], limbs: int) -> Lines:
    """Plain numbers, eight a line."""
    made = np.zeros((len(numbers) // LANES, limbs, LANES), np.uint64)
    for i, number in enumerate(numbers):
        made[i // LANES, :, i % LANES] = limbs_of(number, limbs)
    out = blank(len(made), limbs)
    out[:] = made.reshape(len(made), -1)
    return out


def plain(z: Lines, start: int = 0, stop: int | None = None) -> list[int]:
    by_lane = z.reshape(len(z), -1, LANES)[:, start:stop].transpose(0, 2, 1).reshape(len(z) * LANES, -1)
    assert (by_lane >> np.uint64(LIMB_BITS) == 0).all()
    return [sum(int(limb) << (LIMB_BITS * i) for i, limb in enumerate(row)) for row in by_lane]


def paired(ring: Ring, pairs: list[tuple[int, int]]) -> Lines:
    return np.concatenate([lines([part[i] for part in pairs], ring.size) for i in (0, 1)], axis=1)


def values(ring: Ring, z: Lines) -> list[int]:
    """What pairs stand for."""
    parts = zip(plain(z, 0, ring.size), plain(z, ring.size), strict=True)
    return [int((first - second * ring.n) % ring.square) for first, second in parts]


def loose(ring: Ring) -> st.SearchStrategy[list[tuple[int, int]]]:
    n = int(ring.n)
    part = st.sampled_from([0, 1, n - 1, n, 16 * n - 1]) | st.integers(0, 16 * n - 1)
    return st.lists(st.tuples(part, part), min_size=2 * LANES, max_size=2 * LANES)


@pytest.mark.parametrize("bits", RINGS)
@QUICK
@given(st.data())
def test_products_of_loose_pairs(bits: int, data: st.DataObject) -> None:
    ring = RINGS[bits]
    x, y = (paired(ring, data.draw(loose(ring))) for _ in range(2))
    inverse = pow(int(ring.r), -1, int(ring.square))
    expected = [a * b * inverse % int(ring.square) for a, b in zip(values(ring, x), values(ring, y), strict=True)]
    z = ring.multiply(ring.blank(2), x, y)
    assert values(ring, z) == expected
    assert max(plain(z, 0, ring.size)) < 2 * ring.n
    assert max(plain(z, ring.size)) < 3 * ring.n // 2
    assert plain(ring.plain(z.copy())) == expected
    assert values(ring, ring.multiply(x, x, y)) == expected, "in place"


@pytest.mark.parametrize("bits", RINGS)
@QUICK
@given(st.data())
def test_powers(bits: int, data: st.DataObject) -> None:
    ring, exponent = RINGS[bits], data.draw(st.integers(0, 16**5 - 1))
    x = paired(ring, data.draw(loose(ring)))
    inverse = pow(int(ring.r), -1, int(ring.square))
    expected = [
        pow(value * inverse, exponent, int(ring.square)) * int(ring.r) % int(ring.square) for value in values(ring, x)
    ]
    digits = np.array([int(digit, 16) for digit in f"{exponent:05x}"], np.uint64)
    powers.power(x, ring.one, digits, ring.modulus, ring.inverse)
    assert values(ring, x) == expected


@pytest.mark.parametrize("bits", RINGS)
@QUICK
@given(st.data())
def test_halving_and_expanding(bits: int, data: st.DataObject) -> None:
    ring = RINGS[bits]
    most = int(ring.r * ring.n)
    number = st.sampled_from([0, 1, most - 1, int(ring.r) - 1, int(ring.r)]) | st.integers(0, most - 1)
    numbers = data.draw(st.lists(number, min_size=LANES, max_size=LANES))
    inverse = pow(int(ring.r), -1, int(ring.square))
    halved = ring.halved(lines(numbers, 2 * ring.size))
    assert values(ring, halved) == [x * inverse % int(ring.square) for x in numbers]
    parts = [(x % int(ring.r), x // int(ring.r)) for x in numbers]
    assert plain(expanded(paired(ring, parts), ring.modulus)) == [low + high * int(ring.n) for low, high in parts]


@QUICK
@given(st.data())
def test_sums_carry_and_borrow(data: st.DataObject) -> None:
    ring = RINGS[246]
    n = int(ring.n)
    part = st.integers(0, n - 1) | st.sampled_from([0, n - 1])
    left, right = (data.draw(st.lists(st.tuples(part, part), min_size=LANES, max_size=LANES)) for _ in range(2))
    x, y = paired(ring, left), paired(ring, right)
    rows.plus_minus(x, x, ring.shift(n, 2 * n), y)
    assert plain(x, 0, ring.size) == [a + n - b for (a, _), (b, _) in zip(left, right, strict=True)]
    assert plain(x, ring.size) == [a + 2 * n - b for (_, a), (_, b) in zip(left, right, strict=True)]
    rows.subtract_once(x, ring.modulus)
    assert plain(x, 0, ring.size) == [(a - b) % n if a - b else 0 for (a, _), (b, _) in zip(left, right, strict=True)]


@pytest.mark.parametrize("words", [1, 8, 13, 24])
def test_rows_become_limbs_and_rows_again(words: int) -> None:
    content = np.random.default_rng(words).integers(0, 256, (16, 8 * words), np.uint8)
    content[3], content[4] = 0, 255
    limbs = -(-64 * words // LIMB_BITS)
    for more in (0, 3):
        made = loaded(addresses(content), 8 * words, limbs + more)
        assert plain(made) == [int.from_bytes(row.tobytes(), "little") for row in content]
        assert (saved(made, 8 * words) == content).all()


def test_rows_at_odd_addresses_and_read_only_are_read_in_place() -> None:
    space = np.random.default_rng(1).integers(0, 256, 8 * 16 + 3, np.uint8)
    odd = space[3:].reshape(8, 16)
    odd.setflags(write=False)
    assert plain(loaded(addresses(odd), 16, 3)) == [int.from_bytes(row.tobytes(), "little") for row in odd]


@pytest.mark.parametrize("bit", [0, 6, 54, 60, 63, 64, 120])
def test_every_entry_can_be_looked_up(bit: int) -> None:
    rng = np.random.default_rng(bit)
    table = rng.integers(0, 1 << LIMB_BITS, (10, ENTRIES)).astype(np.uint64)
    exponents = rng.integers(0, 1 << 63, (ENTRIES, 4)).astype(np.uint64)
    wanted = np.arange(ENTRIES)
    for row, digit in enumerate(wanted):
        number = int.from_bytes(exponents[row].tobytes(), "little") & ~(63 << bit) | int(digit) << bit
        exponents[row] = np.frombuffer(number.to_bytes(32, "little"), np.uint64)
    z = blank(ENTRIES // LANES, 10)
    powers.look_up(z, table.ravel(), exponents, bit)
    found = z.reshape(-1, 10, LANES).transpose(0, 2, 1).reshape(ENTRIES, 10)
    assert (found == table[:, wanted].T).all()


def test_warming_compiles_nothing_else_than_production() -> None:
    paillier.warm()
    test_rows_become_limbs_and_rows_again(8)
    test_every_entry_can_be_looked_up(6)
    ring = RINGS[500]
    ring.plain(ring.multiply(ring.blank(1), ring.one, ring.one))
    ring.halved(ring.one.copy())
    compiled = [
        kernel
        for module in (dual, powers, rows)
        for kernel in vars(module).values()
        if isinstance(kernel, Dispatcher) and kernel.targetoptions.get("no_cpython_wrapper") is None
    ]
    assert [len(kernel.signatures) for kernel in compiled] == [1] * 10


@pytest.mark.parametrize("kernel", [powers.look_up, powers.power], ids=["look_up", "power"])
def test_look_ups_read_whole_tables_in_machine_code_too(kernel: Dispatcher) -> None:
    """LLVM once made masked loads of masked moves: then an entry that is not wanted need not be read."""
    paillier.warm()
    fresh = njit(error_model="numpy", nogil=True)(kernel.py_func)
    fresh.compile(kernel.signatures[0])
    (code,) = fresh.inspect_asm().values()
    assert "vpermt2q" in code or "vpmadd52luq" in code
    assert not re.findall(r"\(%r.*\{%k", code)
    assert "gather" not in code
