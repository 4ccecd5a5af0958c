"""WHERE: each comparison becomes the truth of a column's cells; a value inside a bucket is refused with its edges."""

import math
from bisect import bisect_left
from collections.abc import Sequence
from difflib import get_close_matches

import numpy as np
from sqlglot import exp

from cleanroom.gate.condition import FALSE, TRUE, UNKNOWN, TruthTable
from cleanroom.gate.reading import Reading
from cleanroom.gate.schema import Field, day_of, number_of

_SIGNS: dict[type, str] = {exp.LT: "<", exp.LTE: "<=", exp.GT: ">", exp.GTE: ">=", exp.EQ: "=", exp.NEQ: "<>"}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_ALLOWED = "AND, OR, NOT, comparisons with a value, IN, BETWEEN, IS NULL."


class Predicates:
    """The condition of one query, over declared cells."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def table(self, node: exp.Expr) -> TruthTable:
        """The truths of `node`. Raises QueryRefused, TooLarge."""
        kind = type(node)
        if kind is exp.Paren:
            self._reading.only(node, "this")
            return self.table(node.this)
        if kind is exp.Not:
            self._reading.only(node, "this")
            return ~self.table(node.this)
        if kind in (exp.And, exp.Or):
            self._reading.only(node, "this", "expression")
            left, right = self.table(node.this), self.table(node.expression)
            return left & right if kind is exp.And else left | right
        if kind in _SIGNS:
            return self._comparison(node)
        if kind is exp.In:
            return self._in(node)
        if kind is exp.Between:
            self._reading.only(node, "this", "low", "high")
            field = self._field(node.this)
            return self._compared(field, ">=", node.args["low"]) & self._compared(field, "<=", node.args["high"])
        if kind is exp.Is and type(node.expression) is exp.Null:
            self._reading.only(node, "this", "expression")
            return _is_null(self._field(node.this))
        self._reading.look(node)
        return self._reading.refuse("condition", "A condition cannot be made of this.", _ALLOWED)

    def _field(self, node: exp.Expr) -> Field:
        found = self._reading.field(node)
        if found.kind == "amount":
            self._reading.refuse("amount", "The amount {column} cannot stand in a condition.",
                                 "Its owner can declare a bucket of it.", column=found.name)  # fmt: skip
        return found

    def _comparison(self, node: exp.Expr) -> TruthTable:
        self._reading.only(node, "this", "expression")
        sign, left, right = _SIGNS[type(node)], node.this, node.expression
        if type(left) is not exp.Column and type(right) is exp.Column:
            sign, left, right = _TURNED[sign], right, left
        return self._compared(self._field(left), sign, right)

    def _in(self, node: exp.Expr) -> TruthTable:
        self._reading.only(node, "this", "expressions")
        field = self._field(node.this)
        if not node.expressions:
            self._reading.refuse("condition", "A condition cannot be made of this.", _ALLOWED)
        found = self._compared(field, "=", node.expressions[0])
        for each in node.expressions[1:]:
            found |= self._compared(field, "=", each)
        return found

    def _compared(self, field: Field, sign: str, node: exp.Expr) -> TruthTable:
        text, number = self._value(field, node)
        if text is not None:
            return self._labelled(field, sign, text)
        if not field.edges:
            self._reading.refuse("value", "{column} has values of text, which stand in quotes.", "One of: {labels}.",
                                 column=field.name, labels=_quoted(field.labels))  # fmt: skip
        if sign == "=":
            return self._ordered(field, ">=", number) & self._ordered(field, "<=", number)
        if sign == "<>":
            return ~(self._ordered(field, ">=", number) & self._ordered(field, "<=", number))
        return self._ordered(field, sign, number)

    def _value(self, field: Field, node: exp.Expr) -> tuple[str | None, float]:
        """(a label, or None; a number, or the number of a day)."""
        self._reading.look(node)
        if type(node) is exp.Placeholder:
            node = _literal(field, self._reading.parameter(node, field))
        minus = type(node) is exp.Neg
        inner = node.this if minus or type(node) is exp.Cast else node
        if type(node) is exp.Cast:
            self._reading.only(node, "this", "to")
            if not node.to.is_type("date") or type(inner) is not exp.Literal or not inner.is_string:
                self._reading.refuse("value", "A value stands here as it is.", "30, 'gold', DATE '2026-01-31'.")
        if type(inner) is not exp.Literal or (minus and inner.is_string):
            self._reading.refuse("value", "A value stands here as it is.", "30, 'gold', DATE '2026-01-31'.")
        written = inner.name
        if inner.is_string and not (field.dated and written not in field.labels):
            if type(node) is exp.Cast:
                self._reading.refuse("value", "{column} has no days.", column=field.name)
            return written, 0.0
        try:
            number = number_of(written)
        except ValueError:
            number = math.nan
        if math.isnan(number) or field.dated != (day_of(written) is not None and inner.is_string):
            self._reading.refuse("value", "{column} is compared with a day.", "DATE '2026-01-31'.", column=field.name)
        return None, -number if minus else number

    def _labelled(self, field: Field, sign: str, label: str) -> TruthTable:
        if sign not in ("=", "<>"):
            self._reading.refuse("order", "The values of {column} have no order.", "Compare by =, <> or IN.",
                                 column=field.name)  # fmt: skip
        if label not in field.labels:
            near = get_close_matches(label[:64], field.labels, 5, 0.4) or field.labels[:20]
            self._reading.refuse("value", "{column} has no such declared value.", "Declared: {labels}.",
                                 column=field.name, labels=_quoted(near))  # fmt: skip
        cell = field.labels.index(label)
        truth = np.full(len(field.labels), FALSE)
        if field.unknown is not None and cell != field.unknown:
            truth[field.unknown] = UNKNOWN
        truth[cell] = TRUE
        table = TruthTable.atom(field.name, truth.tolist())
        return table if sign == "=" else ~table

    def _ordered(self, field: Field, sign: str, number: float) -> TruthTable:
        """Below a boundary, or from it on: < and >= at the value, <= and > at the next day; numbers may have fractions,
        so that they have no next one."""
        after = sign in ("<=", ">")
        boundary = number + 1 if after else number
        if boundary not in field.bounds or (after and not field.dated):
            place = bisect_left(field.bounds, boundary)
            near = [field.edges[at] for at in (place - 1, place) if 0 <= at < len(field.edges)]
            below = " · ".join(f"{field.name} {'<' if sign in ('<', '<=') else '>='} {_edge(field, e)}" for e in near)
            self._reading.refuse("edge", "{column} is known in buckets; this value lies inside one.",
                                 "Nearest: {conditions}.", column=field.name, conditions=below)  # fmt: skip
        under = field.bounds.index(boundary) + 1
        truth = [TRUE if cell < under else FALSE for cell in range(len(field.edges) + 1)]
        truth += [UNKNOWN] * (len(field.labels) - len(truth))
        table = TruthTable.atom(field.name, truth)
        return table if sign in ("<", "<=") else ~table


def _literal(field: Field, value: str) -> exp.Expr:
    """A parameter's value as it would stand in the query: a text, or a number where the column has numbers."""
    try:
        number = math.isfinite(number_of(value))
    except ValueError:
        number = False
    text = not number or not field.edges or field.dated or value in field.labels
    return exp.Literal(this=value, is_string=text)


def _is_null(field: Field) -> TruthTable:
    return TruthTable.atom(field.name, [TRUE if cell == field.unknown else FALSE for cell in range(len(field.labels))])


def _edge(field: Field, edge: str) -> str:
    return f"DATE '{edge}'" if field.dated else edge


def _quoted(labels: Sequence[str]) -> str:
    return ", ".join("'" + label.replace("'", "''") + "'" for label in labels)
