"""A condition means what SQL says it means, and whoever is meant decides its form."""

from functools import cache
from itertools import product

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.gate.condition import TRUE, Condition, TooLarge, TruthTable
from cleanroom.gate.gate import ask
from tests.gate.parts import CONDITIONS, SCHEMA, STANDS_FOR

COLUMNS = ("tier", "city", "visits", "joined")
SIZES = [len(STANDS_FOR[name]) for name in COLUMNS]
CROSSED = list(product(*map(range, SIZES)))
"""Everybody there can be, by the cell in each column."""


@cache
def _database() -> duckdb.DuckDBPyConnection:
    values = {name: [STANDS_FOR[name][row[at]] for row in CROSSED] for at, name in enumerate(COLUMNS)}
    connection = duckdb.connect()
    connection.register("people", pa.table({"row": range(len(CROSSED)), **values}))
    return connection


def _meant(condition: Condition) -> list[int]:
    def inside(row: tuple[int, ...], box: object) -> bool:
        cells = {name.partition(".")[2]: among for name, among in box}  # type: ignore[attr-defined]
        return all(row[COLUMNS.index(name)] in among for name, among in cells.items())

    hits = [sum(inside(row, box) for box in condition.boxes) for row in CROSSED]
    assert max(hits, default=0) <= 1  # boxes are disjoint
    return [row for row, hit in enumerate(hits) if hit]


def _condition(where: str) -> Condition | None:
    from cleanroom.gate.errors import QueryRefused

    try:
        return ask(f"SELECT COUNT(*) FROM matched WHERE {where}", SCHEMA).where
    except QueryRefused as refused:
        assert refused.code == "nobody"
        return None


@settings(max_examples=25, deadline=None)
@given(where=CONDITIONS)
def test_a_condition_means_what_a_database_says(where: str) -> None:
    """DuckDB judges: the same rows, NULLs and all."""
    rows = _database().sql(f"SELECT row FROM people WHERE {where} ORDER BY row").to_arrow_table()
    condition = _condition(where)
    assert (_meant(condition) if condition else []) == rows.column(0).to_pylist()


@settings(max_examples=25, deadline=None)
@given(left=CONDITIONS, right=CONDITIONS)
def test_the_same_people_have_the_same_form(left: str, right: str) -> None:
    """However it is written: by De Morgan, doubled, with what does not matter added."""
    first = _condition(f"({left}) AND ({right})")
    rewrites = (
        f"({right}) AND ({left})",
        f"NOT (NOT ({left}) OR NOT ({right}))",
        f"({left}) AND ({right}) AND ({left})",
        f"(({left}) AND ({right})) AND (tier IS NULL OR tier IS NOT NULL)",
        f"(({left}) AND ({right})) OR (({left}) AND ({right}) AND city = '一线')",
    )
    assert [_condition(each) for each in rewrites] == [first] * len(rewrites)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=1, max_size=8))
def test_two_conditions_with_one_form_mean_the_same(tables: list[list[bool]]) -> None:
    """The form decides the people: different sets never share one."""
    forms: dict[object, tuple[bool, ...]] = {}
    for holds in tables:
        table = TruthTable.atom("a.x", [TRUE if holds[i] or holds[3] else 0 for i in range(3)])
        table &= TruthTable.atom("b.y", [TRUE if holds[3 + i] or holds[0] else 0 for i in range(3)])
        people = tuple((table.truth == TRUE).reshape(-1).tolist())
        assert forms.setdefault(table.condition(), people) == people


def test_a_condition_over_too_many_crossings_is_refused() -> None:
    """Memory is bounded, whatever the text."""
    wide = [TruthTable.atom(f"d.c{at}", [TRUE] + [0] * 255) for at in range(3)]
    with pytest.raises(TooLarge):
        _ = wide[0] | wide[1] | wide[2]
