"""Every text that a person can meet has a Chinese twin with the same {names}; no twin is left over."""

import ast
import json
import re
import string
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cleanroom import lang, machine
from cleanroom.ledger import audit, computed, export, receipt, words
from cleanroom.node import config
from cleanroom.rooms import changes, choose, desk, disclosure, meetings, terms
from cleanroom.terminal import app, choice, grants, overlap, peers, reasons, users
from connectors import doctor, headers, mapping

pytestmark = pytest.mark.xdist_group("lang")  # one worker reads all modules, not each
ROOT = Path(__file__).parents[1]
FILES = [
    ROOT / "cli.py",
    *(path for part in ("cleanroom", "connectors", "protocols") for path in (ROOT / part).rglob("*.py")),
]
ERRORS = {"CleanroomError", "InputError", "ProtocolError"}
"""Bases of everything that `cli` turns into a text; subclasses are found below."""
SHOWN = ("t", "_setting", "catalogue_text", "Learned", "Sentence", "stage", "step", "_step")
TEXTS = {**dict.fromkeys(SHOWN, (0,)), "Choice": (1,)}
"""Calls whose argument at these places is a text."""
TABLES: tuple[str, ...] = (
    *app._TITLES.values(), *app._TYPER_ERRORS.values(), *words.TEXTS.values(), *audit.LEDGER_STEPS, audit.RELEASE_STEP,
    *export.EXPORT_STEPS, *receipt.STEPS, *desk.STEPS, *disclosure.NOISE_OFF, *(note for notes in
    disclosure.NOTES.values() for note in notes), *reasons.REASONS.values(), *grants.STATES.values(),
    *reasons.KINDS.values(), *terms.ROLES, *overlap.MINOR_CELLS, *doctor.LOSSES.values(), *doctor.REPAIRS.values(),
    *doctor.UNREAD.values(), *mapping.IDENTITIES, *choose.LEARNS.values(), choose.SIZE_ONLY, *machine.KINDS.values(),
    *choice.WHAT.values(), *config.TITLES.values(), *peers.STATES.values(), *users.ROLES.values(), *changes.TEXTS,
    *meetings.REASONS, *computed.COMPUTED.values(), "[OPTIONS]", "COMMAND [ARGS]...",
)  # fmt: skip
"""Texts that stand in tables, not at the place where they are shown."""


@cache
def trees() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in FILES}


def _subclasses(names: set[str]) -> set[str]:
    """Names of all classes that stem from these."""
    classes = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while more := {c.name for c in classes for base in c.bases if _name(base) in names} - names:
        names = names | more
    return names


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _strings(node: ast.AST) -> Iterator[str]:
    """Texts that an argument can be: a literal, or one of two."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from _strings(node.body)
        yield from _strings(node.orelse)


def _of_call(path: Path, call: ast.Call, errors: set[str]) -> Iterator[str]:
    name = _name(call.func)
    places: tuple[int, ...] = (0, 1) if name in errors else TEXTS.get(name, ())
    if path.name in ("cli.py", "options.py") or path.parent.name == "commands":
        places = (2,) if name == "command" and len(call.args) == 4 else places
        yield from (text for keyword in call.keywords if keyword.arg == "help" for text in _strings(keyword.value))
    for place in places:
        if place < len(call.args):
            yield from _strings(call.args[place])


@cache
def of_templates() -> set[str]:
    """Texts of the console's pages: t("…") in its templates."""
    pages = (path.read_text("utf-8") for path in (ROOT / "cleanroom/console/templates").rglob("*.html"))
    found = (re.findall(r"""\bt\(\s*(?:"((?:[^"\\\\]|\\\\.)*)"|'([^']*)')""", page) for page in pages)
    return {double or single for page in found for double, single in page}


def _wanted() -> set[str]:
    errors = _subclasses(ERRORS)
    calls = ((path, node) for path, tree in trees().items() for node in ast.walk(tree) if isinstance(node, ast.Call))
    texts = (text for path, call in calls for text in _of_call(path, call, errors))
    return {*TABLES, *texts, *of_templates()} - {""}


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_text_has_a_chinese_one() -> None:
    missing = sorted(_wanted() - lang.catalogue().keys())
    assert not missing, "\n".join(missing)


def test_pages_say_nothing_in_one_language_alone() -> None:
    """What stands between the marks of a template is shown as it is: names and signs alone."""
    for path in (ROOT / "cleanroom/console/templates").rglob("*.html"):
        marks = r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<!doctype[^>]*>|<[^>]*>|UTC|SHA-256|C-CARE"
        page = re.sub(marks, " ", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r"[A-Za-z]{3,}|[\u4e00-\u9fff]", page), path.name


def test_translations_have_the_same_names_to_fill() -> None:
    wrong = [text for text, chinese in lang.catalogue().items() if _fields(text) != _fields(chinese)]
    assert not wrong


def test_no_translation_is_left_over() -> None:
    used = {*TABLES, *headers.canonical_kinds(), *of_templates()} | {
        node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    left = sorted(lang.catalogue().keys() - used)
    assert not left, "\n".join(left)


def test_translations_do_not_contradict_each_other() -> None:
    seen: dict[str, str] = {}
    for file in sorted((ROOT / "cleanroom/lang/zh").glob("*.json")):
        for text, chinese in json.loads(file.read_text("utf-8")).items():
            assert seen.setdefault(text, chinese) == chinese, (file.name, text)


def test_the_tables_are_shown_texts_and_chinese_is_chinese() -> None:
    plain = [text for text, chinese in lang.catalogue().items() if chinese.isascii() and _fields(text) == set()]
    assert all(text in NAMES for text in plain), plain


NAMES = {"openid", "MB", "AVX-512", "AES-NI"}
"""Names that are the same in both languages."""


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({"CLEANROOM_LANG": "zh", "LC_ALL": "en_US.UTF-8"}, "zh"),
        ({"CLEANROOM_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        ({"LC_MESSAGES": "zh_TW", "LANG": "en_US.UTF-8"}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_language_by_environment(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], language: str
) -> None:
    for name in ("CLEANROOM_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert lang.by_locale() == language
