"""The first words on a channel: who is there, under which contract, with which parameters; signed by both sides.

Every disagreement is refused by its name. The session id is a hash over both hellos, so it binds all that they say.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from protocols import payload
from protocols.errors import BadMessage, ProtocolError

SUITE = "cleanroom/1 ed25519 sha256 arrow-ipc"
SESSION_LABEL = b"cleanroom/channel-session/1"
HELLO_LABEL = "cleanroom/channel-hello/1"
TRANSCRIPT_LABEL = "cleanroom/channel-transcript/1"
MOST_BYTES = 1 << 16
_PLAIN = re.compile(r"[a-z]{1,16}")
"""A parameter's name as we give them: another one of a peer's is not repeated in an error."""

_SCHEMA = pa.schema(
    [
        pa.field("suite", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        pa.field("nonce", pa.binary(32), nullable=False),
        pa.field("contract", pa.binary(), nullable=False),
        pa.field("mine", pa.string(), nullable=False),
        pa.field("peers", pa.string(), nullable=False),
        pa.field("parameters", pa.map_(pa.string(), pa.int64()), nullable=False),
    ]
)


class Signer(Protocol):
    """A party's Ed25519 key."""

    def sign(self, label: str, message: bytes) -> bytes:
        """64 bytes over `signed_bytes(label, message)`."""


@dataclass(frozen=True)
class Hello:
    """nonce: 32 fresh bytes; mine, peers: fingerprints of this side's keys and of those it expects."""

    suite: str
    role: str
    nonce: bytes
    contract: bytes
    mine: str
    peers: str
    parameters: Mapping[str, int]

    def encode(self) -> bytes:
        """As one Arrow row."""
        words = [_word(getattr(self, field.name), field.type) for field in _SCHEMA if field.name != "parameters"]
        pairs = sorted(self.parameters.items())
        numbers = np.array([value for _, value in pairs], np.int64)
        keys = _words([key.encode() for key, _ in pairs], pa.string())
        values = pa.Array.from_buffers(pa.int64(), len(pairs), [None, pa.py_buffer(numbers)])
        batch = pa.record_batch([*words, pa.MapArray.from_arrays(_offsets([len(pairs)]), keys, values)], schema=_SCHEMA)
        return b"".join(bytes(part) for part in payload.encode(batch))


def _word(value: str | bytes, kind: pa.DataType) -> pa.Array:
    return _words([value.encode() if isinstance(value, str) else value], kind)


def _words(values: Sequence[bytes], kind: pa.DataType) -> pa.Array:
    """A column of texts or bytes; pa.array would load pandas."""
    data = pa.py_buffer(b"".join(values))
    if pa.types.is_fixed_size_binary(kind):
        return pa.Array.from_buffers(kind, len(values), [None, data])
    return pa.Array.from_buffers(kind, len(values), [None, _offsets(list(map(len, values))).buffers()[1], data])


def _offsets(lengths: Sequence[int]) -> pa.Int32Array:
    places = np.cumsum([0, *lengths]).astype(np.int32)
    return pa.Array.from_buffers(pa.int32(), len(places), [None, pa.py_buffer(places)])


def decode(content: memoryview) -> Hello:
    """Raises BadMessage where it is no hello."""
    if len(content) > MOST_BYTES:
        raise BadMessage("A message is longer than was declared.")
    row = payload.decode(content, _SCHEMA, 1).to_pylist()[0]
    return Hello(**row | {"parameters": dict(row["parameters"])})


def check(mine: Hello, theirs: Hello, peer_role: str) -> None:
    """Raises ProtocolError that names what the two sides do not agree on; BadMessage for an echo of our own hello."""
    if theirs.nonce == mine.nonce:
        raise BadMessage("The peer sent our own hello back.")
    if theirs.suite != mine.suite:
        raise ProtocolError("The two sides use different protocol suites.", "Bring both sides to the same release.")
    check_role(theirs.role, peer_role)
    if theirs.contract != mine.contract:
        raise ProtocolError("The two sides hold different contracts.", "Sign the same version on both sides.")
    if (theirs.mine, theirs.peers) != (mine.peers, mine.mine):
        raise ProtocolError("The two sides do not hold each other's keys.", "Compare the fingerprints once more.")
    for name in sorted(mine.parameters.keys() | theirs.parameters.keys()):
        ours, other = mine.parameters.get(name), theirs.parameters.get(name)
        if ours is None or other is None:
            raise ProtocolError(
                "One of the two sides has set {name}, the other has not.",
                "Have both set it, or neither.",
                name=name if _PLAIN.fullmatch(name) else "?",
            )
        if ours != other:
            raise ProtocolError(
                "The two sides do not agree on {name}: {ours} here, {theirs} there.",
                name=name if _PLAIN.fullmatch(name) else "?",
                ours=ours,
                theirs=other,
            )


def check_role(theirs: str, ours: str) -> None:
    """Raises BadMessage unless the role that the peer took is the one expected."""
    if theirs != ours:
        raise BadMessage("The peer took another role than {role}, which the contract gives it.", role=ours)


def session_id(hellos: Mapping[str, bytes]) -> bytes:
    """32 bytes over both encoded hellos, by role."""
    digest = hashlib.sha256(SESSION_LABEL)
    for _, content in sorted(hellos.items()):
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.digest()


def signed_bytes(label: str, message: bytes) -> bytes:
    """What a signature covers: the label with its length before it, then the message."""
    return len(label.encode()).to_bytes(2, "big") + label.encode() + message


def verify(public: bytes, label: str, message: bytes, signature: bytes) -> None:
    """Raises BadMessage unless `signature` is that of the Ed25519 key `public`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, signed_bytes(label, message))
    except InvalidSignature as error:
        raise BadMessage("The peer does not hold the key that the contract names.") from error
