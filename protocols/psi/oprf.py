"""The unbalanced match: few items against many. The receiver learns which of its items the sender has, the sender how
many were asked.

F(x) is RFC 9497's VOPRF (ristretto255-SHA512) under a key of the sender's for one room and one epoch. The sender
evaluates its side once an epoch into a table of tags (`protocols.oprf.tables`), which the receiver gets over the
channel or as a file; then the receiver has F evaluated at its own few items, blindly, and looks their tags up. It keeps
what it learned of F (`Answers`), so that within an epoch only new items are asked and only changed tags are sent. What
each message reveals:

    oprf.sizes      both ways    rows and queries, canaries included; which table the receiver holds, by fingerprint
    oprf.blinded    receiver →   nothing: random group elements (DDH, random oracle)
    oprf.evaluated  → receiver   F at the items asked, and nothing at others
    oprf.proof      → receiver   that F was evaluated under the epoch's key
    oprf.update     → receiver   how many rows of the table went and came
    oprf.removed    → receiver   which tags went, so of its own items which
    oprf.tags       → receiver   whether they are F of an item that it asked; sealed labels beside them

What a malicious peer can do: a receiver asks for items that are not its own, as many as the quota allows, and against
every table of the epoch: so keep the quota near the size of its real list, and epochs short. A sender answers with a
key of its own choice for a row, to see by what happens later which rows matched: the proof shuts that. It may put into
its table what it likes. A receiver that keeps old tables sees when one of its own people came and went. Nothing here
is safe against a quantum computer: whoever keeps oprf.blinded could one day test guesses against it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa

from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError, check_agreed
from protocols.group import ELEMENT_BYTES
from protocols.oprf import proof, questions, suite, tables
from protocols.oprf.keys import MOST_ROWS, Epoch, Key, Quota
from protocols.oprf.points import FEW_POINTS
from protocols.oprf.questions import Answers, Question
from protocols.oprf.suite import OUTPUT_BYTES
from protocols.oprf.tables import TagTable
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, Draw, index_in, one_row, schema, to_batch

SMALL_BATCH, BATCH = 512, 4096
"""Elements that one proof may cover: the receiver checks one while the sender works on the next."""
_POINTS = schema({"point": ELEMENT_BYTES})
_PROOF = schema({"proof": proof.PROOF_BYTES})
_AGREED = ("epoch", "most_rows", "most_queries", "label", "canaries")
_SIZES = pa.schema(
    [pa.field(name, pa.int64(), nullable=False) for name in ("rows", *_AGREED)]
    + [pa.field("public", pa.binary(ELEMENT_BYTES), nullable=False), pa.field("table", pa.binary(32), nullable=False)]
)
_UPDATE = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("whole", "removed", "added")])


@dataclass(frozen=True, eq=False)
class Received:
    """result: the matches; table: the sender's, as it is now; answers: for the epoch's later questions."""

    result: ReceiverResult
    table: TagTable
    answers: Answers


@dataclass(frozen=True)
class _Peer:
    rows: int
    table: bytes


def sender(
    channel: Channel,
    key: Key,
    table: TagTable,
    quota: Quota,
    keep: Callable[[Quota], None],
    *,
    earlier: TagTable | None = None,
    most: int = MOST_ROWS,
) -> SenderResult:
    """Answer the receiver's queries under the key of the table's epoch, and bring its table up to date.

    keep: stores the new count of queries; it is called, and must have stored it durably, before anything is answered.
    earlier: the epoch's table before this one: a receiver that holds it gets the difference only. most: rows that the
    peer may ask for, canaries not counted: what the result calls peer_rows. `points.prepare` loads beforehand what
    many queries take. Raises ProtocolError where the quota does not suffice or the two sides do not agree, BadMessage
    for what is malformed, PeerAborted.
    """
    return _sender(channel, key, table, quota, keep, earlier, most, os.urandom)


def _sender(
    channel: Channel,
    key: Key,
    table: TagTable,
    quota: Quota,
    keep: Callable[[Quota], None],
    earlier: TagTable | None,
    most: int,
    draw: Draw,
) -> SenderResult:
    if (key.epoch, key.public) != (table.epoch.number, table.epoch.public):
        raise ProtocolError("The key is not the one of this epoch.", "Take the key that the contract names.")
    peer = _exchange_sizes(channel, table.epoch, len(table), table.fingerprint)
    if not canary.COUNT <= peer.rows <= most + canary.COUNT:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    keep(quota.spend(table.epoch, peer.rows))
    for part in _parts(peer.rows):
        (blinded,) = channel.receive_rows("oprf.blinded", _POINTS, rows=part.stop - part.start)
        evaluated = suite.blind_evaluate(key.secret, blinded)
        channel.send_batch("oprf.evaluated", to_batch(_POINTS, evaluated))
        proved = proof.prove(key.secret, key.public, blinded, evaluated, draw)
        channel.send_batch("oprf.proof", to_batch(_PROOF, np.frombuffer(proved, np.uint8).reshape(1, -1)))
    _send_update(channel, table, earlier, peer.table)
    channel.confirm()
    return SenderResult(peer.rows - canary.COUNT)


def receiver(
    channel: Channel, question: Question, epoch: Epoch, table: TagTable | None, *, most: int = MOST_ROWS
) -> Received:
    """Learn which of the question's items the sender has (`protocols.oprf.questions.ask`).

    table: the sender's, as far as it is held; most: rows that the sender may have. Errors as `sender`; ProtocolError
    too for a table or answers of another epoch, and where canaries fail; BadMessage where the proof does not hold.
    """
    held = TagTable.empty(epoch) if table is None else table
    if held.epoch != epoch:
        raise tables.other_epoch(epoch)
    if question.known is not None and question.known.key_id != epoch.key_id:
        raise questions.other_epoch(epoch)
    peer = _exchange_sizes(channel, epoch, len(question.asked), bytes(32) if table is None else table.fingerprint)
    if not canary.COUNT <= peer.rows <= min(most, epoch.most_rows) + canary.COUNT:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    outputs = _outputs(channel, question, epoch)
    current = held if peer.table == held.fingerprint else _receive_update(channel, held, peer)
    found = current.find(outputs[:, : epoch.tag_bytes])
    n, hit = len(question.items) - canary.COUNT, found >= 0
    canary.check(hit[n : n + canary.COMMON], hit[n + canary.COMMON :])
    matched = np.flatnonzero(hit[:n])
    opened = current.open_labels(found[matched], outputs[matched])
    channel.confirm()
    result = ReceiverResult(matched, len(matched), opened, peer.rows - canary.COUNT)
    return Received(result, current, _answers(question, epoch, outputs[:n]))


def _exchange_sizes(channel: Channel, epoch: Epoch, rows: int, table: bytes) -> _Peer:
    """What the peer declares. Raises ProtocolError for what the two sides do not share."""
    values = (epoch.number, epoch.most_rows, epoch.most_queries, epoch.label_width, canary.COUNT)
    agreed = dict(zip(_AGREED, values, strict=True))
    mine: list[int | bytes] = [rows, *agreed.values(), epoch.public, table]
    channel.send_batch("oprf.sizes", one_row(_SIZES, mine))
    (theirs,) = channel.receive_row("oprf.sizes", _SIZES).to_pylist()
    check_agreed(agreed, theirs)
    if theirs["public"] != epoch.public:
        raise ProtocolError("The peer does not hold this epoch to the same key.", "Compare the two contracts.")
    return _Peer(theirs["rows"], theirs["table"])


def _parts(rows: int) -> list[slice]:
    """What makes up range(rows), for one proof each: all of about the same length, so that none is small for the fast
    kernels unless all are."""
    count = -(-rows // (BATCH if rows > FEW_POINTS else SMALL_BATCH))
    bounds = [rows * number // count for number in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(bounds)]


def _outputs(channel: Channel, question: Question, epoch: Epoch) -> Bytes:
    """F at all of the question's items, uint8[n, 64]: what was known, and what is asked now."""
    outputs = np.empty((len(question.items), OUTPUT_BYTES), np.uint8)
    if question.known is not None:
        places = index_in(question.items, question.known.items)
        outputs[places >= 0] = question.known.outputs[places[places >= 0]]
    for part in _parts(len(question.asked)):
        channel.send_batch("oprf.blinded", to_batch(_POINTS, question.blinded[part]))
    for part in _parts(len(question.asked)):
        blinded, asked = question.blinded[part], question.asked[part]
        (evaluated,) = channel.receive_rows("oprf.evaluated", _POINTS, rows=len(asked))
        (proved,) = channel.receive_rows("oprf.proof", _PROOF, rows=1)
        proof.check(epoch.public, blinded, evaluated, proved.tobytes())
        outputs[asked] = suite.finalize(question.items[asked], question.scalar, evaluated)
    return outputs


def _answers(question: Question, epoch: Epoch, outputs: Bytes) -> Answers:
    """All that is known now: old answers, though their items be gone, and new ones."""
    items = question.items[: len(outputs)]
    if question.known is None:
        return Answers(epoch.key_id, items, outputs)
    new = index_in(items, question.known.items) < 0
    every = [(question.known.items, items[new]), (question.known.outputs, outputs[new])]
    return Answers(epoch.key_id, *map(np.concatenate, every))


def _send_update(channel: Channel, table: TagTable, earlier: TagTable | None, held: bytes) -> None:
    if held == table.fingerprint:
        return
    whole = earlier is None or earlier.fingerprint != held
    removed, added = table.difference(TagTable.empty(table.epoch) if earlier is None or whole else earlier)
    channel.send_batch("oprf.update", one_row(_UPDATE, [int(whole), len(removed), len(added)]))
    channel.send_batch("oprf.removed", to_batch(schema({"tag": table.epoch.tag_bytes}), removed))
    channel.send_batch("oprf.tags", added.to_batch())


def _receive_update(channel: Channel, held: TagTable, peer: _Peer) -> TagTable:
    """The sender's table of now. Raises BadMessage unless what came makes the one that it declared."""
    epoch = held.epoch
    whole, removed, added = channel.receive_row("oprf.update", _UPDATE).to_pylist()[0].values()
    base = TagTable.empty(epoch) if whole else held
    if not 0 <= removed <= len(base) or added != peer.rows - len(base) + removed:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    (gone,) = channel.receive_rows("oprf.removed", schema({"tag": epoch.tag_bytes}), rows=removed)
    came = channel.receive_batch("oprf.tags", tables.table_schema(epoch), rows=added)
    current = base.updated(gone, TagTable.from_batch(came, epoch))
    if len(current) != peer.rows or current.fingerprint != peer.table:
        raise BadMessage("The peer's table of tags is not the one that it declared.")
    return current
