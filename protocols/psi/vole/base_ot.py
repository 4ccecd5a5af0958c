"""1-of-2 oblivious transfers of random keys over ristretto255 (Naor and Pinkas, SODA 2001, section 3).

C is hashed from the session, so nobody knows its logarithm. The chooser sends P_0 with P_c = g^k and P_0 + P_1 = C; the
offerer replies g^s once, and both derive K_i,b = SHA-256(session, i, b, P_i,b^s, g^s, P_i,0). The chooser's bit is
hidden whatever the offerer does; the chooser gets one key a pair under CDH in the random-oracle model. What depends on
the bit is selected by masks; libsodium's group arithmetic takes the same time for all scalars.
"""

import hashlib

import numpy as np
import numpy.typing as npt

from protocols.errors import BadMessage
from protocols.group import sodium
from protocols.rows import Bytes, Draw

POINT_BYTES = 32
KEY_BYTES = 16
_CONSTANT_LABEL = b"cleanroom/vole-ot-constant/1"
_KEY_LABEL = b"cleanroom/vole-ot-key/1"
_SCALAR_DRAW = 64


class Chooser:
    """One side's choices uint8[n] of 0 and 1, and the first points that it sends: `points` uint8[n, 32]."""

    def __init__(self, session: bytes, choices: Bytes, draw: Draw) -> None:
        rbcl = sodium()
        constant = _constant(session)
        self._session, self._choices = session, choices
        self._scalars = [_scalar(draw) for _ in choices]
        known = [rbcl.crypto_scalarmult_ristretto255_base(scalar) for scalar in self._scalars]
        others = [rbcl.crypto_core_ristretto255_sub(constant, point) for point in known]
        self.points = _select(_rows(known), _rows(others), choices)

    def keys(self, reply: bytes) -> Bytes:
        """uint8[n, 16]: the key of each choice. Raises BadMessage for a reply that is no element, or zero."""
        multiply = sodium().crypto_scalarmult_ristretto255
        _check_points([reply])
        shared = [multiply(scalar, reply) for scalar in self._scalars]
        keys = [
            _key(self._session, i, int(choice), point, reply, self.points[i].tobytes())
            for i, (choice, point) in enumerate(zip(self._choices, shared, strict=True))
        ]
        return _rows(keys)


def offer(session: bytes, points: Bytes, draw: Draw) -> tuple[bytes, Bytes]:
    """(the reply to a chooser's points uint8[n, 32], both keys uint8[n, 2, 16]). Raises BadMessage for bad points."""
    rbcl = sodium()
    firsts = [row.tobytes() for row in points]
    _check_points(firsts)
    scalar = _scalar(draw)
    reply: bytes = rbcl.crypto_scalarmult_ristretto255_base(scalar)
    total = rbcl.crypto_scalarmult_ristretto255(scalar, _constant(session))
    keys = []
    for i, first in enumerate(firsts):
        shared = rbcl.crypto_scalarmult_ristretto255(scalar, first)
        other = rbcl.crypto_core_ristretto255_sub(total, shared)
        keys += [_key(session, i, 0, shared, reply, first), _key(session, i, 1, other, reply, first)]
    return reply, _rows(keys).reshape(-1, 2, KEY_BYTES)


def _select(zero: Bytes, one: Bytes, choices: Bytes) -> Bytes:
    mask: npt.NDArray[np.uint8] = np.uint8(0) - choices[:, None]
    return zero ^ ((zero ^ one) & mask)


def _check_points(points: list[bytes]) -> None:
    rbcl = sodium()
    for point in points:
        if point == bytes(POINT_BYTES) or not rbcl.crypto_core_ristretto255_is_valid_point(point):
            raise BadMessage("A group element of a message is not valid.")


def _scalar(draw: Draw) -> bytes:
    scalar: bytes = sodium().crypto_core_ristretto255_scalar_reduce(draw(_SCALAR_DRAW))
    return scalar


def _constant(session: bytes) -> bytes:
    point: bytes = sodium().crypto_core_ristretto255_from_hash(hashlib.sha512(_CONSTANT_LABEL + session).digest())
    return point


def _key(session: bytes, number: int, side: int, shared: bytes, reply: bytes, first: bytes) -> bytes:
    spoken = session + number.to_bytes(4, "little") + bytes([side]) + shared + reply + first
    return hashlib.sha256(_KEY_LABEL + spoken).digest()[:KEY_BYTES]


def _rows(parts: list[bytes]) -> Bytes:
    return np.frombuffer(b"".join(parts), np.uint8).reshape(len(parts), -1)
