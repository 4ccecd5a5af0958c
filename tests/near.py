"""What a test may have nearer than it is, since it looks at something else: parties in threads, the engine in-process.

Other tests have the real ones: parties in processes of their own in `tests/cli`, `tests/docs` and
`tests/room/test_failures.py`, the enclave's process in those, in `tests/enclave` and for every protocol in
`tests/room/test_answers.py`.
"""

import importlib
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import pytest

from cleanroom.enclave import handle
from cleanroom.enclave.duck import DuckEngine
from cleanroom.enclave.query import Groups, Query
from cleanroom.home import Home
from cleanroom.node.control import Control
from cleanroom.node.local import LocalParties
from cleanroom.node.party import serve
from cleanroom.node.sockets import SocketTransport
from cleanroom.privacy.padding import Quantum
from cleanroom.rooms import paillier_keys


class NearParties(LocalParties):
    """`LocalParties` in threads of this process: the same jobs over the same lines and wires."""

    def _start(self, name: str, home: Path, wires: Mapping[str, socket.socket]) -> None:
        ours, theirs = socket.socketpair()
        peers = {peer: SocketTransport(wire.dup()) for peer, wire in wires.items()}

        def live() -> None:
            control = Control(theirs)
            try:
                serve(control, home, peers)
            finally:
                for wire in peers.values():
                    wire.close()
                control.close()

        threading.Thread(target=live, name=name, daemon=True).start()
        self._lines[name] = Control(ours)


@contextmanager
def parties() -> Iterator[None]:
    """In here parties are threads, and their engines near: a process of a party takes two seconds to start."""
    with pytest.MonkeyPatch.context() as patch, engines():
        for module, name in (("cleanroom.overlap.run", "Siblings"), ("cleanroom.node.parties", "LocalParties")):
            patch.setattr(importlib.import_module(module), name, NearParties)
        yield


def process_of(parent: int, name: str) -> int | None:
    """The process of a party of a command that runs as `parent`: a child's child, named after the party."""
    return next((party for task in Path(f"/proc/{parent}/task").iterdir() for child in _children(task)
                 for party in _children(Path(f"/proc/{child}/task/{child}"))
                 if Path(f"/proc/{party}/comm").read_text().strip() == name), None)  # fmt: skip


def _children(task: Path) -> list[int]:
    with suppress(FileNotFoundError):  # a thread that has just ended
        return [int(child) for child in (task / "children").read_text().split()]
    return []


class NearEngine:
    """The enclave's engine without its process, which takes a second to start."""

    isolation: tuple[str, ...] = ("none",)
    peak_memory = 1
    """More than none, as of one that computed."""

    def __init__(self) -> None:
        engine = DuckEngine(1 << 30, 1, 60.0)
        self.load, self.load_matched, self.drop_tokens = engine.load, engine.load_matched, engine.drop
        self.match, self.matched_positions, self.subtractable = engine.match, engine.positions, engine.subtractable
        self._run = engine.run

    def run(self, query: Query, public_keys: Mapping[str, int] | None = None) -> Groups:
        return self._run(query, public_keys or {})

    def __enter__(self) -> "NearEngine":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def engines() -> Iterator[None]:
    """In here the parties of this process compute in it, and tell their answers as soon as they have them.

    That answers wait for a quantum is tested in `tests/privacy/test_padding.py` and `tests/attacks/test_q11_timing.py`.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(handle, "start", lambda **_: NearEngine())
        patch.setattr(Quantum, "rest", lambda *_: 0.0)
        yield


def new_home(path: Path, party: str, key_bits: int = 0) -> Home:
    """A home of that party, with a proved Paillier key of that size: those of one process have the same keys.

    Making a key and its proof takes most of the time of a small room.
    """
    shutil.copytree(_template(party, key_bits), path)
    return Home.open(path)


@cache
def _template(party: str, key_bits: int) -> Path:
    folder = tempfile.TemporaryDirectory(prefix="home-")
    _KEPT.append(folder)
    home = Home.create(Path(folder.name) / party, party)
    if key_bits:
        paillier_keys._own_proof(home, paillier_keys.own(home, key_bits))
    return home.path


_KEPT: list[tempfile.TemporaryDirectory[str]] = []
