"""A TCP line between two nodes on this machine that a test can cut, stop, slow down or alter."""

import contextlib
import socket
import struct
import threading
import time
from collections import deque

_CHUNK = 1 << 16
_AHEAD = 4 << 20
"""Bytes that may be on the way in one direction."""


class Proxy:
    """Listens on loopback and passes every connection on to `port`. delay: seconds each way; rate: bytes a second each
    way, of all connections together, 0 for no bound. passed: bytes that went through; ways: those out to `port`, and
    back."""

    def __init__(self, port: int, *, delay: float = 0.0, rate: float = 0.0) -> None:
        self.target, self.delay, self.rate = port, delay, rate
        self.passed = self.connections = self.cuts = 0
        self.ways = {"out": 0, "back": 0}
        self._changed = threading.Condition()
        self._closed = self._holed = False
        self._cut_at = self._flip_at = 0
        self._open: set[socket.socket] = set()
        self._free_at = {"out": 0.0, "back": 0.0}
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()

    @property
    def url(self) -> str:
        """What a node dials."""
        return f"grpc+tls://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections now; new ones pass."""
        with self._changed:
            found, self._open = self._open, set()
            self.cuts += bool(found)
        for each in found:
            _reset(each)

    def cut_after(self, count: int) -> None:
        """Reset all connections once so many bytes more have passed."""
        with self._changed:
            self._cut_at = self.passed + count

    def flip_after(self, count: int) -> None:
        """Alter one bit once so many bytes more have passed."""
        with self._changed:
            self._flip_at = self.passed + count

    def hole(self) -> None:
        """Pass nothing on, and close nothing."""
        self._holed = True

    def heal(self) -> None:
        """Pass on again."""
        with self._changed:
            self._holed = False
            self._changed.notify_all()

    def close(self) -> None:
        """End it."""
        with self._changed:
            self._closed, self._holed = True, False
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), 5)
            except OSError:
                _reset(near)
                continue
            far.settimeout(None)
            self.connections += 1
            with self._changed:
                self._open |= {near, far}
            for way, come, go in (("out", near, far), ("back", far, near)):
                _Way(self, way, come, go)

    def _pass(self, way: str, chunk: bytes, go: socket.socket) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._holed)
            self.passed += len(chunk)
            self.ways[way] += len(chunk)
            if self._flip_at and self.passed >= self._flip_at:
                self._flip_at = 0
                chunk = chunk[:-1] + bytes([chunk[-1] ^ 1])
            cut = bool(self._cut_at) and self.passed >= self._cut_at
            if cut:
                self._cut_at = 0
        if cut:
            self.cut()
        go.sendall(chunk)

    def _due(self, way: str, count: int) -> float:
        """When so many bytes that came now are to go on."""
        now = time.monotonic()
        with self._changed:
            begin = max(now, self._free_at[way])
            self._free_at[way] = begin + (count / self.rate if self.rate else 0.0)
            return self._free_at[way] + self.delay


class _Way:
    """One direction of a connection: a thread that reads, and one that writes when it is time."""

    def __init__(self, proxy: Proxy, way: str, come: socket.socket, go: socket.socket) -> None:
        self._proxy, self._way, self._come, self._go = proxy, way, come, go
        self._changed = threading.Condition()
        self._queue: deque[tuple[float, bytes]] = deque()
        self._ahead = 0
        for work in (self._read, self._write):
            threading.Thread(target=work, name=f"proxy-{way}", daemon=True).start()

    def _read(self) -> None:
        chunk = b"-"
        while chunk:
            try:
                chunk = self._come.recv(_CHUNK)
            except OSError:
                chunk = b""
            due = self._proxy._due(self._way, len(chunk))
            with self._changed:
                self._changed.wait_for(lambda: self._ahead < _AHEAD)
                self._queue.append((due, chunk))
                self._ahead += len(chunk)
                self._changed.notify_all()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue)
                due, chunk = self._queue.popleft()
                self._ahead -= len(chunk)
                self._changed.notify_all()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not chunk:
                    self._go.shutdown(socket.SHUT_WR)
                    return
                self._proxy._pass(self._way, chunk, self._go)
            except OSError:
                for each in (self._come, self._go):
                    _reset(each)
                with self._changed:
                    self._ahead = 0  # the reader ends too
                    self._changed.notify_all()
                return


def _reset(line: socket.socket) -> None:
    """Close it so that the other side sees a reset, and whoever reads it here an end."""
    with contextlib.suppress(OSError):
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RD)
    line.close()
