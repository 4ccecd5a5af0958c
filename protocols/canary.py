"""Agreed dummy identities that a match must find, and others that it must not: they catch bugs, not cheats.

Both sides draw them from a secret they share, so that nobody else can. They are taken out before anything is counted.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from protocols.errors import ProtocolError
from protocols.rows import Bytes

COMMON = 4
OWN = 2
COUNT = COMMON + OWN
"""Rows that canaries add to a side."""
_LABEL = b"cleanroom/canary/1"


@dataclass(frozen=True)
class Canaries:
    """One side's canaries: common uint8[4, w] stand on both sides, own uint8[2, w] on this one alone."""

    common: Bytes
    own: Bytes

    @property
    def rows(self) -> Bytes:
        """All of this side, the common ones first: uint8[6, w]."""
        return np.concatenate([self.common, self.own])


def draw(secret: bytes, side: str, width: int) -> Canaries:
    """The canaries of `side` ('sender', 'receiver', or an owner's name), as digests of `width` bytes.

    secret: 32 bytes that only the two data owners know.
    """
    if len(secret) != 32:
        raise ValueError("the canaries' secret has 32 bytes")
    return Canaries(_digests(secret, "", COMMON, width), _digests(secret, side, OWN, width))


def _digests(secret: bytes, side: str, count: int, width: int) -> Bytes:
    begun = _LABEL + secret + len(side.encode()).to_bytes(2, "big") + side.encode()
    digests = [hashlib.sha256(begun + bytes([number])).digest()[:width] for number in range(count)]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(count, width)


def check(common: npt.NDArray[np.bool_], own: npt.NDArray[np.bool_]) -> None:
    """Whether each common and each one-sided canary matched. Raises ProtocolError unless all and none did."""
    if not common.all() or own.any():
        raise ProtocolError(
            "The canaries did not match as they must.",
            "Both sides must normalise and hash identities alike and hold the same contract.",
        )
