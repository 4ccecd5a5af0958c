"""Primes p = 2kt + 1 with k and t prime, and generators modulo them that are proved.

k has at least 128 bits: then p - 1 has no small factor but 2, and a random square generates all squares modulo p
except with probability 2^-127. With small factors in k, a re-randomised sum would show the key owner in which small
subgroup the product of the summed ciphertexts lies, whenever the drawn base misses that subgroup.
"""

import secrets

import gmpy2
from gmpy2 import mpz

K_BITS = 128
PRIMALITY_ROUNDS = 40


def is_prime(number: int) -> bool:
    """Baillie-PSW and Miller-Rabin; wrong with probability below 4^-16 even for numbers chosen to deceive."""
    return bool(gmpy2.is_prime(mpz(number), PRIMALITY_ROUNDS))


def blum_prime(bits: int) -> tuple[int, tuple[int, int, int]]:
    """(p, (2, k, t)): p of `bits` bits, its two top bits set, p = 3 modulo 4, p - 1 = 2kt."""
    t = gmpy2.next_prime(mpz(secrets.randbits(bits - K_BITS - 2)) | (mpz(1) << (bits - K_BITS - 2)))
    low, high = (mpz(3) << (bits - 2)) // (2 * t) + 1, (mpz(1) << bits) // (2 * t)
    while True:
        k = gmpy2.next_prime(low + secrets.randbelow(int(high - low)))
        p = 2 * k * t + 1
        if p.bit_length() == bits and is_prime(p):
            return int(p), (2, int(k), int(t))


def has_only(number: int, primes: tuple[int, ...]) -> bool:
    """Whether `primes` are primes and all the primes of `number`."""
    rest = mpz(number)
    for prime in primes:
        rest, times = gmpy2.remove(rest, prime) if is_prime(prime) else (rest, 0)
        if not times:
            return False
    return bool(rest == 1)


def generator(p: int, primes: tuple[int, ...]) -> int:
    """A random generator modulo the prime p, where `primes` are all the primes of p - 1."""
    while True:
        g = secrets.randbelow(p - 3) + 2
        if all(gmpy2.powmod(g, (p - 1) // f, p) != 1 for f in primes):
            return g
