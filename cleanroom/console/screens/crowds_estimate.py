"""How many people a rule means while it is being built: from the room's plan alone, free, with the plan's own ±.

Never a live count: where no plan can tell, that is said, and a count is offered for a price that is shown first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cleanroom.console.screens.crowds_rules import Line, Reader
from cleanroom.crowds import sizes
from cleanroom.crowds.crowd import Size
from cleanroom.crowds.rule import Rule
from cleanroom.crowds.selection import Listed, Selection
from cleanroom.errors import KNOWN, Refused, UsageError
from cleanroom.lang import explain, t
from cleanroom.plan import reading
from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Where
from cleanroom.plan.store import Plans

State = Literal["empty", "wrong", "unknown", "told"]


@dataclass(frozen=True)
class Estimate:
    """state: empty (no rule yet), wrong (text, hint), unknown (text: why no plan tells), told (size, source, within).

    lines: whom the rule means, of `more` besides; within: the plan's ± in persons, None where none can be told."""

    state: State
    text: str = ""
    hint: str = ""
    size: Size | None = None
    source: str = ""
    within: int | None = None
    floor: int = 0
    lines: tuple[Line, ...] = ()
    more: int = 0


def of_rule(reader: Reader, rule: Rule | None) -> Estimate:
    """The estimate of a rule; what is wrong with it is told, not raised."""
    if rule is None:
        return Estimate("empty")
    try:
        return _of_selection(reader, reader.selection(rule))
    except KNOWN as error:
        text, hint = explain(error)
        return Estimate("wrong", text, hint)


def _of_selection(reader: Reader, selection: Selection) -> Estimate:
    lines = reader.lines(selection)
    more, floor = len(selection.boxes) - len(lines), sizes.floor(reader.room.contract)
    cube = current(reader)
    if cube is None:
        return Estimate("unknown", t("The room has no plan yet."), floor=floor, lines=lines, more=more)
    lacking = [name for name in selection.columns if name not in cube.columns]
    where = boxes(selection)
    if where is None:
        why = t("The rule names a list, and a plan knows no lists.")
    elif lacking:
        named = ", ".join(map(reader.columns.title, lacking))
        why = t("The plan of {day} does not hold: {columns}.", day=cube.made.date().isoformat(), columns=named)
    else:
        size = sizes.by_plan(reader.home, reader.room, selection)
        if size is not None:
            return Estimate("told", size=size, source=_source(cube, where, size), within=_within(cube, where),
                            floor=floor, lines=lines, more=more)  # fmt: skip
        why = t("The rule crosses more columns than a plan can tell of.")
    return Estimate("unknown", why, floor=floor, lines=lines, more=more)


def current(reader: Reader) -> Cube | None:
    """The room's newest plan, where it is of the contract in force."""
    cube = Plans(reader.home).latest(reader.room.contract.room)
    return None if cube is None or cube.contract != reader.room.contract.digest() else cube


def boxes(selection: Selection) -> Where | None:
    """The selection as a plan is asked; None where it names a list."""
    found = []
    for box in selection.boxes:
        if any(isinstance(each, Listed) for each in box):
            return None
        found.append(tuple((each.column, each.cells) for each in box if not isinstance(each, Listed)))
    return () if found == [()] else tuple(found)


def _within(cube: Cube, where: Where) -> int | None:
    """± so many persons at 95 %, by the plan's noise: known whatever the count is."""
    try:
        found = reading.answer(cube, (), where)
    except Refused:
        return None
    return None if found.widths is None or not len(found.widths) else int(found.widths.max())


def _source(cube: Cube, where: Where, size: Size) -> str:
    return reading.source(cube.made, _within(cube, where), estimated=size.estimated)


def price(path: Path, room: str, rule: Rule) -> dict[str, Any]:
    """What counting the rule costs: free, or ρ of what is left, how often the month still allows it, and ±."""
    from cleanroom.crowds import desk

    return with_left(desk.price(path, room, rule))


def with_left(price: dict[str, Any]) -> dict[str, Any]:
    """The price with what it means: how many such questions the month still has."""
    if price["free"]:
        return price
    cost, left = int(price["rho_micro"]), int(price["left_rho_micro"])
    times = left // cost if cost else 0
    return {**price, "cost": f"{cost / 1e6:g}", "left": f"{left / 1e6:g}", "times": times, "enough": times >= 1}


def check_enough(price: dict[str, Any]) -> None:
    """Raises UsageError where the month's budget does not suffice."""
    if not price["free"] and not price["enough"]:
        raise UsageError("The budget of this month does not suffice for this count.", "Wait for the next month.")
