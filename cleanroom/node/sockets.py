"""A channel's transport over a connected stream socket: a socket pair between local processes, or TCP within a tunnel.

Each frame goes out with its length before it. A thread writes, so that a role computes while it sends; what it may
have ahead of it is bounded, and a sender that has to wait reads what comes meanwhile, so two senders never block each
other. A peer's death is seen only if no other process holds a copy of its end of the socket.
"""

import queue
import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from protocols.channel import MOST_FRAME_BYTES
from protocols.errors import BadMessage, PeerAborted
from protocols.header import BYTES

_LENGTH = struct.Struct("<Q")
_FRAMES_AHEAD = 8
_SOCKET_BUFFER = 1 << 20
_CLOSE_SECONDS = 5.0
_POLL_SECONDS = 0.001
_Buffer = Any  # bytes, memoryview or Arrow buffer: whatever sendmsg takes


class SocketTransport:
    """Frames over `sock`, which it owns. timeout: seconds of silence, or of a peer that does not read, after which the
    peer counts as gone; it must outlast the longest computation between two messages."""

    def __init__(self, sock: socket.socket, timeout: float = 600.0) -> None:
        sock.settimeout(timeout)
        for buffer in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            sock.setsockopt(socket.SOL_SOCKET, buffer, _SOCKET_BUFFER)
        self._socket, self._timeout = sock, timeout
        self._sent = self._received = 0
        self._ahead: deque[memoryview] = deque()
        self._failure: OSError | None = None
        self._outbox: queue.Queue[list[_Buffer] | None] = queue.Queue(_FRAMES_AHEAD)
        self._writer = threading.Thread(target=self._write, name="channel-writer", daemon=True)
        self._writer.start()

    @property
    def sent(self) -> int:
        """Bytes handed over to be sent, lengths included."""
        return self._sent

    @property
    def received(self) -> int:
        """Bytes that came, lengths included."""
        return self._received

    def send(self, frame: Sequence[_Buffer]) -> None:
        """Queue a frame; waits while eight are queued. Raises PeerAborted."""
        parts = [memoryview(part).cast("B") for part in frame if memoryview(part).nbytes]
        size = sum(part.nbytes for part in parts)
        self._put([_LENGTH.pack(size), *parts])
        self._sent += _LENGTH.size + size

    def _put(self, frame: list[_Buffer] | None) -> None:
        wait = _POLL_SECONDS
        while not self._failure:
            try:
                return self._outbox.put(frame, timeout=wait)
            except queue.Full:
                readable, _, _ = select.select([self._socket], [], [], 0)
                if readable:
                    self._ahead.append(self._read_frame())
                wait = 0.0 if readable else _POLL_SECONDS
        raise _gone(self._failure, self._timeout)

    def receive(self) -> memoryview:
        """The next frame. Raises PeerAborted, BadMessage for a frame above the cap."""
        return self._ahead.popleft() if self._ahead else self._read_frame()

    def close(self) -> None:
        """Send what is queued, for some seconds at most, and close the socket."""
        if self._socket.fileno() < 0:
            return
        try:
            self._outbox.put(None, timeout=_CLOSE_SECONDS)
            self._writer.join(_CLOSE_SECONDS)
            self._socket.shutdown(socket.SHUT_RDWR)
        except (queue.Full, OSError):  # the peer reads no more: what is left is lost with the connection
            self._failure = self._failure or ConnectionAbortedError()
        self._socket.close()

    def _read_frame(self) -> memoryview:
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if size > BYTES + MOST_FRAME_BYTES:
            raise BadMessage("A message is longer than was declared.")
        return self._read(size)

    def _read(self, size: int) -> memoryview:
        content = memoryview(bytearray(size))
        rest = content
        try:
            while rest:
                got = self._socket.recv_into(rest)
                if not got:
                    raise ConnectionResetError
                rest = rest[got:]
        except OSError as error:
            raise _gone(error, self._timeout) from error
        self._received += size
        return content

    def _write(self) -> None:
        while (parts := self._outbox.get()) is not None:
            if self._failure:
                continue  # so that nobody waits for room in the queue
            try:
                self._write_all(parts)
            except OSError as error:
                self._failure = error

    def _write_all(self, parts: list[_Buffer]) -> None:
        while parts:
            done = self._socket.sendmsg(parts)
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if done:
                parts[0] = memoryview(parts[0])[done:]


def _gone(error: OSError, timeout: float) -> PeerAborted:
    if isinstance(error, TimeoutError):
        return PeerAborted("The peer has been silent for {seconds} seconds.", seconds=round(timeout))
    return PeerAborted("The connection to the peer is gone.", "Did its process end? See its own message.")
