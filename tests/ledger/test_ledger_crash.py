"""D4: a crash or a race never loses a charge and never charges twice; every asker is a process of its own."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from parties import question, receipt, side

from cleanroom.ledger.audit import verify_home_ledger

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked and traced")


def run(*words: object) -> str:
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    command = [sys.executable, str(HERE / "crash.py"), *map(str, words)]
    return subprocess.run(
        command, env=os.environ | {"PYTHONPATH": path}, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def test_killed_at_any_step_a_charge_that_stood_stands_and_the_ledger_verifies(tmp_path):
    killed = re.match(r"Killed at (\d+) points: (\d+) statements, (\d+) entries", run("points", tmp_path, 40))
    assert int(killed[1]) >= 25
    assert int(killed[2]) >= 8
    assert int(killed[3]) >= 10


def test_sixty_four_processes_at_once_charge_a_question_once_and_no_budget_beyond_its_end(tmp_path):
    one, many = run("race", tmp_path).splitlines()
    assert one == "one: 1 charged, 63 repeated, 0 refused, 1 entries"
    assert many == "many: 10 charged, 0 repeated, 54 refused, 10 entries"


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
    assert verify_home_ledger(owner.path, owner.keys.public).entries == 64
