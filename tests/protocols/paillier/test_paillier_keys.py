import functools
import json
import math
from pathlib import Path

import gmpy2
import phe
import pytest

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier import keys
from protocols.paillier.keys import PrivateKey, PublicKey


def test_a_generated_key_has_the_form_and_works_in_phe() -> None:
    key = keys.generate(2048)
    assert key.public.bits == 2048
    for prime, factors in ((key.p, key.p_factors), (key.q, key.q_factors)):
        assert prime % 4 == 3
        assert math.prod(factors) == prime - 1
        assert all(gmpy2.is_prime(factor) for factor in factors)
        assert sorted(factors)[1].bit_length() >= 128, "a small odd factor would show through re-randomised sums"
    assert key.to_phe().raw_decrypt(key.to_phe().public_key.raw_encrypt(1234)) == 1234


@pytest.mark.parametrize("bits", [0, 15, 1024, 2047, 2049, 8192])
def test_other_sizes_are_refused(bits: int) -> None:
    with pytest.raises(BadMessage, match=f"{bits} bits is not accepted"):
        keys.generate(bits)


BAD = ("n = 15", "2^64", "zero", "1024 bits", "even", "p squared", "p cubed", "prime", "small factor", "three")


@functools.cache
def bad_moduli() -> dict[str, tuple[int, str]]:
    prime = int(gmpy2.next_prime(1 << 2047))
    half = int(gmpy2.next_prime(3 << 1022))
    third = int(gmpy2.next_prime(gmpy2.iroot(gmpy2.mpz(3) << 2046, 3)[0]))
    return {
        "n = 15": (15, "not accepted"),
        "2^64": (2**64, "not accepted"),
        "zero": (0, "not accepted"),
        "1024 bits": (int(gmpy2.next_prime(3 << 510)) * int(gmpy2.next_prime(7 << 509)), "not accepted"),
        "even": (2**2047 + 2, "even"),
        "p squared": (half**2, "perfect power"),
        "p cubed": (third**3, "perfect power"),
        "prime": (prime, "a prime"),
        "small factor": (1048573 * int(gmpy2.next_prime(1 << 2028)), "small factor"),
        "three": (3 * int(gmpy2.next_prime(1 << 2046)), "small factor"),
    }


@pytest.mark.parametrize("name", BAD)
def test_c2_malicious_moduli_are_refused_everywhere(name: str) -> None:
    n, reason = bad_moduli()[name]
    with pytest.raises(BadMessage, match=reason):
        keys.check_public(n)
    with pytest.raises(BadMessage, match=reason):
        PublicKey(n)
    with pytest.raises(BadMessage):
        PublicKey.from_bytes(keys.PUBLIC_FORMAT + n.to_bytes(max(1, (n.bit_length() + 7) // 8), "big"))
    with pytest.raises(BadMessage, match=reason):
        PublicKey.from_phe(phe.PaillierPublicKey(n))


def test_a_negative_modulus_is_refused(key: PrivateKey) -> None:
    with pytest.raises(BadMessage):
        PublicKey(-key.public.n)


def test_public_bytes(key: PrivateKey) -> None:
    data = key.public.to_bytes()
    assert PublicKey.from_bytes(data) == key.public
    assert PublicKey.from_phe(key.public.to_phe()) == key.public
    for bad in (b"", data[1:], data[:-1], data + b"\0", data.replace(b"/1\n", b"/2\n"), keys.PUBLIC_FORMAT):
        with pytest.raises(BadMessage):
            PublicKey.from_bytes(bad)
    leading_zero = keys.PUBLIC_FORMAT + b"\0" * 128 + data[len(keys.PUBLIC_FORMAT) :]
    with pytest.raises(BadMessage):
        PublicKey.from_bytes(leading_zero)


def test_private_bytes(key: PrivateKey) -> None:
    data = key.export_secret()
    assert PrivateKey.import_secret(data) == key
    assert PrivateKey.from_phe(key.to_phe(), key.p_factors, key.q_factors) == key
    with pytest.raises(ProtocolError, match="unknown format"):
        PrivateKey.import_secret(data.replace(b"/1\n", b"/2\n"))
    start = len(keys.PRIVATE_FORMAT)
    for at in (start, start + 1, start + 2, start + 3, start + 200, len(data) - 1):
        with pytest.raises(ProtocolError):
            PrivateKey.import_secret(data[:at])
    for bad in (data + b"\0", data + b"\0\1\2", data[: start + 2] + b"\0\1\0" + data[start + 2 :]):
        with pytest.raises(ProtocolError):
            PrivateKey.import_secret(bad)


def test_keys_of_another_form_are_refused(key: PrivateKey, other: PrivateKey, large: PrivateKey) -> None:
    composite = (2, math.prod(key.p_factors[1:]))
    not_blum = gmpy2.next_prime(key.q)
    while not_blum % 4 == 3:
        not_blum = gmpy2.next_prime(not_blum)
    bad = {
        "p and q exchanged": (key.q, key.p, key.q_factors, key.p_factors),
        "a factor is not prime": (key.p, key.q, composite, key.q_factors),
        "a factor is missing": (key.p, key.q, key.p_factors[:2], key.q_factors),
        "a factor too many": (key.p, key.q, (*key.p_factors, 3), key.q_factors),
        "the factors of another": (key.p, key.q, other.p_factors, key.q_factors),
        "sizes differ": (other.p, large.q, other.p_factors, large.q_factors),
        "q is 1 modulo 4": (key.p, int(not_blum), key.p_factors, key.q_factors),
        "q is composite": (key.p, key.q + 4, key.p_factors, key.q_factors),
    }
    for name, parts in bad.items():
        with pytest.raises(ProtocolError):
            PrivateKey(*parts)
            pytest.fail(name)


def test_no_secret_in_a_key_s_text(key: PrivateKey) -> None:
    assert str(key) == repr(key) == "PrivateKey()"


def test_test_keys_say_that_they_are_public() -> None:
    stored = json.loads(Path(__file__).with_name("published_keys.json").read_text("utf-8"))
    assert "PUBLISHED" in stored["_"]
