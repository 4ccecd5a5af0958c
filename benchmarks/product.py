"""The command itself, with vault, contract, receipt and ledger around the match."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import data
from benchmarks.processes import Failed, Ran, summary
from benchmarks.regimes import OURS, Plan, Row

COMMAND = str(Path(sys.executable).with_name("cleanroom"))


def overlap(plan: Plan, rows: int, target: str, *words: str) -> Row:
    """Two exports in, members out."""
    merchant, platform = data.exports(plan.folder, rows)
    out = plan.folder / "members.csv"
    given = ("overlap", merchant, platform, "--members", str(out), *words)
    ran = []
    for _ in range(plan.rounds(3)):
        start = time.perf_counter()
        told = _command(*given)
        if told["overlap"]["value"] != rows // 2:
            raise Failed("the overlap is wrong")
        ran.append(Ran(time.perf_counter() - start, max(told["peak_memory"].values()), told["wire_bytes"], (told,)))
    name = f"`cleanroom overlap` {rows:,} × {rows:,}, {ran[-1].told[0]['protocol']}"
    return Row((f"{name}, whole command", f"{name}，整条命令"), target, rows, {OURS: summary(ran)})


def doctor(plan: Plan) -> Row:
    """One file examined."""
    rows = plan.rows(1_000_000, 100_000)
    merchant, _ = data.exports(plan.folder, rows)
    name = f"`cleanroom data doctor` {rows:,}"
    return _timed(plan, (name, name), "≤ 3 s", ("data", "doctor", merchant, "--json"))


def help_time(plan: Plan) -> Row:
    """What every command starts with."""
    return _timed(plan, ("the help: `cleanroom --help`", "帮助：`cleanroom --help`"), "≤ 0.4 s", ("--help",))


def warm_up() -> None:
    """Before anything is measured."""
    subprocess.run([COMMAND, "warm-up"], check=True)


def _timed(plan: Plan, name: tuple[str, str], target: str, words: Sequence[str]) -> Row:
    ran = []
    for _ in range(plan.rounds(3)):
        start = time.perf_counter()
        subprocess.run([COMMAND, *words], capture_output=True, check=True)
        ran.append(Ran(time.perf_counter() - start))
    return Row(name, target, 0, {OURS: summary(ran)})


def _command(*words: str) -> dict[str, Any]:
    done = subprocess.run([COMMAND, *words, "--json"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stdout + done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told
