"""What stands around every page of insight: which room, dataset, report date, window and second date it is of.

All of it may stand in an address. A condition never does: it is kept under an id (`insight_kept`).
"""

import datetime as dt
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from fastapi import Depends, Query

from cleanroom.answer.closing import budget
from cleanroom.console import rooms_held
from cleanroom.console.screens.insight_boards import board_of, looked_at
from cleanroom.console.screens.insight_kept import Saved, kept_of
from cleanroom.console.visit import Visit
from cleanroom.errors import UsageError
from cleanroom.insight import costs
from cleanroom.insight.board_store import Boards
from cleanroom.insight.boards_read import Reading, reading
from cleanroom.insight.metric import ALL_WINDOWS, View
from cleanroom.insight.tables import IMPORTED, Tables
from cleanroom.lang import t
from cleanroom.plan.store import Plans
from cleanroom.privacy import accounting
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room

MOST_TEXT = 200
State = Literal["ready", "none", "uncounted", "outside"]
"""ready: there is a board; none: not yet; uncounted: one's own, not counted since its import; outside: no owner."""
Text = Annotated[str, Query(max_length=MOST_TEXT)]


@dataclass(frozen=True)
class Asked:
    """The settings of a page as its address says them. imports: "without" leaves persons out who are known only by
    upload; beside: the report date of a second board, or ""."""

    dataset: str
    date: str
    window: int
    imports: str
    beside: str

    @property
    def exclude_import(self) -> bool:
        """Whether persons known only by upload are left out."""
        return self.imports == "without"

    def query(self, **more: str) -> str:
        """As it stands in an address, with "?" where there is any."""
        own = {"dataset": self.dataset, "date": self.date, "window": "" if self.window == 30 else str(self.window),
               "imports": self.imports, "beside": self.beside}  # fmt: skip
        found = {name: value for name, value in {**own, **more}.items() if value}
        return f"?{urlencode(found)}" if found else ""


PLAIN = Asked("", "", 30, "", "")
"""A page without settings."""


def _asked(dataset: Text = "", date: Text = "", window: int = 30, imports: Text = "", beside: Text = "") -> Asked:
    if window not in ALL_WINDOWS:
        raise UsageError("A window has {windows} days.", windows=", ".join(map(str, ALL_WINDOWS)))
    return Asked(dataset, date, window, "without" if imports == "without" else "", beside)


Wished = Annotated[Asked, Depends(_asked)]
"""What a page of insight takes as its second parameter."""


def tab_titles() -> dict[str, str]:
    """The tabs by their names in the address."""
    return {
        "overview": t("Overview"), "care": "C-CARE", "trend": t("Trend"), "portrait": t("Portrait"),
        "behaviour": t("Behaviour"), "funnel": t("Funnel"), "flow": t("Flow"), "retention": t("Retention"),
        "map": t("Map"), "compare": t("Compare"),
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Around:
    """One page's surroundings. Making it reads names and dates only; `read` reads the board."""

    visit: Visit
    room: str
    tab: str
    asked: Asked
    held: Room

    @classmethod
    def of(cls, visit: Visit, room: str, tab: str, asked: Asked) -> "Around":
        """Raises UsageError where there is no such room, or no such dataset in it."""
        held = rooms_held.held(visit.home, room)
        names = [each.name for each in held.contract.datasets]
        if asked.dataset and asked.dataset not in names:
            raise UsageError("There is no dataset {name} in this room.", name=asked.dataset[:64])
        return cls(visit, room, tab, asked, held)

    @property
    def contract(self) -> Contract:
        """The room's."""
        return self.held.contract

    @cached_property
    def datasets(self) -> list[tuple[str, str]]:
        """Those that this party reads boards of: (name, what it is called here)."""
        own = self.visit.home.party
        others = [each for each in self.contract.release.alone if self.contract.dataset(each).owner != own]
        named = [(each, t("{dataset} of {owner}", dataset=each, owner=self.contract.dataset(each).owner))
                 for each in others]  # fmt: skip
        mine = [each.name for each in self.contract.datasets if each.owner == own]
        return [*named, *((each, t("{dataset} (own, exact)", dataset=each)) for each in mine)]

    @cached_property
    def dataset(self) -> str:
        """The one that is shown: by default the first of another owner."""
        return self.asked.dataset or (self.datasets[0][0] if self.datasets else "")

    @property
    def exact(self) -> bool:
        """Whether it is one's own."""
        return self.contract.dataset(self.dataset).owner == self.visit.home.party

    @cached_property
    def days(self) -> list[str]:
        """The report dates of its boards, the newest first."""
        found = Boards(self.visit.home).days(self.room, self.dataset) if self.dataset else ()
        return [day.isoformat() for day in reversed(found)]

    @cached_property
    def state(self) -> State:
        """Whether there is something to read."""
        if not self.dataset or self.visit.home.party not in self.contract.owners:
            return "outside"
        if not self.exact:
            return "ready" if self.days else "none"
        manifest = self.visit.home.vault.manifest(self.dataset).digest
        kept = Boards(self.visit.home).list(self.room, self.dataset)
        return "ready" if any(manifest.startswith(each.manifest) for each in kept) else "uncounted"

    @property
    def day_choices(self) -> list[tuple[str, str]]:
        """Report dates to choose from."""
        return [(day, day) for day in self.days]

    @property
    def other_choices(self) -> list[tuple[str, str]]:
        """Report dates that may stand beside."""
        return [(day, day) for day in self.days if day != self.day]

    @property
    def day(self) -> str:
        """The report date shown."""
        return self.asked.date or (self.days[0] if self.days else "")

    @property
    def tabs(self) -> list[tuple[str, str, bool]]:
        """The links between pages; all keep the settings."""
        return [(f"/insight/{self.room}/{name}{self.asked.query()}", title, name == self.tab)
                for name, title in tab_titles().items()]  # fmt: skip

    @property
    def rooms(self) -> list[tuple[str, str, bool]]:
        """The same page of the other rooms."""
        return [(f"/insight/{each['room']}/{self.tab}", each["room"], each["room"] == self.room)
                for each in self.visit.rooms]  # fmt: skip

    @cached_property
    def saved(self) -> tuple[Saved, ...]:
        """This user's views of this room."""
        return kept_of(self.visit.home, self.visit.caller.name).of_room(self.room)

    def link(self, tab: str, **changed: str) -> str:
        """Another page with these settings."""
        return f"/insight/{self.room}/{tab}{self.asked.query(**changed)}"

    @cached_property
    def read(self) -> Reading:
        """The board. Raises UsageError where there is none of that day."""
        return reading(self.visit.path, self.room, dataset=self.dataset, date=self.asked.date)

    @cached_property
    def view(self) -> View:
        """As its settings say."""
        read, tables = self.read, board_of(self.read, self.read.day)
        return View(tables, self.asked.window, self.asked.exclude_import and IMPORTED in tables.columns, read._matched,
                    read._crm, costs.spent(read.home, read.name, read.day))  # fmt: skip

    @cached_property
    def before(self) -> View | None:
        """The board of the second date, where one is wanted. Raises UsageError where there is none."""
        if not self.asked.beside:
            return None
        return self.with_tables(board_of(self.read, iso_day(self.asked.beside)))

    def with_tables(self, tables: Tables) -> View:
        """The same settings for another board."""
        return looked_at(self.view, tables, exclude_import=self.asked.exclude_import)

    @property
    def can_leave_out(self) -> bool:
        """Whether the board knows who is known only by upload."""
        return self.state == "ready" and IMPORTED in self.view.tables.columns

    @cached_property
    def source(self) -> dict[str, Any]:
        """From which release the page's figures are: receipt, day, least population, what it cost."""
        tables = self.view.tables
        told = {"exact": self.exact, "made": tables.made, "day": tables.report_date.isoformat(), "least": tables.least,
                "receipt": tables.receipt, "sigma": tables.sigma, "share": None, "epsilon": None,
                "restated": self.read.day in self.read.restated}  # fmt: skip
        if self.exact:
            return told
        dataset = self.contract.dataset(self.dataset)
        rho = accounting.rho_micro(tables.sigma, len(tables.counts) + len(tables.sums))
        epsilon = accounting.epsilon(rho, accounting.delta(dataset.rows))
        return {**told, "share": rho / budget(self.contract, dataset), "epsilon": epsilon}

    @cached_property
    def has_plan(self) -> bool:
        """Whether the room has a plan of this contract."""
        plan = Plans(self.visit.home).latest(self.room)
        return plan is not None and plan.contract == self.contract.digest()


def iso_day(text: str) -> dt.date:
    """A day of an address. Raises UsageError."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError("A report date is written as 2026-01-31 or 20260131.") from error


def with_settings(asked: Asked, **changed: Any) -> Asked:
    """The same with some of them changed."""
    return replace(asked, **changed)


def title_of(around: Around) -> dict[str, Any]:
    """Heading and first sentence of the page."""
    texts = {
        "overview": t("How many people there are, where they come from and how far they get."),
        "care": t("Eight values in four dimensions say how well your customers can be reached, kept and grown."),
        "trend": t("One metric at every report date, each person counted once a period."),
        "portrait": t("How a segment differs from everybody else: a TGI above 100 is commoner in the segment."),
        "behaviour": t("How often, how long and how recently people visit and pay."),
        "funnel": t("How many get from a visit to a purchase, and to the next one."),
        "flow": t("From which stage to which people moved in 30 days."),
        "retention": t("Who comes back, who buys again, and what coupons and messages do."),
        "map": t("Where people live: by city tier, province and city."),
        "compare": t("This period beside the one before and beside the same weeks last year."),
    }
    return {"title": tab_titles()[around.tab], "lead": texts[around.tab]}
