"""All that both sides must count alike, derived from the two declared sizes: whole numbers, no floating point.

Logarithms are taken with `decimal`, whose results are rounded correctly on every machine, and the numbers that come of
it are exchanged and compared: `docs/protocols/vole.md` says why each is what it is.
"""

from dataclasses import dataclass
from decimal import Decimal, localcontext
from math import ceil, floor

from protocols.kernels.vole import DEGREE, MOST_DENSE, SLOTS

STATISTICAL_BITS = 40
CODE_DIMENSION = 14
CODE_DISTANCE = 22
"""Coordinates of Delta that any two code words differ in: 22 · 6 = 132 unknown bits for an item outside the set."""
CODE_LENGTH = CODE_DIMENSION + CODE_DISTANCE - 1
MESSAGE_BITS = CODE_DIMENSION * DEGREE
"""Of an item's value: an item outside the set keeps a wrong one by chance with probability 2^-84."""
BUCKET_ROWS = 1 << 20
BIN_ROWS = 1 << 15
GROUP_BINS = 4
"""Bins under one consistency check."""
MASKING_SLOTS = 128
"""Random slots at each bin's end, which keep the check from saying anything of the others."""
LEAST_ROWS = 2000
"""Rows that the receiver declares at least: among fewer the layout lets it test more than twice as many."""
MOST_ROWS = 1 << 27
_LEAST_MASK_BYTES = 9
_BINS_MOST = 1 << 16


@dataclass(frozen=True)
class Layout:
    """receiver_load, sender_load: rows that a bucket holds at most; bin_load: the same of a bin of the receiver's;
    sparse, dense: columns of a bin; slots: of a bin, with masking and rounding up; the rest as the module's numbers."""

    buckets: int
    receiver_load: int
    sender_load: int
    bins: int
    bin_load: int
    sparse: int
    dense: int
    slots: int
    group_bins: int
    masking_slots: int
    message_bits: int
    code_length: int
    code_dimension: int
    mask_bytes: int

    @property
    def blocks(self) -> int:
        """Slot blocks of a bin."""
        return self.slots // SLOTS

    @property
    def columns(self) -> int:
        """Of all buckets: no more items than these can have been put in, whatever the receiver declared."""
        return self.buckets * self.bins * (self.sparse + self.dense)


def derive(receiver_rows: int, sender_rows: int, bucket_rows: int = BUCKET_ROWS) -> Layout:
    """The layout of these declared rows (canaries and dummies among them).

    Each kind of failure (a bucket or bin too full, a bin that cannot be solved) has probability ≤ 2^-42 a session.
    """
    buckets = max(1, round(receiver_rows / bucket_rows), round(sender_rows / (4 * bucket_rows)))
    receiver_load = load_bound(receiver_rows, buckets, STATISTICAL_BITS + 2, buckets)
    sender_load = load_bound(sender_rows, buckets, STATISTICAL_BITS + 2, buckets)
    bins = max(1, round(receiver_load / BIN_ROWS))
    if bins >= _BINS_MOST or receiver_load >= 1 << 31 or sender_load >= 1 << 31:
        raise ValueError("the buckets are too large")
    bin_load = load_bound(receiver_load, bins, STATISTICAL_BITS + 2, bins * buckets)
    sparse, dense = columns_of(bin_load, STATISTICAL_BITS + 2, bins * buckets)
    pairs = receiver_rows * sender_load
    mask_bits = STATISTICAL_BITS + max(pairs - 1, 0).bit_length()
    return Layout(
        buckets=buckets,
        receiver_load=receiver_load,
        sender_load=sender_load,
        bins=bins,
        bin_load=bin_load,
        sparse=sparse,
        dense=dense,
        slots=-(-(sparse + dense + MASKING_SLOTS) // SLOTS) * SLOTS,
        group_bins=GROUP_BINS,
        masking_slots=MASKING_SLOTS,
        message_bits=MESSAGE_BITS,
        code_length=CODE_LENGTH,
        code_dimension=CODE_DIMENSION,
        mask_bytes=max(_LEAST_MASK_BYTES, -(-mask_bits // 8)),
    )


def load_bound(rows: int, parts: int, bits: int, union: int) -> int:
    """The least L with union · P[Binomial(rows, 1 / parts) > L] ≤ 2^-bits, by the Chernoff bound."""
    if parts == 1:
        return rows
    with localcontext(prec=40):
        wanted = (bits + _log2(union)) * Decimal(2).ln()
        share = Decimal(1) / parts
        low, high = rows // parts, rows
        while low < high:
            middle = (low + high) // 2
            if rows * _divergence(Decimal(middle + 1) / rows, share) >= wanted:
                high = middle
            else:
                low = middle + 1
        return low


def columns_of(load: int, bits: int, union: int) -> tuple[int, int]:
    """(sparse, dense) columns of a bin of `load` rows: RR22's equations 2 and 3 for three ones a row.

    A gap beyond what is counted on, and dense columns that do not solve it, have probability ≤ 2^-bits / union each.
    """
    load = max(load, 256)
    with localcontext(prec=40):
        needed = bits + _log2(union)
        weight = _log2(3)
        power = (
            Decimal("0.555") * _log2(load)
            + Decimal("0.0930") * weight**3
            - Decimal("1.010") * weight**2
            + Decimal("2.925") * weight
            - Decimal("0.133")
        )
        slope = (power * Decimal(2).ln()).exp()
        expansion = Decimal("1.223") + (needed + Decimal("9.2")) / slope
        gap = floor(needed / _log2(expansion * load))
        dense = gap + ceil(needed)
        if dense > MOST_DENSE:
            raise ValueError("more than 64 dense columns")
        return ceil(expansion * load), dense


def _log2(value: int | Decimal) -> Decimal:
    return Decimal(value).ln() / Decimal(2).ln()


def _divergence(q: Decimal, p: Decimal) -> Decimal:
    """Of Bernoulli(q) from Bernoulli(p), in nats."""
    rest = (1 - q) * ((1 - q) / (1 - p)).ln() if q < 1 else Decimal(0)
    return q * (q / p).ln() + rest
