"""Diffie–Hellman matching that goes on: a later session evaluates and sends only what was added and removed.

As `protocols.psi.dh` in order, but the sender's scalar b stays for an epoch, and with it F(x) = b · H(x). Both sides
keep a state; the first session of an epoch is an update of nothing. A session costs as its additions do, both sides'
together, and the canaries, which are evaluated afresh each time. What each message reveals:

    dh-update.sizes     both ways    rows, additions and removals since the last session, canaries not counted
    dh-update.key       → receiver   K = b/2 · G, the same in every session of an epoch
    dh-update.blinded   receiver →   nothing, however much is computed: each row has a uniform blind of its own
    dh-update.replies   → receiver   F at its own additions, and nothing at others
    dh-update.added     → receiver   whether they are F of an item it holds
    dh-update.removed   → receiver   which of the tags it knows are no longer the sender's
    dh-update.canaries  → receiver   the tags of dummies that both sides know

So the receiver learns of each of its matched rows in which session it began and ceased to match, and what it once asked
it can go on to compare: within an epoch it may see an item arrive at the sender that it has itself removed. Members
asked for at two times show nearly as much. A number alone must not be updated so: if one row is added, the change of
the number is that row's membership. Hence `ordered=False` is refused here; run `dh` with fresh keys. `most_answered`
bounds what a sender answers under one scalar.

States hold identities and secrets: they leave by `export_secret` only, and are of use only with the peer's of the same
session. If one side has lost its last state, both begin a new epoch.
"""

import os
import struct
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from protocols import canary, labels
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError, check_agreed
from protocols.group import SCALAR_BYTES
from protocols.psi.dh import MOST_ROWS
from protocols.psi.dh_steps import Evaluation, check_once, evaluate_blindly, receive_rows, reply_in_order, send_rows
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, Draw, check_items, index_in, one_row, permutation

MESSAGE = "dh-update"
TAG_BYTES = labels.tag_bytes(MOST_ROWS, MOST_ROWS)
"""One width for an epoch, however its sets grow: the bound of `labels.tag_bytes` holds for the largest."""
EPOCH_BYTES = 32
MOST_ANSWERED = 1 << 28
"""Elements that a sender answers in an epoch unless the caller says otherwise."""
_SIZES = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("rows", "added", "removed", "width", "generation")]
    + [pa.field("epoch", pa.binary(EPOCH_BYTES), nullable=False)]
)
_HEAD = struct.Struct("<32s32sQQQQQ")  # epoch, scalar, generation, answered, width, items, the peer's tags


@dataclass(frozen=True)
class State:
    """One side's memory of an epoch: its items uint8[n, w] with their tags uint8[n, 12], and how many sessions it had.

    epoch: the id of its first session, zeros before; generation: sessions so far.
    """

    epoch: bytes = bytes(EPOCH_BYTES)
    generation: int = 0
    items: Bytes = field(default_factory=lambda: np.empty((0, 32), np.uint8), repr=False)
    tags: Bytes = field(default_factory=lambda: np.empty((0, TAG_BYTES), np.uint8), repr=False)


@dataclass(frozen=True)
class SenderState(State):
    """With the scalar of the epoch, zeros before, and how many of the peer's elements it has answered."""

    answered: int = 0
    _scalar: bytes = field(default=bytes(SCALAR_BYTES), repr=False)

    def export_secret(self) -> bytes:
        """The whole state, to be kept encrypted."""
        return _pack(b"cleanroom/dh-sender-state/1", self, (self._scalar, self.answered), self.tags[:0])

    @classmethod
    def load_secret(cls, content: bytes) -> Self:
        """The state in `export_secret`. Raises ProtocolError for anything else."""
        state, scalar, answered, _ = _unpack(b"cleanroom/dh-sender-state/1", content)
        return cls(state.epoch, state.generation, state.items, state.tags, answered, scalar)


@dataclass(frozen=True)
class ReceiverState(State):
    """With the tags of all the sender's items: uint8[m, 12]."""

    peer_tags: Bytes = field(default_factory=lambda: np.empty((0, TAG_BYTES), np.uint8), repr=False)

    def export_secret(self) -> bytes:
        """The whole state, to be kept encrypted."""
        return _pack(b"cleanroom/dh-receiver-state/1", self, (bytes(SCALAR_BYTES), 0), self.peer_tags)

    @classmethod
    def load_secret(cls, content: bytes) -> Self:
        """The state in `export_secret`. Raises ProtocolError for anything else."""
        state, _, _, peer_tags = _unpack(b"cleanroom/dh-receiver-state/1", content)
        return cls(state.epoch, state.generation, state.items, state.tags, peer_tags)


def sender(
    channel: Channel,
    items: Bytes,
    state: SenderState,
    *,
    canaries: Canaries,
    ordered: bool = True,
    most: int = MOST_ROWS,
    most_answered: int = MOST_ANSWERED,
) -> tuple[SenderResult, SenderState]:
    """Let the receiver match its rows with `items`, distinct digests uint8[n, 16 or 32]; the state of the next session.

    most: rows that the peer may have; most_answered: elements answered in the epoch. Raises as `dh.sender`, and
    ProtocolError for states that do not belong together, an epoch's spent quota, and a size without rows.
    """
    return _sender(channel, items, state, canaries, ordered, os.urandom, most, most_answered)


def _sender(
    channel: Channel,
    items: Bytes,
    state: SenderState,
    canaries: Canaries,
    ordered: bool,
    draw: Draw,
    most: int = MOST_ROWS,
    most_answered: int = MOST_ANSWERED,
) -> tuple[SenderResult, SenderState]:
    change = _Change.of(items, state, ordered)
    peer = _exchange_sizes(channel, change, state, most)
    answered = state.answered + peer.added
    if answered > most_answered:
        raise ProtocolError("The quota of this key is spent.", "Begin a new epoch on both sides.")
    epoch = state.epoch if state.generation else channel.session
    fresh, asked = np.concatenate([change.added, canaries.rows]), peer.added + canary.COUNT
    evaluation = Evaluation(epoch, fresh, asked, draw, scalar=state._scalar if state.generation else None)
    reply_in_order(channel, evaluation, asked, MESSAGE)
    tags = np.empty((len(fresh), TAG_BYTES), np.uint8)
    tags[evaluation.order] = evaluation.tags[:, :TAG_BYTES]
    real = evaluation.order < len(change.added)
    send_rows(channel, f"{MESSAGE}.added", evaluation.tags[real, :TAG_BYTES])
    gone = state.tags[~change.kept]
    send_rows(channel, f"{MESSAGE}.removed", gone[permutation(len(gone), draw)])
    send_rows(channel, f"{MESSAGE}.canaries", tags[len(change.added) :])
    channel.confirm()
    items_now, tags_now = change.after(state, tags[: len(change.added)])
    following = SenderState(epoch, state.generation + 1, items_now, tags_now, answered, evaluation.scalar)
    return SenderResult(peer.rows), following


def receiver(
    channel: Channel,
    items: Bytes,
    state: ReceiverState,
    *,
    canaries: Canaries,
    ordered: bool = True,
    most: int = MOST_ROWS,
) -> tuple[ReceiverResult, ReceiverState]:
    """Learn which of `items`, distinct digests uint8[n, 16 or 32], the sender has; the state of the next session.

    Errors as `sender`; ProtocolError too where canaries fail.
    """
    return _receiver(channel, items, state, canaries, ordered, os.urandom, most)


def _receiver(
    channel: Channel,
    items: Bytes,
    state: ReceiverState,
    canaries: Canaries,
    ordered: bool,
    draw: Draw,
    most: int = MOST_ROWS,
) -> tuple[ReceiverResult, ReceiverState]:
    change = _Change.of(items, state, ordered)
    peer = _exchange_sizes(channel, change, state, most)
    fresh = np.concatenate([change.added, canaries.rows])
    order = permutation(len(fresh), draw)
    epoch = state.epoch if state.generation else channel.session
    outputs = evaluate_blindly(channel, fresh[order], peer.added, draw, MESSAGE)
    tags = np.empty((len(fresh), TAG_BYTES), np.uint8)
    tags[order] = labels.derive(epoch, outputs)[0][:, :TAG_BYTES]
    own_canaries = tags[len(change.added) :]
    peer_tags = _updated(channel, state.peer_tags, peer)
    named = receive_rows(channel, f"{MESSAGE}.canaries", TAG_BYTES, canary.COUNT)
    items_now, tags_now = change.after(state, tags[: len(change.added)])
    _check_canaries(named, own_canaries, tags_now, peer_tags)
    channel.confirm()
    following = ReceiverState(epoch, state.generation + 1, items_now, tags_now, peer_tags)
    places = index_in(items, items_now)
    matched = np.flatnonzero((index_in(tags_now, peer_tags) >= 0)[places])
    return ReceiverResult(matched, len(matched), np.empty((len(matched), 0), np.uint8), peer.rows), following


# -- what changed


@dataclass(frozen=True)
class _Change:
    """Items that the state lacks, and which of the state's are kept: uint8[k, w], bool[n]."""

    added: Bytes
    kept: npt.NDArray[np.bool_]
    width: int

    @classmethod
    def of(cls, items: Bytes, state: State, ordered: bool) -> "_Change":
        if not ordered:
            raise ProtocolError(
                "A size alone cannot be updated: the change would show who was added.",
                "Run the match anew, with fresh keys.",
            )
        items = check_items(items)
        if not state.generation:
            return cls(items, np.zeros(0, np.bool_), items.shape[1])
        if items.shape[1] != state.items.shape[1]:
            raise ValueError("items must be as wide as the state's")
        return cls(items[index_in(items, state.items) < 0], index_in(state.items, items) >= 0, items.shape[1])

    def after(self, state: State, tags: Bytes) -> tuple[Bytes, Bytes]:
        """All items and their tags, given those of the added ones."""
        if not state.generation:
            return self.added, tags
        items = np.concatenate([state.items[self.kept], self.added])
        return items, np.concatenate([state.tags[self.kept], tags])


@dataclass(frozen=True)
class _Sizes:
    rows: int
    added: int
    removed: int


def _exchange_sizes(channel: Channel, change: _Change, state: State, most: int) -> _Sizes:
    """The peer's sizes. Raises ProtocolError where the two states do not belong together, BadMessage for the absurd."""
    removed = int((~change.kept).sum())
    rows = len(state.items) - removed + len(change.added)
    mine: list[int | bytes] = [rows, len(change.added), removed, change.width, state.generation, state.epoch]
    channel.send_batch(f"{MESSAGE}.sizes", one_row(_SIZES, mine))
    theirs = channel.receive_row(f"{MESSAGE}.sizes", _SIZES)
    rows, added, removed, width, generation, epoch = (column[0].as_py() for column in theirs.columns)
    if (generation, epoch) != (state.generation, state.epoch):
        raise ProtocolError(
            "The two sides' kept states are not of the same session.", "Begin a new epoch on both sides."
        )
    check_agreed({"width": change.width}, {"width": width})
    if not 0 <= rows <= min(most, MOST_ROWS) or not 0 <= added <= rows or not 0 <= removed <= MOST_ROWS:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return _Sizes(rows, added, removed)


# -- tags


def _updated(channel: Channel, known: Bytes, peer: _Sizes) -> Bytes:
    """The tags of all the sender's items now. Raises BadMessage where what it says does not fit what is known."""
    added = receive_rows(channel, f"{MESSAGE}.added", TAG_BYTES, peer.added)
    removed = receive_rows(channel, f"{MESSAGE}.removed", TAG_BYTES, peer.removed)
    places = index_in(removed, known)
    if len(known) + peer.added - peer.removed != peer.rows or (places < 0).any():
        raise BadMessage("The peer's changes do not fit what it sent before.")
    check_once(places)
    kept = np.ones(len(known), np.bool_)
    kept[places] = False
    tags = np.concatenate([known[kept], added])
    check_once(index_in(tags, tags))
    return tags


def _check_canaries(named: Bytes, mine: Bytes, tags: Bytes, peer_tags: Bytes) -> None:
    """The sender's canaries meet the receiver's as agreed, and neither side's own meets the other's items."""
    own, theirs = mine[canary.COMMON :], named[canary.COMMON :]
    strangers = np.concatenate([index_in(own, peer_tags), index_in(own, named), index_in(theirs, tags)])
    canary.check((named[: canary.COMMON] == mine[: canary.COMMON]).all(axis=1), strangers >= 0)


# -- kept


def _pack(label: bytes, state: State, secret: tuple[bytes, int], peer_tags: Bytes) -> bytes:
    scalar, answered = secret
    numbers = (state.generation, answered, state.items.shape[1], len(state.items), len(peer_tags))
    head = _HEAD.pack(state.epoch, scalar, *numbers)
    return b"".join([label, b"\n", head, *(rows.tobytes() for rows in (state.items, state.tags, peer_tags))])


def _unpack(label: bytes, content: bytes) -> tuple[State, bytes, int, Bytes]:
    begin = len(label) + 1
    if content[:begin] != label + b"\n" or len(content) < begin + _HEAD.size:
        raise _unknown_form()
    epoch, scalar, generation, answered, width, items, peers = _HEAD.unpack_from(content, begin)
    sizes = [(items, width), (items, TAG_BYTES), (peers, TAG_BYTES)]
    if len(content) != begin + _HEAD.size + sum(rows * wide for rows, wide in sizes):
        raise _unknown_form()
    parts, at = [], begin + _HEAD.size
    for rows, wide in sizes:
        parts.append(np.frombuffer(content, np.uint8, rows * wide, at).reshape(rows, wide))
        at += rows * wide
    return State(epoch, generation, parts[0], parts[1]), scalar, answered, parts[2]


def _unknown_form() -> ProtocolError:
    return ProtocolError("The kept state has an unknown form.", "Begin a new epoch on both sides.")
