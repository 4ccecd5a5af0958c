"""As much of Flight SQL as a query needs, on loopback, over DuckDB: prepare, look at the schema, run, close.

Messages are those of https://arrow.apache.org/docs/format/FlightSql.html, written by hand since pyarrow has none.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow import flight

_SQL = "type.googleapis.com/arrow.flight.protocol.sql."
TOKEN = "made-up-token"


class _Check(flight.ServerMiddlewareFactory):
    def start_call(self, info: Any, headers: dict[str, list[str]]) -> None:
        if headers.get("authorization") != [f"Bearer {TOKEN}"]:
            raise flight.FlightUnauthenticatedError("no 13912345678")


class Server(flight.FlightServerBase):
    """tables: by name, as DuckDB sees them; a statement's handle is its text."""

    def __init__(self, token: bool = False) -> None:
        super().__init__("grpc://127.0.0.1:0", middleware={"check": _Check()} if token else {})
        self.tables: dict[str, pa.Table] = {}
        self.queries: list[str] = []

    def _run(self, query: str) -> pa.Table:
        self.queries.append(query)
        with duckdb.connect() as connection:
            for name, table in self.tables.items():
                connection.register(name, table)
            try:
                return connection.sql(query).to_arrow_table()
            except duckdb.CatalogException:
                raise KeyError("no table 机密13912345678") from None
            except duckdb.Error:
                raise pa.ArrowInvalid("no such thing as 机密13912345678") from None

    def do_action(self, context: Any, action: flight.Action) -> list[bytes]:
        if action.type == "CreatePreparedStatement":
            query = _field(_field(action.body.to_pybytes(), 2), 1)
            schema = self._run(query.decode()).schema.serialize().to_pybytes()
            return [_any("ActionCreatePreparedStatementResult", _bytes(1, query) + _bytes(2, schema))]
        return []

    def get_schema(self, context: Any, descriptor: flight.FlightDescriptor) -> flight.SchemaResult:
        return flight.SchemaResult(self._run(_handle(descriptor).decode()).schema)

    def get_flight_info(self, context: Any, descriptor: flight.FlightDescriptor) -> flight.FlightInfo:
        if b"GetSqlInfo" in descriptor.command:
            raise NotImplementedError("what the server can do")
        handle = _handle(descriptor)
        ends = [flight.FlightEndpoint(handle, [])]
        return flight.FlightInfo(self._run(handle.decode()).schema, descriptor, ends, -1, -1)

    def do_get(self, context: Any, ticket: flight.Ticket) -> flight.RecordBatchStream:
        return flight.RecordBatchStream(self._run(ticket.ticket.decode()))


@contextmanager
def serving(*, token: bool = False) -> Iterator[Server]:
    """A running server."""
    server = Server(token)
    try:
        yield server
    finally:
        server.shutdown()


def _handle(descriptor: flight.FlightDescriptor) -> bytes:
    return _field(_field(descriptor.command, 2), 1)


def _any(name: str, value: bytes) -> bytes:
    return _bytes(1, f"{_SQL}{name}".encode()) + _bytes(2, value)


def _bytes(number: int, value: bytes) -> bytes:
    """A field of bytes in protobuf."""
    return bytes([number << 3 | 2]) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def _field(message: bytes, number: int) -> bytes:
    """The field of bytes with this number."""
    place = 0
    while place < len(message):
        tag, place = message[place], place + 1
        size = shift = 0
        while True:
            size |= (message[place] & 127) << shift
            shift, place = shift + 7, place + 1
            if message[place - 1] < 128:
                break
        if tag >> 3 == number:
            return message[place : place + size]
        place += size
    raise KeyError(number)
