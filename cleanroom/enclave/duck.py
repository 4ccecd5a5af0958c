"""The engine inside the enclave process: DuckDB in memory, over Arrow tables, with nothing but regenerated SQL.

DuckDB has no files, no extensions, no settings that can be changed and no sight of Python's variables. Its own error
texts may hold values, so none is ever passed on.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.enclave import products, sql, subtraction, tables
from cleanroom.enclave.checks import check_columns
from cleanroom.enclave.coding import Coding, narrow
from cleanroom.enclave.errors import LimitReached, taken_again
from cleanroom.enclave.query import COUNTED, PEOPLE, Groups, Query, Where
from cleanroom.errors import UsageError

_PIECE = 1 << 16
_LINED_UP = ""
"""In place of a dataset's name: rows of several, lined up elsewhere."""


def connect(memory: int, threads: int) -> duckdb.DuckDBPyConnection:
    """A connection that can reach nothing but the tables registered with it."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": threads,
        "memory_limit": f"{max(memory, 1 << 20) >> 10}KiB",
        "temp_directory": "",
        "autoload_known_extensions": "false",
        "autoinstall_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_unsigned_extensions": "false",
        "allow_persistent_secrets": "false",
        "allow_unredacted_secrets": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET enable_external_access=false")
    connection.execute("SET lock_configuration=true")
    return connection


class DuckEngine:
    """An `Engine` for rows that fit one machine's memory: load, match, then any number of queries."""

    def __init__(self, memory: int, threads: int, seconds: float) -> None:
        """`memory`: bytes for rows and DuckDB together; `seconds`: the most that a match or a query may take."""
        self._budget, self._threads, self._seconds = tables.Budget(memory), threads, seconds
        self._deadline = 0.0
        self._loaded: dict[str, tables.Loaded] = {}
        self._slots: dict[str, tables.Slots] = {}
        self._matched: Coding | None = None
        self._positions: dict[str, Callable[[], NDArray[np.int64]]] = {}
        self._addressed = ""
        self._connection: duckdb.DuckDBPyConnection | None = None

    def load(self, dataset: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Take in a dataset's rows: `token`, `token#1` and so on, and columns `<dataset>.…`. Returns how many rows."""
        if dataset in self._loaded or self._matched is not None:
            raise UsageError("{dataset} is loaded already.", "Start an enclave for each match.", dataset=dataset)
        loaded = self._loaded[dataset] = self._read(schema, batches, dataset)
        return loaded.rows

    def load_matched(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> int:
        """Take in rows that a protocol has matched already, one a person. Returns how many.

        With their tokens they are rows of `match` to come, of as many datasets as it names: in between some can be
        dropped.
        """
        if self._loaded or self._matched is not None:
            raise UsageError("The enclave has rows already.", "Start an enclave for each match.")
        loaded = self._read(schema, batches)
        if loaded.tokens:
            self._loaded[_LINED_UP] = loaded
            return loaded.rows
        self._slots, rows = loaded.slots, loaded.rows
        self._positions = dict.fromkeys(loaded.slots, loaded.kept)
        self._keep({name: loaded.plain_column(name) for name in loaded.schema.names}, loaded.schema, rows)
        return rows

    def drop(self, tokens: NDArray[np.uint8]) -> dict[str, int]:
        """Leave out the rows of these tokens (uint8[n, 16]) before the match; dataset → rows left out."""
        if self._matched is not None:
            raise UsageError("The match is done; no tokens can be left out of it.", "Leave them out first.")
        words = np.ascontiguousarray(tokens).view(np.uint64).reshape(-1, 2)
        return {dataset: loaded.drop(words) for dataset, loaded in self._loaded.items()}

    def match(self, left: str, right: str, *others: str, addressed: str = "") -> int:
        """Line up datasets by token; how many people are in all. Raises BadMessage for a token given twice.

        addressed: the dataset whose rows may be asked for by a condition (`positions`).

        By several identities, of two datasets, each row counts once, by the first that hits: see `_pairs`.
        """
        names = (left, right, *others)
        if self._matched is not None or len(set(names)) != len(names):
            raise UsageError("An enclave matches two or more datasets, once.", "Start an enclave for each match.")
        self._addressed = addressed
        if (lined_up := self._loaded.pop(_LINED_UP, None)) is not None:
            return self._match_lined_up(names, lined_up)
        sides = {name: self._dataset(name) for name in names}
        self._loaded.clear()
        fields = [field for loaded in sides.values() for field in loaded.schema]
        columns: dict[str, pa.ChunkedArray] = {}
        for (dataset, loaded), chosen in zip(sides.items(), self._lined_up(tuple(sides.values())), strict=True):
            rows = tables.as_array(chosen)
            columns |= {name: loaded.plain_column(name).take(rows) for name in loaded.schema.names}
            self._positions[dataset] = partial(np.asarray, chosen)
            self._slots |= loaded.slots
            people = len(chosen)
        tables.check_distinct(columns)
        self._keep(columns, pa.schema(fields), people)
        return people

    def _match_lined_up(self, names: Sequence[str], loaded: tables.Loaded) -> int:
        """Rows that were lined up elsewhere, as those of all these datasets: their positions are the places in them."""
        self._budget.held -= loaded.without_tokens()
        self._slots, people = loaded.slots, loaded.rows - len(loaded.dropped)
        self._positions = dict.fromkeys(names, loaded.kept)
        self._keep({name: loaded.kept_column(name) for name in loaded.schema.names}, loaded.schema, people)
        return people

    def positions(self, dataset: str, where: Where = ()) -> pa.Int64Array:
        """Which rows of `dataset` are matched and meant: positions in the order it was loaded, ascending."""
        matched = self._ready()
        if dataset not in self._positions or (where and dataset != self._addressed):
            raise UsageError("The enclave has no dataset {dataset}.", dataset=dataset)
        if where:
            query = Query((), (), where)
            check_columns(query, matched.kinds, {}, {})
            with self._duckdb() as connection:
                members = connection.sql(sql.memberships(matched.coded(query), dataset)).to_arrow_table()
            return tables.as_array(np.sort(tables.as_numbers(members.column("position").cast(pa.int64()))))
        try:
            found = self._positions[dataset]()
            return tables.as_array(np.sort(found) if (found[1:] < found[:-1]).any() else found)
        except MemoryError:
            raise self._budget.exceeded() from None

    def run(self, query: Query, public_keys: Mapping[str, int]) -> Groups:
        """See `Engine.run`."""
        matched = self._ready()
        check_columns(query, matched.kinds, self._slots, public_keys)
        coded = matched.coded(query)
        with self._duckdb() as connection:
            table = _typed(connection.sql(sql.groups(coded)).to_arrow_table(), query, matched)
            ciphertexts = {
                dataset: products.group_products(
                    public_keys[dataset],
                    self._slots[dataset],
                    self._places(connection, coded, dataset),
                    len(table),
                    self._look,
                )
                for dataset in query.slots
            }
        return Groups(table, ciphertexts)

    def subtractable(self, query: Query, earlier: Sequence[Query], k: int) -> bool:
        """See `Engine.subtractable`."""
        matched = self._ready()
        asked = (query, *earlier)
        for each in asked:
            check_columns(Query(each.by, (), each.where), matched.kinds, {}, {})
        names = {name for each in asked for name in (*each.by, *each.conditions)}
        cells = Query(tuple(sorted(names)))
        with self._duckdb() as connection:
            table = _typed(connection.sql(sql.groups(cells)).to_arrow_table(), cells, matched)
            return subtraction.subtractable(table, query, earlier, k, self._look)

    def _read(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch], dataset: str | None = None) -> tables.Loaded:
        try:
            return tables.read(schema, batches, self._budget, dataset)
        except MemoryError:
            raise self._budget.exceeded() from None

    def _keep(self, columns: dict[str, pa.ChunkedArray], kinds: pa.Schema, rows: int) -> None:
        """The matched rows as DuckDB's own table, each column let go when it is coded."""
        coding, coded = Coding(), {}
        for name in list(columns):
            kind, column = kinds.field(name).type, columns.pop(name)
            coded[name] = coding.code(name, column if len(column) else pa.chunked_array([], kind))
            coding.kinds[name] = kind
        for dataset in (*self._slots, *([self._addressed] if self._addressed not in ("", *self._slots) else [])):
            coded[sql.position_column(dataset)] = narrow(
                pa.chunked_array([tables.as_array(self._positions[dataset]())])
            )
        if not coded:  # rows are counted, and a row needs a column
            coded[sql.position_column("")] = tables.as_array(np.zeros(rows, np.int8))
        with self._duckdb() as connection:
            connection.register(sql.ROWS, pa.table(coded))
            connection.execute(sql.keep())
            connection.unregister(sql.ROWS)
        self._matched = coding
        self._budget.held = sum(slots.nbytes for slots in self._slots.values())

    def _lined_up(self, loaded: Sequence[tables.Loaded]) -> list[NDArray[np.int64]]:
        """For each dataset the position of every person that all have, in one order of persons."""
        if len(loaded) == 2:
            pairs = self._pairs(dict(zip((sql.LEFT, sql.RIGHT), loaded, strict=True)))
            return [tables.as_numbers(pairs.column(side)) for side in (sql.LEFT, sql.RIGHT)]
        if any(len(each.tokens) != 1 for each in loaded):
            raise UsageError("More than two datasets are lined up by one identity only.")
        first, *others = loaded
        high, low, position = _distinct(first)
        found = [position]
        for other in others:
            with self._duckdb() as connection:
                pairs = _joined(connection, {sql.LEFT: (high, low, np.arange(len(high))), sql.RIGHT: _distinct(other)})
            kept, theirs = (tables.as_numbers(pairs.column(side)) for side in (sql.LEFT, sql.RIGHT))
            high, low, found = high[kept], low[kept], [*(positions[kept] for positions in found), theirs]
        return found

    def _pairs(self, sides: Mapping[str, tables.Loaded]) -> pa.Table:
        """Columns `left` and `right`: the positions of each matched person.

        By one identity after the other, each among the rows of both sides that are left. Within one a row has one
        partner at most, since no token stands twice on a side; so nothing depends on the order of rows.
        """
        kinds = len(sides[sql.LEFT].tokens)
        if len(sides[sql.RIGHT].tokens) != kinds:
            raise UsageError("The two datasets do not have tokens of as many identities.")
        free = {side: np.ones(loaded.rows if kinds > 1 else 0, np.bool_) for side, loaded in sides.items()}
        found: list[pa.Table] = []
        with self._duckdb() as connection:
            for kind in range(kinds):
                rows = {side: _distinct(loaded) for side, loaded in sides.items()}
                for side in sides if kind else ():
                    free[side][tables.as_numbers(found[-1].column(side))] = False
                    rows[side] = _chosen(rows[side], free[side][rows[side][2]])
                found.append(_joined(connection, rows))
        return pa.concat_tables(found)

    def _places(self, connection: duckdb.DuckDBPyConnection, query: Query, dataset: str) -> NDArray[np.int64]:
        """int64[rows of dataset]: each row's group, -1 where the row is not matched."""
        places = np.full(self._slots[dataset].rows, -1, np.int64)
        members = connection.sql(sql.memberships(query, dataset)).to_arrow_table()
        places[tables.as_numbers(members.column("position").cast(pa.int64()))] = tables.as_numbers(
            members.column(sql.GROUP).cast(pa.int64())
        )
        return places

    def _dataset(self, name: str) -> tables.Loaded:
        if name not in self._loaded:
            raise UsageError("The enclave has no dataset {dataset}.", dataset=name)
        return self._loaded[name]

    def _ready(self) -> Coding:
        if self._matched is None:
            raise UsageError("There are no matched rows in the enclave yet.", "Load and match first.")
        return self._matched

    @contextmanager
    def _duckdb(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """The connection, for one piece of work, which ends at the limits of time and memory."""
        self._connection = connection = self._connection or connect(self._budget.left, self._threads)
        self._deadline = time.monotonic() + self._seconds
        timer = threading.Timer(self._seconds, connection.interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield connection
        except duckdb.InterruptException:
            raise self._too_slow() from None
        except (duckdb.OutOfMemoryException, MemoryError):
            raise self._budget.exceeded() from None
        finally:
            timer.cancel()

    def _look(self) -> None:
        if time.monotonic() > self._deadline:
            raise self._too_slow()

    def _too_slow(self) -> LimitReached:
        return LimitReached(
            "The query did not end within {seconds} seconds.",
            "Ask for fewer columns, or give the enclave more time.",
            seconds=f"{self._seconds:g}",
        )


Halves = tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.int64]]


def _distinct(loaded: tables.Loaded) -> Halves:
    """The rows that take part, by the first identity left. Raises BadMessage for a token given twice."""
    rows = loaded.token_halves()
    _check_unique(loaded.dataset, *rows[:2])
    return rows


def _joined(connection: duckdb.DuckDBPyConnection, sides: Mapping[str, Halves]) -> pa.Table:
    """Columns `left` and `right`: the positions of rows of equal tokens."""
    for side, rows in sides.items():
        columns = [tables.as_array(values) for values in rows]
        connection.register(side, pa.table(columns, names=[*sql.TOKEN_HALVES, "position"]))
    pairs = connection.sql(sql.pairs()).to_arrow_table()
    for side in sides:
        connection.unregister(side)
    return pairs


def _chosen(rows: Halves, wanted: NDArray[np.bool_]) -> Halves:
    high, low, position = rows
    return high[wanted], low[wanted], position[wanted]


def _check_unique(dataset: str, high: NDArray[np.uint64], low: NDArray[np.uint64]) -> None:
    """Raise BadMessage where a token stands twice: one person would count more than once."""
    if _ascending(high):
        return
    ordered = np.sort(high)
    again = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    rows = np.flatnonzero(np.isin(high, again)) if len(again) else again
    if len(rows) and len(np.unique(np.stack([high[rows], low[rows]], axis=1), axis=0)) < len(rows):
        raise taken_again(dataset)


def _ascending(high: NDArray[np.uint64]) -> bool:
    """Whether tokens come in the order of big-endian numbers, none twice, as owners send them: no sort is needed."""
    for start in range(0, len(high), _PIECE):
        ordered = high[start : start + _PIECE + 1].byteswap()
        if (ordered[1:] <= ordered[:-1]).any():
            return False
    return True


def _typed(table: pa.Table, query: Query, coding: Coding) -> pa.Table:
    """The groups with the values that the codes stand for, and sums as int64. Raises LimitReached beyond 64 bits."""
    columns = {name: coding.decoded(name, table.column(name)) for name in query.by}
    numbers = [PEOPLE, *(name for total in query.plain_sums for name in (total, total + COUNTED))]
    try:
        columns |= {name: pc.cast(table.column(name), pa.int64()) for name in numbers}
    except pa.ArrowInvalid:
        raise LimitReached("A sum does not fit 64 bits.", "Narrow the bounds of the summed columns.") from None
    return pa.table(columns)
