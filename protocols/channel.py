"""Messages between two roles, in order or not at all: what a protocol is written against.

A message is a name and a stream of Arrow record batches of one schema, cut into frames of a few megabytes. Every frame
carries the session, its sender's role, its bucket and a counter, and runs into a transcript hash; whatever is replayed,
reflected, reordered, dropped, cut short, of another session or longer than declared ends the session with BadMessage.
The two hellos and the final transcript are signed, so a channel is authentic even where its transport is not. It hides
nothing from the wire by itself: use a transport that does (a socket pair, mutual TLS).
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

import numpy as np
import pyarrow as pa

from protocols import hello, payload
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.header import BYTES, Abort, Header, Kind, unpack
from protocols.hello import Hello, Signer
from protocols.rows import Bytes, check_count, one_row, to_rows

FRAME_BYTES = 1 << 20
"""About the most payload that `send` puts into a frame of several rows."""
MOST_FRAME_BYTES = 64 << 20
"""The most payload that any frame may have."""
_NO_SESSION = bytes(32)
_CONFIRM = pa.schema(
    [pa.field("digest", pa.binary(32), nullable=False), pa.field("signature", pa.binary(64), nullable=False)]
)
_SIGNATURE = pa.schema([pa.field("signature", pa.binary(64), nullable=False)])


class Transport(Protocol):
    """Carries whole frames, in order, both ways at once. Raises PeerAborted where the peer is gone or silent."""

    def send(self, frame: Sequence[bytes | memoryview | pa.Buffer]) -> None:
        """Hand over a frame in parts, which may not change afterwards."""

    def receive(self) -> memoryview:
        """The next frame, whose memory nobody else uses."""

    def close(self) -> None:
        """Send what was handed over, then end."""

    @property
    def sent(self) -> int:
        """Bytes that left, framing included."""

    @property
    def received(self) -> int:
        """Bytes that came, framing included."""


class _Line:
    """One direction of one bucket: its counter and running hash."""

    def __init__(self) -> None:
        self.sequence = 0
        self.hash = hashlib.sha256()

    def add(self, parts: Sequence[bytes | memoryview | pa.Buffer]) -> None:
        self.sequence += 1
        for part in parts:
            self.hash.update(part)


class Channel:
    """One session with one peer. Use it in a `with` block: an exception inside tells the peer why, and ends both.

    After a successful block the transport stays open, for another session or to be closed by its owner.
    """

    def __init__(
        self, transport: Transport, role: str, peer_role: str, session: bytes, me: Signer, peer_key: bytes
    ) -> None:
        self._transport = transport
        self.role, self.peer_role, self.session = role, peer_role, session
        self._me, self._peer_key = me, peer_key
        self._lines: dict[tuple[str, int], _Line] = {}

    @classmethod
    def open(
        cls,
        transport: Transport,
        *,
        role: str,
        peer_role: str,
        me: Signer,
        peer_key: bytes,
        contract_hash: bytes,
        fingerprints: tuple[str, str],
        parameters: Mapping[str, int],
    ) -> Self:
        """Exchange hellos and signatures. fingerprints: of this side's keys, of the peer's; parameters: int64 each.

        Raises ProtocolError that names what differs, BadMessage for what is not in order or not signed by `peer_key`.
        """
        mine = Hello(hello.SUITE, role, os.urandom(32), contract_hash, *fingerprints, parameters)
        return cls._open(transport, mine, peer_role, me, peer_key)

    @classmethod
    def _open(cls, transport: Transport, mine: Hello, peer_role: str, me: Signer, peer_key: bytes) -> Self:
        channel = cls(transport, mine.role, peer_role, _NO_SESSION, me, peer_key)
        try:
            content = mine.encode()
            channel._post(Kind.DATA, "hello", 0, [content])
            theirs = channel._take("hello", 0)[1]
            hello.check(mine, hello.decode(theirs), peer_role)
            session = hello.session_id({mine.role: content, peer_role: bytes(theirs)})
            channel = cls(transport, mine.role, peer_role, session, me, peer_key)
            channel._exchange_signatures()
        except BaseException as error:
            channel._fail(error)
            raise
        return channel

    def _exchange_signatures(self) -> None:
        signature = self._me.sign(hello.HELLO_LABEL, self.session + self.role.encode())
        self.send_batch("hello.signature", one_row(_SIGNATURE, [signature]))
        theirs = self.receive_row("hello.signature", _SIGNATURE)
        signed = self.session + self.peer_role.encode()
        hello.verify(self._peer_key, hello.HELLO_LABEL, signed, _only(theirs, "signature"))

    # -- messages out

    def send(self, name: str, batch: pa.RecordBatch, bucket: int = 0) -> None:
        """Add rows to the message `name`. Empty batches are not sent."""
        step = max(1, FRAME_BYTES * batch.num_rows // max(batch.nbytes, 1))
        for start in range(0, batch.num_rows, step):
            self._post(Kind.DATA, name, bucket, payload.encode(batch.slice(start, step)))

    def end(self, name: str, bucket: int = 0) -> None:
        """The message `name` is complete."""
        self._post(Kind.END, name, bucket, [])

    def send_batch(self, name: str, batch: pa.RecordBatch, bucket: int = 0) -> None:
        """`batch` as the whole message `name`."""
        self.send(name, batch, bucket)
        self.end(name, bucket)

    def _post(self, kind: Kind, name: str, bucket: int, content: Sequence[bytes | pa.Buffer]) -> None:
        line = self._line(self.role, bucket)
        length = sum(memoryview(part).nbytes for part in content)
        header = Header(kind, self.session, self.role, name, bucket, line.sequence, length)
        frame = [header.pack(), *content]
        line.add(frame)
        try:
            self._transport.send(frame)
        except PeerAborted:
            self._last_words()
            raise

    def _last_words(self) -> None:
        """Raises PeerAborted with the peer's reason, where one still stands in what arrived."""
        with suppress(BadMessage):
            while True:
                self._refuse_abort(unpack(frame := self._transport.receive()), frame)

    # -- messages in

    def receive(
        self, name: str, schema: pa.Schema, bucket: int = 0, *, rows: int, nbytes: int | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The batches of the message `name`, as they come, until its end; none is empty.

        rows, nbytes: the most that the message may have in all; nbytes may be left out where all columns are of fixed
        width. Raises BadMessage for anything else than this message, PeerAborted where the peer has given up.
        """
        width = payload.row_bytes(schema)
        if nbytes is None:
            if width is None:
                raise ValueError("a message with columns of variable width needs nbytes")
            nbytes = rows * width
        while True:
            header, content = self._take(name, bucket)
            if header.kind is Kind.END:
                return
            overhead = nbytes // 8 + 256 * len(schema) + 1024  # validity, metadata, padding
            if len(content) > nbytes + overhead:
                raise BadMessage("A message is longer than was declared.")
            batch = payload.decode(content, schema, rows)
            rows, nbytes = rows - batch.num_rows, max(nbytes - batch.nbytes, 0)
            yield batch

    def receive_batch(
        self, name: str, schema: pa.Schema, bucket: int = 0, *, rows: int, nbytes: int | None = None
    ) -> pa.RecordBatch | None:
        """The whole message `name` as one batch; None where it has no rows."""
        batches = list(self.receive(name, schema, bucket, rows=rows, nbytes=nbytes))
        return pa.concat_batches(batches) if batches else None

    def receive_row(
        self, name: str, schema: pa.Schema, bucket: int = 0, *, nbytes: int | None = None
    ) -> pa.RecordBatch:
        """The message `name`, which has one row. Raises BadMessage where it has none; nbytes: as for `receive`."""
        batch = self.receive_batch(name, schema, bucket, rows=1, nbytes=nbytes)
        if batch is None:
            raise BadMessage("A message has fewer rows than were declared.")
        return batch

    def receive_rows(self, name: str, schema: pa.Schema, bucket: int = 0, *, rows: int) -> list[Bytes]:
        """The columns uint8[rows, w] of the message `name`. Raises BadMessage for another number of rows."""
        batch = self.receive_batch(name, schema, bucket, rows=rows)
        if batch is None:
            check_count(0, rows)
            return [np.empty((0, field.type.byte_width), np.uint8) for field in schema]
        check_count(batch.num_rows, rows)
        return [to_rows(column) for column in batch.columns]

    def _take(self, name: str, bucket: int) -> tuple[Header, memoryview]:
        """The next frame, which must be of `name` and `bucket`: numbered checks, the first that fails is the error."""
        frame = self._transport.receive()
        header = unpack(frame)  # 1. one of ours, of this version, of the length it says
        content = frame[BYTES:]
        self._refuse_abort(header, frame)  # 2. the peer goes on
        if header.role == self.role:  # 3. not our own words sent back
            raise BadMessage("A message of this side came back.")
        hello.check_role(header.role, self.peer_role)  # 4. from this peer
        if header.session != self.session:  # 5. of this session
            raise BadMessage("A message belongs to another session.")
        line = self._line(self.peer_role, header.bucket)
        if header.sequence != line.sequence:  # 6. neither repeated nor missing
            raise BadMessage("A message is out of order, repeated or missing.")
        if (header.name, header.bucket) != (name, bucket):  # 7. what comes next in the protocol
            raise BadMessage("The peer sent another message than {name}.", name=name)
        if header.kind is Kind.END and header.length:  # 8. an end says nothing
            raise BadMessage("A message has an unknown form.")
        line.add([frame])
        return header, content

    def _refuse_abort(self, header: Header, frame: memoryview) -> None:
        if header.kind is not Kind.ABORT:
            return
        code = int.from_bytes(frame[BYTES:], "little")
        if code == Abort.BAD_MESSAGE:
            raise PeerAborted("The peer ended the session: it refused a message of this side.")
        if code == Abort.CHECK_FAILED:
            raise PeerAborted("The peer ended the session: a check failed on its side.")
        if code == Abort.FAILED:
            raise PeerAborted("The peer ended the session: it failed on its own side.", "See its own message.")
        raise PeerAborted("The peer ended the session.")

    # -- the whole session

    def transcript(self) -> bytes:
        """SHA-256 over the session and the running hash of every direction and bucket: equal on both sides whenever
        all that was sent was received."""
        digest = hashlib.sha256(hello.TRANSCRIPT_LABEL.encode() + self.session)
        for (role, bucket), line in sorted(self._lines.items()):
            digest.update(role.encode().ljust(16, b"\0") + bucket.to_bytes(4, "little") + line.hash.digest())
        return digest.digest()

    def confirm(self) -> bytes:
        """Both sides sign the transcript so far and check the other's; the transcript. Both must call it.

        Raises BadMessage where the peer saw another transcript.
        """
        digest = self.transcript()
        signature = self._me.sign(hello.TRANSCRIPT_LABEL, digest + self.role.encode())
        self.send_batch("confirm", one_row(_CONFIRM, [digest, signature]))
        theirs = self.receive_row("confirm", _CONFIRM)
        if _only(theirs, "digest") != digest:
            raise BadMessage("The two sides did not see the same messages.")
        signed = digest + self.peer_role.encode()
        hello.verify(self._peer_key, hello.TRANSCRIPT_LABEL, signed, _only(theirs, "signature"))
        return digest

    def abort(self, code: Abort) -> None:
        """Tell the peer that the session is over, as far as it can be told, and close the transport."""
        with suppress(ProtocolError):
            line = self._line(self.role, 0)
            header = Header(Kind.ABORT, self.session, self.role, "abort", 0, line.sequence, 2)
            self._transport.send([header.pack(), code.to_bytes(2, "little")])
        self._transport.close()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, PeerAborted):
            self._transport.close()
        elif isinstance(error, ProtocolError):
            self.abort(Abort.BAD_MESSAGE if isinstance(error, BadMessage) else Abort.CHECK_FAILED)
        else:
            self.abort(Abort.FAILED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._fail(error)

    @property
    def sent(self) -> int:
        """Bytes that left on this transport."""
        return self._transport.sent

    @property
    def received(self) -> int:
        """Bytes that came on this transport."""
        return self._transport.received

    def _line(self, role: str, bucket: int) -> _Line:
        return self._lines.setdefault((role, bucket), _Line())


def _only(batch: pa.RecordBatch, column: str) -> bytes:
    value: bytes = batch.column(column)[0].as_py()
    return value
