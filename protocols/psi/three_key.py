"""Three-key matching as the IAB Tech Lab's PAIR 1.1 has it between two clean rooms: lists of elements, passed as files.

Ks, 32 bytes, is shared by a publisher and its advertisers; Kp and Ka, scalars of ristretto255, are the publisher's and
the advertiser's own and stay where they were drawn. With H(x) = MAP(SHA-512(SHA-256(Ks ‖ hex(x)))), x a SHA-256 digest
in lower-case hex and MAP the element derivation of RFC 9496 (4.3.4), and the encoding of 4.3.2:

    publisher identifiers     Kp · H(x)            made by the publisher, of all its people
    advertiser identifiers    Ka · H(y)            made by the advertiser, of all its people
    PAIR ids                  Ka · Kp · H(·)       each side multiplies what the other made: the order does not matter

Byte for byte what `optable/match` (pkg/pair, PAIRSHA256Ristretto255) computes; record 34 says where this follows PAIR,
and where it differs. What each list reveals to the other side:

    identifiers    how many people there are, and in later lists under the same keys, which of them are the same; not
                   who, under DDH and with H a random oracle, not even to a side that knows Ks and guesses all phones
    PAIR ids       in an order that tells nothing of the list they were made of: how many people are shared
To the advertiser, who takes Ka off what is shared: the publisher's identifiers of shared people, which is what PAIR is
for, and not which of its own people they are; a side that puts another key on each of its people learns that, and no
list shows it. Whoever has Ks and Kp (or Ka) of a list tests guesses against it.

Unlike `dh` the keys outlive a session, the elements are the result, both sides learn how many are shared, and there
are no canaries: nothing shows that the other side used the key it should have. Semi-honest; not safe against a quantum
computer. Lists are sorted by their bytes: under a key that the reader lacks that is a random order, and it costs no
state; a list that is not ascending, or holds an element twice, is refused.
"""

import hashlib
import hmac
import os
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt

from protocols.errors import BadMessage
from protocols.group import ELEMENT_BYTES, Group, backend, libsodium
from protocols.hashing import sha512_rows
from protocols.rows import Bytes, Draw, each_row, index_in

SUITE = "pair-sha256-ristretto255/1"
SHARED_BYTES = 32
DIGEST_BYTES = 32
MOST_ROWS = 1 << 27
BATCH = 1 << 18
"""Elements whose wider intermediate forms are held at once: 32 MB."""
_ID_LABEL = b"cleanroom/three-key-id/1"
_ID_BYTES = 8
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


class _Mapping(Group, Protocol):
    """Both backends map as well."""

    def from_uniform(self, uniform: Bytes) -> Bytes: ...


def new_shared(draw: Draw = os.urandom) -> bytes:
    """A new Ks."""
    return draw(SHARED_BYTES)


def new_key(draw: Draw = os.urandom) -> bytes:
    """A new Kp or Ka: a uniform scalar that is not zero, 32 bytes, little-endian."""
    return libsodium().random_scalar(draw)


def key_id(key: bytes) -> str:
    """16 hex digits that tell keys apart and tell nothing of a uniform one (HMAC-SHA256 under it, cut)."""
    return hmac.digest(key, _ID_LABEL, hashlib.sha256)[:_ID_BYTES].hex()


def identifiers(shared: bytes, key: bytes, digests: Bytes) -> Bytes:
    """uint8[n, 32]: key · H(digest) for digests uint8[n, 32], in their order. Raises ValueError for other widths."""
    if digests.ndim != 2 or digests.shape[1] != DIGEST_BYTES or len(shared) != SHARED_BYTES:
        raise ValueError("digests are uint8[n, 32], the shared key has 32 bytes")
    group, found = _group(len(digests)), np.empty((len(digests), ELEMENT_BYTES), np.uint8)
    for start in range(0, len(digests), BATCH):
        uniform = sha512_rows(b"", _salted(shared, digests[start : start + BATCH]))
        found[start : start + BATCH] = group.multiply(key, group.from_uniform(uniform))
    return found


def multiplied(key: bytes, elements: Bytes) -> Bytes:
    """uint8[n, 32]: key · element, in their order. Raises BadMessage for what is no element, or zero."""
    group, found = _group(len(elements)), np.empty_like(elements)
    for start in range(0, len(elements), BATCH):
        found[start : start + BATCH] = group.multiply(key, elements[start : start + BATCH])
    return found


def without(key: bytes, elements: Bytes) -> Bytes:
    """uint8[n, 32]: the reverse of `multiplied`, whichever key came last. Raises as it does."""
    return multiplied(libsodium().invert(key), elements)


def listed(elements: Bytes) -> Bytes:
    """The elements in the order of a list. Raises BadMessage where one is repeated."""
    ordered = elements[np.lexsort(_words(elements).T[::-1])] if len(elements) else elements
    return check_listed(ordered)


def check_listed(elements: Bytes) -> Bytes:
    """The elements as they came. Raises BadMessage unless each is greater than the one before."""
    if (row := misplaced(elements)) >= 0:
        raise BadMessage("Element {row} of a list is repeated or out of order.", row=row + 1)
    return elements


def misplaced(elements: Bytes) -> int:
    """The first place, from 0, whose element is not greater than the one before it; -1 where there is none."""
    if len(elements) < 2:
        return -1
    words = _words(elements)
    greater, equal = np.zeros(len(words) - 1, np.bool_), np.ones(len(words) - 1, np.bool_)
    for column in words.T:
        before, after = column[:-1], column[1:]
        greater |= equal & (after > before)
        equal &= after == before
    wrong = np.flatnonzero(~greater)
    return int(wrong[0]) + 1 if len(wrong) else -1


def invalid(elements: Bytes) -> int:
    """The first place, from 0, of what is no element or zero; -1 where there is none. By halves, as it is rare."""
    if _valid(elements):
        return -1
    start, end = 0, len(elements)
    while end - start > 1:
        middle = (start + end) // 2
        start, end = (middle, end) if _valid(elements[start:middle]) else (start, middle)
    return start


def shared_of(left: Bytes, right: Bytes) -> Bytes:
    """uint8[m, 32]: the PAIR ids that stand in both lists, ascending."""
    return left[index_in(left, right) >= 0]


def _group(rows: int) -> _Mapping:
    return cast(_Mapping, backend(rows))


def _salted(shared: bytes, digests: Bytes) -> Bytes:
    """uint8[n, 32]: SHA-256 of the shared key and each digest's hex digits."""
    salted, hashed = hashlib.sha256(shared), bytearray()
    for text in each_row(np.stack([_HEX[digests >> 4], _HEX[digests & 15]], axis=2).reshape(len(digests), -1)):
        state = salted.copy()
        state.update(text)
        hashed += state.digest()
    return np.frombuffer(hashed, np.uint8).reshape(-1, DIGEST_BYTES)


def _words(elements: Bytes) -> npt.NDArray[np.uint64]:
    """uint64[n, 4]: the elements as big-endian words, the first the most significant."""
    return np.ascontiguousarray(elements).view(">u8").astype(np.uint64)


def _valid(elements: Bytes) -> bool:
    try:
        _group(len(elements)).multiply((1).to_bytes(32, "little"), elements)
    except BadMessage:
        return False
    return True
