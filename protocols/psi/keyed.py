"""Matching at a neutral operator: data owners share a room key that the operator lacks, and send it tokens.

Symmetric cryptography only. The operator learns sizes, which tokens several have, and how often each value token
occurs; no identity and no label of a value. Any owner together with the operator opens all tokens: the contract says
so. What each message reveals to the operator:

    keyed.size       owner →   the number of rows, canaries included
    keyed.rows       owner →   tokens, ordered by themselves, with their columns' tokens and ciphertexts
    keyed.lined-up   → owner   (to the owner) that matching is done
    keyed.canaries   owner →   which tokens were dummies
    keyed.matched    → owner   (to the receiver alone) which of its rows matched

Where a person may have several identities, a row has a token for each, under a key for each; where it lacks one, a
token that nobody else has, the same in every run of a room. So the operator learns, beside the above, how many tokens
both sides share by each of them, and which of these stand in one row; not which rows lack what.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols import canary
from protocols.canary import Canaries
from protocols.channel import FRAME_BYTES, Channel
from protocols.errors import BadMessage
from protocols.psi import tokens as bulk
from protocols.psi.tokens import Items, Pair
from protocols.psi.waterfall import Identities
from protocols.psi.waterfall import _filled as _without_gaps
from protocols.rows import Bytes, Indices, check_count, schema, to_batch, to_rows

TOKEN_BYTES = bulk.BYTES
VALUE_BYTES = 8
MOST_ROWS = 1 << 32
_ROOM_LABEL = b"cleanroom/keyed-room/1"
_IDENTITY_LABEL = "cleanroom/keyed-identity/1"
_LACKING_LABEL = "cleanroom/keyed-lacking/1"
_VALUE_LABEL = "cleanroom/keyed-value/1/"
_CANARY_LABEL = "cleanroom/keyed-canary/1"
_SEAL_VERSION = b"\1"
_SALT_BYTES = 32
_BATCH = 65_536
_MOST_AT_ONCE = 1 << 27
"""Tokens that an owner holds at once: of more rows than this, ranges of half as many, one after the other."""
_TOKENS = schema({"token": TOKEN_BYTES})
_SIZE = pa.schema([pa.field("rows", pa.int64(), nullable=False)])
_POSITIONS = pa.schema([pa.field("position", pa.int64(), nullable=False)])


Columns = Callable[[Indices], Mapping[str, Bytes]]
"""Row numbers → each column's rows uint8[k, width] for just these, so that ciphertexts can be made as they are sent."""

# -- keys and tokens


def room_key(exchange_secret: bytes, peer_exchange_public: bytes, contract_hash: bytes) -> bytes:
    """The 32-byte key that both data owners, and nobody else, derive for a contract: X25519 (RFC 7748), then HKDF.

    Raises BadMessage for a peer's key of low order.
    """
    secret = X25519PrivateKey.from_private_bytes(exchange_secret)
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(peer_exchange_public))
    except ValueError as error:
        raise BadMessage("The peer's exchange key is not valid.") from error
    publics = sorted([secret.public_key().public_bytes_raw(), peer_exchange_public])
    return HKDF(SHA256(), 32, salt=contract_hash, info=_ROOM_LABEL + b"".join(publics)).derive(shared)


def subkey(key: bytes, label: str, salt: bytes = b"") -> bytes:
    """A 32-byte key for one purpose: HKDF-SHA256 (RFC 5869) of a uniform key."""
    return HKDF(SHA256(), 32, salt=salt or None, info=label.encode()).derive(key)


def canary_secret(key: bytes) -> bytes:
    """The 32 bytes from which both owners draw canaries."""
    return subkey(key, _CANARY_LABEL)


def identity_tokens(key: bytes, items: Bytes) -> Bytes:
    """uint8[n, 16]: AES-256 over the first 128 bits of digests uint8[n, 16 or 32].

    One block an item makes ECB what is wanted: a permutation under a secret key, so that equal items, and only these,
    have equal tokens, and a token tells nothing else.
    """
    return bulk.encrypted(subkey(key, _IDENTITY_LABEL), items)


def identities(key: bytes, tokens: Bytes) -> Bytes:
    """The reverse of `identity_tokens`: the digests' first 16 bytes."""
    return bulk.decrypted(subkey(key, _IDENTITY_LABEL), tokens)


def further_tokens(identities: int) -> dict[str, int]:
    """The columns, with their widths, of tokens by the identities after the first of so many: `token#1`, and so on.

    No column of a dataset has such a name, since none is without a dot.
    """
    return {f"token#{place}": TOKEN_BYTES for place in range(1, identities)}


def value_tokens(key: bytes, column: str, codes: Indices) -> Bytes:
    """uint8[n, 8]: what stands for the codes int64[n] of a category or bucket column; every column has its own key.

    Owners who want values to be compared across datasets pass the same column name.
    """
    blocks = np.zeros((len(codes), 2), "<i8")
    blocks[:, 0] = codes
    return bulk.encrypted(subkey(key, _VALUE_LABEL + column), blocks.view(np.uint8))[:, :VALUE_BYTES].copy()


def seal(key: bytes, label: str, content: bytes) -> bytes:
    """`content` for whoever holds `key`: AES-256-GCM under a fresh subkey of 32 random bytes, so that no state, not
    even a restored one, repeats a nonce."""
    salt = os.urandom(_SALT_BYTES)
    return _SEAL_VERSION + salt + AESGCM(subkey(key, label, salt)).encrypt(bytes(12), content, None)


def open_sealed(key: bytes, label: str, sealed: bytes) -> bytes:
    """The reverse of `seal`. Raises BadMessage for another version, key or label, or changed bytes."""
    version, salt, rest = sealed[:1], sealed[1 : 1 + _SALT_BYTES], sealed[1 + _SALT_BYTES :]
    if version != _SEAL_VERSION:
        raise BadMessage("What the peer sealed is of an unknown version.")
    try:
        return AESGCM(subkey(key, label, salt)).decrypt(bytes(12), rest, None)
    except (InvalidTag, ValueError) as error:
        raise BadMessage("What the peer sealed does not open.") from error


# -- the owner


@dataclass(frozen=True)
class Sent:
    """What an owner keeps of its rows as sent: position → row; canaries have rows from `rows` on."""

    order: Indices
    rows: int


def owner(
    channel: Channel,
    key: bytes,
    items: Bytes | Items,
    columns: Mapping[str, int],
    values: Columns,
    *,
    canaries: Canaries,
    fill: Mapping[str, bytes] | None = None,
) -> Sent:
    """Send the tokens of distinct digests uint8[n, 16 or 32] with their columns, in the order of the tokens.

    columns: name → width in bytes; values: gives them for rows asked; fill: a canary's value by column, else zeros.
    Returns once the operator has lined up the datasets and the canaries are named. Raises ProtocolError for repeated
    items, PeerAborted. Of items in parts 24 bytes a row are held, of rows above 2^27 eight.
    """
    held = items if isinstance(items, Items) else Items(len(items), lambda: [items])
    own, count = subkey(key, _IDENTITY_LABEL), held.rows + canary.COUNT
    ranges = 1 if count <= _MOST_AT_ONCE else -(-2 * count // _MOST_AT_ONCE)
    tokens = bulk.encrypted_in_ranges(own, held, canaries.rows, ranges)
    filled = _filled(values, held.rows, columns, fill or {})
    return _send(channel, held.rows, tokens, bulk.encrypted(own, canaries.rows), columns, filled)


def owner_of_several(channel: Channel, key: bytes, side: str, persons: Bytes, identities: Sequence[Identities],
                     columns: Mapping[str, int], values: Columns, *, canaries: Canaries,
                     fill: Mapping[str, bytes] | None = None) -> Sent:  # fmt: skip
    """As `owner`, for rows that may have any of several identities, in the order in which they are to be tried.

    side: the owner's name, which the other has not; persons: distinct digests uint8[n, 16 or 32], one for each row,
    whatever it lacks; canaries: of the first identity; columns, values: without the tokens of the others.
    """
    dummies = np.frombuffer(os.urandom(TOKEN_BYTES * canary.COUNT), np.uint8).reshape(canary.COUNT, TOKEN_BYTES)
    widths = further_tokens(len(identities))
    first, *further = (
        _tokens_by(key, side, persons, each, dummies if place else canaries.rows)
        for place, each in enumerate(identities)
    )
    filled = _filled(values, len(persons), columns, fill or {})

    def with_tokens(rows: Indices) -> Mapping[str, Bytes]:
        tokens = {name: bulk.take(column, rows) for name, column in zip(widths, further, strict=True)}
        return tokens | dict(filled(rows))

    n = len(persons)
    return _send(channel, n, [(first, None)], first[n:], widths | dict(columns), with_tokens)


def _tokens_by(key: bytes, side: str, persons: Bytes, identities: Identities, dummies: Bytes) -> Bytes:
    """Tokens under a key for this kind of identity, then those of `dummies`.

    A row without one, or with that of an earlier row, has its person's under a key of this side alone. A random one
    would do for a single run; in the room's next it would be another, and say who lacks that identity.
    """
    items = _without_gaps(identities, bytes)  # zeros, which no digest is
    tokens = bulk.encrypted(subkey(key, f"{_IDENTITY_LABEL}/{identities.kind}"), items, dummies)
    lacking = np.flatnonzero(~items.any(axis=1))
    own = subkey(key, f"{_LACKING_LABEL}/{identities.kind}", side.encode())
    tokens[lacking] = bulk.encrypted(own, persons[lacking])
    return tokens


def _send(channel: Channel, n: int, ranges: Iterable[tuple[Bytes, Indices | None]], dummies: Bytes,
          columns: Mapping[str, int], values: Columns) -> Sent:  # fmt: skip
    """n rows' tokens and the canaries' after them, with the `values` of all; ranges: as `encrypted_in_ranges`."""
    channel.send_batch("keyed.size", _numbers(_SIZE, np.array([n + len(dummies)], np.int64)))
    orders = []
    for tokens, rows in ranges:
        order = bulk.ascending(tokens)
        _send_part(channel, "keyed.rows", tokens, order, rows, columns, values)
        orders.append(order if rows is None else rows[order])
    channel.end("keyed.rows")
    name_canaries(channel, dummies)
    return Sent(orders[0] if len(orders) == 1 else np.concatenate(orders), n)


def _filled(values: Columns, n: int, columns: Mapping[str, int], fill: Mapping[str, bytes]) -> Columns:
    """`values` for rows below n, and for those from n on what fills their columns."""

    def filled(rows: Indices) -> Mapping[str, Bytes]:
        real = rows < n
        given = values(rows[real])
        if real.all():
            return given
        merged = {name: np.empty((len(rows), width), np.uint8) for name, width in columns.items()}
        for name, cells in merged.items():
            cells[real], cells[~real] = given[name], np.frombuffer(fill.get(name, bytes(columns[name])), np.uint8)
        return merged

    return filled


def send_rows(
    channel: Channel, name: str, tokens: Bytes, order: Indices, columns: Mapping[str, int], values: Columns
) -> None:
    """The message `name`: the tokens in this order, with their columns."""
    _send_part(channel, name, tokens, order, None, columns, values)
    channel.end(name)


def _send_part(channel: Channel, name: str, tokens: Bytes, order: Indices, rows: Indices | None,
               columns: Mapping[str, int], values: Columns) -> None:  # fmt: skip
    """Some of a message. rows: of each token, where that is not its place."""
    step = max(1, min(_BATCH, FRAME_BYTES // (TOKEN_BYTES + sum(columns.values()))))
    for start in range(0, len(order), step):
        places = order[start : start + step]
        given = values(places if rows is None else rows[places]) if columns else {}
        channel.send(name, to_batch(layout(columns), bulk.take(tokens, places), *(given[each] for each in columns)))


def name_canaries(channel: Channel, dummies: Bytes) -> None:
    """Once the operator has lined up the datasets, tell it which tokens uint8[6, 16] were dummies, and confirm."""
    channel.receive_batch("keyed.lined-up", _SIZE, rows=0)
    channel.send_batch("keyed.canaries", to_batch(_TOKENS, dummies))
    channel.confirm()


def receive_matched(channel: Channel, sent: Sent) -> Indices:
    """The receiver's rows that matched, ascending. Raises BadMessage for positions that are not distinct rows of it."""
    positions = receive_positions(channel, sent.rows)
    rows: Indices = np.sort(sent.order[positions])
    if (np.diff(rows) == 0).any() or (rows >= sent.rows).any():
        raise BadMessage("The operator named rows that were not sent.")
    return rows


def receive_positions(channel: Channel, rows: int) -> Indices:
    """Where in what was sent those rows stand; rows: how many were sent, canaries not counted. Raises BadMessage."""
    batch = channel.receive_batch("keyed.matched", _POSITIONS, rows=rows)
    positions = np.empty(0, np.int64) if batch is None else _values(batch)
    if len(positions) and (positions.min() < 0 or positions.max() >= rows + canary.COUNT):
        raise BadMessage("The operator named rows that were not sent.")
    return positions


def _numbers(of: pa.Schema, values: Indices) -> pa.RecordBatch:
    """A batch of one column."""
    return pa.record_batch([_number_column(values)], schema=of)


def _number_column(values: Indices) -> pa.Array:
    """Whole numbers as int64; pa.array would load pandas."""
    return pa.Array.from_buffers(pa.int64(), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def _values(batch: pa.RecordBatch) -> Indices:
    column = batch.column(0)
    values: Indices = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column)]
    return values


def layout(columns: Mapping[str, int]) -> pa.Schema:
    """A row on the wire: its token, then its columns of these widths."""
    return schema({"token": TOKEN_BYTES, **columns})


# -- the operator


@dataclass(frozen=True)
class Received:
    """rows: as declared, canaries included; parts: the batches as they come, each with its tokens as words."""

    rows: int
    parts: Iterator[tuple[pa.RecordBatch, Pair]]

    @property
    def batches(self) -> Iterator[pa.RecordBatch]:
        """token fixed_size_binary(16), then the columns, ascending."""
        return (batch for batch, _ in self.parts)


def operator(channel: Channel, columns: Mapping[str, int], *, most: int = MOST_ROWS) -> Received:
    """Receive an owner's rows, as they stream. most: the rows that the contract allows, canaries not counted.

    Raises BadMessage (also while the batches are read) for another number or order of rows than declared.
    """
    rows = int(_values(channel.receive_row("keyed.size", _SIZE))[0])
    if not canary.COUNT <= rows <= most + canary.COUNT:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return counted(channel, "keyed.rows", columns, rows)


def counted(channel: Channel, name: str, columns: Mapping[str, int], rows: int) -> Received:
    """The rows of a message, which must be as many as declared."""

    def parts() -> Iterator[tuple[pa.RecordBatch, Pair]]:
        received = 0
        for batch, tokens in rows_of(channel, name, columns, rows):
            received += batch.num_rows
            yield batch, tokens
        check_count(received, rows)

    return Received(rows, parts())


def rows_of(
    channel: Channel, name: str, columns: Mapping[str, int], most: int
) -> Iterator[tuple[pa.RecordBatch, Pair]]:
    """The batches of a message of tokens with their columns, each with its tokens as words.

    Raises BadMessage unless the tokens ascend.
    """
    before = (-1, -1)
    for batch in channel.receive(name, layout(columns), rows=most):
        high, low = bulk.words(to_rows(batch.column(0)))
        if before >= (int(high[0]), int(low[0])) or not bulk.is_ascending(high, low):
            raise BadMessage("The peer's rows are not in the order of their tokens.")
        before = int(high[-1]), int(low[-1])
        yield batch, (high, low)


def named_canaries(channel: Channel) -> Bytes:
    """Tell an owner that matching is done, and learn which of its tokens were dummies: uint8[6, 16], common first."""
    channel.end("keyed.lined-up")
    (named,) = channel.receive_rows("keyed.canaries", _TOKENS, rows=canary.COUNT)
    channel.confirm()
    return named


@dataclass(frozen=True)
class LinedUp:
    """Tokens of both sides as words, ascending, with each one's position in what the left side sent."""

    tokens: Pair
    positions: Indices


def line_up(left: Received, right: Received) -> LinedUp:
    """Which rows of `left` stand in `right` too. Streams both: holds a batch of each, and the matches.

    Raises BadMessage as reading the batches does.
    """
    most, count = min(left.rows, right.rows), 0
    high, low, positions = np.empty(most, np.uint64), np.empty(most, np.uint64), np.empty(most, np.int64)
    for found in bulk.joined(*((tokens for _, tokens in side.parts) for side in (left, right))):
        part = slice(count, count := count + len(found.left))
        high[part], low[part], positions[part] = found.high, found.low, found.left
    return LinedUp((high[:count], low[:count]), positions[:count])


def without_canaries(found: LinedUp, left: Bytes, right: Bytes) -> Indices:
    """The positions that are left once the canaries that each owner named are taken out.

    Raises ProtocolError unless both named the same common ones, all of which matched, and none of the others did.
    """
    named = bulk.index(*bulk.words(np.concatenate([left, right])), *found.tokens).reshape(2, canary.COUNT)
    common, own = named[:, : canary.COMMON], named[:, canary.COMMON :]
    agreed = (left[: canary.COMMON] == right[: canary.COMMON]).all(axis=1) & (common >= 0).all(axis=0)
    canary.check(agreed, own.ravel() >= 0)
    return np.delete(found.positions, common[0])


def send_matched(channel: Channel, positions: Indices) -> None:
    """Tell the receiver which of its rows matched, by their place in what it sent, canaries taken out."""
    channel.send_batch("keyed.matched", _numbers(_POSITIONS, np.sort(positions)))
