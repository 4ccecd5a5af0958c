"""The header of every frame on a channel. Its layout is final: later versions add a version number, not a field here.

112 bytes, little-endian, so that an Arrow payload after its 16-byte schema fingerprint starts on a cache line:
magic 4 · version 2 · kind 1 · zero 1 · session 32 · role 16 · name 32 · bucket 4 · zero 4 · sequence 8 · length 8.
"""

import re
import struct
from dataclasses import dataclass
from enum import IntEnum

from protocols.errors import BadMessage

MAGIC = b"OCRC"
VERSION = 1
_LAYOUT = struct.Struct("<4sHBB32s16s32sIIQQ")
BYTES = _LAYOUT.size
_WORD = re.compile(r"[a-z0-9][a-z0-9.\-]*")


class Kind(IntEnum):
    """What a frame is to its message."""

    DATA = 1
    END = 2
    ABORT = 3


class Abort(IntEnum):
    """Why a side ended the session: all that the other side learns of it."""

    BAD_MESSAGE = 1
    CHECK_FAILED = 2
    FAILED = 3


@dataclass(frozen=True)
class Header:
    """session: 32 bytes, zeros before the hello is done; role: the sender's; name: the message's; sequence: of the
    frames of this direction and bucket, from 0; length: bytes of payload that follow."""

    kind: Kind
    session: bytes
    role: str
    name: str
    bucket: int
    sequence: int
    length: int

    def pack(self) -> bytes:
        """The 112 bytes. Raises ValueError for a role or name that is not short lower-case ASCII."""
        return _LAYOUT.pack(
            MAGIC,
            VERSION,
            self.kind,
            0,
            self.session,
            _word(self.role, 16),
            _word(self.name, 32),
            self.bucket,
            0,
            self.sequence,
            self.length,
        )


def _word(text: str, most: int) -> bytes:
    if len(text) > most or not _WORD.fullmatch(text):
        raise ValueError(f"{text!r} is not 1 to {most} lower-case letters, digits, dots or hyphens")
    return text.encode()


def unpack(frame: memoryview) -> Header:
    """The header at the start of `frame`. Raises BadMessage unless it is one of this version and fits the frame."""
    if len(frame) < BYTES:
        raise BadMessage("A message is cut short.")
    magic, version, kind, zero, session, role, name, bucket, zeros, sequence, length = _LAYOUT.unpack_from(frame)
    if magic != MAGIC:
        raise BadMessage("The peer speaks another language than this channel.", "Is it the right address?")
    if version != VERSION:
        raise BadMessage(
            "The peer speaks version {theirs} of the channel, this side {ours}.",
            "Bring both sides to the same release.",
            theirs=version,
            ours=VERSION,
        )
    if kind not in set(Kind) or zero or zeros:
        raise BadMessage("A message has an unknown form.")
    if length != len(frame) - BYTES:
        raise BadMessage("A message is not as long as it says.")
    return Header(Kind(kind), session, _text(role), _text(name), bucket, sequence, length)


def _text(field: bytes) -> str:
    word = field.rstrip(b"\0").decode("ascii", "replace")
    if not _WORD.fullmatch(word):
        raise BadMessage("A message has an unknown form.")
    return word
