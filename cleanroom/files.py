"""Files that appear whole or not at all: written aside, synced, renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cleanroom.errors import BadData, UsageError


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[Path]:
    """A path beside `path` to write to; on success synced and renamed to `path`, on failure removed.

    Raises UsageError where the folder is missing, BadData where the disk is full or the folder not writable.
    """
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():
            raise UsageError("The folder for {name} does not exist.", "Make it first.", name=path.name)
        os.close(os.open(aside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_NOFOLLOW", 0), mode))
        yield aside
        _sync(aside)
        aside.replace(path)
        _sync(path.parent)
    except OSError as error:
        raise BadData(
            "{name} could not be written: {reason}.",
            "Check free space and rights.",
            name=path.name,
            reason=error.strerror,
        ) from error
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes, mode: int = 0o600) -> None:
    """`content` as the whole of `path`, durably."""
    with replacing(path, mode) as aside:
        aside.write_bytes(content)


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open a folder; its rename is durable with the file
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
