"""What `phe` lets through and this refuses (pitfall 7): moduli, ciphertexts, overflow, bare products."""

import numpy as np
import phe
import pytest

from protocols.errors import BadMessage, ProtocolError
from protocols.paillier import cipher
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.numbers import pack, unpack
from protocols.paillier.slots import Layout, Slot


@pytest.mark.parametrize("n", [15, 2**2047 + 2])
def test_moduli_that_are_none(n: int) -> None:
    phe.PaillierPublicKey(n)
    with pytest.raises(BadMessage):
        PublicKey(n)


def test_zero_is_no_ciphertext(key: PrivateKey) -> None:
    assert isinstance(key.to_phe().raw_decrypt(0), int)
    with pytest.raises(BadMessage, match="Row 1 "):
        cipher.decrypt(key, pack([1, 0], key.public.width))


def test_a_sum_that_could_wrap_is_refused_before_it_is_made(key: PrivateKey) -> None:
    judge = key.to_phe()
    most = judge.public_key.max_int
    assert most.bit_length() > 2040
    try:
        wrapped = judge.decrypt(judge.public_key.encrypt(most) * 3)
    except OverflowError:
        wrapped = None
    assert wrapped != 3 * most
    layout = Layout(2048, (Slot("spend", 0, 100),), 3)
    with pytest.raises(ProtocolError, match="4 rows in one sum"):
        layout.check_rows(4)
    with pytest.raises(ProtocolError, match="more than 127"):
        Layout(2048, (Slot("spend", 0, 2**62),), 2**66)


def test_a_sum_leaves_as_another_number_than_the_product(key: PrivateKey) -> None:
    judge, n2 = key.to_phe().public_key, key.public.n**2
    left, right = judge.encrypt(3), judge.encrypt(4)
    product = left.ciphertext(False) * right.ciphertext(False) % n2
    assert (left + right).ciphertext(False) == product
    rows = pack([left.ciphertext(False), right.ciphertext(False)], key.public.width)
    sums = cipher.sum_groups(key.public, rows, np.zeros(2, np.int64), 2)
    assert unpack(sums) == [product, 1]
    sent = cipher.rerandomise(key.public, sums)
    assert not set(unpack(sent)) & {product, 1}
    assert unpack(cipher.decrypt(key, sent)) == [7, 0]
