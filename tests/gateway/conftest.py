"""One room with its gateway, shared by all tests here: they make crowds of their own in it."""

import io
import os
import socket
import time
from collections.abc import Iterator

import pytest

from cleanroom.gateway.server import Listening, Server
from cleanroom.gateway.service import Service
from cleanroom.node.log import Log
from tests.gateway import world as worlds
from tests.gateway.asking import Asker
from tests.gateway.world import World
from tests.near import parties


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with parties():
        yield worlds.build(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="package")
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(scope="package")
def server(world: World, log: io.StringIO) -> Iterator[Server]:
    """On port 80 of an address of the loopback that nobody else has, which is where the SDK can reach it; else on any
    port, and what needs the SDK is skipped."""
    with worlds.serving(world, Log(log), _place()) as found:
        yield found


@pytest.fixture(scope="package")
def china() -> Iterator[None]:
    """The SDK writes the clock of its machine, which for its users is China's."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Asia/Shanghai"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def _place() -> Listening:
    host = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 1}.7"
    with socket.socket() as probe:
        try:
            probe.bind((host, 80))
        except OSError:
            return Listening(port=0)
    return Listening(host, 80)


@pytest.fixture(scope="package")
def asker(world: World) -> Iterator[Asker]:
    with Service(world.merchant, Log(io.StringIO())) as service:
        yield Asker(world, service)
