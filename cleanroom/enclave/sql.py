"""All SQL that DuckDB ever sees, made from a `Query` as an expression tree.

No text of a caller is pasted into SQL: every name becomes a quoted identifier of the tree, every cell of a condition a
number: what is not one by nature is coded as one (`coding`).
The table `matched` has one row a matched person: the plain columns under their own names, and `#<dataset>`, the row's
position in that dataset.
"""

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from cleanroom.enclave.query import COUNTED, PEOPLE, Box, Query, Where

ROWS, MATCHED, LEFT, RIGHT, GROUP = "rows", "matched", "left", "right", "#group"
TOKEN_HALVES = ("high", "low")


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


def groups(query: Query) -> str:
    """The `by` columns, `people`, and a sum and a count for each plain sum; sorted by the `by` columns."""
    chosen: list[exp.Expr] = [*map(_column, query.by), _as(exp.Count(this=exp.Star()), PEOPLE)]
    for name in query.plain_sums:
        total = exp.Coalesce(this=exp.Sum(this=_column(name)), expressions=[exp.Literal.number(0)])
        chosen += [_as(total, name), _as(exp.Count(this=_column(name)), name + COUNTED)]
    return _text(_grouped(query, chosen))


def memberships(query: Query, dataset: str) -> str:
    """`position` in `dataset` and `#group`, the place of the row's group in `groups(query)`, of every row meant."""
    position = _as(_column(position_column(dataset), MATCHED), "position")
    if not query.by:
        return _text(_meant(exp.select(position, _as(exp.Literal.number(0), GROUP)).from_(_table(MATCHED)), query))
    place = exp.Sub(
        this=exp.Window(this=exp.RowNumber(), order=exp.Order(expressions=_order(query))),
        expression=exp.Literal.number(1),
    )
    numbered = _grouped(query, [*map(_column, query.by), _as(place, GROUP)], ordered=False)
    same = [exp.NullSafeEQ(this=_column(name, MATCHED), expression=_column(name, "groups")) for name in query.by]
    joined = exp.select(position, _column(GROUP, "groups")).from_(_table(MATCHED))
    joined = _meant(joined.join(_table("groups"), on=exp.and_(*same)), query)
    return _text(joined.with_(_identifier("groups"), as_=numbered))


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
        exp.In(this=_column(name, MATCHED), expressions=[_number(cell) for cell in cells]) if cells else exp.false()
        for name, cells in box
    ]


def _number(cell: int | str) -> exp.Expr:
    if not isinstance(cell, int):
        raise TypeError("a token stands in a condition that should be in codes")
    return exp.Literal.number(cell)


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


def _text(statement: exp.Select) -> str:
    return statement.sql(dialect=DuckDB)
