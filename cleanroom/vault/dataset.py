"""One dataset: its versions written, verified and read. What is forgotten, and when, is the vault's matter."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom import private_files
from cleanroom.canonical import Json
from cleanroom.files import write_bytes
from cleanroom.keys import PartyKeys
from cleanroom.keystore import Wrapping
from cleanroom.vault import groups, parts
from cleanroom.vault import manifest as manifests
from cleanroom.vault.encrypted_file import Place, check_file
from cleanroom.vault.folders import DatasetFolder
from cleanroom.vault.identities import DIGEST, KIND, Identity, as_bytes, forgotten, identity_columns, kin
from cleanroom.vault.intake import Intake
from cleanroom.vault.manifest import Manifest, StoredColumn
from cleanroom.vault.parts import Finish
from cleanroom.vault.shared import shared
from cleanroom.vault.tombstones import Tombstones
from connectors.arrays import is_valid

Meta = Mapping[str, Json]


@dataclass(frozen=True)
class Setting:
    """What all datasets of a vault share: keys, sizes, and which files were verified already."""

    keys: PartyKeys
    wrapping: Wrapping
    group_rows: int = parts.GROUP_ROWS
    part_rows: int = parts.PART_ROWS
    verified: set[tuple[object, ...]] = field(default_factory=set)


@dataclass(frozen=True)
class Dataset:
    """The versions in one folder."""

    folder: DatasetFolder
    setting: Setting

    def load(self, version: int | None = None) -> Manifest:
        """A version's manifest, the current one's by default. Raises BadData where it is missing or not ours."""
        number = version if version is not None else self.folder.current() or 0
        content = private_files.read(self.folder.version_path(number) / "manifest", manifests.SIZE_LIMIT)
        name = self.folder.file_id(number, "manifest")
        return manifests.unseal(content, self.setting.keys, self.setting.wrapping, name)

    def save(self, manifest: Manifest, folder: Path) -> None:
        """Replaces the manifest in a version's folder. Needs the folder's lock."""
        name = self.folder.file_id(manifest.version, "manifest")
        write_bytes(folder / "manifest", manifest.sealed(self.setting.keys, self.setting.wrapping, name))

    def check(self, manifest: Manifest) -> None:
        """Raises BadData unless every file is as the manifest says; looks once as long as the files do not change."""
        path = self.folder.version_path(manifest.version)
        private_files.check_folder(path)
        mark = self._mark(manifest)
        if mark not in self.setting.verified:
            for file in manifest.files:
                check_file(path, file)
            self.setting.verified.add(mark)

    def behind(self, epoch: int) -> list[Manifest]:
        """The versions to which the tombstones of this epoch were not applied yet."""
        return [old for number in self.folder.versions() if (old := self.load(number)).epoch < epoch]

    def schema(self, manifest: Manifest) -> pa.Schema:
        """The columns as they are read, under their own names."""
        first, place = manifest.parts[0].name, self._place(manifest.version)
        with closing(place.authorise(first, []).open(place.folder / first)) as file:
            stored = file.schema_arrow
        names = [column.name for column in manifest.columns]
        return pa.schema([column.with_name(name) for column, name in zip(stored, names, strict=True)])

    def read(
        self, manifest: Manifest, columns: Sequence[str], rows: NDArray[np.int64] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows, with the keys of `columns` only; the files are open when this returns."""
        physical = [manifest.physical(column) for column in columns]
        place = self._place(manifest.version)
        batches = groups.read_groups(place, manifest.parts, manifest.refined, physical, rows)
        return (batch.rename_columns(list(columns)) for batch in batches)

    def digests(self, manifest: Manifest) -> NDArray[np.uint8]:
        """uint8[n, 32 or 16]."""
        return self._identity(manifest, DIGEST)[1]

    def identities(self, manifest: Manifest) -> tuple[Identity, ...]:
        """Every kind of identity, in order; of a dataset of one kind, that kind's digests."""
        return tuple(self._identity(manifest, name) for name in _identity_columns(manifest))

    def forgotten(self, manifest: Manifest, stones: Tombstones) -> bool:
        """Whether any row that is stored, standing or not, is of a forgotten person."""
        return any(bool(forgotten(batch, stones).any()) for batch in self._stored_identities(manifest))

    def kin(self, manifest: Manifest, stones: Tombstones, spared: Tombstones) -> list[NDArray[np.uint8]]:
        """Identities that stand in a row, standing or not, with a forgotten one and are in neither list."""
        if len(_identity_columns(manifest)) == 1:
            return []
        self.check(manifest)
        return [some for batch in self._stored_identities(manifest) for some in kin(batch, stones, spared)]

    def shared(self, manifest: Manifest, suspects: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
        """Those of the identities that too many of its rows share, standing or not, for them to name anybody."""
        if len(_identity_columns(manifest)) == 1:
            return []
        self.check(manifest)
        return shared(lambda: self._stored_identities(manifest), suspects)

    def write(
        self,
        name: str,
        intake: Intake,
        batches: Iterable[pa.RecordBatch],
        meta: Meta | Callable[[], Meta],
        finish: Callable[[NDArray[np.bool_] | None], Finish],
        tombstoned: int = 0,
    ) -> Manifest:
        """The next version, made the current one; tombstoned: rows already lost before. Needs the folder's lock."""
        number = (self.folder.current() or 0) + 1
        with self.folder.aside() as aside:
            place = Place(aside, self.folder.file_id(number, ""), self.setting.wrapping)
            stored = self._write_parts(place, intake, batches)
            given, lost = intake.finish(finish(intake.survived()))
            manifest = Manifest(
                dataset=name,
                version=number,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                epoch=intake.epoch,
                rows=sum(part.rows for part in stored) if given.keep is None else int(given.keep.sum()),
                tombstoned=tombstoned + lost,
                columns=tuple(StoredColumn(column.name, str(column.type), column.nullable) for column in intake.stored),
                parts=stored,
                refined=self._write_refined(place, stored, given, intake),
                meta=meta() if callable(meta) else meta,
            )
            self.save(manifest, aside)
            self.folder.make_current(aside, number)
        self.setting.verified.add(self._mark(manifest))  # the digests were taken while writing
        return manifest

    def keep_newest(self, number: int) -> None:
        """Removes all but the newest versions. Needs the folder's lock."""
        for old in self.folder.versions()[:-number]:
            self.folder.remove(old)

    def _identity(self, manifest: Manifest, name: str) -> Identity:
        kind = name.removeprefix(KIND) if name != DIGEST else str(manifest.meta.get("identity", DIGEST))
        batches = self.read(manifest, [name])
        out = np.empty((manifest.rows, self.schema(manifest).field(name).type.byte_width), np.uint8)
        present = np.zeros(manifest.rows, np.bool_)
        at = 0
        for batch in batches:
            column, rows = batch.column(0), slice(at, at + batch.num_rows)
            present[rows] = is_valid(column)
            out[rows] = as_bytes(column)
            at += batch.num_rows
        if not present.all():
            out[~present] = 0  # what Arrow keeps at a null is arbitrary
        return kind, out, present

    def _stored_identities(self, manifest: Manifest) -> Iterator[pa.RecordBatch]:
        """The identity columns of all rows, those too that another row stands for."""
        names = _identity_columns(manifest)
        physical = [manifest.physical(name) for name in names]
        batches = groups.read_groups(self._place(manifest.version), manifest.parts, (), physical, None)
        return (batch.rename_columns(names) for batch in batches)

    def _write_parts(
        self, place: Place, intake: Intake, batches: Iterable[pa.RecordBatch]
    ) -> tuple[manifests.StoredFile, ...]:
        sizes = {"group_rows": self.setting.group_rows, "part_rows": self.setting.part_rows}
        physical = pa.schema([column.with_name(intake.physical[column.name]) for column in intake.stored])
        with parts.PartsWriter(place, physical, **sizes) as writer:
            for batch in batches:
                writer.add(intake.take(batch))
            return writer.close()

    def _write_refined(
        self, place: Place, stored: Sequence[manifests.StoredFile], given: Finish, intake: Intake
    ) -> tuple[manifests.StoredFile, ...]:
        if not given.changes:
            return ()
        return parts.write_refined(place, stored, given, intake.physical, self.setting.group_rows)

    def _place(self, version: int) -> Place:
        return Place(self.folder.version_path(version), self.folder.file_id(version, ""), self.setting.wrapping)

    def _mark(self, manifest: Manifest) -> tuple[object, ...]:
        path = self.folder.version_path(manifest.version)
        return path, *((file.sha256, private_files.mark(path / file.name)) for file in manifest.files)


def _identity_columns(manifest: Manifest) -> list[str]:
    return identity_columns([column.name for column in manifest.columns])
