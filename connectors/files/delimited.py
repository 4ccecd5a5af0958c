"""CSV and TSV files, streamed: every column a text, every row numbered, no row dropped without a word.

Rows are counted as records, the header being the row it stands in; blank rows are passed over and counted. One
thread parses, since only then does Arrow tell the numbers of ragged rows.
"""

import itertools
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from connectors.columns import MAX_COLUMNS, Note, distinct_names, int64, pieces
from connectors.errors import InputError
from connectors.files.dialect import Dialect, refuse_values, sniff
from connectors.files.records import blocks
from connectors.files.text import HEAD, TextFile, examine
from connectors.source import BATCH_ROWS, Batch, Rejected


class RaggedRows(Sequence[Rejected]):
    """Rows with too many or too few columns: eight bytes a row, however many there are."""

    def __init__(self) -> None:
        self.numbers = array("q")

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Rejected: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Rejected]: ...
    def __getitem__(self, place: int | slice) -> Rejected | Sequence[Rejected]:
        if isinstance(place, slice):
            return [Rejected(row, "ragged") for row in self.numbers[place]]
        return Rejected(self.numbers[place], "ragged")


class DelimitedSource:
    """A CSV or TSV file, packed by gzip or not. Raises InputError where its head cannot be understood."""

    def __init__(self, path: Path, *, packed: bool, encoding: str | None = None, delimiter: str | None = None) -> None:
        self.label = path.name
        self.rejected: Sequence[Rejected] = ()
        self._file: TextFile = examine(path, packed, encoding)
        self._dialect: Dialect = sniff(self._file, delimiter)
        refuse_values(self.label, self._dialect.header)
        if len(self._dialect.header) > MAX_COLUMNS:
            raise InputError(
                "{source} has {count} columns; at most {most} are read.",
                "Leave out what is not needed.",
                source=self.label,
                count=len(self._dialect.header),
                most=MAX_COLUMNS,
            )
        names, renamed = distinct_names(self._dialect.header)
        self.schema = pa.schema([pa.field(name, pa.string()) for name in names])
        self.notes: list[Note] = [self._found(), *renamed]
        self._convert = pyarrow.csv.ConvertOptions(
            column_types=self.schema,
            check_utf8=False,  # every block is checked as a whole
            strings_can_be_null=True,
            null_values=[""],
            # in a table of one column `""` is an empty value and a bare line end no row at all
            quoted_strings_can_be_null=len(names) > 1,
        )
        self._refuse_header_only()

    def batches(self) -> Iterator[Batch]:
        """All rows but ragged and blank ones, numbered. Raises InputError with the number of an unreadable row."""
        ragged = RaggedRows()
        try:
            for batch, rows in self._parsed(ragged.numbers, stop_at_bad=False):
                filled = _filled(batch)
                if filled is not None:
                    batch, rows = batch.filter(filled), rows[filled.to_numpy(zero_copy_only=False)]
                start = 0
                for piece in pieces(batch):
                    yield Batch(int64(rows[start : start + BATCH_ROWS]), piece)
                    start += BATCH_ROWS
        except UnicodeDecodeError:
            raise self._undecodable() from None
        except OSError as error:
            raise InputError(
                "{file} cannot be read: {reason}.",
                "Check that it is there and that you may read it.",
                file=self.label,
                reason=error.strerror or type(error).__name__,
            ) from None
        self.rejected = ragged

    def _parsed(self, ragged: "array[int]", *, stop_at_bad: bool) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """Blocks as Arrow parses them, with their row numbers; the numbers of ragged rows are added to `ragged`."""
        above = self._dialect.row
        with self._file.utf8(skip=self._dialect.length, stop_at_bad=stop_at_bad) as stream:
            for block in blocks(stream, self._dialect.delimiter, self._dialect.quote):
                if block.open and not stop_at_bad:
                    raise self._unreadable(above + 1)
                if not _is_utf8(block.content):
                    raise self._undecodable()
                bad = array("q")
                batch = self._parse(block.content, bad, above + 1)
                rows = np.arange(above + 1, above + 1 + batch.num_rows + len(bad), dtype=np.int64)
                if bad:
                    rows = np.delete(rows, np.array(bad) - 1)
                    ragged.extend(above + number for number in bad)
                above += batch.num_rows + len(bad)
                if batch.num_rows:
                    yield batch, rows

    def _parse(self, content: bytes, bad: "array[int]", first: int) -> pa.RecordBatch:
        """One block; `bad` takes the places of ragged rows in it, from 1."""

        def skip(row: pyarrow.csv.InvalidRow) -> str:
            bad.append(row.number)
            return "skip"

        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(content),
                read_options=pyarrow.csv.ReadOptions(
                    use_threads=False, block_size=len(content) + 1, column_names=self.schema.names
                ),
                parse_options=pyarrow.csv.ParseOptions(
                    delimiter=self._dialect.delimiter,
                    quote_char=self._dialect.quote or False,
                    double_quote=self._dialect.quote is not None,
                    newlines_in_values=self._dialect.quote is not None,
                    ignore_empty_lines=False,
                    invalid_row_handler=skip,
                ),
                convert_options=self._convert,
            )
        except pa.ArrowInvalid:
            raise self._unreadable(first) from None
        columns = [_unguarded(column.combine_chunks()) for column in table.columns]
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _unreadable(self, row: int) -> InputError:
        return InputError(
            "{file} cannot be read from row {row} on.",
            "Look there for a quote that is never closed, or a row of many megabytes.",
            file=self.label,
            row=row,
        )

    def _undecodable(self) -> InputError:
        """The error for the first byte that is not of the encoding: the file is read again up to there and counted."""
        ragged = array("q")
        row = self._dialect.row + 1
        for _, rows in self._parsed(ragged, stop_at_bad=True):
            row = int(rows[-1])
        return InputError(
            "Row {row} of {file} is not in the encoding of the rest, {encoding}.",
            "Save the whole file as UTF-8.",
            row=max([row, *ragged[-1:]]),
            file=self.label,
            encoding=self._file.encoding,
        )

    def _refuse_header_only(self) -> None:
        with self._file.utf8(skip=self._dialect.length, stop_at_bad=True) as stream:
            if not any(piece.strip() for piece in iter(lambda: stream.read(HEAD), b"")):
                raise InputError(
                    "{source} has column names but no rows.", "Export it again with at least one row.",
                    source=self.label,
                )  # fmt: skip

    def _found(self) -> Note:
        return (
            'Read as {encoding}, columns parted by "{delimiter}", header in row {row}.',
            {
                "encoding": self._file.encoding,
                "delimiter": self._dialect.delimiter.replace("\t", "Tab"),
                "row": self._dialect.row,
            },
        )


def _is_utf8(content: bytes) -> bool:
    """Whether Arrow takes the bytes for UTF-8; several times faster than decoding them."""
    ends = pa.py_buffer(np.array([0, len(content)], dtype=np.int64))
    try:
        pa.Array.from_buffers(pa.large_string(), 1, [None, ends, pa.py_buffer(content)]).validate(full=True)
    except pa.ArrowInvalid:
        return False
    return True


def _unguarded(texts: pa.StringArray) -> pa.StringArray:
    """The texts without the apostrophe that guards what a spreadsheet would run ('+86…), as Shopify and we write it."""
    if not pc.any(pc.starts_with(texts, "'")).as_py():
        return texts
    return pc.replace_substring_regex(texts, r"^'([\s\x{200b}\x{feff}]*[=+\-@\t\r\n])", r"\1")


def _filled(batch: pa.RecordBatch) -> pa.BooleanArray | None:
    """Which rows hold anything at all; None where all do."""
    columns = batch.columns
    if any(column.null_count == 0 for column in columns):
        return None
    masks = itertools.accumulate((column.is_valid() for column in columns), pc.or_)
    *_, filled = masks
    return None if filled.true_count == len(filled) else filled
