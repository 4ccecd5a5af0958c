"""Reading a version's files: some columns, some rows, a row group at a time, the refined files applied."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from cleanroom.vault.columns import damaged
from cleanroom.vault.encrypted_file import Place
from cleanroom.vault.files import Files
from cleanroom.vault.manifest import StoredFile
from cleanroom.vault.parts import KEEP


def read_groups(
    place: Place,
    parts: Sequence[StoredFile],
    refined: Sequence[StoredFile],
    columns: Sequence[str],
    rows: NDArray[np.int64] | None,
) -> Iterator[pa.RecordBatch]:
    """A batch a row group that has something: `columns` (physical names), of the rows at the positions `rows`.

    Positions count the rows that stand, over all parts. In a folder all files are open before the first batch comes, so
    that a version removed meanwhile is still read to its end. Raises BadData for what does not decrypt.
    """
    opened = place.open_all(parts, columns)
    overlays = place.open_all(refined, [KEEP, *columns]) if refined else repeat(None)
    return overlaid(place.files, zip(parts, opened, overlays, strict=False), columns, rows)


def overlaid(
    files: Files,
    opened: Iterable[tuple[StoredFile, pq.ParquetFile, pq.ParquetFile | None]],
    columns: Sequence[str],
    rows: NDArray[np.int64] | None,
) -> Iterator[pa.RecordBatch]:
    """As `read_groups`, of files that are open: each part, its file, and its refined file where it has one."""
    start = 0
    for part, file, overlay in opened:
        try:
            if file.metadata.num_rows != part.rows:
                raise damaged(part.name)
            for group in range(file.metadata.num_row_groups):
                over = None if overlay is None else overlay.read_row_group(group, _present(overlay, columns))
                chosen, start = _chosen(over, file.metadata.row_group(group).num_rows, start, rows)
                if chosen is None or len(chosen):
                    yield _group(file, group, over, columns, chosen)
        except (pa.ArrowException, OSError) as error:
            raise files.blamed(part.name, error) from error


def _chosen(
    over: pa.Table | None, stored: int, start: int, rows: NDArray[np.int64] | None
) -> tuple[NDArray[np.int64] | None, int]:
    """(which stored rows of the group to take, None for all; the position after the group's last standing row)."""
    standing = None if over is None else np.flatnonzero(over.column(KEEP).to_numpy())
    end = start + (stored if standing is None else len(standing))
    if rows is None:
        return standing, end
    low, high = np.searchsorted(rows, [start, end])
    within = rows[low:high] - start
    return (within if standing is None else standing[within]), end


def _group(
    file: pq.ParquetFile, group: int, over: pa.Table | None, columns: Sequence[str], chosen: NDArray[np.int64] | None
) -> pa.RecordBatch:
    replaced = {} if over is None else {name: over.column(name) for name in columns if name in over.column_names}
    table = file.read_row_group(group, [name for name in columns if name not in replaced])
    for name, values in replaced.items():
        table = table.append_column(name, values)
    table = table.select(list(columns)).combine_chunks()
    if chosen is not None:
        table = table.take(pa.array(chosen)).combine_chunks()
    return table.to_batches()[0]


def _present(overlay: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    return [KEEP, *(name for name in columns if name in overlay.schema_arrow.names)]
