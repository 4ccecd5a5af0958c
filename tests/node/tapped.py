"""Nodes whose owner writes down all that they see, in the folder that TAP names: calls.jsonl, what peers called and
what the node's own calls were answered; wire-PEER-NUMBER, every byte that came over a wire; values.jsonl, what its
workers read of messages.

Nodes and workers are the real ones, each a process; but all are forks of one (`python -m tests.node.tapped SOCKET`)
that has loaded what they load, which is most of what a small run takes, and a host's engine is in its worker. `CLIENT`
stands for such a process: it has it made, passes on its own files and SIGTERM, and ends as it ends.
"""

import fcntl
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import types
from collections import Counter
from pathlib import Path
from typing import Any

CLIENT = """#!{python} -IS
import json, os, signal, socket, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
line.connect({socket!r})
files = [int(name) for name in os.listdir("/proc/self/fd") if int(name) != line.fileno()]
files = [file for file in files if os.path.exists(f"/proc/self/fd/{{file}}")]
told = {{"arguments": sys.argv[1:], "environment": dict(os.environ), "files": files}}
socket.send_fds(line, [json.dumps(told).encode()], files)
os.closerange(3, line.fileno()), os.closerange(line.fileno() + 1, 256)
made = int(line.recv(16))
signal.signal(signal.SIGTERM, lambda *_: os.kill(made, signal.SIGTERM))
sys.exit(int(line.recv(16) or 1))
"""
VALUE_BYTES = 8
"""Narrower columns are pieces of a value, which meet by chance."""
_APART = 512
_WORKER = "cleanroom.node.party"


# -- processes


def serve(path: str) -> None:
    """Make processes until SIGTERM."""
    from cleanroom.lean import without_pandas

    without_pandas()
    _load()
    made: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen(16)
        try:
            while True:
                line, _ = listener.accept()
                content, files, _, _ = socket.recv_fds(line, 1 << 20, 64)
                pid = os.fork()
                if not pid:
                    listener.close()
                    _keep(line, json.loads(content), files)
                made.append(pid)
                for file in (line.detach(), *files):
                    os.close(file)
        finally:
            for pid in made:
                os.waitpid(pid, 0)


def _keep(line: socket.socket, told: dict[str, Any], files: list[int]) -> None:
    """Make one, and tell its end."""
    pid = os.fork()
    if not pid:
        line.close()
        _become(told, files)
    for file in files:
        os.close(file)
    line.send(str(pid).encode())
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        line.send(str(code if code >= 0 else 1).encode())
    finally:
        os._exit(0)


def _become(told: dict[str, Any], files: list[int]) -> None:
    apart = [fcntl.fcntl(file, fcntl.F_DUPFD, _APART) for file in files]
    for file in files:
        os.close(file)
    for file, place in zip(apart, told["files"], strict=True):
        os.dup2(file, place)
        os.close(file)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(told["environment"])
    code: Any = 1
    try:
        program, *rest = told["arguments"]
        sys.argv = [program, *rest]
        code = worker(rest) if program == _WORKER else node()
    except SystemExit as ended:
        code = ended.code
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code or 0)


def _load() -> None:
    """What nodes and workers load."""
    for name in ("cli", "cleanroom.node.daemon", "cleanroom.node.party", "cleanroom.node.work", "tests.near"):
        importlib.import_module(name)


# -- what they are


def node() -> int:
    """The program, tapped."""
    import cli
    from cleanroom.node import lines, link, local

    folder = Path(os.environ["TAP"])
    one, call, deliver, made = lines.Calls.one, lines.Lines.call, link.Link._deliver, Counter[str]()

    def noted(**what: Any) -> None:
        with (folder / "calls.jsonl").open("a") as file:
            file.write(json.dumps(what, ensure_ascii=False) + "\n")

    def asked(self: Any, peer: Any, name: str, body: Any) -> Any:
        noted(peer=peer.name, asked=name, body=body)
        return one(self, peer, name, body)

    def answered(self: Any, name: str, called: str, *given: Any) -> Any:
        answer = call(self, name, called, *given)
        noted(peer=name, answered=called, body=answer)
        return answer

    def came(self: Any, offset: int, payload: memoryview) -> None:
        if not hasattr(self, "tap"):
            self.tap = folder / f"wire-{self.peer}-{made[self.peer]}"
            made[self.peer] += 1
        with self.tap.open("ab") as file:
            file.write(payload)
        deliver(self, offset, payload)

    def start(command: list[str], **how: Any) -> Any:
        return subprocess.Popen([os.environ["CLIENT"], *command[command.index(_WORKER) :]], **how)

    lines.Calls.one, lines.Lines.call, link.Link._deliver = asked, answered, came  # type: ignore[method-assign,assignment]
    local.subprocess = types.SimpleNamespace(**{**vars(subprocess), "Popen": start})  # type: ignore[assignment,attr-defined]
    cli.app()
    return 0


def worker(arguments: list[str]) -> int:
    """A party's process, tapped."""
    import pyarrow as pa

    from cleanroom.enclave import handle
    from cleanroom.node import party
    from protocols import payload
    from tests.near import NearEngine

    decode = payload.decode

    def read(content: memoryview, schema: pa.Schema, most_rows: int) -> pa.RecordBatch:
        batch = decode(content, schema, most_rows)
        with (Path(os.environ["TAP"]) / "values.jsonl").open("a") as file:
            for each in schema:
                if pa.types.is_fixed_size_binary(each.type) and each.type.byte_width >= VALUE_BYTES:
                    values = [value.hex() for value in batch.column(each.name).to_pylist()]
                    file.write(json.dumps([each.name, values]) + "\n")
        return batch

    payload.decode = read  # type: ignore[assignment]
    handle.start = lambda **_: NearEngine()  # type: ignore[assignment]
    return party.main(arguments)


if __name__ == "__main__":
    serve(sys.argv[1])
