"""Whom a crowd's rule means, in the contract's terms: people in any of some boxes, each a list of what must hold.

A rule as people write it (pools, conditions, lists) becomes this one form; the owners evaluate it, each its own part.
Nothing here reads data: cells are numbers of the annex, lists are named by their codes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.enclave.query import split_name
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.rooms.contract import Contract

LABEL = "cleanroom/selection/1"
MOST_BOXES, MOST_LITERALS = 256, 64
_MOST_CODE = 64


@dataclass(frozen=True)
class Within:
    """The person's value in a column (dataset.column) is in one of these cells, numbers of the contract, ascending."""

    column: str
    cells: tuple[int, ...]

    @property
    def dataset(self) -> str:
        """Whose column it is."""
        return split_name(self.column)[0]

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return ["within", self.column, list(self.cells)]


@dataclass(frozen=True)
class Listed:
    """The person stands in a list that the dataset's owner holds under this code; `inside` being false, does not."""

    dataset: str
    code: str
    inside: bool = True

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return ["listed", self.dataset, self.code, self.inside]


Literal = Within | Listed
Box = tuple[Literal, ...]
"""All of it holds; without literals: everybody who matches."""


@dataclass(frozen=True)
class Selection:
    """The matched people in any of the boxes. Raises BadData for what cannot be meant, Refused for too many boxes."""

    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        if not self.boxes:
            raise UsageError(
                "The rule means nobody, whatever the data.", "Look for conditions that exclude each other."
            )
        if len(self.boxes) > MOST_BOXES or any(len(box) > MOST_LITERALS for box in self.boxes):
            raise Refused(
                "The rule is too long: it has at most {boxes} alternatives of {literals} conditions each.",
                "Split the crowd, or combine conditions on one column.",
                boxes=MOST_BOXES,
                literals=MOST_LITERALS,
            )
        for literal in (each for box in self.boxes for each in box):
            _check(literal)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the rule names, sorted."""
        return tuple(sorted({each.column for box in self.boxes for each in box if isinstance(each, Within)}))

    def lists(self, dataset: str) -> tuple[str, ...]:
        """The codes of the lists of a dataset's owner that the rule names, sorted."""
        found = (each for box in self.boxes for each in box if isinstance(each, Listed))
        return tuple(sorted({each.code for each in found if each.dataset == dataset}))

    def of(self, dataset: str) -> tuple[Box, ...]:
        """Of every box the part that is about this dataset."""
        return tuple(tuple(each for each in box if each.dataset == dataset) for box in self.boxes)

    def plain(self) -> list[canonical.Json]:
        """As canonical JSON."""
        return [[each.plain() for each in box] for box in self.boxes]

    def digest(self) -> str:
        """SHA-256 in hex."""
        return canonical.digest(LABEL, self.plain())

    def check(self, contract: Contract) -> None:
        """Raises Refused for columns, cells or datasets that the contract has not."""
        for literal in (each for box in self.boxes for each in box):
            dataset = contract.dataset(literal.dataset)
            if isinstance(literal, Within):
                term = dataset.column(split_name(literal.column)[1])
                if term.kind == "amount" or not all(0 <= cell < term.cells for cell in literal.cells):
                    raise Refused("A crowd cannot be chosen by {column} like this.", column=literal.column)


def from_plain(value: Any) -> Selection:
    """Of `Selection.plain`. Raises BadData."""
    try:
        found = Selection(tuple(tuple(_literal(each) for each in box) for box in value))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _malformed() from error
    if found.plain() != value:
        raise _malformed()
    return found


def _literal(value: Sequence[Any]) -> Literal:
    match value:
        case ["within", str(column), list(cells)]:
            return Within(column, tuple(cells))
        case ["listed", str(dataset), str(code), bool(inside)]:
            return Listed(dataset, code, inside)
    raise _malformed()


def _check(literal: Literal) -> None:
    if isinstance(literal, Within):
        split_name(literal.column)
        cells = literal.cells
        if not cells or not all(type(cell) is int for cell in cells) or list(cells) != sorted(set(cells)):
            raise _malformed()
    elif not (literal.dataset and literal.code.isprintable() and 0 < len(literal.code) <= _MOST_CODE):
        raise _malformed()


def _malformed() -> BadData:
    return BadData("A crowd's rule is not in the form that this version knows.")


def members_only_by(contract: Contract, selection: Selection, receiver: str) -> None:
    """Raises Refused where members given to `receiver` would tell it of a column that may not define members, or by a
    list where the contract allows none."""
    term = contract.activation
    for literal in (each for box in selection.boxes for each in box):
        dataset = contract.dataset(literal.dataset)
        if dataset.owner == receiver:
            continue
        if isinstance(literal, Listed):
            if term is None or not term.lists:
                raise Refused(
                    "The contract lets no uploaded list define whom {party} may address.",
                    "Agree on one that does: activation.lists = true.",
                    party=receiver,
                )
        elif not dataset.column(split_name(literal.column)[1]).members:
            raise Refused(
                "The contract does not name {column} among the columns that may define members.",
                "Estimate the crowd by it, or agree on members = true for it.",
                column=literal.column,
            )
