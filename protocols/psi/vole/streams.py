"""The leaves' pseudo-random streams: AES-128 under each leaf's seed of one counter for the whole session.

The counter is owned here. Who wants blocks claims them, each once, and nothing starts it again: a second use of a block
would show the receiver's values (a two-time pad). The plaintext's high half is of the session, so that two sessions
that shared a seed by some fault would still not share a block.
"""

import hashlib
import threading

import numpy as np
import numpy.typing as npt

from protocols.kernels.vole import FIELD, LEAF_BLOCKS, LEAF_WORDS
from protocols.rows import Bytes

Words = npt.NDArray[np.uint64]
_SALT_LABEL = b"cleanroom/vole-salt/1"


class Streams:
    """Seeds uint8[n, 64, 16], ready to expand; whole: all leaves are known (the receiver), else number 0 is not.

    hardware: False takes AES from OpenSSL, with equal bytes; None is what the target has.
    """

    def __init__(self, session: bytes, seeds: Bytes, *, whole: bool, hardware: bool | None = None) -> None:
        from protocols.kernels.vole import aes

        self.coordinates, self.whole = len(seeds), whole
        self.salt = int.from_bytes(hashlib.sha256(_SALT_LABEL + session).digest()[:8], "little")
        self._claimed = 0
        self._expand: _Hardware | _OpenSsl
        if aes.HARDWARE if hardware is None else hardware:
            self._expand = _Hardware(seeds)
        else:
            self._expand = _OpenSsl(seeds, whole)

    def claim(self, blocks: int) -> "Claim":
        """The next so many slot blocks. Both sides claim in the same order."""
        claim = Claim(self, self._claimed, blocks)
        self._claimed += blocks
        return claim

    def fill(self, block: int, u: Words, v: Words) -> None:
        """What `Claim.expand` does, from slot block number `block` on."""
        self._expand(block * LEAF_BLOCKS, self.salt, u, v)


class Claim:
    """Blocks that nobody else will use."""

    def __init__(self, streams: Streams, first: int, blocks: int) -> None:
        self.first, self.blocks = first, blocks
        self._streams: Streams | None = streams

    def expand(self, v: Words) -> Words:
        """v uint64[blocks, n, 48] = Σ x · r_x; Σ r_x alike is returned where all leaves are known, else nothing."""
        streams, self._streams = self._streams, None
        if streams is None or v.shape != (self.blocks, streams.coordinates, LEAF_WORDS):
            raise ValueError("blocks are expanded once, into as much room as they need")
        u = np.empty_like(v if streams.whole else v[:0])
        streams.fill(self.first, u, v)
        return u


class _Hardware:
    """AES instructions, folded while the streams are in registers and the nearest cache."""

    def __init__(self, seeds: Bytes) -> None:
        from protocols.kernels.vole import aes

        keys = np.ascontiguousarray(seeds).reshape(-1, 16).view("<u4").astype(np.uint32)
        scheduled = np.empty((len(keys), aes.SCHEDULE_WORDS), np.uint32)
        aes.schedule(keys, scheduled)
        self._keys = scheduled.reshape(len(seeds), FIELD, aes.SCHEDULE_WORDS)

    def __call__(self, counter: int, salt: int, u: Words, v: Words) -> None:
        from protocols.kernels.vole import correlation

        correlation.expand(self._keys, np.uint64(counter), np.uint64(salt), u, v)


class _OpenSsl:
    """AES in bulk by `cryptography`, one leaf after the other, and one thread at a time."""

    def __init__(self, seeds: Bytes, whole: bool) -> None:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        self._first = 0 if whole else 1
        self._ciphers = [
            [Cipher(algorithms.AES(seed.tobytes()), modes.ECB()).encryptor() for seed in tree]  # noqa: S305
            for tree in seeds
        ]
        self._lock = threading.Lock()

    def __call__(self, counter: int, salt: int, u: Words, v: Words) -> None:
        from protocols.kernels.vole import correlation

        blocks = np.empty((len(v) * LEAF_BLOCKS, 2), "<u8")
        blocks[:, 0] = np.arange(counter, counter + len(blocks), dtype=np.uint64)
        blocks[:, 1] = salt
        plain = blocks.tobytes()
        streams = np.zeros((FIELD, len(v), LEAF_WORDS), np.uint64)
        with self._lock:
            for coordinate, tree in enumerate(self._ciphers):
                for leaf in range(self._first, FIELD):
                    streams[leaf] = np.frombuffer(tree[leaf].update(plain), "<u8").reshape(streams.shape[1:])
                correlation.fold_streams(streams, coordinate, u, v)
