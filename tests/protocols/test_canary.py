"""Canaries match where both sides have them, and only there; who lacks the secret cannot tell them."""

import numpy as np
import pytest

from protocols import canary
from protocols.errors import ProtocolError


def test_both_sides_draw_the_same_common_ones_and_different_own_ones():
    left, right = (canary.draw(b"s" * 32, side, 32) for side in ("left", "right"))
    assert (left.common == right.common).all()
    rows = {row.tobytes() for row in np.concatenate([left.rows, right.rows])}
    assert len(rows) == canary.COMMON + 2 * canary.OWN
    assert len(left.rows) == canary.COUNT


@pytest.mark.parametrize("width", [16, 32])
def test_they_are_as_wide_as_the_digests(width):
    assert canary.draw(b"s" * 32, "left", width).rows.shape == (canary.COUNT, width)


def test_another_secret_draws_others():
    one, two = (canary.draw(secret * 32, "left", 32) for secret in (b"s", b"t"))
    assert not {row.tobytes() for row in one.rows} & {row.tobytes() for row in two.rows}
    with pytest.raises(ValueError, match="32 bytes"):
        canary.draw(b"short", "left", 32)


def test_all_common_and_no_own_one_must_match():
    yes, no = np.ones(canary.COMMON, np.bool_), np.zeros(canary.OWN, np.bool_)
    canary.check(yes, no)
    for common, own in ((~yes, no), (yes, ~no), (np.arange(canary.COMMON) > 0, no), (yes, np.arange(canary.OWN) > 0)):
        with pytest.raises(ProtocolError, match="canaries"):
            canary.check(common, own)
