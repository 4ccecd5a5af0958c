"""What travels over the one socket between a party and its enclave: JSON headers and Arrow streams, in turn.

A header is four bytes of length and a JSON object that starts with the version. Nothing is pickled.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = "cleanroom-enclave/1"
HEADER_LIMIT = 1 << 26
"""Bytes: earlier questions come in one, each with its condition in tokens."""
_STEP = 1 << 24


class WireEnded(ConnectionError):
    """The other end is closed or silent, or what it sent is not of this format."""


class Wire:
    """One end of the socket. Also the file that Arrow reads its streams from and writes them to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock, self.closed = sock, False

    def send(self, **fields: object) -> None:
        """Send a header."""
        header = json.dumps({"format": VERSION} | fields).encode()
        if len(header) > HEADER_LIMIT:
            raise WireEnded("header too long")
        self.write(len(header).to_bytes(4, "big") + header)

    def receive(self) -> dict[str, Any]:
        """The next header. Raises WireEnded at the end, and for another version or shape."""
        length = int.from_bytes(self._exactly(4), "big")
        if length > HEADER_LIMIT:
            raise WireEnded("header too long")
        try:
            header = json.loads(bytes(self._exactly(length)))
        except (ValueError, RecursionError):
            raise WireEnded("header is not JSON") from None
        if not isinstance(header, dict) or header.pop("format", None) != VERSION:
            raise WireEnded("header of another version")
        return header

    def send_stream(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        """Send `batches` as one Arrow stream."""
        import pyarrow as pa

        with pa.ipc.new_stream(pa.PythonFile(self, mode="w"), schema) as writer:
            for batch in batches:
                writer.write_batch(batch)

    def receive_stream(self) -> pa.RecordBatchReader:
        """The next Arrow stream, which must be read to its end before anything else is received."""
        import pyarrow as pa

        return pa.ipc.open_stream(pa.PythonFile(self, mode="r"))

    def receive_table(self) -> pa.Table:
        """All of the next Arrow stream. Raises WireEnded at the end, and for what is not sound."""
        import pyarrow as pa

        try:
            table = self.receive_stream().read_all()
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, MemoryError):
            raise WireEnded("rows are damaged") from None
        return table

    def read(self, size: int) -> memoryview:
        """Exactly `size` bytes, for Arrow."""
        return self._exactly(size)

    def write(self, data: Any) -> int:
        """Send all of `data`, for Arrow."""
        try:
            self._sock.sendall(data)
        except OSError:
            raise WireEnded("closed") from None
        return len(data)

    def flush(self) -> None:
        """Nothing waits here; Arrow asks."""

    def close(self) -> None:
        """Close the socket."""
        self.closed = True
        self._sock.close()

    def _exactly(self, size: int) -> memoryview:
        data, filled = bytearray(min(size, _STEP)), 0
        while filled < size:
            if filled == len(data):  # a length may lie: memory follows what came
                data.extend(bytes(min(filled, size - filled)))
            try:
                with memoryview(data)[filled:] as rest:
                    got = self._sock.recv_into(rest)
            except OSError:
                got = 0
            if not got:
                raise WireEnded("closed")
            filled += got
        return memoryview(data)
