"""Runs that go on from the last one of their room, where its contract allows it: what did not change is not sent again.

sender                          receiver       `dh`, without labels: these are fresh each time
              ←   dh.kept       which state it has
dh.goes-on    →                 whether both go on from it; if not, a new epoch begins, with a fresh scalar

owner                           operator       `keyed`
keyed.kept    →                 which state of this question's columns it could update
              ←   keyed.goes-on whether it holds just these states, of both owners; if not, all rows are sent

Nothing kept is needed for a result. Whatever is lost, of another epoch, question or run, or at one side only, as after
a crash, makes a whole run, which leaves states that fit again. What was tampered with is refused.
"""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cleanroom.answer.epochs import MOST_BYTES, Kept, number_at
from cleanroom.answer.notes import hear, take, tell
from cleanroom.answer.side import Side
from cleanroom.errors import BadData
from cleanroom.private_files import locked
from protocols.channel import Channel
from protocols.errors import BadMessage
from protocols.psi import keyed, keyed_updates
from protocols.psi import tokens as bulk
from protocols.psi.keyed_updates import State
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, Indices, to_column, to_rows

ANSWERED_RUNS = 3
"""In an epoch of `dh` the receiver has as many rows answered as it may have, so many times over."""
MOST_COLUMN_BYTES = 256 << 20
"""Of a dataset's columns that an operator holds in memory and keeps: slots of more rows are sent anew in each run."""
_SENT_VERSION = b"cleanroom/keyed-sent/1"

if TYPE_CHECKING:  # the group's backend is loaded where it is used
    from protocols.psi.dh_update import ReceiverState, SenderState

    _State = TypeVar("_State", SenderState, ReceiverState)


def _kept(side: Side) -> Kept:
    return Kept(side.home, side.contract, number_at(side.contract, dt.datetime.now(dt.UTC))).begin()


def _save(side: Side, kept: Kept, name: str, content: bytes) -> None:
    """Keep it, unless the dataset changed during the run: what somebody wants forgotten may be in it."""
    if side.home.vault.manifest(side.dataset.name).digest == side.manifest.digest:
        kept.save(name, content)
    else:
        kept.remove(name)


# -- dh


def receive(side: Side, channel: Channel, items: Bytes) -> ReceiverResult:
    """The receiver's part of `dh`, of members without labels: as `protocols.psi.dh.receiver`."""
    from protocols.psi import dh_update

    kept = _kept(side)
    state = _state(kept, dh_update.ReceiverState, items.shape[1])
    tell(channel, "dh.kept", {"epoch": state.epoch.hex(), "generation": state.generation})
    if not take(hear(channel, "dh.goes-on"), "goes_on", bool):
        state = dh_update.ReceiverState()
    most = side.contract.dataset_of(side.peer).rows
    canaries = side.canaries("receiver", items.shape[1])
    result, following = dh_update.receiver(channel, items, state, canaries=canaries, most=most)
    _save(side, kept, "state", following.export_secret())
    return result


def send(side: Side, channel: Channel, items: Bytes) -> SenderResult:
    """The sender's part of the same."""
    from protocols.psi import dh_update

    kept, most = _kept(side), side.contract.dataset_of(side.peer).rows
    with locked(kept.folder / "lock"):
        state, told = _state(kept, dh_update.SenderState, items.shape[1]), hear(channel, "dh.kept")
        theirs = take(told, "epoch", str), take(told, "generation", int)
        goes_on = bool(state.generation) and theirs == (state.epoch.hex(), state.generation)
        goes_on = goes_on and state.answered <= (ANSWERED_RUNS - 1) * most
        kept.remove("state")  # a state serves once: what it answers counts, whatever becomes of this run
        tell(channel, "dh.goes-on", {"goes_on": goes_on})
        result, following = dh_update.sender(
            channel,
            items,
            state if goes_on else dh_update.SenderState(),
            canaries=side.canaries("sender", items.shape[1]),
            most=most,
            most_answered=ANSWERED_RUNS * most,
        )
        _save(side, kept, "state", following.export_secret())
    return result


def _state(kept: Kept, kind: "type[_State]", width: int) -> "_State":
    """The state of the last run, of digests of this width; else an empty one. Raises BadData where it was changed."""
    held = kept.load("state")
    state = kind() if held is None else kind.load_secret(held)
    return state if state.items.shape[1] == width else kind()


# -- keyed


def may_be_kept(rows: int) -> bool:
    """Whether so many tokens are not too many to be kept: of more, nothing is gathered, and each run sends all."""
    return rows * keyed.TOKEN_BYTES <= MOST_BYTES


@dataclass(frozen=True)
class Sent:
    """What an owner sent in its last run: digests uint8[n, 16], ascending, what stood in each column uint8[n, w], which
    rows matched.

    session: names the state that the operator has of it; matched: bool[n], all false at who does not receive.
    """

    session: bytes
    items: Bytes
    columns: Mapping[str, Bytes]
    matched: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, session: bytes, items: Bytes, columns: Mapping[str, Bytes], matched: Indices) -> Self:
        """Of rows as they are in the vault; columns: `cells` or `numbers` of each; matched: rows."""
        flags = np.zeros(len(items), np.bool_)
        flags[matched] = True
        order, begins = _ascending(items)
        ordered = {name: column[order] for name, column in columns.items()}
        return cls(session, begins, ordered, flags[order])

    def since(self, items: Bytes, columns: Mapping[str, Bytes]) -> "Change":
        """What it takes to the rows as they are now. Raises ProtocolError for repeated digests."""
        order, begins = _ascending(items)
        known = np.full(len(items), -1, np.int64)
        for same in bulk.joined([bulk.words(self.items)], [bulk.words(begins)]):
            known[order[same.right]] = same.left
        stays = np.flatnonzero(known >= 0)
        before = known[stays]
        changed = np.zeros(len(stays), np.bool_)
        for name, column in columns.items():
            changed |= (column[stays] != self.columns[name][before]).any(axis=1)
        gone = np.ones(len(self.items), np.bool_)
        gone[before[~changed]] = False
        added = np.union1d(np.flatnonzero(known < 0), stays[changed])
        return Change(len(self.items), self.items[gone], added, np.append(self.matched, False)[known])

    def to_bytes(self) -> bytes:
        """To be sealed. It names its version."""
        named = {"item": self.items, "matched": self.matched.view(np.uint8)[:, None], **self.columns}
        table = pa.Table.from_arrays([to_column(rows) for rows in named.values()], names=list(named))
        return _stream([table.replace_schema_metadata({b"version": _SENT_VERSION, b"session": self.session.hex()})])

    @classmethod
    def from_bytes(cls, content: bytes) -> Self:
        """The reverse. Raises BadData for another version."""
        (table,) = _tables(content, 1)
        told = table.schema.metadata or {}
        if told.get(b"version") != _SENT_VERSION:
            raise BadData(
                "What was kept of the last run is of an unknown version.", "Remove it: all is sent anew then."
            )
        rows = {name: to_rows(table.column(name).combine_chunks()) for name in table.column_names}
        items, matched = rows.pop("item"), rows.pop("matched")[:, 0].view(np.bool_)
        session = bytes.fromhex(told[b"session"].decode())
        return cls(session, items, rows, matched)


@dataclass(frozen=True)
class Change:
    """Digests to be removed uint8[k, 16], rows to be added, and which rows matched before: bool[n].

    A row that changed is in both. had: how many rows were sent before.
    """

    had: int
    removed: Bytes
    added: Indices
    matched: npt.NDArray[np.bool_]

    def matched_now(self, gained: Indices, lost: Indices) -> Indices:
        """The rows that match now. Raises BadMessage for gains that matched before, or losses that did not."""
        if self.matched[gained].any() or not self.matched[lost].all():
            raise BadMessage("The operator named rows that were not sent.")
        flags = self.matched.copy()
        flags[gained], flags[lost] = True, False
        return np.flatnonzero(flags)


def _ascending(items: Bytes) -> tuple[Indices, Bytes]:
    """The order of the digests' first 16 bytes, and these in order."""
    begins = np.ascontiguousarray(items[:, : keyed.TOKEN_BYTES])
    order = bulk.ascending(begins)
    return order, bulk.take(begins, order)


def cells(codes: Indices) -> Bytes:
    """uint8[n, 1]: a category or bucket, whose codes are below 256 (`rooms.terms`), as `Sent` compares it."""
    return codes.astype(np.uint8)[:, None]


def numbers(amounts: Indices) -> Bytes:
    """uint8[n, 8]: an amount, as `Sent` compares it."""
    return np.ascontiguousarray(amounts, "<i8").view(np.uint8).reshape(-1, 8)


def last_sent(side: Side, channel: Channel, columns: Mapping[str, Bytes]) -> Sent | None:
    """What the operator still holds of this owner, to be updated; None where all rows are to be sent."""
    held = _kept(side).load("sent") if may_be_kept(side.manifest.rows) else None
    sent = None if held is None else Sent.from_bytes(held)
    if sent is not None and sent.columns.keys() != columns.keys():
        sent = None
    tell(channel, "keyed.kept", {"session": "" if sent is None else sent.session.hex()})
    goes_on = take(hear(channel, "keyed.goes-on"), "goes_on", bool)
    if goes_on and sent is None:
        raise BadMessage("The peer goes on from a run that this side does not know.")
    return sent if goes_on else None


def keep_sent(side: Side, sent: Sent) -> None:
    """Keep it for the next run."""
    _save(side, _kept(side), "sent", sent.to_bytes())


def forget_sent(side: Side) -> None:
    """Keep nothing of what was sent."""
    _kept(side).remove("sent")


def held_states(side: Side, channels: Mapping[str, Channel],
                widths: Mapping[str, Mapping[str, int]]) -> dict[str, State] | None:  # fmt: skip
    """What the operator holds, by dataset, where both owners can update it; None where all rows are to be sent.

    widths: dataset → its columns' widths in this question.
    """
    held, datasets = _kept(side).load("held"), side.contract.datasets
    tables = [] if held is None else _tables(held, len(datasets))
    states = {each.name: State.from_table(table) for each, table in zip(datasets, tables, strict=False)}
    notes = {each.name: take(hear(channels[each.owner], "keyed.kept"), "session", str) for each in datasets}
    goes_on = all(
        name in states
        and states[name].session.hex() == named
        and list(_widths(states[name]).items()) == list(widths[name].items())  # they travel in this order
        for name, named in notes.items()
    )
    for channel in channels.values():
        tell(channel, "keyed.goes-on", {"goes_on": goes_on})
    return states if goes_on else None


def keep_states(side: Side, states: Mapping[str, State], widths: Mapping[str, Mapping[str, int]]) -> None:
    """Keep both datasets for the next run, in one file, since an update is of two states of one run. Where columns or
    all were too large to be held, nothing is kept."""
    if all(name in states and _widths(states[name]) == widths[name] for name in widths):
        _kept(side).save("held", _stream([states[each.name].to_table() for each in side.contract.datasets]))
    else:
        _kept(side).remove("held")


def send_matched(side: Side, channel: Channel, changes: Mapping[str, keyed_updates.Update]) -> None:
    """Tell the receiver what came to match and what ceased to."""
    left, right = (changes[name] for name in (side.contract.match.left, side.contract.match.right))
    keyed_updates.send_changes(channel, *keyed_updates.changes(left, right))


def _widths(state: State) -> dict[str, int]:
    return {name: rows.shape[1] for name, rows in state.columns.items()}


def _stream(tables: list[pa.Table]) -> bytes:
    sink = pa.BufferOutputStream()
    for table in tables:
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def _tables(content: bytes, count: int) -> list[pa.Table]:
    source = pa.BufferReader(content)
    return [pa.ipc.open_stream(source).read_all() for _ in range(count)]
