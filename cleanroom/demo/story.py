"""`cleanroom demo`: sample data, three rooms over it, a checkup, a report of them. All identities are made up.

The home it leaves is an ordinary node's home (the merchant's, its partners' homes inside): every command works on it.
"""

import shutil
from pathlib import Path
from typing import Any

from cleanroom.demo.data import DemoFiles, write_demo
from cleanroom.demo.report import write_report
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.importing import as_day
from cleanroom.insight.run import run_checkup
from cleanroom.node.local import Progress
from cleanroom.overlap import Overlap, run
from cleanroom.overlap.run import home_paths, make_homes

MARK = "demo.txt"
_FEATURES = Path(__file__).with_name("features.toml")


def tell(folder: Path, as_of: str | None, *, replace: bool = False, progress: Progress | None = None,
         scale: float = 1.0) -> dict[str, Any]:  # fmt: skip
    """Everything, into the new home `folder`. Raises UsageError where there is something already."""
    folder = folder.absolute()
    if folder.is_dir() and any(folder.iterdir()):
        if not (replace and (folder / MARK).is_file()):
            raise UsageError("{name} exists already.", "Name another folder, or give --replace.", name=folder.name)
        shutil.rmtree(folder)
    make_homes(home_paths(folder, operator=True))
    write_bytes(folder / MARK, b"made by cleanroom demo; all persons in it are made up\n")
    files = write_demo(folder / "sample-data", as_day(as_of), scale)
    results: dict[str, dict[str, Any]] = {}
    for asked in rooms(files, folder / "results"):
        if progress:
            progress("demo", f"room {asked.room}", len(results), 3)
        results[asked.room] = run(asked, folder, progress)
    checkup = run_checkup(str(files.orders), files.as_of.isoformat(), None, folder / "results" / "checkup.html")
    report = folder / "results" / "report.html"
    write_report(report, files, results, checkup)
    return {
        "home": str(folder),
        "rooms": list(results),
        "report": str(report),
        "checkup": checkup["report"],
        "as_of": files.as_of.isoformat(),
        "results": {name: {key: result[key] for key in ("protocol", "overlap", "segments", "seconds")}
                    for name, result in results.items()},
    }  # fmt: skip


def rooms(files: DemoFiles, results: Path) -> list[Overlap]:
    """What is asked: the audience by both sides' columns, money by the platform's, activity folded from events."""
    results.mkdir(mode=0o700, exist_ok=True)
    members, users, workbook = str(files.members), str(files.users), str(files.workbook)
    return [
        Overlap(members, users, protocol="keyed", by=("merchant.level", "city_tier"), room="audience",
                members=results / "members.csv", receipt=results / "audience-receipt.json"),
        Overlap(workbook, users, protocol="dh", by=("city_tier",), sums=("merchant.spend",), room="spend",
                datasets={"merchant": "crm-sample", "platform": "users"}, receipt=results / "spend-receipt.json"),
        Overlap(members, str(files.events), protocol="keyed", by=("visits_30d",), room="activity",
                features={"platform": str(_FEATURES)}, as_of=files.as_of.isoformat(),
                datasets={"merchant": "crm", "platform": "activity"}, receipt=results / "activity-receipt.json"),
    ]  # fmt: skip
