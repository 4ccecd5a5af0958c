"""The console's process beside a node: where it serves, that it comes back, that it ends whatever ends the node."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanroom.home import Home
from cleanroom.node import console, daemon, desk
from cleanroom.node.console import Console
from cleanroom.node.daemon import Node
from cleanroom.node.log import Log
from tests.node.nearby import homes

PAGE = (
    "import json, os, sys\n"
    "print(json.dumps({'url': 'http://127.0.0.1:' + str(os.getpid())}), flush=True)\n"
    "sys.stdin.read()\n"
)  # fmt: skip
"""Tells an address, and ends when its input does."""


def until(holds: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return homes(tmp_path, "merchant", "platform")["merchant"]


@pytest.fixture
def log() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "FIRST_WAIT", 0.05)
    monkeypatch.setattr(console, "READY_SECONDS", 5.0)


@pytest.fixture
def locked(home: Home) -> Iterator[None]:
    """The lock of a node that runs."""
    handle = daemon._locked(home)
    yield
    os.close(handle)


def begun(home: Home, log: io.StringIO, code: str) -> Console:
    made = Console(home.path, Log(log), (sys.executable, "-c", code))
    made.start(wanted=True)
    return made


def events(log: io.StringIO, name: str) -> list[dict[str, object]]:
    return [line for line in map(json.loads, log.getvalue().splitlines()) if line["event"] == name]


@pytest.mark.usefixtures("locked", "quick")
def test_it_tells_where_it_serves_comes_back_and_ends_when_told(home: Home, log: io.StringIO) -> None:
    made = begun(home, log, PAGE)
    until(lambda: console.address(home))
    first = int(console.address(home).rpartition(":")[2])
    assert desk.status(home.path)["console"] == console.address(home)
    assert (home.path / console.FILE).stat().st_mode & 0o777 == 0o600
    os.kill(first, signal.SIGKILL)
    until(lambda: console.address(home) not in ("", f"http://127.0.0.1:{first}"))
    second = int(console.address(home).rpartition(":")[2])
    assert events(log, "console ended")[0]["code"] == -signal.SIGKILL
    asked = time.monotonic()
    made.stop()
    assert not alive(second) and time.monotonic() - asked < console.END_SECONDS  # by itself, not by force
    assert console.address(home) == "" and not (home.path / console.FILE).exists()
    assert [line["url"] for line in events(log, "console")] == [f"http://127.0.0.1:{n}" for n in (first, second)]


@pytest.mark.usefixtures("locked", "quick")
@pytest.mark.parametrize("code", ["print('hello', flush=True)\nimport sys; sys.stdin.read()", "raise SystemExit(3)",
                                  "print('[]')", "print('{\"url\": 7}')"])  # fmt: skip
def test_one_that_tells_no_address_is_begun_again_more_and_more_slowly(home: Home, log: io.StringIO, code: str) -> None:
    made = begun(home, log, code)
    until(lambda: len(events(log, "console ended")) > 2)
    made.stop()
    waits = [line["again_in"] for line in events(log, "console ended")]
    assert waits[:3] == [0.05, 0.1, 0.2]
    assert not events(log, "console") and console.address(home) == ""


@pytest.mark.usefixtures("locked", "quick")
def test_one_that_does_not_end_is_ended(home: Home, log: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "END_SECONDS", 0.3)
    deaf = PAGE.replace("sys.stdin.read()", "import time; time.sleep(60)")
    made = begun(home, log, deaf)
    until(lambda: console.address(home))
    pid = int(console.address(home).rpartition(":")[2])
    made.stop()
    until(lambda: not alive(pid))


@pytest.mark.usefixtures("quick")
def test_what_a_crash_left_behind_is_not_told_as_alive(home: Home, log: io.StringIO) -> None:
    left = {"format": console.FORMAT, "url": "http://127.0.0.1:1", "pid": os.getpid()}
    (home.path / console.FILE).write_text(json.dumps(left))
    assert console.address(home) == ""  # no node runs
    handle = daemon._locked(home)
    try:
        assert console.address(home) == left["url"]
        for damaged in (
            {**left, "pid": 2**22 + 1},
            {**left, "format": "cleanroom-console/9"},
            {**left, "pid": "1"},
            [],
        ):
            (home.path / console.FILE).write_text(json.dumps(damaged))
            assert console.address(home) == ""
        made = Console(home.path, Log(log))
        made.start(wanted=False)
        assert not (home.path / console.FILE).exists()
        made.stop()
    finally:
        os.close(handle)


def test_it_ends_with_a_node_that_is_killed(home: Home, tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom cleanroom.node.console import Console\n"
        "from cleanroom.node.log import Log\n"
        f"Console(Path({str(home.path)!r}), Log(), (sys.executable, '-c', {PAGE!r})).start(wanted=True)\n"
        "time.sleep(60)\n"
    )
    held = home.path / console.FILE
    node = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        until(held.exists, 20)
        pid = json.loads(held.read_text())["pid"]
        assert alive(pid)
    finally:
        node.kill()
        node.wait()
    until(lambda: not alive(pid))


def test_the_environment_brings_what_opens_a_home_and_no_secret_of_others() -> None:
    needed = {"CLEANROOM_PASSPHRASE": "a", "CLEANROOM_NODE_TIMES_CONNECT": "3", "PATH": "/bin", "LC_ALL": "C",
              "PYTHONPATH": "."}  # fmt: skip
    others = {"AWS_SECRET_ACCESS_KEY": "x", "CLEANROOM_NODE_NOTICES_WEBHOOK": "https://a", "CLEANROOM_TOKEN": "t",
              "MYSQL_PWD": "x"}  # fmt: skip
    assert console.environment(needed | others) == needed


def test_a_node_serves_it_where_its_settings_say_so(
    home: Home, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.Console.__init__, "__defaults__", ((sys.executable, "-c", PAGE),))
    for name, value in (("CONSOLE", "true"), ("METRICS", "")):
        monkeypatch.setenv(f"CLEANROOM_NODE_{name}", value)
    node = Node(home, Log(log))
    thread = threading.Thread(target=node.serve)
    thread.start()
    try:
        until(lambda: desk.status(home.path)["console"])
    finally:
        node.stop()
        thread.join(60)
    assert not thread.is_alive() and desk.status(home.path)["console"] == ""
