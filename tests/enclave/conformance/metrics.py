"""Every metric of the registry, of the same made-up persons, from the counts that an engine gives and from pandas'.

The tables are those of a full board: columns stand in the engine as cell numbers, and each table is one question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cleanroom.enclave import tables
from cleanroom.enclave.query import PEOPLE, Query
from cleanroom.insight.linear import Linear
from cleanroom.insight.metric import ALL_WINDOWS, Spent, View, evaluate
from cleanroom.insight.registry import REGISTRY
from cleanroom.insight.tables import Names, Tables
from tests.enclave.conformance.engines import Opened
from tests.insight.microdata import LABELS, persons, tables_of

DATASET = "users"
PERSONS = 3000
_BATCH = 1000


@cache
def judged() -> Tables:
    """What pandas and numpy count."""
    return tables_of(_people())


def counted(opened: Opened, together: int = 1) -> Tables:
    """The same tables, counted by an engine; together: columns that one question may have, so that it serves several
    tables, as margins of its groups."""
    frame, known = _people(), judged()
    columns = {
        f"{DATASET}.{name}": tables.as_array(_codes(frame[name], name) if name in LABELS else frame[name].to_numpy())
        for name in frame.columns
    }
    rows = pa.table({name: column.cast(pa.int64()) for name, column in columns.items()})
    counts: dict[Names, np.ndarray] = {}
    with opened() as engine:
        engine.load_matched(rows.schema, iter(rows.to_batches(_BATCH)))
        for by, served in questions(tuple(known.counts), together).items():
            found = engine.run(Query(tuple(f"{DATASET}.{name}" for name in by)), {}).table
            counts |= {table: _margin(found, table) for table in served}
        amounts = tuple(f"{DATASET}.{name}" for name in known.sums)
        sums = engine.run(Query((), amounts), {}).table.to_pylist()[0]
    return replace(known, counts={table: counts[table] for table in known.counts},
                   sums={name: int(sums[f"{DATASET}.{name}"]) for name in known.sums})  # fmt: skip


def questions(wanted: Sequence[Names], together: int) -> dict[Names, list[Names]]:
    """Columns of a question → the tables that it serves."""
    found: dict[Names, list[Names]] = {}
    for table in sorted(wanted, key=len, reverse=True):
        union = next((by for by in found if len({*by, *table}) <= together), ())
        served = found.pop(union, [])
        found[tuple(sorted({*union, *table}))] = [*served, table]
    return found


def figures(counts: Tables) -> Iterator[tuple[str, Any]]:
    """(metric, all its figures) in every window, with and without persons known only by upload."""
    spent = Spent(cost=5000.0, attributed=12_000.0, incremental=9_000.0, margin=0.4)
    for name, metric in REGISTRY.items():
        found = []
        for window in metric.windows or ALL_WINDOWS[:1]:
            for without in (False, True):
                view = View(counts, window, without, matched=Linear(1200.0), crm=1500, spent=spent)
                found.append(evaluate(metric, view).values)
        yield name, found


@cache
def _people() -> pd.DataFrame:
    return persons(PERSONS)


def _codes(values: pd.Series, name: str) -> np.ndarray:
    return np.asarray(pd.Categorical(values, categories=LABELS[name]).codes, np.int64)


def _margin(groups: pa.Table, table: Names) -> np.ndarray:
    counts = np.zeros(tuple(len(LABELS[name]) for name in table), np.int64)
    people = tables.as_numbers(groups.column(PEOPLE))
    cells = tuple(tables.as_numbers(groups.column(f"{DATASET}.{name}")) for name in table)
    if not table:
        return np.array(people.sum(), np.int64)
    np.add.at(counts, cells, people)
    return counts
