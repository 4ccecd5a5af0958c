"""Passwords of local accounts: Argon2id, by the second parameters of RFC 9106, section 4 (64 MiB, 3 passes).

A password comes from a prompt, a file or the environment, and leaves this module as a hash only.
"""

import functools
import threading
import unicodedata
from typing import TYPE_CHECKING

from cleanroom.errors import UsageError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

LEAST, MOST = 12, 1024
_AT_ONCE = threading.BoundedSemaphore(2)
"""Each takes 64 MiB: a crowd of guesses is to wait, not to fill the memory."""


def hashed(password: str, name: str) -> str:
    """The hash in PHC form. Raises UsageError for a password that is short, endless, or the user's name."""
    _check(password, name)
    with _AT_ONCE:
        return str(_hasher().hash(_plain(password)))


def fits(kept: str, password: str) -> bool:
    """Whether `kept` is the hash of the password; in time that does not tell how much of it is right."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > MOST:
        return False
    with _AT_ONCE:
        try:
            return bool(_hasher().verify(kept, _plain(password)))
        except (VerificationError, InvalidHashError):
            return False


def outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than those of now."""
    return bool(_hasher().check_needs_rehash(kept))


@functools.cache
def nobodys() -> str:
    """A hash to hold against where there is no such user, so that a guess at a name takes as long as one at a
    password."""
    return str(_hasher().hash(b"nobody"))


def _check(password: str, name: str) -> None:
    if not LEAST <= len(password) <= MOST:
        raise UsageError("A password has {least} to {most} characters.", least=LEAST, most=MOST)
    if len(set(password)) < LEAST // 2 or name.casefold() == password.casefold():
        raise UsageError("This password is too easy to guess.", "Several words that have nothing to do with you.")


def _plain(password: str) -> bytes:
    """As bytes, however the keyboard composed it."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


@functools.cache
def _hasher() -> "PasswordHasher":
    from argon2 import PasswordHasher
    from argon2.profiles import RFC_9106_LOW_MEMORY

    return PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
