"""A party's datasets: written in one stream, versioned, verified before they are read; and persons forgotten for good.

Forgetting is two steps that a crash may part: the tombstones are made durable first; then each dataset is rewritten. A
version whose epoch is behind the tombstones' is therefore settled (rewritten, removed, or found clean) before anything
of it is read, be it left by a crash or brought back from a backup.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom import private_files
from cleanroom.errors import BadData, CleanroomError, UsageError
from cleanroom.keys import PartyKeys, SecretAccess
from cleanroom.keystore import Wrapping
from cleanroom.stores import store
from cleanroom.vault import placing, tombstones
from cleanroom.vault.dataset import Dataset, Meta, Setting
from cleanroom.vault.encrypted_file import Place
from cleanroom.vault.folders import checked_name
from cleanroom.vault.identities import Identity
from cleanroom.vault.intake import Intake
from cleanroom.vault.manifest import Manifest
from cleanroom.vault.object_shelf import ObjectShelf
from cleanroom.vault.parts import Finish
from cleanroom.vault.shelves import FolderShelf, Overtaken, Shelf, Versions
from cleanroom.vault.tombstones import Tombstones

_TRIES = 4
_FAR = 1 << 40
"""Epochs among which a restored vault draws its next one: no two restores meet, nor one and what was lost."""


@dataclass(frozen=True)
class Forgotten:
    """What forgetting did: rows removed from each dataset's current version (those that lost any), the new epoch, and
    how many identities stand in these rows that too many share for them to name anybody, so that they were left alone.
    """

    datasets: Mapping[str, int]
    epoch: int
    shared: int = 0


class Vault:
    """The datasets in a folder. One object serves one thread; processes may share the folder."""

    def __init__(self, path: Path, keys: PartyKeys, wrapping: Wrapping, *, history: int = 1) -> None:
        """history: older versions kept besides the current one. Raises BadData or Refused for an unfit folder."""
        self.path, self._keys, self._history = path, keys, history
        where = placing.placed(path)
        self._shelf: Shelf = FolderShelf(path)
        if where is not None:
            self._shelf = ObjectShelf(store(where.uri), keys)
        self._setting = Setting(keys, wrapping, partitions=where.partitions if where is not None else 1)
        self._loaded: tuple[object, Tombstones] | None = None

    def write(
        self,
        name: str,
        schema: pa.Schema,
        batches: Iterable[pa.RecordBatch],
        *,
        meta: Meta | Callable[[], Meta],
        finish: Callable[[NDArray[np.bool_] | None], Finish] | None = None,
    ) -> Manifest:
        """Stores the batches as the next version of the dataset `name` and makes it the current one; all or nothing.

        Rows of forgotten persons are left out. After the last batch `finish` is called, given which rows were stored
        (bool, one a row given; None: all), then a callable `meta`.
        Raises UsageError for a name, schema, batch or Finish that does not fit, BadData where the disk does not take
        it.
        """
        name = checked_name(name)
        dataset = self._dataset(self._shelf.dataset(name))
        intake = Intake(schema, self._tombstones())
        with dataset.folder.lock():
            manifest = dataset.write(name, intake, batches, meta, finish or _as_given)
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

    def place(self, name: str, version: int | None, columns: Sequence[str]) -> tuple[Place, Manifest]:
        """Where the files of a verified version stand, and what opens them; for `leave`. Raises as `read`."""
        dataset, manifest = self._open(name, version)
        _known(manifest, columns)
        return dataset.place(manifest.version), manifest

    def digests(self, name: str, version: int | None = None) -> NDArray[np.uint8]:
        """uint8[n, 32 or 16]: the identity digests of all rows."""
        dataset, manifest = self._open(name, version)
        return dataset.digests(manifest)

    def identities(self, name: str, version: int | None = None) -> tuple[Identity, ...]:
        """(kind, digests uint8[n, 32 or 16], which rows have one bool[n]) of every kind in order, in the order of rows.

        A dataset of one kind has one entry: what `digests` gives, all of it there.
        """
        dataset, manifest = self._open(name, version)
        return dataset.identities(manifest)

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

        Whoever has one of them is forgotten by all identities that stand in a row with it, here or in another dataset,
        and so on. But one that is not named here and that more than MOST_SHARED (20) different rows of a version share,
        a placeholder, names nobody: it is not forgotten, and nothing is followed from it.
        When this returns no version holds them, and no later `write` takes them. Raises BadData, after the tombstones
        were stored, where a dataset is damaged.
        """
        try:
            tied, spared = self._tied(self._tombstones().with_digests(*digests), self._all(), self._nobody)
        except CleanroomError:
            self._remember(digests)
            raise
        before, epoch = -1, self._remember([*digests, *tied]).epoch
        removed: Counter[str] = Counter()
        while epoch != before:  # a version that another process wrote meanwhile can tie more
            before = epoch
            for dataset in self._all():
                removed[dataset.load().dataset] += self._settle(dataset, spared)
            epoch = self.epoch
        return Forgotten({name: rows for name, rows in removed.items() if rows}, epoch, len(spared.tokens))

    def begin_again(self, newest: Path | None) -> int:
        """After a restore: the tombstones of the file `newest`, or those there are, under an epoch never used before.

        The epoch is part of every question, so that none counts as one that was paid for. Returns how many identities
        are newly forgotten. Raises BadData where the file is not of this vault, or where one of its persons is missing.
        """
        grown = 0

        def later(stones: Tombstones) -> Tombstones:
            nonlocal grown
            found = stones
            if newest is not None:
                found = self._stones_in(private_files.read(newest, tombstones.SIZE_LIMIT))
                if found.epoch < stones.epoch or len(found.merged(stones).tokens) > len(found.tokens):
                    raise BadData("{name} is an older list of forgotten persons than the vault's.", name=newest.name)
            grown = len(found.tokens) - len(stones.tokens)
            return replace(found, epoch=found.epoch + 1 + secrets.randbelow(_FAR))

        self._change(later)
        for dataset in self._all():
            self._settle(dataset, self._nobody)
        return grown

    def _remember(self, digests: Sequence[NDArray[np.uint8]]) -> Tombstones:
        """The tombstones, these among them, durably."""
        return self._change(lambda stones: stones.with_digests(*digests))

    def _change(self, change: Callable[[Tombstones], Tombstones]) -> Tombstones:
        """The tombstones that `change` makes of those there are, durably."""
        changed = self._nobody

        def signed(content: bytes | None) -> bytes:
            nonlocal changed
            changed = change(self._stones_in(content))
            return changed.signed(self._keys)

        self._shelf.change_stones(signed)
        return changed

    def _open(self, name: str, version: int | None) -> tuple[Dataset, Manifest]:
        """A dataset and a version of it, settled and verified."""
        dataset = self._dataset(self._shelf.dataset(name))
        if dataset.folder.current() is None:
            raise UsageError("There is no dataset {name}.", "See: cleanroom data list", name=checked_name(name))
        epoch = self.epoch
        if any(self._load(dataset, number).epoch < epoch for number in dataset.folder.versions()):
            self._settle(dataset, self._nobody)
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

    def _settle(self, dataset: Dataset, spared: Tombstones) -> int:
        """Brings every version up to the tombstones: rewritten, removed or marked clean; rows the current one lost.

        spared: identities already known to name nobody, as far as rows are gone that told.
        """
        for _ in range(_TRIES):
            with suppress(Overtaken):
                return self._settled(dataset, spared)
        return self._settled(dataset, spared)

    def _settled(self, dataset: Dataset, spared: Tombstones) -> int:
        with dataset.folder.lock():
            stones, current, removed = self._tombstones(), dataset.folder.current(), 0
            if tied := self._tied(stones, [dataset], spared)[0]:
                stones = self._remember(tied)
            for number in reversed(dataset.folder.versions()):
                manifest = dataset.load(number)
                if manifest.epoch >= stones.epoch:
                    continue
                dataset.check(manifest)
                if not dataset.forgotten(manifest, stones):
                    dataset.save(replace(manifest, epoch=stones.epoch), dataset.folder.files(number))
                    continue
                if number == current:
                    removed = manifest.rows - self._rewrite(dataset, manifest, stones).rows
                dataset.folder.remove(number)
            dataset.folder.purge()
            return removed

    def _tied(
        self, stones: Tombstones, datasets: Sequence[Dataset], spared: Tombstones
    ) -> tuple[list[NDArray[np.uint8]], Tombstones]:
        """Identities that stand in a row with a forgotten one, or with one of these, and are no tombstones yet.

        Looked for in all versions of the datasets that these tombstones were not applied to. Returned with those that
        are not followed: the spared ones, and what too many rows of any version in the vault share.
        """
        tied: list[NDArray[np.uint8]] = []
        while kin := [some for dataset in datasets for old in dataset.behind(stones.epoch)
                      for some in dataset.kin(old, stones, spared)]:  # fmt: skip
            spared = spared.with_digests(*self._shared(kin))
            more = [fresh for some in kin if len(fresh := some[~spared.forgotten(some)])]
            tied += more
            stones = stones.with_digests(*more)
        return tied, spared

    def _shared(self, suspects: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Those that too many rows share, be it in one version of one dataset: it tells more than one with few rows."""
        return [some for dataset in self._all() for number in dataset.folder.versions()
                for some in dataset.shared(dataset.load(number), suspects)]  # fmt: skip

    def _rewrite(self, dataset: Dataset, old: Manifest, stones: Tombstones) -> Manifest:
        schema = dataset.schema(old)
        batches = dataset.read(old, schema.names)
        return dataset.write(old.dataset, Intake(schema, stones), batches, old.meta, _as_given, old.tombstoned)

    def _dataset(self, versions: Versions) -> Dataset:
        return Dataset(versions, self._setting)

    def _all(self) -> list[Dataset]:
        return [self._dataset(versions) for versions in self._shelf.datasets()]

    @cached_property
    def _tombstone_key(self) -> bytes:
        access = SecretAccess("keyed digests of forgotten persons")
        return self._keys.secret("tombstones", lambda: secrets.token_bytes(32), access)

    @property
    def _nobody(self) -> Tombstones:
        return tombstones.nobody(self._tombstone_key)

    def forgotten(self, digests: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """bool[n]: which of these identity digests, uint8[n, 32 or 16], are of forgotten persons."""
        return self._tombstones().forgotten(digests)

    def _tombstones(self) -> Tombstones:
        """As the file is now; read again only when it was replaced."""
        mark = self._shelf.stones_mark()
        if self._loaded is None or self._loaded[0] != mark:
            self._loaded = mark, self._stones_in(self._shelf.stones())
        return self._loaded[1]

    def _stones_in(self, content: bytes | None) -> Tombstones:
        return tombstones.load(content, self._keys, self._tombstone_key)


def _as_given(_: NDArray[np.bool_] | None) -> Finish:
    return Finish()


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
