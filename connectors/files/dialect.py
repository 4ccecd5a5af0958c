"""How a text table is laid out: delimiter, quoting, where its header stands. Found out from the head of the file.

A guess here is proven by the reader: every later row must have the header's number of columns.
"""

import codecs
import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.errors import InputError
from connectors.files.text import HEAD, TextFile
from connectors.headers import header_at

DELIMITERS = (",", "\t", ";", "|")
_RECORDS = 500
_TOP = 30  # a header further down is not looked for
_VALUE = re.compile(
    r"'?\+?(86)?[\s-]*1[3-9]\d[\s-]?\d{4}[\s-]?\d{4}|[^@\s]+@[^@\s]+\.\w+|[0-9a-fA-F]{32}|[0-9a-fA-F]{64}"
)


@dataclass(frozen=True)
class Dialect:
    """Layout of a text table.

    delimiter; quote: the quoting character or None; header: the fields of the header row; row: its number, counted in
    records from 1; length: bytes of UTF-8 up to and with the header's line end.
    """

    delimiter: str
    quote: str | None
    header: tuple[str, ...]
    row: int
    length: int


def sniff(file: TextFile, delimiter: str | None) -> Dialect:
    """The layout of `file`; `delimiter` where the caller knows it. Raises InputError."""
    with file.utf8(stop_at_bad=True) as stream:
        head = b""
        while len(head) < HEAD and (piece := stream.read(HEAD - len(head))):
            head += piece
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    readings = [
        _read(text, candidate, quote, whole=len(head) < HEAD)
        for candidate in ((delimiter,) if delimiter else DELIMITERS)
        for quote in ('"', "'", None)
        if quote in (None, '"') or quote in text
    ]
    best = max(readings, key=_fit)
    if not best.records:
        raise InputError(
            "The head of {file} cannot be read as a table.",
            "Look for a quote that is never closed.",
            file=file.path.name,
        )
    place = header_at(best.records[:_TOP])
    length = len("".join(_lines(text)[: best.lines[place]]).encode())
    return Dialect(best.delimiter, best.quote, tuple(best.records[place]), place + 1, length)


def refuse_values(source: str, header: Sequence[str]) -> None:
    """Raise InputError where a header row holds phones, e-mails or digests: the file has no header."""
    if any(_VALUE.fullmatch(name.strip()) for name in header):
        raise InputError(
            "The first row of {source} looks like data, not like column names.",
            "Add a row of column names above it.",
            source=source,
        )


@dataclass(frozen=True)
class _Reading:
    """The head of a file read in one way: its records, and after each the number of lines used up."""

    delimiter: str
    quote: str | None
    records: list[list[str]]
    lines: list[int]


def _read(text: str, delimiter: str, quote: str | None, whole: bool) -> _Reading:
    if quote is None:
        reader = csv.reader(_lines(text), delimiter=delimiter, quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(_lines(text), delimiter=delimiter, quotechar=quote)
    records: list[list[str]] = []
    lines: list[int] = []
    try:
        for record in itertools.islice(reader, _RECORDS):
            records.append([field.strip() for field in record])
            lines.append(reader.line_num)
    except csv.Error:  # a field beyond the csv module's limit: this reading is not the right one
        records = []
    if not whole and len(records) < _RECORDS:
        records = records[:-1]  # the last one may be cut
    return _Reading(delimiter, quote, records, lines)


def _lines(text: str) -> list[str]:
    return list(io.StringIO(text, newline=""))


def _fit(reading: _Reading) -> tuple[bool, float, float, int]:
    """How well a reading fits: more than one column, the same number all over, its quotes used up, many columns."""
    widths = [len(record) for record in reading.records if any(record)]
    if not widths:
        return False, 0.0, 0.0, 0
    width, times = Counter(widths).most_common(1)[0]
    fields = [field for record in reading.records for field in record if field]
    quoted = sum(len(field) > 1 and field[0] == field[-1] and field[0] in "\"'" for field in fields)
    favour = {'"': 0.002, None: 0.001}.get(reading.quote, 0.0) - quoted / len(fields)
    return width > 1, times / len(widths), favour, width
