"""Why the system refused something, in words of this program: the system's own are in one language."""

import errno
import os

from cleanroom.lang import t

_WORDS = {
    errno.ECONNREFUSED: "nothing listens there",
    errno.ETIMEDOUT: "no answer",
    errno.EHOSTUNREACH: "there is no way to it",
    errno.ENETUNREACH: "there is no way to it",
    errno.EADDRINUSE: "another program holds it",
    errno.EADDRNOTAVAIL: "this machine does not have that address",
    errno.EACCES: "not allowed to this user",
    errno.EPERM: "not allowed to this user",
    errno.EROFS: "it can only be read",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the limit of file sizes is reached",
}


def reason(error: BaseException | None) -> str:
    """Of an OSError or what it caused; the system's words where there are none of ours."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    if error is None:
        return t("unknown")
    if isinstance(error, TimeoutError):
        return t("no answer")
    if error.errno is None or error.errno < 0:  # of names, whose numbers are others
        return t("its name is not known") if "Name" in str(error) or "address" in str(error) else str(error)
    return t(_WORDS[error.errno]) if error.errno in _WORDS else os.strerror(error.errno)
