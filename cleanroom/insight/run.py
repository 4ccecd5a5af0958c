"""`cleanroom checkup`: examine one file, write the report beside it, tell the figures."""

from pathlib import Path
from typing import Any

from cleanroom.importing import as_day
from cleanroom.insight import story
from cleanroom.insight.checkup import checkup
from cleanroom.report import page


def run_checkup(file: str, as_of: str | None, mapping: str | None, report: Path | None) -> dict[str, Any]:
    """The figures, with the path of the HTML report. Raises the named errors of reading; then there is no report."""
    found = checkup(file, as_day(as_of) if as_of else None, mapping=Path(mapping) if mapping else None)
    path = report or Path(f"{Path(file.partition('?')[0]).stem}-checkup.html")
    title, subtitle = story.title(found)
    page.write(path.absolute(), title, story.render(found), subtitle=subtitle)
    return {**found.to_json(), "report": str(path.absolute())}
