"""join-sum: dh that is not ordered, with slots as labels; the sum leaves masked, re-randomised, with noise inside."""

import numpy as np
import pytest
from support import canaries, digests, session

from protocols.errors import BadMessage
from protocols.paillier import answer, cipher
from protocols.paillier.cells import Amount, CellLayout, Totals
from protocols.paillier.keys import PrivateKey
from protocols.psi import dh

HOLDER, HOST = range(40), range(25, 60)
LAYOUT = CellLayout(512, 2, (Amount("spend", -100, 100, noise=9),), 40, count_noise=9)
CODES = np.arange(40) % 3 - 1
SPEND = (np.arange(40) * 7 % 201 - 100).reshape(-1, 1)


def labels_of(key: PrivateKey) -> np.ndarray:
    return cipher.encrypt(key, LAYOUT.encode(CODES, SPEND, key.public))


def matched_labels(key: PrivateKey, labels: np.ndarray) -> dh.ReceiverResult:
    _, result = session(
        lambda c: dh.sender(c, digests(HOLDER), labels, canaries=canaries("sender"), ordered=False),
        lambda c: dh.receiver(
            c, digests(HOST), label_width=labels.shape[1], canaries=canaries("receiver"), ordered=False
        ),
    ).both()
    return result


def test_the_sum_over_the_matched(small: PrivateKey) -> None:
    labels = labels_of(small)
    result = matched_labels(small, labels)
    assert (result.size, result.matched) == (15, None)
    cipher.check_ciphertexts(small.public, result.labels)
    sums = cipher.sum_groups(small.public, result.labels, np.zeros(result.size, np.int64), 1)
    noise = Totals(np.array([[2, -1]]), np.array([[[-9], [4]]], object))
    rows, masks = answer.prepare(small.public, LAYOUT, sums, np.array([result.size]), noise=noise)
    assert not {bytes(row) for row in rows} & {bytes(row) for row in np.concatenate([labels, sums])}
    seen = answer.open_sums(small, LAYOUT, rows)
    matched = np.arange(25, 40)
    of = [matched[CODES[matched] == cell] for cell in (0, 1)]
    assert seen.counts.tolist() == [[len(of[0]) + 2, len(of[1]) - 1]]
    released = answer.unmask(LAYOUT, seen.amounts, masks)
    assert released.tolist() == [[[SPEND[of[0]].sum() - 9], [SPEND[of[1]].sum() + 4]]]


def test_labels_that_are_no_ciphertexts_end_it(small: PrivateKey) -> None:
    labels = labels_of(small)
    labels[:] = 0
    with pytest.raises(BadMessage, match="Row 0 of the batch"):
        cipher.check_ciphertexts(small.public, matched_labels(small, labels).labels)
