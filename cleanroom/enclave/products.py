"""Sums of ciphertexts by group: products modulo n², in one pass over the batches, in the order they lie in.

Ciphertexts are not checked here: the protocol role that took them from a peer has done so.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from cleanroom.enclave.tables import Slots
from cleanroom.errors import UsageError
from protocols.paillier import cipher
from protocols.paillier.keys import PublicKey

ROWS_AT_ONCE = 32_768
"""Between two looks at the clock: well below a second of work, and 25 MB of ciphertexts of 768 bytes."""


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
    start = 0
    for batch in slots.batches:
        for first in range(0, len(batch), ROWS_AT_ONCE):
            look()
            piece = batch[first : first + ROWS_AT_ONCE]
            _multiply_in(public, totals, piece, places[start : start + len(piece)])
            start += len(piece)
    return totals


def _multiply_in(
    public: PublicKey, totals: NDArray[np.uint8], rows: NDArray[np.uint8], places: NDArray[np.int64]
) -> None:
    """Multiply the rows of one piece into the groups they belong to, touching no other group."""
    kept = np.flatnonzero(places >= 0)
    touched, local = np.unique(places[kept], return_inverse=True)
    part = cipher.sum_groups(public, rows[kept], local, len(touched))
    totals[touched] = cipher.add(public, totals[touched], part)
