"""Documents cannot drift: their command blocks run and print what they say, and whatever they name is there."""

import dataclasses
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import cli
from cleanroom import lang
from cleanroom.activation import rules
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.rooms import draft
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Activation, Column, Dataset, Identity, Match, Party, ReleaseRules, Slots
from connectors.private_domain.settings import load_settings
from protocols.kernels.cache import caches
from tests import near

ROOT = Path(__file__).parents[2]
READMES = {"en": "README.md", "zh": "README.zh-CN.md"}
TUTORIALS = {"en": "docs/tutorial.md", "zh": "docs/tutorial.zh-CN.md"}
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^(?:<!-- (?P<mark>.+?) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = ("not run by tests", "测试不运行")
FRAME = re.compile(r"[\s│┃━─╇┼✓·]+")


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path) -> list[tuple[str, str, str]]:
    """(mark before the block, its language, its text)."""
    return [(m["mark"] or "", m["kind"], m["text"]) for m in BLOCK.finditer(path.read_text("utf-8"))]


def run(commands: str, folder: Path, language: str) -> str:
    """What a block prints, as a reader in that language sees it, without the frames of tables."""
    programs = Path(sys.executable).parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEANROOM_", "LC_"))}
    told = {"PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}", "HOME": str(folder), "LANG": "C.UTF-8",
            "NUMBA_CACHE_DIR": str(caches())}  # fmt: skip
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=folder, env=kept | told | {"CLEANROOM_LANG": language, "COLUMNS": "120"},
        capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return FRAME.sub(" ", done.stdout)


def run_here(commands: str, folder: Path, language: str) -> str:
    """The same in this process, where a command costs a tenth: pipes and redirections of one command a line."""
    printed = ""
    with pytest.MonkeyPatch.context() as patch, near.parties():
        patch.chdir(folder)
        patch.setattr(lang, "_current", language)
        told = {"CLEANROOM_LANG": language, "COLUMNS": "120", "HOME": str(folder), "NUMBA_CACHE_DIR": str(caches()),
                "CLEANROOM_HOME": None, "LC_ALL": None, "LC_MESSAGES": None, "LANG": "C.UTF-8"}  # fmt: skip
        for line in commands.replace("\\\n", " ").splitlines():
            line, _, file = line.partition(" > ")
            given, _, line = line.rpartition(" | ")
            words = shlex.split(line)
            assert words[0] == "cleanroom", line
            assert not given or given.startswith("echo "), given
            done = CliRunner().invoke(
                cli.app, words[1:], input=given.removeprefix("echo ") + "\n", env=told, prog_name="cleanroom"
            )
            assert done.exit_code == 0, done.stderr
            if file:
                Path(file.strip()).write_text(done.stdout, "utf-8")
            else:
                printed += done.stdout
    return FRAME.sub(" ", printed)


def run_parties_once(commands: str, folder: Path, language: str) -> str:
    """In a shell, but the parties of a second `overlap`, which are the same programs, in this process."""
    again = "cleanroom overlap" in commands and (folder / "clean").exists()
    return (run_here if again else run)(commands, folder, language)


Runner = Callable[[str, Path, str], str]


def tour(path: Path, folder: Path, language: str = "en", runner: Runner = run) -> int:
    """Run the blocks of a page in their order; each excerpt that follows one must occur in what it printed."""
    found, printed, ran = blocks(path), "", 0
    for mark, kind, text in found:
        if kind in ("sh", "console") and not mark.startswith(NOT_RUN):
            printed, ran = (runner if text.startswith(("cleanroom", "echo")) else run)(text, folder, language), ran + 1
        elif kind == "text" and printed:
            missing = [line for line in text.splitlines() if FRAME.sub(" ", line).strip() not in printed]
            assert not missing, printed
    return ran


@pytest.mark.parametrize(
    ("language", "runner"),
    [("en", run_here), ("zh", run_here), pytest.param("en", run_parties_once, marks=pytest.mark.slow)],
    ids=[*READMES, "shell"],
)
def test_the_blocks_of_the_readme_run_and_print_what_stands_below_them(
    language: str, runner: Runner, tmp_path: Path
) -> None:
    """Both tours are taken in this process, and the English one in a shell too, by real parties."""
    assert tour(ROOT / READMES[language], tmp_path, language, runner) >= 5


def test_the_blocks_of_the_contracts_page_run_after_the_tours_files_are_made(tmp_path: Path) -> None:
    run(next(text for _, _, text in blocks(ROOT / "README.md") if "open(" in text), tmp_path, "en")
    assert tour(ROOT / "docs" / "contract.md", tmp_path, runner=run_here) == 2


@pytest.mark.parametrize("language", TUTORIALS)
def test_the_blocks_of_the_tutorial_run_and_print_what_stands_below_them(language: str, tmp_path: Path) -> None:
    assert tour(ROOT / TUTORIALS[language], tmp_path, language, run_here) == 5


@pytest.mark.parametrize("pages", [READMES, TUTORIALS], ids=["readme", "tutorial"])
def test_both_languages_run_the_same_commands(pages: dict[str, str]) -> None:
    english, chinese = (
        [re.sub(r" +#.*", "", text) for _, kind, text in blocks(ROOT / name) if kind == "sh"] for name in pages.values()
    )
    assert english == chinese


def test_both_readmes_have_the_same_parts_and_tables() -> None:
    shapes = []
    for name in READMES.values():
        lines = (ROOT / name).read_text("utf-8").splitlines()
        shapes.append(
            [line.split(" ")[0].split("|")[0] or line.count("|") for line in lines if re.match(r"#+ |\||- ", line)]
        )
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_blocks_that_are_not_run_are_make_targets_and_pip_only(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for mark, kind, text in blocks(path):
        assert kind in ("sh", "text", "toml", "python", "json"), f"a block of the unknown kind {kind!r}"
        if not mark.startswith(NOT_RUN):
            continue
        for line in text.splitlines():
            target = re.match(r"make ([\w-]+)", line)
            assert re.match(r"make |pip install |python3 -m venv ", line), line
            assert not target or re.search(rf"^{target[1]}:", makefile, re.MULTILINE), line


def prose(path: Path) -> str:
    return BLOCK.sub("", path.read_text("utf-8"))


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\((?!https://)([^)]+)\)", prose(path)):
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        assert there.exists(), target
        headings = re.findall(r"^#+ (.+)$", there.read_text("utf-8"), re.MULTILINE) if anchor else []
        assert not anchor or anchor in {re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings}, target


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_and_tests_that_are_named_exist(path: Path) -> None:
    for name in re.findall(r"`((?:cleanroom|connectors|protocols|tests|scripts|docs)/[^`\s*…]*)`", prose(path)):
        file, _, test = name.partition("::")
        assert (ROOT / file).exists(), name
        assert not test or re.search(rf"^def {test}\(", (ROOT / file).read_text("utf-8"), re.MULTILINE), name


@cache
def application() -> Any:
    """The whole command, built once."""
    return typer.main.get_command(cli.app)


@cache
def commands() -> dict[str, set[str]]:
    """Every command by its words, and its options."""

    def walk(node: Any, words: str) -> Iterator[tuple[str, set[str]]]:
        options = {option for parameter in node.params for option in parameter.opts if option.startswith("--")}
        yield words, options | {"--help", "--lang"}
        for name, child in getattr(node, "commands", {}).items():
            yield from walk(child, f"{words} {name}")

    return dict(walk(application(), "cleanroom"))


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_commands_and_options_that_are_named_exist(path: Path) -> None:
    text = path.read_text("utf-8").replace("\\\n", " ")
    named = re.findall(r"`(cleanroom [^`]+)`", prose(path)) + re.findall(r"^(cleanroom .+)$", text, re.MULTILINE)
    for line in named:
        words = re.split(r" [|>]", line)[0].split()
        known = [" ".join(words[:n]) for n in (4, 3, 2, 1) if " ".join(words[:n]) in commands()]
        assert known[0] != "cleanroom" or words[1].startswith("-"), line
        below = [name for name in commands() if name == known[0] or ("…" in words and name.startswith(known[0] + " "))]
        given = {word for word in words if word.startswith("--")}
        assert given <= {option for name in below for option in commands()[name]}, line


def typed(path: Path) -> Iterator[list[str]]:
    """The commands of a page as somebody would type them, in words: of its blocks; of a how-to, of running text too."""
    text = path.read_text("utf-8").replace("\\\n", " ")
    lines = re.findall(r"^(cleanroom .+)$", text, re.MULTILINE)
    if path.parent.name == "how-to":
        lines += [line for line in re.findall(r"`(cleanroom [^`]+)`", prose(path)) if line not in commands()]
    for line in lines:
        words = shlex.split(re.split(r" {3,}(?![- ])", line)[0], comments=True)
        ends = [place for place, word in enumerate(words) if word in (">", "|")]
        yield words[1 : ends[0] if ends else None]


@pytest.mark.parametrize("path", [path for path in PAGES if path.parent != ROOT], ids=page_id)
def test_commands_have_the_arguments_that_they_need(path: Path) -> None:
    for words in typed(path):
        node = application()
        while words and words[0] in getattr(node, "commands", {}):
            node, words = node.commands[words[0]], words[1:]
        if not getattr(node, "commands", {}):
            node.make_context(" ".join(words), words)


@pytest.mark.parametrize("name", READMES.values())
def test_every_command_stands_in_the_readme(name: str) -> None:
    listed = set(re.findall(r"^\| `(cleanroom [a-z -]+)` \|", (ROOT / name).read_text("utf-8"), re.MULTILINE))
    groups = {shorter.rsplit(" ", 1)[0] for shorter in commands() if " " in shorter}
    assert listed == commands().keys() - groups


def example(tmp_path: Path) -> Path:
    text = next(t for mark, kind, t in blocks(ROOT / "docs" / "contract.md") if (mark, kind) == ("example", "toml"))
    path = tmp_path / "example.toml"
    path.write_text(text, "utf-8")
    return path


def test_the_example_of_a_contract_is_one(tmp_path: Path) -> None:
    contract, annexes = draft.read(example(tmp_path))
    assert contract.match.protocol == "dh"
    assert contract.dataset("crm").column("level").cells == 5
    assert contract.dataset("users").column("visits_30d").cells == 6  # four between its edges, other, unknown
    assert {annex.column for annex in annexes} == {"level", "city_tier", "visits_30d"}
    draft.write(tmp_path / "again.toml", contract, annexes)
    again, _ = draft.read(tmp_path / "again.toml")
    assert without_salts(again) == without_salts(contract)


@pytest.mark.parametrize("suffix", ["", ".zh-CN"], ids=["en", "zh"])
def test_the_examples_of_settings_are_ones(suffix: str, tmp_path: Path) -> None:
    """Of activation and of a private domain, as the program reads them."""
    texts = {
        name: next(text for _, kind, text in blocks(ROOT / "docs" / f"{name}{suffix}.md") if kind == "toml")
        for name in ("activation", "private-domain")
    }
    home = Home.create(tmp_path / "home", "platform")
    write_bytes(home.path / rules.FILE, texts["activation"].encode())
    assert rules.load(home).push.keys() == {"message"}
    (tmp_path / "domain.toml").write_text(texts["private-domain"], "utf-8")
    assert [place.name for place in load_settings(tmp_path / "domain.toml").places] == ["mall"]


def without_salts(contract: Contract) -> Contract:
    datasets = tuple(
        dataclasses.replace(
            d, columns=tuple(dataclasses.replace(c, annex="0" * 64 if c.annex else "") for c in d.columns)
        )
        for d in contract.datasets
    )
    return dataclasses.replace(contract, datasets=datasets)


def test_every_field_of_a_contract_is_explained() -> None:
    text = prose(ROOT / "docs" / "contract.md")
    implied = {"name", "parties", "datasets", "columns", "match", "release", "slots"}  # headings and table names
    fields = {
        f.name
        for kind in (Contract, Party, Dataset, Identity, Column, Slots, Match, ReleaseRules, Activation)
        for f in dataclasses.fields(kind)
    }
    assert {name for name in fields - implied if f"`{name}`" not in text} == set()


def test_every_dependency_is_listed_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    direct = [*project["dependencies"], *extras["build"], *extras["test"]]
    rows = re.findall(
        r"^\| ([a-z0-9-]+) \| [^|]+ \| [^|]+ \|$", (ROOT / "docs" / "dependencies.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(set(rows) - {"package"}) == sorted(re.split(r"[<>=~!\[; ]", need)[0] for need in direct)
    assert len(rows) == len(direct) + 4


def test_decisions_are_numbered_without_gaps_and_have_one_form() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert numbers[0] == 1
    assert all(b == a + 1 for a, b in pairwise(numbers))
    for number, record in zip(numbers, records, strict=True):
        text = record.read_text("utf-8")
        assert text.startswith(f"# {number}. ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Decided", "Why", "Refused"]


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_no_path_of_a_machine_stands_in_a_page(path: Path) -> None:
    assert not re.search(
        r"(?<![\w.])/(home|work|tmp|root|Users)/|https?://[^/\s]*(pypi|index|proxy)", path.read_text("utf-8")
    )
