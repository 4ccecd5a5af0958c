"""A crowd brought to a platform's own API: phones of a file, hashed as the platform wants them, in batches.

Here hashes leave the node, as they do with the platform's SDK, and only because somebody asks for it. None stands in a
message or a log.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom import private_files
from cleanroom.crowds import channels as known
from cleanroom.crowds.uploading import anybody_of
from cleanroom.errors import BadData
from cleanroom.node.local import Progress
from connectors.qipan import Account, Qipan

_NEEDED = ("url", "app_id", "private_key", "public_key")
_MOST_ACCOUNT = 1 << 16


def push(home: Path, file: str, account: Path, name: str, code: str, *, channels: Sequence[str] = (),
         progress: Progress | None = None) -> dict[str, Any]:  # fmt: skip
    """A crowd of everybody in the file, known there by `code`. The same again changes nothing, so that what was cut
    off is made again whole. Raises UsageError for nobody, BadData or Refused for the account's file, InputError as
    `Qipan.push`.
    """
    used, client = known.check(channels), Qipan(account_of(account))
    digests = np.unique(anybody_of(home, file, "phone")[0], axis=0)
    people, whole = (each.tobytes().hex() for each in digests), len(digests)

    def through(done: int) -> None:
        if progress:
            progress("platform", "sending", done, whole)

    made = client.push(name, code, people, channels=used, progress=through)
    return {"crowd_code": made.code, "name": name, "users": made.users, "batches": made.batches}


def account_of(path: Path) -> Account:
    """Who calls what: a TOML file that only its owner may read."""
    content = private_files.read_secret(path.expanduser(), _MOST_ACCOUNT)
    try:
        told = tomllib.loads(content.decode())
    except ValueError as error:
        raise BadData("{name} is no TOML.", "It has: {keys}.", name=path.name, keys=", ".join(_NEEDED)) from error
    if set(told) != set(_NEEDED) or not all(isinstance(value, str) for value in told.values()):
        raise BadData("The account in {name} lacks an entry, or has one too many.", "It has: {keys}.",
                      name=path.name, keys=", ".join(_NEEDED))  # fmt: skip
    return Account(**told)
