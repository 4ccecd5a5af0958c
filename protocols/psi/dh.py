"""Two-party matching by Diffie–Hellman: the receiver learns which of its items the sender has, the sender both sizes.

F(x) = b · H(x) in a group with generator G, b the sender's secret, fresh each session. The receiver gets F for its own
items only, blindly. The sender gives, in a secret order, a tag of F(y) for each of its items and, if it has labels,
each label sealed under a key from F(y) (`protocols.labels`).

ordered: replies keep the receiver's order, so it learns which of its rows matched. Each row is blinded by a secret
uniform r of its own: the sender gives its key K = b/2 · G, gets C = 2 (H(x) + r G), returns D = b/4 · C; the receiver
has F(x) = 2 (D - r K). Multiples of G and K come from tables, and points that are twice another are encoded without a
square root. Not ordered: all replies come in a secret order, so that the receiver learns the number of matches and
their labels, but not the rows: with additively homomorphic ciphertexts as labels this is join-sum. It could not tell
which r to take off, so one secret a blinds all: a · H(x) goes, b · a · H(x) returns. What each message reveals:

    dh.sizes      both ways    the number of rows, canaries included
    dh.key        → receiver   ordered only: K, from which b is a discrete logarithm away
    dh.blinded    receiver →   ordered: nothing, however much is computed, as C is uniform whatever x is (within 2^-127)
                               not ordered: nothing, under DDH and with H a random oracle
    dh.replies    → receiver   F at its own items, and nothing at others
    dh.tags       → receiver   whether they are F of an item it holds
    dh.canaries   → receiver   not ordered only: the tags of dummies that both sides know
    dh.labels     → receiver   what matched rows carry

Semi-honest: a peer may still substitute its input. K is not proved to be the replies' key, and need not be: a wrong one
makes every output random, so that the canaries fail, and nothing that a sender does with K or D shows it any x. What
remains, and why it is no more than substituted input, is record 17 (docs/decisions). Nothing here is safe against a
quantum computer: it finds b from a transcript and tests guesses against dh.tags, and where not ordered dh.blinded too.
"""

import os

import numpy as np
import pyarrow as pa

from protocols import canary, labels
from protocols.canary import Canaries
from protocols.channel import FRAME_BYTES, Channel
from protocols.errors import BadMessage, check_agreed
from protocols.group import ELEMENT_BYTES
from protocols.psi.dh_steps import (
    POINTS,
    Evaluation,
    check_once,
    evaluate_blindly,
    evaluate_shuffled,
    receive_rows,
    reply_in_order,
    send_rows,
)
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import (
    Bytes,
    Draw,
    Indices,
    check_count,
    check_items,
    index_in,
    one_row,
    permutation,
    schema,
    to_batch,
    to_rows,
)

MOST_ROWS = 1 << 27
_EARLY = 6  # not ordered: items received for each own one evaluated meanwhile, about what keeps the sender busy
_SIZES = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("rows", "width", "label", "ordered", "canaries")]
)


def sender(
    channel: Channel,
    items: Bytes,
    own: Bytes | None,
    *,
    canaries: Canaries,
    ordered: bool,
    most: int = MOST_ROWS,
) -> SenderResult:
    """Let the receiver match its rows with `items`, distinct digests uint8[n, 16 or 32].

    own: labels uint8[n, w], one a row, or None; most: rows that the peer may have.
    Raises ProtocolError for repeated items, sizes or settings that the two
    sides do not share, BadMessage for what is malformed, PeerAborted.
    """
    return _sender(channel, items, own, canaries, ordered, os.urandom, most)


def _sender(
    channel: Channel,
    items: Bytes,
    own: Bytes | None,
    canaries: Canaries,
    ordered: bool,
    draw: Draw,
    most: int = MOST_ROWS,
) -> SenderResult:
    n, width = len(check_items(items)), 0 if own is None else own.shape[1]
    if own is not None and (own.dtype != np.uint8 or len(own) != n or not width):
        raise ValueError("labels must be uint8[n, w], one a row")
    items = np.concatenate([items, canaries.rows])
    peer_rows = _exchange_sizes(channel, items, width, ordered, most)
    evaluation = Evaluation(channel.session, items, peer_rows, draw, keep_keys=bool(width))
    if ordered:
        reply_in_order(channel, evaluation, peer_rows)
    else:
        _reply_shuffled(channel, evaluation, peer_rows, draw)
    tags = np.ascontiguousarray(evaluation.tags[:, : labels.tag_bytes(len(items), peer_rows)])
    send_rows(channel, "dh.tags", tags)
    if not ordered:
        positions = np.argsort(evaluation.order)[n:]  # where the canaries went
        send_rows(channel, "dh.canaries", tags[positions])
    if own is not None:
        _send_labels(channel, evaluation, own)
    channel.confirm()
    return SenderResult(peer_rows - canary.COUNT)


def receiver(
    channel: Channel,
    items: Bytes,
    *,
    label_width: int,
    canaries: Canaries,
    ordered: bool,
    most: int = MOST_ROWS,
) -> ReceiverResult:
    """Learn which of `items`, distinct digests uint8[n, 16 or 32], the sender has, or if not ordered how many.

    label_width: bytes of the sender's labels, 0 for none. Errors as `sender`; ProtocolError too where canaries fail.
    """
    return _receiver(channel, items, label_width, canaries, ordered, os.urandom, most)


def _receiver(
    channel: Channel,
    items: Bytes,
    label_width: int,
    canaries: Canaries,
    ordered: bool,
    draw: Draw,
    most: int = MOST_ROWS,
) -> ReceiverResult:
    n = len(check_items(items))
    items = np.concatenate([items, canaries.rows])
    peer_rows = _exchange_sizes(channel, items, label_width, ordered, most)
    order = permutation(len(items), draw)
    outputs = (evaluate_blindly if ordered else evaluate_shuffled)(channel, items[order], peer_rows, draw)
    mine, keys = labels.derive(channel.session, outputs)
    width = labels.tag_bytes(len(items), peer_rows)
    mine = np.ascontiguousarray(mine[:, :width])
    found = index_in(receive_rows(channel, "dh.tags", width, peer_rows), mine)
    check_once(found)
    if ordered:
        found = _without_canaries(found, order, n)
    else:
        found = _without_named(found, mine, receive_rows(channel, "dh.canaries", width, canary.COUNT))
    opened, places = _open_labels(channel, found, keys, label_width)
    channel.confirm()
    if not ordered:
        return ReceiverResult(None, len(places), opened, peer_rows - canary.COUNT)
    rows = order[places]
    ascending = np.argsort(rows)
    return ReceiverResult(rows[ascending], len(rows), opened[ascending], peer_rows - canary.COUNT)


def _exchange_sizes(channel: Channel, items: Bytes, label_width: int, ordered: bool, most: int) -> int:
    """The peer's rows. Raises ProtocolError for what the two sides do not share."""
    mine = [len(items), items.shape[1], label_width, int(ordered), canary.COUNT]
    channel.send_batch("dh.sizes", one_row(_SIZES, mine))
    (theirs,) = channel.receive_row("dh.sizes", _SIZES).to_pylist()
    check_agreed(dict(zip(_SIZES.names[1:], mine[1:], strict=True)), theirs)
    rows: int = theirs["rows"]
    if not canary.COUNT <= rows <= min(most + canary.COUNT, MOST_ROWS):
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return rows


# -- the sender's side


def _reply_shuffled(channel: Channel, evaluation: Evaluation, rows: int, draw: Draw) -> None:
    """All replies first held, then sent in a secret order: 32 bytes a row."""
    held = np.empty((rows, ELEMENT_BYTES), np.uint8)
    received = 0
    for points in evaluation.replies(channel, rows, evaluation.scalar):
        held[received : received + len(points)] = points
        received += len(points)
        evaluation.advance(min(1.0, received / _EARLY / len(evaluation.order)))
    order = permutation(rows, draw)
    for start in range(0, rows, evaluation.batch):
        channel.send("dh.replies", to_batch(POINTS, held[order[start : start + evaluation.batch]]))
        evaluation.advance(min(1.0, (start + evaluation.batch) / rows))
    channel.end("dh.replies")
    evaluation.advance(1)


def _send_labels(channel: Channel, evaluation: Evaluation, own: Bytes) -> None:
    """Sealed labels in the order of the tags; a canary's is of zeros."""
    width = own.shape[1]
    layout = schema({"label": width + labels.SEAL_BYTES})
    step = max(1, FRAME_BYTES // (width + labels.SEAL_BYTES))
    for start in range(0, len(evaluation.order), step):
        rows = evaluation.order[start : start + step]
        plain = np.zeros((len(rows), width), np.uint8)
        real = rows < len(own)
        plain[real] = own[rows[real]]
        sealed = labels.seal(evaluation.keys[start : start + step], plain)
        channel.send("dh.labels", to_batch(layout, sealed))
    channel.end("dh.labels")


# -- the receiver's side


def _without_canaries(found: Indices, order: Indices, n: int) -> Indices:
    """`found` with the canaries' hits taken out. Raises ProtocolError where they did not match as they must."""
    hit = np.zeros(len(order), np.bool_)
    hit[order[found[found >= 0]]] = True
    canary.check(hit[n : n + canary.COMMON], hit[n + canary.COMMON :])
    return np.where((found >= 0) & (order[found] < n), found, -1)


def _without_named(found: Indices, mine: Bytes, named: Bytes) -> Indices:
    """The same where rows are not known: the sender names its canaries' tags, the common ones first."""
    places = index_in(named, mine)
    canary.check(places[: canary.COMMON] >= 0, places[canary.COMMON :] >= 0)
    check_once(places)
    return np.where(np.isin(found, places[: canary.COMMON]), -1, found)


def _open_labels(channel: Channel, found: Indices, keys: Bytes, width: int) -> tuple[Bytes, Indices]:
    """(labels uint8[m, w], the places in `keys` of those m) of the sender's rows that were found, as they stream by."""
    places = found[found >= 0]
    if not width:
        return np.empty((len(places), 0), np.uint8), places
    opened, seen, done = np.empty((len(places), width), np.uint8), 0, 0
    for batch in channel.receive("dh.labels", schema({"label": width + labels.SEAL_BYTES}), rows=len(found)):
        part = found[seen : seen + batch.num_rows]
        hits = labels.open_sealed(keys[part[part >= 0]], to_rows(batch.column(0))[part >= 0])
        opened[done : done + len(hits)] = hits
        seen, done = seen + batch.num_rows, done + len(hits)
    check_count(seen, len(found))
    return opened, places
