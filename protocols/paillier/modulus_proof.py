"""Proof that n is a Paillier-Blum modulus: n = pq, p = q = 3 modulo 4, gcd(n, φ(n)) = 1. Verification raises.

Canetti, Gennaro, Goldfeder, Makriyannis, Peled, "UC Non-Interactive, Proactive, Threshold ECDSA", figure 16 (Π-mod,
ePrint 2021/060), made non-interactive with SHAKE-256. Keys without it were attacked as BitForge (CVE-2023-33241).
It does not bound the factors from below (figure 28 does), which range proofs need but encryption does not.
"""

import hashlib
import secrets
from dataclasses import dataclass
from typing import NoReturn

import gmpy2
from gmpy2 import mpz

from protocols.errors import BadMessage
from protocols.paillier.keys import PrivateKey, PublicKey

ROUNDS = 128
FORMAT = b"paillier-blum-proof/1\n"
CHALLENGE_LABEL = b"cleanroom/paillier-blum-modulus/1"


@dataclass(frozen=True)
class _Round:
    """x, a fourth root of y, -y, wy or -wy, as the bits `negated` and `turned` say; z, an n-th root of y."""

    x: int
    negated: bool
    turned: bool
    z: int


@dataclass(frozen=True)
class _Proof:
    """w, of Jacobi symbol -1, and the answers to ROUNDS challenges y."""

    w: int
    rounds: tuple[_Round, ...]

    def to_bytes(self, width: int) -> bytes:
        parts = [FORMAT, self.w.to_bytes(width, "big")]
        for each in self.rounds:
            parts += [bytes([each.negated | each.turned << 1]), *(i.to_bytes(width, "big") for i in (each.x, each.z))]
        return b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes, width: int) -> "_Proof":
        body = data[len(FORMAT) :]
        if not data.startswith(FORMAT) or len(body) != width + ROUNDS * (1 + 2 * width):
            _refuse()
        rounds = []
        for at in range(width, len(body), 1 + 2 * width):
            flags, x, z = body[at], body[at + 1 : at + 1 + width], body[at + 1 + width : at + 1 + 2 * width]
            if flags > 3:
                _refuse()
            rounds.append(_Round(int.from_bytes(x, "big"), bool(flags & 1), bool(flags & 2), int.from_bytes(z, "big")))
        return cls(int.from_bytes(body[:width], "big"), tuple(rounds))


def prove(key: PrivateKey, context: bytes) -> bytes:
    """The proof for key.public, good only with `context` (who proves to whom, in which session)."""
    p, q, n = mpz(key.p), mpz(key.q), key.public.modulus
    w = mpz(secrets.randbelow(key.public.n))
    while gmpy2.jacobi(w, n) != -1:
        w = mpz(secrets.randbelow(key.public.n))
    q_inverse = gmpy2.invert(q, p)
    fourth = [gmpy2.powmod((x + 1) // 4, 2, x - 1) for x in (p, q)]
    nth = [gmpy2.invert(n, x - 1) for x in (p, q)]

    def power(y: int, exponents: list[int]) -> int:
        a, b = (gmpy2.powmod_sec(y % x, e, x) for x, e in zip((p, q), exponents, strict=True))
        return int(b + q * ((a - b) * q_inverse % p))

    rounds = []
    for y in _challenges(key.public, int(w), context):
        # One of y, -y, wy, -wy is a square modulo both primes.
        turned = gmpy2.jacobi(y, n) == -1
        square = y * w % n if turned else y
        negated = gmpy2.jacobi(square, p) == -1
        square = -square % n if negated else square
        rounds.append(_Round(power(square, fourth), negated, turned, power(y, nth)))
    return _Proof(int(w), tuple(rounds)).to_bytes(key.public.plain_width)


def verify(public: PublicKey, proof: bytes, context: bytes) -> None:
    """Raises BadMessage unless `proof` shows, for this context, that public.n is a Paillier-Blum modulus."""
    n = public.modulus
    # 1. The form: version, length, flags. The modulus itself was checked when `public` was made.
    parsed = _Proof.from_bytes(proof, public.plain_width)
    # 2. w has Jacobi symbol -1.
    if not 0 < parsed.w < n or gmpy2.jacobi(parsed.w, n) != -1:
        _refuse()
    for y, answer in zip(_challenges(public, parsed.w, context), parsed.rounds, strict=True):
        # 3. Roots within range.
        if not (0 < answer.x < n and 0 < answer.z < n):
            _refuse()
        # 4. x is a fourth root: n has two prime factors, both 3 modulo 4.
        square = y * parsed.w if answer.turned else y
        if gmpy2.powmod(answer.x, 4, n) != (-square if answer.negated else square) % n:
            _refuse()
        # 5. z is an n-th root: n is prime to φ(n).
        if gmpy2.powmod(answer.z, n, n) != y:
            _refuse()


def _challenges(public: PublicKey, w: int, context: bytes) -> list[int]:
    """ROUNDS numbers modulo n (mpz) out of the statement, w and the context; 128 bits longer than n, then reduced."""
    width = public.plain_width
    statement = hashlib.shake_256(CHALLENGE_LABEL)
    for part in (context, public.n.to_bytes(width, "big"), w.to_bytes(width, "big")):
        statement.update(len(part).to_bytes(8, "big") + part)
    wide = width + 16
    stream = statement.digest(ROUNDS * wide)
    return [mpz.from_bytes(stream[at : at + wide], "big") % public.n for at in range(0, len(stream), wide)]


def _refuse() -> NoReturn:
    raise BadMessage("The proof of the Paillier modulus does not hold.", "The peer must send a key made by this tool.")
