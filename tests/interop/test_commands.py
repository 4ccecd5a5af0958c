"""`cleanroom interop`: every command has help with an example in both languages, one JSON object, a text for people."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from cleanroom import lang
from cleanroom.commands import interop as commands
from cleanroom.crowds import desk
from cleanroom.crowds.rule import simple
from cleanroom.terminal import app as terminal
from tests.interop.world import MEMBERS, ROOM, SHARED, TOOL, USERS, World

pytestmark = pytest.mark.xdist_group("interop")  # one worker makes the room
COMMANDS = [
    ("tokens", "export"), ("tokens", "check"), ("tokens", "match"), ("rules", "export"), ("rules", "import"),
    *(("three-key", name) for name in ("share", "accept", "list", "cross", "match", "identifiers")),
]  # fmt: skip


class Terminal:
    """The command, as somebody types it."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self._capfd = capfd
        whole = terminal.new(cls=terminal.Application)
        whole.add_typer(commands.app, name="interop")
        self._command = typer.main.get_command(whole)

    def text(self, *words: object, code: int = 0) -> str:
        with pytest.raises(SystemExit) as left:
            self._command.main(["interop", *map(str, words)])
        out, err = self._capfd.readouterr()
        assert left.value.code == code, err
        return out + err if code else out

    def json(self, *words: object, code: int = 0) -> Any:
        return json.loads(self.text(*words, "--json", code=code).splitlines()[0])


@pytest.fixture
def term(capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(capfd)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_has_help_with_an_example_in_both_languages(term, language):
    parts = {"tokens": commands.tokens_app, "rules": commands.rules_app, "three-key": commands.three_key_app}
    known = [(group, each.name) for group, part in parts.items() for each in part.registered_commands]
    assert known == COMMANDS
    for words in COMMANDS:
        told = " ".join(term.text(*words, "--help", "--lang", language).split())
        assert told.count(f"cleanroom interop {' '.join(words)} ") == 2  # usage and example
        assert any("一" <= letter <= "鿿" for letter in told) == (language == "zh")
    lang.choose("en")


def test_tokens_at_the_terminal(world: World, term: Terminal, folder: Path):
    files = []
    for party in ("merchant", "platform"):
        files.append(folder / f"{party}.parquet")
        told = term.json("tokens", "export", ROOM, files[-1], "--for", TOOL, "--home", world.path(party))
        assert (told["tool"], told["party"]) == (TOOL, party)
        assert term.json("tokens", "check", files[-1])["verified"] == told["rows"]
    assert term.json("tokens", "match", *files) == {"tool": TOOL, "left": MEMBERS, "right": USERS, "shared": SHARED}
    assert "1,200" in term.text("tokens", "match", *files)
    refused = term.json(
        "tokens", "export", ROOM, folder / "t.csv", "--for", "x", "--home", world.path("merchant"), code=3
    )
    assert "does not let match tokens out for x" in refused["error"]["what"]
    assert "hand both on" in term.text("tokens", "check", files[0])


def test_rules_at_the_terminal(world: World, term: Terminal, folder: Path):
    home = world.path("merchant")
    made = desk.create(home, ROOM, "of the terminal", rule=simple("level = 'gold'"))
    file = folder / "rules.json"
    assert term.json("rules", "export", ROOM, file, made.code, "--home", home)["columns"] == ["crm.level"]
    assert "codes" not in term.json("rules", "import", ROOM, file, "--dry-run", "--home", home)
    told = term.json("rules", "import", ROOM, file, "--home", home)
    assert told["codes"]["1"] != made.code
    assert "of the terminal" in term.text("rules", "import", ROOM, file, "--home", home)
    file.write_text(file.read_text().replace("level", "grade"))
    refused = term.json("rules", "import", ROOM, file, "--home", home, code=3)
    assert (refused["error"]["code"], refused["error"]["column"]) == ("rule", 1)
    assert "第 1 个池" in term.text("rules", "import", ROOM, file, "--home", home, "--lang", "zh", code=3)
    lang.choose("en")


def test_three_keys_at_the_terminal(world: World, term: Terminal, folder: Path):
    merchant, platform = (("--home", world.path(party)) for party in ("merchant", "platform"))
    told = term.json("three-key", "share", ROOM, folder / "shared.json", *platform)
    assert term.json("three-key", "accept", ROOM, folder / "shared.json", *merchant) == told
    assert term.json("three-key", "list", ROOM, folder / "p.csv", *platform)["of"] == "publisher"
    assert "publisher" not in term.text("three-key", "list", ROOM, folder / "a.csv", *merchant)
    term.json("three-key", "cross", ROOM, folder / "p.csv", folder / "pa.csv", *merchant)
    term.json("three-key", "cross", ROOM, folder / "a.csv", folder / "ap.csv", *platform)
    files = (folder / "ap.csv", folder / "pa.csv")
    told = term.json("three-key", "match", ROOM, *files, "--identifiers", folder / "dsp.csv", *merchant)
    assert told["percent"] == 100 * SHARED // MEMBERS
    assert "80 %" in term.text("three-key", "match", ROOM, *files, *merchant)
    told = term.json("three-key", "identifiers", ROOM, folder / "users.parquet", *platform)
    assert told["rows"] == USERS
    refused = term.json("three-key", "cross", ROOM, folder / "ap.csv", folder / "x.csv", *merchant, code=4)
    assert "another list than the one that is due" in refused["error"]["what"]
