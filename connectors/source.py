"""The one interface of all sources: named columns in Arrow batches, each row with the number its owner knows it by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

BATCH_ROWS = 65_536


@dataclass(frozen=True)
class Batch:
    """Some rows of a source.

    rows: int64, the number of each row as its owner sees it (in a file the header is row 1; in a database query the
    first row is 1); table: the original columns under their original names, in the source's order.
    """

    rows: pa.Int64Array
    table: pa.RecordBatch


@dataclass(frozen=True)
class Rejected:
    """A row that could not be read at all: its number and the reason's name ('ragged', 'too-long', …)."""

    row: int
    reason: str


class Source(Protocol):
    """Something that can be read from start to end, as often as asked, in flat memory."""

    @property
    def label(self) -> str:
        """A short name for messages: a file name, a table name; never a password."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns; texts stay texts (leading zeros matter)."""

    @property
    def rejected(self) -> Sequence[Rejected]:
        """Rows of the last complete reading that could not be read."""

    @property
    def notes(self) -> Sequence[tuple[str, dict[str, object]]]:
        """What was found out on the way, as (English template, params): encoding, delimiter, sheet, header row."""

    def batches(self) -> Iterator[Batch]:
        """All rows, in batches of at most BATCH_ROWS. Raises InputError."""
