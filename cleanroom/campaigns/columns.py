"""Columns of a campaign put beside those of a dataset, as its next version: same rows, same order, same identities.

A party does this to its own dataset alone. Nothing is read from disk in the clear and no row changes its place; what
was imported stays. An import replaces the dataset, so that the columns of campaigns under way are put there again.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.answer.slot_renewal import renew
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.matching.cells import TYPED
from cleanroom.vault.identities import DIGEST, Bytes, as_bytes
from cleanroom.vault.manifest import Manifest


@dataclass(frozen=True, eq=False)
class Category:
    """labels by code, of the rows."""

    labels: tuple[str, ...]
    codes: NDArray[np.uint8] | NDArray[np.uint16]

    def array(self, start: int, count: int) -> pa.Array:
        """Some rows, as text."""
        return pa.array(self.labels, pa.string()).take(pa.array(self.codes[start : start + count]))


@dataclass(frozen=True, eq=False)
class Amount:
    """Whole minor units, int64[n] of the rows."""

    values: NDArray[np.int64]

    def array(self, start: int, count: int) -> pa.Array:
        """Some rows."""
        return pa.array(self.values[start : start + count], pa.int64())


Columns = Mapping[str, Category | Amount]


def flag(values: NDArray[np.bool_]) -> Category:
    """yes or no."""
    return Category(("no", "yes"), values.astype(np.uint8))


def put(
    home: Home, manifest: Manifest, columns: Columns, meta: Mapping[str, Any] | None = None
) -> tuple[Manifest, int]:
    """(the new version, its place in the ledger): the dataset's version `manifest` with these columns, in place of
    those of the same names. meta: beside what the manifest says already.

    Raises UsageError where that version is gone, as after people were forgotten.
    """
    name = manifest.dataset
    names = {TYPED + column: values for column, values in columns.items()}
    batches = home.vault.read(name, version=manifest.version)
    kept = [stored.name for stored in manifest.columns if stored.name not in names]
    held = home.vault.schema(name)
    fields = [held.field(each) for each in kept]
    types = [pa.field(each, pa.string() if isinstance(own, Category) else pa.int64()) for each, own in names.items()]
    schema = pa.schema([*fields, *types])

    def widened() -> Iterator[pa.RecordBatch]:
        at = 0
        for batch in batches:
            added = [values.array(at, batch.num_rows) for values in names.values()]
            arrays = [batch.column(each) for each in kept]
            yield pa.RecordBatch.from_arrays([*arrays, *added], schema=schema)
            at += batch.num_rows

    told: dict[str, Any] = {**manifest.meta, **(meta or {}), "columns": _described(manifest, columns)}
    made = home.vault.write(name, schema, widened(), meta=told)
    with open_ledger(home) as ledger:
        entry = ledger.append("import", {"dataset": name, "manifest": made.digest, "rows": made.rows})
    renew(home, name, lambda *_: None)
    return made, entry.seq


def digests(home: Home, manifest: Manifest) -> Bytes:
    """uint8[n, 32 or 16] of all rows of that version."""
    found = [as_bytes(batch.column(DIGEST)) for batch in home.vault.read(manifest.dataset, [DIGEST],
                                                                        version=manifest.version)]  # fmt: skip
    return np.concatenate(found) if found else np.zeros((0, 32), np.uint8)


def strata(home: Home, manifest: Manifest, columns: tuple[str, ...]) -> NDArray[np.int64]:
    """int64[n] of all rows: a number for each combination of the columns' values, the same in every version.

    It is a hash of the labels, since a version may have other labels than the last.
    """
    found = np.zeros(manifest.rows, np.int64)
    held = {stored.name for stored in manifest.columns}
    if lacking := next((each for each in columns if TYPED + each not in held), None):
        raise UsageError("Dataset {name} has no column {column} to draw within.", "See: cleanroom data list",
                         name=manifest.dataset, column=lacking)  # fmt: skip
    if not columns:
        return found
    at = 0
    for batch in home.vault.read(manifest.dataset, [TYPED + each for each in columns], version=manifest.version):
        rows = np.zeros(batch.num_rows, np.uint64)
        for column in batch.columns:
            texts = column.cast(pa.string()).dictionary_encode(null_encoding="encode")
            numbers = [int.from_bytes(hashlib.sha256(repr(each).encode()).digest()[:8], "big")
                       for each in texts.dictionary.to_pylist()]  # fmt: skip
            own = np.array(numbers, np.uint64)[texts.indices.to_numpy()]
            rows = (rows * np.uint64(0x9E3779B97F4A7C15)) ^ own
        found[at : at + batch.num_rows] = (rows >> np.uint64(1)).astype(np.int64)
        at += batch.num_rows
    return found


def _described(manifest: Manifest, columns: Columns) -> list[dict[str, str]]:
    held: Any = manifest.meta.get("columns", [])
    kept = [dict(each) for each in held if each["name"] not in columns]
    kinds = {name: "category" if isinstance(own, Category) else "amount" for name, own in columns.items()}
    return [*kept, *({"header": name, "name": name, "kind": kind} for name, kind in kinds.items())]
