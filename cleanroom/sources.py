"""Which program this is, for receipts: its version, and a digest of the sources that ran."""

import functools
import hashlib
from pathlib import Path

from cleanroom import __version__

PACKAGES = ("cleanroom", "connectors", "protocols")


@functools.cache
def code_version() -> str:
    """The version and 16 hexadecimal digits that name the exact sources, e.g. `0.1.0+0123456789abcdef`."""
    root, digest = Path(__file__).parent.parent, hashlib.sha256(b"cleanroom/sources/1")
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            content = path.read_bytes()
            digest.update(f"\0{path.relative_to(root).as_posix()}\0{len(content)}\0".encode() + content)
    return f"{__version__}+{digest.hexdigest()[:16]}"
