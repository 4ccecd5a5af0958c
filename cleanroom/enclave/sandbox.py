"""What an enclave process gives up before it sees a row: network, other programs, files, root's rights, core dumps.

Each step says whether it held; what could not be given up on this machine is missing from the result, never claimed.
Must run before any thread is started: what is given up thread by thread is not claimed otherwise. On other systems than
Linux only the limits and the audit hook hold, and the audit hook stops Python code, not a library's machine code.
"""

import ctypes
import importlib.util
import os
import platform
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from cleanroom.enclave import landlock, seccomp

CORE_DUMPS = "no-core-dumps"
MEMORY = "memory-limit"
CPU = "cpu-limit"
FILE_LIMIT = "no-file-writes"
NAMESPACE = "own-network-namespace"
USER = "own-user"
CAPABILITIES = "no-capabilities"
UNTRACED = "not-traceable"
PRIVILEGES = "no-new-privileges"
READING = "no-other-files"
SYSTEM_CALLS = "system-call-filter"
AUDIT = "audit-hook"

CLONE_NEWUSER, CLONE_NEWNET, CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 4, 22, 38, 2
CAPABILITY_VERSION_3 = 0x20080522

USERS = range(61_184, 65_520)
"""User ids that belong to nobody: those systemd gives to services for as long as they run."""
NEEDED = ("json", "cleanroom", "connectors", "duckdb", "numpy", "protocols", "pyarrow", "sqlglot")
"""What is loaded inside."""

REFUSED_EVENTS = frozenset(
    {"socket.__new__", "socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname"}
    | {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn"}
)
FILE_EVENTS = frozenset(
    {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"}
    | {"sqlite3.connect"}
)


def apply(memory: int, seconds: int, *, files: bool = True) -> tuple[str, ...]:
    """Give up what can be given up; the names of what held.

    `memory`: bytes of private memory beyond which allocations fail. `seconds`: of computing, of all threads together,
    after which the system ends the process. `files`: whether other files, and root's identity, are given up too (only a
    run under coverage measurement, which writes its data at the end, may keep them).
    """
    steps: list[tuple[str, Callable[[], bool]]] = [
        (CORE_DUMPS, lambda: _limit(resource.RLIMIT_CORE, 0)),
        (MEMORY, lambda: _limit(resource.RLIMIT_DATA, memory)),
        (CPU, lambda: _limit(resource.RLIMIT_CPU, seconds)),
    ]
    if files:
        steps.append((FILE_LIMIT, lambda: _limit(resource.RLIMIT_FSIZE, 0)))
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        alone = len(list(Path("/proc/self/task").iterdir())) == 1  # a thread that is there already would keep its own
        steps += [
            (NAMESPACE, lambda: alone and _own_network(libc, 0)),
            (USER, lambda: files and _own_user()),
            # now, since no identity can be taken within a user namespace of our own
            (NAMESPACE, lambda: alone and _own_network(libc, CLONE_NEWUSER)),
            (CAPABILITIES, lambda: alone and _drop_capabilities(libc)),
            (UNTRACED, lambda: _prctl(libc, PR_SET_DUMPABLE, 0)),
            (PRIVILEGES, lambda: _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)),
            (READING, lambda: alone and files and landlock.restrict(libc, _programs())),
            (SYSTEM_CALLS, lambda: alone and _filter_system_calls(libc, files)),
        ]
    steps.append((AUDIT, lambda: _audit(files)))
    held: list[str] = []
    for name, step in steps:
        if name not in held and step():
            held.append(name)
    return tuple(held)


def programs_are_private() -> bool:
    """Whether what is loaded inside can be read by root alone, so that it must be loaded before `apply`."""
    if sys.platform != "linux" or os.geteuid():
        return False
    files = _files()
    try:
        os.seteuid(USERS[0])
    except OSError:
        return False
    readable = all(os.access(path, os.R_OK, effective_ids=True) for path in files)
    os.seteuid(0)
    return not readable


def _files() -> list[str]:
    """A file of each program that is loaded inside."""
    specs = [importlib.util.find_spec(name) for name in NEEDED]
    return [spec.origin for spec in specs if spec and spec.origin and spec.origin != "frozen"]


def _programs() -> list[str]:
    """The folders from which is loaded; compiled code is kept apart."""
    compiled = os.environ.get("NUMBA_CACHE_DIR")
    return [sys.prefix, sys.base_prefix, *sys.path, *map(os.path.dirname, _files()), *([compiled] if compiled else [])]


def _limit(what: int, value: int) -> bool:
    try:
        resource.setrlimit(what, (value, value))
    except (ValueError, OSError):
        return False
    return True


def _own_network(libc: ctypes.CDLL, user: int) -> bool:
    """A network namespace without any interface: as root directly, else inside a user namespace of our own."""
    return int(libc.unshare(CLONE_NEWNET | CLONE_NEWIPC | user)) == 0


def _own_user() -> bool:
    """From root to a user who owns nothing here."""
    if os.geteuid():
        return False
    user = USERS[os.getpid() % len(USERS)]
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        return False
    return True


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    return int(libc.capset(header, (ctypes.c_uint32 * 6)())) == 0


def _prctl(libc: ctypes.CDLL, option: int, value: int, pointer: object = None) -> bool:
    zero = ctypes.c_ulong(0)
    return int(libc.prctl(option, ctypes.c_ulong(value), pointer or zero, zero, zero)) == 0


def _filter_system_calls(libc: ctypes.CDLL, files: bool) -> bool:
    code = seccomp.program(platform.machine(), files=files)
    if code is None:
        return False
    instructions = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]

    program = Program(len(code) // 8, ctypes.addressof(instructions))
    return _prctl(libc, PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program))


def _audit(files: bool) -> bool:
    refused = REFUSED_EVENTS | (FILE_EVENTS if files else frozenset())

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in refused or (files and event == "open" and _writes(arguments)):
            raise PermissionError("an enclave may not do this")

    sys.addaudithook(hook)
    return True


def _writes(arguments: tuple[object, ...]) -> bool:
    """Whether an `open` event (path, mode, flags) asks for more than reading."""
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
