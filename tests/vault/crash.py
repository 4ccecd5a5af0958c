"""Kills a process at every step of a write or a forgetting, and says what is left. Run by test_vault_crash.py.

A step is whatever changes the home: opening for writing, making, renaming, removing, syncing, every batch asked for.
"""

import json
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
from vault_world import SCHEMA, people, persons, small, table

from cleanroom.home import Home
from cleanroom.vault import Finish, lease, object_versions

STEPS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.fsync", "batch"}


def is_reading(home, path, _mode, flags):
    return str(home) not in str(path) or not flags & (os.O_WRONLY | os.O_RDWR)


def kill_at(step, home):
    """From now on, ends this process without any cleaning up at its step number `step` inside `home`."""
    left = step

    def hook(event, arguments):
        nonlocal left
        if event in STEPS and not (event == "open" and is_reading(home, *arguments)):
            left -= 1
            if left == 0:
                os._exit(9)

    sys.addaudithook(hook)
    os.fsync = lambda handle: sys.audit("os.fsync")  # what a dead machine would lose is not tried here


def moved(home):
    """Objects stand in the home's own folder `objects`, wherever it was copied to; what is left is old at once."""
    path = home / "vault" / "place"
    if path.exists():
        path.write_bytes(
            b'{"format":"cleanroom-vault-place/1","partitions":2,"uri":"%s"}' % str(home / "objects").encode()
        )
        Home.open(home).vault._setting.partition_key()  # made once in the life of a home
        lease.HELD_FOR = object_versions.RETIRED_FOR = timedelta(0)


def act(home, action):
    vault = small(Home.open(home).vault)
    if action == "forget":
        vault.forget(persons([3]))
        return
    batches = (sys.audit("batch") or batch for batch in table(range(20, 60)).to_batches(15))
    vault.write("crm", SCHEMA, batches, meta={}, finish=lambda _: Finish(np.arange(40) % 2 == 0))


def left(home):
    """What a new process reads, and what stands in the folder."""
    vault = small(Home.open(home).vault)
    seen = {str(number): sorted(people(vault, "crm", number)) for number in vault.versions("crm")}
    return {"versions": seen, "current": sorted(people(vault, "crm")), "epoch": vault.epoch}


def main(template, action, stride):
    os.fsync = lambda handle: None
    step, results = 0, []
    while True:
        step += int(stride)
        home = Path(template).with_name(f"step-{step}")
        shutil.copytree(template, home)
        moved(home)
        child = os.fork()
        if child == 0:
            kill_at(step, home)
            act(home, action)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        result = {"status": status, "after": left(home)}
        act(home, action)
        result["again"] = left(home)
        result["rests"] = [path.name for path in home.rglob(".*") if "objects" not in path.parts]  # no footer, no keys
        result["rests"] += [path.name for path in home.rglob("writing") if not (path.parent / "manifest").exists()]
        folders = [path for path in home.rglob("v0*") if any(path.glob("[!.]*")) and not (path / "retired").exists()]
        result["folders"] = sorted(path.name for path in folders)
        results.append(result)
        shutil.rmtree(home)
        if status == 0:
            json.dump(results, sys.stdout)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
