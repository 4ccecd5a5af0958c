"""A party's datasets: written in one stream, versioned, verified before they are read; and persons forgotten for good.

Forgetting is two steps that a crash may part: the tombstones are made durable first; then each dataset is rewritten. A
version whose epoch is behind the tombstones' is therefore settled (rewritten, removed, or found clean) before anything
of it is read, be it left by a crash or brought back from a backup.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.keys import PartyKeys, SecretAccess
from cleanroom.keystore import Wrapping
from cleanroom.vault import tombstones
from cleanroom.vault.dataset import Dataset, Meta, Setting
from cleanroom.vault.folders import DatasetFolder, checked_name
from cleanroom.vault.intake import Intake
from cleanroom.vault.manifest import Manifest
from cleanroom.vault.parts import Finish
from cleanroom.vault.tombstones import Tombstones


@dataclass(frozen=True)
class Forgotten:
    """What forgetting did: rows removed from each dataset's current version (those that lost any), the new epoch."""

    datasets: Mapping[str, int]
    epoch: int


class Vault:
    """The datasets in a folder. One object serves one thread; processes may share the folder."""

    def __init__(self, path: Path, keys: PartyKeys, wrapping: Wrapping, *, history: int = 1) -> None:
        """history: older versions kept besides the current one. Raises BadData or Refused for an unfit folder."""
        private_files.check_folder(path)
        self.path, self._keys, self._history = path, keys, history
        self._setting = Setting(keys, wrapping)
        self._loaded: tuple[object, Tombstones] | None = None

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        meta: Meta | Callable[[], Meta],
        finish: Callable[[], Finish] = Finish,
    ) -> Manifest:
        """Stores the batches as the next version of the dataset `name` and makes it the current one; all or nothing.

        Rows of forgotten persons are left out. `finish`, then a callable `meta`, are called after the last batch.
        Raises UsageError for a name, schema, batch or Finish that does not fit, BadData where the disk does not take
        it.
        """
        name = checked_name(name)
        dataset = self._dataset(DatasetFolder.of(self.path, name))
        intake = Intake(schema, self._tombstones())
        with dataset.folder.lock():
            manifest = dataset.write(name, intake, batches, meta, finish)
            dataset.keep_newest(1 + self._history)
        return manifest

    def read(
        self,
        name: str,
        columns: Sequence[str] | None = None,
        rows: NDArray[np.int64] | None = None,
        version: int | None = None,
    ) -> Iterator[pa.RecordBatch]:
        """The rows in the order written, in batches of at most 131,072; only the keys of `columns` are unwrapped.

        rows: ascending positions (0 to rows-1) to take. All files are verified and open when this returns; what is
        tampered with later raises BadData on the way. Raises UsageError for an unknown dataset, version, column or
        position.
        """
        dataset, manifest = self._open(name, version)
        if rows is not None:
            _check_positions(rows, manifest.rows)
        return dataset.read(manifest, _known(manifest, columns), rows)

    def digests(self, name: str, version: int | None = None) -> NDArray[np.uint8]:
        """uint8[n, 32 or 16]: the identity digests of all rows."""
        dataset, manifest = self._open(name, version)
        return dataset.digests(manifest)

    def rows(self, name: str) -> int:
        """How many rows the current version has."""
        return self.manifest(name).rows

    def schema(self, name: str, columns: Sequence[str] | None = None) -> pa.Schema:
        """The schema of what `read` yields."""
        dataset, manifest = self._open(name, None)
        whole = dataset.schema(manifest)
        return pa.schema([whole.field(column) for column in _known(manifest, columns)])

    def manifest(self, name: str, version: int | None = None) -> Manifest:
        """The verified manifest of the current version, or of one that is still kept; its files are verified too."""
        return self._open(name, version)[1]

    def versions(self, name: str) -> list[int]:
        """The versions that can be read, the current one last."""
        return self._open(name, None)[0].folder.versions()

    def datasets(self) -> list[str]:
        """The names of all datasets, sorted."""
        return sorted(dataset.load().dataset for dataset in self._all())

    @property
    def epoch(self) -> int:
        """How often persons were forgotten: part of what makes a question the same question."""
        return self._tombstones().epoch

    def forget(self, *digests: NDArray[np.uint8]) -> Forgotten:
        """Forgets the persons of these identity digests, uint8[n, 32] and/or uint8[n, 16] (a person may have both).

        When this returns no version holds them, and no later `write` takes them. Raises BadData, after the tombstones
        were stored, where a dataset is damaged.
        """
        with private_files.locked(self.path / "tombstones.lock"):
            stones = self._tombstones().with_digests(*digests)
            stones.save(self.path / "tombstones", self._keys)
        removed = {dataset.load().dataset: self._settle(dataset) for dataset in self._all()}
        return Forgotten({name: rows for name, rows in removed.items() if rows}, stones.epoch)

    def _open(self, name: str, version: int | None) -> tuple[Dataset, Manifest]:
        """A dataset and a version of it, settled and verified."""
        dataset = self._dataset(DatasetFolder.of(self.path, name))
        if dataset.folder.current() is None:
            raise UsageError("There is no dataset {name}.", "See: cleanroom data list", name=checked_name(name))
        epoch = self.epoch
        if any(self._load(dataset, number).epoch < epoch for number in dataset.folder.versions()):
            self._settle(dataset)
        if version is not None and version not in dataset.folder.versions():
            raise UsageError("Dataset {name} has no version {version}.", name=checked_name(name), version=version)
        manifest = self._load(dataset, version)
        dataset.check(manifest)
        return dataset, manifest

    def _load(self, dataset: Dataset, version: int | None) -> Manifest:
        manifest = dataset.load(version)
        if manifest.epoch > self.epoch:
            raise BadData(
                "The list of forgotten persons is missing, or older than dataset {name}.",
                "Restore the newest vault/tombstones from a backup.",
                name=manifest.dataset,
            )
        return manifest

    def _settle(self, dataset: Dataset) -> int:
        """Brings every version up to the tombstones: rewritten, removed or marked clean; rows the current one lost."""
        with dataset.folder.lock():
            stones, current, removed = self._tombstones(), dataset.folder.current(), 0
            for number in reversed(dataset.folder.versions()):
                manifest = dataset.load(number)
                if manifest.epoch >= stones.epoch:
                    continue
                dataset.check(manifest)
                lost = int(stones.forgotten(dataset.digests(manifest)).sum())
                if lost == 0:
                    dataset.save(replace(manifest, epoch=stones.epoch), dataset.folder.version_path(number))
                    continue
                if number == current:
                    self._rewrite(dataset, manifest, stones)
                    removed = lost
                dataset.folder.remove(number)
            return removed

    def _rewrite(self, dataset: Dataset, old: Manifest, stones: Tombstones) -> None:
        schema = dataset.schema(old)
        batches = dataset.read(old, schema.names)
        dataset.write(old.dataset, Intake(schema, stones), batches, old.meta, Finish, old.tombstoned)

    def _dataset(self, folder: DatasetFolder) -> Dataset:
        return Dataset(folder, self._setting)

    def _all(self) -> list[Dataset]:
        return [self._dataset(folder) for folder in DatasetFolder.all(self.path)]

    @cached_property
    def _tombstone_key(self) -> bytes:
        access = SecretAccess("keyed digests of forgotten persons")
        return self._keys.secret("tombstones", lambda: secrets.token_bytes(32), access)

    def _tombstones(self) -> Tombstones:
        """As the file is now; read again only when it was replaced."""
        path = self.path / "tombstones"
        mark = private_files.mark(path) if path.exists() else None
        if self._loaded is None or self._loaded[0] != mark:
            self._loaded = mark, tombstones.load(path, self._keys, self._tombstone_key)
        return self._loaded[1]


def _known(manifest: Manifest, columns: Sequence[str] | None) -> list[str]:
    names = [column.name for column in manifest.columns]
    for column in columns or ():
        if column not in names:
            raise UsageError(
                "Dataset {name} has no column {column}.",
                "It has: {columns}.",
                name=manifest.dataset,
                column=column,
                columns=", ".join(names),
            )
    return names if columns is None else list(columns)


def _check_positions(rows: NDArray[np.int64], count: int) -> None:
    if len(rows) and (rows[0] < 0 or rows[-1] >= count or bool((np.diff(rows) <= 0).any())):
        raise UsageError("Row positions are not ascending or not within the dataset.")
