"""A table or a query in a database that has an ADBC driver: adbc+snowflake://…, adbc+bigquery://…, adbc+flightsql://…,
adbc+sqlite:///file. Rows stream in Arrow batches; a driver's package is installed where it is wanted.

No password is taken from an address, only from the environment, and nothing that a server says reaches an error's text.
SQLite is opened read-only; elsewhere one SELECT is all that is sent. What was run here: SQLite, PostgreSQL (see
`connectors/postgres.py`), and Flight SQL against a small server of our own; Snowflake and BigQuery only as far as their
drivers go without the service.
"""

import importlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa

from connectors.columns import Note, Plain, at_least_one, gathered, numbered
from connectors.errors import InputError
from connectors.source import BATCH_ROWS, Batch, Rejected, Source

if TYPE_CHECKING:
    from adbc_driver_manager.dbapi import Connection

_SECRET = re.compile(r"pass|secret|token|private|credential", re.IGNORECASE)
_CHANGES = {"INSERT", "UPDATE", "DELETE", "MERGE", "CREATE", "DROP", "ALTER", "TRUNCATE", "COPY", "INTO", "COMMAND"}
_HINT = "Put ADBC_USERNAME and ADBC_PASSWORD (or what your database takes instead) in the environment."
_SAID = {  # ADBC's status → what it means; https://arrow.apache.org/adbc/current/format/specification.html
    "UNAUTHENTICATED": ("The database does not let this user in.", _HINT),
    "UNAUTHORIZED": ("This user may not read that.", "Ask for the right to read it."),
    "NOT_FOUND": ("There is no such table in the database.", "Name it with its schema: ?table=schema.name."),
    "TIMEOUT": ("The database ended the query, by its time limit perhaps.", "Ask for fewer rows or columns."),
    "CANCELLED": ("The database ended the query, by its time limit perhaps.", "Ask for fewer rows or columns."),
    "INVALID_ARGUMENT": ("The database of {source} does not know the table or a column, or the query is not valid SQL.",
                         "Check the names; try the query in the database's own tool."),
}  # fmt: skip


@dataclass(frozen=True)
class Parts:
    """An address: host and the names of its path, who reads, and what follows `?` but the table or query."""

    host: str
    path: str
    user: str
    given: dict[str, str]

    @property
    def names(self) -> list[str]:
        """The names of the path."""
        return [unquote(name) for name in self.path.split("/") if name]


@dataclass(frozen=True)
class Driver:
    """package: on PyPI, and module once - is _; quote: around a name in SQL; dialect: sqlglot's, "" for the standard;
    arguments: of its `dbapi.connect`; statement: options of each query."""

    package: str
    quote: str
    dialect: str
    arguments: Callable[[Parts], dict[str, Any]]
    statement: dict[str, str]


def _sqlite(parts: Parts) -> dict[str, Any]:
    path = f"{parts.host}{parts.path}".replace("?", "%3f").replace("#", "%23")
    return {"uri": f"file:{path}?mode=ro"}


def _flightsql(parts: Parts) -> dict[str, Any]:
    options = {"username": parts.user, "password": os.environ.get("ADBC_PASSWORD", "")}
    if token := os.environ.get("ADBC_TOKEN"):
        options = {"adbc.flight.sql.authorization_header": f"Bearer {token}"}
    plain = parts.given.get("tls") == "no"
    return {"uri": f"grpc+{'tcp' if plain else 'tls'}://{parts.host}", "db_kwargs": _said(options)}


def _snowflake(parts: Parts) -> dict[str, Any]:
    prefix = "adbc.snowflake.sql"
    database, schema = [*parts.names, "", ""][:2]
    options = {
        "username": parts.user, "password": os.environ.get("ADBC_PASSWORD", ""), f"{prefix}.account": parts.host,
        f"{prefix}.db": database, f"{prefix}.schema": schema, f"{prefix}.warehouse": parts.given.get("warehouse", ""),
        f"{prefix}.role": parts.given.get("role", ""), f"{prefix}.client_option.login_timeout": "30s",
    }  # fmt: skip
    if key := os.environ.get("ADBC_PRIVATE_KEY_FILE"):
        options |= {f"{prefix}.auth_type": "auth_jwt", f"{prefix}.client_option.jwt_private_key": key}
    return {"db_kwargs": _said(options)}


def _bigquery(parts: Parts) -> dict[str, Any]:
    prefix = "adbc.bigquery.sql"
    options = {f"{prefix}.project_id": parts.host, f"{prefix}.dataset_id": "".join(parts.names[:1])}
    if key := os.environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        file = f"{prefix}.auth_type.json_credential_file"
        options |= {f"{prefix}.auth_type": file, f"{prefix}.auth_credentials": key}
    return {"db_kwargs": _said(options)}


def _said(options: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value}


DRIVERS = {
    "sqlite": Driver("adbc-driver-sqlite", '"', "sqlite", _sqlite, {"adbc.sqlite.query.batch_rows": str(BATCH_ROWS)}),
    "flightsql": Driver("adbc-driver-flightsql", '"', "", _flightsql, {}),
    "snowflake": Driver("adbc-driver-snowflake", '"', "snowflake", _snowflake, {}),
    "bigquery": Driver("adbc-driver-bigquery", "`", "bigquery", _bigquery, {}),
}
"""By what follows `adbc+`. Each is a package of its own, so that nobody installs what he does not read from."""


def open_adbc(uri: str) -> Source:
    """The source at adbc+DRIVER://[user@]host/path?table=schema.name or ?query=SELECT …. Raises InputError."""
    name = uri.removeprefix("adbc+").partition(":")[0]
    if name in ("postgresql", "postgres"):
        from connectors.postgres import PostgresSource

        return PostgresSource(uri.removeprefix("adbc+"))
    if name not in DRIVERS:
        raise InputError("There is no driver {driver} known here.", "Known: {known}.", driver=name,
                         known=", ".join(["postgresql", *DRIVERS]))  # fmt: skip
    return AdbcSource(uri, DRIVERS[name])


class AdbcSource:
    """Rows of a table or query, in the order in which the database gives them; the first has number 1."""

    def __init__(self, uri: str, driver: Driver) -> None:
        self._driver = driver
        self._parts, self._select, self.label = _address(uri, driver)
        self.rejected: Sequence[Rejected] = ()
        with self._reader(only_schema=True) as given:
            self._plain = Plain(self.label, _bare(given))
        self.schema: pa.Schema = self._plain.schema
        self.notes: list[Note] = self._plain.notes

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1. Raises InputError where there are none, or a column changes its kind."""
        return at_least_one(self.label, numbered(gathered(self._rows(), self.schema)))

    def _rows(self) -> Iterator[pa.RecordBatch]:
        with self._reader() as reader:
            if Plain(self.label, _bare(reader.schema)).schema != self.schema:
                raise _changed(self.label)
            for batch in reader:
                yield self._plain.batch(batch)

    @contextmanager
    def _reader(self, *, only_schema: bool = False) -> Iterator[Any]:
        """A reader of the result, or its schema alone; what fails meanwhile becomes an InputError."""
        from adbc_driver_manager import Error, NotSupportedError

        try:
            with self._connected() as connection, connection.cursor() as cursor:
                cursor.adbc_statement.set_options(**self._driver.statement)
                if only_schema:
                    try:
                        yield cursor.adbc_execute_schema(self._select)
                        return
                    except NotSupportedError:
                        cursor.execute(self._select)
                        yield cursor.fetch_record_batch().schema
                        return
                cursor.execute(self._select)
                yield cursor.fetch_record_batch()
        except Error as error:
            raise _explained(self.label, error) from None
        except (pa.ArrowException, OSError) as error:
            raise _changed(self.label) if "mismatch" in str(error) else _explained(self.label, None) from None

    def _connected(self) -> "Connection":
        package = self._driver.package
        try:
            dbapi = importlib.import_module(f"{package.replace('-', '_')}.dbapi")
            connection: Connection = dbapi.connect(**self._driver.arguments(self._parts), autocommit=True)
        except ImportError:
            raise InputError("Reading {what} needs the package {package}.", "Install it: pip install {package}.",
                             what=self.label, package=package) from None  # fmt: skip
        return connection


def _address(uri: str, driver: Driver) -> tuple[Parts, str, str]:
    """(parts, SQL, label). Raises InputError where it holds a secret, or names neither a table nor one SELECT."""
    try:
        parts = urlsplit(uri)
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
    except ValueError:
        raise InputError("This is not a database address.",
                         "As in adbc+snowflake://account/database?table=schema.name.") from None  # fmt: skip
    if parts.password is not None or any(_SECRET.search(name) for name in given):
        raise InputError("A database address must not hold a password.", _HINT)
    table, query = given.pop("table", ""), given.pop("query", "").strip()
    if bool(table) == bool(query):
        raise InputError(
            "A database address names one table or one query.", "Add ?table=schema.name or ?query=SELECT …."
        )
    quote = driver.quote
    name = ".".join(f"{quote}{part.replace(quote, quote * 2)}{quote}" for part in table.split("."))
    host = parts.netloc.rpartition("@")[2]
    user = unquote(parts.username or "") or os.environ.get("ADBC_USERNAME", "")
    last = unquote(parts.path.rstrip("/").rpartition("/")[2]) or parts.hostname or ""
    select = _one_select(query, driver.dialect) if query else f"SELECT * FROM {name}"  # noqa: S608 (quoted)
    return Parts(host, unquote(parts.path), user, given), select, f"{last}:{table or 'query'}"


def _one_select(query: str, dialect: str) -> str:
    """The query as it is. Raises InputError where it is not one statement that only reads."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    query = query.rstrip("; \n\t")
    try:
        tokens = sqlglot.tokenize(query, read=dialect or None)
    except SqlglotError:
        tokens = []
    kinds = [token.token_type.name for token in tokens]
    reads = bool(kinds) and kinds[0] in ("SELECT", "WITH", "VALUES", "L_PAREN")
    if not reads or "SEMICOLON" in kinds or _CHANGES & set(kinds):
        raise InputError(
            "The query is not one SELECT.", "Leave out what changes data; put names such as update in quotes."
        )
    return query


def _bare(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in schema])


def _explained(label: str, error: Any) -> InputError:
    status = getattr(getattr(error, "status_code", None), "name", "")
    if status in _SAID:
        template, hint = _SAID[status]
        return InputError(template, hint, source=label)
    return InputError(
        "The database of {source} cannot be reached, does not let this user in, or broke off.",
        "Check host, path and user; credentials come from the environment.", source=label,
    )  # fmt: skip


def _changed(label: str) -> InputError:
    return InputError(
        "A column of {source} holds values of several kinds, or changed while it was read.",
        "Read it as text: ?query=SELECT CAST(column AS TEXT) AS column, … FROM table.", source=label,
    )  # fmt: skip
