"""D4: a crash or a race never loses a charge and never charges twice; every asker is a process of its own."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from parties import question, receipt, side

from cleanroom.ledger.audit import verify_home_ledger

HERE = Path(__file__).parent
KINDS = ([], ["debit"], ["debit", "release"])


def run(what: str, folder: Path) -> list[tuple[int, list[str]]]:
    """Of each child: how it ended, and the kinds of entries after it."""
    command = [sys.executable, str(HERE / "forking.py"), what, str(folder)]
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    return [(int(line.split()[0]), line.split()[1:]) for line in done.stdout.splitlines()]


def entries(folder: Path, name: str = "merchant") -> int:
    return verify_home_ledger(side(folder, name).path, side(folder).keys.public).entries


def test_killed_at_any_step_a_charge_that_stood_stands_and_the_ledger_verifies(tmp_path):
    ends = run("alone", tmp_path)
    assert len(ends) > 15
    assert [end for end, _ in ends] == [signal.SIGKILL] * (len(ends) - 1) + [0]
    kinds = [kinds for _, kinds in ends]
    assert all(found in KINDS for found in kinds)
    assert kinds == sorted(kinds, key=len)  # killed later, never less is kept
    assert kinds.count(["debit"]) >= 3  # in particular while it was computed
    assert [entries(tmp_path, f"merchant{n}") for n in range(1, len(ends) + 1)] == [len(found) for found in kinds]


def test_retries_after_kills_spend_nothing_more(tmp_path):
    ends = run("kill", tmp_path)
    assert ends[-1] == (0, ["debit", "release"])
    assert all(kinds in KINDS for _, kinds in ends)
    assert entries(tmp_path) == 2


def test_processes_at_once_charge_once(tmp_path):
    assert [end for end, _ in run("race", tmp_path)] == [0] * 16
    assert entries(tmp_path) == 2


def test_sixty_four_at_once_charge_each_question_once(tmp_path):
    owner = side(tmp_path)
    owner.create().close()
    fresh, failures = [], []

    def charge(number: int) -> None:
        asked = question(f"column{number % 32}")
        try:
            with owner.open() as ledger:
                fresh.append(ledger.debit(asked).fresh)
                ledger.record_release(receipt(asked), b"answer")
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=charge, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert sorted(fresh) == [False] * 32 + [True] * 32
    assert entries(tmp_path) == 64
