"""Hashes over rows of bytes: SHA-512 and expand_message_xmd (RFC 9380, 5.3.1). No secret stays here."""

import hashlib
import sys

import numpy as np

from protocols.rows import Bytes

SHA512_BYTES = 64
FEW_ROWS = 20_000
"""Up to this many rows hashlib is done before numba would be loaded."""
_LEAST_ROWS = 64  # what the kernel, once loaded, is worth calling for
_BLOCK_BYTES = 128


def sha512_rows(prefix: bytes, rows: Bytes, suffix: bytes = b"") -> Bytes:
    """uint8[n, 64]: SHA-512 of prefix ‖ row ‖ suffix."""
    if len(rows) > FEW_ROWS or (len(rows) >= _LEAST_ROWS and "protocols.kernels.sha512" in sys.modules):
        from protocols.kernels import sha512

        return sha512.digest_rows(prefix, rows, suffix)
    n, width = rows.shape
    content = rows.tobytes()
    begun = hashlib.sha512(prefix)
    digests = bytearray()
    for row in range(n):
        state = begun.copy()
        state.update(content[row * width : (row + 1) * width] + suffix)
        digests += state.digest()
    return np.frombuffer(digests, np.uint8).reshape(n, SHA512_BYTES)


def expand_message_xmd(messages: Bytes, dst: bytes, length: int) -> Bytes:
    """uint8[n, length]: `length` uniform bytes a message, with SHA-512, for messages uint8[n, w].

    dst: the domain separation tag, 1 to 255 bytes. Raises ValueError for a tag or length that RFC 9380 does not allow.
    """
    blocks = -(-length // SHA512_BYTES)
    if not 0 < len(dst) < 256 or not 0 < blocks < 256:
        raise ValueError("the tag has 1 to 255 bytes, the output 1 to 16,320")
    tag = dst + bytes([len(dst)])
    first = sha512_rows(bytes(_BLOCK_BYTES), messages, length.to_bytes(2, "big") + b"\0" + tag)
    out = [sha512_rows(b"", first, b"\1" + tag)]
    for counter in range(2, blocks + 1):
        out.append(sha512_rows(b"", first ^ out[-1], bytes([counter]) + tag))
    return np.hstack(out)[:, :length] if blocks > 1 else out[0][:, :length]
