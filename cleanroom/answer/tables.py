"""A released table as it is told, and the checks by which every recipient takes it apart."""

from typing import Any

import pyarrow as pa

from cleanroom.answer.notes import malformed, take, whole_numbers
from cleanroom.answer.release import labelled
from cleanroom.answer.side import Side
from cleanroom.answer.slots import reach
from cleanroom.privacy.noise import MOST_SIGMAS
from cleanroom.rooms.terms import Column
from protocols.errors import BadMessage

Table = dict[str, Any]
"""A released table in codes: by (column → codes), people, sums (column → minor units), withheld."""


def table_of(side: Side, table: Table) -> pa.Table:
    """The released table with labels; the same at every recipient. `table` may be as a peer told it.

    Raises BadMessage below the threshold, for cells that do not exist or stand twice, for sums that so many people
    cannot have. Without noise a question without columns asks for the size, which leaves as a range only: its table has
    no row.
    """
    if not side.query.by and not side.query.sums and not side.sigma:
        return labelled(side.room, (), {}, [], {})
    people = whole_numbers(take(table, "people", list))
    if any(count < side.rules.least for count in people):
        raise BadMessage("The peer released a group below the contract's threshold.")
    slack = MOST_SIGMAS * side.rules.sigma * side.rules.draws
    codes, totals = take(table, "by", dict), take(table, "sums", dict)
    by = {name: whole_numbers(codes.get(name), len(people)) for name in side.query.by}
    sums = {name: whole_numbers(totals.get(name), len(people)) for name in side.query.sums}
    if len(people) > len(set(zip(*by.values(), strict=True)) if by else {()}):
        raise malformed()
    if any(count > min(dataset.rows for dataset in side.lined_up) + slack for count in people):
        raise malformed()
    for name, numbers in by.items():
        if not all(0 <= number < side.term(name).cells for number in numbers):
            raise malformed()
    for name, numbers in sums.items():
        column = side.term(name)
        room = slack * reach(column)
        for number, count in zip(numbers, people, strict=True):
            low, high = _sums_of(column, count, slack)
            if not low - room <= number <= high + room:
                raise malformed()
    return labelled(side.room, side.query.by, by, people, sums)


def _sums_of(column: Column, people: int, slack: int) -> tuple[int, int]:
    """What so many people's amounts can add up to; slack: by how many their number may be off."""
    if not slack:
        return people * column.low, people * column.high
    return (people + slack) * min(column.low, 0), (people + slack) * max(column.high, 0)
