"""The question an enclave answers, the shape of the answer, and the seam between the two.

Nothing here knows DuckDB: a distributed engine takes the same `Query` and gives the same `Groups`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cleanroom.errors import UsageError

if TYPE_CHECKING:
    from types import TracebackType

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

VERSION = "cleanroom-query/2"
SLOTS = "#slots"
PEOPLE = "people"
COUNTED = "#count"
NAME_LIMIT = 255

Cells = tuple[int | str, ...]
"""Values of one column: whole numbers of an int64 column, or lower-case hex of a fixed-size binary one."""
Box = tuple[tuple[str, Cells], ...]
"""The people who have, in each of these columns, one of these cells; without columns: everybody."""
Where = tuple[Box, ...]
"""The people in any of these boxes; without boxes: everybody. A box of a column without cells holds nobody."""

_TOKEN = re.compile("(?:[0-9a-f]{2}){1,255}")


def split_name(name: str) -> tuple[str, str]:
    """(dataset, column) of `<dataset>.<column>`. Raises UsageError where it is not of that form."""
    dataset, dot, column = name.partition(".")
    plain = bool(dataset and dot and column) and name.isprintable() and len(name) <= NAME_LIMIT
    if not plain or dataset.startswith("#") or ("#" in column and column != SLOTS):
        raise UsageError(
            "{name} is not a column of an enclave.", "Columns are named dataset.column, without #.", name=repr(name)
        )
    return dataset, column


@dataclass(frozen=True)
class Query:
    """Count the matched people in every group, and add up columns over each.

    Any text of the language's printable characters may stand in a name: names are quoted when SQL is made of them.
    """

    by: tuple[str, ...] = ()
    """Columns `<dataset>.<column>` whose values make the groups; none: one group of all. A null is a value too."""
    sums: tuple[str, ...] = ()
    """`<dataset>.#slots`: the product of the group's ciphertexts; `<dataset>.<column>`: a sum of plain int64 values."""
    where: Where = ()
    """Who is meant, by columns `<dataset>.<column>`, grouped by or not. A null is in no box; nobody counts twice."""

    def __post_init__(self) -> None:
        names = [*self.by, *self.sums]
        for name in names:
            split_name(name)
        for name in self.by:
            if split_name(name)[1] == SLOTS:
                raise UsageError("Rows cannot be grouped by ciphertexts.", "Group by a category or a bucket.")
        _check_once(names)
        for box in self.where:
            _check_box(box)

    @property
    def slots(self) -> tuple[str, ...]:
        """The datasets whose ciphertexts are summed."""
        return tuple(dataset for dataset, column in map(split_name, self.sums) if column == SLOTS)

    @property
    def plain_sums(self) -> tuple[str, ...]:
        """The plain columns that are summed."""
        return tuple(name for name in self.sums if split_name(name)[1] != SLOTS)

    @property
    def conditions(self) -> tuple[str, ...]:
        """The columns that `where` names, sorted."""
        return tuple(sorted({name for box in self.where for name, _ in box}))

    def to_fields(self) -> dict[str, object]:
        """As JSON fields, version first."""
        where = [[[name, list(cells)] for name, cells in box] for box in self.where]
        return {"format": VERSION, "by": list(self.by), "sums": list(self.sums), "where": where}

    @classmethod
    def from_fields(cls, fields: Mapping[str, object]) -> Query:
        """The query of `to_fields`. Raises UsageError for another version or shape."""
        if fields.get("format") != VERSION or set(fields) != {"format", "by", "sums", "where"}:
            raise _unknown_version()
        return cls(by=_names(fields["by"]), sums=_names(fields["sums"]), where=_where(fields["where"]))


@dataclass(frozen=True)
class Groups:
    """Every group with at least one matched person, exact and unthresholded: not to be shown to anybody as it is.

    A query without `by` has one group, be it empty. Groups are sorted by the `by` columns, so their order tells nothing
    about the order of rows.
    """

    table: pa.Table
    """The `by` columns, `people` int64, and for each plain sum `c` the pair `c` int64 and `c#count` int64 (the rows
    where it is not null), which is what an average needs."""
    ciphertexts: Mapping[str, NDArray[np.uint8]]
    """Dataset → uint8[groups, w]: each group's sums, in the groups' order, not yet masked or re-randomised."""


class Engine(Protocol):
    """Where rows are lined up, grouped and counted. `run` is the only question that is answered by more than a bit.

    Another engine does the same (`handle.Enclave`, `spark.SparkEngine`); `handle.Enclave` says what each call takes.
    """

    @property
    def isolation(self) -> tuple[str, ...]:
        """What it has given up on this machine."""

    @property
    def peak_memory(self) -> int:
        """Bytes it held at most; known once it is closed."""

    def load(self, dataset: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """A dataset's rows; how many they are."""

    def load_matched(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Rows that are matched already, one a person; how many they are."""

    def drop_tokens(self, tokens: NDArray[np.uint8]) -> dict[str, int]:
        """Leave the rows of these tokens uint8[n, 16] out of the match to come; dataset → how many that are."""

    def match(self, left: str, right: str, *others: str, addressed: str = "") -> int:
        """Line loaded datasets up by token, once; how many persons are in all."""

    def matched_positions(self, dataset: str, where: Where = ()) -> pa.Int64Array:
        """Which rows of a dataset are matched, ascending; where: of these only the people meant."""

    def run(self, query: Query, public_keys: Mapping[str, int] | None = None) -> Groups:
        """The groups of `query`; `public_keys` holds the Paillier modulus of each dataset whose slots are summed.

        Raises UsageError for columns that do not exist or do not fit, LimitReached beyond memory or time.
        """

    def subtractable(self, query: Query, earlier: Sequence[Query], k: int) -> bool:
        """Whether exact answers to `query` and to the `earlier` ones tell about 1 to k-1 persons (`subtraction`).

        Sums play no part, nor does ciphertext; the columns of all of them must be loaded. Raises as `run`, and Refused
        where a question has too many crossings to be answered.
        """

    def __enter__(self) -> Engine:
        """Itself."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Closed in good order; ended at once after an error."""


def _check_once(names: Sequence[str]) -> None:
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError("{name} stands twice in a query.", "Name each column once.", name=twice)


def _check_box(box: Box) -> None:
    """Raise UsageError for anything but columns, each once, with cells of one kind."""
    for name, cells in box:
        if split_name(name)[1] == SLOTS:
            raise UsageError("A condition cannot be made of ciphertexts.", "Name a category or a bucket.")
        numbers = all(type(cell) is int and -(1 << 63) <= cell < 1 << 63 for cell in cells)
        if not numbers and not all(isinstance(cell, str) and _TOKEN.fullmatch(cell) for cell in cells):
            raise UsageError(
                "A condition on {name} has a cell that is neither a whole number nor a token.",
                "Cells are numbers of 64 bits, or tokens in lower-case hex; of one kind in a column.",
                name=name,
            )
    _check_once([name for name, _ in box])


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise _unknown_version()
    return tuple(value)


def _where(value: object) -> Where:
    return tuple(tuple(map(_side, _list(box))) for box in _list(value))


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise _unknown_version()
    return value


def _side(value: object) -> tuple[str, Cells]:
    match value:
        case [str(name), list(cells)]:
            return name, tuple(cells)
    raise _unknown_version()


def _unknown_version() -> UsageError:
    return UsageError("This query is of an unknown version.", "Both programs must be of one version.")
