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
from cleanroom.vault.intake import DIGEST, Intake, as_bytes
from cleanroom.vault.manifest import Manifest, StoredColumn
from cleanroom.vault.parts import Finish

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
        batches = self.read(manifest, [DIGEST])
        out = np.empty((manifest.rows, self.schema(manifest).field(DIGEST).type.byte_width), np.uint8)
        at = 0
        for batch in batches:
            out[at : at + batch.num_rows] = as_bytes(batch.column(0))
            at += batch.num_rows
        return out

    def write(
        self,
        name: str,
        intake: Intake,
        batches: Iterable[pa.RecordBatch],
        meta: Meta | Callable[[], Meta],
        finish: Callable[[], Finish],
        tombstoned: int = 0,
    ) -> Manifest:
        """The next version, made the current one; tombstoned: rows already lost before. Needs the folder's lock."""
        number = (self.folder.current() or 0) + 1
        with self.folder.aside() as aside:
            place = Place(aside, self.folder.file_id(number, ""), self.setting.wrapping)
            stored = self._write_parts(place, intake, batches)
            given, lost = intake.finish(finish())
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
