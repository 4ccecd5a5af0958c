"""Tables of MaxCompute (ODPS), read in Arrow batches through its tunnel by pyodps; a partitioned one by partition.

Credentials come from the environment only: ALIBABA_CLOUD_ACCESS_KEY_ID, ALIBABA_CLOUD_ACCESS_KEY_SECRET and, for
temporary ones, ALIBABA_CLOUD_SECURITY_TOKEN. Nothing that the service says reaches an error's text. Tested with pyodps
against a server of our own that speaks the protocol; never yet against the service itself.
"""

import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from connectors.columns import Note, Plain, at_least_one, gathered, numbered, repeated
from connectors.errors import InputError
from connectors.partitions import Condition, conditions, known, refuse_none, refuse_unknown
from connectors.source import Batch, Rejected

_SECRET = {
    "access_id",
    "access_key",
    "secret_access_key",
    "access_key_id",
    "access_key_secret",
    "sts_token",
    "password",
}
_OWN = {"endpoint", "tunnel", "partition"}
_SECONDS = 30
_TRIES = 2
_CREDENTIALS = "Put ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET in the environment."
_SAID = (  # codes of https://www.alibabacloud.com/help/en/maxcompute/user-guide/api-errors and …/common-tunnel-errors
    (r"NoSuchPartition|InvalidPartitionSpec", "There is no such partition in {source}.",
     "Look which there are: SHOW PARTITIONS."),
    (r"NoSuchTable|ODPS-0130131|NoSuchObject", "There is no table {source} in MaxCompute.",
     "Check project, schema and table."),
    (r"NoSuchProject|ODPS-0420111", "There is no such project in MaxCompute.", "Check the name and the endpoint."),
    (r"Unauthorized|SignatureNotMatch|InvalidSecurityToken|ODPS-0410\d*|AuthenticationRequestExpired",
     "MaxCompute does not let this user in.", _CREDENTIALS),
    (r"NoPermission|AccessDenied|Forbidden|ODPS-0130013|ODPS-0420095", "This user may not read that.",
     "Ask for the right to read it."),
)  # fmt: skip


@dataclass(frozen=True)
class Address:
    """Where a table is; schema "": the project's only one; asked: of its partitions, by column."""

    project: str
    schema: str
    table: str
    endpoint: str
    tunnel: str
    asked: tuple[Condition, ...]

    @property
    def label(self) -> str:
        """project.table"""
        return ".".join(part for part in (self.project, self.schema, self.table) if part)


class MaxComputeSource:
    """Rows of a table, partition by partition by their names; the first has number 1. Raises InputError.

    uri: odps://project/table, or odps://project/schema/table, with ?endpoint=… (or ODPS_ENDPOINT) and what is asked of
    the partitions: ?dt=20260101, ?dt=20260101..20260131, ?dt=last:1, or ?partition=dt=20260101,hour=03. Partition
    columns are texts behind the others. DATETIME and TIMESTAMP are instants; a DECIMAL without precision is refused.
    """

    def __init__(self, uri: str) -> None:
        self._where = address(uri)
        self.label = self._where.label
        self.rejected: tuple[Rejected, ...] = ()
        client = connected(self._where)
        with service(self._where):
            table = table_of(client, self._where)
            columns = list(table.table_schema.simple_columns)
            self._keys = [column.name for column in table.table_schema.partitions]
            self._partitions = self._asked(table)
        given = pa.schema([(column.name, kind_of(self.label, column)) for column in columns])
        plain = Plain(self.label, given)
        self.notes: list[Note] = plain.notes
        self._stored: pa.Schema = plain.schema
        self._names = list(plain.schema.names)
        self.schema: pa.Schema = pa.schema([*plain.schema, *((key, pa.string()) for key in self._keys)])

    def batches(self) -> Iterator[Batch]:
        """All rows, numbered from 1."""
        return at_least_one(self.label, numbered(gathered(self._rows(), self.schema)))

    def _asked(self, table: Any) -> list[tuple[str, ...]]:
        """The values of the partitions that are asked for, in their order. Raises InputError where none is."""
        refuse_unknown(self._where.asked, self._keys, self.label)
        if not self._keys:
            return [()]
        if not self._where.asked:
            raise InputError(
                "The table {source} is parted by {columns}, and no partition is asked for.",
                "As in ?dt=20260101, ?dt=20260101..20260131 or ?dt=last:1.",
                source=self.label, columns=", ".join(self._keys),
            )  # fmt: skip
        found = [tuple(str(one.partition_spec[key]) for key in self._keys) for one in table.partitions]
        for condition in sorted(self._where.asked, key=lambda one: self._keys.index(one.column)):
            place = self._keys.index(condition.column)
            chosen = condition.chosen(values[place] for values in found)
            found = [values for values in found if values[place] in chosen]
        if not found:
            raise refuse_none(self.label)
        return sorted(found)

    def _rows(self) -> Iterator[pa.RecordBatch]:
        client = connected(self._where)
        for values in self._partitions:
            with service(self._where):
                spec = ",".join(f"{key}={value}" for key, value in zip(self._keys, values, strict=True))
                session = tunnel_of(client).create_download_session(
                    self._where.table, partition_spec=spec or None, schema=self._where.schema or None, timeout=_SECONDS
                )
            yield from self._of(session, values)

    def _of(self, session: Any, values: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """The rows of one partition; a stream that ends too early is an error, never fewer rows."""
        if not session.count:
            return
        with service(self._where):
            reader = session.open_arrow_reader(0, session.count, columns=self._names)
        read = 0
        with closing(reader):
            while read < session.count:
                with service(self._where):
                    batch = reader.read_next_batch()
                    if batch is None:
                        raise EOFError
                    batch.validate(full=True)
                    columns = [pc.cast(batch.column(field.name), field.type) for field in self._stored]
                read += batch.num_rows
                told = [repeated(known(value), batch.num_rows) for value in values]
                yield pa.RecordBatch.from_arrays([*columns, *told], schema=self.schema)


def address(uri: str) -> Address:
    """The parts of a URI. Raises InputError where something is missing, or a secret stands in it."""
    parts = urlsplit(uri)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.username or parts.password or _SECRET & {name.lower() for name in given}:
        raise InputError("An address of a table must not hold a key.", _CREDENTIALS)
    names = [name for name in parts.path.split("/") if name]
    asked = {name: wanted for name, wanted in given.items() if name not in _OWN}
    for one in re.split("[,/]", given.get("partition", "")) if "partition" in given else ():
        name, _, wanted = one.partition("=")
        asked[name.strip()] = wanted
    if not parts.netloc or len(names) not in (1, 2):
        raise InputError("This is not an address of a table in MaxCompute.",
                         "As in odps://project/table?dt=20260101&endpoint=https://….")  # fmt: skip
    endpoint = given.get("endpoint") or os.environ.get("ODPS_ENDPOINT", "")
    if urlsplit(endpoint).scheme not in ("http", "https"):
        raise InputError(
            "The address of a table in MaxCompute needs the endpoint of its region.",
            "As in &endpoint=https://service.cn-hangzhou.maxcompute.aliyun.com/api, or in ODPS_ENDPOINT.",
        )  # fmt: skip
    tunnel = given.get("tunnel") or os.environ.get("ODPS_TUNNEL_ENDPOINT", "")
    schema = names[0] if len(names) == 2 else ""
    return Address(parts.netloc, schema, names[-1], endpoint, tunnel, conditions(asked))


def connected(where: Address) -> Any:
    """A client of pyodps; nothing is asked of the service yet. Raises InputError without pyodps or credentials."""
    try:
        from odps import ODPS
    except ImportError:
        raise InputError("Reading {what} needs the package {package}.", "Install it: pip install {package}.",
                         what="odps://", package="pyodps") from None  # fmt: skip
    logging.getLogger("odps").setLevel(logging.WARNING)  # at the level of info it writes tokens
    key, secret = (os.environ.get(f"ALIBABA_CLOUD_ACCESS_KEY_{part}", "") for part in ("ID", "SECRET"))
    if not key or not secret:
        raise InputError("There are no credentials for MaxCompute.", _CREDENTIALS)
    with service(where):
        return ODPS(
            key, secret, where.project, where.endpoint, schema=where.schema or None,
            tunnel_endpoint=where.tunnel or None, sts_token=os.environ.get("ALIBABA_CLOUD_SECURITY_TOKEN"),
            logview_host=where.endpoint,  # else it asks the service for one
        )  # fmt: skip


def table_of(client: Any, where: Address) -> Any:
    """The table, with its columns loaded."""
    table = client.get_table(where.table, schema=where.schema or None)
    table.reload()
    return table


def tunnel_of(client: Any) -> Any:
    """The table tunnel of a client."""
    from odps.tunnel import TableTunnel

    return TableTunnel(client)


@contextmanager
def service(where: Address) -> Iterator[None]:
    """Within it pyodps waits and tries for so long and no longer, times are UTC, and what fails is an InputError."""
    from odps.config import option_context
    from odps.errors import BaseODPSError
    from odps.tunnel.pb.errors import DecodeError

    said = {
        "connect_timeout": _SECONDS, "read_timeout": 4 * _SECONDS, "retry_times": _TRIES, "local_timezone": "UTC",
        "use_legacy_logview": True,
    }  # fmt: skip
    try:
        with option_context(said):
            yield
    except BaseODPSError as error:
        raise _meaning(where, type(error).__name__, error.code or "") from None
    except (pa.ArrowException, OSError, EOFError, ValueError, DecodeError, MemoryError):
        raise _meaning(where, "", "") from None


def _meaning(where: Address, kind: str, code: str) -> InputError:
    """What an error of pyodps means, by its class and the service's code."""
    for codes, template, hint in _SAID:
        if re.search(rf"\b(?:{codes})\b", f"{kind} {code}"):
            return InputError(template, hint, source=where.label)
    if shown := re.match(r"ODPS-\d{7}|[A-Z][A-Za-z]{2,40}$", code):
        return InputError(
            "MaxCompute refused {source} (code {code}).", "Look the code up in MaxCompute's error codes.",
            source=where.label, code=shown.group(),
        )  # fmt: skip
    return InputError(
        "MaxCompute is not reached, or broke off at {source}.",
        "Check endpoint, tunnel and network, then begin again.", source=where.label,
    )  # fmt: skip


def kind_of(label: str, column: Any) -> pa.DataType:
    """The Arrow type in which a column's values come. Raises InputError where the tunnel has none for it."""
    from odps import types
    from odps.tunnel.io.types import odps_type_to_arrow_type

    if isinstance(column.type, types.Decimal) and column.type.precision is None:
        raise InputError(
            "Column {column} of {source} is a DECIMAL without precision; such columns are not read.",
            "Make a view of the table with CAST({column} AS DECIMAL(38, 18)).", column=column.name, source=label,
        )  # fmt: skip
    try:
        kind = odps_type_to_arrow_type(column.type)
    except TypeError:
        raise InputError(
            "Column {column} of {source} is of type {type}; the tunnel gives no such columns.",
            "Make a view of the table without it, or with it as STRING.",
            column=column.name, source=label, type=str(column.type),
        ) from None  # fmt: skip
    instant = pa.types.is_timestamp(kind) and column.type != types.timestamp_ntz
    return pa.timestamp(kind.unit, "UTC") if instant else kind
