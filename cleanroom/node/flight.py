"""Arrow Flight under mutual TLS 1.3: the only way in and out of a node. It carries; what may be said is not decided
here.

The server trusts exactly the certificates of the pinned peers, a client exactly that of the peer it dials. A call is an
action of a name and a body, answered by a body; a wire is an exchange of `link` messages, with the payload as bytes.
"""

import os

os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", "ECDHE-RSA-AES128-GCM-SHA256")
# The suites that gRPC offers below TLS 1.3, which it cannot be told to leave out: none that fits our certificates,
# whose keys are ECDSA's. So there is no TLS 1.2.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import contextlib
import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
from pyarrow import flight

from cleanroom.errors import Interrupted, Refused
from cleanroom.node.certificate import HOST
from cleanroom.node.peers import Peer, trusted
from protocols.errors import BadMessage

MOST_BODY = 8 << 20
_SCHEMA = pa.schema([pa.field("bytes", pa.uint8(), nullable=False)])
_DONE = b"done"
_KEEPALIVE_MS = 10_000
_ANEW_SECONDS = 2.0
"""For so long a node that listens anew may refuse connections."""

Call = Callable[[str, bytes], bytes]
"""name, body → body. It raises nothing: errors are bodies too."""
Carry = Callable[[bytes, "ServerExchange"], None]
"""What the dialler said first, and the exchange."""
Whose = Callable[[bytes], str]
"""What the dialler said first → the peer that it is; "" for none."""


class Server(flight.FlightServerBase):
    """Listens from the moment it is made until `stop`."""

    def __init__(self, listen: str, certificate: bytes, key: bytes, trusted: bytes, call: Call, carry: Carry,
                 whose: Whose, most_exchanges: int) -> None:  # fmt: skip
        """listen: host:port; trusted: certificates of the peers, PEM after PEM. Raises Interrupted where the port is
        taken."""
        self._call, self._carry = call, carry
        self._whose, self._most = whose, most_exchanges
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._open: set[ServerExchange] = set()
        try:
            super().__init__(f"grpc+tls://{listen}", tls_certificates=[(certificate, key)], verify_client=True,
                             root_certificates=trusted or certificate)  # fmt: skip
        except (pa.ArrowException, OSError) as error:
            raise Interrupted("The node cannot listen on {address}.", "Is another node running?",
                              address=listen) from error  # fmt: skip

    def do_action(self, context: flight.ServerCallContext, action: flight.Action) -> Iterator[flight.Result]:
        """One call."""
        body = action.body
        if body.size > MOST_BODY:
            raise flight.FlightServerError("too long")
        yield flight.Result(self._call(action.type, body.to_pybytes()))

    def do_exchange(self, context: flight.ServerCallContext, descriptor: flight.FlightDescriptor,
                    reader: Any, writer: Any) -> None:  # fmt: skip
        """One wire, for as long as it lasts."""
        first = bytes(descriptor.command)
        name = self._take_place(first)
        exchange = ServerExchange(reader, writer)
        self._open.add(exchange)
        try:
            self._carry(first, exchange)
        finally:
            self._open.discard(exchange)
            with self._lock:
                self._counts[name] -= 1

    def _take_place(self, first: bytes) -> str:
        """Whose exchange it is. A quarter of all places is the most that one peer has: a handler that waits for a
        silent peer cannot be ended from here."""
        name = self._whose(first)
        most = max(2, self._most // 4) if name else 2
        with self._lock:
            if self._counts[name] >= most or self._counts.total() >= self._most:
                raise flight.FlightUnavailableError("too many exchanges")
            self._counts[name] += 1
        return name

    def stop(self) -> None:
        """Stop listening; wires break, and go on at the next server."""
        for exchange in list(self._open):
            exchange.close()
        self.shutdown()


class ServerExchange:
    """A dialled exchange, at the node that was dialled."""

    def __init__(self, reader: Any, writer: Any) -> None:
        self._reader, self._writer, self._closed = reader, writer, False
        writer.begin(_SCHEMA)

    def send(self, header: bytes, payload: memoryview | None) -> None:
        """See link.Exchange."""
        if self._closed:
            raise EOFError
        _write(self._writer, header, payload)

    def receive(self) -> tuple[bytes, memoryview]:
        """See link.Exchange."""
        return _read(self._reader, lambda: self._closed)

    def done(self) -> None:
        """The dialler ends it."""

    def close(self) -> None:
        """Nothing of it is used any more; the dialler hears so when the handler returns, at the next message at the
        latest."""
        self._closed = True

    def free(self) -> None:
        """See link.Exchange."""


class ClientExchange:
    """A dialled exchange, at the node that dialled."""

    def __init__(self, client: flight.FlightClient, first: bytes) -> None:
        self._closed = False
        self._writer, self._reader = client.do_exchange(flight.FlightDescriptor.for_command(first))
        self._writer.begin(_SCHEMA)

    def send(self, header: bytes, payload: memoryview | None) -> None:
        """See link.Exchange."""
        _write(self._writer, header, payload)

    def receive(self) -> tuple[bytes, memoryview]:
        """See link.Exchange."""
        return _read(self._reader, lambda: self._closed)

    def done(self) -> None:
        """See link.Exchange. A word of our own: gRPC's half-close, told while the reader fails, ends the process."""
        self._writer.write_metadata(_DONE)

    def close(self) -> None:
        """See link.Exchange."""
        self._closed = True
        self._reader.cancel()

    def free(self) -> None:
        """See link.Exchange; a writer that is let go of unclosed complains on standard error."""
        with contextlib.suppress(pa.ArrowException, OSError):
            self._writer.close()


class Client:
    """Calls and wires to one peer. Thread-safe; made anew where the peer's certificate changes."""

    def __init__(self, peer: Peer, certificate: bytes, key: bytes, connect: float) -> None:
        """connect: seconds that a call may take."""
        self.peer, self._seconds = peer, connect
        options = [("grpc.keepalive_time_ms", _KEEPALIVE_MS), ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
                   ("grpc.http2.max_pings_without_data", 0), ("grpc.max_reconnect_backoff_ms", 2000),
                   ("grpc.initial_reconnect_backoff_ms", 200),
                   ("grpc.enable_retries", 0)]  # fmt: skip
        roots = b"".join(trusted(peer, dt.datetime.now(dt.UTC)))
        self._client = flight.FlightClient(
            peer.url, tls_root_certs=roots, cert_chain=certificate, private_key=key, override_hostname=HOST,
            generic_options=options,
        )  # fmt: skip

    def call(self, name: str, body: bytes, seconds: float | None = None) -> bytes:
        """The answer to a call. Raises Interrupted where the peer is not reached."""
        options = flight.FlightCallOptions(timeout=seconds or self._seconds)
        until = time.monotonic() + _ANEW_SECONDS
        while True:
            try:
                results = list(self._client.do_action(flight.Action(name, body), options))
                break
            except (pa.ArrowException, OSError) as error:
                if "Connection refused" not in str(error) or time.monotonic() > until:
                    raise self._away(error) from error
                time.sleep(_ANEW_SECONDS / 10)
        if len(results) != 1 or results[0].body.size > MOST_BODY:
            raise BadMessage("A message has an unknown form.")
        return bytes(results[0].body.to_pybytes())

    def exchange(self, first: bytes) -> ClientExchange:
        """A new exchange. Raises Interrupted where the peer is not reached."""
        try:
            return ClientExchange(self._client, first)
        except (pa.ArrowException, OSError) as error:
            raise self._away(error) from error

    def _away(self, error: Exception) -> Exception:
        text = str(error)
        if "certificate verify failed" in text:
            return Refused("The node of {party} shows another certificate than the one that is pinned.",
                           "Ask its people, then take the new one: cleanroom peer renew",
                           party=self.peer.name)  # fmt: skip
        if "Socket closed" in text or "bad certificate" in text or "unknown ca" in text:
            return Interrupted("The node of {party} does not let this node in.",
                               "Has it added this node as a peer? See cleanroom peer card.",
                               party=self.peer.name)  # fmt: skip
        return Interrupted("The node of {party} cannot be reached.", "Is it running, and is its address right?",
                           party=self.peer.name)  # fmt: skip

    def close(self) -> None:
        """Hang up."""
        self._client.close()


def _write(writer: Any, header: bytes, payload: memoryview | None) -> None:
    if payload is None:
        writer.write_metadata(header)
        return
    column = pa.Array.from_buffers(pa.uint8(), len(payload), [None, pa.py_buffer(payload)])
    writer.write_with_metadata(pa.RecordBatch.from_arrays([column], schema=_SCHEMA), header)


def _read(reader: Any, closed: Callable[[], bool]) -> tuple[bytes, memoryview]:
    try:
        chunk = reader.read_chunk()
    except StopIteration as error:
        raise EOFError from error
    if closed():
        raise EOFError
    if chunk.app_metadata is None:
        raise BadMessage("A message has an unknown form.")
    header = chunk.app_metadata.to_pybytes()
    if header == _DONE:
        raise EOFError
    if chunk.data is None:
        return header, memoryview(b"")
    if not chunk.data.schema.equals(_SCHEMA) or chunk.data.column(0).null_count:
        raise BadMessage("A message has an unknown form.")
    column = chunk.data.column(0)
    return header, memoryview(column.buffers()[1])[column.offset : column.offset + len(column)]
