"""What a version of a dataset is: a signed list of its files with digests, its columns, and how it came about.

The file: the format on a line of its own, then, wrapped under the version's name, canonical JSON and the party's
Ed25519 signature over format and JSON. Wrapped, because column names can be values (a file without a header row) and a
source's name may tell something. A manifest that does not verify is never used.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.canonical import Json
from cleanroom.errors import BadData
from cleanroom.keys import PartyKeys, verify
from cleanroom.keystore import Wrapping

_FORMAT = b"cleanroom-manifest/1"
_LABEL = "cleanroom/manifest/1"
_SIGNATURE_BYTES = 64
_FILE_NAME = re.compile(r"(part|refined)-[0-9]{4,9}(-[0-9]{4,9})?\.parquet")
SIZE_LIMIT = 1 << 26


@dataclass(frozen=True)
class StoredColumn:
    """A column's name, its Arrow type as text, and whether it may hold nulls."""

    name: str
    type: str
    nullable: bool


@dataclass(frozen=True)
class StoredFile:
    """A file of the version: SHA-256 in hex, size in bytes, rows it holds; tag: what its object store calls this
    content, so that unchanged objects need not be read to be verified."""

    name: str
    sha256: str
    size: int
    rows: int
    tag: str = ""


@dataclass(frozen=True)
class Manifest:
    """One version of one dataset.

    rows: rows that a reader sees; tombstoned: rows left out because their persons are forgotten; epoch: the tombstones
    that were applied; parts hold the rows, refined (one a part, or none) which of them stand and their replaced
    amounts; meta: what the importer says (funnel, identity profile, digest form, source label); created: UTC, ISO 8601.
    """

    dataset: str
    version: int
    created: str
    epoch: int
    rows: int
    tombstoned: int
    columns: tuple[StoredColumn, ...]
    parts: tuple[StoredFile, ...]
    refined: tuple[StoredFile, ...]
    meta: Mapping[str, Json]

    @property
    def digest(self) -> str:
        """SHA-256 in hex of this version: what a contract or receipt may name."""
        return hashlib.sha256(self._body()).hexdigest()

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files of the version."""
        return self.parts + self.refined

    def physical(self, column: str) -> str:
        """The column's name inside the files: its place, so that any header will do."""
        return f"c{next(at for at, stored in enumerate(self.columns) if stored.name == column)}"

    def sealed(self, keys: PartyKeys, wrapping: Wrapping, name: str) -> bytes:
        """The manifest's file; `name` says which version of which dataset it belongs to."""
        body = self._body()
        return _FORMAT + b"\n" + wrapping.wrap(name, keys.sign(_LABEL, _FORMAT + body) + body)

    def plain(self) -> dict[str, Any]:
        """As JSON fields: what is signed, and what the digest is of."""
        body = asdict(self)
        for file in (*body["parts"], *body["refined"]):
            if not file["tag"]:
                del file["tag"]  # in a folder there are none, and manifests are as they always were
        return body

    def _body(self) -> bytes:
        return canonical.encode(self.plain())


def unseal(content: bytes, keys: PartyKeys, wrapping: Wrapping, name: str) -> Manifest:
    """The manifest in a file's content. Raises BadData unless it is whole, known, signed by us and `name`'s."""
    form, _, sealed = content.partition(b"\n")
    if form != _FORMAT:
        raise BadData("A manifest is of an unknown version.", "Update this program or import the dataset again.")
    opened = wrapping.unwrap(name, sealed)
    signature, body = opened[:_SIGNATURE_BYTES], opened[_SIGNATURE_BYTES:]
    verify(keys.public.signing, _LABEL, _FORMAT + body, signature)
    try:
        return _from_json(json.loads(body))
    except (KeyError, TypeError, ValueError) as error:
        raise BadData("A manifest of the vault is damaged.", "Import the dataset again.") from error


def _from_json(content: dict[str, Any]) -> Manifest:
    lists = {"parts": StoredFile, "refined": StoredFile, "columns": StoredColumn}
    built = {name: tuple(kind(**item) for item in content[name]) for name, kind in lists.items()}
    manifest = Manifest(**(content | built))
    if not all(_FILE_NAME.fullmatch(file.name) for file in manifest.files):
        raise ValueError
    return manifest
