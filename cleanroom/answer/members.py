"""The members file: the receiver's own matched rows, all their original columns, for the receiver only."""

from collections.abc import Iterator

import pyarrow as pa

from cleanroom.answer.side import Side
from cleanroom.errors import UsageError
from cleanroom.files import replacing
from connectors.targets import write_csv
from protocols.rows import Indices

ORIGINAL = "o."
"""Prefix of a dataset's original columns in the vault (connectors.importing)."""


def write_members(side: Side, matched: Indices) -> int:
    """Write `side.members` whole or not at all; how many rows it has. matched: ascending rows of the vault."""
    if side.members is None:
        raise UsageError("There is no file to write members to.")
    vault, name = side.home.vault, side.dataset.name
    columns = [column for column in vault.schema(name).names if column.startswith(ORIGINAL)]
    titles = [column.removeprefix(ORIGINAL) for column in columns]
    kinds = vault.schema(name, columns).types
    empty = pa.schema(list(zip(titles, kinds, strict=True)))

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in vault.read(name, columns, rows=matched):
            yield batch.rename_columns(titles)

    with replacing(side.members) as aside, aside.open("wb") as file:
        rows = write_csv(file, batches(), empty)
        side.check_unchanged()
        return rows
