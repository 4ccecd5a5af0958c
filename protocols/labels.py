"""What a matched row is worth: a tag to be found by, and a key that opens its label. Both come from F(x) alone.

A label is an opaque row of bytes. Each is sealed under a key of its own, derived from its row's F and the session, so a
nonce of zeros is never used twice with one key; whoever lacks x can neither find nor open it.
"""

from math import ceil, log2

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from protocols.errors import BadMessage
from protocols.hashing import sha512_rows
from protocols.rows import Bytes, each_row

STATISTICAL_BITS = 40
SEAL_BYTES = 16
_TAG_LABEL = b"cleanroom/psi-tag/1"
_NONCE = bytes(12)


def tag_bytes(left: int, right: int) -> int:
    """λ + log2 + log2 bits of tag, in whole bytes: a false match among left × right pairs has probability 2^-λ."""
    return -(-(STATISTICAL_BITS + sum(ceil(log2(max(n, 1))) for n in (left, right))) // 8)


def derive(session: bytes, outputs: Bytes) -> tuple[Bytes, Bytes]:
    """(tags uint8[n, 32] to be truncated, keys uint8[n, 32]) of F values uint8[n, w], for this session only."""
    digests = sha512_rows(_TAG_LABEL + session, outputs)
    return digests[:, :32], digests[:, 32:]


def seal(keys: Bytes, labels: Bytes) -> Bytes:
    """uint8[n, w + 16]: AES-256-GCM, row by row under the row's own key."""
    sealed = [
        AESGCM(key).encrypt(_NONCE, label, None) for key, label in zip(each_row(keys), each_row(labels), strict=True)
    ]
    return _rows(sealed, labels.shape[1] + SEAL_BYTES)


def open_sealed(keys: Bytes, sealed: Bytes) -> Bytes:
    """The labels uint8[n, w]. Raises BadMessage where one does not open."""
    try:
        opened = [
            AESGCM(key).decrypt(_NONCE, row, None) for key, row in zip(each_row(keys), each_row(sealed), strict=True)
        ]
    except InvalidTag as error:
        raise BadMessage("The label of a matched row does not open.") from error
    return _rows(opened, sealed.shape[1] - SEAL_BYTES)


def _rows(parts: list[bytes], width: int) -> Bytes:
    return np.frombuffer(b"".join(parts), np.uint8).reshape(-1, width)
