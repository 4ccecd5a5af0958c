"""One wire of a run, carried to a peer's node over exchanges that may break: every byte arrives once and in order.

A wire is a worker's socket: a stream of bytes, each way. The link numbers the bytes, keeps those that the peer has not
acknowledged (a bounded window), and after a cut goes on, on a new exchange, with the first that the peer has not got.
It does not read the bytes: the channel within them refuses whatever was changed.

Every message is 24 bytes, little-endian, and for DATA a payload: magic 4 · version 1 · kind 1 · side 1 · zero 1 ·
offset 8 · acknowledged 8. side: which of the two sorted names its sender is. The end of a wire counts as one more byte.
"""

import contextlib
import json
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from cleanroom.errors import CleanroomError, Interrupted
from cleanroom.node.control import known_error, pack_error
from protocols.errors import BadMessage

MAGIC = b"OCRL"
VERSION = 1
CHUNK_BYTES = 1 << 18
"""The most payload of one message."""
BEAT_SECONDS = 1.0
"""How often something is said where there is nothing to say."""
_LAYOUT = struct.Struct("<4sBBBBQQ")
_ACK_BYTES = 1 << 20
_MOST_ERROR_BYTES = 1 << 13


class Kind(IntEnum):
    """What a message is. OPEN is the first of an exchange; ACK says how far its sender has come; FAIL ends the run."""

    OPEN = 1
    DATA = 2
    ACK = 3
    END = 4
    FAIL = 5


class Exchange(Protocol):
    """Messages both ways, in order, until it breaks; any exception but ours means that it broke."""

    def send(self, header: bytes, payload: memoryview | None) -> None:
        """Send one; waits while the peer does not read."""

    def receive(self) -> tuple[bytes, memoryview]:
        """The next one. Raises EOFError where there is none any more."""

    def done(self) -> None:
        """Nothing more is sent."""

    def close(self) -> None:
        """Break it, from any thread."""

    def free(self) -> None:
        """Nobody uses it any more."""


@dataclass(frozen=True)
class Patience:
    """silent: seconds in which a peer that has nothing to say still says so; resume: how long a cut may last."""

    silent: float = 60.0
    resume: float = 120.0


class Link:
    """One end. `carry` is called with one exchange after the other until `over`."""

    def __init__(self, me: str, peer: str, wire: socket.socket, window: int, patience: Patience) -> None:
        self.peer = peer
        self._names = sorted((me, peer))
        self._side = self._names.index(me)
        self._ack_bytes = min(_ACK_BYTES, window // 4)
        self.failure: Exception | None = None
        self.sent = self.received = self.cuts = self.repeated = 0
        self._wire, self._window, self._patience = wire, window, patience
        self._changed = threading.Condition()
        self._kept: deque[tuple[int, memoryview]] = deque()
        self._read = self._acknowledged = self._next = 0
        self._read_all = self._ended = False
        self._told = 0
        self._exchange: Exchange | None = None
        self._finished = False
        self._heard = 0.0
        self._down_since = time.monotonic()
        self._met = False
        threading.Thread(target=self._read_wire, name="link-wire", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether nothing is left to be carried."""
        return self._finished or self.failure is not None

    @property
    def acknowledged(self) -> int:
        """Bytes that the peer has."""
        return self._acknowledged

    def check(self) -> None:
        """To be called about once a second: gives up an exchange on which nothing comes, and a link that has been
        without one for too long."""
        now = time.monotonic()
        with self._changed:
            exchange = self._exchange
            silent = self._heard and now - self._heard > self._patience.silent
            if exchange is not None and silent:
                self._down_since = now if self._met else self._down_since
                self._exchange, self._met, self._heard = None, False, 0.0
                self.cuts += 1
                self._changed.notify_all()
            lost = not self._met and now - self._down_since > self._patience.resume
        if exchange is not None and (silent or lost):
            exchange.close()
        if lost:
            self.fail(
                Interrupted(
                    "The link between {party} and {peer} was lost for {seconds} seconds.",
                    "Are both nodes running, and does the network let them meet? Run it again.",
                    party=self._names[0],
                    peer=self._names[1],
                    seconds=round(self._patience.resume),
                )
            )

    def fail(self, error: Exception) -> None:
        """End it with this error, here and (as far as it can be told) at the peer."""
        with self._changed:
            if self.over:
                return
            self.failure = error
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._wire.shutdown(socket.SHUT_RDWR)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over; whether it is."""
        with self._changed:
            return self._changed.wait_for(lambda: self.over, seconds)

    # -- the wire

    def _read_wire(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self.over or self._read - self._acknowledged < self._window)
                if self.over:
                    return
            try:
                chunk = self._wire.recv(CHUNK_BYTES)
            except OSError:
                chunk = b""
            with self._changed:
                if chunk:
                    self._kept.append((self._read, memoryview(chunk)))
                    self._read += len(chunk)
                else:
                    self._read_all = True
                self._changed.notify_all()
            if not chunk:
                return

    # -- one exchange

    def carry(self, exchange: Exchange) -> None:
        """Carry the link over this exchange until it ends; an older one gives way. `over` tells whether that was
        all."""
        with self._changed:
            old, self._exchange, self._heard = self._exchange, exchange, 0.0
            if self._met:
                self._met, self._down_since = False, time.monotonic()
        if old is not None:
            old.close()
        sender = threading.Thread(target=self._send_all, args=(exchange,), name="link-sender", daemon=True)
        try:
            exchange.send(_pack(Kind.OPEN, self._side, 0, self.received), None)
            self._resume(*self._hear(exchange))
            sender.start()
            while self._exchange is exchange:
                self._take(*self._hear(exchange))
        except (BadMessage, CleanroomError) as error:
            self.fail(error)
            if sender.ident is None:  # else it tells the peer
                with contextlib.suppress(Exception):
                    refuse(exchange, error)
        except Exception:  # noqa: BLE001 - whatever a broken transport raises, the link goes on by another
            self.cuts += not self.over
        finally:
            self._leave(exchange, told=sender.ident is not None)
            if sender.ident is not None:
                sender.join()  # nobody may use the exchange after this returns
            exchange.free()

    def _leave(self, exchange: Exchange, *, told: bool) -> None:
        """told: by the sender, where the link has failed, which takes a moment."""
        with self._changed:
            if self.failure is not None and told:
                self._changed.wait_for(lambda: self._exchange is not exchange, 2 * BEAT_SECONDS)
            if self._exchange is exchange:
                self._down_since = time.monotonic() if self._met else self._down_since
                self._exchange, self._met = None, False
            self._changed.notify_all()
        exchange.close()

    def _hear(self, exchange: Exchange) -> tuple[bytes, memoryview]:
        """The next message; only while it is waited for does the peer count as silent."""
        self._heard = time.monotonic()
        message = exchange.receive()
        self._heard = 0.0
        return message

    def _resume(self, header: bytes, payload: memoryview) -> None:
        kind, _, acknowledged = self._unpack(header, payload)
        if kind is Kind.FAIL:
            raise told(bytes(payload), self.peer)
        if kind is not Kind.OPEN:
            raise BadMessage("A message is out of order, repeated or missing.")
        with self._changed:
            self._acknowledge(acknowledged)
            self._met = True
            self.repeated += max(0, self._next - acknowledged)
            self._next = acknowledged
            self._changed.notify_all()

    def _acknowledge(self, count: int) -> None:
        """The peer has so many bytes, the end counted. Raises BadMessage where it cannot have them."""
        if not self._acknowledged <= count <= self._read + self._read_all:
            raise BadMessage("A message is out of order, repeated or missing.")
        self._acknowledged = count
        while self._kept and self._kept[0][0] + len(self._kept[0][1]) <= count:
            self._kept.popleft()

    def _take(self, header: bytes, payload: memoryview) -> None:
        """One message of the peer."""
        kind, offset, acknowledged = self._unpack(header, payload)
        if kind is Kind.FAIL:
            raise told(bytes(payload), self.peer)
        with self._changed:
            self._acknowledge(acknowledged)
            self._changed.notify_all()
        if kind is Kind.DATA:
            self._deliver(offset, payload)
        elif kind is Kind.END:
            self._check_place(offset)
            with contextlib.suppress(OSError):
                self._wire.shutdown(socket.SHUT_WR)
            with self._changed:
                self._ended, self.received = True, self.received + 1
                self._changed.notify_all()
        elif kind is not Kind.ACK or offset != self.received:
            raise BadMessage("A message is out of order, repeated or missing.")
        self._check_finished()

    def _unpack(self, header: bytes, payload: memoryview) -> tuple[Kind, int, int]:
        kind, side, offset, acknowledged = _unpack(header)
        if kind not in (Kind.DATA, Kind.FAIL) and len(payload):
            raise BadMessage("A message is longer than was declared.")
        if kind is not Kind.FAIL and side == self._side:
            raise BadMessage("A message of this side came back.")
        return kind, offset, acknowledged

    def _check_place(self, offset: int) -> None:
        if offset != self.received or self._ended:
            raise BadMessage("A message is out of order, repeated or missing.")

    def _deliver(self, offset: int, payload: memoryview) -> None:
        self._check_place(offset)
        if not 0 < len(payload) <= CHUNK_BYTES:
            raise BadMessage("A message is longer than was declared.")
        with contextlib.suppress(OSError):  # a worker that is gone reads no more; its end goes back by its wire
            self._wire.sendall(payload)
        with self._changed:
            self.received += len(payload)
            if self.received - self._told >= self._ack_bytes:
                self._changed.notify_all()

    def _check_finished(self) -> None:
        with self._changed:
            done = self._ended and self._read_all and self._acknowledged == self._read + 1
            if done and self._told == self.received:
                self._finished = True
                self._changed.notify_all()

    # -- out

    def _send_all(self, exchange: Exchange) -> None:
        try:
            while (message := self._next_message(exchange)) is not None:
                kind, offset, payload = message
                with self._changed:
                    told = self.received
                exchange.send(_pack(kind, self._side, offset, told), payload)
                with self._changed:
                    self._told = told
                if kind is Kind.DATA and payload is not None:
                    self.sent += len(payload)
                if kind is Kind.FAIL:
                    break
                self._check_finished()
            if self.over:
                exchange.done()
            else:
                exchange.close()
        except Exception:  # noqa: BLE001 - as in carry, which sees the same
            exchange.close()
        with self._changed:
            if self.failure is not None and self._exchange is exchange:
                self._exchange = None
            self._changed.notify_all()

    def _next_message(self, exchange: Exchange) -> tuple[Kind, int, memoryview | None] | None:
        """What is to be sent next; None where there is nothing more to be sent on this exchange."""
        deadline = time.monotonic() + BEAT_SECONDS
        with self._changed:
            while self._exchange is exchange and not self._finished:
                if self.failure is not None:
                    return Kind.FAIL, self._next, memoryview(json.dumps(pack_error(self.failure)).encode())
                if self._next < self._read:
                    return self._chunk()
                if self._read_all and self._next == self._read:
                    self._next += 1
                    return Kind.END, self._read, None
                unsaid = self.received - self._told
                if unsaid >= self._ack_bytes or (unsaid and self._ended) or time.monotonic() >= deadline:
                    return Kind.ACK, self._next, None
                self._changed.wait(max(0.0, deadline - time.monotonic()))
        return None

    def _chunk(self) -> tuple[Kind, int, memoryview]:
        for start, chunk in self._kept:
            if start <= self._next < start + len(chunk):
                offset, rest = self._next, chunk[self._next - start :]
                self._next += len(rest)
                return Kind.DATA, offset, rest
        raise BadMessage("A message is out of order, repeated or missing.")


def told(content: bytes, peer: str) -> Exception:
    """The error that a peer ended a run with: in its words, where they are ours too."""
    try:
        return known_error(json.loads(content[:_MOST_ERROR_BYTES]))
    except (ValueError, RecursionError):
        return Interrupted("{party} ended the run.", "See its own message.", party=peer)


def _pack(kind: Kind, side: int, offset: int, acknowledged: int) -> bytes:
    return _LAYOUT.pack(MAGIC, VERSION, kind, side, 0, offset, acknowledged)


def _unpack(header: bytes) -> tuple[Kind, int, int, int]:
    try:
        magic, version, kind, side, zero, offset, acknowledged = _LAYOUT.unpack(header)
        if (magic, version, zero) != (MAGIC, VERSION, 0) or side > 1:
            raise ValueError
        return Kind(kind), side, offset, acknowledged
    except (struct.error, ValueError) as error:
        raise BadMessage("A message has an unknown form.") from error


def refuse(exchange: Exchange, error: Exception) -> None:
    """Answer an exchange that belongs to no link."""
    exchange.send(_pack(Kind.FAIL, 0, 0, 0), memoryview(json.dumps(pack_error(error)).encode()))
