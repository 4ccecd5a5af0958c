"""Paillier-Blum keys. A PublicKey that exists has passed `check_public`; a PrivateKey, all of its own checks.

The numbers are those of `phe` (n = pq, g = n + 1), so that anyone can check with a known library. A private key also
holds all primes of p - 1 and q - 1, which `phe` does not know.
"""

import functools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, Self

import gmpy2
from gmpy2 import mpz

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier import primes

if TYPE_CHECKING:
    import phe

KEY_BITS = (2048, 3072, 4096)
DEFAULT_BITS = 3072
SMALL_FACTORS_BELOW = 1 << 20

PUBLIC_FORMAT = b"paillier-public/1\n"
PRIVATE_FORMAT = b"paillier-private/1\n"


class Secret:
    """What must not leave its process by accident: it can be neither pickled nor copied."""

    def __reduce__(self) -> NoReturn:
        raise TypeError("secrets stay in their process")


@dataclass(frozen=True)
class PublicKey:
    """A modulus n. Raises BadMessage where `check_public` does."""

    n: int

    def __post_init__(self) -> None:
        check_public(self.n)

    @property
    def bits(self) -> int:
        """Size of n."""
        return self.n.bit_length()

    @property
    def plain_width(self) -> int:
        """Bytes of a plaintext."""
        return self.bits // 8

    @property
    def width(self) -> int:
        """Bytes of a ciphertext."""
        return self.bits // 4

    @functools.cached_property
    def modulus(self) -> int:
        """n as mpz."""
        return mpz(self.n)  # type: ignore[no-any-return]

    @functools.cached_property
    def square(self) -> int:
        """n² as mpz."""
        return mpz(self.n) ** 2  # type: ignore[no-any-return]

    def to_bytes(self) -> bytes:
        """Canonical bytes: PUBLIC_FORMAT, then n, big-endian."""
        return PUBLIC_FORMAT + self.n.to_bytes(self.plain_width, "big")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """The key in `to_bytes`. Raises BadMessage for anything else."""
        if not data.startswith(PUBLIC_FORMAT):
            raise BadMessage("The Paillier public key has an unknown format.")
        number = data[len(PUBLIC_FORMAT) :]
        _check_size(8 * len(number))
        key = cls(int.from_bytes(number, "big"))
        if key.plain_width != len(number):
            raise BadMessage("The Paillier public key has an unknown format.")
        return key

    def to_phe(self) -> "phe.PaillierPublicKey":
        """The same key for `phe`."""
        import phe

        return phe.PaillierPublicKey(self.n)

    @classmethod
    def from_phe(cls, key: "phe.PaillierPublicKey") -> Self:
        """A key of `phe`. Raises BadMessage where `check_public` does."""
        return cls(int(key.n))


@dataclass(frozen=True)
class PrivateKey(Secret):
    """Primes p < q of equal size, 3 modulo 4, with all primes of p - 1 and of q - 1. Raises ProtocolError otherwise."""

    p: int = field(repr=False)
    q: int = field(repr=False)
    p_factors: tuple[int, ...] = field(repr=False)
    q_factors: tuple[int, ...] = field(repr=False)

    def __post_init__(self) -> None:
        p, q = self.p, self.q
        if not (
            p < q
            and p.bit_length() == q.bit_length() == self.public.bits // 2
            and p % 4 == q % 4 == 3
            and primes.is_prime(p)
            and primes.is_prime(q)
            and math.gcd(p * q, (p - 1) * (q - 1)) == 1
            and primes.has_only(p - 1, self.p_factors)
            and primes.has_only(q - 1, self.q_factors)
        ):
            raise ProtocolError(
                "This is not a Paillier private key of the form used here.",
                "Its primes must be 3 modulo 4, of equal size, and stored with all primes of p - 1 and q - 1.",
            )

    @functools.cached_property
    def public(self) -> PublicKey:
        """The public half."""
        return PublicKey(self.p * self.q)

    def export_secret(self) -> bytes:
        """Canonical bytes of the whole secret, for a keystore: PRIVATE_FORMAT, two counts, length-prefixed numbers."""
        numbers = (self.p, self.q, *self.p_factors, *self.q_factors)
        fields = [number.to_bytes((number.bit_length() + 7) // 8, "big") for number in numbers]
        counts = bytes([len(self.p_factors), len(self.q_factors)])
        return PRIVATE_FORMAT + counts + b"".join(len(part).to_bytes(2, "big") + part for part in fields)

    @classmethod
    def import_secret(cls, data: bytes) -> Self:
        """The key in `export_secret`. Raises ProtocolError for anything else."""
        if not data.startswith(PRIVATE_FORMAT):
            raise ProtocolError("The Paillier private key has an unknown format.")
        at = len(PRIVATE_FORMAT)
        counts, numbers = data[at : at + 2], _numbers(data[at + 2 :])
        if len(counts) != 2 or len(numbers) != 2 + sum(counts):
            raise ProtocolError("The Paillier private key is damaged.")
        split = 2 + counts[0]
        return cls(numbers[0], numbers[1], numbers[2:split], numbers[split:])

    def to_phe(self) -> "phe.PaillierPrivateKey":
        """The same key for `phe`, whole: handle as a secret."""
        import phe

        return phe.PaillierPrivateKey(self.public.to_phe(), self.p, self.q)

    @classmethod
    def from_phe(cls, key: "phe.PaillierPrivateKey", p_factors: tuple[int, ...], q_factors: tuple[int, ...]) -> Self:
        """A key of `phe` with the primes of p - 1 (p the smaller) and q - 1. Raises ProtocolError if they are not."""
        return cls(int(key.p), int(key.q), p_factors, q_factors)


def generate(bits: int = DEFAULT_BITS) -> PrivateKey:
    """A new key of 2048, 3072 or 4096 bits. Raises BadMessage for other sizes."""
    _check_size(bits)
    while True:
        (p, p_factors), (q, q_factors) = sorted((primes.blum_prime(bits // 2), primes.blum_prime(bits // 2)))
        if p != q and math.gcd(p * q, (p - 1) * (q - 1)) == 1:
            return PrivateKey(p, q, p_factors, q_factors)


def check_public(n: int) -> None:
    """Raises BadMessage unless n has an accepted size, is odd, composite, no power, without factors below 2^20.

    What is plain to see only; that n is a product of two fitting primes is `modulus_proof.verify`'s to say.
    """
    _check_size(n.bit_length() if n > 0 else 0)
    number = mpz(n)
    if number % 2 == 0:
        raise BadMessage("The Paillier modulus is even.")
    if gmpy2.gcd(number, _small_primes()) != 1:
        raise BadMessage("The Paillier modulus has a small factor.")
    if gmpy2.is_power(number):
        raise BadMessage("The Paillier modulus is a perfect power.")
    if primes.is_prime(n):
        raise BadMessage("The Paillier modulus is a prime.")


def _check_size(bits: int) -> None:
    if bits not in KEY_BITS:
        raise BadMessage(
            "A Paillier modulus of {bits} bits is not accepted.",
            "Accepted are {accepted} bits.",
            bits=bits,
            accepted=", ".join(map(str, KEY_BITS)),
        )


@functools.cache
def _small_primes() -> int:
    """The product of all primes below SMALL_FACTORS_BELOW."""
    return gmpy2.primorial(SMALL_FACTORS_BELOW)  # type: ignore[no-any-return]


def _numbers(data: bytes) -> tuple[int, ...]:
    """Big-endian numbers, each after its length in two bytes."""
    found, at = [], 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        part = data[at + 2 : at + 2 + length]
        if len(part) != length or length == 0 or part[0] == 0:
            raise ProtocolError("The Paillier private key is damaged.")
        found.append(int.from_bytes(part, "big"))
        at += 2 + length
    return tuple(found)
