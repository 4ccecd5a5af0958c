"""`cleanroom crowd`: every command has help with an example in both languages, one JSON object, a text for people."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cleanroom import lang
from cleanroom.activation import memberships
from cleanroom.commands import crowd_lists, crowd_spread
from cleanroom.commands import crowds as commands
from cleanroom.crowds import lists as own_lists
from cleanroom.crowds.lists import Lists
from cleanroom.home import Home
from cleanroom.terminal import app as terminal
from tests.crowds.world import ROOM, World, build, phones
from tests.near import parties


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with parties():
        yield build(tmp_path_factory.mktemp("keyed"), "keyed")


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("CLEANROOM_LANG", "en")
    for module, name in ((own_lists, "today"), (memberships, "today_in_china")):
        monkeypatch.setattr(module, name, lambda: dt.date(2026, 11, 22))
    yield
    lang.choose("en")


class Terminal:
    """The command, as somebody types it."""

    def __init__(self, home: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self._home, self._capfd = home, capfd
        whole = terminal.new(cls=terminal.Application)
        whole.add_typer(commands.app, name="crowd")
        self._command = typer.main.get_command(whole)

    def text(self, *words: str, code: int = 0) -> str:
        homed = () if words[0] == "channels" or "--help" in words else ("--home", str(self._home))
        with pytest.raises(SystemExit) as left:
            self._command.main(["crowd", *words, *homed])
        out, err = self._capfd.readouterr()
        assert left.value.code == code, err
        return out + err if code else out

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self.text(*words, "--json", code=code).splitlines()[0])


@pytest.fixture
def term(world: World, capfd: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(world.merchant, capfd)


def file_of(path: Path, numbers: list[str]) -> str:
    path.write_text("phone\n" + "\n".join(numbers) + "\n", "utf-8")
    return str(path)


def test_a_crowd_by_rule_at_the_terminal(world: World, term: Terminal) -> None:
    made = term.json("create", ROOM, "gold", "--where", "level = 'gold'", "--and", "stage <> 'none'", "--channel",
                     "coupon", "--external", "X1")  # fmt: skip
    assert [{name: set(labels) for name, labels in box.items()} for box in made["understood"]] == [
        {"crm.level": {"gold"}, "users.stage": {"visit", "pay", "other"}}
    ]
    assert made["status"] == "new"
    assert term.json("create", ROOM, "gold", "--where", "level = 'gold'", "--and", "stage <> 'none'", "--channel",
                     "coupon", "--external", "X1")["code"] == made["code"]  # fmt: skip
    refused = term.json("refresh", made["code"], code=3)
    assert "charged" in refused["error"]["what"]
    assert term.json("refresh", made["code"], "--charge")["size"]["range"] == [1000, 1999]
    found = term.json("activate", made["code"], "coupon", "--purpose", world.room.contract.purposes[0])
    assert found["status"] == "done"
    assert term.json("task", found["number"]) == found
    for words in (("show", made["code"]), ("list",), ("history", made["code"]), ("task", found["number"]),
                  ("estimate", ROOM, "--where", "level = 'gold'", "--dry-run"), ("channels",), ("guard", ROOM),
                  ("diff", made["code"], "2026-11-21", "2026-11-21")):  # fmt: skip
        assert term.text(*words)
    shown = term.text("show", made["code"])
    assert "merchant coupon" in shown
    assert "1,000–1,999" in shown
    other = term.json("create", ROOM, "rest", "--in", made["code"], "--without", made["code"], code=2)
    assert "nobody" in other["error"]["what"]
    pooled = term.json("pool", ROOM, "all", made["code"], term.json("create", ROOM, "b", "--where", "")["code"])
    assert pooled["kind"] == "pool"
    assert term.json("modify", pooled["code"], "--name", "everybody")["name"] == "everybody"
    assert term.json("archive", pooled["code"])["status"] == "archived"
    assert term.json("guard", ROOM, "--where", "stage = 'none'", "--holdout", "20")["holdout"] == 20
    assert term.json("guard", ROOM, "--clear") == {"room": ROOM, "without": [], "holdout": 0}


def test_a_file_of_people_at_the_terminal(world: World, term: Terminal, tmp_path: Path) -> None:
    made = term.json("upload", ROOM, "leads", file_of(tmp_path / "a.csv", world.members[:1200]))
    assert made["funnel"]["unique"] == 1200
    assert term.json("add", made["code"], file_of(tmp_path / "b.csv", phones(90_000_000, 5)))["funnel"]["unique"] == 5
    assert "next version" in term.text("remove", made["code"], file_of(tmp_path / "c.csv", world.members[:1]))
    risk = term.json("risk", "fraud", file_of(tmp_path / "d.csv", world.members[:3]), "--tag", "FRAUD", "--until",
                     "2027-06-30")  # fmt: skip
    assert risk["kind"] == "grey"
    told = term.text("lists") + term.text("show", made["code"]) + json.dumps(term.json("lists"))
    assert not any(phone in told for phone in world.members[:1200])
    assert term.json("guard", ROOM, "--list", risk["list"])["without"] == [["uploaded", risk["list"], ""]]
    term.json("guard", ROOM, "--clear")
    wrong = term.json("upload", ROOM, "nobody", file_of(tmp_path / "e.csv", ["12", "13"]), code=2)
    assert not any(word in json.dumps(wrong) for word in ('"12"', '"13"'))


def test_mistakes_at_the_terminal(term: Terminal, tmp_path: Path) -> None:
    bad = term.json("create", ROOM, "x", "--where", "level = 'gold' AND stge = 'pay'", code=3)["error"]
    assert (bad["code"], bad["line"], bad["column"]) == ("column", 1, 20)
    assert "users.stage" in bad["hint"]
    assert "one of" not in term.text("create", ROOM, "x", code=2)
    (tmp_path / "rule.json").write_text('{"format": "cleanroom-crowd-rule/9"}', "utf-8")
    assert term.json("create", ROOM, "x", "--rule", str(tmp_path / "rule.json"), code=4)["error"]["code"] == "data"
    for words in (("show", "C9"), ("refresh", "C9"), ("activate", "C9", "coupon", "--purpose", "x"),
                  ("create", ROOM, "x", "--where", "level = 'gold'", "--channel", "mail"),
                  ("refresh", "C9", "--day", "soon"), ("list", "--page", "0"), ("task", "T9")):  # fmt: skip
        assert term.json(*words, code=2)["error"]["what"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_command_has_help_with_an_example(
    world: World, term: Terminal, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    monkeypatch.setenv("CLEANROOM_LANG", language)
    parts = (commands, crowd_spread, crowd_lists)
    names = [each.name for part in parts for each in part.app.registered_commands]
    assert len(names) == 21
    for name in names:
        text = term.text(str(name), "--help")
        assert f"cleanroom crowd {name}" in " ".join(text.split())
        if language == "zh":
            assert any("一" <= letter <= "鿿" for letter in text)


def test_a_lookalike_and_its_gain_at_the_terminal(world: World, term: Terminal, tmp_path: Path) -> None:
    seed = term.json("create", ROOM, "payers", "--where", "stage = 'pay'")["code"]
    words = ("spread", ROOM, "like payers", seed, "--count")
    assert "1000" in term.json(*words, "999", code=3)["error"]["what"]
    assert not Lists(Home.open(world.merchant)).names("holdout")
    price = term.json(*words, "1000", "--dry-run")["price"]
    assert price["gain_rho_micro"] > 0 and "ρ" in term.text(*words, "1000", "--dry-run")
    assert "crowd gain C" in term.text(*words, "1000", "--channel", "coupon", "--include-seed")
    made = term.json(*words, "1000", "--channel", "coupon")
    asked = term.json("gain", made["code"], "--dry-run")
    assert asked["price"]["rho_micro"] == price["gain_rho_micro"] and "gain" not in asked
    found = term.json("gain", made["code"], "--chart", str(tmp_path / "gain.svg"))["gain"]
    assert [each["tenth"] for each in found] == list(range(1, 11)) and found[0]["significant"]
    assert (tmp_path / "gain.svg").read_text("utf-8").startswith("<svg")
    assert term.json("gain", made["code"], "--dry-run")["price"]["rho_micro"] == 0
    assert "chance" in term.text("gain", made["code"])
    assert term.json("activate", made["code"], "coupon", "--purpose", "x", "--dry-run")["price"]["free"]
    assert "lookalike" in term.json("gain", seed, code=2)["error"]["what"]


def test_what_a_step_costs_is_told_before(world: World, term: Terminal) -> None:
    made = term.json("create", ROOM, "silver", "--where", "level = 'silver'")["code"]
    for words in (("refresh", made), ("activate", made, "coupon", "--purpose", "x")):
        told = term.json(*words, "--dry-run")["price"]
        assert not told["free"] and 0 < told["rho_micro"] < told["left_rho_micro"]
    assert "ρ" in term.text("refresh", made, "--dry-run")
    assert not term.json("history", made)["versions"]
