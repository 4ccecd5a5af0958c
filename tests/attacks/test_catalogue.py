"""The catalogue is complete: every attack has its row, and every row names tests that are there and are run as attacks.

`pytest -m attack` runs them; tests/conftest.py marks whatever docs/attacks.md names.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import attacks

ROOT = Path(__file__).parents[2]
IDS = (
    *(f"Q{n}" for n in range(1, 16)),
    *(f"P{n}" for n in range(1, 6)),
    *(f"C{n}" for n in (1, 2, 3, 4, 5, 7, 8, 9)),
    *(f"D{n}" for n in range(1, 5)),
    *(f"M{n}" for n in range(1, 9)),
    *(f"F{n}" for n in range(1, 5)),
    "L1",
    "A1",
)


@cache
def functions(file: str) -> dict[str, ast.FunctionDef]:
    """The tests of a module, as they are written."""
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_attack_has_one_row_and_no_row_is_of_another() -> None:
    rows = attacks()
    assert tuple(rows) == IDS
    lines = (ROOT / "docs" / "attacks.md").read_text("utf-8").splitlines()
    table = [line.split(" | ") for line in lines if line.startswith("| ") and not line.startswith("| id ")]
    assert [row[0].removeprefix("| ") for row in table] == list(IDS)
    for row in table:
        assert len(row) == 5, row[0]
        assert all(cell.strip(" |") for cell in row), row[0]
        without, with_it = row[4].split(" → ")
        assert without and with_it, row[0]


@pytest.mark.parametrize("attack", IDS)
def test_the_tests_of_an_attack_are_there_and_are_never_left_out(attack: str) -> None:
    """A test that is marked to be skipped or to fail mounts nothing; off Linux some processes cannot be traced."""
    tests = attacks()[attack]
    assert tests
    for test in tests:
        file, _, name = test.partition("::")
        assert name in functions(file), test
        marks = [ast.unparse(mark) for mark in functions(file)[name].decorator_list]
        assert not [mark for mark in marks if "xfail" in mark or ("skip" in mark and "linux" not in mark)], test


@pytest.mark.attack("own")
def test_what_the_catalogue_names_is_marked(request: pytest.FixtureRequest) -> None:
    """Of the tests that were collected beside this one."""
    named = {test: attack for attack, tests in attacks().items() for test in tests}
    for item in request.session.items:
        test = f"{item.path.relative_to(ROOT).as_posix()}::{getattr(item, 'originalname', item.name)}"
        marks = {mark.args[0] for mark in item.iter_markers("attack")}
        assert test not in named or named[test] in marks, test
