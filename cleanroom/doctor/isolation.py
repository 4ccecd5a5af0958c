"""What an enclave's process can give up on this machine. Asked in a process that gives it up, and ends."""

import os
import subprocess
import sys
from collections.abc import Iterator

from cleanroom.doctor.finding import Finding
from cleanroom.enclave import sandbox
from cleanroom.lang import t

SECONDS = 10.0
_MEMORY = 1 << 30
_PROGRAM = (
    "import sys; from cleanroom.enclave import sandbox; "
    f"sys.stdout.write(' '.join(sandbox.apply({_MEMORY}, 60)))"
)  # fmt: skip
_ALWAYS = (sandbox.CORE_DUMPS, sandbox.MEMORY, sandbox.CPU, sandbox.FILE_LIMIT, sandbox.AUDIT)
_LINUX = (sandbox.NAMESPACE, sandbox.CAPABILITIES, sandbox.UNTRACED, sandbox.PRIVILEGES, sandbox.READING,
          sandbox.SYSTEM_CALLS)  # fmt: skip


def checks() -> Iterator[Finding]:
    """All of this module."""
    yield isolation(held())


def held() -> frozenset[str] | None:
    """What was given up; None where the process did not come back."""
    command = [sys.executable, "-P", "-X", "utf8", "-c", _PROGRAM]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return frozenset(done.stdout.split()) if done.returncode == 0 else None


def isolation(found: frozenset[str] | None) -> Finding:
    """Whether all of it held that can on this system."""
    title = t("Isolation of the enclave")
    if found is None:
        advice = t("Look for a security profile that stops it: of the container, SELinux or AppArmor.")
        return Finding("isolation", title, "bad", t("an isolated process does not begin"), advice)
    wanted = [*_ALWAYS, *(_LINUX if sys.platform == "linux" else ())]
    wanted += [sandbox.USER] if sys.platform == "linux" and os.geteuid() == 0 else []
    missing = [name for name in wanted if name not in found]
    if not missing:
        shown = t("all {count} measures hold", count=len(found))
        return Finding("isolation", title, "ok", shown)
    shown = t("{count} measures hold; not here: {missing}", count=len(found), missing=", ".join(missing))
    return Finding("isolation", title, "warn", shown, " ".join(_advice(missing)))


def _advice(missing: list[str]) -> Iterator[str]:
    if sandbox.READING in missing:
        yield t("A Linux kernel from 5.13 on with Landlock keeps other files from it.")
    if sandbox.NAMESPACE in missing:
        yield t("Allow user namespaces: sysctl kernel.unprivileged_userns_clone=1, or the container's profile.")
    if sandbox.SYSTEM_CALLS in missing:
        yield t("A kernel with seccomp filters, on x86-64 or ARM64, keeps system calls from it.")
    if not {sandbox.READING, sandbox.NAMESPACE, sandbox.SYSTEM_CALLS} & set(missing):
        yield t("Ask whoever runs this machine why; receipts say what held.")
