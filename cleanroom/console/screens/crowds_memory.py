"""A small file that came with a form, to whoever needs a path: in memory alone, gone when it was read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.datastructures import FormData, UploadFile

MOST_BYTES = 1 << 20


@contextmanager
def in_memory(content: bytes) -> Iterator[str]:
    """A path under which this process reads `content`; nothing is written to a disk."""
    handle = os.memfd_create("form", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(handle), "wb") as file:
            file.write(content)
        yield f"/proc/{os.getpid()}/fd/{handle}"
    finally:
        os.close(handle)


async def file_of(form: FormData, name: str) -> bytes:
    """The bytes of a form's file; b"" where none was chosen."""
    held = form.get(name)
    return await held.read(MOST_BYTES) if isinstance(held, UploadFile) else b""
