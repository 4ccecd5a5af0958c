"""Who is forgotten: keyed digests of identity digests, in one signed file with an epoch that only grows.

Without the vault's tombstone key the file tells nobody who is in it. The keyed digest is AES-256 over the digest's one
or two blocks, chained (CBC-MAC, a PRF on inputs of one fixed length, with a key a length): a million rows take some 20
ms, where HMAC takes a second.
"""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.keys import PartyKeys, verify
from cleanroom.vault.row_digests import BLOCK, length_key, row_digests

_FORMAT = "cleanroom-tombstones/1"
_LABEL = "cleanroom/tombstones/1"
_SIGNATURE = 64
_PREFIX_BITS = 20
SIZE_LIMIT = 1 << 30
"""What their file can have at most."""


@dataclass(frozen=True)
class Tombstones:
    """Forgotten persons as of an epoch; tokens: uint8[n, 16], sorted, without repeats."""

    epoch: int
    tokens: NDArray[np.uint8]
    _key: bytes = field(repr=False)

    def forgotten(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool[n]: which of the digests, uint8[n, 16 or 32], are of forgotten persons."""
        found = np.zeros(len(digests), np.bool_)
        if not len(self.tokens):
            return found
        theirs = _words(_tokens(self._key, digests))
        likely = np.flatnonzero(self._sieve[_prefix(theirs)])
        at = np.minimum(np.searchsorted(self._mine[:, 0], theirs[likely, 0]), len(self._mine) - 1)
        found[likely] = (self._mine[at] == theirs[likely]).all(axis=1)
        return found

    def with_digests(self, *digests: NDArray[np.uint8]) -> "Tombstones":
        """The next epoch's tombstones, these digests' persons among them."""
        words = _words(np.concatenate([self.tokens, *(_tokens(self._key, some) for some in digests)]))
        return Tombstones(self.epoch + 1, np.unique(words, axis=0).view(np.uint8).reshape(-1, BLOCK), self._key)

    def merged(self, other: "Tombstones") -> "Tombstones":
        """These and the other's of the same key, under this epoch."""
        words = _words(np.concatenate([self.tokens, other.tokens]))
        return Tombstones(self.epoch, np.unique(words, axis=0).view(np.uint8).reshape(-1, BLOCK), self._key)

    @cached_property
    def _mine(self) -> NDArray[np.uint64]:
        return _words(self.tokens)

    @cached_property
    def _sieve(self) -> NDArray[np.bool_]:
        """Which prefixes occur: most rows need no search."""
        sieve = np.zeros(1 << _PREFIX_BITS, np.bool_)
        sieve[_prefix(self._mine)] = True
        return sieve

    def signed(self, keys: PartyKeys) -> bytes:
        """The whole of their file."""
        head = canonical.encode({"epoch": self.epoch, "key": _key_id(self._key)})
        body = _FORMAT.encode() + b"\n" + head + b"\n" + self.tokens.tobytes()
        return body + keys.sign(_LABEL, body)


def nobody(key: bytes) -> Tombstones:
    """No tombstones; with digests added also a set of any identities, to be asked which are in it."""
    return Tombstones(0, np.empty((0, BLOCK), np.uint8), key)


def load(content: bytes | None, keys: PartyKeys, key: bytes) -> Tombstones:
    """The tombstones in a file's content, none where there is no file. Raises BadData where it does not verify."""
    if content is None:
        return nobody(key)
    form, _, rest = content.partition(b"\n")
    if form != _FORMAT.encode():
        raise BadData("The list of forgotten persons is of an unknown version.", "Update this program.")
    verify(keys.public.signing, _LABEL, content[:-_SIGNATURE], content[-_SIGNATURE:])
    head, _, tail = rest.partition(b"\n")
    header = json.loads(head)
    if header["key"] != _key_id(key):
        raise BadData("The key of the list of forgotten persons was lost.", "Restore keys/tombstones.secret.")
    return Tombstones(header["epoch"], np.frombuffer(tail[:-_SIGNATURE], np.uint8).reshape(-1, BLOCK), key)


def _tokens(key: bytes, digests: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8[n, 16]: the keyed digest of each row of uint8[n, 16 or 32]."""
    if digests.ndim != 2 or digests.dtype != np.uint8 or digests.shape[1] not in (BLOCK, 2 * BLOCK):
        raise UsageError("Identity digests have 16 or 32 bytes each.")
    return row_digests(length_key(b"cleanroom/tombstone-key/1", key, digests.shape[1]), digests)


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"cleanroom/tombstone-key-id/1" + key).hexdigest()[:16]


def _prefix(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    return words[:, 0] >> np.uint64(64 - _PREFIX_BITS)


def _words(tokens: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """uint64[n, 2], little-endian."""
    return np.ascontiguousarray(tokens).view("<u8").reshape(-1, 2)
