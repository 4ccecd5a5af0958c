"""The rows of the receiver's own dataset as persons: by a short key each, which outlives the dataset's versions.

A key is the first 8 bytes of a person's identity digest: among 10 million people, a crowd of as many mistakes one of
them once in 100,000 crowds. Keys stand in sealed files only. A person who was forgotten has no row, and so no key.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from cleanroom.answer.members import ORIGINAL
from cleanroom.errors import Refused
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.matching.cells import TYPED
from cleanroom.vault.identities import DIGEST, Bytes, Flags, as_bytes
from cleanroom.vault.manifest import Manifest
from connectors.arrays import as_flags

Keys = NDArray[np.uint64]
Rows = NDArray[np.int64]
HANDLE = "handle"
"""The header of the column with the platform's own reference to its user, where the identity is not what it is."""
_KEY_BYTES = 8


def keys_of(digests: Bytes) -> Keys:
    """uint64[n]: the keys of identity digests uint8[n, 32 or 16]."""
    return np.ascontiguousarray(digests[:, :_KEY_BYTES]).view("<u8").reshape(-1).astype(np.uint64)


def keys(home: Home, dataset: str, rows: Rows | None = None) -> Keys:
    """uint64[n]: the keys of these ascending rows of the newest version, or of all."""
    found = [keys_of(as_bytes(batch.column(DIGEST))) for batch in home.vault.read(dataset, [DIGEST], rows)]
    return np.concatenate(found) if found else np.zeros(0, np.uint64)


def digests(home: Home, dataset: str, rows: Rows) -> Bytes:
    """uint8[n, 32 or 16]: the identity digests of these ascending rows of the newest version."""
    found = [as_bytes(batch.column(DIGEST)) for batch in home.vault.read(dataset, [DIGEST], rows)]
    return np.concatenate(found) if found else np.zeros((0, 32), np.uint8)


def rows_of(home: Home, dataset: str, wanted: Keys) -> Rows:
    """int64[n], ascending: the rows of the newest version whose people are among these keys; the others are gone."""
    return np.flatnonzero(among(keys(home, dataset), wanted)).astype(np.int64)


def among(some: Keys, others: Keys) -> Flags:
    """bool[n]: which of `some` stand in `others`, each by a hash: a search of a large array misses every cache."""
    return as_flags(pc.is_in(pa.array(some), pa.array(others)))


def places(some: Keys, others: Keys) -> Rows:
    """int64[n]: where each of `some` stands first in `others`; -1 where it does not."""
    found = pc.index_in(pa.array(some), pa.array(others)).fill_null(-1)
    return np.asarray(found.to_numpy(), np.int64)


def stored(manifest: Manifest, column: str) -> str:
    """The vault's name of a column, typed where it is; "" where the dataset has none of this name or header."""
    told: Any = manifest.meta.get("columns", [])
    headers = [str(each["header"]) for each in told if column in (each["name"], each["header"])]
    there = {each.name for each in manifest.columns}
    candidates = [TYPED + column, *(ORIGINAL + header for header in headers), ORIGINAL + column]
    return next((name for name in candidates if name in there), "")


def texts(home: Home, dataset: str, names: Sequence[str], rows: Rows) -> dict[str, pa.ChunkedArray]:
    """These columns of the vault for ascending rows of the newest version, as text."""
    wanted = list(dict.fromkeys(names))
    if not wanted:
        return {}
    table = pa.Table.from_batches(list(home.vault.read(dataset, wanted, rows)), home.vault.schema(dataset, wanted))
    return {name: table.column(name).cast(pa.string()) for name in wanted}


def handle_column(manifest: Manifest) -> str:
    """The vault's name of the column with the platform's own reference to its users: `handle`, or else the identity as
    it was imported. Raises Refused where the dataset has neither."""
    there = {each.name for each in manifest.columns}
    told: Any = manifest.meta.get("columns", [])
    identity = manifest.meta.get("identity")
    headers = [str(each["header"]) for each in told if each["name"] == HANDLE]
    headers += [HANDLE, *(str(each["header"]) for each in told if each["name"] == identity), str(identity)]
    found = next((ORIGINAL + header for header in headers if ORIGINAL + header in there), "")
    if not found:
        raise Refused(
            "The dataset {dataset} has no reference to its users that a channel could take.",
            "Import it with a column headed {column}.",
            dataset=manifest.dataset,
            column=HANDLE,
        )
    return found


def handles(home: Home, dataset: str, rows: Rows, access: SecretAccess) -> pa.StringArray:
    """Whom a channel is to reach: the references of these ascending rows of the newest version; null where blank.

    The one place where they leave the vault. access: why; every use stands in the code as SecretAccess("…").
    """
    del access  # it is there to be found by whoever reads the code, and to be missed by whoever forgets it
    name = handle_column(home.vault.manifest(dataset))
    found = pc.utf8_trim_whitespace(texts(home, dataset, [name], rows)[name]).combine_chunks()
    return pc.if_else(pc.equal(found, ""), None, found)
