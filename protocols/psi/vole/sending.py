"""The sender's side of the vole match: it lets the receiver match its rows, and learns how many those are."""

import numpy as np

from protocols import canary, labels
from protocols.canary import Canaries
from protocols.channel import FRAME_BYTES, Channel
from protocols.errors import ProtocolError
from protocols.kernels.vole import LANES, LEAF_WORDS
from protocols.psi.results import SenderResult
from protocols.psi.vole import base_ot, check, code, messages, trees
from protocols.psi.vole.code import Words
from protocols.psi.vole.items import Held, each, hold, rows_of
from protocols.psi.vole.outputs import label_keys, low_mask, of_bin
from protocols.psi.vole.parameters import BUCKET_ROWS, CODE_LENGTH, LEAST_ROWS, Layout, derive
from protocols.psi.vole.streams import Streams
from protocols.rows import DIGEST_BYTES, Bytes, Draw, Indices, to_batch


def send(
    channel: Channel,
    items: Bytes,
    own: Bytes | None,
    canaries: Canaries,
    draw: Draw,
    most: int,
    bucket_rows: int = BUCKET_ROWS,
) -> SenderResult:
    """See `protocols.psi.vole.sender`."""
    check_shapes(items)
    width = 0 if own is None else own.shape[1]
    if own is not None and (own.dtype != np.uint8 or len(own) != len(items) or not width):
        raise ValueError("labels must be uint8[n, w], one a row")
    if most < LEAST_ROWS:
        raise too_few_allowed(most)
    rows = len(items) + canary.COUNT
    peer_rows = messages.exchange_sizes(channel, rows, items.shape[1], width, most=most, sending=True)
    layout = derive(peer_rows, rows, bucket_rows)
    messages.exchange_layout(channel, layout)
    parts = [items, canaries.rows]
    held = hold(parts, channel.session, layout.buckets, layout.sender_load, numbered=own is not None)
    side = _Sender(channel, layout, held, draw)
    for bucket in range(layout.buckets):
        side.evaluate(bucket)
    for bucket in range(layout.buckets):  # not before every check has passed
        side.release(bucket, own)
    channel.confirm()
    return SenderResult(peer_rows - canary.COUNT)


def check_shapes(items: Bytes) -> None:
    """Raises ValueError unless items are digests."""
    if items.ndim != 2 or items.dtype != np.uint8 or items.shape[1] not in DIGEST_BYTES:
        raise ValueError(f"items must be uint8[n, 16 or 32], not {items.dtype}{list(items.shape)}")


def too_few_allowed(most: int) -> ProtocolError:
    """The error for a receiver of so few rows that nothing holds it to them."""
    return ProtocolError(
        "The protocol vole cannot hold the other side to {most} rows: it allows {least} at least.",
        "Use the protocol dh for small datasets.",
        most=most,
        least=LEAST_ROWS,
    )


class _Sender:
    """One session: Delta, the streams, and outputs that take the place of the keys they are of."""

    def __init__(self, channel: Channel, layout: Layout, held: Held, draw: Draw) -> None:
        self._channel, self._layout, self._held, self._draw = channel, layout, held, draw
        self._rest = np.empty((len(held.source), 2), np.uint64)
        self._delta: Indices = np.frombuffer(draw(CODE_LENGTH), np.uint8).astype(np.int64) & 63
        self._products = code.delta_tables(self._delta)
        self._slots = np.empty((layout.bins, layout.blocks, CODE_LENGTH, LEAF_WORDS), np.uint64)
        self._correction = np.empty(self._slots.shape[1:], np.uint64)
        self._streams = self._agree_on_streams()

    def _agree_on_streams(self) -> Streams:
        session = self._channel.session
        chooser = base_ot.Chooser(session, trees.path_choices(self._delta), self._draw)
        messages.send_points(self._channel, chooser.points)
        reply, sums = messages.receive_trees(self._channel)
        keys = chooser.keys(reply).reshape(CODE_LENGTH, -1, trees.SEED_BYTES)
        return Streams(session, trees.regrow(session, self._delta, keys, sums), whole=False)

    def evaluate(self, bucket: int) -> None:
        """Receive a bucket's corrections, check them, and compute the outputs of this side's keys."""
        layout, session = self._layout, self._channel.session
        rows = rows_of(self._held, bucket, layout, session, 0)
        claims = [self._streams.claim(layout.blocks) for _ in range(layout.bins)]
        each(layout.bins, lambda number: claims[number].expand(self._slots[number]))  # while the receiver solves
        if attempt := messages.receive_attempt(self._channel, bucket):
            rows = rows_of(self._held, bucket, layout, session, attempt)
        part = self._held.bucket(bucket)
        if len(self._held.source):
            self._held.source[part] = self._held.source[part][rows.order]
        for group, first in enumerate(range(0, layout.bins, layout.group_bins)):
            slots = self._slots[first : first + layout.group_bins]
            self._correct(bucket, group, slots)
            hi, lo, rest = self._held.hi[part], self._held.lo[part], self._rest[part]
            each(
                len(slots),
                lambda i: of_bin(layout, rows, first + i, slots[i], self._products, hi, lo, rest),  # noqa: B023
            )

    def _correct(self, bucket: int, group: int, slots: Words) -> None:
        """A group's slots uint64[bins, blocks, 35, 48] from W to K. Raises BadMessage where the check fails."""
        from protocols.kernels.vole.correlation import add_product

        for planes in slots:
            messages.receive_correction(self._channel, bucket, self._correction)
            add_product(planes, self._correction, self._delta)
        hashed = check.Hash(self._channel.transcript(), bucket, group, len(slots), self._layout.blocks)
        message, digest = messages.receive_check(self._channel, bucket, self._layout.message_bits)
        planes = slots.reshape(len(slots), self._layout.blocks, -1, LANES)
        check.verify(hashed, planes, self._delta, message, digest)

    def release(self, bucket: int, own: Bytes | None) -> None:
        """A bucket's masks in ascending order, filled up with random ones to what any bucket may have; then labels."""
        part = self._held.bucket(bucket)
        missing = self._layout.sender_load - (part.stop - part.start)
        random = np.frombuffer(self._draw(16 * missing), np.uint64).reshape(2, missing)
        low = np.uint64(low_mask(self._layout.mask_bytes))
        hi = np.concatenate([self._held.hi[part], random[0]])
        lo = np.concatenate([self._held.lo[part], random[1] & low])
        if own is None:
            messages.send_masks(self._channel, bucket, *_sorted(hi, lo), self._layout.mask_bytes)
            return
        order = np.lexsort((lo, hi))
        messages.send_masks(self._channel, bucket, hi[order], lo[order], self._layout.mask_bytes)
        self._send_labels(bucket, own, part, order)

    def _send_labels(self, bucket: int, own: Bytes, part: slice, order: Indices) -> None:
        """Sealed labels in the order of the masks: a canary's is of zeros, a random mask's is random."""
        width = own.shape[1] + labels.SEAL_BYTES
        form, step = messages.label_schema(width), max(1, FRAME_BYTES // width)
        keys, source = self._rest[part], self._held.source[part]
        for start in range(0, len(order), step):
            places = order[start : start + step]
            real = places < len(keys)
            rows = source[places[real]]
            plain = np.zeros((len(rows), own.shape[1]), np.uint8)
            plain[rows < len(own)] = own[rows[rows < len(own)]]
            sealed = np.empty((len(places), width), np.uint8)
            others = len(places) - len(rows)
            sealed[~real] = np.frombuffer(self._draw(others * width), np.uint8).reshape(others, width)
            sealed[real] = labels.seal(label_keys(self._channel.session, keys[places[real]]), plain)
            self._channel.send("vole.labels", to_batch(form, sealed), bucket)
        self._channel.end("vole.labels", bucket)


def _sorted(hi: Words, lo: Words) -> tuple[Words, Words]:
    from protocols.kernels import radix

    bits, fine = radix.radix_bits(len(hi))
    parted_hi, parted_lo, _, start = radix.partition(hi, lo, bits)
    radix.sort_pairs(parted_hi, parted_lo, start, bits, fine, hi, lo)
    return hi, lo
