"""A node's home: the one folder that holds a party's keys, vault, rooms and ledger. Mode 0700, one format version.

    node.json       the format and the party's name        keys/     the party's secret keys, each wrapped
    keystore.json   the wrapped root key                   vault/    the datasets
    unlock.key      only where the home has no key         rooms/    what the parties signed, and its runs
                    of its own kept elsewhere              peers/    homes of parties that run on this same machine
Nothing that is not a home of a known format is ever opened, and nothing that exists is ever made into one.
"""

import json
import os
import secrets
import shutil
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.keys import PartyKeys
from cleanroom.keystore import KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE, Keystore, Wrapping
from cleanroom.vault import Vault

FORMAT = "cleanroom-home/2"
FIRST_FORMAT = "cleanroom-home/1"
"""Before there were nodes that talk to others; `operations.upgrade` brings it to FORMAT."""
OWN_KEY = "unlock.key"
_FOLDERS = ("keys", "vault", "rooms", "peers")
_LONGEST_NAME = 64


@dataclass(frozen=True)
class Home:
    """An opened home. wrapping: wraps further secrets that belong into it."""

    path: Path
    party: str
    wrapping: Wrapping
    keys: PartyKeys
    vault: Vault

    @classmethod
    def create(cls, path: Path, party: str, keystore: Keystore | None = None) -> "Home":
        """A new home with new keys, made aside and moved to `path`, which does not exist or is an empty folder.

        Without a keystore the environment says how it opens (`keystore` module); where that says nothing, the home gets
        a key file inside: whoever may read the folder may then open it. Raises UsageError where `path` or `party` do
        not fit.
        """
        party = _checked_party(party)
        _check_vacant(path)
        aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            aside.mkdir(0o700)
            _fill(aside, party, keystore)
            aside.replace(path)
            private_files.sync_folder(path.parent)
        except OSError as error:
            raise UsageError(
                "The home {name} cannot be made: {reason}.", name=path.name, reason=error.strerror
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return cls.open(path, keystore)

    @classmethod
    def open(cls, path: Path, keystore: Keystore | None = None) -> "Home":
        """An existing home. Without a keystore: the environment, else the key file inside.

        Raises UsageError where there is no home, BadData for an unknown format, a wrong passphrase or missing keys,
        Refused where others may enter it.
        """
        if path.is_symlink() or not (path / "node.json").exists():
            raise UsageError(
                "{name} is not a home of this program.", "Make one first, or name another.", name=path.name
            )
        party = _party(private_files.read(path / "node.json"), path.name)
        for folder in (path, *(path / name for name in _FOLDERS)):
            private_files.check_folder(folder)
        wrapping = (keystore or usual_keystore(path)).open(private_files.read(path / "keystore.json"))
        keys = PartyKeys(path / "keys", wrapping)
        return cls(path, party, wrapping, keys, Vault(path / "vault", keys, wrapping))

    @property
    def rooms(self) -> Path:
        """The folder of contracts and runs."""
        return self.path / "rooms"

    @property
    def peers(self) -> Path:
        """The folder of homes of parties on this same machine."""
        return self.path / "peers"

    @property
    def ledger_path(self) -> Path:
        """The ledger's file; the ledger makes it."""
        return self.path / "ledger.sqlite"


def _fill(folder: Path, party: str, keystore: Keystore | None) -> None:
    for name in _FOLDERS:
        (folder / name).mkdir(0o700)
    if keystore is None and not _environment_says():
        Keystore.make_key_file(folder / OWN_KEY)
    header, wrapping = (keystore or usual_keystore(folder)).create()
    write_bytes(folder / "keystore.json", header)
    PartyKeys.create(folder / "keys", wrapping)
    write_bytes(folder / "node.json", canonical.encode({"format": FORMAT, "party": party}))


def usual_keystore(home: Path) -> Keystore:
    """What opens a home where nobody says: the environment, else the key file inside."""
    own = home / OWN_KEY
    return Keystore.from_environment() if _environment_says() or not own.exists() else Keystore.from_key_file(own)


def _environment_says() -> bool:
    return any(os.environ.get(name) for name in (KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE))


def _check_vacant(path: Path) -> None:
    if not path.parent.is_dir():
        raise UsageError("The folder for {name} does not exist.", "Make it first.", name=path.name)
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UsageError("{name} exists and is not a folder.", "Name another.", name=path.name)
    if (path / "node.json").exists():
        raise UsageError("{name} is a home already.", "Name another, or use this one.", name=path.name)
    if path.exists() and any(path.iterdir()):
        raise UsageError("The folder {name} is not empty.", "Name another.", name=path.name)


def _checked_party(party: str) -> str:
    party = unicodedata.normalize("NFC", party)
    if not 1 <= len(party) <= _LONGEST_NAME or not party.isprintable() or party.strip() != party:
        raise UsageError("This cannot name a party.", "Use up to {most} letters or digits.", most=_LONGEST_NAME)
    return party


def described(node: bytes) -> tuple[str, str]:
    """(format, party) that a `node.json` names. Raises BadData where it is damaged."""
    try:
        found = json.loads(node)
    except (ValueError, RecursionError) as error:
        raise BadData("The home's node.json is damaged.", "Restore it from a backup.") from error
    if not isinstance(found, dict) or not isinstance(found.get("format"), str):
        raise BadData("The home is of an unknown format.", "Update this program, or name another home.")
    return found["format"], found["party"] if isinstance(found.get("party"), str) else ""


def _party(content: bytes, name: str) -> str:
    form, party = described(content)
    if form == FIRST_FORMAT:
        raise BadData("The home {name} is of an earlier format.", "Run: cleanroom upgrade {name}", name=name)
    if form != FORMAT or not party:
        raise BadData("The home is of an unknown format.", "Update this program, or name another home.")
    return party
