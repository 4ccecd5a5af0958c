"""What the two sides compare: outputs of the oblivious pseudo-random function, at each side's own keys.

SHA-256 of the key's row digest and its slots' sum gives 256 bits: a mask of the first 128 at most, and from the other
128 the key of the row's label. Neither says anything of the other.
"""

import numpy as np

from protocols import labels
from protocols.kernels.vole import ROW_WORDS
from protocols.psi.vole.code import Words
from protocols.psi.vole.items import Rows
from protocols.psi.vole.parameters import Layout
from protocols.rows import Bytes

_TAG = b"vole-out"


def low_mask(mask_bytes: int) -> int:
    """The bits of a mask's second word that are compared."""
    return (1 << (8 * (mask_bytes - 8))) - 1


def of_bin(
    layout: Layout, rows: Rows, number: int, planes: Words, products: Words, hi: Words, lo: Words, rest: Words
) -> None:
    """Outputs of one bin's keys into hi, lo and, unless it is empty, rest, which are of the bucket's keys.

    planes: uint64[blocks, 35, 48], V or K; products: Delta's tables, or empty for the receiver.
    """
    from protocols.kernels.vole import okvs, outputs
    from protocols.kernels.vole.planes import planes_to_rows

    slots = np.empty((layout.slots, ROW_WORDS), np.uint64)
    planes_to_rows(planes.reshape(layout.blocks, -1, 8), slots)
    part = rows.bin(number)
    outputs.evaluate(
        okvs.blocks(_TAG, outputs.OUT_BYTES),
        rows.digests[part],
        slots,
        products,
        (layout.bins, layout.sparse, layout.dense, layout.message_bits - 64),
        np.uint64(low_mask(layout.mask_bytes)),
        hi[part],
        lo[part],
        rest[part],
    )


def label_keys(session: bytes, rest: Words) -> Bytes:
    """uint8[n, 32]: the keys of rows' labels, from the part of their outputs uint64[n, 2] that no mask shows."""
    octets = np.ascontiguousarray(rest).astype("<u8", copy=False).view(np.uint8)
    return labels.derive(session, octets)[1]
