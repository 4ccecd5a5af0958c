"""A dataset's columns as the numbers of their cells, a byte a row, kept beside the version of the dataset they are of.

To read ten million labels takes a hundred times as long as to count them. What is kept is sealed under the home's root
key, stands in the folder of its version and vanishes with it, so with every person who is forgotten; no backup has it.
"""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.matching import cells
from cleanroom.rooms.terms import Annex, Column
from cleanroom.vault.folders import DatasetFolder
from cleanroom.vault.manifest import Manifest

PREFIX = "coded-"
_LABEL = "cleanroom/coded/1"
_LEAST_ROWS = 100_000
"""Fewer are read as fast as they are opened."""
_SEAL_BYTES = 64
_SUM_BYTES = 8

Codes = NDArray[np.uint8]


def codes(home: Home, manifest: Manifest, annex: Annex) -> Codes:
    """The cell of every row in a category or bucket: uint8[rows], of this version of the dataset.

    Raises BadData where what is kept was changed, or where the dataset is of another version by now.
    """
    of: dict[str, canonical.Json] = {
        "column": annex.column, "labels": list(annex.labels), "edges": list(annex.edges)
    }  # fmt: skip

    def read() -> bytes:
        return cells.codes(home.vault, manifest.dataset, annex).astype(np.uint8).tobytes()

    return np.frombuffer(_kept(home, manifest, of, manifest.rows, read), np.uint8)


def total(home: Home, manifest: Manifest, column: Column) -> int:
    """The sum of an amount over all rows, each clamped to the contract's bounds, in minor units. Raises as `codes`."""
    of: dict[str, canonical.Json] = {"column": column.name, "low": column.low, "high": column.high}

    def read() -> bytes:
        found = int(cells.amounts(home.vault, manifest.dataset, column).sum())
        return found.to_bytes(_SUM_BYTES, "little", signed=True)

    return int.from_bytes(_kept(home, manifest, of, _SUM_BYTES, read), "little", signed=True)


def _kept(home: Home, manifest: Manifest, of: canonical.Json, size: int, read: Callable[[], bytes]) -> bytes:
    """What is kept of a version under the name that `of` makes, or `read` now and kept; so many bytes."""
    folder, digest = DatasetFolder.of(home.vault.path, manifest.dataset), canonical.digest(_LABEL, of)
    path = folder.version_path(manifest.version) / f"{PREFIX}{digest[:32]}"
    name = folder.file_id(manifest.version, f"{PREFIX}{digest}")
    if path.exists():
        found = home.wrapping.unwrap(name, private_files.read(path, size + _SEAL_BYTES))
    else:
        found = read()
        if home.vault.manifest(manifest.dataset).version != manifest.version:
            raise BadData("The dataset {dataset} changed while it was read.", "Run it again.",
                          dataset=manifest.dataset)  # fmt: skip
        if manifest.rows >= _LEAST_ROWS:
            with suppress(BadData, UsageError):  # no room on the disk, or the version is gone: it is read again
                write_bytes(path, home.wrapping.wrap(name, found))
    if len(found) != size:
        raise BadData("What is kept of the dataset {dataset} is not of its version.", dataset=manifest.dataset)
    return found
