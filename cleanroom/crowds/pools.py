"""A rule in a room becomes a `Selection`: conditions through the gate, crowds by their rules, pools by set algebra.

The same people by whatever words give the same selection wherever the columns named cross in at most MOST_CROSSINGS
ways (cells that all conditions take alike count as one): then it is cut into disjoint boxes in one fixed order, as the
gate's conditions are. Beyond that the alternatives stay as they were written, less those that others contain. Nothing
of the data is read.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from cleanroom.crowds.rule import DIFFERENCE, INTERSECTION, Node, Other, Pool, Rule, Tags, Uploaded
from cleanroom.crowds.selection import MOST_BOXES, Box, Listed, Literal, Selection, Within
from cleanroom.enclave.query import split_name
from cleanroom.errors import Refused, UsageError
from cleanroom.gate import gate
from cleanroom.gate.condition import FALSE, TRUE, TooLarge, TruthTable
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.schema import Schema

MOST_CROSSINGS = 1 << 18
MOST_WORKED = 1024
"""Alternatives held while pools are joined."""
MOST_LEAVES = 4096
"""Conditions and lists of a rule, those of other crowds counted as often as they are used."""
MOST_DEPTH = 16
_CLAUSE = "clause"
_BEFORE, _AFTER = "SELECT COUNT(*) FROM matched WHERE (\n", "\n)"

Axis = tuple[str, str, bool]
"""(dataset, its column as dataset.column or the code of a list, whether it is a list)."""
Sides = Mapping[Axis, frozenset[int]]
"""People who are, on each of these axes, in one of these cells; of a list cell 1 is inside."""
RuleOf = Callable[[str], Rule]


@dataclass(frozen=True)
class Meaning:
    """What rules are read against: the room's columns, the asker's dataset, and where crowds and lists are found.

    rule_of: the rule of the crowd of that code; pinned: the code of a list of this party's as its version of today is
    called. Both raise UsageError for what there is not.
    """

    schema: Schema
    own: str
    rule_of: RuleOf
    pinned: Callable[[str], str]


def selection_of(rule: Rule, meaning: Meaning) -> Selection:
    """Whom the rule means in the room.

    Raises QueryRefused for a condition that the gate does not let in, UsageError for crowds and lists that there are
    not, crowds that stand on themselves, and where nobody can be meant; Refused where it is too long.
    """
    reader = _Reader(meaning)
    tree = reader.rule(rule, ())
    axes = sorted(_axes(tree))
    classes = {axis: _classes(tree, axis, reader.size(axis)) for axis in axes}
    crossings = prod(int(each.max()) + 1 for each in classes.values())
    if crossings <= MOST_CROSSINGS:
        boxes = _canonical(tree, axes, classes)
        if boxes is not None:
            return Selection(boxes)
    found = _alternatives(tree, reader.size)
    return Selection(tuple(tuple(_literal(axis, cells) for axis, cells in sorted(each.items())) for each in found))


# -- the tree: leaves are alternatives, inner nodes operations


@dataclass(frozen=True)
class _Leaf:
    """People in any of these."""

    boxes: tuple[Sides, ...]


@dataclass(frozen=True)
class _Joined:
    """operation: union, intersection or difference (the first without the others)."""

    operation: str
    parts: tuple["_Leaf | _Joined", ...]


_Tree = _Leaf | _Joined


class _Reader:
    """One reading of one rule."""

    def __init__(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._sizes = {field.name: len(field.labels) for field in meaning.schema.fields}
        self._read: dict[str, tuple[_Tree, int]] = {}
        self._leaves = 0
        """So far, those of a crowd counted as often as it is used."""

    def size(self, axis: Axis) -> int:
        """How many cells the axis has."""
        return 2 if axis[2] else self._sizes[axis[1]]

    def rule(self, rule: Rule, above: tuple[str, ...]) -> _Tree:
        """above: the crowds that stand on this rule."""
        tree = self._pool(rule.pools[0], above)
        for pool in rule.pools[1:]:
            tree = _Joined(pool.join, (tree, self._pool(pool, above)))
        return tree

    def _pool(self, pool: Pool, above: tuple[str, ...]) -> _Tree:
        return _Joined(pool.inside, tuple(self._node(node, above) for node in pool.nodes))

    def _node(self, node: Node, above: tuple[str, ...]) -> _Tree:
        self._leaves += 1
        if self._leaves > MOST_LEAVES:
            raise _too_long()
        if isinstance(node, Tags):
            return _Leaf(_by_condition(node.where, self._meaning.schema))
        if isinstance(node, Uploaded):
            return _Leaf(({self._list(node): frozenset((1,))},))
        return self._crowd(node, above)

    def _list(self, node: Uploaded) -> Axis:
        dataset = node.dataset or self._meaning.own
        if dataset not in self._meaning.schema.datasets:
            raise UsageError("The room has no dataset {name}.", "It has: {datasets}.", name=dataset,
                             datasets=", ".join(self._meaning.schema.datasets))  # fmt: skip
        code = self._meaning.pinned(node.list_code) if dataset == self._meaning.own else node.list_code
        return dataset, code, True

    def _crowd(self, node: Other, above: tuple[str, ...]) -> _Tree:
        if node.crowd_code in above:
            raise UsageError("The crowd {code} stands on itself.", "Take it out of the crowds that it is made of.",
                             code=node.crowd_code)  # fmt: skip
        if len(above) >= MOST_DEPTH:
            raise UsageError("Crowds stand on one another more than {most} deep.", most=MOST_DEPTH)
        if node.crowd_code not in self._read:
            before = self._leaves
            tree = self.rule(self._meaning.rule_of(node.crowd_code), (*above, node.crowd_code))
            self._read[node.crowd_code] = tree, self._leaves - before
        else:
            self._leaves += self._read[node.crowd_code][1]
        return self._read[node.crowd_code][0]


def _by_condition(where: str, schema: Schema) -> tuple[Sides, ...]:
    """The alternatives of a condition; an error has its place in the condition."""
    if not where.strip():
        return ({},)
    asked = None
    try:
        asked = gate.ask(_BEFORE + where + _AFTER, schema)
    except QueryRefused as error:
        raise _moved(error, where) from None
    if asked.order or asked.limit is not None or asked.by or asked.over:
        raise QueryRefused(_CLAUSE, "A condition alone stands here.", "As in: tier = 'gold'.", sql=where)
    return tuple(
        {(split_name(name)[0], name, False): frozenset(cells) for name, cells in box} for box in asked.where.boxes
    )


def _moved(error: QueryRefused, where: str) -> QueryRefused:
    """The same refusal, at its place in the condition."""
    lines = where.split("\n")
    line = min(max(0, error.line - 2), len(lines) - 1)
    position = sum(len(each) + 1 for each in lines[:line]) + (error.column - 1 if error.line > 1 else 0)
    return QueryRefused(
        error.code, error.template, error.hint, position=min(position, len(where)), sql=where, **error.params
    )


# -- the canonical form, where the columns do not cross in too many ways


def _axes(tree: _Tree) -> set[Axis]:
    if isinstance(tree, _Leaf):
        return {axis for box in tree.boxes for axis in box}
    return {axis for part in tree.parts for axis in _axes(part)}


def _leaves(tree: _Tree) -> Iterable[_Leaf]:
    if isinstance(tree, _Leaf):
        yield tree
    else:
        for part in tree.parts:
            yield from _leaves(part)


def _classes(tree: _Tree, axis: Axis, size: int) -> NDArray[np.int64]:
    """For each cell of the axis the number of its class: cells that all alternatives take alike, by their first."""
    taken = {box[axis] for leaf in _leaves(tree) for box in leaf.boxes if axis in box}
    numbers: dict[tuple[bool, ...], int] = {}
    ordered = sorted(taken, key=sorted)
    return np.array([
        numbers.setdefault(tuple(cell in cells for cells in ordered), len(numbers)) for cell in range(size)
    ])  # fmt: skip


def _canonical(tree: _Tree, axes: Sequence[Axis], classes: Mapping[Axis, NDArray[np.int64]]) -> tuple[Box, ...] | None:
    """None where these are more boxes than a selection has: as alternatives that overlap they may be few."""
    shape = [int(classes[axis].max()) + 1 for axis in axes]
    holds = _holds(tree, axes, classes, shape)
    names = {str(at): axis for at, axis in enumerate(axes)}
    try:
        condition = TruthTable(tuple(names), np.where(holds, TRUE, FALSE).astype(np.int8)).condition()
    except TooLarge:
        return None
    if len(condition.boxes) > MOST_BOXES:
        return None
    boxes = []
    for box in condition.boxes:
        sides = ((names[name], np.flatnonzero(np.isin(classes[names[name]], cells))) for name, cells in box)
        boxes.append(tuple(_literal(axis, cells.tolist()) for axis, cells in sides))
    return tuple(boxes)


def _holds(tree: _Tree, axes: Sequence[Axis], classes: Mapping[Axis, NDArray[np.int64]],
           shape: Sequence[int]) -> NDArray[np.bool_]:  # fmt: skip
    """Of every crossing of classes whether it is meant: bool[shape]."""
    if isinstance(tree, _Leaf):
        found = np.zeros(shape, np.bool_)
        for box in tree.boxes:
            sides = [
                np.unique(classes[axis][sorted(box[axis])]) if axis in box else np.arange(size)
                for axis, size in zip(axes, shape, strict=True)
            ]
            found[np.ix_(*sides)] = True
        return found
    found = _holds(tree.parts[0], axes, classes, shape)
    for part in tree.parts[1:]:
        other = _holds(part, axes, classes, shape)
        if tree.operation == DIFFERENCE:
            found &= ~other
        elif tree.operation == INTERSECTION:
            found &= other
        else:
            found |= other
    return found


# -- alternatives as they are, where they do


def _alternatives(tree: _Tree, size: Callable[[Axis], int]) -> tuple[Sides, ...]:
    """Raises Refused for too many."""
    if isinstance(tree, _Leaf):
        return tree.boxes
    parts = [_alternatives(part, size) for part in tree.parts]
    found = parts[0]
    for other in parts[1:]:
        if tree.operation == DIFFERENCE:
            for box in other:
                found = _both(found, _outside(box, size))
        elif tree.operation == INTERSECTION:
            found = _both(found, other)
        else:
            found = _few((*found, *other))
    return found


def _both(left: Sequence[Sides], right: Sequence[Sides]) -> tuple[Sides, ...]:
    if len(left) * len(right) > MOST_WORKED:
        raise _too_long()
    found = []
    for one, other in product(left, right):
        met = {axis: one.get(axis, cells) & other.get(axis, cells) for axis, cells in {**one, **other}.items()}
        if all(met.values()):
            found.append(met)
    return _few(found)


def _outside(box: Sides, size: Callable[[Axis], int]) -> tuple[Sides, ...]:
    """People outside one alternative, as disjoint ones."""
    found: list[Sides] = []
    before: dict[Axis, frozenset[int]] = {}
    for axis in sorted(box):
        rest = frozenset(range(size(axis))) - box[axis]
        if rest:
            found.append({**before, axis: rest})
        before[axis] = box[axis]
    return tuple(found)


def _few(boxes: Sequence[Sides]) -> tuple[Sides, ...]:
    """Without those that others contain, in one fixed order. Raises Refused for too many."""
    if len(boxes) > MOST_WORKED:
        raise _too_long()
    ordered = sorted(boxes, key=lambda box: (len(box), [(axis, sorted(cells)) for axis, cells in sorted(box.items())]))
    kept: list[Sides] = []
    for box in ordered:
        if not any(all(axis in box and box[axis] <= cells for axis, cells in each.items()) for each in kept):
            kept.append(box)
    return tuple(kept)


def _literal(axis: Axis, cells: Iterable[int]) -> Literal:
    dataset, name, is_list = axis
    held = tuple(sorted(cells))
    return Listed(dataset, name, held == (1,)) if is_list else Within(name, held)


def _too_long() -> Refused:
    return Refused(
        "The rule combines more than {most} alternatives.", "Split the crowd, or name fewer columns.", most=MOST_WORKED
    )
