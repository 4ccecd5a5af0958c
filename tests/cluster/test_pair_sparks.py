"""Two parties match, each with a Spark application of its own in a process of its own, and lose workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROLES = ("receiver", "sender")


def children(pid: int) -> list[int]:
    """All processes below it."""
    found, left = [], [pid]
    while left:
        for task in Path(f"/proc/{left.pop()}/task").glob("*/children"):
            there = [int(word) for word in task.read_text().split()]
            found += there
            left += there
    return found


def python_workers(pid: int) -> list[int]:
    """Spark's Python workers of this program: children of its daemon."""
    daemons = [each for each in children(pid) if b"pyspark.daemon" in Path(f"/proc/{each}/cmdline").read_bytes()]
    return [worker for daemon in daemons for worker in children(daemon)]


def two_sparks(tmp_path: Path, rows: int, buckets: int, killing: str) -> dict[str, dict]:
    """Both parties' last words; a worker of `killing` is killed when two buckets are done."""
    ends = dict(zip(ROLES, socket.socketpair(), strict=True))
    program = Path(__file__).with_name("pair_party.py")
    root = program.parents[2]
    processes = {
        role: subprocess.Popen(
            [sys.executable, program, role, tmp_path / role, str(end.fileno()), str(first), str(rows), str(buckets)],
            pass_fds=[end.fileno()], stdout=subprocess.PIPE, cwd=root, env=os.environ | {"PYTHONPATH": str(root)},
        )
        for (role, end), first in zip(ends.items(), (0, rows // 2), strict=True)
    }  # fmt: skip
    for end in ends.values():
        end.close()
    last: dict[str, dict] = {role: {"killed": []} for role in ROLES}

    def listen(role: str) -> None:
        for line in processes[role].stdout:
            said = json.loads(line)
            at = said.pop("step", ["", 0, 0])
            if role == killing and at[0] == "match" and at[1] >= 2 and not last[role]["killed"]:
                last[role]["killed"] = python_workers(processes[role].pid)
                for worker in last[role]["killed"]:
                    os.kill(worker, signal.SIGKILL)
            last[role] |= said

    threads = [threading.Thread(target=listen, args=(role,)) for role in ROLES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(900)
    for process in processes.values():
        process.kill()
        process.wait()
        process.stdout.close()
    return last


@pytest.mark.slow
@pytest.mark.parametrize("killing", ["", "receiver", "sender"])
def test_two_spark_applications_and_a_killed_worker(tmp_path, killing):
    """200,000 × 200,000 in 8 buckets, each party a Spark of its own: equal to the plain intersection."""
    last = two_sparks(tmp_path, 200_000, 8, killing)
    assert not any("error" in said for said in last.values()), last
    assert last["receiver"]["result"]["matched"] == list(range(100_000, 200_000))
    assert last["receiver"]["result"]["peer_rows"] == last["sender"]["result"]["peer_rows"] == 200_000
    assert not killing or last[killing]["killed"]
