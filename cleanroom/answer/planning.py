"""The planning cube's run: all one- and two-way tables of a match at once, every declared cell noised, empty ones too.

Which cells are empty cannot be seen, so nothing is withheld and no threshold is needed; whoever shows a number of it
applies one. At a neutral enclave the operator counts by value tokens in an order of tokens, and only owners know which
cell is which. Between two parties the host alone counts, by its own columns: those of the other side do not reach it.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer import crowd
from cleanroom.answer.draws import check_count, drawn, once, replayed
from cleanroom.answer.notes import malformed, reading, take, whole_numbers
from cleanroom.answer.release import Release
from cleanroom.answer.side import Side
from cleanroom.enclave.query import PEOPLE, Engine, Query, Where, split_name
from cleanroom.errors import Refused
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.plan import cube
from cleanroom.plan.consistency import Names
from cleanroom.plan.cube import Cube
from cleanroom.plan.store import Plans
from cleanroom.privacy.history import Question
from cleanroom.privacy.ranges import size_range
from cleanroom.rooms.contract import Contract

Counts = NDArray[np.int64]
Axes = Mapping[str, list[bytes] | list[int]]
"""Of each column the value of every cell in the enclave: in ascending order."""


def columns_of(contract: Contract) -> tuple[str, ...]:
    """What a plan of this room has: all categories and buckets, between two parties of the host's dataset. Sorted."""
    neutral, planned = contract.match.protocol == "keyed", contract.release.planned
    datasets = contract.datasets if neutral else (contract.dataset_of(contract.match.host),)
    return tuple(sorted(
        f"{dataset.name}.{column.name}" for dataset in datasets for column in dataset.columns
        if column.kind != "amount" and (not planned or f"{dataset.name}.{column.name}" in planned)
    ))  # fmt: skip


def tables(question: Question | Side) -> tuple[Names, ...]:
    """The tables of a plan: by none, one and two of its columns; of a crowd by none and one."""
    by = question.by if isinstance(question, Question) else question.query.by
    return ((), *((name,) for name in sorted(by))) if question.crowd else cube.tables(by)


def check(side: Side) -> None:
    """Raises Refused where the room makes no plan of what is asked."""
    contract = side.contract
    if side.crowd is not None:
        crowd.check(contract, side.crowd, side.query.by)
        crowd.check_noise(contract, side.crowd, side.sigma)
        if side.query.sums:
            raise Refused("A crowd is counted, and nothing else.")
        for name in side.query.by:
            if side.term(name).kind == "amount":
                raise Refused("A crowd cannot be chosen by {column} like this.", column=name)
        return
    if contract.release.queries == "templates":
        raise Refused("This room answers templates only.", "cleanroom template list names them: query --template NAME.")
    if not side.sigma:
        raise Refused("This room is without noise, and a plan is noised.", "Ask it directly.")
    if contract.match.output == "size" and contract.match.protocol != "keyed":
        raise Refused("The receiver does not learn its matched rows, so it cannot make a plan of them.")
    if side.query.by != columns_of(contract) or side.query.sums or side.query.where or not side.query.by:
        raise Refused("A plan is of all categories and buckets that its room can count by.")
    sizes = {name: side.term(name).cells for name in side.query.by}
    cube.check_sizes(sizes)
    check_count(sum(prod(sizes[name] for name in table) for table in cube.tables(side.query.by)), 1)


def cells_told(side: Side) -> dict[str, list[str]]:
    """What an owner tells the operator: the value token of every cell of every column, in an order of tokens."""
    return {name: sorted(side.tokens(name, range(side.term(name).cells))) for name in side.query.by}


def tokens_heard(side: Side, notes: Sequence[Any]) -> Axes:
    """What the owners told, which must be the same. Raises BadMessage."""
    told = [take(note, "cells", dict) for note in notes]
    if any(each != told[0] for each in told) or set(told[0]) != set(side.query.by):
        raise malformed()
    axes = {}
    for name in side.query.by:
        texts = take(told[0], name, list)
        if len(texts) != side.term(name).cells or texts != sorted(set(map(str, texts))):
            raise malformed()
        try:
            axes[name] = [bytes.fromhex(text) for text in texts]
        except (TypeError, ValueError) as error:
            raise malformed() from error
    return axes


def numbers(side: Side) -> Axes:
    """The axes at a host, whose enclave has cell numbers."""
    return {name: list(range(side.term(name).cells)) for name in side.query.by}


def answered(side: Side, enclave: Engine, question: Question, axes: Axes) -> dict[str, Any]:
    """What the host tells of the plan: the noised counts of all cells of all tables, one after the other."""

    def exact() -> Counts:
        return np.concatenate([_table(enclave, table, axes, question.where).ravel() for table in tables(side)])

    def compute() -> dict[str, Any]:
        counts = exact()
        return {"people": (counts + drawn(question, len(counts)).people).tolist(), "exact": counts.tolist()}

    kept = once(side, question, compute)
    size = size_range(max(0, int(kept["people"][0])), side.rules.k)  # the first table is the total
    told = {"people": kept["people"], "withheld": False, "size": [size.low, size.high, int(size.withheld)]}
    if side.again:
        told["same"] = replayed(side, question, same=exact().tolist() == kept["exact"])
    return told


def _table(enclave: Engine, table: tuple[str, ...], axes: Axes, where: Where) -> Counts:
    """Exact counts by these columns: int64[cells of each]. Who has a value that is no cell's counts nowhere."""
    groups = enclave.run(Query(table, (), where)).table
    shape = tuple(len(axes[name]) for name in table)
    counts = np.zeros(shape, np.int64)
    people = groups.column(PEOPLE).to_numpy()
    if not table:
        return np.asarray(people, np.int64)
    places = []
    for name in table:
        place = {value: at for at, value in enumerate(axes[name])}
        places.append(np.array([place.get(value, -1) for value in groups.column(name).to_pylist()], np.int64))
    known = np.logical_and.reduce([each >= 0 for each in places])
    counts[tuple(each[known] for each in places)] = people[known]
    return counts


def heard(side: Side, told: Any) -> Release:
    """The plan as an owner has it: one column of noised counts, by cell numbers. Raises BadMessage."""
    made = tables(side)
    shapes = [tuple(side.term(name).cells for name in table) for table in made]
    ends = list(accumulate(prod(shape) for shape in shapes))
    with reading():
        flat = np.array(whole_numbers(take(told, "people", list), ends[-1]), np.int64)
    ranks = {name: _ranks(side, name) for name in side.query.by}
    parts = []
    for table, shape, end in zip(made, shapes, ends, strict=True):
        counts = flat[end - prod(shape) : end].reshape(shape)
        parts.append(counts[np.ix_(*(ranks[name] for name in table))].ravel() if table else counts.ravel())
    size = size_range(max(0, int(flat[0])), side.rules.k)
    return Release(pa.table({PEOPLE: np.concatenate(parts)}), False, size)


def _ranks(side: Side, name: str) -> NDArray[np.int64]:
    """Of each cell its place among the values of the enclave."""
    cells = side.term(name).cells
    if side.contract.match.protocol != "keyed":
        return np.arange(cells)
    tokens = [side.tokens(name, [cell])[0] for cell in range(cells)]
    return np.argsort(np.argsort(np.array(tokens)))


def keep(side: Side, release: Release, signed: SignedReceipt) -> None:
    """Put the cube into this party's home, as the plan of the receipt's time."""
    made_of, start, counts = tables(side), 0, {}
    flat = release.table.column(PEOPLE).to_numpy()
    for table in made_of:
        shape = tuple(side.term(name).cells for name in table)
        counts[table] = flat[start : start + prod(shape)].reshape(shape).copy()
        start += prod(shape)
    receipt = signed.receipt
    made = dt.datetime.fromisoformat(receipt.time).astimezone(dt.UTC)
    labels = {name: side.room.annex(*split_name(name)).labels for name in side.query.by}
    plan = Cube(receipt.room, receipt.contract, made, receipt.rules.sigma, receipt.rules.k, labels, counts,
                dict.fromkeys(made_of, 1), receipt.digest())  # fmt: skip
    Plans(side.home).keep(receipt.room, plan)
