"""What an executor does for a match of two clusters: one bucket with a task of the other party's, begun as often as it
takes.

A task asks the meeting for a bucket, links up with the task that got the same, reads its part and runs the protocol
over that link: a session of its own, whose oblivious transfers, seeds and padding are drawn anew in every attempt. The
result is written once both sides have signed one transcript. Where the peer's task is lost the task asks again; any
other error ends the job by its name.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.answer.notes import hear, malformed, take, tell
from cleanroom.cluster import errors
from cleanroom.cluster.delegation import KeySigner, Terms
from cleanroom.cluster.executor_keys import SealedKey
from cleanroom.cluster.pair_meeting import LINE_SECONDS
from cleanroom.cluster.pair_split import numbers_of
from cleanroom.cluster.pair_transport import Address, Listener, Speaker, TlsTransport, dial, link
from cleanroom.cluster.stages import Piece, Stage
from cleanroom.errors import KNOWN
from cleanroom.node.control import pack_error
from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.psi.results import ReceiverResult
from protocols.rows import Bytes, Indices, to_column, to_rows

DONE = "bucket long, error string"
"""What a task tells its driver: the bucket that it did, or -1, and the error that ended it, as JSON."""
_DONE = pa.schema([pa.field("bucket", pa.int64()), pa.field("error", pa.string())])
_MEET_SECONDS = 30.0
"""For so long a task waits for the one that got the same bucket."""
_SENT = pa.schema([pa.field("row", pa.int64())])
_CANARY_LABEL = b"cleanroom/pairs-canary/1"


@dataclass(frozen=True)
class Loads:
    """Rows that a bucket declares, by role, whatever it holds: they say no more than the two totals."""

    receiver: int
    sender: int

    def of(self, role: str) -> int:
        """One side's."""
        return self.receiver if role == "receiver" else self.sender


@dataclass(frozen=True)
class PairTask:
    """One party's part of a job, the same in every task. Picklable, and without a secret in the clear.

    sealed: the delegated key and the job's secret, 32 bytes each; parties: each role's Ed25519 key; meeting: where the
    receiver's driver listens; items, pieces: this party's buckets, as they were split; done: what came of them; width:
    bytes of an item; patience: seconds of silence within a bucket.
    """

    role: str
    terms: Terms
    protocol: str
    delegation: bytes
    sealed: SealedKey
    parties: Mapping[str, bytes]
    meeting: Address
    items: Stage
    pieces: tuple[Piece, ...]
    done: Stage
    loads: Loads
    width: int
    label_width: int
    patience: float

    @errors.named
    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """For each row that comes in, a bucket is done; rows of DONE."""
        for batch in batches:
            for _ in range(batch.num_rows):
                yield pa.record_batch([pa.array([value]) for value in self.one()], schema=_DONE)

    def one(self) -> tuple[int, str]:
        """The bucket done, -1 where none was left or an error ended this; the error."""
        try:
            return self._one(), ""
        except KNOWN as error:
            return -1, json.dumps(pack_error(error))

    @cached_property
    def _secrets(self) -> tuple[bytes, bytes]:
        opened = self.sealed.open()
        return opened[:32], opened[32:]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_secrets"}

    def _one(self) -> int:
        me = Speaker(self.role, self.terms, KeySigner(self._secrets[0]), self.delegation, self.parties)
        transport, own = dial(self.meeting, _MEET_SECONDS)
        with contextlib.closing(transport), contextlib.ExitStack() as stack:
            listener = stack.enter_context(Listener(own)) if self.role == "receiver" else None
            roles = ("", "meeting")
            line, _ = link(
                transport, self.meeting.digest, me, roles,
                dialled=True, party="receiver", purpose="meeting", parameters={},
            )  # fmt: skip
            transport.wait(LINE_SECONDS)
            with line:
                return self._until_done(line, me, listener)

    def _until_done(self, line: Channel, me: Speaker, listener: Listener | None) -> int:
        lost: ProtocolError | None = None
        while True:
            try:
                tell(line, "pairs.ready", None if listener is None else listener.address.note())
                given = hear(line, "pairs.bucket")
            except PeerAborted as gone:
                raise lost or gone from None  # a meeting that is over does not always get to say so
            if "over" in given:
                if lost is not None and given["over"] == "failed":
                    raise lost
                return -1
            bucket, attempt = take(given, "bucket", int), take(given, "attempt", int)
            where = listener or Address.of_note(given.get("address"))
            try:
                lost = self._attempt(me, bucket, attempt, where)
            except KNOWN:
                tell(line, "pairs.outcome", {"outcome": "failed"})
                raise
            tell(line, "pairs.outcome", {"outcome": "kept" if lost is None else "lost"})
            if take(hear(line, "pairs.ended"), "done", bool):
                return bucket

    def _attempt(self, me: Speaker, bucket: int, attempt: int, where: Listener | Address) -> ProtocolError | None:
        """One attempt at a bucket, from the link to the part; what there was of the peer's task where it is lost."""
        if not 0 <= bucket < self.terms.buckets:
            raise malformed()
        numbers = {"bucket": bucket, "attempt": attempt, "receiver": self.loads.receiver, "sender": self.loads.sender}
        try:
            transport, channel = (
                _met(where, me, numbers) if isinstance(where, Listener) else _reached(where, me, numbers)
            )
        except ProtocolError as error:  # one that is still at an earlier attempt too
            return error
        transport.wait(self.patience)
        try:
            with contextlib.closing(transport), channel:
                items, rows, labels = self._load(bucket)
                if self.role == "receiver":
                    self._keep(bucket, rows, self._receive(channel, bucket, items))
                else:
                    self._send(channel, bucket, items, labels)
        except PeerAborted as error:
            return error
        return None

    # -- the protocol

    def _receive(self, channel: Channel, bucket: int, items: Bytes) -> ReceiverResult:
        canaries, most = self._canaries(bucket), self.loads.sender
        if self.protocol == "vole":
            from protocols.psi import vole

            result = vole.receiver(channel, items, label_width=self.label_width, canaries=canaries, most=most)
        else:
            from protocols.psi import dh

            result = dh.receiver(
                channel, items, label_width=self.label_width, canaries=canaries, ordered=True, most=most
            )
        _check_rows(result.peer_rows, most)
        return result

    def _send(self, channel: Channel, bucket: int, items: Bytes, labels: Bytes | None) -> None:
        canaries, most = self._canaries(bucket), self.loads.receiver
        if self.protocol == "vole":
            from protocols.psi import vole

            result = vole.sender(channel, items, labels, canaries=canaries, most=most)
        else:
            from protocols.psi import dh

            result = dh.sender(channel, items, labels, canaries=canaries, ordered=True, most=most)
        _check_rows(result.peer_rows, most)
        self.done.put(bucket, _SENT, [])

    def _canaries(self, bucket: int) -> canary.Canaries:
        secret = hashlib.sha256(_CANARY_LABEL + self._secrets[1] + bucket.to_bytes(4, "little")).digest()
        return canary.draw(secret, self.role, self.width)

    # -- parts

    def _load(self, bucket: int) -> tuple[Bytes, Indices, Bytes | None]:
        """Items uint8[load, width], random from the bucket's own on; their rows; labels uint8[load, w] of a sender."""
        count, load = self.pieces[bucket].rows, self.loads.of(self.role)
        items, rows = np.empty((load, self.width), np.uint8), np.empty(count, np.int64)
        labelled = self.role == "sender" and self.label_width
        labels = np.zeros((load, self.label_width), np.uint8) if labelled else None
        done = 0
        for batch in self.items.read(self.pieces[bucket]):
            part = slice(done, done + batch.num_rows)
            items[part] = to_rows(batch.column("item"))
            rows[part] = numbers_of(to_rows(batch.column("row")))
            if labels is not None:
                labels[part] = to_rows(batch.column("label"))
            done += batch.num_rows
        items[count:] = np.frombuffer(os.urandom((load - count) * self.width), np.uint8).reshape(-1, self.width)
        return items, rows, labels

    def _keep(self, bucket: int, rows: Indices, result: ReceiverResult) -> None:
        """The matched rows, ascending, and their labels, stored."""
        if result.matched is None:
            raise ValueError("buckets are matched in order")
        real = result.matched < len(rows)
        found, labels = rows[result.matched[real]], result.labels[real]
        order, form = np.argsort(found), matched_schema(self.label_width)
        columns = [pa.array(found[order]), *([to_column(labels[order])] if self.label_width else [])]
        self.done.put(bucket, form, [pa.record_batch(columns, schema=form)] if len(order) else [])


def matched_schema(label_width: int) -> pa.Schema:
    """Of a bucket's result at the receiver."""
    fields = [pa.field("row", pa.int64())]
    return pa.schema([*fields, pa.field("label", pa.binary(label_width))] if label_width else fields)


def _met(listener: Listener, me: Speaker, numbers: Mapping[str, int]) -> tuple[TlsTransport, Channel]:
    """The link with the sender's task that got the same; whoever else comes is turned away."""
    until, refused = time.monotonic() + _MEET_SECONDS, None
    while (left := until - time.monotonic()) > 0:
        connection = listener.accept(left)
        if connection is None:
            break
        try:
            return _linked(listener.secured(connection), listener.address.digest, me, numbers)
        except ProtocolError as error:
            refused = error
    raise PeerAborted("The task of the peer's cluster did not come.") from refused


def _reached(address: Address, me: Speaker, numbers: Mapping[str, int]) -> tuple[TlsTransport, Channel]:
    """The link with the receiver's task that got the same."""
    return _linked(dial(address, _MEET_SECONDS)[0], address.digest, me, numbers)


def _linked(
    transport: TlsTransport, digest: str, me: Speaker, numbers: Mapping[str, int]
) -> tuple[TlsTransport, Channel]:
    other, dialled = ("sender", False) if me.role == "receiver" else ("receiver", True)
    try:
        channel, _ = link(
            transport, digest, me, ("", ""), dialled=dialled, party=other, purpose="bucket", parameters=numbers
        )
    except BaseException:
        transport.close()
        raise
    return transport, channel


def _check_rows(declared: int, agreed: int) -> None:
    if declared != agreed:
        raise BadMessage("The peer's declared number of rows is not allowed.")
