"""Proof that n is a Paillier-Blum modulus: n = pq, p = q = 3 modulo 4, gcd(n, φ(n)) = 1. Verification raises.

Canetti, Gennaro, Goldfeder, Makriyannis, Peled, "UC Non-Interactive, Proactive, Threshold ECDSA", figure 16 (Π-mod,
ePrint 2021/060), made non-interactive with SHAKE-256. Keys without it were attacked as BitForge (CVE-2023-33241).
It does not bound the factors from below (figure 28 does), which range proofs need but encryption does not.

The figure answers each challenge with a fourth root and an n-th root. If a prime divides both n and φ(n), no more than
one in so many numbers has an n-th root; `keys.check_public` has found no factor below 2^20, so that seven n-th roots
leave 2^-140 (Goldberg, Reyzin, Sagga, Baldimtsi, ePrint 2018/057, section 3.2). They are what verifying takes time for.

A proof depends on the key and on `context` alone: let that name the prover, make it once, and let each peer remember
that it has verified it. Exponents that tell p and q go through `powmod_sec`; the Jacobi symbols modulo p, the
inversions and the recombination around them take time that depends on p and q.
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
NTH_ROOTS = 7
FORMAT = b"paillier-blum-proof/2\n"
CHALLENGE_LABEL = b"cleanroom/paillier-blum-modulus/2"


@dataclass(frozen=True)
class _Round:
    """x, a fourth root of y, -y, wy or -wy, as the bits `negated` and `turned` say."""

    x: int
    negated: bool
    turned: bool


@dataclass(frozen=True)
class _Proof:
    """w, of Jacobi symbol -1; answers to ROUNDS challenges y; n-th roots of the first NTH_ROOTS of them."""

    w: int
    rounds: tuple[_Round, ...]
    nth_roots: tuple[int, ...]

    def to_bytes(self, width: int) -> bytes:
        parts = [FORMAT, self.w.to_bytes(width, "big")]
        for each in self.rounds:
            parts += [bytes([each.negated | each.turned << 1]), each.x.to_bytes(width, "big")]
        return b"".join(parts + [z.to_bytes(width, "big") for z in self.nth_roots])

    @classmethod
    def from_bytes(cls, data: bytes, width: int) -> "_Proof":
        body, split = data[len(FORMAT) :], width + ROUNDS * (1 + width)
        if not data.startswith(FORMAT) or len(body) != split + NTH_ROOTS * width:
            _refuse()
        rounds = []
        for at in range(width, split, 1 + width):
            if body[at] > 3:
                _refuse()
            x = int.from_bytes(body[at + 1 : at + 1 + width], "big")
            rounds.append(_Round(x, bool(body[at] & 1), bool(body[at] & 2)))
        roots = tuple(int.from_bytes(body[at : at + width], "big") for at in range(split, len(body), width))
        return cls(int.from_bytes(body[:width], "big"), tuple(rounds), roots)


def prove(key: PrivateKey, context: bytes) -> bytes:
    """The proof for key.public, good only with `context`, which names the prover."""
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

    rounds, challenges = [], _challenges(key.public, int(w), context)
    for y in challenges:
        # One of y, -y, wy, -wy is a square modulo both primes.
        turned = gmpy2.jacobi(y, n) == -1
        square = y * w % n if turned else y
        negated = gmpy2.jacobi(square, p) == -1
        square = -square % n if negated else square
        rounds.append(_Round(power(square, fourth), negated, turned))
    roots = tuple(power(y, nth) for y in challenges[:NTH_ROOTS])
    return _Proof(int(w), tuple(rounds), roots).to_bytes(key.public.plain_width)


def verify(public: PublicKey, proof: bytes, context: bytes) -> None:
    """Raises BadMessage unless `proof` shows, for this context, that public.n is a Paillier-Blum modulus."""
    n = public.modulus
    # 1. The form: version, length, flags. The modulus itself was checked when `public` was made.
    parsed = _Proof.from_bytes(proof, public.plain_width)
    # 2. w has Jacobi symbol -1.
    if not 0 < parsed.w < n or gmpy2.jacobi(parsed.w, n) != -1:
        _refuse()
    challenges = _challenges(public, parsed.w, context)
    for y, answer in zip(challenges, parsed.rounds, strict=True):
        # 3. x is a fourth root, within range: n has two prime factors, both 3 modulo 4.
        square = y * parsed.w if answer.turned else y
        if not 0 < answer.x < n or gmpy2.powmod(answer.x, 4, n) != (-square if answer.negated else square) % n:
            _refuse()
    for y, z in zip(challenges[:NTH_ROOTS], parsed.nth_roots, strict=True):
        # 4. z is an n-th root, within range: n is prime to φ(n).
        if not 0 < z < n or gmpy2.powmod(z, n, n) != y:
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
