import gmpy2
import numpy as np
import phe
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocols.errors import BadMessage
from protocols.paillier import cipher, fixed_base, residues
from protocols.paillier.keys import PrivateKey
from protocols.paillier.numbers import CHUNK, below, pack, unpack

QUICK = settings(max_examples=12, deadline=None)
pytestmark = pytest.mark.usefixtures("path")


def numbers(n: int) -> list[int]:
    draws = [int(x) for x in np.random.default_rng(5).integers(0, 2**62, 6)]
    return [0, 1, 2, n - 1, n - 2, n // 2, n // 2 + 1, 2**64, n - 2**63, *(pow(d, 40) % n for d in draws)]


@pytest.mark.parametrize("name", ["key", "large"])
def test_phe_and_we_read_each_other(name: str, request: pytest.FixtureRequest) -> None:
    key: PrivateKey = request.getfixturevalue(name)
    public, judge = key.public, key.to_phe()
    plain = numbers(public.n)[: None if name == "key" else 5]
    rows = pack(plain, public.plain_width)
    for who in (key, public):
        ours = cipher.encrypt(who, rows)
        assert ours.shape == (len(plain), public.width)
        assert [judge.raw_decrypt(int(c)) for c in unpack(ours)] == plain
        assert len({row.tobytes() for row in ours}) == len(plain)
        assert not (cipher.encrypt(who, rows) == ours).all(axis=1).any(), "each encryption is fresh"
    theirs = pack([public.to_phe().raw_encrypt(m) for m in plain], public.width)
    assert unpack(cipher.decrypt(key, theirs)) == plain
    total = sum(
        (phe.EncryptedNumber(judge.public_key, int(c), 0) for c in unpack(ours)[:3]), start=judge.public_key.encrypt(7)
    )
    assert judge.decrypt(total) == 7 + sum(plain[:3])
    sums = cipher.sum_groups(public, theirs, np.zeros(len(plain), np.int64), 1)
    assert judge.raw_decrypt(int(unpack(sums)[0])) == sum(plain) % public.n


def test_negative_numbers_as_phe_writes_them(key: PrivateKey) -> None:
    values = [0, 1, -1, 2**62, -(2**62), 123456789]
    ours = cipher.encrypt(key, pack([v % key.public.n for v in values], key.public.plain_width))
    judge = key.to_phe()
    assert [judge.decrypt(phe.EncryptedNumber(judge.public_key, int(c), 0)) for c in unpack(ours)] == values


@QUICK
@given(st.data())
def test_sums_by_group_are_sums(small: PrivateKey, data: st.DataObject) -> None:
    public, groups = small.public, data.draw(st.integers(1, 4))
    beside = data.draw(st.integers(1, 3))
    values = st.lists(st.integers(0, public.n - 1), min_size=beside, max_size=beside)
    table = data.draw(st.lists(st.tuples(st.integers(0, groups - 1), values), max_size=12))
    ids = np.array([group for group, _ in table], np.int64)
    plain = pack([v for _, row in table for v in row], public.plain_width).reshape(
        len(table), -1 if table else beside * public.plain_width
    )
    who = data.draw(st.sampled_from([small, public]))
    sums = cipher.sum_groups(public, cipher.encrypt(who, plain), ids, groups)
    expected = [
        sum(row[j] for g, row in table if g == group) % public.n for group in range(groups) for j in range(beside)
    ]
    opened = cipher.decrypt(small, sums)
    assert opened.shape == (groups, beside * public.plain_width)
    assert unpack(opened.reshape(-1, public.plain_width)) == expected


@QUICK
@given(st.data())
def test_adding_and_rerandomising(small: PrivateKey, data: st.DataObject) -> None:
    public = small.public
    pairs = data.draw(st.lists(st.tuples(*[st.integers(0, public.n - 1)] * 2), min_size=1, max_size=6))
    left, right = (pack(side, public.plain_width) for side in zip(*pairs, strict=True))
    sums = [sum(pair) % public.n for pair in pairs]
    ciphertexts = cipher.encrypt(small, left)
    for added in (
        cipher.add(public, ciphertexts, cipher.encrypt(public, right)),
        cipher.add_plain(public, ciphertexts, right),
        cipher.rerandomise(public, cipher.add_plain(public, ciphertexts, right)),
    ):
        assert unpack(cipher.decrypt(small, added)) == sums


def test_c4_a_rerandomised_sum_shows_nothing_of_its_inputs(small: PrivateKey) -> None:
    public = small.public
    ones = pack([1] * 64, public.width)  # the sum of an empty group
    sent = unpack(cipher.rerandomise(public, ones))
    assert 1 not in sent
    assert len(set(sent)) == 64
    # To the owner, who sees both symbols, all four classes appear: which rows were summed is not in them either.
    assert {(gmpy2.jacobi(c, small.p), gmpy2.jacobi(c, small.q)) for c in sent} == {
        (a, b) for a in (1, -1) for b in (1, -1)
    }


def test_the_owner_s_residues_reach_all_classes(small: PrivateKey) -> None:
    drawn = unpack(residues.OwnerResidues(small).draw(64))
    assert len({(gmpy2.jacobi(c, small.p), gmpy2.jacobi(c, small.q)) for c in drawn}) == 4
    order = (small.p - 1) * (small.q - 1)
    assert all(pow(int(c), order, small.public.n**2) == 1 for c in drawn)
    assert len(set(drawn)) == 64


def test_residues_are_the_powers_that_they_should_be(small: PrivateKey, path: str) -> None:
    public, n, square = small.public, small.public.n, small.public.n**2
    owner = residues.OwnerResidues(small)
    exponents = [[0, 1, small.p - 2, 5**60], [7, 0, small.q - 2, 3**90]]
    rows = [pack(each, 32) for each in exponents]
    made = unpack(owner._portable(*rows) if path == "gmpy2" else owner._lanes.residues(*rows))
    for c, a, b in zip(made, *exponents, strict=True):
        assert c % small.p**2 == pow(int(owner.p_base), a, small.p**2)
        assert c % small.q**2 == pow(int(owner.q_base), b, small.q**2)
    for source, bits in ((residues.ShortResidues(public), 256), (residues.FullResidues(public), 576)):
        drawn = source._exponents(9).copy()
        drawn[0], drawn[1, : bits // 8] = 0, 255
        made = unpack(_powers(source, drawn, path))
        turn = source.turn or 1
        assert made == [
            pow(int(source.base), int(e) % 2**bits, square) * (turn if e >> bits else 1) % square for e in unpack(drawn)
        ]
        assert all(pow(int(c), (small.p - 1) * (small.q - 1), square) == 1 for c in made)
    assert gmpy2.jacobi(source.turn, n) == -1


def _powers(source: residues.ShortResidues | residues.FullResidues, exponents: np.ndarray, path: str) -> np.ndarray:
    if path == "gmpy2":
        return source._portable(exponents)
    from protocols.paillier import lanes

    return lanes.residues(source.key, source._lanes, exponents)


@pytest.mark.parametrize("count", [0, 1, 2, 40, 700])
def test_powers_of_a_fixed_base(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fixed_base, "MANY", 600)
    modulus = 2**61 - 1
    exponents = np.random.default_rng(count).integers(0, 256, (count, 9), np.uint8)
    exponents[:, 8] &= 7
    base = fixed_base.FixedBase(37, 67, modulus)
    for _ in range(2):
        assert base.powers(exponents) == [pow(37, int(e), modulus) for e in unpack(exponents)]


def test_exponents_are_uniform_below_their_limit() -> None:
    drawn = residues._below(5 << 61, 2000).view(np.uint64).ravel() >> np.uint64(61)
    counts = np.bincount(drawn.astype(np.int64))
    assert len(counts) == 5
    assert counts.sum() == 2000
    assert counts.min() > 300


def test_more_numbers_than_one_chunk(small: PrivateKey) -> None:
    count = CHUNK + 3
    plain = pack(range(count), small.public.plain_width)
    ciphertexts = cipher.encrypt(small, plain)
    cipher.check_ciphertexts(small.public, ciphertexts)
    ids = np.arange(count) % 2
    sums = cipher.sum_groups(small.public, ciphertexts, ids, 2)
    assert unpack(cipher.decrypt(small, sums)) == [sum(range(0, count, 2)), sum(range(1, count, 2))]
    assert (cipher.decrypt(small, ciphertexts[-4:]) == plain[-4:]).all()
    ciphertexts[-1] = 0
    with pytest.raises(BadMessage) as caught:
        cipher.check_ciphertexts(small.public, ciphertexts)
    assert caught.value.params == {"row": count - 1}


def test_batches_combine(small: PrivateKey) -> None:
    public = small.public
    ciphertexts = cipher.encrypt(small, pack(range(10), public.plain_width))
    ids = np.arange(10) % 3
    parts = [cipher.sum_groups(public, ciphertexts[s], ids[s], 3) for s in (slice(0, 0), slice(0, 4), slice(4, 10))]
    total = cipher.add(public, cipher.add(public, *parts[:2]), parts[2])
    assert (total == cipher.sum_groups(public, ciphertexts, ids, 3)).all()


@QUICK
@given(st.data())
def test_c3_bad_ciphertexts_are_refused_by_position(small: PrivateKey, data: st.DataObject) -> None:
    public = small.public
    square, p, q, n = public.n**2, small.p, small.q, public.n
    bad = st.sampled_from([0, square, square + 1, 2**1024 - 1, n, p, q, 7 * p, square - n, q**2])
    good = st.integers(1, n - 1).map(lambda x: pow(x, n, square) if x % p and x % q else 1)
    values = data.draw(st.lists(good, max_size=7))
    rows = pack(values, public.width)
    cipher.check_ciphertexts(public, rows)
    position = data.draw(st.integers(0, len(values)))
    values.insert(position, data.draw(bad))
    rows = pack(values, public.width)
    for refused in (lambda: cipher.check_ciphertexts(public, rows), lambda: cipher.decrypt(small, rows)):
        with pytest.raises(BadMessage) as caught:
            refused()
        assert caught.value.params == {"row": position}


def test_c3_each_kind_of_bad_ciphertext_is_refused(small: PrivateKey) -> None:
    p, n, square = small.p, small.public.n, small.public.n**2
    for bad in (0, square, square + 1, 2**1024 - 1, n, p, 7 * p, square - n):
        with pytest.raises(BadMessage, match="Row 2 "):
            cipher.check_ciphertexts(small.public, pack([1, square - 1, bad, 2], small.public.width))


def test_a_bad_ciphertext_beside_good_ones_names_its_row(small: PrivateKey) -> None:
    rows = pack([1, 1, 1, small.p, 1, 1], small.public.width).reshape(3, -1)
    with pytest.raises(BadMessage, match="Row 1 "):
        cipher.check_ciphertexts(small.public, rows)


@pytest.mark.parametrize("shape", [(2, 127), (2, 0), (0, 129), (128,), (2, 1, 128)])
def test_ciphertexts_of_another_width_are_refused(small: PrivateKey, shape: tuple[int, ...]) -> None:
    with pytest.raises(BadMessage, match="width"):
        cipher.check_ciphertexts(small.public, np.ones(shape, np.uint8))


def test_nothing_is_nothing(small: PrivateKey) -> None:
    public = small.public
    none = np.empty((0, 2 * public.plain_width), np.uint8)
    ciphertexts = cipher.encrypt(small, none)
    assert ciphertexts.shape == (0, 2 * public.width)
    assert (
        cipher.rerandomise(public, ciphertexts).shape
        == cipher.add(public, ciphertexts, ciphertexts).shape
        == (0, 2 * public.width)
    )
    assert cipher.decrypt(small, ciphertexts).shape == none.shape
    sums = cipher.sum_groups(public, ciphertexts, np.empty(0, np.int64), 2)
    assert unpack(sums.reshape(-1, public.width)) == [1] * 4


def test_arrow_columns_are_read_in_place(small: PrivateKey) -> None:
    public = small.public
    ciphertexts = cipher.encrypt(public, pack(range(5), public.plain_width))
    column = pa.array([row.tobytes() for row in ciphertexts], pa.binary(public.width))
    view = np.frombuffer(column.buffers()[1], np.uint8).reshape(-1, public.width)
    view.setflags(write=False)
    sums = cipher.sum_groups(public, view[1:], np.array([0, 1, 1, 1]), 2)
    assert unpack(cipher.decrypt(small, sums)) == [1, 9]


def test_misuse_is_refused(small: PrivateKey) -> None:
    public = small.public
    rows = cipher.encrypt(small, pack([1, 2], public.plain_width))
    with pytest.raises(ValueError, match="not below n"):
        cipher.encrypt(public, pack([public.n], public.plain_width))
    with pytest.raises(ValueError, match="as many rows"):
        cipher.add(public, rows, rows[:1])
    with pytest.raises(ValueError, match="as many plaintexts"):
        cipher.add_plain(public, rows, pack([1], public.plain_width))
    for ids in ([0], [0, 2], [-1, 0]):
        with pytest.raises(ValueError, match="one group id"):
            cipher.sum_groups(public, rows, np.array(ids), 2)


@QUICK
@given(st.lists(st.integers(0, 2**128 - 1)), st.integers(0, 2**128 - 1))
def test_below(values: list[int], limit: int) -> None:
    edges = [*values, limit, max(limit - 1, 0), min(limit + 1, 2**128 - 1)]
    assert below(pack(edges, 16), limit).tolist() == [x < limit for x in edges]
