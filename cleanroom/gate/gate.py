"""SQL to `Ask`: parsed by sqlglot, walked node by node against a small grammar; what is not listed is refused.

    SELECT   declared categories and buckets, COUNT(*), COUNT(DISTINCT person), SUM(amount), AVG(amount),
             MEDIAN(bucket), APPROX_QUANTILE(bucket, 0.9); each AS a name
    FROM     matched (persons whom all datasets have), or two or more datasets JOIN … USING (person), or one dataset
    WHERE    comparisons of a declared column with its declared values or edges; IN, BETWEEN, IS NULL; AND, OR, NOT
    GROUP BY the selected columns, by name or place, or ALL;   ORDER BY, LIMIT   on what is selected
In a template, a placeholder `:name` may stand where a value of WHERE does, and nowhere else.

Every argument of every node is looked at: a node with an argument that is not named here is refused, so that a clause
which a later sqlglot learns is refused too. Texts of the query appear in no error but for names of columns, which the
asker wrote.
"""

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import NoReturn

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError

from cleanroom.gate.ask import Ask, Given, Shown
from cleanroom.gate.condition import Condition, TooLarge
from cleanroom.gate.errors import QueryRefused
from cleanroom.gate.predicate import Predicates
from cleanroom.gate.reading import GRAMMAR, PERSON
from cleanroom.gate.schema import Field, Schema
from cleanroom.gate.selection import selected

MATCHED = "matched"
LONGEST = 20_000
MOST_ITEMS = 100
NOTHING: Mapping[str, Given] = MappingProxyType({})
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # it would log the text of what it cannot parse


def ask(sql: str, schema: Schema, given: Mapping[str, Given] = NOTHING) -> Ask:
    """The question that `sql` asks of the room described by `schema`; given: what each placeholder of a template stands
    for, all of which must be there. Raises QueryRefused."""
    return _Reader(sql, schema, given).ask()


@dataclass(frozen=True)
class _Item:
    """A selected thing, and where it stands."""

    shown: Shown
    position: int


class _Reader:
    """One reading of one text."""

    def __init__(self, sql: str, schema: Schema, given: Mapping[str, Given]) -> None:
        self.sql, self.schema, self.given = sql, schema, given
        self.at = 0
        self.used: set[str] = set()
        self.over: tuple[str, ...] = ()
        self.tables: dict[str, str] = {}
        """Names that may stand before a column → the dataset meant, or `matched`."""

    def ask(self) -> Ask:
        select = self._parsed()
        self.only(select, "expressions", "from_", "joins", "where", "group", "order", "limit")
        table = self._from(select)
        items = [self._item(node) for node in select.expressions[:MOST_ITEMS]]
        if len(select.expressions) > MOST_ITEMS or not items:
            self.refuse("shape", "A query selects 1 to {most} columns.", most=MOST_ITEMS)
        by = [item.shown.name for item in items if item.shown.what == "column"]
        self._group(select.args.get("group"), items, by)
        shown = tuple(item.shown for item in items)
        sums = {each.name for each in shown if each.what in ("sum", "average")}
        where = self._where(select.args.get("where"))
        order = self._order(select.args.get("order"), items)
        limit = self._limit(select)
        if unused := sorted(self.given.keys() - self.used):
            self.at = 0
            self.refuse("parameter", "The parameter {name} stands nowhere in the query.", "Write :{name} in WHERE.",
                        name=unused[0])  # fmt: skip
        grouped = tuple(sorted({*by, *self._axes(items)}))
        return Ask(table, grouped, tuple(sorted(sums)), where, shown, order, limit, self.over)

    # -- the text

    def _parsed(self) -> exp.Select:
        if len(self.sql) > LONGEST:
            self.refuse("long", "The query is longer than {most} characters.", most=LONGEST)
        statements = None
        try:
            statements = sqlglot.parse(self.sql, dialect="duckdb")
        except ParseError as error:
            found = error.errors[0] if error.errors else {}
            self.at = self._offset(found.get("line"), found.get("col"), found.get("highlight"))
        except (TokenError, RecursionError, ValueError):
            pass
        if statements is None:  # refused here, since the parser's own error holds the text and would hang on to ours
            self.refuse("syntax", "The query is not SQL as the gate knows it.", GRAMMAR)
        if len(statements) != 1 or type(statements[0]) is not exp.Select:
            self.refuse("statement", "Only one SELECT may be asked.", GRAMMAR)
        return statements[0]

    def _offset(self, line: int | None, column: int | None, word: str | None) -> int:
        """The place of a word of which the parser told the line, and the column of its end."""
        if not line or not column:
            return 0
        start = sum(len(text) + 1 for text in self.sql.split("\n")[: line - 1])
        return min(max(0, start + column - len(word or "")), len(self.sql))

    def refuse(self, code: str, template: str, hint: str = "", **params: object) -> NoReturn:
        """Raise at the place last looked at."""
        raise QueryRefused(code, template, hint, position=self.at, sql=self.sql, **params)

    def look(self, node: exp.Expr) -> None:
        """Remember where `node` begins, as far as the parser tells."""
        places = [inner.meta["start"] for inner in node.walk() if "start" in inner.meta]
        self.at = min(places, default=self.at)

    def only(self, node: exp.Expr, *allowed: str) -> None:
        """Raises QueryRefused where `node` has an argument that is not among `allowed`."""
        for name, value in node.args.items():
            if name not in allowed and value not in (None, False, [], ()):
                first = next((each for each in _flat(value) if isinstance(each, exp.Expr)), node)
                self.look(first)
                self.refuse("clause", "{clause} is not allowed here.", GRAMMAR, clause=name.strip("_").upper())

    # -- FROM

    def _from(self, select: exp.Select) -> str:
        source = select.args.get("from_")
        if source is None:
            self.refuse("table", "The query names no table.", "Tables: {tables}.", tables=self._tables_hint)
        self.only(source, "this")
        first = self._table(source.this)
        joined = select.args.get("joins") or []
        if not joined:
            return first
        named = [first, *(self._joined(join) for join in joined)]
        if len(set(named)) != len(named) or not set(named) <= set(self.schema.datasets):
            if len(self.schema.datasets) > 2:
                all_of_them = ", ".join(self.schema.datasets)
                self.refuse("join", "Two or more datasets of the room can be joined, each once.",
                            "FROM matched means all: {datasets}.", datasets=all_of_them)  # fmt: skip
            self.refuse("join", "Only the two matched datasets can be joined.", "FROM matched says the same.")
        self.over = tuple(sorted(named)) if len(named) < len(self.schema.datasets) else ()
        return MATCHED

    def _table(self, node: exp.Expr) -> str:
        self.look(node)
        if type(node) is not exp.Table or type(node.this) is not exp.Identifier:
            self.refuse("table", "A query reads a table by its name only.", "Tables: {tables}.",
                        tables=self._tables_hint)  # fmt: skip
        self.only(node, "this", "alias")
        written = node.this.name
        found = [name for name in (MATCHED, *self.schema.datasets) if name.casefold() == written.casefold()]
        if len(found) != 1:
            # DuckDB takes a text for a name here, so what was written is not repeated
            self.refuse("table", "There is no such table.", "Tables: {tables}.", tables=self._tables_hint)
        alias = node.args.get("alias")
        if alias is not None:
            self.only(alias, "this")
            self.tables[alias.name.casefold()] = found[0]
        else:
            self.tables[found[0].casefold()] = found[0]
        return found[0]

    def _joined(self, join: exp.Expr) -> str:
        self.look(join)
        self.only(join, "this", "using", "kind")
        using = join.args.get("using") or []
        plain = join.args.get("kind") in (None, "", "INNER")
        if not plain or len(using) != 1 or using[0].name.casefold() != PERSON:
            self.refuse("join", "Datasets are joined along the match only.", "Write JOIN … USING (person).")
        return self._table(join.this)

    @property
    def _tables_hint(self) -> str:
        return ", ".join((MATCHED, *self.schema.datasets))

    # -- SELECT

    def _item(self, node: exp.Expr) -> _Item:
        self.look(node)
        position, title = self.at, ""
        if type(node) is exp.Alias:
            self.only(node, "this", "alias")
            if type(node.args["alias"]) is not exp.Identifier:
                self.refuse("alias", "A title is a name.", "SUM(amount) AS total.")
            title, node = node.alias, node.this
        return _Item(selected(self, node, title), position)

    def _axes(self, items: list[_Item]) -> set[str]:
        """The bucket that quantiles are taken of."""
        asked = [item for item in items if item.shown.what == "quantile"]
        for item in asked:
            if item.shown.name != asked[0].shown.name:
                self.at = item.position
                self.refuse("quantile", "A query takes quantiles of one bucket.",
                            "Ask for the others in a query of their own.")  # fmt: skip
        return {item.shown.name for item in asked}

    def field(self, node: exp.Expr) -> Field:
        """The declared column that `node` names. Raises QueryRefused."""
        self.look(node)
        if type(node) is not exp.Column or type(node.this) is not exp.Identifier:
            self.refuse("column", "A declared column must stand here.", "Columns: {columns}.", columns=self._hint())
        self.only(node, "this", "table")
        written, prefix = node.name.casefold(), node.table.casefold()
        if prefix and prefix not in self.tables:
            by_dataset = [name for name in self.schema.datasets if name.casefold() == prefix]
            if not by_dataset or MATCHED not in self.tables.values():
                self.refuse("table", "The query has no table {name}.", "Tables: {tables}.", name=_short(node.table),
                            tables=self._tables_hint)  # fmt: skip
        within = self.tables.get(prefix, prefix)
        found = [
            field for field in self.reachable
            if field.column.casefold() == written and within in ("", MATCHED, field.dataset, field.dataset.casefold())
        ]  # fmt: skip
        exact = [field for field in found if field.column == node.name]
        found = exact or found
        if len(found) > 1:
            names = ", ".join(field.name for field in found)
            self.refuse("ambiguous", "{name} can be several columns.", "Write one of: {names}.", name=_short(node.name),
                        names=names)  # fmt: skip
        if not found:
            near = get_close_matches(written, [field.column.casefold() for field in self.reachable], 3, 0.5)
            self.refuse("column", "The contract has no column {name} here.", "Columns: {columns}.",
                        name=_short(node.name), columns=self._hint(near))  # fmt: skip
        return found[0]

    @cached_property
    def reachable(self) -> tuple[Field, ...]:
        """Columns of the tables that the query reads."""
        read = set(self.tables.values())
        return tuple(field for field in self.schema.fields if MATCHED in read or field.dataset in read)

    def _hint(self, near: Iterable[str] = ()) -> str:
        wanted = set(near)
        return ", ".join(field.name for field in self.reachable if not wanted or field.column.casefold() in wanted)

    # -- GROUP BY, ORDER BY, LIMIT

    def _group(self, group: exp.Expr | None, items: list[_Item], by: list[str]) -> None:
        if group is None:
            if by and len(by) < len(items):
                self.at = items[0].position
                self.refuse("group", "Columns beside a count or a sum are grouped by.", "Add GROUP BY {columns}.",
                            columns=", ".join(by))  # fmt: skip
            if by:
                self.refuse("group", "A query without aggregates is not answered row by row.", "Add GROUP BY ALL.")
            return
        self.only(group, "expressions", "all")
        if group.args.get("all") is not None and (group.expressions or not group.args["all"]):
            self.look(group)
            self.refuse("clause", "{clause} is not allowed here.", GRAMMAR, clause="DISTINCT")
        if group.args.get("all"):
            return
        chosen = [self._chosen(node, items, titles=False) for node in group.expressions]
        if {each.name for each in chosen} != set(by) or any(each.what != "column" for each in chosen):
            self.look(group)
            self.refuse("group", "GROUP BY names the selected columns, all of them and no others.",
                        "GROUP BY {columns}.", columns=", ".join(by) or "–")  # fmt: skip

    def _chosen(self, node: exp.Expr, items: list[_Item], *, titles: bool = True) -> Shown:
        """The selected thing that is meant by its place, its title or its column; titles: a title goes before a column
        of that name, as in ORDER BY, not after it, as in GROUP BY."""
        self.look(node)
        if type(node) is exp.Literal and not node.is_string and node.name.isdecimal():
            place = int(node.name) if len(node.name) < 4 else 0
            if not 1 <= place <= len(items):
                self.refuse("place", "There are {count} selected columns.", count=len(items))
            return items[place - 1].shown
        known = {field.column.casefold() for field in self.reachable}
        if type(node) is exp.Column and not node.table and (titles or node.name.casefold() not in known):
            titled = [item.shown for item in items if item.shown.title.casefold() == node.name.casefold()]
            if len({(each.what, each.name) for each in titled}) > 1:
                self.refuse("ambiguous", "{name} is the title of several selected columns.", "Write its place.",
                            name=_short(node.name))  # fmt: skip
            if titled:
                return titled[0]
        if type(node) is exp.Column:
            name = self.field(node).name
            found = [item.shown for item in items if (item.shown.what, item.shown.name) == ("column", name)]
        else:
            meant = selected(self, node, "")
            found = [item.shown for item in items if dataclasses.replace(item.shown, title=meant.title) == meant]
        if not found:
            self.look(node)
            self.refuse("released", "Only what is selected can be grouped or ordered by.", "Add it to SELECT.")
        return found[0]

    def _order(self, order: exp.Expr | None, items: list[_Item]) -> tuple[tuple[int, bool], ...]:
        if order is None:
            return ()
        self.only(order, "expressions")
        shown, found = [item.shown for item in items], []
        for node in order.expressions:
            self.only(node, "this", "desc")
            found.append((shown.index(self._chosen(node.this, items)), bool(node.args.get("desc"))))
        return tuple(found)

    def _limit(self, select: exp.Select) -> int | None:
        limit = select.args.get("limit")
        if limit is None:
            return None
        self.look(limit)
        if type(limit) is not exp.Limit:
            self.refuse("limit", "LIMIT takes a whole number.")
        self.only(limit, "expression")
        number = limit.expression
        if type(number) is not exp.Literal or number.is_string or not number.name.isdecimal() or len(number.name) > 9:
            self.refuse("limit", "LIMIT takes a whole number.")
        return int(number.name)

    # -- WHERE

    def parameter(self, node: exp.Expr, field: Field) -> str:
        """The value of the placeholder `node`, which is compared with `field`. Raises QueryRefused."""
        self.look(node)
        name = node.name
        if name not in self.given:
            self.refuse("parameter", "The query has no parameter of this name.", "Parameters belong to templates.")
        if self.given[name].column != field.name:
            self.refuse("parameter", "The parameter {name} is a value of {column}, and compared with nothing else.",
                        name=name, column=self.given[name].column)  # fmt: skip
        self.used.add(name)
        return self.given[name].value

    def _where(self, where: exp.Expr | None) -> Condition:
        if where is None:
            return Condition()
        self.only(where, "this")
        try:
            condition = Predicates(self).table(where.this).condition()
        except (TooLarge, RecursionError):
            self.look(where)
            self.refuse("large", "The condition combines too many cells.", "Name fewer columns in WHERE.")
        if not condition.boxes:
            self.look(where)
            self.refuse("nobody", "Nobody can meet this condition.", "Compare it with the columns' declared values.")
        return condition


def _flat(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _short(name: str) -> str:
    """A name of the query, as far as an error repeats it."""
    return name if len(name) <= 64 else name[:63] + "…"
