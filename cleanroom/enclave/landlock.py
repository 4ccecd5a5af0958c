"""Reading given up as well: of all files, only the programs and libraries that the enclave itself consists of.

Linux Landlock, first version of its interface (5.13, include/uapi/linux/landlock.h). A process under it can look into
no other process either, which is what keeps the memory of the party that started it closed where both have one user.
"""

import ctypes
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
"""One number on all processors."""
RULE_PATH_BENEATH = 1
EVERYTHING = (1 << 13) - 1
"""All rights of the first version: execute, write, read, and make or remove of every kind."""
READ_FILE, READ_FOLDER = 1 << 2, 1 << 3
SYSTEM = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc", "/sys")


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def restrict(libc: ctypes.CDLL, readable: Iterable[str]) -> bool:
    """From here on this thread opens nothing but what is below `readable` and `SYSTEM`, and that only to read.

    Needs PR_SET_NO_NEW_PRIVS. False where the kernel does not have it.
    """
    handled = ctypes.c_uint64(EVERYTHING)
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    if ruleset < 0:
        return False
    for path in {*readable, *SYSTEM}:
        with suppress(OSError):  # not there, or not for this user to begin with
            _allow(libc, ruleset, path)
    held = int(libc.syscall(RESTRICT_SELF, ruleset, 0)) == 0
    os.close(ruleset)
    return held


def _allow(libc: ctypes.CDLL, ruleset: int, path: str) -> None:
    parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = READ_FILE | (READ_FOLDER if Path(path).is_dir() else 0)
    libc.syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, ctypes.byref(_PathBeneath(rights, parent)), 0)
    os.close(parent)
