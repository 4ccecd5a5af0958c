"""Where compiled kernels are kept; known without numba, so that a command can ask cheaply whether they are there.

The folder is named after a digest of all sources here: whatever is edited, nothing stale is ever run. What lies in it
is loaded and run, so it must be the user's own and closed to others. It is the one thing that `protocols` writes.
"""

import functools
import hashlib
import os
import stat
import sys
from importlib import metadata
from pathlib import Path


@functools.cache
def sources_digest() -> str:
    """Names every state of the sources here, of numba and of Python: 20 hexadecimal digits."""
    here = Path(__file__).parent
    digest = hashlib.sha256(f"kernels/1 {metadata.version('numba')} {sys.version}".encode())
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
    if given := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(given)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cleanroom" / "kernels"
