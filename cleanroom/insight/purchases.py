"""The merchant's purchases as two DuckDB tables in memory, read once, in batches, from any source.

`days(id, day, money, paid)`: one row a customer and day; `payers(id, first, last, frequency, money)`: one row a
customer who paid. Customers are numbers here: identities are digested while reading and dropped afterwards. Nothing is
written to disk and nothing is asked of the network.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cleanroom.errors import BadData
from connectors.identity import DEFAULT_PROFILE, profile
from connectors.source import Source
from connectors.values import parse_amount, parse_date, parse_number

if TYPE_CHECKING:
    import duckdb

Grain = Literal["orders", "members"]


@dataclass(frozen=True)
class Layout:
    """Which columns (by header) say what.

    grain: 'orders' (a row is a purchase) or 'members' (a row is a person with totals); kind: the customer column's
    identity kind, or 'handle' for a number of the merchant's own; day: of the purchase, or of the last one; orders
    and first (members only): number of purchases, day of the first.
    """

    grain: Grain
    customer: str
    kind: str
    day: str
    amount: str | None = None
    orders: str | None = None
    first: str | None = None


@dataclass(frozen=True)
class Purchases:
    """What was read: the tables' connection, the day they end, and how many rows were used or lost, and why."""

    connection: "duckdb.DuckDBPyConnection"
    layout: Layout
    as_of: date
    rows: int
    used: int
    losses: dict[str, int]
    customers: int
    payers: int


def read(source: Source, layout: Layout, as_of: date | None, today: date) -> Purchases:
    """All purchases up to `as_of` (None: up to the last day in the file that is not after `today`).

    Raises InputError from the source, BadData where no row can be used.
    """
    connection = _connect()
    losses: Counter[str] = Counter()
    rows = 0
    connection.execute(
        "CREATE TABLE seen (customer BLOB, day DATE, money BIGINT, orders BIGINT, first DATE, paid BOOL)"
    )
    for batch in source.batches():
        rows += len(batch.rows)
        typed = _typed(batch.table, layout, as_of or today, losses)
        connection.register("typed", typed)
        connection.execute("INSERT INTO seen SELECT customer, day, money, orders, first, paid FROM typed")
        connection.unregister("typed")
    losses.update(item.reason for item in source.rejected)
    rows += len(source.rejected)
    last: date | None = _one(connection, "SELECT max(day) FROM seen")
    if last is None:
        raise BadData(
            "No row of {name} has a customer, a date and an amount.",
            "See `cleanroom data doctor`.",
            name=source.label,
        )
    _people(connection, layout.grain)
    payers = _one(connection, "SELECT count(*) FROM payers")
    if not payers:
        raise BadData("Nobody in {name} has paid.", "Check which column is the amount.", name=source.label)
    used, customers = (_one(connection, sql) for sql in ("SELECT count(*) FROM seen", "SELECT count(*) FROM people"))
    connection.execute("DROP TABLE seen; DROP TABLE people")
    return Purchases(connection, layout, as_of or last, rows, used, dict(losses), customers, payers)


def _connect() -> "duckdb.DuckDBPyConnection":
    import duckdb

    connection = duckdb.connect(":memory:")
    connection.execute("SET temp_directory = ''; SET enable_external_access = false; SET lock_configuration = true")
    return connection


def _typed(table: pa.RecordBatch, layout: Layout, until: date, losses: Counter[str]) -> pa.Table:
    """The usable rows of a batch as columns of the table `seen`; the others are counted by their first reason."""
    rows = table.num_rows
    used = profile(DEFAULT_PROFILE.get(layout.kind, "openid/1"))  # a handle is opaque, as an openid is
    person = used.normalise(table.column(layout.customer))
    day = parse_date(table.column(layout.day))
    money = parse_amount(table.column(layout.amount)) if layout.amount else pa.nulls(rows, pa.int64())
    count = pc.cast(pc.round(parse_number(table.column(layout.orders))), pa.int64()) if layout.orders else None
    first = parse_date(table.column(layout.first)) if layout.first else pa.nulls(rows, pa.date32())
    reasons = (
        (person.reason, pc.is_null(person.digest)),
        ("no date", pc.is_null(day)),
        ("after the report's day", pc.fill_null(pc.greater(day, pa.scalar(until)), False)),
        ("no amount", pc.is_null(money) if layout.amount else None),
        ("no count", pc.is_null(count) if count is not None else None),
    )
    good = np.ones(rows, np.bool_)
    for name, flags in reasons:
        if flags is None:
            continue
        lost = good & flags.to_numpy(zero_copy_only=False)
        if isinstance(name, str):
            losses[name] += int(lost.sum())
        else:
            losses.update(name.filter(pa.array(lost)).to_pylist())
        good &= ~lost
    paid = pc.greater(money, 0) if layout.amount else pa.array(np.ones(rows, np.bool_))
    if count is not None:
        paid = pc.and_(paid, pc.greater(count, 0))
    columns = {
        "customer": person.digest.cast(pa.binary()),
        "day": day,
        "money": money,
        "orders": pa.nulls(rows, pa.int64()) if count is None else count,
        "first": first,
        "paid": paid,
    }
    return pa.table(columns).filter(pa.array(good))


def _people(connection: "duckdb.DuckDBPyConnection", grain: Grain) -> None:
    """Number the customers, then one row a customer and day, then one row a payer."""
    connection.execute(
        "CREATE TABLE people AS SELECT customer, row_number() OVER (ORDER BY customer) AS id"
        " FROM (SELECT DISTINCT customer FROM seen)"
    )
    if grain == "orders":
        connection.execute(
            "CREATE TABLE days AS SELECT id, day, sum(coalesce(money, 0))::BIGINT AS money, bool_or(paid) AS paid"
            " FROM seen JOIN people USING (customer) GROUP BY id, day"
        )
        connection.execute(
            "CREATE TABLE payers AS SELECT id, min(day) FILTER (paid) AS first, max(day) FILTER (paid) AS last,"
            " count(*) FILTER (paid) AS frequency, sum(money)::BIGINT AS money"
            " FROM days GROUP BY id HAVING bool_or(paid)"
        )
        return
    connection.execute(  # a person's further rows are older states of the same member: the latest one counts
        "CREATE TABLE payers AS SELECT id, arg_max(first, (day, money)) AS first, max(day) AS last,"
        " arg_max(orders, (day, money)) AS frequency, arg_max(money, (day, money)) AS money"
        " FROM seen JOIN people USING (customer) WHERE paid GROUP BY id"
    )


def _one(connection: "duckdb.DuckDBPyConnection", sql: str) -> Any:
    """The one value of a query's one row."""
    row = connection.execute(sql).fetchone()
    return row[0] if row else None
