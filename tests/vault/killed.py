"""Dies while it writes a dataset: just before its pointer is put, or just after. Run by test_object_vault.py."""

import os
import sys
from pathlib import Path

from vault_world import SCHEMA, small, table

from cleanroom.home import Home
from cleanroom.object_stores import ObjectStore

home, when = Path(sys.argv[1]), sys.argv[2]
real = ObjectStore.put_if


def dying(self, name, content, tag):
    pointer = name.startswith("current/")
    if pointer and when == "before":
        os._exit(9)
    done = real(self, name, content, tag)
    if pointer:
        os._exit(9)
    return done


ObjectStore.put_if = dying
small(Home.open(home).vault).write("crm", SCHEMA, table(range(20, 50)).to_batches(7), meta={})
