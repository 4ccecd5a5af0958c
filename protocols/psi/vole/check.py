"""The consistency check: the sender's slots are what the receiver's vector of code words gives, and nothing else.

After Roy, "SoftSpokenOT" (CRYPTO 2022), section 4. Once a group of bins is sent, a challenge r in GF(2^128) is hashed
from everything said so far. Each bit plane, cut into 128-bit chunks, is hashed to the polynomial of its chunks at r: a
map over bits that acts on slots alone, so it commutes with the code and with Delta, which act across planes. The
receiver sends the hashed message planes, and SHA-256 of its hashed planes of V; the sender compares with those of
K - Delta · word. Each bin ends with 128 random slots, so the hashed message says nothing of the others.

A receiver whose slots are no code words in t coordinates passes only if it guessed Delta there: 64^-t. Not the check of
KOS15, whose proof is doubtful.
"""

import hashlib
import hmac

import numpy as np
import numpy.typing as npt

from protocols.errors import BadMessage
from protocols.kernels.vole import LANES
from protocols.psi.vole import code
from protocols.psi.vole.items import each
from protocols.rows import Bytes, Indices

Words = npt.NDArray[np.uint64]
_LABEL = b"cleanroom/vole-challenge/1"
_CHUNKS = LANES // 2


class Hash:
    """The hash that a group's challenge names: transcript: 32 bytes of all that was said, the group's bins included."""

    def __init__(self, transcript: bytes, bucket: int, group: int, bins: int, blocks: int) -> None:
        from protocols.kernels.vole import clmul

        spoken = transcript + bucket.to_bytes(4, "little") + group.to_bytes(4, "little")
        point = np.frombuffer(hashlib.sha256(_LABEL + spoken).digest()[:16], "<u8").astype(np.uint64)
        self._powers = np.empty((bins, blocks, _CHUNKS, 2), np.uint64)
        clmul.powers_down(point[0], point[1], self._powers.reshape(-1, 2))

    def planes(self, bins: Words, *, hardware: bool | None = None) -> Words:
        """Planes uint64[bins, blocks, b, 8] → one hash of 128 bits a plane, over all bins: uint64[b, 2]."""
        from protocols.kernels.vole import clmul

        fast = clmul.HARDWARE if hardware is None else hardware
        work = clmul.hash_planes if fast else clmul.hash_planes_portable
        sums = np.zeros((len(bins), bins.shape[2], 3, LANES), np.uint64)
        each(len(bins), lambda number: work(bins[number], self._powers[number], sums[number]))
        return _reduced(np.bitwise_xor.reduce(sums, axis=0))


def _reduced(sums: Words) -> Words:
    """Unreduced products uint64[b, 3, 8] → elements uint64[b, 2]: x^128 = x^7 + x^2 + x + 1."""
    parts = np.bitwise_xor.reduce(sums.reshape(-1, 3, _CHUNKS, 2), axis=2)
    low, middle, high = parts[:, 0], parts[:, 1], parts[:, 2]
    words = [low[:, 0], low[:, 1] ^ middle[:, 0], middle[:, 1] ^ high[:, 0], high[:, 1]]
    for top in (3, 2):
        for shift in (0, 1, 2, 7):
            words[top - 2] = words[top - 2] ^ (words[top] << np.uint64(shift))
            if shift:
                words[top - 1] = words[top - 1] ^ (words[top] >> np.uint64(64 - shift))
    return np.stack(words[:2], axis=1)


def proof(hashed: Hash, message: Words, own: Words) -> tuple[Bytes, bytes]:
    """(hashed message planes uint8[84, 16], digest of the hashed planes of V): what the receiver sends."""
    return _octets(hashed.planes(message)), _digest(hashed.planes(own))


def verify(hashed: Hash, slots: Words, delta: Indices, message: Bytes, digest: bytes) -> None:
    """Raises BadMessage unless the sender's planes K are V + Delta · word for such a message and V."""
    word = code.encode_planes(np.ascontiguousarray(message).view("<u8").astype(np.uint64))
    expected = hashed.planes(slots) ^ code.scale_planes(word, delta)
    if not hmac.compare_digest(_digest(expected), digest):
        raise BadMessage("A check of the peer's messages failed.")


def _octets(planes: Words) -> Bytes:
    return planes.astype("<u8").view(np.uint8)


def _digest(planes: Words) -> bytes:
    return hashlib.sha256(_LABEL + planes.astype("<u8").tobytes()).digest()
