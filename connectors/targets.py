"""Tables written for people: CSV that a spreadsheet opens rightly, and in which it runs nothing.

Where the bytes go is the caller's affair; no file is opened here.
"""

import re
from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

MARK = b"\xef\xbb\xbf"
_FORMULA = "^[\\s\u00a0\u200b\ufeff\u3000]*[=+\\-@|%\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]"
"""The last four signs of the second set are = + - @ of full width; of RE2 and of Python's re alike."""
_NUMBER = r"^-\d[\d,]*(\.\d+)?([eE][+\-]?\d+)?$"


def write_csv(handle: BinaryIO, batches: Iterable[pa.RecordBatch], schema: pa.Schema | None = None) -> int:
    """Write batches as CSV in UTF-8 with a byte-order mark; return the number of rows.

    schema: for the header where there may be no batch. A text that a spreadsheet would take for a formula (it begins
    with = + - @ | %, the first four of full width too, or with a tab or line end; spaces before do not matter) is led
    by an apostrophe: OWASP, "CSV Injection". Numbers survive: columns of numbers and texts such as -12.5 stay; a phone
    written +86… is led by the apostrophe, since a spreadsheet would add or round it. Header cells are treated alike.
    Raises pa.ArrowInvalid for columns that have no text form, such as lists.
    """
    handle.write(MARK)
    writer: pyarrow.csv.CSVWriter | None = None
    rows = 0
    for batch in batches:
        safe = _harmless(batch)
        writer = writer or pyarrow.csv.CSVWriter(handle, safe.schema)
        writer.write_batch(safe)
        rows += batch.num_rows
    if writer is None and schema is not None:
        writer = pyarrow.csv.CSVWriter(handle, _harmless(pa.RecordBatch.from_pylist([], schema)).schema)
    if writer is not None:
        writer.close()
    return rows


def harmless(text: str) -> str:
    """A single cell likewise, where it is known to be a text and no number: -12.5 is led by an apostrophe too."""
    return f"'{text}" if re.match(_FORMULA, text) else text


def _harmless(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [_harmless_texts(_as_text(column)) for column in batch.columns]
    names = [str(name) for name in _harmless_texts(pa.array(batch.schema.names, pa.string()))]
    return pa.RecordBatch.from_arrays(columns, names=names)


def _as_text(column: pa.Array) -> pa.Array:
    kind = column.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    return column if plain or pa.types.is_null(kind) else column.cast(pa.string())


def _harmless_texts(texts: pa.Array) -> pa.Array:
    if not pa.types.is_string(texts.type):
        return texts
    armed = pc.and_not(pc.match_substring_regex(texts, _FORMULA), pc.match_substring_regex(texts, _NUMBER))
    if not pc.any(armed).as_py():
        return texts
    return pc.if_else(armed, pc.binary_join_element_wise("'", texts, ""), texts)
