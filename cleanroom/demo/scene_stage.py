"""A scene's stage: the demo market with its people, the days it plays on, and whoever must be told of progress.

Everything on it is made up. The first report date lies fifteen days back, so that a campaign of fourteen days is over.
"""

import datetime as dt
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom import boards, planning
from cleanroom.demo import market
from cleanroom.demo.market import CRM, ROOM, USERS, Market
from cleanroom.demo.purchases import CUSTOMERS
from cleanroom.demo.story import MARK
from cleanroom.errors import UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.importing import as_day
from cleanroom.insight import views
from cleanroom.insight.care import EIGHT
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting
from cleanroom.privacy.ranges import size_range

Facts = dict[str, Any]
DAYS = 14
"""Of a campaign."""
RESULTS = "results"
LEAST_SCALE = 0.3
"""Of the market: the crowds of the scenes reach the floor of 1,000 matched people from here on."""


@dataclass(frozen=True)
class Stage:
    """folder: the merchant's home; members: how many people the merchant has, their running indices from 0 on; market:
    everything in it; say: progress; meeting: where the parties are."""

    folder: Path
    members: int
    market: Market
    say: Progress
    meeting: Meeting

    @property
    def first(self) -> dt.date:
        """The day after the market's."""
        return self.market.as_of + dt.timedelta(days=1)

    @property
    def last(self) -> dt.date:
        """The campaign's last day, and the second report date."""
        return self.market.as_of + dt.timedelta(days=DAYS)

    @property
    def merchant(self) -> Path:
        """The merchant's home."""
        return self.market.home

    @property
    def platform(self) -> Path:
        """The platform's home."""
        return self.market.platform

    def folder_of(self, side: str) -> Path:
        """Where a party puts its files of after the campaign, made at first use."""
        made = self.folder / "sample-data" / f"after-{side}"
        made.mkdir(mode=0o700, exist_ok=True)
        return made

    def step(self, name: str) -> None:
        """Say that this begins."""
        self.say("demo", name, 0, 0)


def set_up(folder: Path, as_of: str | None, scale: float, meeting: Meeting, *, replace: bool,
           progress: Progress | None) -> Stage:  # fmt: skip
    """A new market in `folder`. Raises UsageError where there is something already, or scale or day cannot be."""
    folder, newest = folder.absolute(), as_day(None) - dt.timedelta(days=DAYS)
    day = as_day(as_of) if as_of else newest
    if day > newest:
        raise UsageError("The campaign of a scene has to be over.", "Name {day} or a day before.", day=str(newest))
    if scale < LEAST_SCALE:
        raise UsageError("At a scale under {least} no crowd of a scene reaches its floor.", least=LEAST_SCALE)
    if folder.is_dir() and any(folder.iterdir()):
        if not (replace and (folder / MARK).is_file()):
            raise UsageError("{name} exists already.", "Name another folder, or give --replace.", name=folder.name)
        shutil.rmtree(folder)
    say: Callable[[str, str, int, int], None] = progress or (lambda *_: None)
    made = market.build(folder, day, scale, say)
    write_bytes(folder / MARK, b"made by cleanroom demo; all persons in it are made up\n")
    (folder / RESULTS).mkdir(mode=0o700, exist_ok=True)
    return Stage(folder, round(CUSTOMERS * scale), made, say, meeting)


def opening(stage: Stage) -> Facts:
    """What both sides brought, and the room's plan: how many meet, as the merchant may know it."""
    stage.step("making a plan of the match")
    made = planning.make(stage.merchant, ROOM, "monthly", stage.say, meeting=stage.meeting)
    rows = {
        name: Home.open(path).vault.manifest(dataset).rows
        for name, path, dataset in (("merchant", stage.merchant, CRM), ("platform", stage.platform, USERS))
    }
    both = size_range(made["plan"]["total"]["people"], 100)
    return {"rows": rows, "both": [both.low, both.high], "sigma": made["sigma"], "tables": made["tables"],
            "rho_micro": made["rho_micro"], "as_of": stage.market.as_of.isoformat()}  # fmt: skip


def overview(stage: Stage) -> Facts:
    """The eight values of C-CARE from a board of all users of the platform, and what they advise."""
    stage.step("making a board")
    made = boards.make(stage.merchant, ROOM, progress=stage.say, meeting=stage.meeting)
    found = views.care(stage.merchant, ROOM, diagnosed=True)
    values = {each["name"]: each["values"][0] for each in found["eight"]}
    return {"rho_micro": made["rho_micro"], "sigma": made["sigma"], "tables": made["tables"], "sums": made["sums"],
            "least": made["least"], "receipt": made["receipt"], "values": values, "metrics": dict(EIGHT),
            "judged": found["diagnosis"]["judged"], "weakest": found["diagnosis"]["weakest"],
            "playbook": found["diagnosis"]["playbook"], "report_date": found["report_date"]}  # fmt: skip
