"""Scalars and sums of group elements that a proof needs and a match does not; few at a time, except `weighted_sum`.

Scalars are integers modulo the group's order; weights are public. What came from a peer is validated where it is used.
"""

import os
from functools import reduce

import numpy as np

from protocols import canary
from protocols.errors import BadMessage
from protocols.group import ELEMENT_BYTES, ORDER, SCALAR_BYTES, UNIFORM_BYTES, sodium
from protocols.hashing import expand_message_xmd
from protocols.kernels import SMALL_ROWS
from protocols.rows import Bytes, Draw, each_row

FEW_POINTS = SMALL_ROWS + canary.COUNT
"""Up to here libsodium does, as loading a compiled kernel would take longer: what a small match has in all."""


def to_int(scalar: bytes) -> int:
    """A canonical little-endian scalar. Raises BadMessage for another length or a value not below the order."""
    value = int.from_bytes(scalar, "little")
    if len(scalar) != SCALAR_BYTES or value >= ORDER:
        raise BadMessage("A scalar of a message is not valid.")
    return value


def to_bytes(scalar: int) -> bytes:
    """The scalar modulo the order, 32 bytes, little-endian."""
    return (scalar % ORDER).to_bytes(SCALAR_BYTES, "little")


def random_scalar(draw: Draw = os.urandom) -> int:
    """A uniform scalar that is not zero: 512 random bits, reduced."""
    return int.from_bytes(draw(UNIFORM_BYTES), "little") % ORDER or random_scalar(draw)


def hash_to_scalars(messages: Bytes, dst: bytes) -> Bytes:
    """uint8[n, 32]: HashToScalar of ristretto255-SHA512 (RFC 9497, 4.1), for messages uint8[n, w] and the full tag."""
    uniform = expand_message_xmd(messages, dst, UNIFORM_BYTES).tobytes()
    parts = (uniform[at : at + UNIFORM_BYTES] for at in range(0, len(uniform), UNIFORM_BYTES))
    scalars = b"".join(to_bytes(int.from_bytes(part, "little")) for part in parts)
    return np.frombuffer(scalars, np.uint8).reshape(-1, SCALAR_BYTES)


def multiply(scalar: int, point: bytes) -> bytes:
    """scalar · point. Raises BadMessage where `point` is not an element, or zero."""
    if not scalar:
        return bytes(ELEMENT_BYTES)
    try:
        product: bytes = sodium().crypto_scalarmult_ristretto255(to_bytes(scalar), point)
    except RuntimeError as error:
        raise BadMessage("A group element of a message is not valid.") from error
    return product


def multiply_generator(scalar: int) -> bytes:
    """scalar · the group's generator."""
    product: bytes = sodium().crypto_scalarmult_ristretto255_base_allow_scalar_zero(to_bytes(scalar))
    return product


def add(left: bytes, right: bytes) -> bytes:
    """left + right, both valid elements."""
    total: bytes = sodium().crypto_core_ristretto255_add(left, right)
    return total


def prepare(rows: int) -> None:
    """Load what sums of so many points take, and their multiplication: at leisure, rather than while a peer waits."""
    if rows > FEW_POINTS:
        from protocols.kernels.ristretto import ristretto255, sums

        ristretto255.warm()
        sums.warm()


def weighted_sum(weights: Bytes, points: Bytes) -> bytes:
    """Σ weight · point over scalars uint8[n, 32] and points uint8[n, 32]; the weights are public.

    Raises BadMessage where a point is not an element, or zero.
    """
    if len(points) <= FEW_POINTS:
        return reduce(add, map(multiply, map(to_int, each_row(weights)), each_row(points)))

    from protocols.kernels.ristretto import sums

    lanes, valid = sums.weighted(weights, points)
    if not (valid and points.any(axis=1).all()):
        raise BadMessage("A group element of a message is not valid.")
    return reduce(add, each_row(lanes))
