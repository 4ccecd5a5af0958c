"""A short keyed digest of every row of one width: AES-256 over the row's blocks, chained (CBC-MAC).

A PRF on inputs of one fixed length, so that each width needs a key of its own, which the caller derives. A million rows
take some 20 ms a block, where HMAC takes a second.
"""

import hashlib

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

BLOCK = 16


def length_key(label: bytes, key: bytes, width: int) -> bytes:
    """32 bytes: the key for rows of this width (up to 255 bytes) and this use."""
    return hashlib.sha256(label + key + bytes([width])).digest()


def row_digests(key: bytes, rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[n, 16]: the digest of each row of uint8[n, k · 16]; key: 32 bytes, for this width alone."""
    state = np.zeros((len(rows), BLOCK), np.uint8)
    for block in np.split(rows, rows.shape[1] // BLOCK, axis=1):
        # ECB over independent single blocks: each row is a CBC-MAC of its own.
        encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305
        state = np.frombuffer(encryptor.update((state ^ block).tobytes()), np.uint8).reshape(-1, BLOCK)
    return state
