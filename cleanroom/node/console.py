"""The console's process: a node begins it, tells where it serves, begins it again when it dies, and ends it.

It runs beside the node, so that no web page can hold up its jobs. It never outlives the node: it ends when its standard
input does, however the node ended. It gets of the environment what a home needs to open, and nothing else.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.canonical import encode
from cleanroom.errors import KNOWN
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.node.log import Log
from cleanroom.node.submitted import is_running

FILE, FORMAT = "console.json", "cleanroom-console/1"
"""In the home while a console serves: where, and which process it is."""
PROGRAM = (sys.executable, "-P", "-m", "cleanroom.console")
READY_SECONDS, END_SECONDS = 60.0, 5.0
FIRST_WAIT, MOST_WAIT = 1.0, 60.0
_SETTLED_SECONDS = 60.0
"""A console that lived so long is begun again without a longer wait."""
_LONGEST = 4096
_NEEDED = ("PATH", "HOME", "USER", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_NEEDED_KINDS = ("LC_", "PYTHON", "CLEANROOM_", "NUMBA_", "XDG_", "OPENBLAS_", "OMP_")
_NOT_NEEDED = ("CLEANROOM_NODE_NOTICES_WEBHOOK", "CLEANROOM_TOKEN")
"""Secrets of others than the console."""


class Console:
    """The console of one home."""

    def __init__(self, home: Path, log: Log, program: tuple[str, ...] = PROGRAM) -> None:
        self._home, self._log, self._program = home, log, program
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._live, name="console", daemon=True)

    def start(self, *, wanted: bool) -> None:
        """Begin it where that is wanted; what an earlier node told of one is gone in any case."""
        (self._home / FILE).unlink(missing_ok=True)
        if wanted:
            self._thread.start()

    def stop(self) -> None:
        """End it, within END_SECONDS by itself or else at once."""
        self._stopping.set()
        with self._lock:
            process = self._process
            if process is not None and process.stdin is not None:
                with contextlib.suppress(OSError):
                    process.stdin.close()
        if process is not None:
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.terminate()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)
        (self._home / FILE).unlink(missing_ok=True)

    def _live(self) -> None:
        """One process after another; the wait doubles for as long as they die soon."""
        wait = FIRST_WAIT
        while not self._stopping.is_set():
            began = time.monotonic()
            code = self._one()
            if self._stopping.is_set():
                return
            wait = FIRST_WAIT if time.monotonic() - began > _SETTLED_SECONDS else wait
            self._log("console ended", code=code, again_in=wait)
            self._stopping.wait(wait)
            wait = min(2 * wait, MOST_WAIT)

    def _one(self) -> int:
        """Begin one, tell where it serves, and wait for its end; its exit code."""
        with self._lock:
            if self._stopping.is_set():
                return 0
            try:
                self._process = process = subprocess.Popen(
                    [*self._program, str(self._home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    env=environment(os.environ), process_group=0,
                )  # fmt: skip
            except OSError:
                return -1
        try:
            url = _first_line(process)
            if not url and process.poll() is None:
                process.kill()
            elif url and not self._stopping.is_set():
                self._tell(url, process.pid)
            return process.wait()
        finally:
            (self._home / FILE).unlink(missing_ok=True)
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def _tell(self, url: str, pid: int) -> None:
        self._log("console", url=url)
        with contextlib.suppress(*KNOWN):  # a full disk: it serves all the same
            write_bytes(self._home / FILE, encode({"format": FORMAT, "url": url, "pid": pid}))


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What of the environment the console gets."""
    return {name: value for name, value in given.items()
            if (name in _NEEDED or name.startswith(_NEEDED_KINDS)) and name not in _NOT_NEEDED}  # fmt: skip


def address(home: Home) -> str:
    """Where the home's console serves now; "" where none does. What a crash left behind counts for nothing."""
    path = home.path / FILE
    if not path.exists() or not is_running(home):
        return ""
    try:
        found = json.loads(private_files.read(path, _LONGEST))
        if found["format"] != FORMAT or not isinstance(found["url"], str):
            return ""
        os.kill(found["pid"], 0)
    except (*KNOWN, ValueError, KeyError, TypeError, OSError, OverflowError):
        return ""
    return str(found["url"])


def _first_line(process: "subprocess.Popen[bytes]") -> str:
    """The address that it tells; "" where it ends without, tells something else, or takes too long."""
    told: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):
            told.append(process.stdout.readline(_LONGEST) if process.stdout is not None else b"")

    reader = threading.Thread(target=read, name="console address", daemon=True)
    reader.start()
    reader.join(READY_SECONDS)
    try:
        found: Any = json.loads(told[0])
        return found["url"] if isinstance(found["url"], str) else ""
    except (ValueError, KeyError, TypeError, IndexError):
        return ""
