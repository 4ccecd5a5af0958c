"""Labels open under their own row's key and nothing else, and only those of matched rows are opened at all."""

import numpy as np
import pytest
from support import canaries, digests, session

from protocols import labels
from protocols.errors import BadMessage
from protocols.psi import dh


def rows(count: int, width: int) -> np.ndarray:
    return np.random.default_rng(width).integers(0, 256, (count, width), dtype=np.uint8)


def test_tags_are_as_long_as_the_statistical_bound_asks():
    assert labels.tag_bytes(1, 1) == 5
    assert labels.tag_bytes(0, 1) == 5
    assert labels.tag_bytes(2**20, 2**20) == 10
    assert labels.tag_bytes(2**20 + 1, 2**20) == 11
    assert labels.tag_bytes(2**27, 2**27) <= 16


@pytest.mark.parametrize("width", [1, 24, 1536])
def test_labels_are_opened_by_their_own_key_only(width):
    outputs, plain = digests([1, 2, 3]), rows(3, width)
    _, keys = labels.derive(bytes(32), outputs)
    sealed = labels.seal(keys, plain)
    assert sealed.shape == (3, width + labels.SEAL_BYTES)
    assert (labels.open_sealed(keys, sealed) == plain).all()
    assert (sealed[0] != labels.seal(labels.derive(b"\1" * 32, outputs)[1], plain)[0]).any()
    with pytest.raises(BadMessage, match="does not open"):
        labels.open_sealed(keys[::-1], sealed)
    for place in (0, width - 1, width, -1):
        changed = sealed.copy()
        changed[1, place] ^= 1
        with pytest.raises(BadMessage, match="does not open"):
            labels.open_sealed(keys, changed)


def test_no_rows():
    none = np.empty((0, 32), np.uint8)
    assert labels.seal(none, np.empty((0, 5), np.uint8)).shape == (0, 21)
    assert labels.open_sealed(none, np.empty((0, 21), np.uint8)).shape == (0, 5)


@pytest.mark.parametrize("ordered", [True, False])
def test_labels_of_rows_that_do_not_match_are_not_opened(monkeypatch, ordered):
    opened = []
    open_sealed = labels.open_sealed
    monkeypatch.setattr(labels, "open_sealed", lambda k, s: opened.append(len(s)) or open_sealed(k, s))
    outcome = session(
        lambda c: dh.sender(c, digests(range(50)), rows(50, 8), canaries=canaries("sender"), ordered=ordered),
        lambda c: dh.receiver(c, digests(range(45, 60)), label_width=8, canaries=canaries("receiver"), ordered=ordered),
    )
    assert outcome.both()[1].size == sum(opened) == 5
