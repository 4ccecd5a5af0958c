"""Two-party matching without public-key work per row: the receiver learns which of its rows the sender has.

An oblivious key-value store and a subspace vector-OLE, after Raghuraman and Rindal (CCS 2022) and Roy (CRYPTO 2022);
`docs/protocols/vole.md` has the construction, its security argument and what each message reveals. Members only: a
match whose rows must stay unknown is `protocols.psi.dh`'s. Half a second of compiled code is loaded when called, so
small datasets are better served there too.
"""

import os

from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.errors import ProtocolError
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.psi.vole.parameters import LEAST_ROWS, MOST_ROWS
from protocols.rows import Bytes, Draw

__all__ = ["LEAST_ROWS", "MOST_ROWS", "receiver", "sender", "warm"]


def sender(
    channel: Channel,
    items: Bytes,
    own: Bytes | None,
    *,
    canaries: Canaries,
    most: int = MOST_ROWS,
    ordered: bool = True,
) -> SenderResult:
    """Let the receiver match its rows with `items`, distinct digests uint8[n, 16 or 32].

    own: labels uint8[n, w], one a row, or None; most: rows that the peer may declare. A peer with fewer than
    LEAST_ROWS declares that many, so a smaller `most` is refused.
    Raises ProtocolError for repeated items, sizes or settings that the two sides do not share, and a size-only match;
    BadMessage for what is malformed or fails a check; PeerAborted.
    """
    return _sender(channel, items, own, canaries, os.urandom, most, ordered)


def _sender(
    channel: Channel,
    items: Bytes,
    own: Bytes | None,
    canaries: Canaries,
    draw: Draw,
    most: int = MOST_ROWS,
    ordered: bool = True,
) -> SenderResult:
    from protocols.psi.vole import sending

    _refuse_size_only(ordered)
    return sending.send(channel, items, own, canaries, draw, most)


def receiver(
    channel: Channel, items: Bytes, *, label_width: int, canaries: Canaries, most: int = MOST_ROWS, ordered: bool = True
) -> ReceiverResult:
    """Learn which of `items`, distinct digests uint8[n, 16 or 32], the sender has, and their labels.

    label_width: bytes of the sender's labels, 0 for none. Errors as `sender`; ProtocolError too where canaries fail.
    """
    return _receiver(channel, items, label_width, canaries, os.urandom, most, ordered)


def _receiver(
    channel: Channel,
    items: Bytes,
    label_width: int,
    canaries: Canaries,
    draw: Draw,
    most: int = MOST_ROWS,
    ordered: bool = True,
) -> ReceiverResult:
    from protocols.psi.vole import receiving

    _refuse_size_only(ordered)
    return receiving.receive(channel, items, label_width, canaries, draw, most)


def _refuse_size_only(ordered: bool) -> None:
    if not ordered:
        raise ProtocolError(
            "The protocol vole cannot keep the matched rows from the receiver.", "Use the protocol dh for a size alone."
        )


def warm() -> None:
    """Compile or load every kernel that a match uses."""
    from protocols.kernels import radix
    from protocols.kernels.vole import aes, clmul, correlation, okvs, outputs, planes
    from protocols.psi.vole.parameters import CODE_LENGTH, MESSAGE_BITS

    correlation.warm(CODE_LENGTH, MESSAGE_BITS)
    for module in (aes, clmul, okvs, outputs, planes, radix):
        module.warm()
