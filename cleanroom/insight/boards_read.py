"""Which numbers a party reads of a dataset: its own exactly, another owner's from the boards that were released to it.

Reading is free. One's own numbers are kept too, sealed, a board a version, so that they can be compared later.
"""

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from cleanroom.boards import own
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.insight import costs
from cleanroom.insight.board_store import Boards
from cleanroom.insight.linear import Linear
from cleanroom.insight.metric import View
from cleanroom.insight.tables import Tables
from cleanroom.plan.store import Plans
from cleanroom.querying import opened
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room


@dataclass(frozen=True)
class Reading:
    """What there is to read of a dataset: the report dates in order, and those that were restated.

    exact: whether it is one's own. day: the report date asked for, by default the newest.
    """

    home: Home
    room: Room
    dataset: str
    exact: bool
    day: dt.date
    days: tuple[dt.date, ...]

    @property
    def name(self) -> str:
        """The room's."""
        return self.room.contract.room

    def tables(self, day: dt.date | None = None) -> Tables:
        """Of a report date, by default the one asked for."""
        return Boards(self.home).load(self.name, self.dataset, day or self.day)

    @cached_property
    def restated(self) -> tuple[dt.date, ...]:
        """The report dates whose numbers a later board restated."""
        newest = {each.report_date: each.restated for each in Boards(self.home).list(self.name, self.dataset)}
        return tuple(sorted(day for day, restated in newest.items() if restated))

    def view(self, *, window: int = 30, exclude_import: bool = False, day: dt.date | None = None) -> View:
        """The tables with what the registry's formulas need beside them."""
        day = day or self.day
        return View(self.tables(day), window, exclude_import, self._matched, self._crm,
                    costs.spent(self.home, self.name, day))  # fmt: skip

    def views(self, days: Iterable[dt.date], *, exclude_import: bool = False) -> Mapping[dt.date, View]:
        """Of these report dates."""
        return {day: View(self.tables(day), 30, exclude_import) for day in days}

    @cached_property
    def _matched(self) -> Linear | None:
        """Persons in the match, from the newest plan of this contract."""
        plan = Plans(self.home).latest(self.name)
        if plan is None or plan.contract != self.room.contract.digest():
            return None
        deviation = plan.errors.of((), np.ones(()))
        return Linear(float(plan.estimates[()]), {("plan",): np.array([float(deviation)])})

    @cached_property
    def _crm(self) -> int | None:
        """Distinct persons of one's own dataset, where the board is of another's."""
        if self.exact:
            return None
        return int(self.home.vault.manifest(self.room.contract.dataset_of(self.home.party).name).rows)


def reading(path: Path, name: str, *, dataset: str = "", date: str = "") -> Reading:
    """What this party reads of the room's dataset. date: an ISO day, by default the newest report date (T-1).

    Raises UsageError where there is no board of it, Refused for who owns no data.
    """
    home, room = opened(path, name)
    contract = room.contract
    if home.party not in contract.owners:
        raise Refused("Only an owner of data reads the boards of a room.")
    chosen = dataset or _default(contract, home.party)
    exact = contract.dataset(chosen).owner == home.party
    if exact:
        _keep_own(home, room)
    days = Boards(home).days(name, chosen)
    day = _day(date) if date else max(days, default=None)
    if day is None or day not in days:
        raise UsageError(
            "The room {room} has no board of {dataset} for {day}.", "Make one: cleanroom insight refresh {room}",
            room=name, dataset=chosen, day=day.isoformat() if day else "T-1",
        )  # fmt: skip
    return Reading(home, room, chosen, exact, day, days)


def _default(contract: Contract, party: str) -> str:
    """The dataset that boards are of: another owner's, else one's own. Raises UsageError where there are several."""
    others = [each for each in contract.release.alone if contract.dataset(each).owner != party]
    if len(others) > 1:
        raise UsageError("The room {room} has boards of several datasets: {datasets}.", "Name one: --dataset.",
                         room=contract.room, datasets=", ".join(others))  # fmt: skip
    return others[0] if others else contract.dataset_of(party).name


def _keep_own(home: Home, room: Room) -> None:
    """Count this version of one's own dataset, unless it was, and keep that. Under another contract cells differ."""
    contract = room.contract
    manifest = home.vault.manifest(contract.dataset_of(home.party).name).digest
    mark = hashlib.sha256(f"{manifest} {contract.digest()}".encode()).hexdigest()
    boards = Boards(home)
    kept = boards.list(contract.room, contract.dataset_of(home.party).name)
    if any(mark.startswith(each.receipt) for each in kept):
        return
    after = [each.made + dt.timedelta(seconds=1) for each in kept[-1:]]  # boards are told apart by the second
    made = max([dt.datetime.now(dt.UTC).replace(microsecond=0), *after])
    boards.keep(contract.room, replace(own(home, contract.room), receipt=mark, made=made.isoformat()), manifest)


def _day(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError("A report date is written as 2026-01-31 or 20260131.") from error
