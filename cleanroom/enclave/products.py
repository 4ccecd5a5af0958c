"""Sums of ciphertexts by group: products modulo n², in one pass over the batches, in the order they lie in.

Ciphertexts are not checked here: the protocol role that took them from a peer has done so.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cleanroom.enclave.tables import Slots
from cleanroom.errors import UsageError
from protocols.paillier import cipher
from protocols.paillier.keys import PublicKey

ROWS_AT_ONCE = 131_072
"""Between two looks at the clock: below a second of work, and 100 MB of ciphertexts of 768 bytes."""


def group_products(
    modulus: int,
    slots: Slots,
    places: NDArray[np.int64],
    groups: int,
    look: Callable[[], None],
) -> NDArray[np.uint8]:
    """uint8[groups, slots.width]: the sums of each group's ciphertexts; the number 1 where a group has none.

    `places`: int64[slots.rows], each row's group, -1 for none; `look` is called between pieces and may raise. Raises
    UsageError where the ciphertexts' width does not fit the modulus.
    """
    public = PublicKey(modulus)
    if not slots.width or slots.width % public.width:
        raise UsageError("The ciphertexts are not of this public key's width.")
    totals = cipher.sum_groups(public, np.empty((0, slots.width), np.uint8), np.empty(0, np.int64), groups)
    for rows, groups_of in _pieces(slots, places):
        look()
        _multiply_in(public, totals, rows, groups_of)
    return totals


def _pieces(slots: Slots, places: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The rows that are in a group, with their groups, ROWS_AT_ONCE at a time, in one place of memory.

    Every piece costs a product for each of its groups, so small batches, in which most groups would have a row or two,
    are put together; copying costs far less than a product.
    """
    room = np.empty((min(ROWS_AT_ONCE, len(places)), slots.width), np.uint8)
    of, start, filled = np.empty(len(room), np.int64), 0, 0
    for batch in slots.batches:
        groups_of = places[start : start + len(batch)]
        wanted = np.flatnonzero(groups_of >= 0)
        start += len(batch)
        while len(wanted):
            now, wanted = wanted[: len(room) - filled], wanted[len(room) - filled :]
            part = slice(filled, filled + len(now))
            batch.take(now, axis=0, out=room[part], mode="clip")  # "raise" would copy once more
            of[part] = groups_of[now]
            filled = part.stop
            if filled == len(room):
                yield room, of
                filled = 0
    if filled:
        yield room[:filled], of[:filled]


def _multiply_in(
    public: PublicKey, totals: NDArray[np.uint8], rows: NDArray[np.uint8], places: NDArray[np.int64]
) -> None:
    """Multiply the rows of one piece into the groups they belong to, touching no other group."""
    touched = np.flatnonzero(np.bincount(places, minlength=len(totals)))
    local = np.empty(len(totals), np.int64)
    local[touched] = np.arange(len(touched))
    part = cipher.sum_groups(public, rows, local[places], len(touched))
    totals[touched] = cipher.add(public, totals[touched], part)
