"""Nodes for homes that lie on one machine: settings, pins, a process of each and its console, on loopback alone."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from cleanroom.errors import Interrupted
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.node import certificate, config, console
from cleanroom.node.config import Approval, Config
from cleanroom.node.peers import Peers

ROLES = {"merchant": "merchant", "platform": "platform", "operator": "enclave", "provider": "provider"}
CONSOLE_PORTS = {"merchant": 8817, "platform": 8818, "operator": 8819, "provider": 8820}
"""Where each console serves, if that port is free."""
SERVED = "provider", "merchant"
"""A provider knows the merchant that it serves, and nobody else."""
_READY_SECONDS, _END_SECONDS = 60.0, 20.0


@dataclass(frozen=True)
class Addresses:
    """By party: what peers dial, and where browsers find the console."""

    nodes: dict[str, str]
    consoles: dict[str, str]


@contextmanager
def running(homes: Mapping[str, Path]) -> Iterator[Addresses]:
    """The nodes of these homes by party (`ROLES`), pinned at each other, with their consoles.

    Raises Interrupted where one does not begin. They end with the block.
    """
    opened = {party: Home.open(path) for party, path in homes.items()}
    urls = _introduced(opened)
    processes = {party: _started(path) for party, path in homes.items()}
    try:
        for party, url in urls.items():
            _wait(url, processes[party], party)
        yield Addresses(urls, {party: _console(home, processes[party], party) for party, home in opened.items()})
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _introduced(homes: Mapping[str, Home]) -> dict[str, str]:
    """Settings with free ports, and all pinned at those that they work with anew."""
    urls = {}
    held = [socket.create_server(("127.0.0.1", 0)) for _ in homes]
    for (party, home), place in zip(homes.items(), held, strict=True):
        address = _address(place)
        urls[party] = f"grpc+tls://{address}"
        settings = Config(ROLES[party], address, urls[party], "")
        if (home.path / config.FILE).is_file():
            settings = replace(config.load(home.path), listen=address, url=urls[party])
        settings = replace(settings, metrics="", console=True, approval=Approval(approvers=("owner", "approver")),
                           console_listen=_address(_first_free(CONSOLE_PORTS[party])))  # fmt: skip
        write_bytes(home.path / config.FILE, config.written(settings).encode())
        certificate.own(home)
    for party, home in homes.items():
        pinned = Peers(home)
        for other in homes:
            if other != party and ("provider" not in (party, other) or {party, other} == set(SERVED)):
                if other in pinned.names():
                    pinned.remove(other)
                own = certificate.own(homes[other])
                pinned.add(other, urls[other], own.pem, homes[other].keys.public.fingerprint)
    return urls


def _first_free(port: int) -> socket.socket:
    """Bound to that port of the loopback where it is free, else to another."""
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def _address(held: socket.socket) -> str:
    """HOST:PORT of what was held, which is free from now on."""
    with held:
        return f"127.0.0.1:{held.getsockname()[1]}"


def _started(path: Path) -> "subprocess.Popen[bytes]":
    log = path / "node.log"
    with log.open("ab") as file:
        command = [sys.executable, "-P", "-c", "from cli import app; app()", "serve", "--home", str(path)]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)


def _wait(url: str, process: "subprocess.Popen[bytes]", party: str) -> None:
    host, _, port = url.removeprefix("grpc+tls://").partition(":")
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((host, int(port)), 1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise Interrupted("The node of {party} did not begin.", "Its node.log says why.", party=party)


def _console(home: Home, process: "subprocess.Popen[bytes]", party: str) -> str:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if url := console.address(home):
            return url
        time.sleep(0.1)
    raise Interrupted("The console of {party} did not begin.", "Its node.log says why.", party=party)
