"""Whether a vault's datasets stand in the home or elsewhere: a file `place` in its folder says so, for good.

The list of forgotten persons moves along. A vault that holds something already stays where it is.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.stores import store
from cleanroom.vault.folders import DatasetFolder
from cleanroom.vault.partitions import MOST, partitions_for

_FORMAT = "cleanroom-vault-place/1"
_FILE = "place"


@dataclass(frozen=True)
class Placed:
    """uri: of a `cleanroom.stores.Store`, without credentials; partitions: of every version written from now on."""

    uri: str
    partitions: int


def placed(vault: Path) -> Placed | None:
    """Where the datasets stand, None for the vault's own folder. Raises BadData for a damaged or unknown file."""
    path = vault / _FILE
    if not path.is_symlink() and not path.exists():
        return None
    try:
        found = json.loads(private_files.read(path, 1 << 14))
        if found["format"] != _FORMAT:
            raise BadData("Where the vault stands is said in an unknown format.", "Update this program.")
        uri, partitions = found["uri"], found["partitions"]
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged() from error
    if not isinstance(uri, str) or not isinstance(partitions, int) or not 1 <= partitions <= MOST:
        raise _damaged()
    return Placed(uri, partitions)


def place(vault: Path, uri: str, rows: int = 0) -> Placed:
    """Lets the datasets of an empty vault stand at `uri`; rows: what the largest of them is expected to have.

    Raises UsageError for an address that does not fit, and where the vault holds something or stands elsewhere already.
    """
    store(uri)
    if placed(vault) is not None or DatasetFolder.all(vault) or (vault / "tombstones").exists():
        raise UsageError("This vault is in use already.", "Choose where it stands before the first import.")
    found = Placed(uri, partitions_for(rows))
    content = canonical.encode({"format": _FORMAT, "partitions": found.partitions, "uri": uri})
    write_bytes(vault / _FILE, content)
    return found


def _damaged() -> BadData:
    return BadData("The file that says where the vault stands is damaged.", "Restore vault/place from a backup.")
