"""A part of a run, whichever of its bytes was changed: the rows that were written, or a named error."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_rows import parts

from cleanroom.errors import BadData

TABLE = pa.table({"text": [f"x {n % 7}" for n in range(40)], "number": range(40)})


def test_a_changed_byte_is_named_or_means_nothing(tmp_path: Path) -> None:
    """Only a few bytes are free: what stands before and around the encrypted footer, and is not looked at."""
    place = parts(tmp_path)
    with place.write("one", TABLE.schema) as writer:
        for batch in TABLE.to_batches():
            writer.add(batch)
        writer.close()
    (path,) = tmp_path.rglob("one.parquet")
    content, free = path.read_bytes(), 0
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        try:
            assert pa.Table.from_batches(place.read("one", None, len(TABLE))) == TABLE
        except BadData:
            continue
        free += 1
    assert free < 32


def test_an_open_file_in_the_place_of_a_part_is_not_read(tmp_path: Path) -> None:
    """Whoever runs the store has no key, and Parquet knows files without one: of as many rows, under the same names."""
    place = parts(tmp_path)
    with place.write("one", TABLE.schema) as writer:
        writer.add(TABLE.to_batches()[0])
        writer.close()
    (path,) = tmp_path.rglob("one.parquet")
    names = {b"cleanroom-part/1": b'["text", "number"]'}
    open_file = TABLE.rename_columns(["c0", "c1"]).replace_schema_metadata(names)
    pq.write_table(open_file, path, compression="none")
    with pytest.raises(BadData, match="missing or damaged"):
        list(place.read("one", None, len(TABLE)))
