"""How kernels are compiled, and where numba keeps what it compiled.

numba's own cache notices an edit of a kernel's file, not of the modules whose functions it calls. So the cache lies in
a folder named after a digest of all sources here: whatever is edited, nothing stale is ever run. numba loads what it
finds there, so the folder must be the user's own and closed to others. It is the one thing that `protocols` writes.
"""

import functools
import hashlib
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import config, njit

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile for calls from Python: without the interpreter's lock, cached on disk where that is possible."""
    dispatcher = njit(nogil=True, error_model="numpy")(function)
    if (folder := cache_folder()) is not None:
        before, config.CACHE_DIR = config.CACHE_DIR, str(folder)
        try:
            dispatcher.enable_caching()
        finally:
            config.CACHE_DIR = before
    return cast(Function, dispatcher)


def inner(function: Function) -> Function:
    """Compile for calls from other kernels only: no Python entry point."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "nogil": True}
    return cast(Function, njit(**options)(function))


def inlined(function: Function) -> Function:
    """As `inner`, always inlined: what passes many vectors would otherwise go through memory."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "error_model": "numpy", "forceinline": True}
    return cast(Function, njit(nogil=True, **options)(function))


@functools.cache
def sources_digest() -> str:
    """Names every state of the sources here, and of numba."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"kernels/1 {numba.__version__} {sys.version}".encode())
    for path in sorted(here.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(here).as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:20]


@functools.cache
def cache_folder() -> Path | None:
    """Where compiled kernels are kept, made if need be; None where no folder can be trusted or written.

    Under NUMBA_CACHE_DIR where that is set, else under the user's cache folder.
    """
    folder = caches() / sources_digest()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "posix":
            folder.chmod(0o700)
            found = folder.stat()
            if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) != 0o700:
                return None
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def caches() -> Path:
    """The folder that holds a cache for each state of the sources."""
    if config.CACHE_DIR:
        return Path(config.CACHE_DIR)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cleanroom" / "kernels"
