"""Events and users folded to one row a user with the standard columns, on their owner's own side.

The sources are read once. Rows are set aside by user (sealed where they are many), and each part is folded by itself:
memory grows with users (about 150 bytes each), not with events. Only SQL generated here reaches DuckDB, which
runs in memory, without files and without the network.
"""

import datetime
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from connectors.arrays import numbers, values_of
from connectors.columns import Note
from connectors.errors import InputError
from connectors.events import LOSSES
from connectors.headers import Kind
from connectors.private_domain import sql
from connectors.private_domain.labelling import Labelling, decoded, rfm
from connectors.private_domain.reading import COMPACT, Levels, Prepared, Reader
from connectors.private_domain.scratch import Scratch
from connectors.private_domain.settings import Settings
from connectors.private_domain.users import COMPACT as USERS
from connectors.private_domain.users import UsersReader
from connectors.source import BATCH_ROWS, Batch, Rejected, Source

if TYPE_CHECKING:
    import duckdb

Headed = tuple[Source, str]
"""A source, and the header of its user."""
_THREADS = 2
_AHEAD = 6
_COUNTED: dict[str, str] = {
    "unparsed": "{count} values of column {column} could not be read and count as unknown.",
    "negative": "{count} values of column {column} are below zero and count as unknown.",
    "missing": "{count} events lack the column {column} that they are about.",
}


class PrivateDomain:
    """One row a user: its identity under its own header, then the standard columns that the sources allow.

    events: tables of events; users: users' tables; each with the header of its user. Nothing is read before something
    is asked for; then all is, once. losses: what was left out, by name; kinds: header → (name, kind), both known after
    the reading. Raises InputError.
    """

    def __init__(self, events: Sequence[Headed], users: Sequence[Headed], as_of: datetime.date,
                 settings: Settings | None = None, *, identity: str = "phone",
                 scratch: Path | None = None) -> None:  # fmt: skip
        """identity: what the user is known by; scratch: a folder in which rows may be set aside, sealed."""
        self.label = events[0][0].label
        self.user = events[0][1]
        self.rejected: Sequence[Rejected] = ()
        self.losses: dict[str, int] = {}
        self.settings = settings or Settings()
        self.events, self.users, self.as_of, self.scratch = events, users, as_of, scratch
        self._identity = identity
        self._result: _Result | None = None
        for source, user in events:
            _refuse_absent(source, (user, self.settings.columns.event, self.settings.columns.time))
        for source, user in users:
            _refuse_absent(source, (user,))

    @property
    def schema(self) -> pa.Schema:
        """The columns there are: known when all has been read."""
        folded = self._folded()
        return decoded(folded.labels.labelled(folded.parts[0].slice(0, 0))).schema

    @property
    def notes(self) -> list[Note]:
        """What was left out, as (template, params)."""
        return [_note(name, count) for name, count in self.losses.items()]

    def batches(self) -> Iterator[Batch]:
        """All users, in no order that means anything; the first has number 1."""
        first, folded = 1, self._folded()
        for coded in folded.parts:
            for start in range(0, coded.num_rows, BATCH_ROWS):
                piece = decoded(folded.labels.labelled(coded.slice(start, BATCH_ROWS)))
                rows = numbers(np.arange(first, first + piece.num_rows, dtype=np.int64))
                yield Batch(rows, piece)
                first += piece.num_rows

    @property
    def kinds(self) -> dict[str, tuple[str, Kind]]:
        """What each column is: its canonical name and kind."""
        found: dict[str, tuple[str, Kind]] = {
            field.name: (field.name, "amount" if pa.types.is_decimal(field.type) else "category")
            for field in self.schema
        }
        return {**found, self.user: (self._identity, "identity")}

    def _folded(self) -> "_Result":
        if self._result is None:
            self._result = _Fold(self).run()
        return self._result


@dataclass(frozen=True)
class _Result:
    """The folded parts in codes, a third of the size of their labels, and what the codes mean."""

    labels: Labelling
    parts: list[pa.RecordBatch]


class _Fold:
    """One reading of all sources and the folding of their parts."""

    def __init__(self, domain: PrivateDomain) -> None:
        self._domain, self._settings = domain, domain.settings
        self._losses: Counter[str] = Counter()
        self._levels = {"level": Levels("level"), "tier": Levels("tier")}
        self._people = UsersReader(self._settings.places)

    def run(self) -> "_Result":
        folder = self._domain.scratch
        with Scratch(COMPACT, folder) as events, Scratch(USERS, folder) as users:
            for source, user in self._domain.users:
                for batch in source.batches():
                    users.add(*self._people.prepare(batch, user, self._losses))
            for source, user in self._domain.events:
                for prepared in self._prepared(source, user):
                    events.add(self._coded(prepared), prepared.parts)
            parts = self._parts(events, users)
        return self._finish(parts)

    def _prepared(self, source: Source, user: str) -> Iterator[Prepared]:
        """In the order of the batches; threads help, since most of the work is Arrow's."""
        reader = Reader(self._settings, user, self._domain.as_of)
        waiting: deque[Future[Prepared]] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            for batch in source.batches():
                waiting.append(pool.submit(reader.prepare, batch))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def _coded(self, prepared: Prepared) -> pa.RecordBatch:
        """The rows with the codes of their levels."""
        self._losses.update(prepared.losses)
        if not prepared.levels:
            return prepared.rows
        codes = values_of(prepared.rows.column("c")).copy()
        for column, (rows, texts) in prepared.levels.items():
            codes[rows] = self._levels[column].codes(texts)
        return prepared.rows.set_column(COMPACT.get_field_index("c"), COMPACT.field("c"), numbers(codes))

    def _parts(self, events: Scratch, users: Scratch) -> list[pa.RecordBatch]:
        """Each part folded. Where one of the two was set aside in parts, the other is read in the same ones."""
        count = max(events.seal(), users.seal())
        connection = _connection()
        try:
            return [
                batch
                for number in range(count)
                for batch in _fold_part(connection, events.part(number, count), users.part(number, count))
            ]
        finally:
            connection.close()

    def _finish(self, parts: list[pa.RecordBatch]) -> "_Result":
        """The parts with RFM classes, and how their codes are labelled."""
        self._domain.losses = {name: count for name, count in self._losses.items() if count}
        if not any(part.num_rows for part in parts):
            raise InputError("{source} has column names but no rows.", "Export it again with at least one row.",
                             source=self._domain.label)  # fmt: skip
        people = self._people
        labels = Labelling(
            self._domain.user,
            bool(self._domain.users),
            frozenset(people.seen),
            {name: levels.labels() for name, levels in people.levels.items()},
            {"member_level": self._levels["level"].labels(), "credit": self._levels["tier"].labels()},
            tuple(place.column for place in self._settings.places),
            len(self._settings.campaigns),
        )
        classes = rfm(parts)
        return _Result(labels, [part.append_column("rfm", numbers(next(classes))) for part in parts])


def _fold_part(connection: "duckdb.DuckDBPyConnection", events: pa.Table, users: pa.Table) -> list[pa.RecordBatch]:
    connection.register("events", events)
    connection.register("users", users)
    table = connection.sql(sql.fold()).to_arrow_table()
    connection.unregister("events")
    connection.unregister("users")
    found: list[pa.RecordBatch] = table.combine_chunks().to_batches()
    return found


def _connection() -> "duckdb.DuckDBPyConnection":
    import duckdb

    return duckdb.connect(
        ":memory:",
        config={
            "temp_directory": "",
            "python_enable_replacements": "false",
            "autoload_known_extensions": "false",
            "preserve_insertion_order": "false",
            "threads": _THREADS,
        },
    )


def _refuse_absent(source: Source, names: Sequence[str]) -> None:
    for name in names:
        if name not in source.schema.names:
            raise InputError(
                "There is no column {column} in {source}.", "Its columns: {columns}.",
                column=name, source=source.label, columns=", ".join(source.schema.names),
            )  # fmt: skip


def _note(name: str, count: int) -> Note:
    reason, _, column = name.partition(":")
    if column:
        return _COUNTED[reason], {"count": count, "column": column}
    return LOSSES[name], {"count": count}
