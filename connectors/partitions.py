"""Partitions: the columns that a folder (or a warehouse's table) is cut by, and which of their values are asked for.

As Hive writes them, https://cwiki.apache.org/confluence/display/Hive/DynamicPartitions: `dt=2026-01-01/hour=03`, odd
signs of a value as %XX, `__HIVE_DEFAULT_PARTITION__` for none. Values are texts, as they stand: 03 stays 03.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from connectors.errors import InputError

NONE = "__HIVE_DEFAULT_PARTITION__"
Values = tuple[tuple[str, str | None], ...]
"""(column, value) of a partition, from the outermost column; None where Hive had no value."""
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_LAST = re.compile(r"last:([1-9]\d{0,5})")


@dataclass(frozen=True)
class Condition:
    """What is asked of one partition column: `2026-01-01`, `a,b`, `2026-01-01..2026-01-31` (either end may be left
    out), or `last:30`, the thirty greatest values that stand there. Days compare with or without hyphens, digits as
    numbers.
    """

    column: str
    wanted: str

    def chosen(self, values: Iterable[str]) -> set[str]:
        """Which of the raw values in a level of folders are asked for."""
        distinct = set(values)
        if found := _LAST.fullmatch(self.wanted):
            return set(sorted(distinct - {NONE}, key=_order)[-int(found.group(1)) :])
        if ".." in self.wanted:
            first, _, last = self.wanted.partition("..")
            low, high = _order(first), _order(last)
            return {
                value for value in distinct - {NONE}
                if (not first or low <= _order(value)) and (not last or _order(value) <= high)
            }  # fmt: skip
        wanted = {_order(one) for one in self.wanted.split(",")}
        return {value for value in distinct if _order(value) in wanted}


def conditions(asked: Mapping[str, str]) -> tuple[Condition, ...]:
    """One a column. Raises InputError where nothing stands after the sign."""
    for column, wanted in asked.items():
        if not column or not wanted.strip(" .,") or wanted.count("..") > 1:
            raise InputError(
                "What is asked of the partition column {column} is not understood.",
                "As in ?dt=2026-01-01, ?dt=2026-01-01..2026-01-31 or ?dt=last:30.", column=column,
            )  # fmt: skip
    return tuple(Condition(column, wanted.strip()) for column, wanted in asked.items())


def refuse_unknown(asked: Sequence[Condition], columns: Sequence[str], label: str) -> None:
    """Raises InputError where something is asked of a column that does not part the table."""
    for one in asked:
        if one.column not in columns:
            raise InputError(
                "{source} is not parted by {column}.", "Its partition columns: {columns}.",
                source=label, column=one.column, columns=", ".join(columns) or "-",
            )  # fmt: skip


def refuse_none(label: str) -> InputError:
    """Of a table in which no partition is asked for."""
    return InputError("No partition of {source} is asked for.", "Look which there are, and ask for some of them.",
                      source=label)  # fmt: skip


def partition_of(name: str) -> tuple[str, str] | None:
    """(column, raw value) of a folder's name; None where it is no partition."""
    column, sign, value = name.partition("=")
    return (unquote(column), unquote(value)) if sign and column else None


def known(value: str) -> str | None:
    """A raw value as a cell."""
    return None if value == NONE else value


def _order(value: str) -> tuple[int, int, str]:
    """What values are compared by: numbers (and days) before texts."""
    digits = value.replace("-", "") if _DAY.fullmatch(value) else value
    return (0, int(digits), "") if digits.isascii() and digits.isdigit() else (1, 0, value)
