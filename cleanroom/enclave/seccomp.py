"""The system calls that an enclave gives up, as a filter program for the Linux kernel (seccomp, classic BPF).

Only a program is made here; `sandbox` loads it. A refused call fails with EPERM, as on a machine without the right.
"""

import errno
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple


class Machine(NamedTuple):
    """What differs between processors."""

    audit_architecture: int
    """AUDIT_ARCH_* of linux/audit.h."""
    column: int
    """Which number of a pair in the tables below."""


MACHINES = {"x86_64": Machine(0xC000003E, 0), "aarch64": Machine(0xC00000B7, 1)}

NONE = -1
"""The processor has no such call."""

REACHING_OUT = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, NONE),
    "vfork": (58, NONE),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "unshare": (272, 97),
    "setns": (308, 268),
    "chroot": (161, 51),
    "pivot_root": (155, 41),
    "mount": (165, 40),
    "umount2": (166, 39),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsmount": (432, 432),
    "mount_setattr": (442, 442),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),  # its operations would pass by this filter
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "shmget": (29, 194),
    "shmat": (30, 196),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "open_by_handle_at": (304, 265),
    "personality": (135, 92),
}
"""Network, other programs, other processes, the machine."""

CHANGING_FILES = {
    "creat": (85, NONE),
    "mkdir": (83, NONE),
    "mkdirat": (258, 34),
    "mknod": (133, NONE),
    "mknodat": (259, 33),
    "rename": (82, NONE),
    "renameat": (264, 38),
    "renameat2": (316, 276),
    "link": (86, NONE),
    "linkat": (265, 37),
    "symlink": (88, NONE),
    "symlinkat": (266, 36),
    "unlink": (87, NONE),
    "unlinkat": (263, 35),
    "rmdir": (84, NONE),
    "truncate": (76, 45),
    "chmod": (90, NONE),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, NONE),
    "lchown": (94, NONE),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}
"""Making, changing or removing files; and files in memory, which could be executed."""

OPENING = {"open": ((2, NONE), 1), "openat": ((257, 56), 2)}
"""Calls that may open a file for reading only → (numbers, which argument holds the flags)."""
WRITING_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC

CLONE = (56, 220)
CLONE_THREAD = 0x00010000
UNREADABLE = {"clone3": (435, 435), "openat2": (437, 437)}
"""Calls whose flags stand behind a pointer that a filter cannot follow: "not known here", so that the C library takes
`clone` and `openat`, whose flags can be read. Of these `openat2` is only refused where files may not be written."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def program(machine: str, *, files: bool) -> bytes | None:
    """The filter's instructions for `machine` (as `uname -m` names it), 8 bytes each; None for an unknown machine.

    `files`: whether writing to files is refused too.
    """
    if machine not in MACHINES:
        return None
    architecture, column = MACHINES[machine]
    refused = REACHING_OUT | (CHANGING_FILES if files else {})
    code = [
        _instruction(_LOAD, _ARCHITECTURE_AT),
        *_unless(_EQUAL, architecture, _KILL),
        _instruction(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += _if(_AT_LEAST, _X32_BIT, _ERRNO | errno.EPERM)
    for name, numbers in UNREADABLE.items():
        if files or name == "clone3":
            code += _if(_EQUAL, numbers[column], _ERRNO | errno.ENOSYS)
    for numbers in refused.values():
        if numbers[column] != NONE:
            code += _if(_EQUAL, numbers[column], _ERRNO | errno.EPERM)
    code += _by_argument(CLONE[column], 0, CLONE_THREAD, when_set=_ALLOW, else_=_ERRNO | errno.EPERM)
    for numbers, argument in OPENING.values() if files else ():
        if numbers[column] != NONE:
            code += _by_argument(numbers[column], argument, WRITING_FLAGS, when_set=_ERRNO | errno.EPERM, else_=_ALLOW)
    return b"".join([*code, _instruction(_RETURN, _ALLOW)])


def _instruction(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)


def _if(test: int, operand: int, verdict: int) -> Sequence[bytes]:
    return _instruction(test, operand, 0, 1), _instruction(_RETURN, verdict)


def _unless(test: int, operand: int, verdict: int) -> Sequence[bytes]:
    return _instruction(test, operand, 1, 0), _instruction(_RETURN, verdict)


def _by_argument(number: int, argument: int, bits: int, *, when_set: int, else_: int) -> Sequence[bytes]:
    """For call `number`: a verdict by whether any of `bits` (below 2^32) is set in that argument (little-endian)."""
    return (
        _instruction(_EQUAL, number, 0, 4),
        _instruction(_LOAD, _ARGUMENTS_AT + 8 * argument),
        _instruction(_ANY_BIT, bits, 0, 1),
        _instruction(_RETURN, when_set),
        _instruction(_RETURN, else_),
    )
