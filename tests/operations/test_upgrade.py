"""A home of the first format becomes one of this; killed anywhere it goes on; a later one is refused."""

import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.ledger.audit import verify_home_ledger
from cleanroom.ledger.chain import FIRST_FORMAT, HEAD_LABEL, entry_hash, genesis, head_message
from cleanroom.ledger.store import _FIRST_SCHEMA, read
from cleanroom.operations.upgrade import BEFORE, upgrade
from tests.near import new_home
from tests.operations.world import backed_up, fill, locks


def of_first_format(path: Path) -> Path:
    """As the first version left it: `node.json`, and a ledger of its first format with one entry, not in WAL mode."""
    home = new_home(path, "merchant")
    fill(home, "crm", range(20))
    (path / "node.json").write_bytes(b'{"format":"cleanroom-home/1","party":"merchant"}')
    database = sqlite3.connect(path / "ledger.sqlite", isolation_level=None)
    for statement in _FIRST_SCHEMA:
        database.execute(statement)
    key = home.keys.public.signing
    database.execute("INSERT INTO meta VALUES (?, ?, ?)", (FIRST_FORMAT, "merchant", key.hex()))
    body = {"dataset": "crm", "manifest": "a" * 64, "rows": 20}
    previous, time = genesis("merchant", key), "2025-01-01T00:00:00Z"
    hashed = entry_hash(1, time, "import", body, previous)
    signature = home.keys.sign(HEAD_LABEL, head_message("merchant", key.hex(), 1, hashed)).hex()
    row = (1, time, "import", canonical.encode(body).decode(), previous, hashed, signature, "")
    database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
    database.close()
    return path


def test_a_home_of_the_first_format_says_what_to_do(tmp_path: Path) -> None:
    path = of_first_format(tmp_path / "home")
    with pytest.raises(BadData, match="cleanroom upgrade home"):
        Home.open(path)
    assert upgrade(path).homes == 1
    home = Home.open(path)
    assert home.vault.rows("crm") == 20
    assert verify_home_ledger(home.ledger_path, home.keys.public.signing).entries == 1
    assert read(home.ledger_path).format == "cleanroom-ledger/2"
    kept = path / BEFORE
    assert json.loads((kept / "node.json").read_bytes())["format"] == "cleanroom-home/1"
    assert read(kept / "ledger.sqlite").format == FIRST_FORMAT
    assert upgrade(path).homes == 0  # twice is once


def test_homes_inside_are_upgraded(tmp_path: Path) -> None:
    path = of_first_format(tmp_path / "home")
    of_first_format(path / "peers" / "platform")
    assert upgrade(path).homes == 2
    assert Home.open(path / "peers" / "platform").party == "merchant"


def test_it_can_be_undone_by_hand(tmp_path: Path) -> None:
    path = of_first_format(tmp_path / "home")
    before = (path / "ledger.sqlite").read_bytes()
    upgrade(path)
    kept = sqlite3.connect(path / BEFORE / "ledger.sqlite")
    old = sqlite3.connect(":memory:")
    old.deserialize(before)
    for table in ("meta", "entries"):
        query = f"SELECT * FROM {table}"
        assert kept.execute(query).fetchall() == old.execute(query).fetchall()
    kept.close()
    old.close()


@pytest.mark.parametrize("node", [b'{"format":"cleanroom-home/3","party":"m"}', b'{"format":"x","party":"m"}', b"[]"])
def test_later_and_unknown_formats_are_refused(node: bytes, tmp_path: Path) -> None:
    path = of_first_format(tmp_path / "home")
    (path / "node.json").write_bytes(node)
    before = (path / "ledger.sqlite").read_bytes()
    with pytest.raises(BadData):
        upgrade(path)
    assert (path / "ledger.sqlite").read_bytes() == before
    assert not (path / BEFORE).exists()
    with pytest.raises(UsageError):
        upgrade(tmp_path / "nowhere")


def test_killed_at_any_step_it_goes_on(tmp_path: Path) -> None:
    """Dies before each rename, one after another, until it comes through; what it kept is what was there at first."""
    path = of_first_format(tmp_path / "home")
    code = (
        "import os, sys, pathlib\n"
        "left = int(sys.argv[2])\n"
        "def watch(event, given):\n"
        "    global left\n"
        "    if event in ('os.rename', 'sqlite3.connect'):\n"
        "        left -= 1\n"
        "        if left < 0: os._exit(9)\n"
        "sys.addaudithook(watch)\n"
        "from cleanroom.operations.upgrade import upgrade\n"
        "upgrade(pathlib.Path(sys.argv[1]))\n"
    )
    codes = []
    for step in range(8):
        copy = shutil.copytree(path, tmp_path / f"copy{step}")
        codes.append(subprocess.run([sys.executable, "-c", code, copy, str(step)], check=False).returncode)
        assert upgrade(copy).after == "cleanroom-home/2"
        home = Home.open(copy)
        assert verify_home_ledger(home.ledger_path, home.keys.public.signing).entries == 1
        assert read(copy / BEFORE / "ledger.sqlite").format == FIRST_FORMAT
        if codes[-1] == 0:
            break
    assert codes[:3] == [9, 9, 9]
    assert codes[-1] == 0


def test_a_backup_of_the_first_format_is_upgraded_as_it_is_restored(tmp_path: Path) -> None:
    from cleanroom.operations.restore import restore

    path = of_first_format(tmp_path / "home")
    second = shutil.copytree(path, tmp_path / "second")
    upgrade(second)
    home = Home.open(second)
    (second / "node.json").write_bytes(b'{"format":"cleanroom-home/1","party":"merchant"}')
    restore(backed_up(home, tmp_path), locks(tmp_path)[1], tmp_path / "again")
    assert Home.open(tmp_path / "again").vault.rows("crm") == 20
