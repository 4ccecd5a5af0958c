"""Failures: exit codes, texts in both languages, one JSON object, nothing left behind, no value told."""

import importlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cleanroom.errors import BadData, Interrupted, Refused, UsageError
from connectors.errors import InputError
from protocols.errors import BadMessage, PeerAborted
from tests.cli.support import Done, Run, started
from tests.near import process_of

USAGE = [
    (("room", "bla"), "No such command: bla", "没有这个命令：bla"),
    (("data", "list", "--bla"), "No such option: --bla", "没有这个选项：--bla"),
    (("data", "doctor"), "The argument file is missing.", "缺少参数 file。"),
    (("data", "add", "crm.csv"), "The option --name is missing.", "缺少选项 --name。"),
    (("version", "more"), "There is no place for: more", "多余的参数：more"),
    (("overlap", "a", "b", "--k"), "The option --k needs a value.", "选项 --k 需要一个值。"),
    (("version", "--json=1"), "The option --json takes no value.", "选项 --json 不带值。"),
    (("overlap", "a", "b", "--protocol", "x"),
     "--protocol is one of: 'auto', 'keyed', 'vole', 'dh', 'oprf', 'join-sum'.",
     "--protocol 只能是：'auto', 'keyed', 'vole', 'dh', 'oprf', 'join-sum'。"),
    (("overlap", "a", "b", "--k", "x"), "This value does not fit --k.", "--k 的值不合适。"),
    (("--lang", "fr", "version"), "--lang is one of: 'en', 'zh'.", "--lang 只能是：'en', 'zh'。"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "english", "chinese"), USAGE, ids=[" ".join(words) for words, *_ in USAGE])
def test_typers_own_errors_are_translated(run: Run, words: tuple[str, ...], english: str, chinese: str) -> None:
    for language, text in (("en", english), ("zh", chinese)):
        done = run(*words, CLEANROOM_LANG=language)
        assert (done.code, done.out) == (2, "")
        assert text in done.err
        assert "--help" in done.err
        assert ("Try" in done.err) == (language == "en")


def test_a_usage_error_is_one_json_object_too(run: Run) -> None:
    done = run("room", "bla", "--json")
    error = {"what": "No such command: bla", "hint": "Try 'cleanroom room --help'.", "exit_code": 2}
    assert done.json == {"error": error}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("There is no file {name}.", name="a.csv"), 2),
        (Refused("join-sum tells nobody the matched rows."), 3),
        (BadData("{name} is damaged.", name="x"), 4),
        (InputError("{name} has no rows.", name="x"), 4),
        (Interrupted("A party's process ended before its work was done."), 5),
        (PeerAborted("The peer ended the session."), 5),
        (BadMessage("A message has an unknown form."), 5),
        (ValueError("13800138000"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exit_codes(run: Run, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int) -> None:
    def fails(*_: Any) -> None:
        raise error

    monkeypatch.setattr(importlib.import_module("cleanroom.overlap"), "run", fails)
    done = run("overlap", "a", "b", "--json", "--lang", "zh")
    told = done.json["error"]
    assert (done.code, told["exit_code"]) == (code, code)
    assert told["what"] in done.err
    assert any("一" <= sign <= "鿿" for sign in told["what"])
    assert "13800138000" not in done.err + done.out


def test_a_wish_that_cannot_be_granted_leaves_no_file(run: Run, files: Path, tmp_path: Path) -> None:
    crm, users, out = files / "crm.csv", files / "users.csv", tmp_path / "out.csv"
    cases = [
        (3, ("--k", 10), "k = 10 is below 50"),
        (3, ("--protocol", "join-sum"), "join-sum tells nobody the matched rows."),
    ]
    for code, more, text in cases:
        done = run("overlap", crm, users, "--members", out, "--receipt", tmp_path / "receipt.json", *more, "--json")
        assert done.code == code
        assert text in done.json["error"]["what"]
        assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("near_parties")
def test_bad_input_leaves_no_file(run: Run, files: Path, tmp_path: Path) -> None:
    done = run("overlap", "gone.csv", files / "users.csv", "--members", tmp_path / "out.csv", "--json")
    assert done.code == 4
    assert "gone.csv" in done.json["error"]["what"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process in /proc")
def test_a_killed_party_ends_the_command_with_5_and_no_file(files: Path, tmp_path: Path) -> None:
    words = ["overlap", str(files / "crm.csv"), str(files / "users.csv"), "--members", "out.csv", "--json"]
    running = started(words, tmp_path, TMPDIR=str(tmp_path))
    os.kill(_party_of(running.pid, "platform"), signal.SIGKILL)
    out, err = running.communicate(timeout=60)
    done = Done(running.returncode, out, err)
    assert done.code == 5
    assert "ended before its work was done" in done.json["error"]["what"]
    assert list(tmp_path.iterdir()) == []


def _party_of(parent: int, name: str) -> int:
    """The process of a party of the command that runs as `parent`, once it is there."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if (found := process_of(parent, name)) is not None:
            return found
        time.sleep(0.02)
    raise TimeoutError(name)
