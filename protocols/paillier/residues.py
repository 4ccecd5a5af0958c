"""Random n-th residues modulo n²: what hides a plaintext, and what hides where a ciphertext came from.

Three sources, each for one adversary:
- OwnerResidues, for the key owner's own encryption: exactly uniform, by proved generators modulo p² and q²
  (Paillier 1999, section 7, for the arithmetic).
- ShortResidues, for encryption by others: h^r with h = (-x²)^n and r of half the size of n. That such a power cannot
  be told from a uniform one without the factors is an assumption (Damgård, Jurik, Nielsen 2010, section 4.2).
- FullResidues, for re-randomising what goes back to the owner, who knows the factors, so that the assumption above
  says nothing: h^r u^b, r 64 bits longer than n, u of Jacobi symbol -1, b a bit. Within 2^-64 of uniform over all
  n-th residues for keys of our form; without u the Jacobi symbol of the product of the inputs would show through.
"""

import functools
import os
import secrets
from typing import Protocol

import gmpy2
import numpy as np
from gmpy2 import mpz
from numpy.typing import NDArray

from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.numbers import Rows, pack
from protocols.paillier.primes import generator

LARGEST_WINDOW = 12
STATISTICAL_BITS = 64


class Residues(Protocol):
    """A source of n-th residues."""

    def draw(self, count: int) -> list[int]:
        """`count` random n-th residues modulo n² (mpz), each for one use."""


class FixedBase:
    """Powers of one base, many at a time. Holds only the base's squarings; tables live as long as one window of a call.

    All exponents of a call go through a window together, so that its table of 2^w powers serves all of them; w
    follows from their number, and a call with few exponents does not pay for large tables.
    """

    def __init__(self, base: int, bits: int, modulus: int) -> None:
        """`base` modulo `modulus`, for exponents of at most `bits` bits."""
        self.bits, self.modulus = bits, modulus
        self.squarings = [mpz(base)]
        for _ in range(bits - 1):
            self.squarings.append(self.squarings[-1] ** 2 % modulus)

    def powers(self, exponents: Rows) -> list[int]:
        """The base to each of the little-endian uint8[n, ceil(bits / 8)] exponents (mpz)."""
        modulus, window = self.modulus, self._window(len(exponents))
        results = [mpz(1)] * len(exponents)
        for i, digits in enumerate(_digits(exponents, window, self.bits)):
            table = self._table(i * window, min(window, self.bits - i * window))
            results = [power * table[digit] % modulus for power, digit in zip(results, digits.tolist(), strict=True)]
        return results

    def _window(self, count: int) -> int:
        """Bits a window with the fewest multiplications for `count` exponents."""
        return min(range(1, LARGEST_WINDOW + 1), key=lambda w: -(-self.bits // w) * ((1 << w) + count))

    def _table(self, at: int, window: int) -> list[int]:
        base, table = self.squarings[at], [mpz(1)]
        for _ in range((1 << window) - 1):
            table.append(table[-1] * base % self.modulus)
        return table


def _digits(exponents: Rows, window: int, bits: int) -> NDArray[np.int64]:
    """int64[windows, n]: the base-2^window digits of the exponents, lowest first."""
    windows = -(-bits // window)
    weights = 1 << np.arange(window, dtype=np.int64)
    digits = np.zeros((windows, len(exponents)), np.int64)
    for start in range(0, len(exponents), 1024):
        part = np.unpackbits(exponents[start : start + 1024], axis=1, bitorder="little", count=bits)
        padded = np.pad(part, ((0, 0), (0, windows * window - bits)))
        digits[:, start : start + 1024] = (padded.reshape(-1, windows, window) @ weights).T
    return digits


class OwnerResidues:
    """Uniform n-th residues, for whoever has the key."""

    def __init__(self, key: PrivateKey) -> None:
        n = key.public.n
        self.p_square, self.q_square = mpz(key.p) ** 2, mpz(key.q) ** 2
        self.inverse = gmpy2.invert(self.q_square, self.p_square)
        self.halves = tuple(
            (FixedBase(gmpy2.powmod(generator(p, factors), n, square), p.bit_length(), square), p - 1)
            for p, factors, square in (
                (key.p, key.p_factors, self.p_square),
                (key.q, key.q_factors, self.q_square),
            )
        )

    def draw(self, count: int) -> list[int]:
        """See Residues."""
        left, right = (base.powers(_uniform_below(order, count)) for base, order in self.halves)
        p2, q2, inverse = self.p_square, self.q_square, self.inverse
        return [b + q2 * ((a - b) * inverse % p2) for a, b in zip(left, right, strict=True)]


def _uniform_below(limit: int, count: int) -> Rows:
    return pack((secrets.randbelow(limit) for _ in range(count)), (limit.bit_length() + 7) // 8)


def _random_rows(count: int, bits: int) -> Rows:
    return np.frombuffer(os.urandom(count * (bits // 8)), np.uint8).reshape(-1, bits // 8)


class ShortResidues:
    """n-th residues under the assumption of Damgård, Jurik and Nielsen, for whoever has the public key only."""

    def __init__(self, key: PublicKey) -> None:
        self.bits = key.bits // 2
        self.base = FixedBase(_negated_square(key), self.bits, key.square)

    def draw(self, count: int) -> list[int]:
        """See Residues."""
        return self.base.powers(_random_rows(count, self.bits))


class FullResidues:
    """n-th residues that are uniform to the key's owner too."""

    def __init__(self, key: PublicKey) -> None:
        self.bits, self.square = key.bits + STATISTICAL_BITS, key.square
        self.base = FixedBase(_negated_square(key), self.bits, self.square)
        self.turn = _of_negative_symbol(key)

    def draw(self, count: int) -> list[int]:
        """See Residues."""
        powers = self.base.powers(_random_rows(count, self.bits))
        return [power * self.turn % self.square if secrets.randbits(1) else power for power in powers]


def _negated_square(key: PublicKey) -> int:
    x = mpz(secrets.randbelow(key.n - 2) + 2)
    return gmpy2.powmod(-x * x % key.modulus, key.modulus, key.square)  # type: ignore[no-any-return]


def _of_negative_symbol(key: PublicKey) -> int:
    while True:
        y = mpz(secrets.randbelow(key.n))
        if gmpy2.jacobi(y, key.modulus) == -1:
            return gmpy2.powmod(y, key.modulus, key.square)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=4)
def hiding_plaintexts(key: PublicKey | PrivateKey) -> Residues:
    """The source for encryption; its bases are drawn once a key and process."""
    return OwnerResidues(key) if isinstance(key, PrivateKey) else ShortResidues(key)


@functools.lru_cache(maxsize=4)
def hiding_origins(key: PublicKey) -> Residues:
    """The source for re-randomising."""
    return FullResidues(key)
