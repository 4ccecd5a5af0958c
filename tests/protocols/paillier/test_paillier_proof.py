import pytest

from protocols.errors import BadMessage
from protocols.paillier import modulus_proof
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
    each = 1 + 2 * width
    fields = {"version": start - 2, "w": start + width - 1}
    for number in (0, 77, modulus_proof.ROUNDS - 1):
        at = start + width + number * each
        fields |= {f"flags {number}": at, f"x {number}": at + width, f"z {number}": at + 2 * width}
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
    for at in (start, start + width + 1, start + 2 * width + 1):
        for number in (0, small.public.n):
            data = proof[:at] + number.to_bytes(width, "big") + proof[at + width :]
            with pytest.raises(BadMessage):
                verify(small.public, data, CONTEXT)
