"""Whom a selection means as the room's plan says it, and how many they are: read for nothing, from a plan held open."""

from collections.abc import Sequence

from cleanroom.crowds import sizes
from cleanroom.crowds.selection import Box, Selection, Within
from cleanroom.errors import Refused
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.place import Place
from cleanroom.plan import reading
from cleanroom.plan.cube import Cube
from cleanroom.privacy.ranges import Range, size_range


def where_of(cube: Cube, boxes: Sequence[Box]) -> reading.Where | None:
    """The boxes in the plan's terms, () for everybody; None where a list or a column that it has not is named."""
    if any(not isinstance(each, Within) or each.column not in cube.columns for box in boxes for each in box):
        return None
    where = tuple(tuple((each.column, each.cells) for each in box if isinstance(each, Within)) for box in boxes)
    return () if where == ((),) else where


def size(place: Place, selection: Selection) -> Range | None:
    """How many, as a range by the contract's floor (`crowds.sizes`); None where no plan tells."""
    try:
        cube = place.shelf.plan(place.room, place.yesterday)
    except Fault:
        return None
    where = where_of(cube, selection.boxes)
    if where is None:
        return None
    try:
        groups = reading.answer(cube, (), where).groups
    except Refused:  # columns cross in too many ways
        return None
    people = groups[0].people if groups else None
    return size_range(people or 0, sizes.floor(place.room.contract))
