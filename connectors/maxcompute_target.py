"""Rows into a table of MaxCompute, or into one partition of it: what stood there before is replaced, all of it or none.

The table must exist; no table is made and no column added. Tested with pyodps against a server of our own that speaks
the protocol; never yet against the service itself.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columns import pieces
from connectors.errors import InputError
from connectors.maxcompute import Address, address, connected, kind_of, service, table_of, tunnel_of


def write_table(uri: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Replace a table's rows, or those of the one partition that `uri` names in full; return how many were written.

    uri: as for reading, `odps://project/table?dt=20260101&endpoint=…`; a partition that is not there is made. Columns
    go by name, in any order; the table's others become null. Nothing is seen before all is written, and nothing at
    all where `batches` or the service fails. Raises InputError.
    """
    where = address(uri)
    client = connected(where)
    with service(where):
        table = table_of(client, where)
        wanted = pa.schema(
            [(column.name, kind_of(where.label, column)) for column in table.table_schema.simple_columns]
        )
        keys = [column.name for column in table.table_schema.partitions]
    _refuse_misfit(where, schema, wanted)
    spec = _partition(where, keys)
    with service(where):
        session = tunnel_of(client).create_upload_session(
            where.table, partition_spec=spec or None, schema=where.schema or None,
            overwrite=True, create_partition=bool(spec),
        )  # fmt: skip
        writer = session.open_arrow_writer()
    rows = 0
    for batch in batches:
        for piece in pieces(batch):
            with service(where):
                writer.write(_fitted(where, piece, wanted))
            rows += piece.num_rows
    with service(where):
        writer.close()
        session.commit(writer.get_blocks_written())
    return rows


def _partition(where: Address, keys: list[str]) -> str:
    """The one partition that is named. Raises InputError where it is none, or several."""
    named = {one.column: one.wanted for one in where.asked}
    if set(named) != set(keys) or any(".." in value or "," in value or ":" in value for value in named.values()):
        raise InputError(
            "Rows are written to one partition of {source}, named by {columns}.", "As in ?dt=20260101.",
            source=where.label, columns=", ".join(keys) or "-",
        )  # fmt: skip
    return ",".join(f"{key}={named[key]}" for key in keys)


def _refuse_misfit(where: Address, given: pa.Schema, wanted: pa.Schema) -> None:
    for field in given:
        if field.name.lower() not in wanted.names:
            raise InputError(
                "There is no column {column} in {source}.", "Its columns: {columns}.",
                column=field.name, source=where.label, columns=", ".join(wanted.names),
            )  # fmt: skip


def _fitted(where: Address, batch: pa.RecordBatch, wanted: pa.Schema) -> pa.RecordBatch:
    """The rows with the table's columns. Raises InputError by column where a value does not fit its type."""
    given = {name.lower(): column for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    columns = [_cast(where, given.get(field.name), field, batch.num_rows) for field in wanted]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


def _cast(where: Address, column: Any, field: pa.Field, rows: int) -> pa.Array:
    if column is None:
        return pa.nulls(rows, field.type)
    try:
        return column if column.type == field.type else pc.cast(column, field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise InputError(
            "Column {column} does not fit into that of {source}, which is of type {type}.",
            "Change the table's column, or leave this one out.",
            column=field.name, source=where.label, type=str(field.type),
        ) from None  # fmt: skip
