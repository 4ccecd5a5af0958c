"""New keys for the home: the old ones open nothing more, a crash in between loses nothing."""

import subprocess
import sys
from pathlib import Path

import pytest

from cleanroom.errors import BadData, UsageError
from cleanroom.home import OWN_KEY, Home
from cleanroom.keystore import Keystore
from cleanroom.node import certificate
from cleanroom.operations import desk, keys
from tests.near import new_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return new_home(tmp_path / "home", "merchant")


def test_a_new_key_file_inside(home: Home, tmp_path: Path) -> None:
    (tmp_path / "old.key").write_bytes((home.path / OWN_KEY).read_bytes())
    (tmp_path / "old.key").chmod(0o600)
    public = home.keys.public
    assert keys.rotate_storage(home.path, {}) == "own"
    assert Home.open(home.path).keys.public == public
    with pytest.raises(BadData, match="Each home has its own"):
        Home.open(home.path, Keystore.from_key_file(tmp_path / "old.key"))
    assert sorted(p.name for p in home.path.glob("unlock*")) == [OWN_KEY]


def test_a_key_kept_elsewhere(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away, more = tmp_path / "away.key", tmp_path / "more.key"
    assert keys.rotate_storage(home.path, {keys.NEW_KEY_FILE_VARIABLE: str(away)}) == "key-file"
    assert not (home.path / OWN_KEY).exists()
    with pytest.raises(UsageError):
        Home.open(home.path)
    monkeypatch.setenv("CLEANROOM_KEY_FILE", str(away))
    with pytest.raises(UsageError, match="from now on"):
        keys.rotate_storage(home.path, {})
    keys.rotate_storage(home.path, {keys.NEW_KEY_FILE_VARIABLE: str(more)})
    assert Home.open(home.path, Keystore.from_key_file(more)).party == "merchant"
    with pytest.raises(BadData):
        Home.open(home.path)
    keys.rotate_storage(home.path, {keys.NEW_KEY_FILE_VARIABLE: str(more)})  # again: it is so already


def test_a_passphrase(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keys.rotate_storage(home.path, {keys.NEW_PASSPHRASE_VARIABLE: "correct horse"}) == "passphrase"
    monkeypatch.setenv("CLEANROOM_PASSPHRASE", "correct horse")
    assert Home.open(home.path).party == "merchant"
    with pytest.raises(UsageError, match="two things"):
        keys.rotate_storage(home.path, {keys.NEW_PASSPHRASE_VARIABLE: "a", keys.NEW_KEY_FILE_VARIABLE: "b"})
    assert not Path("b").exists()


def test_killed_in_between_the_next_call_finishes_it(tmp_path: Path) -> None:
    code = (
        "import os, sys, pathlib\n"
        "left = int(sys.argv[2])\n"
        "def watch(event, given):\n"
        "    global left\n"
        "    if event == 'os.rename' or (event == 'open' and str(given[0]).endswith('unlock.key.next')):\n"
        "        left -= 1\n"
        "        if left < 0: os._exit(9)\n"
        "sys.addaudithook(watch)\n"
        "from cleanroom.operations.keys import rotate_storage\n"
        "rotate_storage(pathlib.Path(sys.argv[1]), {})\n"
    )
    codes = []
    for step in range(9):
        path = new_home(tmp_path / f"home{step}", "merchant").path
        codes.append(subprocess.run([sys.executable, "-c", code, path, str(step)], check=False).returncode)
        assert keys.rotate_storage(path, {}) == "own"
        assert Home.open(path).party == "merchant"
        if codes[-1] == 0:
            break
    assert codes[0] == 9
    assert codes[-1] == 0


def test_a_new_certificate(home: Home) -> None:
    before = certificate.own(home)
    told = desk.rotate(home.path, storage=False, tls=True, at_once=False)
    after = certificate.own(home)
    assert after.pem == before.pem  # used on, until peers know the next
    assert after.following is not None
    assert after.following.digest == told["tls"]["digest"]
    told = desk.rotate(home.path, storage=False, tls=True, at_once=True)
    assert certificate.own(home).certificate.digest == told["tls"]["digest"]
    with pytest.raises(UsageError, match="which key"):
        desk.rotate(home.path, storage=False, tls=False, at_once=False)
