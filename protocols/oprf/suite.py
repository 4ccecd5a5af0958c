"""RFC 9497's OPRF and VOPRF, byte-exact, in batches under one key: blind, evaluate, finalise.

A batch is blinded under one scalar where the RFC draws one an input: the group's kernels share a scalar. Its elements
are then indistinguishable from random ones under DDH (random oracle), rather than unconditionally.
"""

import os
from collections.abc import Callable, Sequence
from enum import IntEnum

import numpy as np

from protocols.errors import ProtocolError
from protocols.group import ELEMENT_BYTES, Group, backend
from protocols.hashing import SHA512_BYTES, sha512_rows
from protocols.oprf import points
from protocols.rows import Bytes, Draw

IDENTIFIER = b"ristretto255-SHA512"
SEED_BYTES = 32
OUTPUT_BYTES = SHA512_BYTES
_WORTH = 5  # multiplications that a query takes on its two sides, proof included
MOST_INPUT_BYTES = (1 << 16) - 1
Inputs = Sequence[bytes] | Bytes
"""Byte strings of any length up to 65,535, or equally long ones as uint8[n, w]."""


class Mode(IntEnum):
    """RFC 9497, 3.1. Every hash is separated by it."""

    OPRF = 0
    VOPRF = 1


def context(mode: Mode) -> bytes:
    """CreateContextString (RFC 9497, 3.1)."""
    return b"OPRFV1-" + bytes([mode]) + b"-" + IDENTIFIER


def derive_key_pair(seed: bytes, info: bytes, mode: Mode) -> tuple[bytes, bytes]:
    """(secret scalar, public element) from 32 secret bytes and public info (RFC 9497, 3.2.1)."""
    if len(seed) != SEED_BYTES or len(info) > MOST_INPUT_BYTES:
        raise ValueError("a seed has 32 bytes, info at most 65,535")
    for counter in range(256):
        message = seed + len(info).to_bytes(2, "big") + info + bytes([counter])
        row = np.frombuffer(message, np.uint8).reshape(1, -1)
        secret = points.hash_to_scalars(row, b"DeriveKeyPair" + context(mode)).tobytes()
        if any(secret):
            return secret, points.multiply_generator(points.to_int(secret))
    raise ProtocolError("No key could be derived from the seed.")


def blind(inputs: Inputs, mode: Mode, draw: Draw = os.urandom) -> tuple[bytes, Bytes]:
    """(the blinding scalar, to be kept for `finalize`; the blinded elements uint8[n, 32])."""
    scalar = backend().random_scalar(draw)
    return scalar, _blind(inputs, mode, scalar)


def _blind(inputs: Inputs, mode: Mode, scalar: bytes) -> Bytes:
    return _multiplied_hashes(inputs, mode, scalar)


def blind_evaluate(secret: bytes, blinded: Bytes) -> Bytes:
    """uint8[n, 32]: the server's part. Raises BadMessage where an element is not valid."""
    return _group(len(blinded)).multiply(secret, blinded)


def finalize(inputs: Inputs, scalar: bytes, evaluated: Bytes) -> Bytes:
    """uint8[n, 64]: the outputs, from the scalar of `blind` and the server's elements in the order of the inputs.

    In VOPRF mode check their proof first (`protocols.oprf.proof`). Raises BadMessage where an element is not valid.
    """
    return _outputs(inputs, _group(len(inputs)).multiply(backend().invert(scalar), evaluated))


def evaluate(secret: bytes, inputs: Inputs, mode: Mode) -> Bytes:
    """uint8[n, 64]: the outputs, by who knows both key and inputs."""
    return _outputs(inputs, _multiplied_hashes(inputs, mode, secret))


def _multiplied_hashes(inputs: Inputs, mode: Mode, scalar: bytes) -> Bytes:
    tag = b"HashToGroup-" + context(mode)
    group = _group(len(inputs))
    return _by_length(inputs, ELEMENT_BYTES, lambda rows, _: group.hash_multiply(scalar, rows, tag))


def _group(rows: int) -> Group:
    """For a batch, of which a session may have several: so the kernels from fewer rows on than for a match by `dh`."""
    return backend(_WORTH * rows if rows > points.FEW_POINTS else rows)


def _outputs(inputs: Inputs, elements: Bytes) -> Bytes:
    """Hash(len ‖ input ‖ len ‖ element ‖ "Finalize") (RFC 9497, 3.3.1)."""
    width = np.frombuffer(ELEMENT_BYTES.to_bytes(2, "big"), np.uint8)

    def digests(rows: Bytes, where: slice | list[int]) -> Bytes:
        content = np.hstack([rows, np.broadcast_to(width, (len(rows), 2)), elements[where]])
        return sha512_rows(rows.shape[1].to_bytes(2, "big"), content, b"Finalize")

    return _by_length(inputs, OUTPUT_BYTES, digests)


def _by_length(inputs: Inputs, width: int, work: Callable[[Bytes, slice | list[int]], Bytes]) -> Bytes:
    """uint8[n, width]: `work` on inputs of equal length together; it is also told which they are."""
    if isinstance(inputs, np.ndarray):
        return work(inputs, slice(None))
    groups: dict[int, list[int]] = {}
    for place, content in enumerate(inputs):
        groups.setdefault(len(content), []).append(place)
    if max(groups, default=0) > MOST_INPUT_BYTES:
        raise ValueError("an input has at most 65,535 bytes")
    results = np.empty((len(inputs), width), np.uint8)
    for length, places in groups.items():
        content = b"".join(inputs[place] for place in places)
        results[places] = work(np.frombuffer(content, np.uint8).reshape(len(places), length), places)
    return results
