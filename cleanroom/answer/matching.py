"""The match of a two-party room, by the protocol that its contract names. All of them give the same results.

Where the contract names several identities, the protocol runs once by each (protocols.psi.waterfall).
"""

import functools

from cleanroom.answer import unbalanced, updates
from cleanroom.answer.side import Learned, Side
from cleanroom.rooms.identities import named
from protocols.channel import Channel
from protocols.psi import waterfall
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes


def receive(side: Side, channel: Channel, label_width: int) -> ReceiverResult:
    """The receiver's part, for its dataset; label_width: bytes of the sender's labels, 0 for none.

    Raises ProtocolError and its kinds, Refused above the contract's bound.
    """
    if not side.dataset.also:
        return _receive(side, channel, "", side.digests(), label_width)
    match = functools.partial(_receive, side)
    return waterfall.receiver(channel, side.identities(), label_width=label_width, match=match).result


def _receive(side: Side, channel: Channel, kind: str, items: Bytes, label_width: int) -> ReceiverResult:
    """By one identity: uint8[n, 16 or 32] distinct digests; kind: which, where there are several."""
    match, canaries = side.contract.match, side.canaries("receiver", items.shape[1], kind)
    most = side.contract.dataset_of(side.peer).rows
    if (cluster := side.paired) is not None:
        from cleanroom.cluster import pair_rooms

        return pair_rooms.receive(side, channel, kind, items, label_width, cluster, cluster.pairs)
    if match.protocol == "oprf":
        return unbalanced.receive(side, channel, items, label_width)
    if match.protocol == "dh" and side.updates and not label_width:
        return updates.receive(side, channel, items)
    if match.protocol == "vole":
        from protocols.psi import vole  # numba, half a second: only where it is used

        return vole.receiver(channel, items, label_width=label_width, canaries=canaries, most=most)
    from protocols.psi import dh

    ordered = match.output == "members"
    return dh.receiver(channel, items, label_width=label_width, canaries=canaries, ordered=ordered, most=most)


def learned(side: Side) -> list[Learned]:
    """What the receiver learns by a match of several identities, beside which of its rows matched."""
    if not side.dataset.also:
        return []
    identities = named(side.dataset.identities)
    return [
        Learned("by which identities each of its rows matched, tried in the order {identities}",
                {"identities": identities}),
        Learned("which of its own rows are one person to {party}", {"party": side.peer}),
    ]  # fmt: skip


def declares(protocol: str, rows: int, declared: int) -> bool:
    """Whether a receiver with so many rows declares so many to the sender, as `SenderResult.peer_rows` has it."""
    if protocol == "vole":
        from protocols.psi.vole import LEAST_ROWS

        return declared == max(rows, LEAST_ROWS)
    return declared <= rows if protocol == "oprf" else declared == rows


def send(side: Side, channel: Channel, labels: Bytes | None) -> SenderResult:
    """The sender's part, for its dataset, and labels uint8[rows, w] or None. Errors as `receive`.

    In `oprf` the result's rows are those that the peer asked about.
    """
    if side.contract.match.protocol == "oprf":
        return unbalanced.send(side, channel, labels)
    if not side.dataset.also:
        return _send(side, channel, "", side.digests(), labels)
    return waterfall.sender(channel, side.identities(), labels, match=functools.partial(_send, side))


def _send(side: Side, channel: Channel, kind: str, items: Bytes, labels: Bytes | None) -> SenderResult:
    """By one identity, as `_receive`."""
    match, canaries = side.contract.match, side.canaries("sender", items.shape[1], kind)
    most = side.contract.dataset_of(side.peer).rows
    if (cluster := side.paired) is not None:
        from cleanroom.cluster import pair_rooms

        return pair_rooms.send(side, channel, kind, items, labels, cluster)
    if match.protocol == "dh" and side.updates and labels is None:
        return updates.send(side, channel, items)
    if match.protocol == "vole":
        from protocols.psi import vole  # numba, half a second: only where it is used

        return vole.sender(channel, items, labels, canaries=canaries, most=most)
    from protocols.psi import dh

    return dh.sender(channel, items, labels, canaries=canaries, ordered=match.output == "members", most=most)
