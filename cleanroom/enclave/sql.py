"""All SQL that DuckDB ever sees, made from a `Query` as an expression tree.

No text of a caller is pasted into SQL: every name becomes a quoted identifier of the tree, and no value stands in it.
The table `matched` has one row a matched person: the plain columns under their own names, and `#<dataset>`, the row's
position in that dataset.
"""

from sqlglot import exp
from sqlglot.dialects.duckdb import DuckDB

from cleanroom.enclave.query import COUNTED, PEOPLE, Query

MATCHED, LEFT, RIGHT, GROUP = "matched", "left", "right", "#group"
TOKEN_HALVES = ("high", "low")


def position_column(dataset: str) -> str:
    """The column of `matched` that says which row of `dataset` a person is; no column of a query is named so."""
    return f"#{dataset}"


def pairs() -> str:
    """Positions of equal tokens in the tables `left` and `right` (`high`, `low` uint64, `position` int64)."""
    same = [exp.EQ(this=_column(half, LEFT), expression=_column(half, RIGHT)) for half in TOKEN_HALVES]
    chosen = [_as(_column("position", side), side) for side in (LEFT, RIGHT)]
    return _text(exp.select(*chosen).from_(_table(LEFT)).join(_table(RIGHT), on=exp.and_(*same)))


def groups(query: Query) -> str:
    """The `by` columns, `people`, and a sum and a count for each plain sum; sorted by the `by` columns."""
    chosen: list[exp.Expr] = [*map(_column, query.by), _as(exp.Count(this=exp.Star()), PEOPLE)]
    for name in query.plain_sums:
        total = exp.Coalesce(this=exp.Sum(this=_column(name)), expressions=[exp.Literal.number(0)])
        chosen += [_as(total, name), _as(exp.Count(this=_column(name)), name + COUNTED)]
    return _text(_grouped(query, chosen))


def memberships(query: Query, dataset: str) -> str:
    """`position` in `dataset` and `#group`, the place of the row's group in `groups(query)`, of every matched row."""
    position = _as(_column(position_column(dataset), MATCHED), "position")
    if not query.by:
        return _text(exp.select(position, _as(exp.Literal.number(0), GROUP)).from_(_table(MATCHED)))
    place = exp.Sub(
        this=exp.Window(this=exp.RowNumber(), order=exp.Order(expressions=_order(query))),
        expression=exp.Literal.number(1),
    )
    numbered = _grouped(query, [*map(_column, query.by), _as(place, GROUP)], ordered=False)
    same = [exp.NullSafeEQ(this=_column(name, MATCHED), expression=_column(name, "groups")) for name in query.by]
    joined = exp.select(position, _column(GROUP, "groups")).from_(_table(MATCHED))
    return _text(joined.join(_table("groups"), on=exp.and_(*same)).with_(_identifier("groups"), as_=numbered))


def _grouped(query: Query, chosen: list[exp.Expr], *, ordered: bool = True) -> exp.Select:
    select = exp.select(*chosen).from_(_table(MATCHED))
    if query.by:
        select = select.group_by(*(_column(name) for name in query.by))
    return select.order_by(*_order(query)) if ordered and query.by else select


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
