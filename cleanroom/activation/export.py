"""A file of the people to address, whole or not at all: Parquet, or CSV in which a spreadsheet runs nothing."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from cleanroom.activation.people import HANDLE
from cleanroom.errors import UsageError
from cleanroom.files import replacing

SCHEMA = pa.schema([(HANDLE, pa.string())])
FORMATS = (".csv", ".parquet")


def check_path(path: Path) -> None:
    """Raises UsageError for a file that cannot be written, before anything is read."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError("{name} is neither .csv nor .parquet.", "Name it so: the end tells the format.",
                         name=path.name)  # fmt: skip
    if path.exists() or path.is_symlink():
        raise UsageError("{name} exists already.", "Name a file that does not exist yet.", name=path.name)


def write(path: Path, people: Iterable[pa.StringArray]) -> int:
    """Write them under one column, mode 0600; how many they are."""
    from connectors.targets import write_csv

    def batches() -> Iterator[pa.RecordBatch]:
        for some in people:
            yield pa.RecordBatch.from_arrays([some], schema=SCHEMA)

    with replacing(path) as aside, aside.open("wb") as file:
        return write_csv(file, batches(), SCHEMA) if path.suffix.lower() == ".csv" else _parquet(file, batches())


def _parquet(file: BinaryIO, batches: Iterable[pa.RecordBatch]) -> int:
    import pyarrow.parquet as pq

    rows = 0
    with pq.ParquetWriter(file, SCHEMA) as writer:
        for batch in batches:
            writer.write_batch(batch)
            rows += batch.num_rows
    return rows
