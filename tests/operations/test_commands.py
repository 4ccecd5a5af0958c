"""The commands as a person types them: what they print, in both languages, and their exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom.commands import operations
from cleanroom.home import Home
from cleanroom.terminal import app as terminal
from tests.near import new_home
from tests.operations.world import world

APP = terminal.new(cls=terminal.Application)
ROOM = terminal.new()
operations.add(APP, ROOM)
APP.add_typer(ROOM, name="room")


@APP.command("other")
def other() -> None:
    """Another command beside them."""


@pytest.fixture(autouse=True)
def language(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command chooses lasts no longer than its test."""
    monkeypatch.setattr(lang, "_current", "en")


def call(*words: object, code: int = 0, **environment: str) -> Any:
    done = CliRunner().invoke(APP, [*map(str, words), "--json"], env=environment, prog_name="cleanroom")
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def said(*words: object, language: str = "en") -> str:
    done = CliRunner().invoke(APP, [*map(str, words), "--lang", language], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_from_a_backup_key_to_a_restored_home(tmp_path: Path) -> None:
    home, key, file = new_home(tmp_path / "merchant", "merchant").path, tmp_path / "b.key", tmp_path / "m.backup"
    assert "Keep it elsewhere" in said("backup", "key", key)
    made = call("backup", "make", "--to", file, "--key-file", key, "--home", home)
    assert made["party"] == "merchant"
    assert call("backup", "verify", file, CLEANROOM_BACKUP_KEY_FILE=str(key))["files"] == made["files"]
    text = said("restore", file, "--to", tmp_path / "again", "--key-file", key)
    assert "all budgets of this home are closed until" in text
    assert "forgotten since the backup are back" in text
    assert "count again" in text  # what was revoked since
    text = said("restore", file, "--to", tmp_path / "zh", "--key-file", key, language="zh")
    assert "预算关闭到" in text
    call("restore", file, "--to", tmp_path / "again", "--key-file", key, code=2)
    told = call("backup", "tell", "--home", tmp_path / "again")
    assert told["told"] == []


def test_a_backup_by_passphrase_and_its_mistakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cleanroom.keystore import Cost, Keystore

    monkeypatch.setattr(Keystore, "_cost", Cost(2, 8, 1))
    cheap = Keystore._from_passphrase
    monkeypatch.setattr(Keystore, "from_passphrase", lambda words: cheap(words, Cost(2, 8, 1)))
    home, words = new_home(tmp_path / "merchant", "merchant").path, tmp_path / "words"
    words.write_text("correct horse\n")
    made = ("backup", "make", "--to", tmp_path / "m.backup", "--home", home)
    assert call(*made, code=2)["error"]["code"] == "usage"
    assert call(*made, "--passphrase-file", words, code=3)["error"]["code"] == "refused"  # others may read it
    words.chmod(0o600)
    call(*made, "--passphrase-file", words)
    verify = ("backup", "verify", tmp_path / "m.backup")
    assert call(*verify, CLEANROOM_BACKUP_PASSPHRASE="correct horse")["party"] == "merchant"
    assert call(*verify, CLEANROOM_BACKUP_PASSPHRASE="wrong horse", code=4)["error"]["code"] == "data"
    call(*verify, "--passphrase-file", words, "--key-file", words, code=2)


def test_upgrade_and_keys(tmp_path: Path) -> None:
    home = new_home(tmp_path / "merchant", "merchant").path
    assert "current format already" in said("upgrade", home)
    (home / "node.json").write_bytes(b'{"format":"cleanroom-home/1","party":"merchant"}')
    assert call("upgrade", home)["homes"] == 1
    assert call("keys", "rotate", "--storage", "--tls", "--home", home)["storage"] == "own"
    assert "Peers take it over" in said("keys", "rotate", "--tls", "--home", home)
    assert "新密钥文件" in said("keys", "rotate", "--storage", "--home", home, language="zh")
    call("keys", "rotate", "--home", home, code=2)
    assert Home.open(home).party == "merchant"


def test_assess(tmp_path: Path) -> None:
    home = world(tmp_path).merchant.path
    assert call("room", "assess", "spring", "--home", home)["room"] == "spring"
    assert "Who learns what" in said("room", "assess", "spring", "--home", home)
    assert "three years" in said("room", "assess", "spring", "--home", home, "--out", tmp_path / "a.html")
    assert "<html" in (tmp_path / "a.html").read_text("utf-8")
    call("room", "assess", "autumn", "--home", home, code=2)


def test_help_is_translated() -> None:
    assert isinstance(APP, typer.Typer)
    assert "备份" in said("backup", "make", "--help", language="zh")
