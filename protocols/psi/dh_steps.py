"""Steps that the Diffie–Hellman matches share: one side evaluates F(x) = b · H(x), the other has it evaluated blindly.

Both work in batches and in turn, so that each computes while the other's batch is under way. Which messages these are,
and what they reveal, stands where they are used: `protocols.psi.dh` and `protocols.psi.dh_update`.
"""

from collections.abc import Iterator

import numpy as np

from protocols import labels
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.group import ELEMENT_BYTES, FEW_ROWS, Group, backend, libsodium, random_blinds
from protocols.rows import Bytes, Draw, Indices, check_count, permutation, schema, to_batch, to_rows

HASH_TAG = b"HashToGroup-cleanroom/dh/1-ristretto255-SHA512"
BATCH = 1024
"""Elements a message frame where libsodium serves: 60 ms of work."""
KERNEL_BATCH = 4096
"""The same for the compiled kernel: some 30 ms, in several threads."""
POINTS = schema({"point": ELEMENT_BYTES})
KEY = schema({"key": ELEMENT_BYTES})
_LAG = 2  # batches that are blinded ahead of the replies that are waited for


def _work(rows: int) -> tuple[Group, int]:
    """What evaluates about `rows` elements, and how many of them at once."""
    return backend(rows), BATCH if rows <= FEW_ROWS else KERNEL_BATCH


class Evaluation:
    """F at the sender's own items, in a secret order, a batch at a time: the tags and, where wanted, the keys.

    session: what tags and keys hold for; scalar: b, drawn if not given.
    """

    def __init__(
        self,
        session: bytes,
        items: Bytes,
        peer_rows: int,
        draw: Draw,
        *,
        keep_keys: bool = False,
        scalar: bytes | None = None,
    ) -> None:
        self.group, self.batch = _work(len(items) + peer_rows)
        self.scalar = scalar or self.group.random_scalar(draw)
        self.order = permutation(len(items), draw)
        self.tags = np.empty((len(items), 16), np.uint8)
        self.keys = np.empty((len(items) if keep_keys else 0, 32), np.uint8)
        self._session, self._items, self._done = session, items, 0

    def advance(self, until: float) -> None:
        """Evaluate batches until the share `until` (0 to 1) of the items is done."""
        while self._done < until * len(self._items):
            part = slice(self._done, self._done + self.batch)
            outputs = self.group.hash_multiply(self.scalar, self._items[self.order[part]], HASH_TAG)
            tags, keys = labels.derive(self._session, outputs)
            self.tags[part] = tags[:, :16]
            if len(self.keys):
                self.keys[part] = keys
            self._done += len(outputs)

    def replies(self, channel: Channel, rows: int, scalar: bytes, message: str = "dh") -> Iterator[Bytes]:
        """Blinded elements as they come, by `scalar`. Raises BadMessage unless they are `rows` valid ones."""
        received = 0
        for batch in channel.receive(f"{message}.blinded", POINTS, rows=rows):
            received += batch.num_rows
            yield self.group.multiply(scalar, to_rows(batch.column(0)))
        check_count(received, rows)


def reply_in_order(channel: Channel, evaluation: Evaluation, rows: int, message: str = "dh") -> None:
    """The key, then replies and own evaluations in turn, so that this side is busy while the receiver unblinds."""
    half = libsodium().halved(evaluation.scalar)
    channel.send_batch(f"{message}.key", to_batch(KEY, np.frombuffer(libsodium().generated(half), np.uint8)[None]))
    first = evaluation.batch / max(len(evaluation.order), evaluation.batch)
    evaluation.advance(first)  # while the receiver blinds its first batch
    replied = 0
    for points in evaluation.replies(channel, rows, libsodium().halved(half), message):
        channel.send(f"{message}.replies", to_batch(POINTS, points))
        replied += len(points)
        evaluation.advance(replied / rows)
    channel.end(f"{message}.replies")
    evaluation.advance(1)


def evaluate_blindly(channel: Channel, items: Bytes, peer_rows: int, draw: Draw, message: str = "dh") -> Bytes:
    """F at the items, in their order: uint8[n, 32]. See `protocols.psi.dh` for why each row has a blind of its own."""
    n = len(items)
    group, size = _work(n + peer_rows)
    outputs = np.empty((n, ELEMENT_BYTES), np.uint8)  # and before, each row's blind
    unblind = group.unblinding(_receive_key(channel, message))
    replies, replied, sent = channel.receive(f"{message}.replies", POINTS, rows=n), 0, 0

    def collect(until: int) -> None:
        nonlocal replied
        while replied < until:
            if (batch := next(replies, None)) is None:
                check_count(replied, n)
                return
            if replied + batch.num_rows > sent:
                raise BadMessage("The peer answered elements before it had them.")
            part = slice(replied, replied + batch.num_rows)
            outputs[part] = unblind(to_rows(batch.column(0)), outputs[part])
            replied += batch.num_rows

    for start in range(0, n, size):
        part = slice(start, start + size)
        outputs[part] = random_blinds(len(items[part]), draw)
        channel.send(f"{message}.blinded", to_batch(POINTS, group.blind(items[part], HASH_TAG, outputs[part])))
        sent = min(start + size, n)
        collect(start + size - _LAG * size)
    channel.end(f"{message}.blinded")
    collect(n + 1)
    return outputs


def evaluate_shuffled(channel: Channel, items: Bytes, peer_rows: int, draw: Draw) -> Bytes:
    """F at the items in the sender's secret order: uint8[n, 32]. One blind for all, which any reply is freed of."""
    n, received = len(items), 0
    group, size = _work(n + peer_rows)
    scalar = group.random_scalar(draw)
    for start in range(0, n, size):
        blinded = group.hash_multiply(scalar, items[start : start + size], HASH_TAG)
        channel.send("dh.blinded", to_batch(POINTS, blinded))
    channel.end("dh.blinded")
    inverse, outputs = group.invert(scalar), np.empty((n, ELEMENT_BYTES), np.uint8)
    for batch in channel.receive("dh.replies", POINTS, rows=n):
        outputs[received : received + batch.num_rows] = group.multiply(inverse, to_rows(batch.column(0)))
        received += batch.num_rows
    check_count(received, n)
    return outputs


def _receive_key(channel: Channel, message: str) -> bytes:
    (key,) = channel.receive_rows(f"{message}.key", KEY, rows=1)
    return key.tobytes()


def check_once(found: Indices) -> None:
    """Raises BadMessage where two of the peer's rows are the same one of ours."""
    if (np.bincount(found[found >= 0]) > 1).any():
        raise BadMessage("The peer's items are not distinct.")


def send_rows(channel: Channel, name: str, rows: Bytes) -> None:
    """Tags as the whole message `name`."""
    channel.send_batch(name, to_batch(schema({"tag": rows.shape[1]}), rows))


def receive_rows(channel: Channel, name: str, width: int, rows: int) -> Bytes:
    """uint8[rows, width]. Raises BadMessage for another number."""
    batch = channel.receive_batch(name, schema({"tag": width}), rows=rows)
    content = np.empty((0, width), np.uint8) if batch is None else to_rows(batch.column(0))
    check_count(len(content), rows)
    return content
