"""The sandbox, tried from inside: what a process claims to have given up it cannot do, from Python or below it."""

import ctypes
import json
import os
import platform
import re
import resource
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cleanroom.enclave import handle, sandbox, seccomp

linux = pytest.mark.skipif(sys.platform != "linux", reason="what a process gives up differs by system")

INSIDE = r"""
import ctypes, encodings.idna, errno, json, os, resource, socket, subprocess, sys, threading
from cleanroom.enclave import sandbox

target, parent, files = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "files"
held = sandbox.apply(1 << 30, 100, files=files)
libc = ctypes.CDLL(None, use_errno=True)
path = target.encode()

def low(call, *arguments):
    # the C library itself: no audit hook sees this
    ctypes.set_errno(0)
    result = getattr(libc, call)(*arguments)
    return errno.errorcode.get(ctypes.get_errno(), "no error") if result == -1 else "done"

def high(function):
    try:
        function()
    except BaseException as error:
        return type(error).__name__
    return "done"

pointers = (ctypes.c_char_p * 2)(b"/bin/true", None)
below = {
    "socket": low("socket", 2, 1, 0),
    "unix socket": low("socket", 1, 1, 0),
    "socketpair": low("socketpair", 1, 1, 0, (ctypes.c_int * 2)()),
    "connect": low("connect", 0, path, 4),
    "bind": low("bind", 0, path, 4),
    "listen": low("listen", 0, 1),
    "accept": low("accept", 0, None, None),
    "execv": low("execv", b"/bin/true", pointers),
    "fork": low("fork"),
    "vfork by clone": low("syscall", 56, 17, 0, 0, 0, 0) if os.uname().machine == "x86_64" else "EPERM",
    "ptrace": low("ptrace", 16, parent, 0, 0),
    "kill": low("kill", parent, 0),
    "unshare": low("unshare", 0x10000000),
    "io_uring": low("syscall", 425, 1, 0),
}
writing = {"open": low("open", path, os.O_WRONLY), "memfd_create": low("memfd_create", b"x", 0)}
python_writing = {"open": high(lambda: open(target, "a"))}
if files:
    writing |= {
        "open read and write": low("open", path, os.O_RDWR),
        "create": low("open", path + b".new", os.O_CREAT | os.O_WRONLY, 0o600),
        "creat": low("creat", path + b".new", 0o600),
        "truncate": low("truncate", path, 0),
        "mkdir": low("mkdir", path + b".d", 0o700),
        "rename": low("rename", path, path + b".r"),
        "link": low("link", path, path + b".l"),
        "symlink": low("symlink", path, path + b".s"),
        "unlink": low("unlink", path),
        "chmod": low("chmod", path, 0o777),
    }
    python_writing |= {
        "os.open": high(lambda: os.open(target + ".new", os.O_CREAT | os.O_WRONLY)),
        "mkdir": high(lambda: os.mkdir(target + ".d")),
        "remove": high(lambda: os.remove(target)),
    }
python = {
    "socket": high(socket.socket),
    "name": high(lambda: socket.getaddrinfo("example.org", 80)),
    "program": high(lambda: subprocess.run(["/bin/true"])),
    "shell": high(lambda: os.system("true")),
    "fork": high(os.fork),
}
done = []
thread = threading.Thread(target=lambda: done.append(1))
thread.start()
thread.join()
still = {
    "threads": bool(done),
    "reading": files or open(target).read() == "kept",
    "memory": len(bytearray(1 << 20)) > 0,
}
print(json.dumps({
    "held": held, "below": below, "writing": writing, "python": python, "python_writing": python_writing,
    "still": still,
    "too much": high(lambda: bytearray(3 << 30)),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
    "size": resource.getrlimit(resource.RLIMIT_FSIZE),
    "interfaces": [line.split(":")[0].strip() for line in open("/proc/self/net/dev") if ":" in line],
    "status": {line.split(":")[0]: line.split(":")[1].strip() for line in open("/proc/self/status") if ":" in line},
}))
"""


def inside(folder: Path, files: bool) -> dict[str, dict[str, object]]:
    target = folder / "file"
    target.write_text("kept")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    arguments = [sys.executable, "-c", INSIDE, str(target), str(os.getpid()), "files" if files else "no"]
    ran = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


@linux
def test_what_is_claimed_is_refused(tmp_path: Path) -> None:
    found = inside(tmp_path, files=True)
    held = set(found["held"])
    assert {sandbox.CORE_DUMPS, sandbox.FILE_LIMIT, sandbox.MEMORY, sandbox.AUDIT} <= held
    assert set(found["python"].values()) | set(found["python_writing"].values()) == {"PermissionError"}
    assert found["core"] == found["size"] == [0, 0]
    assert found["too much"] == "MemoryError"
    assert all(found["still"].values())
    if sandbox.SYSTEM_CALLS in held:
        assert found["status"]["Seccomp"] == "2"
        assert set(found["below"].values()) == {"EPERM"}
        assert set(found["writing"].values()) == {"EPERM"}
        assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
    if sandbox.NAMESPACE in held:
        assert found["interfaces"] == ["lo"]
    if sandbox.CAPABILITIES in held:
        assert {int(found["status"][name], 16) for name in ("CapEff", "CapPrm")} == {0}
    if sandbox.PRIVILEGES in held:
        assert found["status"]["NoNewPrivs"] == "1"
    if sandbox.USER in held:
        users = {int(user) for name in ("Uid", "Gid") for user in found["status"][name].split()}
        assert len(users) == 1
        assert users <= set(sandbox.USERS)
        assert found["status"]["Groups"] == ""


@linux
@pytest.mark.skipif(platform.machine() not in seccomp.MACHINES, reason="no filter for this processor")
def test_the_filter_is_in_force_on_this_machine(tmp_path: Path) -> None:
    assert {sandbox.SYSTEM_CALLS, sandbox.PRIVILEGES, sandbox.UNTRACED} <= set(inside(tmp_path, files=True)["held"])


@linux
def test_a_measured_run_keeps_its_files_and_says_so(tmp_path: Path) -> None:
    found = inside(tmp_path, files=False)
    assert sandbox.FILE_LIMIT not in found["held"]
    assert set(found["python"].values()) == {"PermissionError"}
    assert found["python_writing"] == {"open": "done"}
    if sandbox.SYSTEM_CALLS in found["held"]:
        assert set(found["below"].values()) == {"EPERM"}
        assert found["writing"] == {"open": "done", "memfd_create": "done"}


def test_what_does_not_hold_is_not_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __getattr__(self, name: str) -> object:
            return lambda *_: -1

    def refuse(*_: object) -> None:
        raise ValueError

    monkeypatch.setattr(resource, "setrlimit", refuse)
    monkeypatch.setattr(sandbox, "_own_user", lambda: False)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Refusing())
    monkeypatch.setattr(sys, "addaudithook", lambda _: None)
    monkeypatch.setattr(sys, "platform", "linux")
    assert sandbox.apply(1 << 30, 100) == (sandbox.AUDIT,)
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    assert sandbox.apply(1 << 30, 100) == (sandbox.AUDIT,)


def test_the_audit_hook_tells_reading_from_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    hooks = []
    monkeypatch.setattr(sys, "addaudithook", hooks.append)
    sandbox._audit(files=True)
    (hook,) = hooks
    hook("open", ("name", "r", os.O_RDONLY | os.O_CLOEXEC))
    hook("import", ("json", None))
    for event, arguments in (
        ("open", ("name", "w", os.O_WRONLY)),
        ("open", ("name", None, os.O_RDWR | os.O_CREAT)),
        ("socket.connect", (None, "address")),
        ("os.remove", ("name", -1)),
    ):
        with pytest.raises(PermissionError):
            hook(event, arguments)


REAL = r"""
import ctypes, errno, json, os, resource, sys
from cleanroom.enclave import process, sandbox

given = json.loads(sys.argv.pop())
libc = ctypes.CDLL(None, use_errno=True)
secret, parent = given["secret"].encode(), os.getppid()

def low(call, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, call)(*arguments)
    return errno.errorcode.get(ctypes.get_errno(), "no error") if result == -1 else "done"

def attempts(self):
    # where the service would answer: after everything that a real process does before it sees a row
    limits = {name: getattr(resource, "RLIMIT_" + name) for name in ("CORE", "CPU", "DATA", "FSIZE")}
    self._wire.send(
        tried={
            "socket": low("socket", 2, 1, 0),
            "connect": low("connect", 0, secret, 16),
            "fork": low("fork"),
            "exec": low("execv", b"/bin/true", (ctypes.c_char_p * 2)(b"/bin/true", None)),
            "write here": low("open", b"file", os.O_CREAT | os.O_WRONLY, 0o600),
            "write there": low("open", secret, os.O_WRONLY),
            "write a core pattern": low("open", b"/proc/sys/kernel/core_pattern", os.O_WRONLY),
            "be root": low("setuid", 0),
            "enter a namespace": low("setns", 0, 0),
        },
        read={
            "secret": low("open", secret, os.O_RDONLY),
            "parent's memory": low("open", b"/proc/%d/mem" % parent, os.O_RDONLY),
            "parent's environment": low("open", b"/proc/%d/environ" % parent, os.O_RDONLY),
            "password": low("open", b"/etc/passwd", os.O_RDONLY),
        },
        limits={name: resource.getrlimit(number) for name, number in limits.items()},
        raised={name: low("setrlimit", number, (ctypes.c_ulong * 2)(2**64 - 1, 2**64 - 1))
                for name, number in limits.items()},
        dumpable=libc.prctl(3, 0, 0, 0, 0),
        environment=sorted(os.environ),
    )
    return False

import cleanroom.enclave.service
cleanroom.enclave.service.Service.serve = attempts
process.main(sys.argv[1:])
"""


@linux
def test_a_real_process_reaches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process as `handle.start` starts it, with attempts in the place of its service."""
    for name in [name for name in os.environ if name.startswith("COVERAGE_")]:
        monkeypatch.delenv(name)
    secret = tmp_path / "vault"
    secret.write_text("rows")
    secret.chmod(0o644)
    popen = subprocess.Popen

    def started(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        given = [*command[: command.index("-m")], "-c", REAL, *command[command.index("-m") + 2 :]]
        return popen([*given, json.dumps({"secret": str(secret)})], **options)

    monkeypatch.setattr(handle.subprocess, "Popen", started)
    monkeypatch.setenv("CANARY", "13800138000")
    enclave = handle.start()
    found = enclave._wire.receive()
    enclave.kill()
    held = set(enclave.isolation)
    assert {sandbox.CORE_DUMPS, sandbox.MEMORY, sandbox.CPU, sandbox.FILE_LIMIT} <= held
    assert not [name for name in found["environment"] if name not in (*handle.ENVIRONMENT, "LC_CTYPE")
                and not name.startswith("NUMBA_")]  # fmt: skip
    assert found["limits"]["CORE"] == found["limits"]["FSIZE"] == [0, 0]
    assert 0 < found["limits"]["CPU"][1] < 10**6
    if sandbox.SYSTEM_CALLS in held:
        be_root = found["tried"].pop("be root")
        assert be_root == "EPERM" or os.geteuid()
        assert set(found["tried"].values()) == {"EPERM"}
    if sandbox.UNTRACED in held:
        assert found["dumpable"] == 0
    if sandbox.READING in held:
        assert set(found["read"].values()) <= {"EACCES", "EPERM"}
    if sandbox.CAPABILITIES in held:
        assert set(found["raised"].values()) == {"EPERM"}
    assert secret.read_text() == "rows"


@linux
def test_the_system_ends_what_computes_too_long() -> None:
    script = "from cleanroom.enclave import sandbox; sandbox.apply(1 << 30, 1)\nwhile True: pass"
    ended = subprocess.run([sys.executable, "-c", script], timeout=60).returncode
    assert ended in (-signal.SIGXCPU, -signal.SIGKILL)


@linux
def test_reading_is_given_up_without_root_too(tmp_path: Path) -> None:
    """Both processes of one user: the files and the surroundings of the one that started it stay closed."""
    secret = tmp_path / "vault"
    secret.write_text("rows")
    script = f"""
import ctypes, os
from cleanroom.enclave import landlock, sandbox
libc = ctypes.CDLL(None, use_errno=True)
sandbox._prctl(libc, sandbox.PR_SET_NO_NEW_PRIVS, 1)
sandbox._drop_capabilities(libc)
if landlock.restrict(libc, sandbox._programs()):
    for path in ({str(secret)!r}, f"/proc/{{os.getppid()}}/environ", f"/proc/{{os.getppid()}}/mem", "/etc/passwd"):
        try:
            open(path, "rb").read(1)
        except PermissionError:
            continue
        raise SystemExit(path)
    import cleanroom.enclave.duck  # what is needed is still to be had
    open("/proc/self/status").read()
else:
    print("no landlock")
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (0, "")
    if "no landlock" in ran.stdout:
        pytest.skip("this kernel has no Landlock")


ALLOW, KILL, EPERM, ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026


def verdict(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would say: a plain reading of classic BPF, independent of how the program was made."""
    data = struct.pack("=iIQ6Q", number, architecture, 0, *(arguments + (0,) * 6)[:6])
    instructions = list(struct.iter_unpack("=HBBI", program))
    at = accumulator = 0
    while True:
        code, if_true, if_false, operand = instructions[at]
        at += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, operand)
            case 0x15:
                at += if_true if accumulator == operand else if_false
            case 0x35:
                at += if_true if accumulator >= operand else if_false
            case 0x45:
                at += if_true if accumulator & operand else if_false
            case 0x06:
                return operand
            case _:
                raise ValueError(code)


@pytest.mark.parametrize("machine", sorted(seccomp.MACHINES))
@pytest.mark.parametrize("files", [True, False])
def test_the_filter_says_no_to_the_listed_calls_and_to_no_other(machine: str, files: bool) -> None:
    program = seccomp.program(machine, files=files)
    assert program is not None
    architecture, column = seccomp.MACHINES[machine]
    refused = {numbers[column] for numbers in seccomp.REACHING_OUT.values()}
    changing = {numbers[column] for numbers in seccomp.CHANGING_FILES.values()}
    opening = {numbers[column]: argument for numbers, argument in seccomp.OPENING.values()}
    unreadable = {numbers[column] for name, numbers in seccomp.UNREADABLE.items() if files or name == "clone3"}
    clone = seccomp.CLONE[column]
    for number in range(600):
        said = verdict(program, architecture, number)
        if number in refused or number == clone or (files and number in changing):
            assert said == EPERM
        elif number in unreadable:
            assert said == ENOSYS
        else:
            assert said == ALLOW
    assert verdict(program, architecture, clone, seccomp.CLONE_THREAD | 0x100) == ALLOW
    for number, argument in opening.items():
        if number != seccomp.NONE:
            for flags in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC | os.O_RDONLY):
                before = (0,) * argument
                assert verdict(program, architecture, number, *before, flags) == (EPERM if files else ALLOW)
                assert verdict(program, architecture, number, *before, os.O_RDONLY | os.O_CLOEXEC) == ALLOW
    assert verdict(program, architecture ^ 1, 0) == KILL
    assert verdict(program, 0x40000003, 0) == KILL  # 32-bit calls of an x86, whose numbers mean other things
    if machine == "x86_64":
        assert verdict(program, architecture, 0x40000000 + 41) == EPERM


def test_there_is_no_filter_for_an_unknown_processor() -> None:
    assert seccomp.program("riscv64", files=True) is None


HEADERS = {
    "x86_64": Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", sorted(HEADERS))
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    if not HEADERS[machine].exists():
        pytest.skip("the kernel's headers are not installed")
    text = HEADERS[machine].read_text()
    numbers = {name: int(number) for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    column = seccomp.MACHINES[machine].column
    tables = seccomp.REACHING_OUT | seccomp.CHANGING_FILES | seccomp.UNREADABLE | {"clone": seccomp.CLONE}
    tables |= {name: pair for name, (pair, _) in seccomp.OPENING.items()}
    newer = {name for name, pair in tables.items() if pair[column] > max(numbers.values()) or name == "fchmodat2"}
    for name, pair in tables.items():
        if name in newer:
            continue
        expected = (
            seccomp.NONE if machine == "aarch64" and name == "renameat" and name not in numbers else numbers.get(name)
        )
        assert pair[column] == (seccomp.NONE if expected is None else expected), name
