"""What an accepted statement means, by two ways that share nothing: DuckDB over people with values, and the `Ask` alone
over the cells of the same people.

There is one person in every crossing of the columns' values, and some whom the other side does not have. Categories are
enumerations in the contract's order, as questions are laid out; buckets hold raw numbers and days, several within a
bucket where no bucket is shown, one where one is. Where a text names a bucket by its label, the column holds labels.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.gate.ask import Ask
from tests.gate.parts import CITIES, JOINED, SCHEMA, TIERS, VISITS

Value = Any
_DAYS = [dt.date(2026, 1, 1), dt.date(2025, 12, 31), dt.date(2026, 6, 30), dt.date(2026, 7, 1), dt.date(2030, 1, 1)]
_RAW: dict[str, list[tuple[Value, int]]] = {
    "tier": [(label, cell) for cell, label in enumerate(TIERS[:4])] + [(None, 4)],
    "city": [(label, cell) for cell, label in enumerate(CITIES[:3])] + [(None, 3)],
    "visits": [(0.0, 0), (30.99, 0), (31.0, 1), (60.5, 1), (61.0, 2), (500.0, 2), (None, 4)],
    "joined": [(day, cell) for day, cell in zip(_DAYS, (1, 0, 1, 2, 2), strict=True)] + [(None, 4)],
}
"""Values of each column, and the cell that each is in."""
_ONE = {name: [pair for at, pair in enumerate(pairs) if pair[1] not in [cell for _, cell in pairs[:at]]]
        for name, pairs in _RAW.items()}  # fmt: skip
"""One value a cell."""
_LABELS = {"tier": TIERS, "city": CITIES, "visits": VISITS, "joined": JOINED}
_OWNERS = {"tier": "crm", "city": "users", "visits": "users", "joined": "users"}
_TYPES = {"visits": "DOUBLE", "joined": "DATE"}
NAMES = list(_RAW)


class Wrong(AssertionError):
    """The gate's reading is not what the text means, or goes beyond the contract."""


@dataclass(frozen=True)
class World:
    """People by their values, in DuckDB and as cells. labelled: buckets hold labels instead of raw values."""

    values: dict[str, list[tuple[Value, int]]]
    labelled: bool = False

    @cached_property
    def cells(self) -> dict[str, NDArray[np.int64]]:
        """The cell of each matched person in each column, and `spend`."""
        crossed = list(product(*([cell for _, cell in self.values[name]] for name in NAMES)))
        found = {name: np.array([row[at] for row in crossed]) for at, name in enumerate(NAMES)}
        return found | {"spend": np.arange(len(crossed)) * 7 % 101 - 13}

    @cached_property
    def database(self) -> duckdb.DuckDBPyConnection:
        """Tables crm, users, and matched, which also takes `crm.tier` for a column: one row a person each."""
        connection = duckdb.connect(config={"threads": 1})
        connection.execute("SET enable_external_access = false")
        matched = len(self.cells["spend"])
        columns: dict[str, Any] = {"person": range(matched), "spend": self.cells["spend"]}
        for name in NAMES:
            of = {cell: self._shown(name, value, cell) for value, cell in self.values[name]}
            raw = [value for value, _ in self.values[name]]
            places = np.unravel_index(np.arange(matched), [len(self.values[each]) for each in NAMES])[NAMES.index(name)]
            given = [of[int(cell)] for cell in self.cells[name]] if self.labelled else [raw[at] for at in places]
            columns[name] = given
        connection.register("given", pa.table({name: list(values) for name, values in columns.items()}))
        kinds = {name: self._kind(name) for name in NAMES}
        for name, kind in kinds.items():
            if kind == "ENUM":
                kinds[name] = "of_" + name
                texts = ", ".join("'" + label.replace("'", "''") + "'" for label in _LABELS[name])
                connection.execute(f"CREATE TYPE of_{name} AS ENUM ({texts})")
        typed = {name: f"{name}::{kind} AS {name}" for name, kind in (kinds | {"spend": "BIGINT"}).items()}
        sides = {"crm": ["tier", "spend"], "users": ["city", "visits", "joined"]}
        for beyond, (side, names) in enumerate(sides.items(), start=1):
            columns_of = ", ".join(typed[name] for name in names)
            more = f"SELECT person + {matched * beyond}, {', '.join(names)} FROM {side} WHERE person % 3 = 0"
            connection.execute(f"CREATE TABLE {side} AS SELECT person, {columns_of} FROM given")
            connection.execute(f"INSERT INTO {side} {more}")
        structs = ", ".join(
            f"{{{', '.join(f'{name!r}: {side}.{name}' for name in names)}}} AS {side}" for side, names in sides.items()
        )
        both = f"SELECT crm.*, users.* EXCLUDE (person), {structs} FROM crm JOIN users USING (person)"
        connection.execute(f"CREATE TABLE matched AS {both}")
        return connection

    def _kind(self, name: str) -> str:
        return "ENUM" if self.labelled else _TYPES.get(name, "ENUM")

    def _shown(self, name: str, value: Value, cell: int) -> Value:
        return None if value is None else _LABELS[name][cell]

    def people(self, table: str) -> dict[str, NDArray[np.int64]]:
        """Cells of everybody in `table`, of one's own dataset also those whom the other side lacks."""
        if table == "matched":
            return self.cells
        again = np.arange(len(self.cells["spend"])) % 3 == 0
        return {name: np.concatenate([of, of[again]]) for name, of in self.cells.items()}

    def label(self, name: str, cell: int) -> Value:
        """What DuckDB shows of a cell."""
        value = next(value for value, at in self.values[name] if at == cell)
        return self._shown(name, value, cell) if self.labelled else value


MANY, ONE, LABELLED = World(_RAW), World(_ONE), World(_ONE, labelled=True)


def check_names(asked: Ask) -> None:
    """Raises Wrong unless `asked` names the contract's columns and cells alone."""
    fields = {field.name: field for field in SCHEMA.fields}
    own = {name for name, field in fields.items() if asked.table in ("matched", field.dataset)}
    grouped = {name for name in own if fields[name].kind != "amount"}
    amounts = own - grouped
    inside = all(
        name in grouped and cells and set(cells) <= set(range(len(fields[name].labels)))
        for box in asked.where.boxes
        for name, cells in box
    )
    layout = all(0 <= at < len(asked.shown) for at, _ in asked.order)
    layout = layout and (asked.limit is None or 0 <= asked.limit < 10**9)
    shown = all(each.what not in ("sum", "average") or each.name in asked.sums for each in asked.shown)
    shown = shown and all(each.what != "column" or each.name in asked.by for each in asked.shown)
    known = asked.table in ("matched", *SCHEMA.datasets) and set(asked.by) <= grouped and set(asked.sums) <= amounts
    if not (inside and layout and shown and known):
        raise Wrong("beyond the contract")


def judged(sql: str, asked: Ask) -> str:
    """Compare the two meanings: 'compared', or why they cannot be. Raises Wrong where they differ."""
    if any(each.what not in ("column", "people", "sum", "average") for each in asked.shown):
        return "shown from buckets"
    if "unknown'" in sql.casefold():
        return "names the cell of NULL"
    bucket = any(name.partition(".")[2] in _TYPES for name in asked.by)
    why = ""
    for world in (ONE if bucket else MANY, LABELLED):
        try:
            given = world.database.execute(sql).fetchall()
        except (duckdb.Error, RuntimeError) as error:
            why = why or f"DuckDB: {type(error).__name__}"
            continue
        except UnicodeEncodeError:
            return "no Unicode"
        _compare(given, _answered(world, asked), asked, world)
        return "compared"
    return why


def _answered(world: World, asked: Ask) -> list[tuple[Value, ...]]:
    """All groups as the layout shows them, in no order."""
    people = world.people(asked.table)
    meant = np.zeros(len(people["spend"]), np.bool_)
    for box in asked.where.boxes:
        inside = np.ones(len(meant), np.bool_)
        for name, cells in box:
            inside &= np.isin(people[name.partition(".")[2]], cells)
        if (meant & inside).any():
            raise Wrong("boxes overlap")
        meant |= inside
    spend = people["spend"][meant]
    columns = [people[name.partition(".")[2]][meant] for name in asked.by]
    group = np.zeros(len(spend), np.int64)
    for column in columns:
        group = group * 8 + column
    keys, places = np.unique(group, return_inverse=True)
    if not asked.by:
        keys, places = np.zeros(1, np.int64), np.zeros(len(spend), np.int64)
    counts = np.bincount(places, minlength=len(keys))
    sums = np.bincount(places, weights=spend, minlength=len(keys))
    rows = []
    for at, key in enumerate(keys.tolist()):
        cells = {name: key >> 3 * (len(asked.by) - 1 - place) & 7 for place, name in enumerate(asked.by)}
        count, total = int(counts[at]), int(sums[at])
        row: list[Value] = []
        for each in asked.shown:
            if each.what == "column":
                row.append(world.label(each.name.partition(".")[2], cells[each.name]))
            elif each.what == "people":
                row.append(count)
            elif not count:
                row.append(None)
            else:
                row.append(total if each.what == "sum" else round(total / count, 6))
        rows.append(tuple(row))
    return rows


def _compare(given: Sequence[tuple[Value, ...]], answered: list[tuple[Value, ...]], asked: Ask, world: World) -> None:
    """`given` is `answered`, as it is ordered and cut."""
    rounded = [tuple(round(value, 6) if isinstance(value, float) else value for value in row) for row in given]
    most = len(answered) if asked.limit is None else min(asked.limit, len(answered))
    if len(rounded) != most or Counter(rounded) - Counter(answered):
        raise Wrong(f"other groups: {len(rounded)} for {most}")
    ranked = answered
    for at, descending in reversed(asked.order):
        ranked = sorted(ranked, key=lambda row: _rank(row[at], asked.shown[at].name, descending))
    for at, _ in asked.order:
        if [row[at] for row in rounded] != [row[at] for row in ranked[:most]]:
            raise Wrong("another order")


def _rank(value: Value, name: str, descending: bool) -> tuple[bool, float]:
    """As `querying.laid_out` ranks: in the contract's order, those without a value last either way."""
    if value is None:
        return True, 0.0
    column = name.partition(".")[2]
    if isinstance(value, str):
        place = float(_LABELS[column].index(value))
    else:
        place = float(value.toordinal()) if isinstance(value, dt.date) else float(value)
    return False, -place if descending else place
