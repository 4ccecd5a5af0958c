"""A room's match by the clusters of both its parties: what `answer.matching` calls where both nodes are set to it.

A job is of one session of the room's channel, so nothing of it outlives the run, and its parts are removed at the end.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from cleanroom.answer.notes import hear, take, tell
from cleanroom.answer.side import Side
from cleanroom.cluster import pair_split, pairs, session
from cleanroom.cluster.buckets import Layout
from cleanroom.cluster.delegation import Terms
from cleanroom.cluster.pair_split import HASH_BYTES, Source
from cleanroom.cluster.pair_transport import bound
from cleanroom.cluster.pairs import Pairing, SparkCluster
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from protocols.channel import Channel
from protocols.errors import check_agreed
from protocols.psi import keyed
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes

PROTOCOLS = ("vole", "dh")
LEAST_BUCKET_ROWS = 20_000
"""Rows of the receiver that a bucket of its own is worth."""


def receive(
    side: Side, channel: Channel, kind: str, items: Bytes, label_width: int, settings: ClusterSettings, host: str
) -> ReceiverResult:
    """As `matching.receive` by one identity; host: where this node's driver listens. Errors as `pairs.receive`."""
    with _pairing(side, channel, "receiver", kind, items, label_width, settings, host) as (pairing, cluster):
        source = pair_split.staged(pairing.parts, items)
        return pairs.receive(channel, cluster, pairing, source, side.step).result()


def send(
    side: Side, channel: Channel, kind: str, items: Bytes, labels: Bytes | None, settings: ClusterSettings
) -> SenderResult:
    """As `matching.send` by one identity. Errors as `pairs.send`."""
    width = 0 if labels is None else labels.shape[1]
    with _pairing(side, channel, "sender", kind, items, width, settings, "") as (pairing, cluster):
        source: Source = pair_split.staged(pairing.parts, items, labels)
        return pairs.send(channel, cluster, pairing, source, side.step)


@contextmanager
def _pairing(
    side: Side, channel: Channel, role: str, kind: str, items: Bytes, label_width: int, settings: ClusterSettings,
    host: str,
) -> Iterator[tuple[Pairing, SparkCluster]]:  # fmt: skip
    """This side's part of the job; its parts are removed however it ends."""
    if host:
        bound(host).close()  # what cannot work is told before clusters are started for it
    parts = Parts.of_run(settings, "pairs")
    other = "sender" if role == "receiver" else "receiver"
    term = side.contract.party(side.peer)
    pairing = Pairing(
        role=role,
        terms=Terms(side.context, f"{channel.session.hex()} {kind}".strip(), 1),
        settings=settings,
        parts=parts,
        signer=side.home.keys,
        parties={role: side.home.keys.public.signing, other: bytes.fromhex(term.signing)},
        secret=keyed.subkey(side.room_key, "pairs", kind.encode()),
        most=side.contract.dataset_of(side.peer).rows,
        digest_bytes=items.shape[1],
        label_width=label_width,
        protocol=side.contract.match.protocol,
        host=host,
    )
    pairing = replace(pairing, terms=replace(pairing.terms, buckets=_buckets(channel, pairing, len(items))))
    try:
        yield pairing, SparkCluster(session.started(settings).newSession())
    finally:
        parts.remove()


def _buckets(channel: Channel, pairing: Pairing, rows: int) -> int:
    """As many as both nodes are set to, or fewer where the receiver has few rows. Raises ProtocolError."""
    declared = pairs.declared(rows, pairing)
    mine: dict[str, Any] = {"buckets": pairing.settings.buckets, "protocol": pairing.protocol}
    tell(channel, "pairs.wish", {**mine, "rows": declared})
    theirs = hear(channel, "pairs.wish")
    check_agreed(mine, {name: take(theirs, name, type(value)) for name, value in mine.items()})
    totals = {pairing.role: declared, pairing.other: pairs.allowed(take(theirs, "rows", int), pairing)}
    few = max(1, min(pairing.settings.buckets, totals["receiver"] // LEAST_BUCKET_ROWS))
    key = HASH_BYTES + pairing.width
    own = Layout(key, 0, few).enough_for(totals["receiver"])
    return Layout(key, pairing.label_width, own.of).enough_for(totals["sender"]).of
