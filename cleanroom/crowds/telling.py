"""Crowds as programs are told of them (`--json`, jobs): ranges, days and words; no noised number, no member."""

import datetime as dt
from pathlib import Path
from typing import Any

from cleanroom.crowds import lists as own_lists
from cleanroom.crowds.crowd import Crowd, Size, Task, Version
from cleanroom.crowds.history import Difference
from cleanroom.crowds.lists import ListHead
from cleanroom.crowds.reading import understood
from cleanroom.crowds.rule import Rule
from cleanroom.crowds.selection import Selection, Within
from cleanroom.enclave.query import split_name
from cleanroom.privacy.ranges import Range
from cleanroom.querying import opened
from cleanroom.rooms.store import Room


def size(found: Size | None) -> dict[str, Any] | None:
    """A size."""
    if found is None:
        return None
    return {
        "range": [found.low, found.high], "below_floor": found.withheld, "text": found.text, "source": found.source,
        "made": found.made, "estimated": found.estimated, "charged": found.charged, "receipt": found.receipt,
    }  # fmt: skip


def crowd(found: Crowd, today: dt.date | None = None) -> dict[str, Any]:
    """A crowd; of its versions the days, of its rule all."""
    return {
        "code": found.code, "room": found.room, "name": found.name, "kind": found.kind, "owner": found.owner,
        "status": found.status(today or own_lists.today()), "external": found.external,
        "channels": list(found.channels), "hidden": found.hidden, "description": found.description,
        "created": found.created, "ends": found.ends, "size": size(found.size), "rule": found.rule.plain(),
        "versions": [each.day for each in found.versions], "activations": len(found.tasks),
    }  # fmt: skip


def version(found: Version) -> dict[str, Any]:
    """A version."""
    return {"day": found.day, "made": found.made, "size": size(found.size)}


def task(found: Task) -> dict[str, Any]:
    """An activation."""
    return {**{name: value for name, value in vars(found).items() if name != "size"}, "size": size(found.size)}


def difference(found: Difference) -> dict[str, Any]:
    """Two versions beside each other."""
    return {
        "before": version(found.before), "after": version(found.after), "direction": found.direction,
        "by": span(found.by), "same_rule": found.same,
        "lists": [{"list": code, "came": came, "went": went} for code, (came, went) in found.lists.items()],
    }  # fmt: skip


def span(found: Range | None) -> dict[str, Any] | None:
    """A range."""
    return None if found is None else {"range": [found.low, found.high], "text": found.text()}


def listed(head: ListHead) -> dict[str, Any]:
    """A list, without anybody in it."""
    return {**vars(head), "days": list(head.days)}


def meant(path: Path, room: str, rule: Rule) -> list[dict[str, list[str]]]:
    """How a rule is understood: people in any of these, by column or list its labels."""
    home, held = opened(path, room)
    return named(held, understood(home, held, rule))


def named(room: Room, selection: Selection) -> list[dict[str, list[str]]]:
    """The same of a selection."""
    found = []
    for box in selection.boxes:
        sides: dict[str, list[str]] = {}
        for each in box:
            if isinstance(each, Within):
                labels = room.annex(*split_name(each.column)).labels
                sides[each.column] = [labels[cell] for cell in each.cells]
            else:
                sides[f"{each.dataset}: {each.code}"] = ["in" if each.inside else "out"]
        found.append(sides)
    return found
