"""Kills a party at every step of its answers with SIGKILL, and checks what its ledger then holds. `make crash` runs it.

    crash.py points FOLDER COUNT   kills at about COUNT different points, 2000 being all; prints what was found
    crash.py race FOLDER           64 processes at once: one question, then 64 questions against a budget for ten
A party answers three questions, each: debit, draw noise, send it, record the release, hand out the stored answer. It
is killed at its n-th statement in SQLite, at the n-th entry or exit of a system call (ptrace), or after a while; the
retry is killed too, at another place; the second retry ends by itself. Everything sent is kept in a file, since a peer
would have it. Noise and answers of each attempt differ, so that any that is not the first one's shows.
"""

import ctypes
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from parties import COST, Side, question, receipt, side

from cleanroom.errors import Refused
from cleanroom.ledger.audit import verify_home_ledger
from cleanroom.ledger.store import read

QUESTIONS = 3
AT_ONCE = 64
TRACEME, NEXT_CALL = 0, 24
"""Requests of ptrace(2) on Linux."""


@dataclass(frozen=True)
class Point:
    """Where a party is killed: at its n-th statement or system call, or after n hundredths of a usual run."""

    by: str
    n: int


class Wrong(Exception):
    """What may never be, was."""


def answer(owner: Side, sent: Path, step: Callable[[], None]) -> None:
    out = os.open(sent, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for number in range(QUESTIONS):
        asked = question(f"column{number}", sigma=20)
        with owner.open() as ledger:
            if ledger.stored_answer(asked.digest()) is None:
                ledger.debit(asked, COST)
                step()
                noise = ledger.draws(asked.digest(), lambda: os.urandom(8))
                os.write(out, f"{number} noise {noise.hex()}\n".encode())
                step()
                ledger.record_release(receipt(asked), noise + os.urandom(8))
                step()
            os.write(out, f"{number} answer {ledger.stored_answer(asked.digest()).hex()}\n".encode())


def check(owner: Side, sent: Path) -> int:
    """How many questions are answered. Raises Wrong, or BadData where the ledger does not verify."""
    entries = read(owner.path).entries
    report = verify_home_ledger(owner.path, owner.keys.public)
    kinds = Counter(entry.kind for entry in entries)
    if sum(each.rho_micro for each in report.spent) != COST.rho_micro * kinds["debit"] or kinds["debit"] > QUESTIONS:
        raise Wrong("spent twice")
    said = {tuple(line.split()) for line in sent.read_text().splitlines()} if sent.exists() else set()
    if len({(number, what) for number, what, _ in said}) != len(said):
        raise Wrong("noise or an answer differs between attempts")
    for number, what, _ in said:
        digest = question(f"column{number}", sigma=20).digest()
        known = {entry.kind for entry in entries if entry.body.get("question") == digest}
        if not {"debit", "draws"} <= known or (what == "answer" and "release" not in known):
            raise Wrong("released unspent, or unrecorded")
    return len([what for _, what, _ in said if what == "answer"])


def child(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return pid


def killed(owner: Side, sent: Path, point: Point, usual: float) -> bool:
    """Answer, and be killed at the point; False where it ended before."""
    if point.by == "call":
        status = _by_calls(child(lambda: (_be_traced(), answer(owner, sent, lambda: None))), point.n)
    elif point.by == "statement":
        status = os.waitpid(child(lambda: _by_statements(owner, sent, point.n)), 0)[1]
    else:
        pid = child(lambda: answer(owner, sent, lambda: None))
        time.sleep(usual * point.n / 100)
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    if status not in (0, signal.SIGKILL):
        raise Wrong(f"ended with {status}")
    return status != 0


def _by_statements(owner: Side, sent: Path, n: int) -> None:
    left, connect = n, sqlite3.connect

    def step(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watched(*args: object, **more: object) -> sqlite3.Connection:
        database = connect(*args, **more)
        database.set_trace_callback(step)
        return database

    sqlite3.connect = watched
    answer(owner, sent, step)


def _be_traced() -> None:
    ctypes.CDLL(None).ptrace(TRACEME, 0, None, None)
    os.kill(os.getpid(), signal.SIGSTOP)


def _by_calls(pid: int, n: int) -> int:
    ptrace = ctypes.CDLL(None).ptrace
    status = os.waitpid(pid, 0)[1]
    for _ in range(n):
        if not os.WIFSTOPPED(status):
            return status
        ptrace(NEXT_CALL, pid, None, None)
        status = os.waitpid(pid, 0)[1]
    if os.WIFSTOPPED(status):
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    return status


def attempts(folder: Path, points: Iterator[Point], usual: float) -> Iterator[tuple[Point, int]]:
    """Each point with the number of kills that it took, until one is beyond the end."""
    for at, point in enumerate(points):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            owner, sent = side(Path(name)), Path(name) / "sent"
            owner.create().close()
            if not killed(owner, sent, point, usual):
                if point.by != "time":
                    return
                continue
            check(owner, sent)
            again = killed(owner, sent, Point("statement", random.Random(at).randint(1, 40)), usual)
            check(owner, sent)
            answer_all(owner, sent)
            yield point, 1 + again


def answer_all(owner: Side, sent: Path) -> None:
    status = os.waitpid(child(lambda: answer(owner, sent, lambda: None)), 0)[1]
    if status or check(owner, sent) != QUESTIONS:
        raise Wrong("not everything was answered in the end")


def points(folder: Path, count: int) -> None:
    owner, sent = side(folder), folder / "sent"
    owner.create().close()
    start = time.perf_counter()
    answer_all(owner, sent)
    usual, kills = time.perf_counter() - start, 0
    found: Counter[str] = Counter()
    every = (
        (Point("statement", n) for n in range(1, 100_000, max(1, 400 // count))),
        (Point("call", n) for n in range(1, 100_000, max(1, 2000 // count))),
        (Point("time", random.Random(n).randint(1, 100)) for n in range(count // 10)),
    )
    for at in every:
        for point, times in attempts(folder, at, usual):
            found[point.by] += 1
            kills += times
    sys.stdout.write(
        f"Killed at {found.total()} points: {found['statement']} statements, {found['call']} entries and exits of "
        f"system calls, {found['time']} moments; {kills} kills, retries included.\n"
        "After each: the ledger verifies, nothing was spent twice, nothing left unspent or unrecorded, no noise and no "
        "answer differed between attempts, and a retry answered everything.\n"
    )


def race(folder: Path) -> None:
    """Prints how many of the processes charged, repeated, and were refused; first one question, then 64."""
    for name, asked in (("one", lambda _: "same"), ("many", lambda number: f"column{number}")):
        owner = side(folder, name)
        owner.create().close()

        def charge(number: int, owner: Side = owner, asked: Callable[[int], str] = asked) -> None:
            try:
                with owner.open() as ledger:
                    os._exit(10 if ledger.debit(question(asked(number), sigma=20), COST).fresh else 11)
            except Refused:
                os._exit(12)

        pids = [child(lambda number=number: charge(number)) for number in range(AT_ONCE)]
        ends = Counter(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids)
        entries = verify_home_ledger(owner.path, owner.keys.public).entries
        sys.stdout.write(f"{name}: {ends[10]} charged, {ends[11]} repeated, {ends[12]} refused, {entries} entries\n")


if __name__ == "__main__":
    if sys.argv[1] == "race":
        race(Path(sys.argv[2]))
    else:
        points(Path(sys.argv[2]), int(sys.argv[3]))
