"""The command as its users start it, and what it left behind."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cli

Run = Callable[..., "Done"]
SHARED = 220
"""Persons that both files hold."""
COMMAND = (sys.executable, "-c", "import cli; cli.app()")


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out
        return dict(json.loads(self.out))


def phone(person: int) -> str:
    return f"138{person:08d}"


def environment(**changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "CLEANROOM_"))}
    return {**kept, "LC_ALL": "C.UTF-8", "COLUMNS": "100", "PYTHONPATH": str(Path(cli.__file__).parent), **changes}


def started(words: Sequence[str], folder: Path, **changes: str) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "encoding": "utf-8"}
    return subprocess.Popen([*COMMAND, *words], cwd=folder, env=environment(**changes), **pipes)  # type: ignore[call-overload,no-any-return]


def process(words: Sequence[str], folder: Path, **changes: str) -> Done:
    """The real command, in a process of its own."""
    running = started(words, folder, **changes)
    out, err = running.communicate(timeout=120)
    return Done(running.returncode, out, err)
