"""What the commands of this part do, and what they tell: plain values for programs and for people."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom import private_files
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.keystore import KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE, Keystore
from cleanroom.operations import backup, keys, statement, upgrade
from cleanroom.operations.restore import Newer, restore
from cleanroom.operations.sealed_stream import Lock, Unlock, as_recipient, by_keystore, to_recipient, with_keystore

BACKUP_KEY_FILE_VARIABLE = "CLEANROOM_BACKUP_KEY_FILE"
BACKUP_PASSPHRASE_VARIABLE = "CLEANROOM_BACKUP_PASSPHRASE"  # noqa: S105 - the variable's name, no secret


@dataclass(frozen=True)
class Access:
    """How a backup opens, as the command line says; where it says nothing, the environment.

    key_file, passphrase_file: files of mode 0600; recipient: to make one, a pinned peer that alone can open it;
    recipient_home: to open one that was made so.
    """

    key_file: Path | None = None
    passphrase_file: Path | None = None
    recipient: str = ""
    recipient_home: Path | None = None

    def lock(self, home: Home) -> Lock:
        """For a new backup of `home`. Raises UsageError, BadData, Refused."""
        if not self.recipient:
            return by_keystore(self._keystore())
        from cleanroom.node.peers import Peers

        self._check_alone()
        return to_recipient(Peers(home).get(self.recipient).public)

    def unlock(self) -> Unlock:
        """For one that there is."""
        if self.recipient_home is None:
            return with_keystore(self._keystore())
        self._check_alone()
        return as_recipient(Home.open(self.recipient_home.expanduser()).keys)

    def _keystore(self) -> Keystore:

        key_file, words = self.key_file, self.passphrase_file
        if key_file is None and words is None:
            told: Mapping[str, str] = os.environ
            key_file = Path(name) if (name := told.get(BACKUP_KEY_FILE_VARIABLE, "")) else None
            passphrase = told.get(BACKUP_PASSPHRASE_VARIABLE, "")
        else:
            passphrase = "" if words is None else _passphrase(words.expanduser())
        if bool(key_file) == bool(passphrase):
            raise UsageError(
                "Nothing says what opens the backup, or two things do.",
                "Name one: --key-file, --passphrase-file, {key_file} or {passphrase}.",
                key_file=BACKUP_KEY_FILE_VARIABLE,
                passphrase=BACKUP_PASSPHRASE_VARIABLE,
            )
        named = "" if key_file is None else str(key_file.expanduser())
        return Keystore.from_environment({KEY_FILE_VARIABLE: named, PASSPHRASE_VARIABLE: passphrase})

    def _check_alone(self) -> None:
        if self.key_file or self.passphrase_file:
            raise UsageError("A backup opens by one thing alone.", "Name a recipient or a key, not both.")


def make_backup(home: Path, to: Path, access: Access) -> dict[str, Any]:
    """Back a home up."""
    opened = Home.open(home.expanduser())
    return {"file": str(to), **backup.write(opened, to.expanduser(), access.lock(opened)).plain()}


def make_backup_key(path: Path) -> dict[str, Any]:
    """A new key file for backups."""
    Keystore.make_key_file(path.expanduser())
    return {"file": str(path)}


def verify_backup(file: Path, access: Access) -> dict[str, Any]:
    """Read all of a backup."""
    return {"file": str(file), **backup.verify(file.expanduser(), access.unlock()).plain()}


def restore_home(file: Path, to: Path, access: Access, newer: Newer) -> dict[str, Any]:
    """Make a home of a backup."""
    done = restore(file.expanduser(), access.unlock(), to.expanduser(), newer)
    return {"home": str(to), **done.plain()}


def tell_again(home: Path) -> dict[str, Any]:
    """Send the statement of the newest restore to all peers once more."""
    return {"home": str(home), "told": list(statement.send(Home.open(home.expanduser())))}


def upgrade_home(home: Path) -> dict[str, Any]:
    """Bring a home to this version's format."""
    done = upgrade.upgrade(home.expanduser())
    return {"home": str(home), "before": done.before, "after": done.after, "homes": done.homes}


def rotate(home: Path, *, storage: bool, tls: bool, at_once: bool) -> dict[str, Any]:
    """New keys, of the kinds asked for. Raises UsageError where none is."""
    if not storage and not tls:
        raise UsageError("Nothing says which key is to be new.", "Name --storage or --tls, or both.")
    home, told = home.expanduser(), dict[str, Any]()
    if tls:
        ends, digest = keys.renew_certificate(Home.open(home), at_once=at_once)
        told = {"tls": {"ends": ends.isoformat(), "digest": digest, "at_once": at_once}}
    if storage:
        told["storage"] = keys.rotate_storage(home)
    return {"home": str(home), **told}


def _passphrase(path: Path) -> str:
    return private_files.read_secret(path).decode("utf-8", "replace").strip("\r\n")
