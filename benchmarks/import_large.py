"""A large import: `python -m benchmarks.import_large --rows N [--csv] [--json]`.

It says what memory an import takes at most and how long. The rows are synthetic, made while they are written: phones of
nobody, in nine of a hundred rows one that was there before. File and vault are made in a folder that is removed: 100 M
rows need some 1.5 GB as Parquet (4 as CSV), 7 in the vault, and meanwhile 3 for what is set aside. The import runs in a
process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.data import _RANGE, _STEP, _elsewhere

BATCH = 1 << 20
LEVELS = pa.array(["gold", "silver", "plain"])
TOLD = "synthetic: phones of nobody, 9 rows in 100 of a person who was there before"


def phones(first: int, rows: int) -> pa.Array:
    """Of rows `first` on: row r is person r, or where r ends in 9 an earlier one."""
    place = np.arange(first, first + rows, dtype=np.int64)
    person = np.where(place % 10 == 9, place * 7 // 10, place)
    return pa.array(13_000_000_000 + person * _STEP % _RANGE).cast(pa.string())


def made(path: Path, rows: int) -> None:
    """The file, a batch at a time."""
    draw = np.random.default_rng(rows)
    schema = pa.schema({"phone": pa.string(), "level": pa.string(), "spend": pa.float64()})
    writer = pa.csv.CSVWriter(path, schema) if path.suffix == ".csv" else pq.ParquetWriter(path, schema)
    with writer:
        for first in range(0, rows, BATCH):
            count = min(BATCH, rows - first)
            spend = pa.array(draw.integers(0, 100_000, count) / 100)
            level = LEVELS.take(pa.array(draw.integers(0, len(LEVELS), count)))
            writer.write_table(pa.table([phones(first, count), level, spend], schema=schema))


def imported(source: Path, home: Path) -> dict[str, Any]:
    """In this process: the file into a new vault; seconds, memory and what came of it."""
    from cleanroom.home import Home
    from cleanroom.importing import Wish, import_source
    from cleanroom.lean import without_pandas

    without_pandas()
    node = Home.create(home, "merchant")
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    told = import_source(node, Wish("crm", str(source), by=("level",), sums=("spend",)))
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {
        "rows": told["funnel"]["rows"],
        "persons": told["funnel"]["unique"],
        "merged": told["funnel"]["merged"],
        "cpu_seconds": round(cpu, 1),
        "cpu_seconds_a_million": round(cpu / told["funnel"]["rows"] * 1e6, 2),
        "seconds": round(seconds, 1),
        "peak_mb": after.ru_maxrss >> 10,
        "before_mb": before.ru_maxrss >> 10,
    }


def main() -> None:
    """Make the file, import it elsewhere, tell."""
    parser = argparse.ArgumentParser(prog="import_large")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--csv", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--import", dest="source", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.source:
        sys.stdout.write(json.dumps(imported(asked.source, asked.folder / "home")))
        return
    with tempfile.TemporaryDirectory(prefix="import-", dir=asked.folder) as name:
        folder = Path(name)
        file = folder / ("rows.csv" if asked.csv else "rows.parquet")
        _elsewhere(made, file, asked.rows)
        told = _imported_elsewhere(file, folder)
        told |= {"file_mb": file.stat().st_size >> 20, "vault_mb": _size(folder / "home") >> 20}
    told |= {"format": file.suffix[1:], "data": TOLD, "cores": os.cpu_count()}
    sys.stdout.write(json.dumps(told) + "\n" if asked.json else "".join(f"{key}: {told[key]}\n" for key in told))


def _imported_elsewhere(file: Path, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.import_large", "--import", str(file), "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
