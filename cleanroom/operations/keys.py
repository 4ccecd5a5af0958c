"""Keys changed by hand: what opens the home, and its TLS certificate. The identity key does not change.

storage    A new passphrase or key file opens the home; the root key behind it stays, wrapped anew. So it helps
           against whoever learns the old one later, not against a copy of the home that was made with it.
tls        A new key and certificate for the node; peers take it over by the party's signature in it.
identity   A party's Ed25519 key is what contracts, receipts and the ledger are signed under, so that a new one is a
           new party: a new home, fingerprints compared again, rooms signed anew. The old home stays for audits.
"""

import datetime as dt
import os
from collections.abc import Mapping
from pathlib import Path

from cleanroom import private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import OWN_KEY, Home, usual_keystore
from cleanroom.keystore import KEY_FILE_VARIABLE, PASSPHRASE_VARIABLE, Keystore

NEW_KEY_FILE_VARIABLE = "CLEANROOM_NEW_KEY_FILE"
NEW_PASSPHRASE_VARIABLE = "CLEANROOM_NEW_PASSPHRASE"  # noqa: S105 - the variable's name, no secret
_NEXT = f"{OWN_KEY}.next"


def rotate_storage(path: Path, environment: Mapping[str, str] | None = None) -> str:
    """From now on the home opens by what the environment names as new, or, where its key file lies inside and nothing
    is named, by a new one there. Returns "own", "key-file" or "passphrase".

    A new key file is made where there is none. Killed at any point, the same call again finishes it. Raises UsageError
    where nothing is named for a home whose key is kept elsewhere, BadData where the home does not open.
    """
    environment = os.environ if environment is None else environment
    key_file = environment.get(NEW_KEY_FILE_VARIABLE, "")
    passphrase = environment.get(NEW_PASSPHRASE_VARIABLE, "")
    own = path / OWN_KEY
    inside = own.exists() or (path / _NEXT).exists()
    if bool(key_file) == bool(passphrase):
        if key_file or not inside:
            raise UsageError(
                "Nothing says how the home is to open from now on, or two things do.",
                "Set either {key_file} or {passphrase}.",
                key_file=NEW_KEY_FILE_VARIABLE,
                passphrase=NEW_PASSPHRASE_VARIABLE,
            )
        return _rotate_own(path)
    if key_file and not Path(key_file).exists():
        Keystore.make_key_file(Path(key_file))
    new = Keystore.from_environment({KEY_FILE_VARIABLE: key_file, PASSPHRASE_VARIABLE: passphrase})
    if not _opens(path, new):
        _rewrap(path, usual_keystore(path), new)
    own.unlink(missing_ok=True)
    private_files.sync_folder(path)
    return new.kind


def renew_certificate(home: Home, *, at_once: bool) -> tuple[dt.datetime, str]:
    """(when the node's newest certificate ends, its digest). at_once: the old key was stolen, so that peers must take
    the new certificate by hand."""
    from cleanroom.node import certificate

    held = certificate.renew(home, at_once=at_once)
    newest = held.following or held.certificate
    return newest.ends, newest.digest


def _rotate_own(path: Path) -> str:
    own, following = path / OWN_KEY, path / _NEXT
    if following.exists() and not _opens(path, Keystore.from_key_file(following)):
        following.unlink()  # of a call that was killed before it counted
    if not following.exists():
        Keystore.make_key_file(following)
        _rewrap(path, Keystore.from_key_file(own), Keystore.from_key_file(following))
    following.replace(own)
    private_files.sync_folder(path)
    return "own"


def _rewrap(path: Path, old: Keystore, new: Keystore) -> None:
    header = path / "keystore.json"
    write_bytes(header, old.moved(private_files.read(header), new))


def _opens(path: Path, keystore: Keystore) -> bool:
    try:
        keystore.open(private_files.read(path / "keystore.json"))
    except (BadData, UsageError):
        return False
    return True
