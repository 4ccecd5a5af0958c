"""Made-up files to measure with: phones of nobody, the same ones at every run."""

import math
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

_RANGE = 900_000_000
_STEP = 387_420_491
"""Coprime to _RANGE, so that n · _STEP mod _RANGE are distinct."""
assert math.gcd(_STEP, _RANGE) == 1


def phones(first: int, rows: int) -> pa.Array:
    """Those of `rows` persons from number `first` on, in an order of their own."""
    persons = np.random.default_rng(first + rows).permutation(np.arange(first, first + rows, dtype=np.int64))
    return pa.array(13_000_000_000 + persons * _STEP % _RANGE).cast(pa.string())


def ids(folder: Path, receiver: int, sender: int) -> tuple[Path, Path]:
    """Two CSV files of phones alone; half of the smaller side's stand in both. Made once a folder."""
    shared = min(receiver, sender) // 2
    paths = []
    for name, first, rows in (("receiver", 0, receiver), ("sender", receiver - shared, sender)):
        path = folder / f"{name}-{receiver}-{sender}.csv"
        if not path.exists():
            _elsewhere(_write_phones, path, first, rows)
        paths.append(path)
    return paths[0], paths[1]


def _write_phones(path: Path, first: int, rows: int) -> None:
    pa.csv.write_csv(pa.table({"phone": phones(first, rows)}), path)


def _elsewhere(work: Callable[..., None], *given: object) -> None:
    """In a process of its own: what it takes would count as the peak memory of every process started from here."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(work, *given).result()


def exports(folder: Path, rows: int) -> tuple[str, str]:
    """Two CSV files as people have them: phones, categories, amounts; half of them in both."""
    paths = folder / f"merchant-{rows}.csv", folder / f"platform-{rows}.csv"
    _elsewhere(_write_exports, paths, rows)
    return str(paths[0]), str(paths[1])


def _write_exports(paths: tuple[Path, Path], rows: int) -> None:
    draw = np.random.default_rng(rows)
    for path, first in zip(paths, (0, rows // 2), strict=True):
        columns = {
            "phone": phones(first, rows),
            "level": pa.array(draw.choice(["gold", "silver", "plain"], rows).tolist()),
            "city": pa.array(draw.choice(["Shanghai", "Beijing", "Hangzhou", "Chengdu"], rows).tolist()),
            "spend": pa.array(draw.gamma(2, 150, rows).round(2)),
            "visits": pa.array(draw.poisson(3, rows)),
        }
        pa.csv.write_csv(pa.table(columns), path)
