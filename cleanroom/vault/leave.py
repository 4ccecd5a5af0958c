"""Leave to read some columns of one version, for processes that must not have the home's root key: Spark executors.

The driver collects it: the data keys of exactly these columns, file by file, as they are unwrapped. It travels sealed
(`cleanroom.cluster.executor_keys`), never in a plan, a log or an event file. What opens by it is what was granted: the
keys of other columns are not in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cleanroom import canonical
from cleanroom.errors import BadData, Refused
from cleanroom.stores import store
from cleanroom.vault.columns import FOOTER, Authorisation, Unwrapping, withheld
from cleanroom.vault.encrypted_file import Place, opened
from cleanroom.vault.files import Files
from cleanroom.vault.groups import overlaid
from cleanroom.vault.manifest import StoredFile
from cleanroom.vault.object_files import ObjectFiles
from cleanroom.vault.parts import KEEP
from cleanroom.vault.vault import Vault

_FORMAT = b"cleanroom-leave/1"
_AT_ONCE = 8


@dataclass(frozen=True)
class LeaveFile:
    """A file and the keys of its footer and of the columns granted, by physical name, 32 bytes each."""

    stored: StoredFile
    keys: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True)
class LeavePart:
    """A part, and the file that says which of its rows stand, where there is one. rows: as stored, standing or not."""

    file: LeaveFile
    refined: LeaveFile | None

    @property
    def name(self) -> str:
        """The part's file."""
        return self.file.stored.name

    @property
    def rows(self) -> int:
        """The rows it holds."""
        return self.file.stored.rows


@dataclass(frozen=True)
class Leave:
    """What reads some columns of a version. As secret as these columns.

    uri, folder: where the files are (`cleanroom.stores`); prefix: what their keys are bound to; columns: physical names
    by the names that were asked for, in order; rows: those that stand, over all parts of the version.
    """

    uri: str
    folder: str
    prefix: str
    columns: Mapping[str, str]
    rows: int
    parts: tuple[LeavePart, ...]

    def only(self, numbers: Sequence[int]) -> Leave:
        """The same for some of the parts: what a task needs that reads these."""
        return replace(self, parts=tuple(self.parts[number] for number in numbers))

    def to_bytes(self) -> bytes:
        """Format, then JSON; to be sealed."""
        content: dict[str, canonical.Json] = {
            "uri": self.uri,
            "folder": self.folder,
            "prefix": self.prefix,
            "columns": [[name, physical] for name, physical in self.columns.items()],
            "rows": self.rows,
            "parts": [[_told(part.file), _told(part.refined)] for part in self.parts],
        }
        return _FORMAT + b"\n" + canonical.encode(content)

    @classmethod
    def from_bytes(cls, content: bytes) -> Leave:
        """The reverse. Raises BadData for another format and for what is damaged."""
        form, _, text = content.partition(b"\n")
        if form != _FORMAT:
            raise BadData("Leave to read a dataset is of an unknown version.", "Use one program on all machines.")
        try:
            found = json.loads(text)
            parts = tuple(
                LeavePart(_file(file), _file(refined) if refined else None) for file, refined in found["parts"]
            )
            names = {str(name): str(physical) for name, physical in found["columns"]}
            return cls(found["uri"], found["folder"], found["prefix"], names, int(found["rows"]), parts)
        except (KeyError, TypeError, ValueError):
            raise BadData("Leave to read a dataset is damaged.", "Ask again.") from None


def collect(vault: Vault, dataset: str, version: int | None, columns: Sequence[str]) -> Leave:
    """Leave for these columns of a verified version, the current one by default. Raises as `Vault.read`."""
    place, manifest = vault.place(dataset, version, columns)
    physical = [manifest.physical(column) for column in columns]
    refined = manifest.refined or (None,) * len(manifest.parts)

    def part(given: tuple[StoredFile, StoredFile | None]) -> LeavePart:
        file, over = given
        told = _granted(place, over, [KEEP, *physical]) if over is not None else None
        return LeavePart(_granted(place, file, physical), told)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        parts = tuple(pool.map(part, zip(manifest.parts, refined, strict=True)))
    uri, folder = place.files.address
    return Leave(uri, folder, place.files.prefix, dict(zip(columns, physical, strict=True)), manifest.rows, parts)


def open_file(leave: Leave, file: LeaveFile) -> pq.ParquetFile:
    """A file, of which the columns granted can be read, under their physical names; others raise Refused.

    Raises BadData where it is not what was written, Interrupted where it was replaced or the store is not reached.
    """
    files = _files(leave)
    granted = Authorisation(
        _Given(files.prefix + file.stored.name, file.keys), files.prefix + file.stored.name, file.keys
    )
    found = opened(files, file.stored.name, granted)
    if found.metadata.num_rows != file.stored.rows:
        raise files.blamed(file.stored.name, ValueError())
    return found


def read_part(leave: Leave, part: LeavePart, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a part that stand, replaced amounts in place, a row group a batch; columns: all those granted.

    Raises Refused for a column that was not granted, else as `open_file`.
    """
    names = list(leave.columns) if columns is None else list(columns)
    for name in names:
        if name not in leave.columns:
            raise withheld(name)
    overlay = open_file(leave, part.refined) if part.refined is not None else None
    file = open_file(leave, part.file)
    physical = [leave.columns[name] for name in names]
    for batch in overlaid(_files(leave), [(part.file.stored, file, overlay)], physical, None):
        yield batch.rename_columns(names)


class _Noting:
    """Unwraps by the root key, and keeps what it gave."""

    def __init__(self, wrapping: Unwrapping, file: str) -> None:
        self._wrapping, self._file = wrapping, file
        self.keys: dict[str, bytes] = {}

    def wrap(self, name: str, secret: bytes) -> bytes:
        """As the root key does."""
        return self._wrapping.wrap(name, secret)

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """The key, noted by its column."""
        key = self._wrapping.unwrap(name, wrapped)
        self.keys[name.removeprefix(f"{self._file}#")] = key
        return key


class _Given:
    """Unwraps nothing: gives the keys that are in the leave."""

    def __init__(self, file: str, keys: Mapping[str, bytes]) -> None:
        self._file, self._keys = file, keys

    def wrap(self, name: str, secret: bytes) -> bytes:
        """Never: nothing is written by a leave to read."""
        raise Refused("A leave to read does not write.")

    def unwrap(self, name: str, wrapped: bytes) -> bytes:
        """The key, by its column."""
        return self._keys[name.removeprefix(f"{self._file}#")]


def _granted(place: Place, file: StoredFile, columns: Sequence[str]) -> LeaveFile:
    """The keys that opening the file's footer and looking at the columns takes."""
    whole = place.files.prefix + file.name
    noting = _Noting(place.wrapping, whole)
    found = opened(place.files, file.name, Authorisation(noting, whole, columns))
    names = found.schema_arrow.names
    if found.metadata.num_row_groups:
        group = found.metadata.row_group(0)
        for name in columns:
            if name in names:
                group.column(names.index(name))  # what it says is under the column's own key
    return LeaveFile(
        replace(file, tag=""), {name: noting.keys[name] for name in (FOOTER, *columns) if name in noting.keys}
    )


def _files(leave: Leave) -> Files:
    return ObjectFiles(store(leave.uri), leave.folder, leave.prefix)


def _told(file: LeaveFile | None) -> canonical.Json:
    if file is None:
        return None
    one, keys = file.stored, {name: key.hex() for name, key in file.keys.items()}
    return [one.name, one.sha256, one.size, one.rows, keys]


def _file(told: Any) -> LeaveFile:
    name, sha256, size, rows, keys = told
    return LeaveFile(StoredFile(name, sha256, size, rows), {column: bytes.fromhex(key) for column, key in keys.items()})
