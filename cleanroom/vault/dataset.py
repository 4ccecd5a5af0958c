"""One dataset: its versions written, verified and read. What is forgotten, and when, is the vault's matter."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from cleanroom.canonical import Json
from cleanroom.keys import PartyKeys, SecretAccess
from cleanroom.keystore import Wrapping
from cleanroom.vault import groups, parts
from cleanroom.vault import manifest as manifests
from cleanroom.vault.encrypted_file import Place
from cleanroom.vault.files import Files
from cleanroom.vault.identities import DIGEST, KIND, Identity, as_bytes, forgotten, identity_columns, kin
from cleanroom.vault.intake import Intake
from cleanroom.vault.manifest import Manifest, StoredColumn
from cleanroom.vault.partitions import BUFFER_BYTES, Partitioning, PartitionsWriter
from cleanroom.vault.parts import Finish, PartsWriter
from cleanroom.vault.shared import shared
from cleanroom.vault.shelves import Versions
from cleanroom.vault.tombstones import Tombstones
from connectors.arrays import is_valid

_MANIFEST = "manifest"
Meta = Mapping[str, Json]


@dataclass(frozen=True)
class Setting:
    """What all datasets of a vault share: keys, sizes, and which files were verified already."""

    keys: PartyKeys
    wrapping: Wrapping
    group_rows: int = parts.GROUP_ROWS
    part_rows: int = parts.PART_ROWS
    partitions: int = 1
    buffer_bytes: int = BUFFER_BYTES
    verified: set[object] = field(default_factory=set)

    def partition_key(self) -> bytes:
        """32 bytes, by which this vault alone spreads persons over partitions."""
        return self.keys.secret("partitions", lambda: secrets.token_bytes(32), SecretAccess("partitions of a vault"))


@dataclass(frozen=True)
class Dataset:
    """The versions in one folder."""

    folder: Versions
    setting: Setting

    def load(self, version: int | None = None) -> Manifest:
        """A version's manifest, the current one's by default. Raises BadData where it is missing or not ours."""
        number = version if version is not None else self.folder.current() or 0
        files = self.folder.files(number)
        content = files.read(_MANIFEST, manifests.SIZE_LIMIT)
        return manifests.unseal(content, self.setting.keys, self.setting.wrapping, files.prefix + _MANIFEST)

    def save(self, manifest: Manifest, files: Files) -> None:
        """Replaces the manifest among a version's files. Needs the folder's lock."""
        sealed = manifest.sealed(self.setting.keys, self.setting.wrapping, files.prefix + _MANIFEST)
        files.replace(_MANIFEST, sealed)

    def check(self, manifest: Manifest) -> None:
        """Raises BadData unless every file is as the manifest says; looks once as long as the files do not change."""
        files = self.folder.files(manifest.version)
        mark = files.mark(manifest.files)
        if mark not in self.setting.verified:
            files.check(manifest.files)
            self.setting.verified.add(mark)

    def behind(self, epoch: int) -> list[Manifest]:
        """The versions to which the tombstones of this epoch were not applied yet."""
        return [old for number in self.folder.versions() if (old := self.load(number)).epoch < epoch]

    def schema(self, manifest: Manifest) -> pa.Schema:
        """The columns as they are read, under their own names."""
        with closing(self.place(manifest.version).open(manifest.parts[0].name, [])) as file:
            stored = file.schema_arrow
        names = [column.name for column in manifest.columns]
        return pa.schema([column.with_name(name) for column, name in zip(stored, names, strict=True)])

    def read(
        self, manifest: Manifest, columns: Sequence[str], rows: NDArray[np.int64] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """The rows, with the keys of `columns` only; the files are open when this returns."""
        physical = [manifest.physical(column) for column in columns]
        place = self.place(manifest.version)
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
        with self.folder.aside(number) as aside:
            place = Place(aside, self.setting.wrapping)
            writer = self._writer(place, intake)
            stored = self._write_parts(writer, intake, batches)
            given, lost = intake.finish(finish(intake.survived()))
            refined = self._write_refined(place, stored, writer.arranged(given), intake)
            manifest = Manifest(
                dataset=name,
                version=number,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                epoch=intake.epoch,
                rows=sum(part.rows for part in stored) if given.keep is None else int(given.keep.sum()),
                tombstoned=tombstoned + lost,
                columns=tuple(StoredColumn(column.name, str(column.type), column.nullable) for column in intake.stored),
                parts=aside.tagged(stored),
                refined=aside.tagged(refined),
                meta=meta() if callable(meta) else meta,
            )
            self.save(manifest, aside)
            self.folder.make_current(aside, number)
        self.setting.verified.add(self.folder.files(number).mark(manifest.files))  # hashed while they were written
        return manifest

    def keep_newest(self, number: int) -> None:
        """Removes all but the newest versions. Needs the folder's lock."""
        for old in self.folder.versions()[:-number]:
            self.folder.retire(old)

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
        batches = groups.read_groups(self.place(manifest.version), manifest.parts, (), physical, None)
        return (batch.rename_columns(names) for batch in batches)

    def _writer(self, place: Place, intake: Intake) -> PartsWriter | PartitionsWriter:
        physical = pa.schema([column.with_name(intake.physical[column.name]) for column in intake.stored])
        setting = self.setting
        if setting.partitions == 1:
            return PartsWriter(place, physical, group_rows=setting.group_rows, part_rows=setting.part_rows)
        by = Partitioning(setting.partitions, setting.partition_key(), intake.stored.get_field_index(DIGEST))
        return PartitionsWriter(place, physical, by, group_rows=setting.group_rows, buffer_bytes=setting.buffer_bytes)

    def _write_parts(
        self, writer: PartsWriter | PartitionsWriter, intake: Intake, batches: Iterable[pa.RecordBatch]
    ) -> tuple[manifests.StoredFile, ...]:
        with writer:
            for batch in batches:
                writer.add(intake.take(batch))
            return writer.close()

    def _write_refined(
        self, place: Place, stored: Sequence[manifests.StoredFile], given: Finish, intake: Intake
    ) -> tuple[manifests.StoredFile, ...]:
        if not given.changes:
            return ()
        return parts.write_refined(place, stored, given, intake.physical, self.setting.group_rows)

    def place(self, version: int) -> Place:
        """Where a version's files stand, and what opens them."""
        return Place(self.folder.files(version), self.setting.wrapping)


def _identity_columns(manifest: Manifest) -> list[str]:
    return identity_columns([column.name for column in manifest.columns])
