"""The receiver's side of the vole match: it learns which of its rows the sender has, and what labels those carry."""

import numpy as np

from protocols import canary, labels
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import ProtocolError
from protocols.kernels.vole import LANES, LEAF_WORDS, ROW_WORDS
from protocols.psi.results import ReceiverResult
from protocols.psi.vole import base_ot, check, code, messages, trees
from protocols.psi.vole.code import Words
from protocols.psi.vole.items import Held, Places, Rows, each, hold, rows_of
from protocols.psi.vole.outputs import label_keys, of_bin
from protocols.psi.vole.parameters import BUCKET_ROWS, CODE_LENGTH, LEAST_ROWS, Layout, derive
from protocols.psi.vole.sending import check_shapes
from protocols.psi.vole.streams import Streams
from protocols.rows import Bytes, Draw, Indices, check_count, to_rows


def receive(
    channel: Channel,
    items: Bytes,
    label_width: int,
    canaries: Canaries,
    draw: Draw,
    most: int,
    bucket_rows: int = BUCKET_ROWS,
) -> ReceiverResult:
    """See `protocols.psi.vole.receiver`."""
    check_shapes(items)
    dummies = np.frombuffer(draw(16 * max(LEAST_ROWS - len(items), 0)), np.uint8).reshape(-1, 16)
    parts = [items, canaries.rows, dummies]
    rows = sum(len(part) for part in parts)
    peer_rows = messages.exchange_sizes(channel, rows, items.shape[1], label_width, most=most, sending=False)
    layout = derive(rows, peer_rows, bucket_rows)
    messages.exchange_layout(channel, layout)
    held = hold(parts, channel.session, layout.buckets, layout.receiver_load)
    side = _Receiver(channel, layout, held, draw, labelled=bool(label_width))
    for bucket in range(layout.buckets):
        side.evaluate(bucket)
    found = [side.match(bucket, label_width) for bucket in range(layout.buckets)]
    del side, held
    matched = np.concatenate([matched for matched, _ in found])
    opened = np.concatenate([opened for _, opened in found])
    _check_canaries(matched, len(items))
    channel.confirm()
    order = np.argsort(matched) if label_width else None
    matched = np.sort(matched) if order is None else matched[order]
    matched = matched[: np.searchsorted(matched, len(items))].astype(np.int64)
    opened = opened[: len(matched)] if order is None else opened[order[: len(matched)]]
    return ReceiverResult(matched, len(matched), opened, peer_rows - canary.COUNT)


def _check_canaries(matched: Places, first: int) -> None:
    """matched: rows, among which canaries are from `first` on. Raises ProtocolError where they are not as they must."""
    hit = np.zeros(canary.COUNT, np.bool_)
    hit[matched[(matched >= first) & (matched < first + canary.COUNT)] - first] = True
    canary.check(hit[: canary.COMMON], hit[canary.COMMON :])


class _Receiver:
    """One session: the streams, and outputs that take the place of the keys they are of."""

    def __init__(self, channel: Channel, layout: Layout, held: Held, draw: Draw, *, labelled: bool) -> None:
        self._channel, self._layout, self._held, self._draw = channel, layout, held, draw
        self._rest = np.empty((len(held.hi) if labelled else 0, 2), np.uint64)
        self._own = np.empty((layout.group_bins, layout.blocks, CODE_LENGTH, LEAF_WORDS), np.uint64)
        self._message = np.empty((layout.group_bins, layout.blocks, layout.message_bits, LANES), np.uint64)
        self._streams = self._agree_on_streams()

    def _agree_on_streams(self) -> Streams:
        session = self._channel.session
        reply, keys = base_ot.offer(session, messages.receive_points(self._channel), self._draw)
        seeds, sums = trees.grow(session, keys.reshape(CODE_LENGTH, -1, 2, trees.SEED_BYTES), self._draw)
        messages.send_trees(self._channel, reply, sums)
        return Streams(session, seeds, whole=True)

    def evaluate(self, bucket: int) -> None:
        """Send a bucket's corrections with their checks, and compute the outputs of this side's keys."""
        layout, part = self._layout, self._held.bucket(bucket)
        rows, values = self._encode(bucket)
        self._held.source[part] = self._held.source[part][rows.order]
        for group, first in enumerate(range(0, layout.bins, layout.group_bins)):
            some = min(layout.group_bins, layout.bins - first)
            own = self._own[:some]
            self._correct(bucket, group, values[first : first + some], own)
            hi, lo, rest = self._held.hi[part], self._held.lo[part], self._rest[part]
            nothing = np.empty((0, 256, ROW_WORDS), np.uint64)
            each(some, lambda i: of_bin(layout, rows, first + i, own[i], nothing, hi, lo, rest))  # noqa: B023

    def _encode(self, bucket: int) -> tuple[Rows, Words]:
        """Rows, and values uint64[bins, slots, 2] that solve them; what masks the check is filled in."""
        layout = self._layout
        for attempt in range(messages.MOST_ATTEMPTS):
            rows = rows_of(self._held, bucket, layout, self._channel.session, attempt)
            if (values := _solve(layout, rows)) is not None:
                break
        else:
            raise ProtocolError("The rows of a bucket cannot be solved.", "Run again.")
        messages.send_attempt(self._channel, bucket, attempt)
        masking = self._draw(16 * layout.bins * layout.masking_slots)
        words = np.frombuffer(masking, np.uint64).reshape(layout.bins, layout.masking_slots, 2)
        values[:, -layout.masking_slots :] = words
        values[:, -layout.masking_slots :, 1] &= np.uint64((1 << (layout.message_bits - 64)) - 1)
        return rows, values

    def _correct(self, bucket: int, group: int, values: Words, own: Words) -> None:
        """Send a group's corrections and its check; own uint64[bins, blocks, 35, 48] is filled with V."""
        from protocols.kernels.vole.correlation import correct

        layout, sources = self._layout, code.parity_sources()
        message = self._message[: len(own)]
        claims = [self._streams.claim(layout.blocks) for _ in own]
        corrections: list[Words] = [np.empty(0, np.uint64)] * len(own)

        def work(i: int) -> None:
            corrections[i] = claims[i].expand(own[i])
            correct(corrections[i], values[i], *sources, message[i])

        each(len(own), work)
        for planes in corrections:
            messages.send_correction(self._channel, bucket, planes)
        hashed = check.Hash(self._channel.transcript(), bucket, group, len(own), layout.blocks)
        planes = own.reshape(len(own), layout.blocks, -1, LANES)
        messages.send_check(self._channel, bucket, *check.proof(hashed, message, planes))

    def match(self, bucket: int, label_width: int) -> tuple[Places, Bytes]:
        """The rows of a bucket whose masks the sender sent, and their labels uint8[m, w]."""
        from protocols.kernels import radix

        layout, part = self._layout, self._held.bucket(bucket)
        hi, lo = self._held.hi[part], self._held.lo[part]
        bits, fine = radix.radix_bits(layout.sender_load)
        parted = radix.partition(hi, lo, bits)  # while the sender is not done
        masks = messages.receive_masks(self._channel, bucket, layout.sender_load, layout.mask_bytes)
        places = radix.match(*parted, np.arange(len(hi)), *masks, bits, fine)
        source = self._held.source[part][places]
        if not label_width:
            return source, np.empty((len(places), 0), np.uint8)
        theirs = np.searchsorted(masks[0], hi[places])
        theirs += masks[0][theirs] != hi[places]
        return source, self._open_labels(bucket, theirs, self._rest[part][places], label_width)

    def _open_labels(self, bucket: int, places: Indices, rest: Words, label_width: int) -> Bytes:
        """The labels that stand at `places` in the sender's order, opened as they stream by."""
        order = np.argsort(places)
        keys = label_keys(self._channel.session, rest)
        opened = np.empty((len(places), label_width), np.uint8)
        seen = done = 0
        form = messages.label_schema(label_width + labels.SEAL_BYTES)
        for batch in self._channel.receive("vole.labels", form, bucket, rows=self._layout.sender_load):
            until = int(np.searchsorted(places, seen + batch.num_rows, sorter=order))
            mine = order[done:until]
            opened[mine] = labels.open_sealed(keys[mine], to_rows(batch.column(0))[places[mine] - seen])
            seen, done = seen + batch.num_rows, until
        check_count(seen, self._layout.sender_load)
        return opened


def _solve(layout: Layout, rows: Rows) -> Words | None:
    """Values uint64[bins, slots, 2] that give each row its own, or None where a bin cannot be solved."""
    from protocols.kernels.vole import okvs

    values = np.zeros((layout.bins, layout.slots, 2), np.uint64)
    gaps = np.empty(layout.bins, np.int64)

    def work(number: int) -> None:
        digests = rows.digests[rows.bin(number)]
        fits = len(digests) <= layout.bin_load
        high_bits = layout.message_bits - 64
        gaps[number] = (
            okvs.encode_bin(digests, layout.bins, layout.sparse, layout.dense, high_bits, values[number])
            if fits
            else -1
        )

    each(layout.bins, work)
    return None if (gaps < 0).any() else values
