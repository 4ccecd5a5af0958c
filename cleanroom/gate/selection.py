"""SELECT: each item becomes what it shows. Aggregates are of bare columns, so that none can look at one person."""

import re

from sqlglot import exp

from cleanroom.gate.ask import Shown
from cleanroom.gate.reading import GRAMMAR, PERSON, Reading

_FRACTION = re.compile(r"0?\.([0-9]{1,3})0*")
_QUANTILES = "MEDIAN(bucket), APPROX_QUANTILE(bucket, 0.9)."


def selected(reading: Reading, node: exp.Expr, title: str) -> Shown:
    """What `node` selects, under its title or the usual one. Raises QueryRefused."""
    kind = type(node)
    if kind is exp.Column:
        return _column(reading, node, title)
    if kind is exp.Count:
        return _people(reading, node, title)
    if kind in (exp.Sum, exp.Avg):
        return _amount(reading, node, title)
    if kind in (exp.ApproxQuantile, exp.Median):
        return _quantile(reading, node, title)
    return reading.refuse("select", "This cannot be selected.", GRAMMAR)


def _column(reading: Reading, node: exp.Expr, title: str) -> Shown:
    found = reading.field(node)
    if found.kind == "amount":
        reading.refuse("amount", "The amount {column} can be summed or averaged, not shown.", "Write SUM({column}).",
                       column=found.name)  # fmt: skip
    return Shown("column", found.name, title or found.column)


def _people(reading: Reading, node: exp.Expr, title: str) -> Shown:
    reading.only(node, "this", "big_int")
    counted = node.this
    people = type(counted) is exp.Star and not any(counted.args.values())
    if type(counted) is exp.Distinct:
        reading.only(counted, "expressions")
        person = counted.expressions
        people = len(person) == 1 and type(person[0]) is exp.Column and person[0].sql().casefold() == PERSON
        people = people and all(field.column.casefold() != PERSON for field in reading.reachable)
    if not people:
        reading.refuse("count", "People are counted, and nothing else.", "COUNT(*) or COUNT(DISTINCT person).")
    return Shown("people", "", title or "people")


def _amount(reading: Reading, node: exp.Expr, title: str) -> Shown:
    reading.only(node, "this")
    if type(node.this) is not exp.Column:
        reading.look(node)
        reading.refuse("aggregate", "SUM and AVG are taken of an amount as it is.", "SUM(amount), AVG(amount).")
    found = reading.field(node.this)
    if found.kind != "amount":
        amounts = ", ".join(field.name for field in reading.reachable if field.kind == "amount") or "–"
        reading.refuse("amount", "{column} is no amount.", "Amounts: {amounts}.", column=found.name, amounts=amounts)
    if type(node) is exp.Sum:
        return Shown("sum", found.name, title or found.column)
    return Shown("average", found.name, title or f"{found.column}_average")


def _quantile(reading: Reading, node: exp.Expr, title: str) -> Shown:
    reading.only(node, "this", "quantile")
    if type(node.this) is not exp.Column:
        reading.look(node)
        reading.refuse("quantile", "A quantile is taken of a bucket as it is.", _QUANTILES)
    found = reading.field(node.this)
    if found.kind != "bucket" or not found.edges:
        buckets = ", ".join(field.name for field in reading.reachable if field.edges) or "–"
        reading.refuse("quantile", "{column} is no bucket.", "Buckets: {buckets}.", column=found.name, buckets=buckets)
    per_mille = 500 if type(node) is exp.Median else _per_mille(reading, node.args.get("quantile"))
    part = "median" if per_mille == 500 else f"p{per_mille / 10:g}"
    return Shown("quantile", found.name, title or f"{found.column}_{part}", per_mille)


def _per_mille(reading: Reading, fraction: exp.Expr | None) -> int:
    """A decimal fraction between 0 and 1, in thousandths."""
    written = None
    if fraction is not None:
        reading.look(fraction)
        if type(fraction) is exp.Literal and not fraction.is_string:
            written = _FRACTION.fullmatch(fraction.name)
    thousandths = int(written[1].ljust(3, "0")) if written else 0
    if not thousandths:
        reading.refuse("quantile", "The fraction of a quantile is 0.001 to 0.999, in thousandths.", _QUANTILES)
    return thousandths
