"""Updates of `keyed` while the room key stays: an owner sends what changed, the operator merges it into what it holds.

Adding or removing p percent of a side costs about p percent of a run. Beyond a run's, the operator learns which tokens
came, went or changed between two versions, and when. What each message reveals to the operator:

    keyed.update     owner →   which state is to be changed, and how many tokens go and come
    keyed.removed    owner →   the tokens that go, ordered by themselves
    keyed.rows       owner →   the tokens that come, ordered by themselves, with their columns (changed rows do both)
    keyed.lined-up   → owner   and keyed.canaries owner → as in a run: canaries stay what they were
    keyed.gained     → owner   (to the receiver alone) tokens that match now and did not
    keyed.lost       → owner   (to the receiver alone) tokens that matched and do not now
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from protocols import canary
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError
from protocols.psi import keyed
from protocols.psi import tokens as bulk
from protocols.psi.keyed import Columns, Received
from protocols.psi.tokens import Pair
from protocols.rows import Bytes, Indices, index_in, schema, to_batch, to_column, to_rows

VERSION = b"cleanroom/keyed-state/1"
_SIEVE_BITS = 20
_UPDATE = schema({"session": 32, "counts": 16})
_TOKENS = schema({"token": keyed.TOKEN_BYTES})


# -- what the operator keeps


@dataclass(frozen=True)
class State:
    """One dataset as an operator holds it: tokens ascending, canaries among them, and their columns uint8[n, width].

    session: names the session which brought it here (`Channel.session`); the owner keeps that too.
    """

    session: bytes
    tokens: Pair
    columns: Mapping[str, Bytes]

    def __len__(self) -> int:
        return len(self.tokens[0])

    def batches(self, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Its rows as they would have come: token, then the columns."""
        of = keyed.layout({name: column.shape[1] for name, column in self.columns.items()})
        for start in range(0, len(self), rows):
            part = slice(start, start + rows)
            token = bulk.to_bytes(self.tokens[0][part], self.tokens[1][part])
            yield to_batch(of, token, *(column[part] for column in self.columns.values()))

    def to_table(self) -> pa.Table:
        """To be stored where nobody but the operator reads. It names its version and the session."""
        named = {"token": bulk.to_bytes(*self.tokens), **self.columns}
        table = pa.Table.from_arrays([to_column(rows) for rows in named.values()], names=list(named))
        return table.replace_schema_metadata({b"version": VERSION, b"session": self.session.hex().encode()})

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """The reverse of `to_table`. Raises ProtocolError for another version, or tokens out of order."""
        told = table.schema.metadata or {}
        if told.get(b"version") != VERSION:
            raise ProtocolError("The kept tokens are of an unknown version.", "Have both owners send all rows again.")
        rows = {name: _gathered(table.column(name)) for name in table.column_names}
        tokens = bulk.words(rows.pop("token"))
        if not bulk.is_ascending(*tokens):
            raise ProtocolError("The kept tokens are damaged.", "Have both owners send all rows again.")
        return cls(bytes.fromhex(told[b"session"].decode()), tokens, rows)


def _gathered(column: pa.ChunkedArray) -> Bytes:
    return np.concatenate([np.empty((0, column.type.byte_width), np.uint8), *map(to_rows, column.chunks)])


def keep(channel: Channel, received: Received, columns: Mapping[str, int]) -> State:
    """The rows of a whole run, as they stream, to be kept for updates. Raises BadMessage as reading them does."""
    high, low = np.empty(received.rows, np.uint64), np.empty(received.rows, np.uint64)
    kept = {name: np.empty((received.rows, width), np.uint8) for name, width in columns.items()}
    start = 0
    for batch, tokens in received.parts:
        part = slice(start, start := start + batch.num_rows)
        high[part], low[part] = tokens
        for name in columns:
            kept[name][part] = to_rows(batch.column(name))
    return State(channel.session, (high, low), kept)


@dataclass(frozen=True)
class Update:
    """What an owner's update made of its dataset; removed, added: its tokens, ascending."""

    before: State
    after: State
    removed: Pair
    added: Pair

    def had(self, tokens: Pair) -> npt.NDArray[np.bool_]:
        """Which of the tokens stood here before."""
        return _stand(tokens, self.before.tokens)

    def has(self, tokens: Pair) -> npt.NDArray[np.bool_]:
        """Which of the tokens stand here now."""
        return _stand(tokens, self.after.tokens)


def _stand(tokens: Pair, among: Pair) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = bulk.index(*tokens, *among) >= 0
    return found


# -- the owner


def owner(
    channel: Channel,
    key: bytes,
    session: bytes,
    removed: Bytes,
    added: Bytes,
    columns: Mapping[str, int],
    values: Columns,
    *,
    canaries: Canaries,
) -> bytes:
    """Send what changed since the session named `session`; returns the name of the state that the operator has now.

    removed, added: distinct digests uint8[n, 16 or 32]; a row whose columns changed stands in both. columns, values: as
    for `keyed.owner`, of the rows of `added`. Raises ProtocolError for repeated digests, PeerAborted where the operator
    holds another state: then all rows must be sent again.
    """
    going, coming = keyed.identity_tokens(key, removed), keyed.identity_tokens(key, added)
    orders = bulk.ascending(going), bulk.ascending(coming)
    counts = np.array([[len(going), len(coming)]], "<i8").view(np.uint8)
    channel.send_batch("keyed.update", to_batch(_UPDATE, np.frombuffer(session, np.uint8)[None], counts))
    keyed.send_rows(channel, "keyed.removed", going, orders[0], {}, values)
    keyed.send_rows(channel, "keyed.rows", coming, orders[1], columns, values)
    keyed.name_canaries(channel, keyed.identity_tokens(key, canaries.rows))
    return channel.session


def receive_changes(channel: Channel, key: bytes, items: Bytes, had: int) -> tuple[Indices, Indices]:
    """The receiver's rows that match now and did not, and those that do no more: rows of its digests `items` as they
    are now, ascending. had: how many rows it had before. Raises BadMessage for gains that are not of its rows."""
    gained, lost = _told(channel, key, "keyed.gained", len(items)), _told(channel, key, "keyed.lost", had)
    rows = _rows_of(items, gained)
    if len(rows) != len(gained):
        raise BadMessage("The operator named rows that were not sent.")
    return rows, _rows_of(items, lost)


def _rows_of(items: Bytes, wanted: Bytes) -> Indices:
    """The rows, ascending, whose digests begin with one of the few uint8[k, 16]. Most rows are sieved out first."""
    sieve = np.zeros(1 << _SIEVE_BITS, np.bool_)
    sieve[_prefix(wanted)] = True
    likely = np.flatnonzero(sieve[_prefix(items)])
    return likely[index_in(items[likely, : keyed.TOKEN_BYTES], wanted) >= 0]


def _prefix(items: Bytes) -> npt.NDArray[np.uint32]:
    begins: npt.NDArray[np.uint32] = np.ascontiguousarray(items[:, :4]).view("<u4")[:, 0]
    return begins >> np.uint32(32 - _SIEVE_BITS)


def _told(channel: Channel, key: bytes, name: str, most: int) -> Bytes:
    """The digests' first 16 bytes of the tokens in a message."""
    parts = [to_rows(batch.column(0)) for batch, _ in keyed.rows_of(channel, name, {}, most)]
    return keyed.identities(key, np.concatenate([np.empty((0, keyed.TOKEN_BYTES), np.uint8), *parts]))


# -- the operator


def operator(channel: Channel, state: State, *, most: int = keyed.MOST_ROWS) -> Update:
    """Receive an owner's update of what is held of it. most: the rows that the contract allows, without canaries.

    Raises ProtocolError where the owner means another state, BadMessage for an update that does not fit it.
    """
    batch = channel.receive_row("keyed.update", _UPDATE)
    if to_rows(batch.column(0)).tobytes() != state.session:
        raise ProtocolError("The operator holds another state than the one updated.", "Send all rows again.")
    removed, added = to_rows(batch.column(1)).view("<i8")[0].tolist()
    if not (0 <= removed <= len(state) and added >= 0 and len(state) - removed + added <= most + canary.COUNT):
        raise BadMessage("The peer's declared number of rows is not allowed.")
    gone = keep(channel, keyed.counted(channel, "keyed.removed", {}, removed), {})
    widths = {name: rows.shape[1] for name, rows in state.columns.items()}
    came = keep(channel, keyed.counted(channel, "keyed.rows", widths, added), widths)
    return Update(state, _merged(channel.session, state, gone.tokens, came), gone.tokens, came.tokens)


def _merged(session: bytes, state: State, removed: Pair, added: State) -> State:
    """The state without the removed tokens and with the added ones. Raises BadMessage where they do not fit it."""
    gone = bulk.index(*removed, *state.tokens)
    here = bulk.index(*added.tokens, *state.tokens)
    stays = np.ones(len(state), np.bool_)
    stays[gone[gone >= 0]] = False
    if (gone < 0).any() or stays[here[here >= 0]].any():
        raise BadMessage("The peer's update does not fit what it sent before.")
    old: list[npt.NDArray[Any]] = [*state.tokens, *state.columns.values()]
    kept = [values[stays] for values in old]
    new: list[npt.NDArray[Any]] = [*added.tokens, *added.columns.values()]
    places = bulk.places(*added.tokens, kept[0], kept[1])
    merged = [np.insert(values, places, rows, axis=0) for values, rows in zip(kept, new, strict=True)]
    return State(session, (merged[0], merged[1]), dict(zip(state.columns, merged[2:], strict=True)))


def changes(left: Update, right: Update) -> tuple[Pair, Pair]:
    """(gained, lost): tokens that stand on both sides now and did not, and the reverse; ascending."""
    parts = (left.removed, left.added, right.removed, right.added)
    touched = bulk.union(*parts)
    before = left.had(touched) & right.had(touched)
    after = left.has(touched) & right.has(touched)
    gained, lost = after & ~before, before & ~after
    return (touched[0][gained], touched[1][gained]), (touched[0][lost], touched[1][lost])


def send_changes(channel: Channel, gained: Pair, lost: Pair) -> None:
    """Tell the receiver which of its tokens match now and did not, and the reverse."""
    channel.send_batch("keyed.gained", to_batch(_TOKENS, bulk.to_bytes(*gained)))
    channel.send_batch("keyed.lost", to_batch(_TOKENS, bulk.to_bytes(*lost)))
