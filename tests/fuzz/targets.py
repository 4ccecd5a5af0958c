"""Everything that parses: an example or two of each, how it is read, and the errors that may come of it."""

import gzip
import io
import socket

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom.enclave.wire import Wire, WireEnded
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.gate import ask
from connectors.files import sheet
from connectors.open import open_source
from protocols import hello, payload
from protocols.channel import Channel
from protocols.header import Header, Kind, unpack
from tests.fuzz.base import CANARY, OURS, PUBLIC, Target, written
from tests.fuzz.signed import SIGNED
from tests.gate.parts import SCHEMA

# -- what travels


_SCHEMAS = (
    pa.schema([pa.field("row", pa.binary(32), nullable=False)]),
    pa.schema([pa.field("number", pa.int64()), pa.field("text", pa.string()), pa.field("flag", pa.bool_())]),
    pa.schema([pa.field("list", pa.list_(pa.int32())), pa.field("code", pa.dictionary(pa.int32(), pa.string()))]),
)


def _payloads() -> list[bytes]:
    batches = [
        pa.record_batch([pa.array([b"x" * 32, b"y" * 32], pa.binary(32))], schema=_SCHEMAS[0]),
        pa.record_batch(
            {"number": [1, None, 3], "text": [CANARY, None, "é"], "flag": [True, None, False]}, schema=_SCHEMAS[1]
        ),
    ]
    return [b"".join(bytes(part) for part in payload.encode(batch)) for batch in batches]


def _read_payload(content: bytes) -> None:
    for schema in _SCHEMAS[:2]:
        if content[: payload.FINGERPRINT_BYTES] == payload.fingerprint(schema):
            payload.decode(memoryview(content), schema, 10).to_pylist()
            return
    payload.decode(memoryview(content), _SCHEMAS[0], 10)


def _hellos() -> list[bytes]:
    return [hello.Hello(hello.SUITE, "left", b"n" * 32, b"c" * 32, "mine", "peers", {"k": 100, "rows": 5}).encode()]


def _read_hello(content: bytes) -> None:
    mine = hello.Hello(hello.SUITE, "right", b"m" * 32, b"c" * 32, "peers", "mine", {"k": 100, "rows": 5})
    hello.check(mine, hello.decode(memoryview(content)), "left")


def _frames() -> list[bytes]:
    content = _payloads()[0]
    frame = Header(Kind.DATA, b"s" * 32, "left", "rows", 0, 0, len(content)).pack() + content
    return [frame, Header(Kind.ABORT, b"s" * 32, "left", "abort", 0, 0, 2).pack() + b"\1\0"]


class _Once:
    """A transport on which one frame came, and then nothing."""

    sent = received = 0

    def __init__(self, frame: bytes) -> None:
        self._frame = frame

    def send(self, frame: object) -> None:
        """Nobody listens."""

    def receive(self) -> memoryview:
        frame, self._frame = self._frame, Header(Kind.END, b"s" * 32, "left", "rows", 0, 1, 0).pack()
        return memoryview(frame)

    def close(self) -> None:
        """Nothing to close."""


def _read_frame(content: bytes) -> None:
    unpack(memoryview(content))
    channel = Channel(_Once(content), "right", "left", b"s" * 32, None, PUBLIC)  # type: ignore[arg-type]
    channel.receive_batch("rows", _SCHEMAS[0], rows=10)


def _wired() -> list[bytes]:
    ours, theirs = socket.socketpair()
    ours.setblocking(True)
    wire = Wire(ours)
    wire.send(request="load", dataset="crm")
    table = pa.table({"token": pa.array([b"t" * 16], pa.binary(16)), "crm.tier": [CANARY]})
    wire.send_stream(table.schema, table.to_batches())
    wire.close()
    content = b""
    while piece := theirs.recv(1 << 16):
        content += piece
    theirs.close()
    return [content]


class _Socket:
    """A socket on which `content` comes, and then nothing."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def recv_into(self, view: memoryview) -> int:
        return self._rest.readinto(view)

    def close(self) -> None:
        """Nothing to close."""


def _read_wire(content: bytes) -> None:
    wire = Wire(_Socket(content))  # type: ignore[arg-type]
    wire.receive()
    wire.receive_table()


# -- files of rows


_ROWS = [["phone", "tier", "spend"], [CANARY, "gold", "1.5"], ["13812345678", '银"卡', "'+86"], ["", "x, y", "a\nb"]]


def _csvs() -> list[bytes]:
    plain = "\n".join(",".join(row) for row in _ROWS[:3])
    quoted = "\n".join(";".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in _ROWS)
    return [
        plain.encode(),
        quoted.encode(),
        plain.encode("gb18030"),
        quoted.encode("utf-16"),
        gzip.compress(plain.encode()),
    ]


def _read_source(content: bytes) -> None:
    source = open_source(str(written(content, "given")))
    for _ in source.batches():
        pass


def _workbooks() -> list[bytes]:
    book = openpyxl.Workbook()
    for row in _ROWS:
        book.active.append(row)
    book.active.merge_cells("A4:B4")
    stream = io.BytesIO()
    book.save(stream)
    return [stream.getvalue()]


def _read_sheet(content: bytes) -> None:
    """In this process, so that it can be seen what the limited one would meet; a panic ends that one."""
    try:
        sheet.read(written(content, "given.xlsx"), None)
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise


def _table() -> pa.Table:
    return pa.table({
        "phone": [CANARY, "13812345678", None], "tier": pa.array(["gold", "x", "gold"]).dictionary_encode(),
        "spend": [1.5, None, 2.0], "day": pa.array([1, 2, None], pa.date32()), "n": np.arange(3), "inner": [[1],
        None, []],
    })  # fmt: skip


def _parquets() -> list[bytes]:
    found = []
    for options in (
        {},
        {"compression": "zstd", "data_page_version": "2.0", "write_page_checksum": True},
        {"use_dictionary": False},
    ):
        stream = io.BytesIO()
        pq.write_table(_table(), stream, **options)
        found.append(stream.getvalue())
    return found


def _arrows() -> list[bytes]:
    found = []
    for options in (None, pa.ipc.IpcWriteOptions(compression="zstd")):
        stream = io.BytesIO()
        with pa.ipc.new_file(stream, _table().schema, options=options) as writer:
            writer.write_table(_table())
        found.append(stream.getvalue())
    return found


# -- SQL


def _statements() -> list[bytes]:
    return [
        b"SELECT tier, COUNT(*), SUM(spend) AS total FROM matched WHERE visits < 31 AND NOT tier = 'gold' GROUP BY 1",
        b"SELECT m.city, AVG(spend) FROM crm JOIN users m USING (person) WHERE joined >= DATE '2026-01-01' GROUP BY 1",
    ]


def _ask(content: bytes) -> object:
    return ask(content.decode("utf-8", "replace"), SCHEMA)


TARGETS = {
    target.name: target
    for target in (
        *SIGNED,
        Target("payload", _payloads, _read_payload),
        Target("hello", _hellos, _read_hello),
        Target("frame", _frames, _read_frame),
        Target("wire", _wired, _read_wire, errors=(*OURS, WireEnded)),
        Target("csv", _csvs, _read_source),
        Target("workbook", _workbooks, _read_sheet),
        Target("parquet", _parquets, _read_source),
        Target("arrow", _arrows, _read_source),
        Target(
            "sql", _statements, lambda content: ask(content.decode("utf-8", "replace"), SCHEMA), errors=(QueryRefused,)
        ),
    )
}


def tried(target: Target, content: bytes) -> str | None:
    """The error that `content` gives, None for a value. Raises whatever else comes, AssertionError for a value told."""
    try:
        target.read(content)
    except target.errors as error:
        told = str(error)
        if CANARY in told and target.name != "sql":
            raise AssertionError(f"{target.name}: a value stands in the error") from error
        return told
    return None
