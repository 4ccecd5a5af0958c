"""How the sums of a two-party answer leave: the host masks and re-randomises, the key holder opens, the host unmasks.

    host        prepare     → rows for the key holder; masks that stay
    key holder  open_sums   → counts as they are, amounts under the host's masks; it applies its threshold
    host        unmask      → the amounts of what was released

The host learns nothing here. The key holder learns, of each group and cell, the count: a release that the contract
charges; of amounts, nothing to within 2^-40; of which rows were summed, nothing: also an empty group's row is random.
It does see the order of the groups, which the host should shuffle.
"""

import numpy as np
from numpy.typing import NDArray

from protocols.errors import BadMessage
from protocols.paillier import cipher
from protocols.paillier.cells import CellLayout, Totals
from protocols.paillier.keys import PrivateKey, PublicKey
from protocols.paillier.numbers import Rows
from protocols.paillier.residues import Residues
from protocols.paillier.slots import MOST_SLOT_BITS, Integers

AMOUNT_WIDTH = (MOST_SLOT_BITS + 1) // 8


def prepare(
    public: PublicKey,
    layout: CellLayout,
    sums: Rows,
    people: NDArray[np.int64],
    *,
    noise: Totals | None = None,
    source: Residues | None = None,
) -> tuple[Rows, Integers]:
    """(rows to send uint8[groups, plaintexts · width], masks [groups, cells, amounts] to keep).

    sums: of `cipher.sum_groups`; people: int64[groups], the rows in each; noise: the host's draws, one a count and one
    an amount, which leave inside the sums; source: residues drawn beforehand. Raises ProtocolError if a group has more
    rows than the layout has room for, or a draw is beyond the declared noise.
    """
    layout.layout.check_rows(int(people.max(initial=0)))
    masks = layout.draw_masks(len(sums))
    if noise is not None:
        sums = cipher.add_plain(public, sums, layout.encode_noise(noise.counts, noise.amounts, public))
    return _prepare_with(public, layout, sums, masks, source), masks


def _prepare_with(
    public: PublicKey, layout: CellLayout, sums: Rows, masks: Integers, source: Residues | None = None
) -> Rows:
    masked = cipher.add_plain(public, sums, layout.encode_masks(masks, public))
    return cipher.rerandomise(public, masked, source)


def open_sums(private: PrivateKey, layout: CellLayout, rows: Rows) -> Totals:
    """Counts int64[groups, cells] and masked amounts [groups, cells, amounts].

    Raises BadMessage for bad ciphertexts and for sums outside what the layout declares.
    """
    layout.layout.check_key(private.public)
    if rows.ndim != 2 or rows.shape[1] != layout.plaintexts * private.public.width:
        raise BadMessage("Ciphertexts have a width that does not fit the contract's slots.")
    return layout.decode(cipher.decrypt(private, rows), private.public)


def unmask(layout: CellLayout, amounts: Integers, masks: Integers) -> Integers:
    """Sums of released cells: Python integers [..., amounts]; `masks` are those of the same groups and cells.

    Raises BadMessage for a sum outside its declared bounds.
    """
    return layout.unmask(amounts, masks)


def pack_amounts(amounts: Integers) -> Rows:
    """uint8[cells, amounts · 16], signed little-endian, of Python integers [cells, amounts]: how they are sent."""
    data = b"".join(int(value).to_bytes(AMOUNT_WIDTH, "little", signed=True) for value in amounts.ravel().tolist())
    return np.frombuffer(data, np.uint8).reshape(amounts.shape[0], AMOUNT_WIDTH * amounts.shape[1])


def unpack_amounts(rows: Rows) -> Integers:
    """The Python integers in `pack_amounts`. Raises BadMessage for rows of another width."""
    if rows.ndim != 2 or rows.shape[1] % AMOUNT_WIDTH:
        raise BadMessage("Amounts have a width that does not fit.")
    data = rows.tobytes()
    parts = (data[at : at + AMOUNT_WIDTH] for at in range(0, len(data), AMOUNT_WIDTH))
    values = np.empty(len(data) // AMOUNT_WIDTH, object)
    values[:] = [int.from_bytes(part, "little", signed=True) for part in parts]
    return values.reshape(len(rows), rows.shape[1] // AMOUNT_WIDTH)
