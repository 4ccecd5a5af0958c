"""Matching at a neutral operator: data owners share a room key that the operator lacks, and send it tokens.

Symmetric cryptography only. The operator learns sizes, which tokens both sides have, and how often each value token
occurs; no identity and no label of a value. Either owner together with the operator opens everything: the contract
says so. What each message reveals to the operator:

    keyed.size       owner →   the number of rows, canaries included
    keyed.rows       owner →   tokens, ordered by themselves, with their columns' tokens and ciphertexts
    keyed.lined-up   → owner   (to the owner) that matching is done
    keyed.canaries   owner →   which tokens were dummies
    keyed.matched    → owner   (to the receiver alone) which of its rows matched
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocols import canary
from protocols.canary import Canaries
from protocols.channel import FRAME_BYTES, Channel
from protocols.errors import BadMessage
from protocols.rows import Bytes, Indices, repeated_items, schema, to_batch, to_rows

TOKEN_BYTES = 16
VALUE_BYTES = 8
MOST_ROWS = 1 << 32
_ROOM_LABEL = b"cleanroom/keyed-room/1"
_IDENTITY_LABEL = "cleanroom/keyed-identity/1"
_VALUE_LABEL = "cleanroom/keyed-value/1/"
_CANARY_LABEL = "cleanroom/keyed-canary/1"
_SEAL_VERSION = b"\1"
_SALT_BYTES = 32
_BATCH = 65_536
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
    return _blocks(subkey(key, _IDENTITY_LABEL), np.ascontiguousarray(items[:, :TOKEN_BYTES]))


def value_tokens(key: bytes, column: str, codes: Indices) -> Bytes:
    """uint8[n, 8]: what stands for the codes int64[n] of a category or bucket column; every column has its own key.

    Owners who want values to be compared across datasets pass the same column name.
    """
    blocks = np.zeros((len(codes), 2), "<i8")
    blocks[:, 0] = codes
    return _blocks(subkey(key, _VALUE_LABEL + column), blocks.view(np.uint8))[:, :VALUE_BYTES].copy()


def _blocks(key: bytes, blocks: Bytes) -> Bytes:
    encryptor = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305 - one block an item, see above
    encrypted = encryptor.update(blocks.reshape(-1).data) + encryptor.finalize()
    return np.frombuffer(encrypted, np.uint8).reshape(blocks.shape)


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
    items: Bytes,
    columns: Mapping[str, int],
    values: Columns,
    *,
    canaries: Canaries,
    fill: Mapping[str, bytes] | None = None,
) -> Sent:
    """Send the tokens of distinct digests uint8[n, 16 or 32] with their columns, in the order of the tokens.

    columns: name → width in bytes; values: gives them for rows asked; fill: a canary's value by column, else zeros.
    Returns once the operator has lined up the datasets and the canaries are named. Raises ProtocolError for repeated
    items, PeerAborted.
    """
    n = len(items)
    tokens = np.concatenate([identity_tokens(key, items), (dummies := identity_tokens(key, canaries.rows))])
    order = _ascending(tokens)
    channel.send_batch("keyed.size", pa.record_batch([pa.array([len(tokens)])], schema=_SIZE))
    layout = _layout(columns)
    fills = {name: np.frombuffer((fill or {}).get(name, bytes(width)), np.uint8) for name, width in columns.items()}
    step = max(1, min(_BATCH, FRAME_BYTES // (TOKEN_BYTES + sum(columns.values()))))
    for start in range(0, len(order), step):
        rows = order[start : start + step]
        real = rows < n
        given = values(rows[real])
        cells = [_merge(given[name], real, fills[name]) for name in columns]
        channel.send("keyed.rows", to_batch(layout, tokens[rows], *cells))
    channel.end("keyed.rows")
    channel.receive_batch("keyed.lined-up", _SIZE, rows=0)
    channel.send_batch("keyed.canaries", to_batch(_TOKENS, dummies))
    channel.confirm()
    return Sent(order, n)


def receive_matched(channel: Channel, sent: Sent) -> Indices:
    """The receiver's rows that matched, ascending. Raises BadMessage for positions that are not distinct rows of it."""
    batch = channel.receive_batch("keyed.matched", _POSITIONS, rows=sent.rows)
    positions = np.empty(0, np.int64) if batch is None else batch.column(0).to_numpy()
    if len(positions) and (positions.min() < 0 or positions.max() >= len(sent.order)):
        raise BadMessage("The operator named rows that were not sent.")
    rows: Indices = np.sort(sent.order[positions])
    if (np.diff(rows) == 0).any() or (rows >= sent.rows).any():
        raise BadMessage("The operator named rows that were not sent.")
    return rows


def _ascending(tokens: Bytes) -> Indices:
    """The order of the tokens as big-endian numbers. Raises ProtocolError where two are equal, as their items were."""
    high, low = _words(tokens)
    order = np.argsort(high)
    if (np.diff(high[order]) == 0).any():  # rare unless items are repeated
        order = np.lexsort((low, high))
        if repeated := int(((np.diff(high[order]) == 0) & (np.diff(low[order]) == 0)).sum()):
            raise repeated_items(repeated)
    return order.astype(np.int64)


def _words(tokens: Bytes) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    words = tokens.view(">u8")
    return words[:, 0].astype(np.uint64), words[:, 1].astype(np.uint64)


def _merge(given: Bytes, real: npt.NDArray[np.bool_], fill: Bytes) -> Bytes:
    if real.all():
        return given
    merged = np.empty((len(real), len(fill)), np.uint8)
    merged[real], merged[~real] = given, fill
    return merged


def _layout(columns: Mapping[str, int]) -> pa.Schema:
    return schema({"token": TOKEN_BYTES, **columns})


# -- the operator


@dataclass(frozen=True)
class Received:
    """rows: as declared, canaries included; batches: token fixed_size_binary(16), then the columns, ascending."""

    rows: int
    batches: Iterator[pa.RecordBatch]


def operator(channel: Channel, columns: Mapping[str, int], *, most: int = MOST_ROWS) -> Received:
    """Receive an owner's rows, as they stream. most: the rows that the contract allows, canaries not counted.

    Raises BadMessage (also while the batches are read) for another number or order of rows than declared.
    """
    size = channel.receive_batch("keyed.size", _SIZE, rows=1)
    rows = -1 if size is None else size.column(0)[0].as_py()
    if not canary.COUNT <= rows <= most + canary.COUNT:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return Received(rows, _checked(channel, columns, rows))


def _checked(channel: Channel, columns: Mapping[str, int], rows: int) -> Iterator[pa.RecordBatch]:
    last, received = None, 0
    for batch in channel.receive("keyed.rows", _layout(columns), rows=rows):
        tokens = to_rows(batch.column(0))
        _check_ascending(tokens, last)
        last, received = tokens[-1:], received + len(tokens)
        yield batch
    if received != rows:
        raise BadMessage("A message has fewer rows than were declared.")


def _check_ascending(tokens: Bytes, before: Bytes | None) -> None:
    high, low = _words(tokens if before is None else np.concatenate([before, tokens]))
    if not ((high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))).all():
        raise BadMessage("The peer's rows are not in the order of their tokens.")


def named_canaries(channel: Channel) -> Bytes:
    """Tell an owner that matching is done, and learn which of its tokens were dummies: uint8[6, 16], common first."""
    channel.end("keyed.lined-up")
    batch = channel.receive_batch("keyed.canaries", _TOKENS, rows=canary.COUNT)
    if batch is None or batch.num_rows != canary.COUNT:
        raise BadMessage("A message has fewer rows than were declared.")
    channel.confirm()
    return to_rows(batch.column(0))


def check_canaries(left: Bytes, right: Bytes, left_tokens: Bytes, right_tokens: Bytes) -> Bytes:
    """The dummy tokens uint8[8, 16] to be taken out of both sides, given what each owner named and all that it sent.

    Raises ProtocolError unless both named the same common ones, which stand on both sides, and the others on one.
    """
    common, own_left, own_right = left[: canary.COMMON], left[canary.COMMON :], right[canary.COMMON :]
    at_left, at_right = (_stand_in(np.concatenate([left, right]), tokens) for tokens in (left_tokens, right_tokens))
    own = slice(canary.COMMON, canary.COUNT)
    agreed = (common == right[: canary.COMMON]).all(axis=1)
    agreed &= at_left[: canary.COMMON] & at_right[canary.COUNT : canary.COUNT + canary.COMMON]
    strays = np.concatenate([at_right[: canary.COUNT][own], at_left[canary.COUNT :][own]])
    missing = np.concatenate([~at_left[: canary.COUNT][own], ~at_right[canary.COUNT :][own]])
    canary.check(agreed, strays | missing)
    return np.concatenate([common, own_left, own_right])


def _stand_in(few: Bytes, tokens: Bytes) -> npt.NDArray[np.bool_]:
    """Which of a few tokens stand among many ascending ones: bool[len(few)]."""
    high, places = tokens.view(">u8")[:, 0].astype(np.uint64), few.view(">u8")[:, 0].astype(np.uint64)
    starts, ends = np.searchsorted(high, places, "left"), np.searchsorted(high, places, "right")
    found = [(tokens[a:b] == one).all(axis=1).any() for one, a, b in zip(few, starts, ends, strict=True)]
    return np.array(found, np.bool_)


def send_matched(channel: Channel, positions: Indices) -> None:
    """Tell the receiver which of its rows matched, by their place in what it sent, canaries taken out."""
    channel.send_batch("keyed.matched", pa.record_batch([pa.array(np.sort(positions))], schema=_POSITIONS))
