"""The system around the program: randomness, clock, locale, open files, drawing. No network is asked for anything."""

import ctypes
import datetime as dt
import locale
import os
import resource
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cleanroom.doctor.finding import Finding
from cleanroom.lang import t

LEAST_FILES, GOOD_FILES = 256, 4_096
SLACK = dt.timedelta(days=1)
_TIME_ERROR = 5
"""What adjtimex returns where nothing keeps the clock right (adjtimex(2))."""
_TIMEX_BYTES = 208


def checks() -> Iterator[Finding]:
    """All of this module but drawing, which takes longest."""
    yield randomness()
    yield clock(dt.datetime.now(dt.UTC), installed(), synchronised())
    yield encoding(locale.getpreferredencoding(do_setlocale=False), sys.getfilesystemencoding())
    yield open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def randomness() -> Finding:
    """Whether the system gives random bytes at once."""
    title = t("Randomness")
    try:
        os.getrandom(32, os.GRND_NONBLOCK) if hasattr(os, "getrandom") else os.urandom(32)
    except (BlockingIOError, NotImplementedError, OSError):
        return Finding("randomness", title, "bad", t("the system's generator is not ready"),
                       t("Wait until the machine has gathered some, or give it a hardware generator."))  # fmt: skip
    return Finding("randomness", title, "ok", t("the system's generator is ready"))


def installed() -> dt.datetime:
    """When this program's files were written here."""
    return dt.datetime.fromtimestamp(Path(__file__).stat().st_mtime, dt.UTC)


def synchronised() -> bool | None:
    """Whether the kernel says that something keeps the clock right; None where it does not tell."""
    if sys.platform != "linux" or struct.calcsize("P") != 8:
        return None
    asked = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes 0: only read
    try:
        found = int(ctypes.CDLL(None, use_errno=True).adjtimex(asked))
    except (OSError, AttributeError):
        return None
    return None if found < 0 else found != _TIME_ERROR


def clock(now: dt.datetime, made: dt.datetime, kept: bool | None) -> Finding:
    """Whether it can be right; peers say more of it where there are any.

    made: when this program was installed; kept: as `synchronised`.
    """
    title = t("Clock")
    zone = time.strftime("%Z")
    found = t("{moment} UTC, time zone {zone}", moment=f"{now:%Y-%m-%d %H:%M:%S}", zone=zone)
    if now < made - SLACK:
        return Finding("clock", title, "bad", t("{found}: earlier than this program was installed", found=found),
                       t("Set it, and have NTP keep it right: certificates and contracts end by it."))  # fmt: skip
    if kept is None:
        more = t("whether anything keeps it right cannot be seen here; peers' clocks are the check")
        return Finding("clock", title, "ok", f"{found}; {more}")
    if kept:
        return Finding("clock", title, "ok", t("{found}; the kernel says that it is kept right", found=found))
    advice = t("Have NTP keep it right, as by timedatectl set-ntp true; in a container the host does it.")
    found = t("{found}; the kernel says that nothing keeps it right", found=found)
    return Finding("clock", title, "warn", found, advice)


def encoding(texts: str, files: str) -> Finding:
    """Whether Chinese names can be written."""
    title, found = t("Text encoding"), ", ".join(dict.fromkeys(each.lower() for each in (texts, files)))
    if all(each.lower().replace("-", "") == "utf8" for each in (texts, files)):
        return Finding("encoding", title, "ok", found)
    return Finding("encoding", title, "warn", found, t("Set LANG=C.UTF-8, or names may be shown and kept garbled."))


def open_files(most: int) -> Finding:
    """How many files and connections a node may hold open. most: the hard limit, which `serve` uses up."""
    title = t("Open files")
    if most == resource.RLIM_INFINITY or most >= GOOD_FILES:
        shown = t("no limit") if most == resource.RLIM_INFINITY else t("at most {most}", most=f"{most:,}")
        return Finding("open-files", title, "ok", shown)
    return Finding("open-files", title, "warn" if most >= LEAST_FILES else "bad", t("at most {most}", most=f"{most:,}"),
                   t("Raise the hard limit to {wanted}: LimitNOFILE= of the unit, or ulimit -n.",
                     wanted=f"{GOOD_FILES:,}"))  # fmt: skip
