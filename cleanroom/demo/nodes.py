"""Nodes for homes that lie on one machine: settings, pins, and a process of each, on loopback alone."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from cleanroom.errors import Interrupted
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.node import certificate, config
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers

ROLES = {"merchant": "merchant", "platform": "platform", "operator": "enclave"}
_READY_SECONDS, _END_SECONDS = 60.0, 20.0


@contextmanager
def running(homes: Mapping[str, Path]) -> Iterator[dict[str, str]]:
    """The nodes of these homes by party (`ROLES`), pinned at each other; party → the address that peers dial.

    Raises Interrupted where one does not begin. They end with the block.
    """
    urls = _introduced({party: Home.open(path) for party, path in homes.items()})
    processes = {party: _started(path) for party, path in homes.items()}
    try:
        for party, url in urls.items():
            _wait(url, processes[party], party)
        yield urls
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _introduced(homes: Mapping[str, Home]) -> dict[str, str]:
    """Settings with free ports, and all pinned at all anew."""
    urls = {}
    held = [socket.create_server(("127.0.0.1", 0)) for _ in homes]
    for (party, home), place in zip(homes.items(), held, strict=True):
        address = f"127.0.0.1:{place.getsockname()[1]}"
        place.close()
        urls[party] = f"grpc+tls://{address}"
        settings = Config(ROLES[party], address, urls[party], "")
        if (home.path / config.FILE).is_file():
            settings = replace(config.load(home.path), listen=address, url=urls[party])
        write_bytes(home.path / config.FILE, config.written(settings).encode())
        certificate.own(home)
    for party, home in homes.items():
        pinned = Peers(home)
        for other in homes:
            if other != party:
                if other in pinned.names():
                    pinned.remove(other)
                own = certificate.own(homes[other])
                pinned.add(other, urls[other], own.pem, homes[other].keys.public.fingerprint)
    return urls


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
