"""Run by `test_ledger_crash` in a process of its own: asks and answers in forked children, killing them on the way.

    forking.py kill FOLDER     one child after another, the n-th killed at its n-th step, until one ends by itself
    forking.py alone FOLDER    the same, each child with a ledger of its own
    forking.py race FOLDER     sixteen children at once on one ledger
A step is a statement that SQLite runs, or a point between calls. Prints a line a child: signal, then kinds of entries.
"""

import os
import signal
import sqlite3
import sys
from pathlib import Path

from parties import Side, question, receipt, side

from cleanroom.ledger.ledger import read


class Steps:
    """Counts steps, and kills this process at the last one."""

    def __init__(self, last: int) -> None:
        self.left = last

    def __call__(self, *_: object) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def answer(owner: Side, step: Steps) -> None:
    connect = sqlite3.connect

    def watched(*args: object, **more: object) -> sqlite3.Connection:
        database = connect(*args, **more)
        database.set_trace_callback(step)
        return database

    sqlite3.connect = watched
    with owner.open() as ledger:
        ledger.debit(question())
        step()
        computed = b"computed"
        step()
        ledger.record_release(receipt(), computed)
        step()
        if ledger.stored_answer(question().digest()) != computed:
            os._exit(3)


def child(owner: Side, last: int) -> int:
    pid = os.fork()
    if pid == 0:
        answer(owner, Steps(last))
        os._exit(0)
    return pid


def report(owner: Side, status: int) -> None:
    sys.stdout.write(" ".join([str(status), *(entry.kind for entry in read(owner.path).entries)]) + "\n")


def main(what: str, folder: Path) -> None:
    owner, last, status = side(folder), 0, 1
    owner.create().close()
    if what == "race":
        for pid in [child(owner, 0) for _ in range(16)]:
            report(owner, os.waitpid(pid, 0)[1])
        return
    while status and last < 100:
        last += 1
        if what == "alone":
            owner = side(folder, f"merchant{last}")
            owner.create().close()
        status = os.waitpid(child(owner, last), 0)[1]
        report(owner, status)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
