"""A file of people becomes digests as the vault has them: by the room's own profile, in whatever form they come.

SHA-256 in hex, as platforms want it, is taken as it is and gives the digest of the plain phone. Nothing is written; the
digests go into a sealed list and nowhere else.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.crowds.entries import WIDTH, Bytes, Entries
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.importing import look, plain, with_profiles
from cleanroom.querying import opened
from cleanroom.vault.identities import DIGEST, as_bytes
from connectors.importing import Importer, spec_of
from connectors.open import open_source


def digests_of(path: Path, room: str, file: str, on: str = "", mapping: str | None = None) -> tuple[Bytes, Any]:
    """(uint8[n, 32], the funnel): who is in a file, by the identity and the profile that the room matches by.

    Raises UsageError where nobody is, or where they come as MD5; InputError for a file that cannot be read.
    """
    home, held = opened(path, room)
    dataset = held.contract.dataset_of(home.party)
    return _read(file, on or dataset.identity, dataset.profile if on in ("", dataset.identity) else None, mapping)


def anybody_of(path: Path, file: str, on: str, mapping: str | None = None) -> tuple[Bytes, Any]:
    """The same by the usual profile, for lists that belong to no room."""
    Home.open(path.expanduser())
    return _read(file, on, None, mapping)


def _read(file: str, on: str, profile: str | None, mapping: str | None) -> tuple[Bytes, Any]:
    source = open_source(file)
    found = look(source, mapping)
    importer = Importer(source, spec_of(found, with_profiles(found, on, profile)))
    parts = [as_bytes(batch.column(DIGEST)) for batch in importer.batches()]
    funnel = plain(importer.funnel())
    if not sum(map(len, parts)):
        raise UsageError("Nobody in the file can be matched.", "Check it with cleanroom data doctor.")
    if any(each.shape[1] != WIDTH for each in parts):
        raise UsageError("A list holds SHA-256 digests of identities, 32 bytes each.", "MD5 is not taken.")
    return Entries.of(np.concatenate(parts)).digests, funnel
