"""A table or a query in PostgreSQL, streamed through ADBC in a read-only transaction.

No password is taken from a URI, and nothing that the server says reaches an error's text, since it may quote values.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import pyarrow as pa

from connectors.columns import Note, at_least_one, distinct_names, numbered, plain_type
from connectors.errors import InputError
from connectors.source import Batch, Rejected

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_SECONDS = 10
_SECRET = {"password", "sslpassword", "passfile", "passphrase"}
_SAID = {  # SQLSTATE → what it means; codes at https://www.postgresql.org/docs/current/errcodes-appendix.html
    "28P01": ("The database does not let this user in.", "Put the password in PGPASSWORD or in a pgpass file."),
    "28000": ("The database does not let this user in.", "Put the password in PGPASSWORD or in a pgpass file."),
    "3D000": ("There is no such database on this server.", "Check the name after the host."),
    "42P01": ("There is no such table in the database.", "Name it with its schema: ?table=schema.name."),
    "42501": ("This user may not read that.", "Ask for the right to read it."),
    "42601": ("The query is not valid SQL.", "Try it in psql first."),
    "42703": ("The query names a column that does not exist.", "Try it in psql first."),
    "25006": ("The query would change data; it runs in a read-only transaction.", "Give a SELECT."),
    "57014": ("The database ended the query, by its time limit perhaps.", "Ask for fewer rows or columns."),
}


@dataclass(frozen=True)
class Address:
    """Where a table is: what libpq is given, the SQL to run, and a label without user or password."""

    uri: str
    select: str
    label: str


class PostgresSource:
    """Rows of a table or query, in the order in which the server gives them; the first row has number 1.

    uri: postgresql://user@host:port/db?table=schema.name or ?query=SELECT …, with libpq's own parameters beside.
    Numbers of arbitrary precision and types that Arrow lacks arrive as text. Raises InputError.
    """

    def __init__(self, uri: str) -> None:
        self._address = address(uri)
        self.label = self._address.label
        self.rejected: Sequence[Rejected] = ()
        with _connected(self._address) as connection:
            self._select, self.schema, self.notes = _plan(connection, self._address)

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1. Raises InputError where there are none."""
        with _connected(self._address) as connection, connection.cursor() as cursor:
            cursor.execute(self._select)
            found = numbered(_in_schema(batch, self.schema) for batch in cursor.fetch_record_batch())
            yield from at_least_one(self.label, found)


def address(uri: str) -> Address:
    """The parts of a URI. Raises InputError where it holds a password, or names neither a table nor a query."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        raise InputError(
            "This is not a database address.", "As in postgresql://user@host/database?table=schema.name."
        ) from None
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.password is not None or _SECRET & given.keys():
        raise InputError(
            "A database address must not hold a password.", "Put the password in PGPASSWORD or in a pgpass file."
        )
    table, query = given.pop("table", ""), given.pop("query", "").strip().rstrip(";")
    if bool(table) == bool(query):
        raise InputError(
            "A database address names one table or one query.", "Add ?table=schema.name or ?query=SELECT …."
        )
    given.setdefault("connect_timeout", str(_SECONDS))
    database = parts.path.lstrip("/") or os.environ.get("PGDATABASE", "")
    select = query or f"TABLE {'.'.join(_quoted(part) for part in table.split('.', 1))}"
    bare = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(given), ""))
    return Address(bare, select, f"{database}:{table}" if table else f"{database}:query")


@contextmanager
def _connected(where: Address) -> "Iterator[Connection]":
    """A connection in a read-only transaction; every failure of the database becomes an InputError."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    try:
        with dbapi.connect(where.uri) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION READ ONLY")
                cursor.execute("SET LOCAL synchronize_seqscans = off")  # a second reading gives the same order
            yield connection
            connection.rollback()
    except Error as error:
        raise _explained(where, getattr(error, "sqlstate", None)) from None
    except (pa.ArrowException, OSError):
        raise _explained(where, None) from None


def _explained(where: Address, state: str | None) -> InputError:
    if state in _SAID:
        return InputError(*_SAID[state])
    if state:
        return InputError(
            "The database refused to read {source} (code {code}).", "Look the code up in PostgreSQL's error codes.",
            source=where.label, code=state,
        )  # fmt: skip
    return InputError(
        "The database of {source} cannot be reached, does not let this user in, or broke off.",
        "Check host, port, database and user; put the password in PGPASSWORD or in a pgpass file.",
        source=where.label,
    )


def _plan(connection: "Connection", where: Address) -> tuple[str, pa.Schema, list[Note]]:
    """The SELECT that gives plain columns with distinct names, and their schema."""
    with connection.cursor() as cursor:
        given = cursor.adbc_execute_schema(where.select)
    names, notes = distinct_names(given.names)
    kinds = [_kind(where.label, name, field) for name, field in zip(names, given, strict=True)]
    columns = ", ".join(
        _quoted(name) if kind is not None else f"{_quoted(name)}::text AS {_quoted(name)}"
        for name, kind in zip(names, kinds, strict=True)
    )
    aliases = ", ".join(map(_quoted, names))
    select = f"SELECT {columns} FROM ({where.select}\n) AS source({aliases})"  # noqa: S608 (names are quoted)
    schema = pa.schema([pa.field(n, kind or pa.string()) for n, kind in zip(names, kinds, strict=True)])
    return select, schema, notes


def _kind(label: str, name: str, field: pa.Field) -> pa.DataType | None:
    """The plain type of a column; None where the server shall write it as text."""
    if isinstance(field.type, pa.BaseExtensionType):  # numeric and what Arrow lacks: the driver calls them opaque
        return None
    if (field.metadata or {}).get(b"POSTGRESQL:type") == b"money":  # would come as a number of cents
        return None
    return plain_type(label, name, field.remove_metadata())


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [column.cast(field.type) for column, field in zip(batch.columns, schema, strict=True)], schema=schema
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
