"""Several identities a person: one match by each kind in an agreed order, and a person counts once, by the first hit.

Each kind is a whole run of a two-party match over all rows; a row without that identity takes part under a random one,
so that the sizes of every run are the same and tell nothing. The sender gives each row a random reference, the same in
all runs, which travels before the row's label. The receiver takes the kinds in their order and counts a match only
where neither its row nor the sender's was matched before. What it reveals, beside what the match itself does:

    waterfall.kinds   both ways    the kinds, in their order
    (each match)      → receiver   by which kinds each of its rows matches, and which of its rows the sender holds as
                                   one person
                      sender →     nothing more: it never learns a hit

The runs follow each other in one session. That binds their order into its transcript, and nothing repeats between them:
whatever secret makes an output or a key (the exponents of `dh`, Delta and the seeds of `vole`) is drawn anew in each.
Give every kind canaries of its own, so that runs cannot be exchanged unseen.

Only one size is meant to be released: sizes by kind tell all intersections of the kinds. A sender may give one row two
references, or two rows one, and so count a person twice or not at all: it could as well have changed its rows.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, Draw, Indices, index_in, to_batch

REFERENCE_BYTES = 16
_MOST_KINDS = 16
_KINDS = pa.schema([pa.field("kind", pa.binary(32), nullable=False)])

MatchSender = Callable[[Channel, str, Bytes, Bytes], SenderResult]
"""A match's sender: (channel, kind, items uint8[n, w], labels uint8[n, v])."""
MatchReceiver = Callable[[Channel, str, Bytes, int], ReceiverResult]
"""A match's receiver, which learns its rows: (channel, kind, items uint8[n, w], the labels' width)."""


@dataclass(frozen=True)
class Identities:
    """One kind of identity of every row. kind: at most 32 bytes; items: uint8[n, w]; present: bool[n], which rows have
    one. Where several rows have the same, it is the first row's."""

    kind: str
    items: Bytes
    present: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class WaterfallResult:
    """result: as of one match, each row and each person of the sender's once; kinds: int64[size], by which kind each
    row of `result.matched` matched (the receiver's alone to know)."""

    result: ReceiverResult
    kinds: Indices


def sender(
    channel: Channel, identities: Sequence[Identities], own: Bytes | None, *, match: MatchSender
) -> SenderResult:
    """Let the receiver match by each kind in turn. own: labels uint8[n, w], one a row, or None.

    Raises ProtocolError where the two sides' kinds or their order differ, and whatever the match raises.
    """
    return _sender(channel, identities, own, match, os.urandom)


def _sender(channel: Channel, identities: Sequence[Identities], own: Bytes | None, match: MatchSender,
            draw: Draw) -> SenderResult:  # fmt: skip
    _agree(channel, identities)
    n = len(identities[0].items)
    references = np.frombuffer(draw(REFERENCE_BYTES * n), np.uint8).reshape(n, REFERENCE_BYTES)
    labels = references if own is None else np.hstack([references, own])
    rows = {match(channel, each.kind, _filled(each, draw), labels).peer_rows for each in identities}
    if len(rows) > 1:
        raise BadMessage("The peer's rows are not as many by one identity as by another.")
    return SenderResult(rows.pop())


def receiver(
    channel: Channel, identities: Sequence[Identities], *, label_width: int, match: MatchReceiver
) -> WaterfallResult:
    """Learn which of its rows the sender has by any kind. label_width: bytes of the sender's labels, 0 for none.

    Errors as `sender`; BadMessage too where the sender's references repeat within one kind.
    """
    return _receiver(channel, identities, label_width, match, os.urandom)


def _receiver(channel: Channel, identities: Sequence[Identities], label_width: int, match: MatchReceiver,
              draw: Draw) -> WaterfallResult:  # fmt: skip
    _agree(channel, identities)
    width = REFERENCE_BYTES + label_width
    found = [match(channel, each.kind, _filled(each, draw), width) for each in identities]
    if len({one.peer_rows for one in found}) > 1:
        raise BadMessage("The peer's rows are not as many by one identity as by another.")
    return _once(found, len(identities[0].items))


def _once(found: Sequence[ReceiverResult], rows: int) -> WaterfallResult:
    """Each of the receiver's `rows`, and each reference, by the first kind that hits."""
    taken = np.zeros(rows, np.bool_)
    seen = np.empty((0, REFERENCE_BYTES), np.uint8)
    parts: list[tuple[Indices, Indices, Bytes]] = []
    for kind, one in enumerate(found):
        if one.matched is None:
            raise ValueError("a waterfall needs a match whose receiver learns its rows")
        references = np.ascontiguousarray(one.labels[:, :REFERENCE_BYTES])
        if len(np.unique(references, axis=0)) < len(references):
            raise BadMessage("The peer's items are not distinct.")
        new = ~taken[one.matched] & (index_in(references, seen) < 0)
        taken[one.matched[new]] = True
        seen = np.concatenate([seen, references[new]])
        parts.append((one.matched[new], np.full(int(new.sum()), kind), one.labels[new, REFERENCE_BYTES:]))
    matched, kinds, labels = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(matched)
    result = ReceiverResult(matched[order], len(order), labels[order], found[0].peer_rows)
    return WaterfallResult(result, kinds[order])


def _filled(identities: Identities, draw: Draw) -> Bytes:
    """The items, with random ones in place of those that are missing or repeated."""
    items = np.ascontiguousarray(identities.items)
    own = identities.present.copy()
    rows = np.flatnonzero(own)
    own[rows] = index_in(items[rows], items[rows]) == np.arange(len(rows))
    missing, width = int((~own).sum()), items.shape[1]
    filled = items.copy()
    filled[~own] = np.frombuffer(draw(missing * width), np.uint8).reshape(missing, width)
    return filled


def _agree(channel: Channel, identities: Sequence[Identities]) -> None:
    """Raises ProtocolError unless both sides name the same kinds in the same order."""
    kinds = [each.kind.encode() for each in identities]
    if not kinds or len(kinds) > _MOST_KINDS or len(set(kinds)) < len(kinds) or max(map(len, kinds)) > 32:
        raise ValueError("a waterfall has 1 to 16 kinds of identities, with names of at most 32 bytes")
    if len({len(part) for each in identities for part in (each.items, each.present)}) > 1:
        raise ValueError("every kind has an item and a mark for every row")
    padded = [kind.ljust(32, b"\0") for kind in kinds]
    channel.send_batch("waterfall.kinds", to_batch(_KINDS, np.frombuffer(b"".join(padded), np.uint8).reshape(-1, 32)))
    theirs = channel.receive_batch("waterfall.kinds", _KINDS, rows=_MOST_KINDS)
    if theirs is None or theirs.column(0).to_pylist() != padded:
        raise ProtocolError(
            "The two sides do not match by the same identities in the same order.", "Compare the two contracts."
        )
