"""How a released table is laid out as its question selects, orders and limits it. All of it post-processing: free.

Nothing but released numbers is looked at. A quantile is read off the released histogram of its bucket, whose cells are
then added up: what was withheld is in neither.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.gate.ask import Ask, Shown
from cleanroom.privacy import accounting
from cleanroom.privacy.ranges import Range
from cleanroom.rooms.draft import UNKNOWN
from cleanroom.rooms.store import Room

if TYPE_CHECKING:
    import pyarrow as pa

Rows = list[dict[str, Any]]
MINOR = Decimal(100)


@dataclass(frozen=True)
class Group:
    """A row to be: labels by column, people, sums in minor units.

    cells: how many released groups were added up, each with noise of its own. histogram: people by the label of the
    bucket that quantiles are taken of; empty where none is.
    """

    labels: Mapping[str, str]
    people: int
    sums: Mapping[str, Decimal]
    cells: int = 1
    histogram: Mapping[str, int] = field(default_factory=dict)


def laid_out(asked: Ask, table: "pa.Table", size: Mapping[str, Any] | None, room: Room) -> Rows:
    """The released groups as the query selects, orders and limits them: one object a row, by title.

    table: as in `Release`. Columns are ordered as the contract declares their cells. A question about everybody alone
    has a size for an answer, if one is given: a range of persons.
    """
    if not asked.by and not asked.sums and size is not None:
        text = Range(size["range"][0], size["range"][1], size["withheld"]).text()
        return [dict.fromkeys(titles(asked.shown), text)][: asked.limit]
    return rows(asked, arranged(asked, table, room), room)


def rows(asked: Ask, groups: Iterable[Group], room: Room) -> Rows:
    """One object a group: what is shown, by title; amounts and averages in major units."""
    named = titles(asked.shown)
    return [{title: shown(group, each, room) for title, each in named.items()} for group in groups]


def widths(asked: Ask, groups: Iterable[Group], noise: Mapping[str, Any]) -> Rows:
    """Half the 95 % interval of every noised number in `rows`, by title, in persons or major units.

    noise: as in `Outcome`. An average's is that of a quotient, to first order; a quantile has none.
    """
    named = titles(asked.shown)
    found = []
    for group in groups:
        people = accounting.half_width(noise["sigma"], noise["draws"] * group.cells)
        sums = {name: width / noise["people"] * people for name, width in noise["sums"].items()}
        row: dict[str, Any] = {}
        for title, each in named.items():
            if each.what == "people":
                row[title] = people
            elif each.what == "sum":
                row[title] = round(sums[each.name], 2)
            elif each.what == "average" and group.people > 0:
                mean = float(group.sums[each.name] / MINOR) / group.people
                row[title] = round(math.hypot(sums[each.name], mean * people) / group.people, 2)
        found.append(row)
    return found


def arranged(asked: Ask, table: "pa.Table", room: Room) -> list[Group]:
    """The groups that are shown, in order: those of the bucket of a quantile added up."""
    groups = folded(asked, table)
    if asked.by:
        for at, descending in reversed(asked.order):
            groups = sorted(groups, key=_rank(asked.shown[at], room, -1 if descending else 1))
    return groups[: asked.limit]


def folded(asked: Ask, table: "pa.Table") -> list[Group]:
    """The released groups, those that differ by the bucket of a quantile alone added up, in the order of the first."""
    kept = [name for name in asked.by if name not in asked.axes]
    quantiles = next((each.name for each in asked.shown if each.what == "quantile"), None)
    found: dict[tuple[str, ...], Group] = {}
    for row in table.to_pylist():
        histogram = {row[quantiles]: row[PEOPLE]} if quantiles else {}
        sums = {name: row[name] for name in asked.sums}
        group = Group({name: row[name] for name in kept}, row[PEOPLE], sums, 1, histogram)
        key = tuple(group.labels.values())
        found[key] = _added(found[key], group) if key in found else group
    return list(found.values())


def _added(left: Group, right: Group) -> Group:
    return dataclasses.replace(
        left,
        people=left.people + right.people,
        sums={name: value + right.sums[name] for name, value in left.sums.items()},
        cells=left.cells + right.cells,
        histogram={**left.histogram, **right.histogram},
    )


def shown(group: Group, each: Shown, room: Room) -> str | int | float | None:
    """What a row holds under a title."""
    if each.what == "column":
        return group.labels[each.name]
    if each.what == "people":
        return group.people
    if each.what == "quantile":
        return quantile(group.histogram, _ordered(each.name, room), each.per_mille)
    amount = group.sums[each.name] / MINOR
    if each.what == "sum":
        return float(amount)
    return round(float(amount / group.people), 2) if group.people > 0 else None


def quantile(histogram: Mapping[str, int], labels: Iterable[str], per_mille: int) -> str | None:
    """The label in which the people counted so far reach the fraction; labels: in order, without those that have none.

    Noised counts below 0 count as 0. None where nobody is in any of them.
    """
    counts = {label: max(0, histogram.get(label, 0)) for label in labels}
    wanted, reached = sum(counts.values()) * per_mille, 0
    for label, count in counts.items():
        reached += count * 1000
        if count and reached >= wanted:
            return label
    return None


def _ordered(name: str, room: Room) -> tuple[str, ...]:
    """Labels of a bucket's cells from the lowest on, without those of values that are unknown or not declared."""
    annex = room.annex(*split_name(name))
    return annex.labels[: len(annex.edges) + 1]


def _rank(each: Shown, room: Room, sign: int) -> Callable[[Group], Any]:
    """What a group is ordered by; sign: -1 for descending. Those without a value come last either way."""
    if each.what not in ("column", "quantile"):
        return lambda group: _number(shown(group, each, room), sign)
    labels = room.annex(*split_name(each.name)).labels
    places: dict[object, int] = {label: sign * place for place, label in enumerate(labels)}
    places |= {UNKNOWN: len(labels), None: len(labels)}
    return lambda group: places[shown(group, each, room)]


def _number(value: Any, sign: int) -> tuple[bool, float]:
    return (value is None, 0 if value is None else sign * value)


def titles(chosen: Iterable[Shown]) -> dict[str, Shown]:
    """A title for each, made distinct by number where two have one."""
    named: dict[str, Shown] = {}
    for each in chosen:
        title, number = each.title, 2
        while title in named:
            title, number = f"{each.title}_{number}", number + 1
        named[title] = each
    return named
