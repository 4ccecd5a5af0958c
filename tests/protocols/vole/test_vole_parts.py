"""The parts of the vole match against independent judges: OpenSSL, hashlib, integers, exact distributions."""

import functools
import hashlib
import os

import numpy as np
import pytest
import scipy
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import types

from protocols.errors import BadMessage, ProtocolError
from protocols.kernels.compiled import kernel
from protocols.kernels.target import has
from protocols.kernels.vole import aes, clmul, correlation, okvs, outputs, planes
from protocols.psi.vole import base_ot, check, code, streams, trees
from protocols.psi.vole.items import hold, rows_of
from protocols.psi.vole.parameters import CODE_DIMENSION, CODE_DISTANCE, CODE_LENGTH, columns_of, derive, load_bound

SESSION = bytes(range(32))
RNG = np.random.default_rng(7)


def words(*shape) -> np.ndarray:
    return RNG.integers(0, 2**64, shape, dtype=np.uint64)


# -- AES and streams


@pytest.mark.skipif(not aes.HARDWARE, reason="the target has no AES instructions")
def test_round_keys_are_those_of_fips_197():
    key = np.frombuffer(bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), np.uint32).reshape(1, 4).copy()
    out = np.empty((1, 44), np.uint32)
    aes.schedule(key, out)
    assert out[0, -4:].tobytes().hex() == "d014f9a8c9ee2589e13f0cc8b6630ca6"


@pytest.mark.skipif(not aes.HARDWARE, reason="the target has no AES instructions")
@pytest.mark.parametrize("wide", [False, True])
def test_aes_in_registers_is_openssls(wide):
    if wide and not has("vaes", "avx512f"):
        pytest.skip("the target has no VAES")
    stream, lanes = aes.counter_stream(wide, 2), 4 if wide else 1

    @kernel
    def blocks(keys, counter, salt, out):
        stream(types.uintp(keys.ctypes.data), counter, salt, types.uintp(out.ctypes.data))

    key, counter, salt = os.urandom(16), 2**40 + 3, 2**63 + 5
    keys = np.empty((1, 44), np.uint32)
    aes.schedule(np.frombuffer(key, np.uint32).reshape(1, 4).copy(), keys)
    out, plain = words(2 * lanes, 2), np.empty((2 * lanes, 2), np.uint64)
    blocks(keys, np.uint64(counter), np.uint64(salt), out)
    plain[:, 0], plain[:, 1] = np.arange(counter, counter + 2 * lanes), salt
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    assert out.tobytes() == encryptor.update(plain.tobytes())


@pytest.mark.parametrize("whole", [True, False])
def test_streams_are_the_same_with_openssl(whole):
    seeds = words(3, 64, 2).view(np.uint8).reshape(3, 64, 16)
    found = []
    for hardware in (aes.HARDWARE, False):
        held = streams.Streams(SESSION, seeds, whole=whole, hardware=hardware)
        held.claim(5)
        v = np.empty((2, 3, 48), np.uint64)
        found.append((held.claim(2).expand(v), v))
    assert (found[0][0] == found[1][0]).all()
    assert (found[0][1] == found[1][1]).all()
    assert len(found[0][0]) == (2 if whole else 0)


# -- trees and transfers


def agreed(delta):
    chooser = base_ot.Chooser(SESSION, trees.path_choices(delta), os.urandom)
    reply, keys = base_ot.offer(SESSION, chooser.points, os.urandom)
    seeds, sums = trees.grow(SESSION, keys.reshape(len(delta), 6, 2, 16), os.urandom)
    return seeds, trees.regrow(SESSION, delta, chooser.keys(reply).reshape(len(delta), 6, 16), sums)


def test_all_leaves_but_deltas_are_shared_and_the_relation_holds():
    delta = RNG.integers(0, 64, 35)
    full, less = agreed(delta)
    for i, d in enumerate(delta):
        assert (less[i, 0] == 0).all()
        for x in range(64):
            assert (less[i, x ^ d] == full[i, x]).all() == (x != d)
    v, w = np.empty((2, 35, 48), np.uint64), np.empty((2, 35, 48), np.uint64)
    u = streams.Streams(SESSION, full, whole=True).claim(2).expand(v)
    streams.Streams(SESSION, less, whole=False).claim(2).expand(w)
    for block in range(2):
        product = code.scale_planes(u[block].reshape(-1, 8), delta)
        assert (w[block].reshape(-1, 8) == v[block].reshape(-1, 8) ^ product).all()


def test_transfers_give_the_chosen_key_and_not_the_other():
    choices = RNG.integers(0, 2, 20).astype(np.uint8)
    chooser = base_ot.Chooser(SESSION, choices, os.urandom)
    reply, keys = base_ot.offer(SESSION, chooser.points, os.urandom)
    mine = chooser.keys(reply)
    for i, choice in enumerate(choices):
        assert (mine[i] == keys[i, choice]).all()
        assert (mine[i] != keys[i, 1 - choice]).any()
    with pytest.raises(BadMessage):
        chooser.keys(b"\1" * 5 + bytes(27))


# -- the code


multiply = functools.cache(code.multiply)


def encode(message: list[int]) -> list[int]:
    """The word as its definition says: values of the polynomial through the message, by Lagrange's formula."""
    word = list(message)
    for point in range(CODE_DIMENSION, CODE_LENGTH):
        value = 0
        for i, element in enumerate(message):
            for j in set(range(CODE_DIMENSION)) - {i}:
                element = multiply(element, multiply(point ^ j, code.inverse(i ^ j)))
            value ^= element
        word.append(value)
    return word


def test_the_field_is_gf_64():
    assert all(code.multiply(a, code.inverse(a)) == 1 for a in range(1, 64))
    powers = [1]
    while (following := code.multiply(powers[-1], 2)) != 1:
        powers.append(following)
    assert sorted(powers) == list(range(1, 64))  # x is of full order: x^6 + x + 1 is primitive
    assert code.multiply(32, 2) == 3


def test_the_code_is_reed_solomon_of_distance_22():
    assert (CODE_LENGTH, CODE_DIMENSION, CODE_DISTANCE) == (35, 14, 22)
    for i in range(CODE_DIMENSION):  # all but one message element zero: of the least weight that a word may have
        for value in (1, 63):
            message = [0] * CODE_DIMENSION
            message[i] = value
            assert sum(element > 0 for element in encode(message)) == CODE_DISTANCE
    for unit, word in enumerate(code.unit_words()):
        assert word == encode([(1 << unit >> 6 * i) & 63 for i in range(CODE_DIMENSION)])
    for _ in range(100):
        a, b = (
            [int(x) for x in RNG.integers(0, 64, CODE_DIMENSION) * RNG.integers(0, 2, CODE_DIMENSION)] for _ in "ab"
        )
        words_ = encode(a), encode(b)
        assert encode([x ^ y for x, y in zip(a, b, strict=True)]) == [x ^ y for x, y in zip(*words_, strict=True)]
        assert all(sum(map(bool, word)) >= CODE_DISTANCE for word, m in zip(words_, (a, b), strict=True) if any(m))


def test_any_14_places_of_a_word_determine_it():
    """MDS: no 14 columns of the code's matrix are dependent, so nothing is left of the message in the others."""
    units = [encode([int(i == j) for i in range(CODE_DIMENSION)]) for j in range(CODE_DIMENSION)]
    for _ in range(20):
        places = RNG.permutation(CODE_LENGTH)[:CODE_DIMENSION]
        rows = [[unit[place] for place in places] for unit in units]
        for column in range(CODE_DIMENSION):
            pivot = next((r for r in range(column, CODE_DIMENSION) if rows[r][column]), None)
            assert pivot is not None
            rows[column], rows[pivot] = rows[pivot], rows[column]
            inverse = code.inverse(rows[column][column])
            for r in range(column + 1, CODE_DIMENSION):
                factor = code.multiply(rows[r][column], inverse)
                rows[r] = [x ^ code.multiply(factor, y) for x, y in zip(rows[r], rows[column], strict=True)]


def test_tables_of_delta_are_the_words_products():
    delta = RNG.integers(0, 64, CODE_LENGTH)
    tables = code.delta_tables(delta)
    value = int.from_bytes(os.urandom(11), "little") % 2**84
    row = 0
    for s, octet in enumerate(value.to_bytes(11, "little")):
        row ^= int.from_bytes(tables[s, octet].tobytes(), "little")
    word = encode([(value >> (6 * i)) & 63 for i in range(CODE_DIMENSION)])
    assert row == sum(code.multiply(int(d), e) << (6 * i) for i, (d, e) in enumerate(zip(delta, word, strict=True)))


# -- planes and the correlation


def test_planes_turn_into_rows():
    bits, out = words(2, 70, 8), np.empty((1024, 2), np.uint64)
    planes.planes_to_rows(bits, out)
    for slot in (0, 63, 64, 511, 700):
        block, at = divmod(slot, 512)
        row = sum(int(bits[block, p, at // 64] >> np.uint64(at % 64) & np.uint64(1)) << p for p in range(70))
        assert int(out[slot, 0]) | int(out[slot, 1]) << 64 == row


def test_the_correction_carries_the_words_and_the_sender_gets_their_product():
    delta = RNG.integers(0, 64, CODE_LENGTH)
    values, v, u = words(1024, 2), words(2, 35, 48), words(2, 35, 48)
    values[:, 1] &= np.uint64(2**20 - 1)
    w, message = np.empty_like(v), np.empty((2, 84, 8), np.uint64)
    for block in range(2):
        w[block] = v[block] ^ code.scale_planes(u[block].reshape(-1, 8), delta).reshape(35, 48)
    correction = u.copy()
    correlation.correct(correction, values, *code.parity_sources(), message)
    correlation.add_product(w, correction, delta)
    rows = [np.empty((1024, 4), np.uint64) for _ in "vw"]
    for part, out in zip((v, w), rows, strict=True):
        planes.planes_to_rows(part.reshape(2, 210, 8), out)
    expected, tables = rows[0].copy(), code.delta_tables(delta)
    octets = values.view(np.uint8).reshape(-1, 16)
    for s in range(11):
        expected ^= tables[s, octets[:, s]]
    assert (rows[1] == expected).all()


# -- the check's arithmetic

POLYNOMIAL = (1 << 128) | 0x87


def product(a: int, b: int) -> int:
    total = 0
    while b:
        total ^= a if b & 1 else 0
        a, b = a << 1, b >> 1
    for bit in range(total.bit_length() - 1, 127, -1):
        total ^= POLYNOMIAL << (bit - 128) if total >> bit & 1 else 0
    return total


def element(pair) -> int:
    return int(pair[0]) | int(pair[1]) << 64


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**128 - 1))
def test_powers_are_those_of_the_field(point):
    out = np.empty((4, 2), np.uint64)
    clmul.powers_down(np.uint64(point & (2**64 - 1)), np.uint64(point >> 64), out)
    square = product(point, point)
    assert [element(pair) for pair in out] == [product(square, point), square, point, 1]


@pytest.mark.parametrize("hardware", [True, False])
def test_planes_are_hashed_to_their_polynomial(hardware):
    if hardware and not clmul.HARDWARE:
        pytest.skip("the target has no carry-less product")
    hashed = check.Hash(b"t" * 32, 1, 2, 2, 3)
    bins = words(2, 3, 5, 8)
    powers = hashed._powers.reshape(-1, 2)
    assert element(powers[-1]) == 1
    point = element(powers[-2])
    for plane, found in enumerate(hashed.planes(bins, hardware=hardware)):
        expected = 0
        for chunk in bins[:, :, plane].reshape(-1, 2):
            expected = product(expected, point) ^ element(chunk)
        assert element(found) == expected


@pytest.mark.parametrize("wide", [False, True])
def test_products_of_chunks_are_equal_on_all_paths(wide):
    if not has("pclmul") or (wide and not has("vpclmulqdq", "avx512f")):
        pytest.skip("the target has no carry-less product of this width")
    products = clmul.chunk_products(wide)

    @kernel
    def once(plane, powers, sums):
        products(types.uintp(plane.ctypes.data), types.uintp(powers.ctypes.data), types.uintp(sums.ctypes.data))

    plane, powers, sums, other = words(1, 1, 8), words(1, 4, 2), np.zeros((1, 3, 8), np.uint64), words(1, 3, 8) * 0
    once(plane, powers, sums)
    clmul.hash_planes_portable(plane, powers, other)
    assert (sums == other).all()


# -- the key-value store


def some_rows(count: int, layout, session: bytes = SESSION):
    held = hold([words(count, 2).view(np.uint8).reshape(-1, 16)], session, 1, count)
    return held, rows_of(held, 0, layout, session, 0)


def test_digests_are_sha_256_and_rows_stand_in_their_bins():
    layout = derive(100_000, 10)
    held, rows = some_rows(2000, layout)
    assert sorted(rows.order.tolist()) == list(range(2000))
    seed = hashlib.sha256(b"cleanroom/vole-seed/1" + SESSION + bytes(8)).digest()[:16]
    for i in range(0, 2000, 97):
        key = held.hi[rows.order[i]].tobytes() + held.lo[rows.order[i]].tobytes()
        assert rows.digests[i].tobytes() == hashlib.sha256(b"vole-row" + seed + key).digest()
    for number in range(layout.bins):
        bins = [int(first) * layout.bins >> 64 for first in rows.digests[rows.bin(number), 0]]
        assert set(bins) <= {number}


def decoded(digests, slots, bins, sparse, dense) -> list[int]:
    """A row's value the slow way, from the description alone."""
    found = []
    for d in digests:
        d = [int(word) for word in d]
        rest = d[0] * bins % 2**64
        x, rest = rest * sparse >> 64, rest * sparse % 2**64
        y, z = rest * (sparse - 1) >> 64, (d[1] % 2**32) * (sparse - 2) >> 32
        y += y >= x
        for taken in sorted((x, y)):
            z += z >= taken
        assert len({x, y, z}) == 3
        value = element(slots[x]) ^ element(slots[y]) ^ element(slots[z])
        bits = (d[1] >> 32 | d[2] << 32) % 2**dense
        for j in range(dense):
            value ^= element(slots[sparse + j]) if bits >> j & 1 else 0
        found.append(value)
    return found


def wanted(digests) -> list[int]:
    return [((int(d[2]) >> 32 | int(d[3]) << 32) % 2**64 | int(d[3]) >> 32 << 64) % 2**84 for d in digests]


@pytest.mark.parametrize(("count", "sparse"), [(0, 64), (1, 64), (2, 64), (300, 600), (2000, 2753)])
def test_a_solved_bin_gives_every_row_its_value(count, sparse):
    digests, slots = words(count, 4), np.zeros((sparse + 47, 2), np.uint64)
    assert okvs.encode_bin(digests, 1, sparse, 47, 20, slots) >= 0
    assert decoded(digests, slots, 1, sparse, 47) == wanted(digests)


def test_a_gap_is_solved_by_the_dense_columns():
    gaps = []
    for _ in range(60):
        digests, slots = words(400, 4), np.zeros((500 + 60, 2), np.uint64)
        gap = okvs.encode_bin(digests, 1, 500, 60, 20, slots)
        if gap > 0:
            assert decoded(digests, slots, 1, 500, 60) == wanted(digests)
        gaps.append(gap)
    assert sum(gap > 0 for gap in gaps) >= 5


def test_rows_that_cannot_be_solved_are_said_to_be():
    digests = words(200, 4)
    assert okvs.encode_bin(digests, 1, 64, 40, 20, np.zeros((512, 2), np.uint64)) == -1
    twice = np.concatenate([digests, digests[:1]])
    assert okvs.encode_bin(twice, 1, 400, 40, 20, np.zeros((512, 2), np.uint64)) == -1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60))
def test_repeated_keys_are_counted(numbers):
    digests = np.repeat(np.array(numbers, np.uint64)[:, None], 4, axis=1)
    assert okvs.repeated(digests) == len(numbers) - len(set(numbers))


def test_an_output_is_sha_256_of_the_rows_sum():
    digests, slots, tables = words(11, 4), words(600, 4), words(11, 256, 4)
    slots[:, 3] &= np.uint64(2**18 - 1)
    tables[:, :, 3] &= np.uint64(2**18 - 1)
    hi, lo, rest = words(11), words(11), words(11, 2)
    blank = okvs.blocks(b"vole-out", outputs.OUT_BYTES)
    outputs.evaluate(blank, digests, slots, tables, (2, 500, 47, 20), np.uint64(0xFFFF), hi, lo, rest)
    wide = [
        [(int(slots[s, 0]) | int(slots[s, 1]) << 64), (int(slots[s, 2]) | int(slots[s, 3]) << 64)] for s in range(600)
    ]
    halves = [np.array([[h[k] % 2**64, h[k] >> 64] for h in wide], np.uint64) for k in (0, 1)]
    for i, (low, high, value) in enumerate(
        zip(*(decoded(digests, half, 2, 500, 47) for half in halves), wanted(digests), strict=True)
    ):
        total = low | high << 128
        for s, octet in enumerate(value.to_bytes(11, "little")):
            total ^= int.from_bytes(tables[s, octet].tobytes(), "little")
        spoken = b"vole-out" + digests[i, 2:].tobytes() + (total % 2**224).to_bytes(28, "little")
        digest = hashlib.sha256(spoken).digest()
        assert hi[i].tobytes() == digest[:8]
        assert lo[i].tobytes() == digest[8:10] + bytes(6)
        assert rest[i].tobytes() == digest[16:]


# -- the layout


@pytest.mark.parametrize(("rows", "parts"), [(1000, 3), (10_000, 10), (2**20, 32), (10**7, 10)])
def test_loads_are_within_the_exact_distribution(rows, parts):
    bound = load_bound(rows, parts, 42, parts)
    assert parts * scipy.stats.binom.sf(bound, rows, 1 / parts) <= 2**-42
    assert bound < rows / parts + 10 * (rows / parts) ** 0.5 + 40


def test_columns_follow_the_published_formula():
    """Against floats, to a column: decimals are there so that two machines never differ."""
    for load, union in ((256, 1), (2006, 1), (34216, 32), (33992, 310)):
        needed, w = 42 + np.log2(union), np.log2(3)
        slope = 2 ** (0.555 * np.log2(load) + 0.0930 * w**3 - 1.010 * w**2 + 2.925 * w - 0.133)
        expansion = 1.223 + (needed + 9.2) / slope
        sparse, dense = columns_of(load, 42, union)
        assert abs(sparse - expansion * load) <= 1
        assert dense == int(needed / np.log2(expansion * load)) + int(np.ceil(needed - 1e-9))


def test_the_layout_of_a_million_is_as_the_document_says():
    layout = derive(1_000_006, 1_000_006)
    assert (layout.buckets, layout.bins, layout.slots, layout.mask_bytes) == (1, 31, 43008, 10)
    assert layout.slots * layout.bins * 210 / 8 + 10 * 1_000_006 < 45.3e6
    assert derive(10_000_006, 10_000_006).buckets == 10


def test_a_bucket_that_is_too_full_is_an_error_of_ours():
    with pytest.raises(ProtocolError, match="too full"):
        hold([words(100, 2).view(np.uint8).reshape(-1, 16)], SESSION, 2, 40)
