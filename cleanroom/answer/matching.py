"""The match of a two-party room, by the protocol that its contract names. All of them give the same results."""

from cleanroom.answer import unbalanced
from cleanroom.answer.side import Side
from protocols.channel import Channel
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes


def receive(side: Side, channel: Channel, items: Bytes, label_width: int) -> ReceiverResult:
    """The receiver's part: uint8[n, 16 or 32] distinct digests; label_width: bytes of the sender's labels, 0 for none.

    Raises ProtocolError and its kinds.
    """
    match, canaries = side.contract.match, side.canaries("receiver", items.shape[1])
    most = side.contract.dataset_of(side.peer).rows
    if match.protocol == "oprf":
        return unbalanced.receive(side, channel, items, label_width)
    if match.protocol == "vole":
        from protocols.psi import vole  # numba, half a second: only where it is used

        return vole.receiver(channel, items, label_width=label_width, canaries=canaries, most=most)
    from protocols.psi import dh

    ordered = match.output == "members"
    return dh.receiver(channel, items, label_width=label_width, canaries=canaries, ordered=ordered, most=most)


def declares(protocol: str, rows: int, declared: int) -> bool:
    """Whether a receiver with so many rows declares so many to the sender, as `SenderResult.peer_rows` has it."""
    if protocol == "vole":
        from protocols.psi.vole import LEAST_ROWS

        return declared == max(rows, LEAST_ROWS)
    return declared <= rows if protocol == "oprf" else declared == rows


def send(side: Side, channel: Channel, items: Bytes, labels: Bytes | None) -> SenderResult:
    """The sender's part: uint8[n, 16 or 32] distinct digests, and labels uint8[n, w] or None. Errors as `receive`.

    In `oprf` the result's rows are those that the peer asked about.
    """
    match, canaries = side.contract.match, side.canaries("sender", items.shape[1])
    most = side.contract.dataset_of(side.peer).rows
    if match.protocol == "oprf":
        return unbalanced.send(side, channel, items, labels)
    if match.protocol == "vole":
        from protocols.psi import vole  # numba, half a second: only where it is used

        return vole.sender(channel, items, labels, canaries=canaries, most=most)
    from protocols.psi import dh

    return dh.sender(channel, items, labels, canaries=canaries, ordered=match.output == "members", most=most)
