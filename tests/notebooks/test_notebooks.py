"""Every notebook speaks both languages, is stored without outputs, asks nothing outside, and runs in time."""

import json
import re
import resource
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
CHINESE = [path for path in NOTEBOOKS if path.name.endswith(".zh.ipynb")]
ENGLISH = [path for path in NOTEBOOKS if path not in CHINESE]
MOST_CPU = 25.0
"""Seconds of a notebook with all that it starts."""

every = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path: Path, kind: str) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == kind]


def sources(path: Path, kind: str) -> list[str]:
    return ["".join(cell["source"]) for cell in cells(path, kind)]


def test_there_are_six_and_two_in_chinese() -> None:
    assert [path.name[0] for path in ENGLISH] == list("123456")
    assert [path.name[0] for path in CHINESE] == ["1", "3"]


@every
def test_it_is_stored_without_outputs(path: Path) -> None:
    """Which could hold data, and would change with every run."""
    stored = json.loads(path.read_text("utf-8"))
    assert set(stored["metadata"]) == {"kernelspec", "language_info"}
    for cell in cells(path, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert cell["metadata"] == {}


@every
def test_it_asks_nothing_outside(path: Path) -> None:
    code = "\n".join(sources(path, "code"))
    assert not re.search(r"https?://|requests|urllib|httpx|%pip|!pip|^!", code, re.MULTILINE)


@pytest.mark.parametrize("path", ENGLISH, ids=lambda path: path.stem)
def test_every_heading_has_a_chinese_line(path: Path) -> None:
    texts = sources(path, "markdown")
    assert "made up" in texts[0] or "made-up" in texts[0]
    for text in texts:
        if text.startswith("#"):
            heading, below = text.split("\n")[:2]
            assert not re.search(r"[\u4e00-\u9fff]", heading), heading
            assert re.search(r"[\u4e00-\u9fff]", below), heading


@pytest.mark.parametrize("path", CHINESE, ids=lambda path: path.stem)
def test_a_chinese_companion_does_the_same(path: Path) -> None:
    """The same code, but for the language; texts without an English sentence."""
    original = path.with_name(path.name.replace(".zh", ""))
    told = 'cr.language("zh")\n'
    assert told in sources(path, "code")[0]
    assert [code.replace(told, "") for code in sources(path, "code")] == sources(original, "code")
    texts = sources(path, "markdown")
    assert len(texts) == len(sources(original, "markdown"))
    assert "虚构" in texts[0]
    for text in texts:
        assert not re.search(r"[A-Za-z]+ [a-z]+ [a-z]+", re.sub(r"`[^`]*`", "", text)), text


@pytest.fixture(scope="module")
def warm() -> None:
    """The demo market that notebooks share, made before anyone's time is taken."""
    from cleanroom.demo import ready

    ready.warm()


@pytest.mark.slow
@pytest.mark.usefixtures("warm")
@pytest.mark.filterwarnings("default")
@every
def test_it_runs_in_time(path: Path) -> None:
    """As `pytest --nbmake notebooks` runs it, and with its processor time taken."""
    import nbformat
    from nbclient import NotebookClient

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    notebook = nbformat.read(path, 4)
    NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(FOLDER)}}).execute()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("text/html" in output.get("data", {}) for output in shown)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime <= MOST_CPU
