"""The proof that a whole batch was evaluated under one public key (RFC 9497, 2.2), for the VOPRF mode.

Without it a server could answer each query under a key of its own and tell from later behaviour which ones matched.
Products of secret scalars and points are libsodium's, in constant time; the response, one number a proof, is computed
by Python's integers, whose time depends a little on the key and the nonce: that remains.
"""

import hashlib
import os
from functools import partial

import numpy as np

from protocols.errors import BadMessage
from protocols.group import ELEMENT_BYTES
from protocols.oprf import points
from protocols.oprf.suite import Mode, context
from protocols.rows import Bytes, Draw

PROOF_BYTES = 64
MOST_ROWS = (1 << 16) - 1
"""Elements that one proof may cover."""
_CONTEXT = context(Mode.VOPRF)


def prove(secret: bytes, public: bytes, blinded: Bytes, evaluated: Bytes, draw: Draw = os.urandom) -> bytes:
    """64 bytes: that evaluated = secret · blinded, 1 to 65,535 valid elements uint8[n, 32] each; public is its key."""
    return _prove(secret, public, blinded, evaluated, points.random_scalar(draw))


def _prove(secret: bytes, public: bytes, blinded: Bytes, evaluated: Bytes, nonce: int) -> bytes:
    key = points.to_int(secret)
    left = points.weighted_sum(_weights(public, blinded, evaluated), blinded)
    right = points.multiply(key, left)
    commitments = points.multiply_generator(nonce), points.multiply(nonce, left)
    challenge = _challenge(public, left, right, *commitments)
    return points.to_bytes(challenge) + points.to_bytes(nonce - challenge * key)


def check(public: bytes, blinded: Bytes, evaluated: Bytes, proof: bytes) -> None:
    """Raises BadMessage unless `proof` holds for these elements, or where one of them is not valid."""
    weights = _weights(public, blinded, evaluated)
    challenge, response = points.to_int(proof[:32]), points.to_int(proof[32:])
    left, right = (points.weighted_sum(weights, elements) for elements in (blinded, evaluated))
    first = points.add(points.multiply_generator(response), points.multiply(challenge, public))
    second = points.add(points.multiply(response, left), points.multiply(challenge, right))
    if _challenge(public, left, right, first, second) != challenge:
        raise BadMessage("The proof that the peer used the key of this epoch does not hold.")


def _weights(public: bytes, blinded: Bytes, evaluated: Bytes) -> Bytes:
    """uint8[n, 32]: the scalars of ComputeComposites (RFC 9497, 2.2.1)."""
    n = len(blinded)
    if not 0 < n <= MOST_ROWS or blinded.shape != (n, ELEMENT_BYTES) or blinded.shape != evaluated.shape:
        raise ValueError("a proof covers 1 to 65,535 pairs of elements")
    seed = hashlib.sha512(_prefixed(public) + _prefixed(b"Seed-" + _CONTEXT)).digest()
    numbers = np.arange(n, dtype=">u2").view(np.uint8).reshape(n, 2)
    constant = partial(_repeated, n)
    width = ELEMENT_BYTES.to_bytes(2, "big")
    transcripts = [constant(_prefixed(seed)), numbers, constant(width), blinded, constant(width), evaluated]
    return points.hash_to_scalars(np.hstack([*transcripts, constant(b"Composite")]), b"HashToScalar-" + _CONTEXT)


def _challenge(*elements: bytes) -> int:
    transcript = b"".join(map(_prefixed, elements)) + b"Challenge"
    row = np.frombuffer(transcript, np.uint8).reshape(1, -1)
    return points.to_int(points.hash_to_scalars(row, b"HashToScalar-" + _CONTEXT).tobytes())


def _prefixed(content: bytes) -> bytes:
    return len(content).to_bytes(2, "big") + content


def _repeated(n: int, content: bytes) -> Bytes:
    return np.broadcast_to(np.frombuffer(content, np.uint8), (n, len(content)))
