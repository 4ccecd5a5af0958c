from typing import cast

import gmpy2
import pytest

from protocols.errors import BadMessage
from protocols.paillier import keys, modulus_proof
from protocols.paillier.keys import PrivateKey
from protocols.paillier.modulus_proof import prove, verify

CONTEXT = b"merchant to platform"


@pytest.fixture(scope="module")
def proof(small: PrivateKey) -> bytes:
    return prove(small, CONTEXT)


def test_an_honest_key_passes(key: PrivateKey, other: PrivateKey) -> None:
    proof = prove(key, CONTEXT)
    verify(key.public, proof, CONTEXT)
    with pytest.raises(BadMessage):
        verify(other.public, proof, CONTEXT)


def test_a_proof_holds_for_its_context_only(small: PrivateKey, proof: bytes) -> None:
    verify(small.public, proof, CONTEXT)
    for context in (b"", CONTEXT + b"\0", b"platform to merchant"):
        with pytest.raises(BadMessage):
            verify(small.public, proof, context)


def test_every_part_is_checked(small: PrivateKey, proof: bytes) -> None:
    width, start = small.public.plain_width, len(modulus_proof.FORMAT)
    each = 1 + width
    fields = {"version": start - 2, "w": start + width - 1}
    for number in (0, 77, modulus_proof.ROUNDS - 1):
        at = start + width + number * each
        fields |= {f"flags {number}": at, f"x {number}": at + width}
    for number in (0, modulus_proof.NTH_ROOTS - 1):
        fields[f"z {number}"] = start + width + modulus_proof.ROUNDS * each + (number + 1) * width - 1
    for at in fields.values():
        for change in (1, 2, 4):
            bad = bytearray(proof)
            bad[at] ^= change
            with pytest.raises(BadMessage):
                verify(small.public, bytes(bad), CONTEXT)


@pytest.mark.parametrize("bad", [b"", modulus_proof.FORMAT])
def test_other_lengths_are_refused(small: PrivateKey, proof: bytes, bad: bytes) -> None:
    for data in (bad, proof[:-1], proof + b"\0"):
        with pytest.raises(BadMessage, match="does not hold"):
            verify(small.public, data, CONTEXT)


def test_roots_out_of_range_are_refused(small: PrivateKey, proof: bytes) -> None:
    width, start = small.public.plain_width, len(modulus_proof.FORMAT)
    for at in (start, start + width + 1, len(proof) - width):
        for number in (0, small.public.n):
            data = proof[:at] + number.to_bytes(width, "big") + proof[at + width :]
            with pytest.raises(BadMessage):
                verify(small.public, data, CONTEXT)


class _Cheat:
    """A modulus that no honest key has, and whoever knows its primes; the prover goes as far as he can."""

    def __init__(self, p: int, q: int) -> None:
        self.p, self.q = min(p, q), max(p, q)
        self.public = keys.PublicKey(self.p * self.q)


def _prime(start: int, step: int, offset: int) -> int:
    """The first prime above `start` that is `offset` modulo `step`."""
    number = start + (offset - start) % step
    while not gmpy2.is_prime(number):
        number += step
    return int(number)


@pytest.fixture
def half_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "KEY_BITS", (512,))


@pytest.mark.usefixtures("half_size")
def test_a_modulus_that_shares_a_factor_with_its_order_is_refused() -> None:
    """n = pq with p dividing q - 1: the attack of BitForge. Fourth roots exist, n-th roots do not."""
    p = _prime(1 << 200, 4, 3)
    q = _prime(3 << 310, 4 * p, 2 * p + 1)
    cheat = _Cheat(p, q)
    with pytest.raises(BadMessage):
        verify(cheat.public, _forged(cheat), CONTEXT)


@pytest.mark.usefixtures("half_size")
def test_a_modulus_with_a_factor_of_one_modulo_four_is_refused() -> None:
    cheat = _Cheat(_prime((1 << 255) + (1 << 254), 4, 1), _prime((1 << 255) + (1 << 254) + (1 << 253), 4, 3))
    with pytest.raises(BadMessage):
        verify(cheat.public, _forged(cheat), CONTEXT)


def _forged(cheat: _Cheat) -> bytes:
    """What `prove` makes of such a key; where an inverse does not exist, roots are guessed."""
    with pytest.MonkeyPatch.context() as patch:
        invert = gmpy2.invert
        patch.setattr(
            modulus_proof.gmpy2, "invert", lambda x, m: invert(x, m) if gmpy2.gcd(x, m) == 1 else gmpy2.mpz(1)
        )
        patch.setattr(modulus_proof.gmpy2, "powmod_sec", lambda y, e, m: gmpy2.powmod(y, e or 1, m))
        return prove(cast(PrivateKey, cheat), CONTEXT)
