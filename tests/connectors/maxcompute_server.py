"""As much of MaxCompute's REST and tunnel protocol as reading and overwriting a table needs, on loopback.

Written from what pyodps 0.13 sends and expects (its odps/models, odps/tunnel/tabletunnel.py, odps/tunnel/io/reader.py).
It is no copy of the service: a test against it shows that the client's side is right, not that the service agrees.
"""

import json
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa

KEY = "made-up-id"
CHUNK = 65_536
_PAGE = 2


@dataclass
class Table:
    """columns: (name, MaxCompute's type); keys: partition columns; parts: their values → rows."""

    columns: list[tuple[str, str]]
    parts: dict[tuple[str, ...], pa.Table]
    keys: list[str] = field(default_factory=list)

    def schema(self) -> dict[str, object]:
        def plain(pairs: list[tuple[str, str]]) -> list[dict[str, object]]:
            return [{"name": name, "type": kind, "comment": "", "isNullable": True} for name, kind in pairs]

        return {"columns": plain(self.columns), "partitionKeys": plain([(key, "string") for key in self.keys])}


@dataclass
class Service:
    """tables: by name; spoil: what goes wrong with data (cut, checksum, short, drop-once); denied: no rights."""

    tables: dict[str, Table] = field(default_factory=dict)
    spoil: str = ""
    denied: bool = False
    asked: list[str] = field(default_factory=list)
    uploads: dict[str, dict[str, object]] = field(default_factory=dict)
    endpoint: str = ""


@contextmanager
def serving() -> Iterator[Service]:
    """A running service."""
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def handle_one(self) -> None:
            with suppress(ConnectionError):  # a client may leave half-way
                _answer(service, self)

        do_GET = do_POST = do_PUT = handle_one

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.endpoint = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _answer(service: Service, handler: BaseHTTPRequestHandler) -> None:
    parts = urlsplit(handler.path)
    given = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
    body = _body(handler)
    service.asked.append(f"{handler.command} {handler.path}")
    names = [unquote(name) for name in parts.path.strip("/").split("/")]
    if not handler.headers.get("Authorization", "").startswith((f"ODPS {KEY}:", f"ODPS {KEY}/")):
        return _refuse(handler, 401, "ODPS-0410051", "Invalid credentials - accessKeyId not found")
    if service.denied:
        return _refuse(handler, 403, "NoPermission", "You have NO privilege on {acs:odps:*:secret-13912345678}")
    if names[-1] == "tunnel" and "service" in given:
        return _send(handler, handler.headers["Host"].encode(), "text/plain")
    if names[-2:-1] != ["tables"]:
        return _refuse(handler, 404, "NoSuchObject", "no such thing")
    table = service.tables.get(names[-1])
    if table is None:
        return _refuse(handler, 404, "NoSuchTable", "The specified table name does not exist.")
    if "partitions" in given:
        return _send(handler, _partitions(table, given.get("marker", "")))
    if not given.keys() - {"curr_schema", "curr_project"}:
        said = json.dumps(table.schema())
        xml = f"<Table><Name>{names[-1]}</Name><Schema format='Json'><![CDATA[{said}]]></Schema></Table>"
        return _send(handler, xml.encode())
    return _tunnel(service, handler, table, given, body)


def _tunnel(
    service: Service, handler: BaseHTTPRequestHandler, table: Table, given: dict[str, str], body: bytes
) -> None:
    spec = given.get("partition", "")
    values = tuple(part.partition("=")[2].strip("'") for part in spec.split(",")) if spec else ()
    if "uploads" in given or "uploadid" in given:
        return _upload(service, handler, table, given, body, values)
    if values not in table.parts:
        return _refuse(handler, 404, "NoSuchPartition", "The specified partition does not exist.")
    rows = table.parts[values]
    if "downloads" in given:
        count = rows.num_rows + (5 if service.spoil == "short" else 0)
        said = {"DownloadID": "d1", "Status": "normal", "RecordCount": count, "Schema": table.schema()}
        return _send(handler, json.dumps(said).encode(), "application/json")
    first, count = (int(one) for one in given["rowrange"].strip("()").split(","))
    chosen = given["columns"].split(",") if "columns" in given else rows.column_names
    wanted = rows.select([name for name in rows.column_names if name in chosen]).slice(first, count)
    messages = [batch.serialize().to_pybytes() for batch in wanted.to_batches(max_chunksize=100_000)]
    framed = framing(b"".join(messages), spoil=service.spoil == "checksum")
    cut = len(framed) // 2 if service.spoil in ("cut", "drop-once") else len(framed)
    service.spoil = "" if service.spoil == "drop-once" else service.spoil
    return _send(handler, framed[:cut], "application/octet-stream")


def _upload(
    service: Service, handler: BaseHTTPRequestHandler, table: Table, given: dict[str, str], body: bytes,
    values: tuple[str, ...],
) -> None:  # fmt: skip
    if "uploads" in given:
        number = f"u{len(service.uploads)}"
        service.uploads[number] = {"blocks": {}, "overwrite": given.get("overwrite") == "true"}
    else:
        number = given["uploadid"]
    upload = service.uploads[number]
    blocks: dict[int, pa.Table] = upload["blocks"]  # type: ignore[assignment]
    if handler.command == "PUT":
        if service.spoil == "cut":
            return _refuse(handler, 400, "IncompleteBody", "no")
        blocks[int(given["blockid"])] = _unframed(body, next(iter(table.parts.values())).schema)
    elif handler.command == "POST" and "uploads" not in given:
        table.parts[values] = pa.concat_tables([blocks[block] for block in sorted(blocks)])
    said = {
        "UploadID": number, "Status": "normal", "Schema": table.schema(), "MaxFieldSize": 8 << 20,
        "UploadedBlockList": [{"BlockID": block} for block in sorted(blocks)],
    }  # fmt: skip
    return _send(handler, json.dumps(said).encode(), "application/json")


def framing(data: bytes, *, spoil: bool = False) -> bytes:
    """Chunks as the tunnel sends them: the chunk's size first; a CRC-32C behind each; behind the last, of all."""
    framed = [struct.pack("!I", CHUNK)]
    full = len(data) // CHUNK * CHUNK
    for start in range(0, full, CHUNK):
        chunk = data[start : start + CHUNK]
        framed += [chunk, struct.pack("!I", _crc(chunk))]
    return b"".join([*framed, data[full:], struct.pack("!I", _crc(data) ^ spoil)])


def _unframed(body: bytes, schema: pa.Schema) -> pa.Table:
    size = struct.unpack("!I", body[:4])[0]
    data = b""
    rest = body[4:]
    while len(rest) >= size + 4:
        data, rest = data + rest[:size], rest[size + 4 :]
    data, last = data + rest[:-4], rest[-4:]
    if struct.unpack("!I", last)[0] != _crc(data):
        raise ValueError("checksum")
    return pa.ipc.open_stream(pa.py_buffer(schema.serialize().to_pybytes() + data)).read_all()


def _crc(data: bytes) -> int:
    from odps.tunnel.checksum import Checksum

    checksum = Checksum()
    checksum.update(data)
    return int(checksum.getvalue()) & 0xFFFFFFFF


def _partitions(table: Table, marker: str) -> bytes:
    start = int(marker or 0)
    parts = sorted(table.parts)[start : start + _PAGE]
    more = start + _PAGE if start + _PAGE < len(table.parts) else ""
    inner = "".join(
        "<Partition>"
        + "".join(f'<Column Name="{key}" Value="{value}"/>' for key, value in zip(table.keys, values, strict=True))
        + "</Partition>"
        for values in parts
    )
    return f"<Partitions><Marker>{more}</Marker><MaxItems>{_PAGE}</MaxItems>{inner}</Partitions>".encode()


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding") == "chunked":
        pieces = []
        while size := int(handler.rfile.readline(), 16):
            pieces.append(handler.rfile.read(size))
            handler.rfile.readline()
        handler.rfile.readline()
        return b"".join(pieces)
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _send(handler: BaseHTTPRequestHandler, content: bytes, kind: str = "application/xml", status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    handler.send_header("Content-Length", str(len(content)))
    handler.send_header("x-odps-request-id", "1")
    handler.end_headers()
    handler.wfile.write(content)


def _refuse(handler: BaseHTTPRequestHandler, status: int, code: str, message: str) -> None:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message><RequestId>1</RequestId><HostId>h</HostId></Error>"
    _send(handler, xml.encode(), status=status)
