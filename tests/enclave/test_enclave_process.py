"""The enclave as its party meets it: a process that answers, keeps to itself, and is missed when it is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from cleanroom.enclave import process, sandbox, tables
from cleanroom.enclave.errors import LimitReached
from cleanroom.enclave.handle import Enclave, start
from cleanroom.enclave.query import Query
from cleanroom.enclave.wire import HEADER_LIMIT, Wire, WireEnded
from cleanroom.errors import Interrupted, UsageError
from protocols.errors import BadMessage
from protocols.paillier import cipher, keys

linux = pytest.mark.skipif(sys.platform != "linux", reason="what a process gives up differs by system")


@pytest.fixture
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """As users start it: without a coverage measurement, for which it would keep the right to write files."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)


def people(count: int, first: int = 0) -> np.ndarray:
    """uint8[count, 16] tokens, spread as tokens are."""
    who = np.arange(first, first + count, dtype=np.uint64)
    words = np.stack([who * np.uint64(0x9E3779B97F4A7C15), who * np.uint64(0xBF58476D1CE4E5B9)], axis=1)
    return words.view(np.uint8).reshape(-1, 16)


def load(enclave: Enclave, name: str, column: str, token: np.ndarray, batch: int = 65_536) -> int:
    codes = (token[:, :1] % 10).astype(np.uint64).view(np.uint8).reshape(-1, 8)
    table = pa.table({"token": tables.as_binary(token), f"{name}.{column}": tables.as_binary(codes)})
    return enclave.load(name, table.schema, table.to_batches(batch))


def working_folder(enclave: Enclave) -> Path:
    return Path(f"/proc/{enclave.pid}/cwd").resolve()


def test_kernels_that_were_loaded_before_the_sandbox_sum_inside_it() -> None:
    key = keys.generate(2048)
    plain = np.zeros((2, key.public.plain_width), np.uint8)
    plain[:, 0] = [1, 2]
    rows = cipher.encrypt(key, plain)[np.arange(3000) % 2]
    table = pa.table({"m.level": pa.array(np.arange(3000) // 1000), "p.#slots": tables.as_binary(rows)})
    with start(ciphertexts=60_000) as enclave:
        enclave.load_matched(table.schema, table.to_batches())
        groups = enclave.run(Query(("m.level",), ("p.#slots",)), {"p": key.public.n})
        sums = cipher.decrypt(key, groups.ciphertexts["p"])[:, :2].copy().view(np.uint16).ravel()
    assert groups.table.column("people").to_pylist() == [1000] * 3
    assert sums.tolist() == [1500] * 3


def test_the_whole_conversation() -> None:
    key = keys.generate(2048)
    amounts = np.zeros((6, key.public.plain_width), np.uint8)
    amounts[:, 0] = [1, 2, 4, 8, 16, 32]
    slots = tables.as_binary(cipher.encrypt(key, amounts))
    with start() as enclave:
        folder = enclave._folder.name
        assert load(enclave, "m", "level", people(8)) == 8
        codes = pa.array(["x", "y", "x", "y", "x", None])
        right = pa.table({"token": tables.as_binary(people(6, 5)), "p.city": codes, "p.#slots": slots})
        assert enclave.load("p", right.schema, right.to_batches(4)) == 6
        assert enclave.drop_tokens(people(1, 6)) == {"m": 1, "p": 1}
        assert enclave.drop_tokens(people(0)) == {"m": 0, "p": 0}
        assert enclave.match("m", "p") == 2
        assert enclave.matched_positions("m").to_pylist() == [5, 7]
        assert enclave.matched_positions("p").to_pylist() == [0, 2]
        groups = enclave.run(Query(("p.city",), ("p.#slots",)), {"p": key.public.n})
        assert groups.table.to_pylist() == [{"p.city": "x", "people": 2}]
        assert cipher.decrypt(key, groups.ciphertexts["p"])[:, 0].tolist() == [5]
        with pytest.raises(UsageError) as caught:
            enclave.run(Query(("p.other",)))
        assert caught.value.params == {"name": "p.other"}
        assert enclave.run(Query()).table.to_pylist() == [{"people": 2}]
    assert enclave.peak_memory > 10 << 20
    assert not Path(folder).exists()
    enclave.close()  # closing twice is no error
    with pytest.raises(Interrupted):
        enclave.run(Query())


def test_rows_matched_elsewhere() -> None:
    table = pa.table({"m.level": ["gold", "basic", "gold"], "m.spend": pa.array([5, None, 7], pa.int64())})
    with start() as enclave:
        assert enclave.load_matched(table.schema, table.to_batches(2)) == 3
        assert enclave.run(Query(("m.level",), ("m.spend",))).table.to_pylist() == [
            {"m.level": "basic", "people": 1, "m.spend": 0, "m.spend#count": 0},
            {"m.level": "gold", "people": 2, "m.spend": 12, "m.spend#count": 2},
        ]


def test_a_refusal_in_the_middle_of_rows_arrives_by_name() -> None:
    """The process stops reading; the party, still sending, hears why rather than of a broken pipe."""

    def rows() -> Iterator[pa.RecordBatch]:
        for first in range(0, 40_000_000, 65_536):
            yield pa.record_batch({"token": tables.as_binary(people(65_536, first))})

    with pytest.raises(LimitReached, match=r"64 MB of memory .* distributed engine"), start(memory=64 << 20) as enclave:
        enclave.load("m", pa.schema({"token": pa.binary(16)}), rows())

    table = pa.table({"token": pa.array([None] * 3, pa.binary(16))})
    with pytest.raises(BadMessage), start() as enclave:
        enclave.load("m", table.schema, table.to_batches(1))


def test_rows_that_stop_coming_leave_no_process_behind() -> None:
    def rows() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"token": tables.as_binary(people(3))})
        raise BadMessage("the peer went away")

    with start() as enclave:
        with pytest.raises(BadMessage, match="went away"):
            enclave.load("m", pa.schema({"token": pa.binary(16)}), rows())
        with pytest.raises(Interrupted):
            enclave.match("m", "m")
        with pytest.raises(ProcessLookupError):
            os.kill(enclave.pid, 0)


def test_a_killed_enclave_is_named_in_the_error() -> None:
    enclave = start()
    folder = enclave._folder.name
    os.kill(enclave.pid, signal.SIGKILL)
    with pytest.raises(Interrupted, match="status -9") as caught:
        enclave.run(Query())
    assert caught.value.exit_code == 5
    assert not Path(folder).exists()
    with pytest.raises(Interrupted):
        load(enclave, "m", "level", people(3))


def test_killed_at_any_moment_it_leaves_an_error_by_name_and_no_file() -> None:
    """Between requests, in the middle of rows, in the middle of an answer."""
    table = pa.table({"token": tables.as_binary(people(1000)), "m.a": pa.array(np.arange(1000) % 7)})

    def rows(enclave: Enclave, after: int) -> Iterator[pa.RecordBatch]:
        for at, batch in enumerate(table.to_batches(100)):
            if at == after:
                os.kill(enclave.pid, signal.SIGKILL)
            yield batch

    for after in (0, 5, 10, 11):
        enclave = start()
        folder, left = Path(enclave._folder.name), list(Path(enclave._folder.name).parent.glob("enclave-*"))
        with pytest.raises(Interrupted), enclave:
            enclave.load("m", table.schema, rows(enclave, after))
            if after == 11:  # it has the request, and is ended before the answer is read
                enclave._wire.send(request="match", datasets=["m", "m"])
            os.kill(enclave.pid, signal.SIGKILL)
            enclave.match("m", "p")
        assert folder in left
        assert not folder.exists()


def test_a_silent_enclave_is_not_waited_for() -> None:
    enclave = start()
    enclave._wire._sock.settimeout(0.2)
    os.kill(enclave.pid, signal.SIGSTOP)
    with pytest.raises(Interrupted):
        enclave.run(Query())


def test_an_error_inside_the_block_ends_the_process() -> None:
    with pytest.raises(ZeroDivisionError), start() as enclave:
        raise ZeroDivisionError
    with pytest.raises(ProcessLookupError):
        os.kill(enclave.pid, 0)


def test_the_process_ends_when_its_party_does(capfd: pytest.CaptureFixture[str]) -> None:
    """Also in the middle of sending rows; and it has nothing to say about it."""
    table = pa.table({"token": tables.as_binary(people(1000))})
    for sent in ([], table.to_batches(10)):
        enclave = start()
        if sent:
            enclave._wire.send(request="load", dataset="m")
            writer = pa.ipc.new_stream(pa.PythonFile(enclave._wire, mode="w"), table.schema)
            for batch in sent:
                writer.write_batch(batch)
        enclave._wire.close()
        assert enclave._process.wait(20) == 0
        enclave.kill()
    assert capfd.readouterr().err == ""


@linux
def test_it_writes_no_file_and_holds_no_socket_but_one(unmeasured: None) -> None:
    with start() as enclave:
        assert {sandbox.FILE_LIMIT, sandbox.CORE_DUMPS, sandbox.MEMORY, sandbox.AUDIT} <= set(enclave.isolation)
        folder = Path(enclave._folder.name)
        assert list(folder.iterdir()) == []
        load(enclave, "m", "level", people(50_000))
        load(enclave, "p", "city", people(50_000, 25_000))
        enclave.match("m", "p")
        enclave.run(Query(("m.level", "p.city")))
        assert list(folder.iterdir()) == []
        if os.geteuid() == 0:  # to others the process is closed: it is not traceable
            assert working_folder(enclave) == folder
            held = [str(entry.readlink()) for entry in Path(f"/proc/{enclave.pid}/fd").iterdir()]
            assert len([name for name in held if name.startswith("socket:")]) == 1
            files = [
                name for name in held if name.startswith("/") and not name.startswith(("/dev/null", "/proc", "/sys"))
            ]
            outputs = {str(Path("/proc/self/fd/2").readlink())}  # stderr is the party's own
            assert set(files) <= outputs
            environment = Path(f"/proc/{enclave.pid}/environ").read_bytes()
            assert b"HOME=" not in environment
            assert b"PATH=" not in environment


@linux
def test_a_million_rows_a_side_stay_under_300_megabytes(unmeasured: None) -> None:
    with start(memory=1 << 30, threads=2) as enclave:
        load(enclave, "m", "level", people(1_000_000))
        load(enclave, "p", "city", people(1_000_000, 250_000))
        assert enclave.match("m", "p") == 750_000
        assert sum(enclave.run(Query(("m.level", "p.city"))).table.column("people").to_pylist()) == 750_000
    assert enclave.peak_memory < 300_000_000


def test_an_unforeseen_error_shows_places_and_no_values(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        raise ValueError("13800138000")
    except ValueError as error:
        process.report(ValueError, error, error.__traceback__)
    shown = capsys.readouterr().err
    assert shown.startswith("enclave: ValueError at test_enclave_process.py:")
    assert "138" not in shown


@pytest.mark.parametrize(
    "sent",
    [
        b"\xff\xff\xff\xff",
        b"\0\0\0\x02{}",
        b"\0\0\0\x02no",
        b"\0\0\0\x02[]",
        b"\0\0\0\x17" + json.dumps({"format": "cleanroom-enclave/2"}).encode()[:23],
        b"\0\0",
    ],
)
def test_another_format_on_the_socket_is_refused(sent: bytes) -> None:
    here, there = socket.socketpair()
    with there:
        there.sendall(sent)
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(WireEnded):
            Wire(here).receive()
    here.close()


def test_headers_have_an_end() -> None:
    here, there = socket.socketpair()
    with here, there, pytest.raises(WireEnded):
        Wire(here).send(names="x" * HEADER_LIMIT)


def test_ready_before_anything_heavy_is_loaded() -> None:
    """What the process imports before it is in its sandbox and says so."""
    script = "import sys, cleanroom.enclave.process; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pyarrow", "duckdb", "sqlglot", "pandas", "gmpy2"} & set(loaded)
