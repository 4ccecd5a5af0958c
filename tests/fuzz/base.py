"""What every target has: the bytes that it reads, and the errors that may come of them."""

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom.errors import CleanroomError
from connectors.errors import InputError
from protocols.errors import ProtocolError

CANARY = "13912345678"
"""A value of a cell, in every example: in no error."""
OURS = (CleanroomError, InputError, ProtocolError)
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = KEY.public_key().public_bytes_raw()


@dataclass(frozen=True)
class Target:
    """One parser. make: its examples; structured: of JSON; errors: what may be raised."""

    name: str
    make: Callable[[], list[bytes]]
    read: Callable[[bytes], object]
    structured: bool = False
    errors: tuple[type[BaseException], ...] = OURS

    @cached_property
    def examples(self) -> list[bytes]:
        """What it reads, made once."""
        return self.make()


@cache
def scratch() -> Path:
    """A folder for the files that are read, until this process ends."""
    folder = tempfile.mkdtemp(prefix="fuzz")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def written(content: bytes, name: str) -> Path:
    """A file there that holds `content`."""
    path = scratch() / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path
