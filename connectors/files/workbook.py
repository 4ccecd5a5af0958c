"""XLSX, XLS, XLSB and ODS workbooks. The file itself is opened only by a limited process (`sheet.py`)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from connectors.columns import Note, pieces
from connectors.errors import InputError
from connectors.source import Batch, Rejected

_REFUSED = 3
_SECONDS = 300
_MOST_BYTES = 256 << 20


class WorkbookSource:
    """The table in one sheet of a workbook, every cell a text, rows numbered as the spreadsheet shows them.

    A sheet has at most 1,048,576 rows by its format, so the table is held in memory. Raises InputError.
    """

    def __init__(self, path: Path, sheet: str | None = None) -> None:
        self.label = path.name
        table = _read_apart(path, sheet)
        told = table.schema.metadata
        self.notes: list[Note] = [(text, params) for text, params in json.loads(told[b"notes"])]
        self.rejected: Sequence[Rejected] = [Rejected(row, reason) for row, reason in json.loads(told[b"rejected"])]
        self._rows_and_cells = table.replace_schema_metadata()
        self.schema: pa.Schema = self._rows_and_cells.schema.remove(0)

    def batches(self) -> Iterator[Batch]:
        """All rows but blank ones, totals and notes."""
        for batch in self._rows_and_cells.to_batches():
            for piece in pieces(batch):
                cells = pa.RecordBatch.from_arrays(piece.columns[1:], schema=self.schema)
                yield Batch(piece.column(0), cells)


def _read_apart(path: Path, sheet: str | None) -> pa.Table:
    too_large = InputError(
        "{file} is too large a spreadsheet.", "Save the sheet as CSV and give that.", file=path.name
    )  # fmt: skip
    if path.stat().st_size > _MOST_BYTES:
        raise too_large
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "connectors.files.sheet"],
            input=json.dumps({"path": str(path.absolute()), "sheet": sheet}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=_SECONDS,
            env=os.environ | {"RUST_BACKTRACE": "0"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise too_large from None
    if answer.returncode == _REFUSED:
        template, hint, params = json.loads(answer.stdout)
        raise InputError(template, hint, **params)
    if answer.returncode != 0:  # out of memory or of time: the process was ended
        raise too_large
    with pa.ipc.open_stream(pa.BufferReader(answer.stdout)) as reader:
        return reader.read_all()
