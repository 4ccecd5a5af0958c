"""What `cipher` and `residues` do, eight numbers at a time: the twin of their gmpy2 code, with equal bytes.

Imports numba: only `backend.kernels` hands this module out. Rows hold one number each. Rows of ciphertexts are read
where they lie, Arrow buffers included. Work is cut in blocks that a core's cache holds, blocks go to threads.

Which entries of tables, addresses and branches are taken does not depend on exponents, plaintexts or the key: fixed
bases and decryption read whole tables (see kernels.paillier). What depends on secrets in time is what gmpy2 does once
a key: constants modulo p² and q², generators, tables' bases. Exponents and tables stay in memory until Python frees
them, unerased.
"""

import functools
from collections.abc import Sequence

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from protocols.kernels.paillier import powers, rows
from protocols.kernels.paillier.tiles import ENTRIES, LANES
from protocols.kernels.threads import in_parts
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.numbers import Rows, pack
from protocols.paillier.rings import Lines, Ring, Words, addresses, blank, expanded, limbs_of, loaded, saved

SEGMENT = 64
"""Ciphertexts that one lane multiplies before their product is written."""
BLOCK = 64
"""Lines that take a window of a table, or a step of a sum, in turn."""
WINDOW = ENTRIES.bit_length() - 1


@functools.lru_cache(maxsize=4)
def public_ring(key: PublicKey) -> Ring:
    """The constants of n."""
    return Ring(key.n)


# -- fixed bases


class Powers:
    """base^e · turn^b modulo N²: exponents e of at most `bits` bits, and above them, where there is a turn, b < 64."""

    def __init__(self, ring: Ring, base: int, bits: int, turn: int | None = None) -> None:
        self.ring, windows = ring, -(-bits // WINDOW)
        bases = [base % ring.square]
        for _ in range(windows - 1):
            bases.append(gmpy2.powmod(bases[-1], ENTRIES, ring.square))
        bases += [] if turn is None else [turn]
        self.table = _table(ring, bases)

    def lines(self, exponents: Words) -> Lines:
        """The powers in Montgomery form, of uint64[lines · 8, words]: a word more than the bits fill."""
        lines = len(exponents) // LANES
        total, entry = self.ring.blank(lines), self.ring.blank(lines)
        powers.look_up(total, self.table[0], exponents, 0)
        for window in range(1, len(self.table)):
            powers.look_up(entry, self.table[window], exponents, window * WINDOW)
            self.ring.multiply(total, total, entry)
        return total


def _table(ring: Ring, bases: Sequence[int]) -> NDArray[np.uint64]:
    """uint64[bases, limbs · 64]: limb by limb of base^0, ..., base^63 as pairs in Montgomery form."""
    base = ring.pairs([value * ring.r for value in bases])
    power = ring.multiply(ring.blank(len(base)), ring.one, ring.one)
    power[:] = ring.one
    table = blank(len(bases), 2 * ring.size * ENTRIES // LANES).reshape(len(bases), 2 * ring.size, ENTRIES)
    for entry in range(ENTRIES):
        by_lane = power.reshape(len(base), 2 * ring.size, LANES).transpose(0, 2, 1)
        table[:, :, entry] = by_lane.reshape(-1, 2 * ring.size)[: len(bases)]
        ring.multiply(power, power, base)
    return table.reshape(len(bases), -1)


def exponent_words(exponents: Rows) -> Words:
    """uint64[lines · 8, words] of little-endian rows: zero above them, and in rows beyond the last."""
    words = np.zeros((-(-len(exponents) // LANES) * LANES, exponents.shape[1] // 8 + 2), np.uint64)
    words.view(np.uint8)[: len(exponents), : exponents.shape[1]] = exponents
    return words


def residues(key: PublicKey, base: Powers, exponents: Rows) -> Rows:
    """uint8[n, width]: the powers of a fixed base modulo n²."""
    ring, words = base.ring, exponent_words(exponents)
    out = np.empty((len(words), key.width), np.uint8)

    def work(part: slice) -> None:
        for at in _blocks(part):
            lines = base.lines(words[at])
            out[at] = saved(ring.plain(ring.multiply(lines, lines, ring.plain_one)), key.width)

    in_parts(len(words), work, least=LANES * 8, multiple=LANES)
    return out[: len(exponents)]


class OwnerPowers:
    """The same by the owner: modulo p² and q², put together (Garner): b + q² ((a - b) / q² modulo p²)."""

    def __init__(self, key: PrivateKey, bases: tuple[int, int]) -> None:
        self.width = key.public.width
        self.p, self.q = Ring(key.p), Ring(key.q)
        p, q = self.p, self.q
        self.p_powers, self.q_powers = (
            Powers(ring, base, ring.n.bit_length()) for ring, base in zip((p, q), bases, strict=True)
        )
        self.to_quotient = p.pair(gmpy2.invert(p.r, p.square))
        self.by_q_square = p.pair(gmpy2.invert(q.square, p.square) * p.r**2)
        self.shift = p.shift(2 * p.n, 2 * p.n + 2)  # stands for 0: 2p - 2p
        self.q_square = limbs_of(q.square, 2 * p.size)

    def residues(self, p_exponents: Rows, q_exponents: Rows) -> Rows:
        """uint8[n, width] of rows of exponents below p - 1 and q - 1."""
        words = exponent_words(p_exponents), exponent_words(q_exponents)
        out = np.empty((len(words[0]), self.width), np.uint8)

        def work(part: slice) -> None:
            for at in _blocks(part):
                lines = self.p_powers.lines(words[0][at]), self.q_powers.lines(words[1][at])
                out[at] = saved(self._combined(*lines), self.width)

        in_parts(len(out), work, least=LANES * 8, multiple=LANES)
        return out[: len(p_exponents)]

    def _combined(self, a: Lines, b: Lines) -> Lines:
        p, q = self.p, self.q
        low = q.plain(q.multiply(b, b, q.plain_one))
        p.multiply(a, a, self.to_quotient)
        rows.plus_minus(a, a, self.shift, p.halved(low))
        high = p.plain(p.multiply(a, a, self.by_q_square))
        return expanded(_beside(low, high), self.q_square)


# -- products of ciphertexts


def add(key: PublicKey, left: Rows, right: Rows) -> Rows:
    """Products modulo n², row by row."""
    places = np.stack([addresses(left), addresses(right)], axis=1)[: len(left)]
    return _products(key, places, np.full(len(left), 2))


def add_plain(key: PublicKey, ciphertexts: Rows, plain: Rows) -> Rows:
    """(1 + mn) c modulo n²: 1 + mn is the pair (1, n - m)."""
    ring, count = public_ring(key), len(ciphertexts)
    at, known = addresses(ciphertexts), addresses(plain)
    out = np.empty((len(at), key.width), np.uint8)
    shift, cube = ring.shift(1, ring.n), ring.pair(ring.r**3)

    def work(part: slice) -> None:
        for block in _blocks(part):
            c = ring.halved(loaded(at[block], key.width, 2 * ring.size))
            nothing = np.zeros_like(c)
            m = _beside(nothing[:, : ring.size * LANES], loaded(known[block], key.plain_width, ring.size))
            rows.plus_minus(m, nothing, shift, m)
            ring.multiply(c, ring.multiply(c, c, cube), m)
            out[block] = saved(ring.plain(c), key.width)

    in_parts(len(out), work, least=LANES * 64, multiple=LANES)
    return out[:count]


def sum_groups(key: PublicKey, ciphertexts: Rows, ids: NDArray[np.int64], groups: int) -> Rows:
    """uint8[groups, width]: the product of each group's rows modulo n²; 1 of none."""
    numbers, sums = ciphertexts, np.zeros((groups, key.width), np.uint8)
    sums[:, 0] = 1
    while len(numbers):
        order = np.argsort(ids.astype(np.min_scalar_type(groups)), kind="stable")
        counts = np.bincount(ids, minlength=groups)
        owner, starts, lengths = _segments(counts)
        at = addresses(numbers)[order]
        places = np.minimum(starts[:, None] + np.arange(lengths.max()), len(at) - 1)
        products = _products(key, at[places], lengths)
        if counts.max() <= SEGMENT:
            sums[owner] = products
            break
        numbers, ids = products, owner
    return sums


def _segments(counts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """(group, start, length) of runs of at most SEGMENT sorted rows, the longest first."""
    pieces = -(-counts // SEGMENT)
    owner = np.repeat(np.arange(len(counts)), pieces)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    starts = np.repeat(np.cumsum(counts) - counts, pieces) + within * SEGMENT
    lengths = np.minimum(np.repeat(counts, pieces) - within * SEGMENT, SEGMENT)
    order = np.argsort(-lengths, kind="stable")
    return owner[order], starts[order], lengths[order]


def _products(key: PublicKey, places: Words, lengths: NDArray[np.int64]) -> Rows:
    """uint8[n, width]: products modulo n² of the first `lengths` of the ciphertexts at addresses uint64[n, most].

    Each factor enters as c / R, a missing one as R² / R; R^(2 · length) makes up for it.
    """
    ring, count = public_ring(key), len(lengths)
    neutral, by_length = _factors(key)
    beyond = (0, -count % LANES)
    places, lengths = np.pad(places, (beyond, (0, 0)), "edge"), np.pad(lengths, beyond, "edge")
    out = np.empty((len(lengths), key.width), np.uint8)

    def work(part: slice) -> None:
        for block in _blocks(part):
            steps = np.arange(lengths[block].max())
            at = np.where(steps < lengths[block, None], places[block, : len(steps)], neutral.ctypes.data).T.copy()
            total = ring.halved(loaded(at[0], key.width, 2 * ring.size))
            for step in steps[1:]:
                ring.multiply(total, total, ring.halved(loaded(at[step], key.width, 2 * ring.size)))
            own = by_length[lengths[block]].reshape(-1, LANES, 2 * ring.size).transpose(0, 2, 1)
            ring.multiply(total, total, own.reshape(len(total), -1))
            out[block] = saved(ring.plain(total), key.width)

    in_parts(len(out), work, least=LANES * 8, multiple=LANES)
    return out[:count]


@functools.lru_cache(maxsize=4)
def _factors(key: PublicKey) -> tuple[Rows, Words]:
    """(R² as a ciphertext row, uint64[SEGMENT + 1, limbs]: R^0, R², R⁴, ... as pairs)."""
    ring, powers_of_r = public_ring(key), [mpz(1)]
    for _ in range(SEGMENT):
        powers_of_r.append(powers_of_r[-1] * ring.r**2 % ring.square)
    by_lane = ring.pairs(powers_of_r).reshape(-1, 2 * ring.size, LANES).transpose(0, 2, 1)
    return pack(powers_of_r[1:2], key.width), by_lane.reshape(-1, 2 * ring.size)[: SEGMENT + 1]


# -- decryption


def decrypt(key: PrivateKey, ciphertexts: Rows) -> Rows:
    """uint8[n, plain_width]: plaintexts modulo p and q (Paillier 1999, section 7), put together."""
    p, q = _halves(key)
    at, width = addresses(ciphertexts), key.public.plain_width
    out = np.empty((len(at), width), np.uint8)
    shift, by_q = p.ring.shift(2 * p.ring.n, 0), p.ring.pair(p.ring.r * gmpy2.invert(q.ring.n, p.ring.n))

    def work(part: slice) -> None:
        for block in _blocks(part):
            content = loaded(at[block], key.public.width, 4 * p.ring.size)
            a, b = p.plaintexts(content), q.plaintexts(content)
            rows.plus_minus(a, a, shift, b)
            p.ring.multiply(a, a, by_q)
            rows.subtract_once(a, p.ring.modulus)
            half = p.ring.size * LANES
            out[block] = saved(expanded(_beside(b[:, :half], a[:, :half]), q.ring.modulus), width)

    in_parts(len(out), work, least=LANES * 2, multiple=LANES)
    return out[: len(ciphertexts)]


class _Half:
    """Decryption modulo one prime, x."""

    def __init__(self, x: int, y: int) -> None:
        self.ring = ring = Ring(x)
        self.digits = np.array([int(digit, 16) for digit in f"{x - 1:x}"], np.uint64)
        # c = low + high R²; halved, low / R and high / R come to Montgomery form by these.
        self.to_low, self.to_high = ring.pair(ring.r**3), ring.pair(-(ring.r**5))
        self.shift = ring.shift(2 * x, 2 * x + 2)
        self.factor = ring.pair(ring.r * gmpy2.invert(-y, x) % x)

    def plaintexts(self, content: Lines) -> Lines:
        """Plaintexts modulo x as the first parts of pairs; content: plain numbers of four times the limbs."""
        ring, half = self.ring, content.shape[1] // 2
        low, high = (ring.halved(np.ascontiguousarray(part)) for part in (content[:, :half], content[:, half:]))
        ring.multiply(low, low, self.to_low)
        rows.plus_minus(low, low, self.shift, ring.multiply(high, high, self.to_high))
        powers.power(low, ring.one, self.digits, ring.modulus, ring.inverse)
        ring.multiply(low, low, ring.plain_one)
        rows.least(low, ring.modulus, ring.twice)
        # 1 + ux; the plaintext is -u / y modulo x.
        u = _beside(low[:, half // 2 :], np.zeros_like(low[:, half // 2 :]))
        ring.multiply(u, u, self.factor)
        rows.subtract_once(u, ring.modulus)
        return u


@functools.lru_cache(maxsize=4)
def _halves(key: PrivateKey) -> tuple[_Half, _Half]:
    return _Half(key.p, key.q), _Half(key.q, key.p)


# -- the rest


def _blocks(part: slice) -> list[slice]:
    rows_at_once = BLOCK * LANES
    return [slice(at, min(at + rows_at_once, part.stop)) for at in range(part.start, part.stop, rows_at_once)]


def _beside(first: Lines, second: Lines) -> Lines:
    """Two arrays of equally many lines as pairs."""
    both = blank(len(first), (first.shape[1] + second.shape[1]) // LANES)
    both[:, : first.shape[1]] = first
    both[:, first.shape[1] :] = second
    return both
