"""`oprf` in a room: few ask, many answer. Within a key epoch nothing is asked, evaluated or sent twice.

sender                           receiver
epoch               →            its number and public key; the receiver holds the sender to the first one of an epoch
         protocols.psi.oprf      what is new is asked; the quota is debited, on the disk, before it is answered
"""

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from cleanroom import engines
from cleanroom.answer.epochs import Kept, checked_number, number_at
from cleanroom.answer.notes import hear, reading, take, tell
from cleanroom.answer.side import Side
from cleanroom.private_files import locked
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, index_in, schema, to_batch, to_rows

_TABLE, _VERSION = b"table", b"version"
"""Of the items with their tags: the table that was made with them, and the dataset's version."""

if TYPE_CHECKING:  # the group's backend is loaded where it is used
    from protocols.canary import Canaries
    from protocols.oprf.keys import Epoch, Key, Quota
    from protocols.oprf.questions import Answers
    from protocols.oprf.tables import TagTable


# -- the side that is asked


def send(side: Side, channel: Channel, labels: Bytes | None) -> SenderResult:
    """Answer what the receiver asks, under this epoch's key. Raises ProtocolError where the quota does not suffice, and
    for repeated items; as `side.digests`; NoCluster and MissingKey where a cluster is to make the table."""
    from protocols.psi import oprf

    kept = Kept(side.home, side.contract, number_at(side.contract, dt.datetime.now(dt.UTC))).begin()

    def keep(spent: "Quota") -> None:
        kept.save("quota", spent.to_bytes())

    with locked(kept.folder / "lock"):  # one run begins with what the last one left
        key = _key(side, kept)
        tell(channel, "oprf.epoch", {"epoch": key.epoch, "public": key.public.hex()})
        epoch = _epoch(side, key.epoch, key.public, 0 if labels is None else labels.shape[1])
        earlier, table = _table(side, kept, key, epoch, labels)
        quota = _quota(kept, epoch)
        return oprf.sender(channel, key, table, quota, keep, earlier=earlier, most=_rows_of(side, side.peer))


def _key(side: Side, kept: Kept) -> "Key":
    from protocols.oprf.keys import Key

    if (held := kept.load("key")) is not None:
        return Key.import_secret(held)
    key = Key.generate(side.context, kept.number)
    kept.save("key", key.export_secret())
    return key


def _quota(kept: Kept, epoch: "Epoch") -> "Quota":
    from protocols.oprf.keys import Quota

    held = kept.load("quota")
    return Quota.of(epoch) if held is None else Quota.from_bytes(held)


def _table(side: Side, kept: Kept, key: "Key", epoch: "Epoch",
           labels: Bytes | None) -> "tuple[TagTable | None, TagTable]":  # fmt: skip
    """(the table of the last run, this run's). With labels, which are fresh each time, nothing is kept."""
    from protocols.oprf import tables

    if labels is not None:
        return None, tables.precompute(key, epoch, side.digests(), labels, canaries=_canaries(side))[0]
    earlier, own = _last_table(kept, epoch, side.width)
    version = _version(side)
    if earlier is not None and own is not None and version and own.schema.metadata.get(_VERSION) == version:
        return earlier, earlier
    cluster = engines.cluster(side.home.path) if side.chosen is None else None
    if cluster is None:
        table, own = _made(side, key, epoch, earlier, own)
    else:
        from cleanroom.cluster import oprf_rooms

        table, own = oprf_rooms.made(side, cluster, key, epoch, own)
    _save(kept, "own", own.replace_schema_metadata({_TABLE: table.fingerprint, _VERSION: version}))
    _save(kept, "table", table.to_arrow())
    return earlier, table


def _made(side: Side, key: "Key", epoch: "Epoch", earlier: "TagTable | None",
          own: pa.Table | None) -> "tuple[TagTable, pa.Table]":  # fmt: skip
    """(this run's table; every item with its tag), on this machine: of the last run's what stayed."""
    from protocols.oprf import tables

    items = side.digests()
    if earlier is None or own is None:
        table, tags = tables.precompute(key, epoch, items, None, canaries=_canaries(side))
    else:
        then, tags_then = (to_rows(column.combine_chunks()) for column in own.columns)
        gone, new = index_in(then, items) < 0, index_in(items, then) < 0
        table, more = tables.refresh(earlier, key, items[new], None, removed=tags_then[gone])
        tags = np.empty((len(items), epoch.tag_bytes), np.uint8)
        tags[~new], tags[new] = tags_then[index_in(items[~new], then)], more
    layout = schema({"item": items.shape[1], "tag": epoch.tag_bytes})
    return table, pa.Table.from_batches([to_batch(layout, items, tags)])


def _canaries(side: Side) -> "Canaries":
    return side.canaries("sender", side.width)


def _version(side: Side) -> bytes:
    """What names the items that a table is of, where all of the dataset's are; a crowd's are drawn anew."""
    return b"" if side.chosen is not None else side.manifest.digest.encode()


def _last_table(kept: Kept, epoch: "Epoch", width: int) -> "tuple[TagTable | None, pa.Table | None]":
    """The table of the last run, and each item's tag in it; nothing where a crash came between the two."""
    from protocols.oprf.tables import TagTable

    held, own = _load(kept, "table"), _load(kept, "own")
    if held is None or own is None or own.schema.field("item").type.byte_width != width:
        return None, None
    table = TagTable.from_arrow(held, epoch)
    return (table, own) if own.schema.metadata[_TABLE] == table.fingerprint else (None, None)


# -- the side that asks


def receive(side: Side, channel: Channel, items: Bytes, label_width: int) -> ReceiverResult:
    """Ask about the items that were not asked in this epoch yet, and look all of them up."""
    from protocols.oprf.questions import ask
    from protocols.oprf.tables import TagTable
    from protocols.psi import oprf

    told = hear(channel, "oprf.epoch")
    kept = Kept(side.home, side.contract, checked_number(side.contract, take(told, "epoch", int))).begin()
    with reading():
        public = _first(kept, bytes.fromhex(take(told, "public", str)))
    epoch = _epoch(side, kept.number, public, label_width)
    known = _answers(kept, epoch, items)
    held = None if label_width else _load(kept, "table")
    table = None if held is None else TagTable.from_arrow(held, epoch)
    question = ask(items, canaries=side.canaries("receiver", items.shape[1]), known=known)
    received = oprf.receiver(channel, question, epoch, table, most=_rows_of(side, side.peer))
    _save(kept, "answers", received.answers.to_arrow())
    if not label_width:
        _save(kept, "table", received.table.to_arrow())
    return received.result


def _first(kept: Kept, public: bytes) -> bytes:
    """The key of the epoch: the one that came first. Raises BadMessage where the peer comes with another later."""
    held = kept.load("public")
    if held is None:
        kept.save("public", public)
    elif held != public:
        raise BadMessage("The peer changed its key within the key epoch.", "Ask the peer why; its copy may be damaged.")
    return public


def _answers(kept: Kept, epoch: "Epoch", items: Bytes) -> "Answers | None":
    """What is known of items of this width."""
    from protocols.oprf.questions import Answers

    held = _load(kept, "answers")
    if held is None or held.schema.field("item").type.byte_width != items.shape[1]:
        return None
    return Answers.from_arrow(held, epoch)


# -- both


def _epoch(side: Side, number: int, public: bytes, label_width: int) -> "Epoch":
    """What both sides derive from the contract and the question."""
    from protocols.oprf.keys import Epoch

    sender = next(owner for owner in side.contract.owners if owner != side.contract.match.receiver)
    return Epoch(number, public, _rows_of(side, sender), side.contract.match.quota, label_width)


def _rows_of(side: Side, owner: str) -> int:
    return side.contract.dataset_of(owner).rows


def _save(kept: Kept, name: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    kept.save(name, sink.getvalue().to_pybytes())


def _load(kept: Kept, name: str) -> pa.Table | None:
    content = kept.load(name)
    return None if content is None else pa.ipc.open_stream(content).read_all()
