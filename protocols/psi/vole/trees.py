"""All seeds but one: for each coordinate the receiver holds a tree of 64 leaves, the sender all but number delta.

GGM trees from base OTs (Roy, "SoftSpokenOT", CRYPTO 2022, section 3), with its check that the sender's leaves are the
receiver's, whatever its Delta: a receiver that sent other sums is caught unless it guessed.

The sender holds everything in an order of its own: leaf x stands at x XOR delta, so its hole is always number 0, and
neither branch nor address depends on Delta: only masks do.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from protocols.errors import BadMessage
from protocols.kernels.vole import DEGREE, FIELD
from protocols.psi.vole.code import Indices
from protocols.rows import Bytes, Draw

SEED_BYTES = 16
CHECK_BYTES = 32
_NODE_LABEL = b"cleanroom/vole-node/1"
_LEAF_LABEL = b"cleanroom/vole-leaf/1"
_CHECK_LABEL = b"cleanroom/vole-leaves/1"


@dataclass(frozen=True)
class Sums:
    """What the receiver sends. padded: uint8[n, 6, 2, 16], the sums of left and right nodes of each level under the
    OT's keys; totals: uint8[n, 32], of the leaves' check values; digest: over all of those, 32 bytes."""

    padded: Bytes
    totals: Bytes
    digest: bytes


def grow(session: bytes, keys: Bytes, draw: Draw) -> tuple[Bytes, Sums]:
    """The receiver's leaf seeds uint8[n, 64, 16], and what the sender needs. keys: uint8[n, 6, 2, 16] from the OTs."""
    n = len(keys)
    level = np.frombuffer(draw(n * SEED_BYTES), np.uint8).reshape(n, 1, SEED_BYTES)
    sums = []
    for _ in range(DEGREE):
        pairs = _children(session, level)
        sums.append(np.bitwise_xor.reduce(pairs, axis=1))
        level = pairs.reshape(n, -1, SEED_BYTES)
    seeds, checks = _leaves(session, level)
    return seeds, Sums(np.stack(sums, axis=1) ^ keys, np.bitwise_xor.reduce(checks, axis=1), _digest(session, checks))


def path_choices(delta: Indices) -> Bytes:
    """uint8[6n]: the side that each level's OT is for, which is the one that delta's path does not take."""
    sides = [1 - ((delta >> (DEGREE - 1 - depth)) & 1) for depth in range(DEGREE)]
    return np.stack(sides, axis=1).astype(np.uint8).reshape(-1)


def regrow(session: bytes, delta: Indices, keys: Bytes, sums: Sums) -> Bytes:
    """The sender's seeds uint8[n, 64, 16], leaf x at x XOR delta, number 0 unknown. keys: uint8[n, 6, 16].

    Raises BadMessage where they are not the receiver's.
    """
    n = len(delta)
    level = np.zeros((n, 1, SEED_BYTES), np.uint8)
    for depth in range(DEGREE):
        turn = _mask((delta >> (DEGREE - 1 - depth)) & 1)
        pairs = _swap(_children(session, level), turn[:, None, None])
        left, right = sums.padded[:, depth, 0], sums.padded[:, depth, 1]
        total = (right ^ ((left ^ right) & turn)) ^ keys[:, depth]
        pairs[:, 0, 0] = 0
        pairs[:, 0, 1] = total ^ np.bitwise_xor.reduce(pairs[:, 1:, 1], axis=1)
        level = pairs.reshape(n, -1, SEED_BYTES)
    seeds, checks = _leaves(session, level)
    seeds[:, 0] = 0
    checks[:, 0] = sums.totals ^ np.bitwise_xor.reduce(checks[:, 1:], axis=1)
    if _digest(session, _by_number(checks, delta)) != sums.digest:
        raise BadMessage("A check of the peer's messages failed.")
    return seeds


def _children(session: bytes, level: Bytes) -> Bytes:
    """uint8[n, m, 16] → both children of each: uint8[n, m, 2, 16]."""
    hashed = [
        hashlib.sha256(_NODE_LABEL + session + tree.to_bytes(2, "little") + node.tobytes()).digest()
        for tree, nodes in enumerate(level)
        for node in nodes
    ]
    return np.frombuffer(b"".join(hashed), np.uint8).reshape(*level.shape[:2], 2, SEED_BYTES)


def _leaves(session: bytes, level: Bytes) -> tuple[Bytes, Bytes]:
    """(seeds uint8[n, 64, 16], check values uint8[n, 64, 32]): neither says anything of the other."""
    hashed = [
        hashlib.sha512(_LEAF_LABEL + session + tree.to_bytes(2, "little") + node.tobytes()).digest()
        for tree, nodes in enumerate(level)
        for node in nodes
    ]
    rows = np.frombuffer(b"".join(hashed), np.uint8).reshape(len(level), FIELD, -1)
    return rows[:, :, :SEED_BYTES].copy(), rows[:, :, SEED_BYTES : SEED_BYTES + CHECK_BYTES].copy()


def _digest(session: bytes, checks: Bytes) -> bytes:
    return hashlib.sha256(_CHECK_LABEL + session + checks.tobytes()).digest()


def _mask(bits: Indices) -> Bytes:
    """uint8[n, 1]: all ones where the bit is set."""
    return (np.uint8(0) - bits.astype(np.uint8))[:, None]


def _swap(pairs: Bytes, turn: Bytes) -> Bytes:
    """pairs [..., 2, w] with their halves exchanged where `turn` is all ones."""
    changed = (pairs[..., :1, :] ^ pairs[..., 1:, :]) & turn
    return pairs ^ changed


def _by_number(values: Bytes, delta: Indices) -> Bytes:
    """uint8[n, 64, w] that stand at x XOR delta, at x."""
    n, _, width = values.shape
    for bit in range(DEGREE):
        pairs = values.reshape(n, FIELD >> (bit + 1), 2, (1 << bit) * width)
        values = _swap(pairs, _mask((delta >> bit) & 1)[:, :, None, None]).reshape(n, FIELD, width)
    return values
