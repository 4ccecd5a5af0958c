"""Help: every command has one, with an example, in both languages, quickly."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer import testing

import cli
from cleanroom import lang
from tests.cli.support import Run, environment, process


def _commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, node
    for name, child in getattr(node, "commands", {}).items():
        yield from _commands(child, (*path, name))


ALL = list(_commands(typer.main.get_command(cli.app)))
LEAVES = [(path, node) for path, node in ALL if not hasattr(node, "commands")]
ENGLISH = re.compile(r"[A-Za-z]{2,}[,.]? [a-z]{2,}")
"""Two words of English in a row."""


def test_the_commands_that_users_rely_on_are_there() -> None:
    assert {" ".join(path) for path, _ in LEAVES} >= {
        "overlap", "query", "demo", "checkup", "data doctor", "data add", "data list", "data forget", "room new",
        "room show", "room sign", "room verify", "audit verify", "audit show",
    }  # fmt: skip


@pytest.mark.parametrize(("path", "node"), LEAVES, ids=[" ".join(path) for path, _ in LEAVES])
def test_every_command_has_help_an_example_and_json(path: tuple[str, ...], node: Any) -> None:
    assert node.help
    assert f"cleanroom {' '.join(path)}" in node.epilog
    assert any("--json" in parameter.opts for parameter in node.params) or path[-1:] == ("serve",)  # whose log is JSON
    for parameter in node.params:
        assert parameter.help, parameter.name


@cache
def built(language: str) -> Any:
    """The whole command, translated by its first run: Typer builds it for each, which takes a tenth of a second."""
    return typer.main.get_command(cli.app)


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=[" ".join(path) or "-" for path, _ in ALL])
def test_help_in_both_languages(run: Run, monkeypatch: pytest.MonkeyPatch, path: tuple[str, ...]) -> None:
    monkeypatch.setattr(testing, "_get_command", lambda _: built("en"))
    english = run(*path, "--help")
    monkeypatch.setattr(testing, "_get_command", lambda _: built("zh"))
    chinese = run(*path, "--help", "--lang", "zh")
    assert (english.code, chinese.code, english.err, chinese.err) == (0, 0, "", "")
    assert "Usage: " in english.out
    assert "用法：" in chinese.out
    assert not re.search("[一-鿿]", english.out)
    body = chinese.out.rsplit("╯", 1)[0].replace(f"cleanroom {' '.join(path)}", "")  # without usage and example
    body = body.replace("audience overlap", "")  # a default that stands in contracts
    assert not ENGLISH.search(body), body
    assert not re.search("… +│", chinese.out)  # nothing is cut


def test_a_text_without_translation_would_be_seen(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = {text: chinese for text, chinese in lang.catalogue().items() if text != "The rooms of this node."}
    monkeypatch.setattr(lang, "catalogue", lambda: texts)
    assert ENGLISH.search(run("room", "list", "--help", "--lang", "zh").out)


def test_help_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = {"pandas", "pyarrow", "duckdb", "altair", "cryptography", "numpy", "phonenumbers", "gmpy2"}
    script = f"""
import sys
import cli
try:
    cli.app(["--help"])
finally:
    sys.stderr.write(",".join(sorted({heavy!r} & set(sys.modules))))
"""
    (tmp_path / "help.py").write_text(script)
    done = subprocess.run([sys.executable, "help.py"], cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "overlap" in done.stdout


def test_the_environment_says_the_language_to_the_real_command(tmp_path: Path) -> None:
    assert "选项" in process(["room", "--help"], tmp_path, CLEANROOM_LANG="zh").out


@pytest.mark.parametrize(
    ("environment", "language"),
    [({"LC_ALL": "zh_CN.UTF-8"}, "zh"), ({"CLEANROOM_LANG": "en", "LC_ALL": "zh_CN.UTF-8"}, "en")],
)
def test_the_language_of_help(run: Run, environment: dict[str, str], language: str) -> None:
    assert ("用法：" in run("--help", **environment).out) == (language == "zh")
    assert "Usage: " in run("--lang=en", "--help", **environment).out
    assert "用法：" in run("room", "list", "--lang", "zh", "--help", **environment).out
