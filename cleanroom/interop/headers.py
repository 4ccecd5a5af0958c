"""The signed header beside a file that leaves a node: FILE.json says what FILE is, who made it, and the digest of it.

Written after the file, so that a file without one is half written and is refused. Reading verifies the form, the
version, the signature and the file's bytes; it raises, or all of these hold. A key never stands in a header.
"""

import datetime as dt
import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import verify

LABEL = "cleanroom/interop-header/1"
ENDS = (".csv", ".parquet")
FIELDS: Mapping[str, type] = {
    "format": str, "algorithm": str, "rows": int, "sha256": str, "created": str, "party": str, "key": str,
    "signature": str,
}  # fmt: skip
"""What every header has; a format has more. rows: of the file; created: UTC; key: Ed25519, which signed; in hex."""
_LIMIT = 1 << 16
_LENGTHS = {"sha256": 64, "key": 64, "signature": 128}
_HEX = re.compile("[0-9a-f]*")


def header_of(path: Path) -> Path:
    """Where the header of a file stands."""
    return path.with_name(path.name + ".json")


def check_new(path: Path) -> None:
    """Raises UsageError for a file that cannot be written, before anything is computed."""
    if path.suffix.lower() not in ENDS:
        raise UsageError("{name} is neither .csv nor .parquet.", "Name it so: the end tells the format.",
                         name=path.name)  # fmt: skip
    for each in (path, header_of(path)):
        if each.exists() or each.is_symlink():
            raise UsageError("{name} exists already.", "Name a file that does not exist yet.", name=each.name)


def write(home: Home, path: Path, form: str, algorithm: str, rows: int, more: Mapping[str, Any]) -> dict[str, Any]:
    """Sign what `path` is and write it beside; the header."""
    header = {
        "format": form, "algorithm": algorithm, **more, "rows": rows, "sha256": _digest(path),
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "party": home.party,
        "key": home.keys.public.signing.hex(),
    }  # fmt: skip
    header["signature"] = home.keys.sign(LABEL, canonical.encode(header)).hex()
    write_bytes(header_of(path), canonical.encode(header))
    return header


def read(path: Path, form: str, algorithm: str, more: Mapping[str, type]) -> dict[str, Any]:
    """The header of a file, verified. Raises BadData for an unknown version, and a form, signature or bytes that do not
    fit. It says which key signed; whose that is says `signed_by`.
    """
    found = _parsed(path)
    if found.get("format") != form or found.get("algorithm") != algorithm:
        raise BadData("{name} is not of the format {known}.", "Export it again with the same version of this program.",
                      name=header_of(path).name, known=f"{form} · {algorithm}")  # fmt: skip
    wanted = {**FIELDS, **more}
    if found.keys() != wanted.keys() or any(type(found[name]) is not kind for name, kind in wanted.items()):
        raise _malformed(path)
    if any(len(found[name]) != length or not _HEX.fullmatch(found[name]) for name, length in _LENGTHS.items()):
        raise _malformed(path)
    if found["rows"] < 0:
        raise _malformed(path)
    made_on(found, path)
    signed = {name: value for name, value in found.items() if name != "signature"}
    verify(bytes.fromhex(found["key"]), LABEL, canonical.encode(signed), bytes.fromhex(found["signature"]))
    if _digest(path) != found["sha256"]:
        raise BadData("{name} is not the file that its header was made for.", "Fetch both again.", name=path.name)
    return found


def signed_by(header: Mapping[str, Any], key: str, path: Path) -> None:
    """Raises BadData unless the party with this signing key (hex) made the file."""
    if header["key"] != key:
        raise BadData("{name} was not made by the party that it should come from.", "Ask that party for its file.",
                      name=path.name)  # fmt: skip


def made_on(header: Mapping[str, Any], path: Path) -> dt.date:
    """The day (UTC) on which the file was made. Raises BadData."""
    try:
        return dt.datetime.fromisoformat(header["created"]).astimezone(dt.UTC).date()
    except (ValueError, OverflowError) as error:
        raise _malformed(path) from error


def _parsed(path: Path) -> dict[str, Any]:
    beside = header_of(path)
    if not beside.is_file():
        raise BadData("{name} has no header beside it: {header} is missing.", "Fetch both files again.", name=path.name,
                      header=beside.name)  # fmt: skip
    try:
        found = json.loads(private_files.read(beside, _LIMIT))
        canonical.encode(found)
    except (ValueError, TypeError, RecursionError) as error:
        raise _malformed(path) from error
    if not isinstance(found, dict):
        raise _malformed(path)
    return found


def _malformed(path: Path) -> BadData:
    return BadData("The header {name} is damaged.", "Fetch both files again.", name=header_of(path).name)


def _digest(path: Path) -> str:
    with os.fdopen(private_files.open_regular(path, follow=True), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
