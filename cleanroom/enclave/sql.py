"""All SQL that DuckDB and Spark ever see, made from a `Query` as an expression tree, in either's dialect.

No text of a caller is pasted into SQL: every name becomes a quoted identifier of the tree, every cell of a condition a
number or, for Spark, a token in hex; for DuckDB what is not a number by nature is coded as one (`coding`).
The table `matched` has one row a matched person: the plain columns under their own names, and `#<dataset>`, the row's
position in that dataset.
"""

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.dialects.duckdb import DuckDB
from sqlglot.dialects.spark import Spark

from cleanroom.enclave.query import COUNTED, PEOPLE, Box, Query, Where

ROWS, MATCHED, LEFT, RIGHT, GROUP = "rows", "matched", "left", "right", "#group"
TOKEN_HALVES = ("high", "low")
HIGH, LOW, LOW_BITS = "#high", "#low", 32
Kind = type[Dialect]


def position_column(dataset: str) -> str:
    """The column of `matched` that says which row of `dataset` a person is; no column of a query is named so."""
    return f"#{dataset}"


def pairs() -> str:
    """Positions of equal tokens in the tables `left` and `right` (`high`, `low` uint64, `position` int64)."""
    same = [exp.EQ(this=_column(half, LEFT), expression=_column(half, RIGHT)) for half in TOKEN_HALVES]
    chosen = [_as(_column("position", side), side) for side in (LEFT, RIGHT)]
    return _text(exp.select(*chosen).from_(_table(LEFT)).join(_table(RIGHT), on=exp.and_(*same)))


def keep() -> str:
    """The table `matched`, DuckDB's own, of the table `rows`, which is not."""
    chosen = exp.select(exp.Star()).from_(_table(ROWS))
    return exp.Create(this=_table(MATCHED), kind="TABLE", expression=chosen).sql(dialect=DuckDB)


def groups(query: Query, dialect: Kind = DuckDB) -> str:
    """The `by` columns, `people`, and a sum and a count for each plain sum; sorted by the `by` columns.

    Spark's `matched` has a row a cell of a part, with its `people` and for each plain sum `c` three numbers: `c#high`,
    the sum of the values without their last 32 bits, `c#low`, of these, and `c#count`; a sum of whole values in 64 bits
    could overflow on the way, which DuckDB's of 128 do not. It does not sort, which would cost it a pass of its own.
    """
    chosen: list[exp.Expr] = list(map(_column, query.by))
    if dialect is Spark:
        parts = [PEOPLE, *(name + part for name in query.plain_sums for part in (HIGH, LOW, COUNTED))]
        chosen += [_as(_total(name), name) for name in parts]
        return _text(_grouped(query, chosen, ordered=False), dialect)
    chosen.append(_as(exp.Count(this=exp.Star()), PEOPLE))
    for name in query.plain_sums:
        chosen += [_as(_total(name), name), _as(exp.Count(this=_column(name)), name + COUNTED)]
    return _text(_grouped(query, chosen))


def memberships(query: Query, dataset: str, dialect: Kind = DuckDB) -> str:
    """`position` in `dataset` and `#group`, the place of the row's group in `groups(query)`, of every row meant.

    Here Spark's `matched` has a row a person, too.
    """
    position = _as(_column(position_column(dataset), MATCHED), "position")
    if not query.by:
        return _text(
            _meant(exp.select(position, _as(exp.Literal.number(0), GROUP)).from_(_table(MATCHED)), query), dialect
        )
    place = exp.Sub(
        this=exp.Window(this=exp.RowNumber(), order=exp.Order(expressions=_order(query))),
        expression=exp.Literal.number(1),
    )
    numbered = _grouped(query, [*map(_column, query.by), _as(place, GROUP)], ordered=False)
    same = [exp.NullSafeEQ(this=_column(name, MATCHED), expression=_column(name, "groups")) for name in query.by]
    joined = exp.select(position, _column(GROUP, "groups")).from_(_table(MATCHED))
    joined = _meant(joined.join(_table("groups"), on=exp.and_(*same)), query)
    return _text(joined.with_(_identifier("groups"), as_=numbered), dialect)


def _total(name: str) -> exp.Expr:
    return exp.Coalesce(this=exp.Sum(this=_column(name)), expressions=[exp.Literal.number(0)])


def _grouped(query: Query, chosen: list[exp.Expr], *, ordered: bool = True) -> exp.Select:
    select = _meant(exp.select(*chosen).from_(_table(MATCHED)), query)
    if query.by:
        select = select.group_by(*(_column(name) for name in query.by))
    return select.order_by(*_order(query)) if ordered and query.by else select


def _meant(select: exp.Select, query: Query) -> exp.Select:
    """`select` over the rows in `where`; not a join with the boxes, so that nobody counts by two of them."""
    return select.where(_any_box(query.where), copy=False) if query.where else select


def _any_box(where: Where) -> exp.Condition:
    return exp.or_(*(exp.and_(*_sides(box), copy=False) if box else exp.true() for box in where), copy=False)


def _sides(box: Box) -> list[exp.Expr]:
    return [
        exp.In(this=_column(name, MATCHED), expressions=[_cell(cell) for cell in cells]) if cells else exp.false()
        for name, cells in box
    ]


def _cell(cell: int | str) -> exp.Expr:
    return exp.Literal.number(cell) if isinstance(cell, int) else exp.HexString(this=cell)


def _order(query: Query) -> list[exp.Expr]:
    return [exp.Ordered(this=_column(name), nulls_first=False) for name in query.by]


def _identifier(name: str) -> exp.Identifier:
    return exp.to_identifier(name, quoted=True)


def _column(name: str, table: str | None = None) -> exp.Column:
    return exp.column(_identifier(name), table=_identifier(table) if table else None)


def _table(name: str) -> exp.Table:
    return exp.Table(this=_identifier(name))


def _as(value: exp.Expr, name: str) -> exp.Alias:
    return exp.Alias(this=value, alias=_identifier(name))


def _text(statement: exp.Select, dialect: Kind = DuckDB) -> str:
    if dialect is DuckDB and statement.find(exp.HexString):
        raise TypeError("a token stands in a condition that should be in codes")
    return statement.sql(dialect=dialect)
