"""What a board is asked for: noised numbers about all persons of one dataset, matched or not, and what may be asked.

Nothing here reads data. Every party of a board looks here before anything is kept, shown or started.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from cleanroom.enclave.query import split_name
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.rooms.contract import Contract

Names = tuple[str, ...]

MOST_TABLES = 64
MOST_COLUMNS = 4
"""Of one table."""
MOST_CELLS = 1 << 20
"""Of all tables together."""


@dataclass(frozen=True)
class BoardAsked:
    """asker: an owner of the room; dataset: another's; tables: by the sorted names (dataset.column) of their columns,
    sorted, the total () first. Which amounts are summed stands in the query."""

    asker: str
    dataset: str
    tables: tuple[Names, ...]

    def plain(self) -> dict[str, Any]:
        """For a job."""
        return {"asker": self.asker, "dataset": self.dataset, "tables": [list(table) for table in self.tables]}

    def parties(self, contract: Contract) -> Names:
        """Who asks and who answers, in the contract's order; nobody else takes part. Raises BadData."""
        both = (self.asker, contract.dataset(self.dataset).owner)
        return tuple(owner for owner in contract.owners if owner in both)

    @property
    def columns(self) -> Names:
        """All that the tables are by, sorted."""
        return tuple(sorted({name for table in self.tables for name in table}))


def from_job(value: Mapping[str, Any] | None) -> BoardAsked | None:
    """Of `BoardAsked.plain`, as a peer may have put it. Raises BadData."""
    if value is None:
        return None
    if value.keys() != {"asker", "dataset", "tables"} or type(value["tables"]) is not list:
        raise _malformed()
    names = [value["asker"], value["dataset"]]
    if not 1 <= len(value["tables"]) <= MOST_TABLES or not all(type(table) is list for table in value["tables"]):
        raise _malformed()
    names += [name for table in value["tables"] for name in table]
    if not all(type(name) is str for name in names):
        raise _malformed()
    return BoardAsked(value["asker"], value["dataset"], tuple(map(tuple, value["tables"])))


def check(contract: Contract, board: BoardAsked, by: Sequence[str], sums: Sequence[str]) -> None:
    """Raises Refused where the contract allows no such board, BadData for what is none. by: columns of its tables."""
    if board.asker not in contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    if board.dataset not in contract.release.alone:
        raise Refused(
            "The contract allows no boards of {dataset}.",
            'They need release.alone = ["{dataset}"] in a contract that all have signed.',
            dataset=board.dataset,
        )
    dataset = contract.dataset(board.dataset)
    if board.asker == dataset.owner:
        raise Refused("A board of one's own data is exact and needs no release.")
    in_order = board.tables == tuple(sorted(set(board.tables))) and all(
        table == tuple(sorted(set(table))) and len(table) <= MOST_COLUMNS for table in board.tables
    )
    if not in_order or board.tables[:1] != ((),) or tuple(by) != board.columns or list(sums) != sorted(set(sums)):
        raise _malformed()
    cells = {}
    for name in (*by, *sums):
        try:
            of, column = split_name(name)
        except UsageError as error:
            raise _malformed() from error
        if of != board.dataset:
            raise _malformed()
        term = dataset.column(column)
        if (term.kind == "amount") != (name in sums):
            raise Refused("{column} cannot be used like this: it is of the kind {kind}.", column=name, kind=term.kind)
        cells[name] = term.cells
    if sum(prod(cells[name] for name in table) for table in board.tables) > MOST_CELLS:
        raise Refused("A board has at most {cells} cells in all its tables.", "Name fewer columns, or coarser ones.",
                      cells=f"{MOST_CELLS:,}")  # fmt: skip


def _malformed() -> BadData:
    return BadData("A run is asked for in a form that this version does not know.")
