"""Every notebook runs from top to bottom, and is stored without outputs (which could hold data)."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.usefixtures("near_parties")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_runs_and_holds_no_output(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    names: dict[str, Any] = {}
    for cell in code:
        exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert names["result"]["overlap"]["value"] == names["files"].truth.overlap
    assert set(names["result"]["learned"]) == {"merchant", "platform", "operator"}
