"""Random n-th residues modulo n²: what hides a plaintext, and what hides where a ciphertext came from.

Three sources, each for one adversary:
- OwnerResidues, for the key owner's own encryption: exactly uniform, by proved generators modulo p² and q²
  (Paillier 1999, section 7, for the arithmetic).
- ShortResidues, for encryption by others: h^r with h = (-x²)^n and r of half the size of n. That such a power cannot
  be told from a uniform one without the factors is an assumption (Damgård, Jurik, Nielsen 2010, section 4.2).
- FullResidues, for re-randomising what goes back to the owner, who knows the factors, so that the assumption above
  says nothing: h^r u^b, r 64 bits longer than n, u of Jacobi symbol -1, b a bit. Within 2^-64 of uniform over all
  n-th residues for keys of our form; without u the Jacobi symbol of the product of the inputs would show through.

Bases are drawn once a key and process, exponents by the operating system. Sources and pools hold secrets: none of
them can be pickled or copied.
"""

import functools
import os
import secrets
from typing import TYPE_CHECKING, Protocol

import gmpy2
import numpy as np
from gmpy2 import mpz

from protocols.paillier.backend import ENCRYPTION, RERANDOMISATION, kernels
from protocols.paillier.fixed_base import FixedBase
from protocols.paillier.keys import PrivateKey, PublicKey, Secret
from protocols.paillier.numbers import Rows, below, pack
from protocols.paillier.primes import generator

if TYPE_CHECKING:
    from protocols.paillier.lanes import OwnerPowers, Powers

STATISTICAL_BITS = 64
WINDOW = 6
"""FullResidues' coin is the first bit of a window of so many."""


class Residues(Protocol):
    """A source of n-th residues."""

    def draw(self, count: int) -> Rows:
        """uint8[count, width]: random n-th residues modulo n², each for one use."""


class OwnerResidues(Secret):
    """Uniform n-th residues, for whoever has the key."""

    def __init__(self, key: PrivateKey) -> None:
        self.key = key
        self.p_square, self.q_square = mpz(key.p) ** 2, mpz(key.q) ** 2
        drawn = generator(key.p, key.p_factors), generator(key.q, key.q_factors)
        self.p_base = gmpy2.powmod(drawn[0], key.public.n, self.p_square)
        self.q_base = gmpy2.powmod(drawn[1], key.public.n, self.q_square)

    def draw(self, count: int) -> Rows:
        """See Residues."""
        exponents = _below(self.key.p - 1, count), _below(self.key.q - 1, count)
        if kernels(count, ENCRYPTION):
            made: Rows = self._lanes.residues(*exponents)
            return made
        return self._portable(*exponents)

    def _portable(self, p_exponents: Rows, q_exponents: Rows) -> Rows:
        p_base, q_base = self._fixed_bases
        p2, q2, inverse = self.p_square, self.q_square, gmpy2.invert(self.q_square, self.p_square)
        halves = zip(p_base.powers(p_exponents), q_base.powers(q_exponents), strict=True)
        return pack([b + q2 * ((a - b) * inverse % p2) for a, b in halves], self.key.public.width)

    @functools.cached_property
    def _fixed_bases(self) -> tuple[FixedBase, FixedBase]:
        return (
            FixedBase(self.p_base, self.key.p.bit_length(), self.p_square),
            FixedBase(self.q_base, self.key.q.bit_length(), self.q_square),
        )

    @functools.cached_property
    def _lanes(self) -> "OwnerPowers":
        from protocols.paillier.lanes import OwnerPowers

        return OwnerPowers(self.key, (self.p_base, self.q_base))


class _PublicResidues(Secret):
    """h^r, times u^b where there is a u, for whoever has the public key only."""

    turn: int | None = None

    def __init__(self, key: PublicKey, bits: int, each: int) -> None:
        """bits: of r; each: what one is worth (`backend`)."""
        self.key, self.bits, self.each = key, bits, each
        x = mpz(secrets.randbelow(key.n - 2) + 2)
        self.base = gmpy2.powmod(-x * x % key.modulus, key.modulus, key.square)

    def draw(self, count: int) -> Rows:
        """See Residues."""
        exponents = self._exponents(count)
        if found := kernels(count, self.each):
            made: Rows = found.residues(self.key, self._lanes, exponents)
            return made
        return self._portable(exponents)

    def _exponents(self, count: int) -> Rows:
        return np.frombuffer(os.urandom(count * (self.bits // 8)), np.uint8).reshape(count, self.bits // 8)

    def _portable(self, exponents: Rows) -> Rows:
        return pack(self._fixed_base.powers(exponents), self.key.width)

    @functools.cached_property
    def _fixed_base(self) -> FixedBase:
        return FixedBase(self.base, self.bits, self.key.square)

    @functools.cached_property
    def _lanes(self) -> "Powers":
        from protocols.paillier.lanes import Powers, public_ring

        return Powers(public_ring(self.key), self.base, self.bits, self.turn)


class ShortResidues(_PublicResidues):
    """n-th residues under the assumption of Damgård, Jurik and Nielsen."""

    def __init__(self, key: PublicKey) -> None:
        super().__init__(key, key.bits // 2, ENCRYPTION)


class FullResidues(_PublicResidues):
    """n-th residues that are uniform to the key's owner too."""

    turn: int

    def __init__(self, key: PublicKey) -> None:
        super().__init__(key, key.bits + STATISTICAL_BITS, RERANDOMISATION)
        self.turn = _of_negative_symbol(key)
        self.coin = -(-self.bits // WINDOW) * WINDOW

    def _exponents(self, count: int) -> Rows:
        rows = np.zeros((count, self.coin // 8 + 1), np.uint8)
        rows[:, : self.bits // 8] = super()._exponents(count)
        coins = np.frombuffer(os.urandom(count), np.uint8) & 1
        rows[:, self.coin // 8] |= coins << (self.coin % 8)
        return rows

    def _portable(self, exponents: Rows) -> Rows:
        powers, square = self._fixed_base.powers(exponents), self.key.square
        coins = exponents[:, self.coin // 8] >> (self.coin % 8) & 1
        turned = (power * (self.turn if coin else 1) % square for power, coin in zip(powers, coins, strict=True))
        return pack(turned, self.key.width)


def _below(limit: int, count: int) -> Rows:
    """uint8[count, ...], little-endian, uniform below `limit`: drawn again until they are."""
    width, spare = (limit.bit_length() + 7) // 8, -limit.bit_length() % 8
    kept, wanted = [np.empty((0, width), np.uint8)], count
    while wanted > 0:
        rows = np.frombuffer(bytearray(os.urandom(wanted * width)), np.uint8).reshape(-1, width)
        rows[:, -1] >>= spare
        kept.append(rows[below(rows, limit)])
        wanted -= len(kept[-1])
    return np.concatenate(kept)


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
