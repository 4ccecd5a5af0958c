"""Amounts, numbers, dates, truth values and categories out of what exports contain; null where it cannot be told.

Exact: an amount goes through integers, never through a rounded float. Nothing is guessed: `01/02/2024` or `1.234,56`
is null, and the caller counts it (`unparsed`). Nothing loops over rows.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import Flags, Ints, as_flags, flags, is_valid, numbers, values_of, word, words
from connectors.days import parse_date, parse_time
from connectors.identity.texts import SPACES, as_texts, half_width, is_blank, lengths, matches, visible, without

Column: TypeAlias = pa.Array | pa.ChunkedArray
__all__ = [
    "LIMIT",
    "parse_amount",
    "parse_bool",
    "parse_category",
    "parse_date",
    "parse_number",
    "parse_time",
    "unparsed",
]
LIMIT = 2**62
"""Amounts beyond ± this many minor units are null."""

_SIGN = "CNY|RMB|HKD|USD|EUR|GBP|JPY|人民币|HK\\$|US\\$|[¥$€£]"
_AMOUNT = (
    rf"^(?P<open>\()?(?P<before>[+\-−])?(?:{_SIGN})?(?P<after>[+\-−])?"
    r"(?P<whole>\d{1,3}(?:,\d{3})+|\d+)?(?:\.(?P<part>\d*))?(?P<unit>[万亿])?"
    rf"(?:元|圆|块|{_SIGN})?(?P<close>\))?$"
)
_UNITS = {"": 0, "万": 4, "亿": 8}
_TRUE = ("1", "true", "t", "yes", "y", "on", "是", "有", "对", "同意", "已同意", "授权", "已授权", "√", "✓", "1.0")
_FALSE = ("0", "false", "f", "no", "n", "off", "否", "无", "错", "不同意", "未同意", "拒绝", "未授权", "×", "✗", "0.0")


def unparsed(values: Column, parsed: pa.Array) -> Flags:
    """Which rows held something (not blank, no placeholder) that became null."""
    null = np.flatnonzero(~is_valid(parsed))
    lost = np.zeros(len(parsed), np.bool_)
    if len(null):
        lost[null] = ~is_blank(as_texts(_array(values).take(numbers(null))))
    return lost


def parse_amount(values: Column, scale: int = 2) -> pa.Int64Array:
    """Amounts in minor units (10^-scale of what is written, scale 0 to 3): int64.

    Null where unreadable or beyond ± LIMIT. Reads ¥ ￥ $ € £ and codes, thousands, 万 and 亿, 元, (1,234) as negative,
    full-width digits. Digits beyond the scale round half away from zero. A float counts as its shortest decimal text.
    """
    texts = as_texts(_without_dust(_array(values)))
    plain = matches(texts, rf"^[+-]?\d{{1,{13 - scale}}}(?:\.\d{{0,{scale}}})?$" if scale else r"^[+-]?\d{1,13}$")
    minor, good = np.zeros(len(texts), np.int64), plain.copy()
    # at most 13 digits and no more decimals than the scale: the float's error stays far below half a unit
    minor[plain] = np.rint(_floats(_some(texts, plain)) * 10**scale).astype(np.int64)
    rest = np.flatnonzero(~plain)
    if len(rest):
        minor[rest], good[rest] = _by_distinct(texts.take(numbers(rest)), lambda column: _amounts(column, scale))
    return numbers(minor, good)


def parse_number(values: Column) -> pa.DoubleArray:
    """Numbers as float64; the same writing as amounts, and exponents. Infinite and unreadable ones are null."""
    texts = as_texts(values)
    plain = matches(texts, r"^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?$")
    result, good = np.zeros(len(texts)), plain.copy()
    result[plain] = _floats(_some(texts, plain))
    rest = np.flatnonzero(~plain)
    if len(rest):
        result[rest], good[rest] = _by_distinct(texts.take(numbers(rest)), _numbers)
    return numbers(result, good & np.isfinite(result))


def parse_category(values: Column) -> pa.StringArray:
    """Categories as text: half width, trimmed, null where empty. A whole float loses its ".0"."""
    array = _array(values)
    distinct = as_texts(array).dictionary_encode()
    names = pc.utf8_trim_whitespace(half_width(distinct.dictionary))
    if pa.types.is_floating(array.type):
        names = pc.replace_substring_regex(names, r"\.0$", "")
    return pc.if_else(flags(lengths(names) > 0), names, pa.nulls(1, pa.string())[0]).take(distinct.indices)


def parse_bool(values: Column) -> pa.BooleanArray:
    """是/否, yes/no, true/false, 1/0, 同意/不同意, …; null for anything else."""
    distinct = as_texts(values).dictionary_encode()
    names = pc.utf8_lower(pc.utf8_trim_whitespace(half_width(distinct.dictionary)))
    true = as_flags(pc.is_in(names, value_set=words(_TRUE)))
    false = as_flags(pc.is_in(names, value_set=words(_FALSE)))
    return pc.if_else(flags(true | false), flags(true), pa.nulls(1, pa.bool_())[0]).take(distinct.indices)


def _array(values: Column) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values


def _without_dust(array: pa.Array) -> pa.Array:
    """Floats that round to nothing as 0: their text would be an exponent."""
    if not pa.types.is_floating(array.type):
        return array
    floats = array.cast(pa.float64())
    values = values_of(floats)
    return numbers(np.where(np.abs(values) < 1e-4, 0.0, values), is_valid(floats))


def _some(texts: pa.StringArray, chosen: Flags) -> pa.StringArray:
    return texts if chosen.all() else texts.filter(flags(chosen))


def _floats(texts: pa.StringArray) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values_of(pc.cast(without(texts, b"+"), pa.float64()))
    return found


def _by_distinct(texts: pa.StringArray, parse: Callable[[pa.StringArray], tuple[Any, Flags]]) -> tuple[Any, Flags]:
    """(values, which are good) of each row, each distinct text parsed once."""
    distinct = texts.dictionary_encode()
    found, good = parse(_bare(distinct.dictionary))
    rows = values_of(distinct.indices)
    return found[rows], good[rows]


def _bare(texts: pa.StringArray) -> pa.StringArray:
    """In half width, without spaces and invisible characters, ￥ as ¥."""
    return without(pc.replace_substring(visible(half_width(texts)), "￥", "¥"), SPACES)


def _fields(texts: pa.StringArray) -> tuple[dict[str, pa.StringArray], Flags, Flags]:
    """(the parts of each amount, which are amounts, which are negative)."""
    fields = pc.extract_regex(pc.utf8_upper(texts), _AMOUNT)
    good = is_valid(fields)
    parts = {
        name: pc.fill_null(fields.field(name), word(""))
        for name in ("open", "before", "after", "whole", "part", "unit", "close")
    }
    opened, closed = lengths(parts["open"]) > 0, lengths(parts["close"]) > 0
    signs = [lengths(parts["before"]) > 0, lengths(parts["after"]) > 0]
    minus = matches(parts["before"], "[-−]") | matches(parts["after"], "[-−]")
    good &= (opened == closed) & (opened.astype(int) + signs[0] + signs[1] <= 1)
    good &= lengths(parts["whole"]) + lengths(parts["part"]) > 0
    return parts, good, opened | minus


def _amounts(texts: pa.StringArray, scale: int) -> tuple[Ints, Flags]:
    parts, good, negative = _fields(texts)
    whole = without(parts["whole"], b",")
    minor = np.zeros(len(texts), np.uint64)
    for unit, zeros in _UNITS.items():
        rows = np.flatnonzero(good & (as_flags(pc.equal(parts["unit"], word(unit)))))
        if len(rows):
            place = numbers(rows)
            minor[rows], good[rows] = _shifted(whole.take(place), parts["part"].take(place), scale + zeros)
    good &= minor <= LIMIT
    signed = np.where(good, minor, 0).astype(np.int64)
    return np.where(negative, -signed, signed), good


def _shifted(whole: pa.StringArray, part: pa.StringArray, places: int) -> tuple[NDArray[np.uint64], Flags]:
    """(whole.part × 10^places, half away from zero; which fit into 64 bits)."""
    kept = pc.utf8_slice_codeunits(pc.utf8_rpad(part, places, "0"), 0, places)
    digits = pc.utf8_ltrim(pc.binary_join_element_wise(whole, kept, word("")), "0")
    fits = lengths(digits) <= 19
    safe = pc.if_else(flags(fits & (lengths(digits) > 0)), digits, word("0"))
    up = matches(pc.utf8_slice_codeunits(part, places, places + 1), "[5-9]")
    return values_of(pc.cast(safe, pa.uint64())) + up.astype(np.uint64), fits


def _numbers(texts: pa.StringArray) -> tuple[NDArray[np.float64], Flags]:
    parts, good, negative = _fields(texts)
    written = pc.binary_join_element_wise(without(parts["whole"], b","), parts["part"], word("."))
    plain = pc.if_else(flags(good), pc.binary_join_element_wise(word("0"), written, word("")), word("0"))
    unit = np.select([matches(parts["unit"], "万"), matches(parts["unit"], "亿")], [1e4, 1e8], 1.0)
    found = _floats(plain) * unit
    return np.where(negative, -found, found), good
