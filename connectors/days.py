"""Dates and times out of what exports contain.

A time with a zone, and a count of seconds, is an instant: its day is the one in Asia/Shanghai. A time without a zone is
taken as written. Years outside 1900 to 2199 are null, so that every result is a date anyone can hold.
"""

from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import Bytes, Flags, Ints, flags, is_valid, numbers, values_of, word
from connectors.identity.texts import as_texts, half_width, matches, uniform, visible

Column: TypeAlias = pa.Array | pa.ChunkedArray
SHANGHAI_US = 8 * 3_600_000_000
"""Asia/Shanghai is this far ahead of UTC; it has had no summer time since 1991."""
DAY_US = 86_400_000_000
_FIRST, _END = (int(np.datetime64(day, "us").astype(np.int64)) for day in ("1900-01-01", "2200-01-01"))
_EXCEL = int(np.datetime64("1899-12-30", "us").astype(np.int64))

_REWRITTEN = (
    (r"[年月]", "-"),
    (r"日", " "),
    (r"[时点分]", ":"),
    (r"秒", ""),
    (r"^(\d{8,14})\.0+$", r"\1"),
    (r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3"),
    (r"^(\d{4})(\d{2})(\d{2})T?(\d{2})(\d{2})(\d{2})(Z|[+-]\d{2}:?\d{2})?$", r"\1-\2-\3 \4:\5:\6\7"),
)
_WRITTEN = (
    r"^(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
    r"(?:(?:T|\s+)(?P<hour>\d{1,2}):(?:(?P<minute>\d{1,2}):?)?(?:(?P<second>\d{1,2})(?:[.,](?P<fraction>\d{1,9}))?)?\s*"
    r"(?P<zone>Z|UTC|GMT|[+-]\d{2}:?(?:\d{2})?)?)?$"
)
_SERIAL = r"^\d{5}(?:\.\d+)?$"
_SINCE_1970 = ((r"^1\d{9}$", 1_000_000), (r"^1\d{12}$", 1_000))


def parse_date(values: Column) -> pa.Date32Array:
    """Days (date32); null for anything else than these.

    2024-01-02, 2024/1/2, 2024.1.2, 2024年1月2日, 20240102, each with or without a time; Excel's serial days (five
    digits); seconds or milliseconds since 1970 (10 or 13 digits that begin with 1).
    """
    micros, zoned, good = _instants(values)
    local = np.where(zoned, micros + SHANGHAI_US, micros)
    return numbers((local // DAY_US).astype(np.int32), good, pa.date32())


def parse_time(values: Column) -> pa.TimestampArray:
    """Instants (timestamp[us, UTC]), written as for `parse_date`; without a zone they are UTC."""
    micros, _, good = _instants(values)
    return numbers(micros, good, pa.timestamp("us", "UTC"))


def _instants(values: Column) -> tuple[Ints, Flags, Flags]:
    """(microseconds since 1970, which are instants and no local time, which are good)."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_date(array.type) or pa.types.is_timestamp(array.type):
        micros, zoned, good = _typed(array)
    else:
        micros, zoned, good = _texts(as_texts(array))
    return micros, zoned, good & (micros >= _FIRST) & (micros < _END)


def _typed(array: pa.Array) -> tuple[Ints, Flags, Flags]:
    kind = array.type
    stored, good = values_of(array).astype(np.int64), is_valid(array)
    if pa.types.is_date(kind):
        factor, divisor = (DAY_US, 1) if kind == pa.date32() else (1_000, 1)
    else:
        factor, divisor = {"s": (1_000_000, 1), "ms": (1_000, 1), "us": (1, 1), "ns": (1, 1_000)}[kind.unit]
    if factor > 1:
        good &= np.abs(stored) <= 2**62 // factor
    micros = np.where(good, stored, 0) * factor // divisor
    zoned = np.full(len(array), pa.types.is_timestamp(kind) and kind.tz is not None)
    return micros, zoned, good


def _texts(texts: pa.StringArray) -> tuple[Ints, Flags, Flags]:
    """The usual form by its bytes, the rest by its grammar, each distinct text once."""
    fits, rows = uniform(texts, 19)
    found, usual = _fixed(rows)
    done = fits.copy()
    done[fits] = usual
    micros, zoned, good = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_), done.copy()
    micros[done] = found[usual]
    rest = np.flatnonzero(~done)
    if len(rest):
        distinct = texts.take(numbers(rest)).dictionary_encode()
        places = values_of(distinct.indices)
        micros[rest], zoned[rest], good[rest] = (part[places] for part in _any_form(distinct.dictionary))
    return micros, zoned, good


def _fixed(rows: Bytes) -> tuple[Ints, Flags]:
    """2024-01-02 03:04:05 (or a T between) of uint8[n, 19]: (microseconds, which are of this form and good)."""
    good = (rows[:, 10] == ord(" ")) | (rows[:, 10] == ord("T"))
    for place, sign in ((4, "-"), (7, "-"), (13, ":"), (16, ":")):
        good &= rows[:, place] == ord(sign)
    digits = rows.astype(np.int64) - ord("0")
    for place in (0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18):
        good &= (digits[:, place] >= 0) & (digits[:, place] <= 9)
    month, day, hour, minute, second = (digits[:, at] * 10 + digits[:, at + 1] for at in (5, 8, 11, 14, 17))
    year = digits[:, 0] * 1_000 + digits[:, 1] * 100 + digits[:, 2] * 10 + digits[:, 3]
    days, valid = _civil(np.where(good, year, 0), np.where(good, month, 1), day)
    good &= valid & (hour < 24) & (minute < 60) & (second < 60)
    return days * DAY_US + ((hour * 60 + minute) * 60 + second) * 1_000_000, good


def _any_form(texts: pa.StringArray) -> tuple[Ints, Flags, Flags]:
    tidy = pc.utf8_trim_whitespace(pc.utf8_upper(visible(half_width(texts))))
    for pattern, form in _REWRITTEN:
        tidy = pc.replace_substring_regex(tidy, pattern, form)
    tidy = pc.utf8_trim_whitespace(tidy)
    micros, zoned, good = _written(tidy)
    serial = matches(tidy, _SERIAL)
    days = values_of(pc.cast(pc.if_else(flags(serial), tidy, word("0")), pa.float64()))
    micros = np.where(serial, _EXCEL + np.rint(days * 86_400).astype(np.int64) * 1_000_000, micros)
    for pattern, factor in _SINCE_1970:
        since = matches(tidy, pattern)
        count = values_of(pc.cast(pc.if_else(flags(since), tidy, word("0")), pa.int64()))
        micros, zoned, good = np.where(since, count * factor, micros), zoned | since, good | since
    return micros, zoned, good | serial


def _written(texts: pa.StringArray) -> tuple[Ints, Flags, Flags]:
    """Dates written by year, month and day."""
    fields = pc.extract_regex(texts, _WRITTEN)
    good = is_valid(fields)

    def part(name: str) -> pa.StringArray:
        return pc.if_else(flags(good), fields.field(name), word(""))

    def count(name: str) -> Ints:
        return _integers(part(name))

    month, day, hour, minute, second = (count(name) for name in ("month", "day", "hour", "minute", "second"))
    days, valid_day = _civil(count("year"), month, day)
    good &= valid_day & (hour < 24) & (minute < 60) & (second < 60)
    fraction = _integers(pc.utf8_slice_codeunits(pc.utf8_rpad(part("fraction"), 6, "0"), 0, 6))
    zone, valid_zone = _offsets(part("zone"))
    seconds = (hour * 60 + minute) * 60 + second
    micros = days * DAY_US + seconds * 1_000_000 + fraction - zone
    return micros, matches(part("zone"), "."), good & valid_zone


def _civil(year: Ints, month: Ints, day: Ints) -> tuple[Ints, Flags]:
    """(days since 1970-01-01, which exist)."""
    months = (year - 1970) * 12 + month - 1
    start, end = _days_at(months), _days_at(months + 1)
    return start + day - 1, (month >= 1) & (month <= 12) & (day >= 1) & (start + day <= end)


def _days_at(months: Ints) -> Ints:
    days: Ints = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    return days


def _offsets(zones: pa.StringArray) -> tuple[Ints, Flags]:
    """(microseconds ahead of UTC, which are at most 15 hours) of Z, +08, +0800, +08:00."""
    digits = pc.replace_substring_regex(zones, "[^0-9]", "")
    clock = _integers(pc.utf8_rpad(digits, 4, "0"))
    minutes = clock // 100 * 60 + clock % 100
    ahead = np.where(matches(zones, "^-"), -minutes, minutes)
    return ahead * 60_000_000, (minutes <= 15 * 60) & (clock % 100 < 60)


def _integers(texts: pa.StringArray) -> Ints:
    """Digits as int64; an empty text is 0."""
    filled: Ints = values_of(pc.cast(pc.binary_join_element_wise(word("0"), texts, word("")), pa.int64()))
    return filled
