"""Fingerprints for people: read aloud as words, typed in any grouping, shown as a QR code.

16 words are the fingerprint's first 128 bits, a byte a word: to find other keys with the same words takes 2^128 tries.
Chinese and English have a list each; both are ours, and words once in them never change.
"""

import functools
import hmac
import json
import re
from importlib import resources

from cleanroom import lang
from cleanroom.errors import UsageError
from cleanroom.keys import PublicKeys

LANGUAGES = lang.LANGUAGES
BYTES = 16
"""How many bytes of a fingerprint stand as words."""
_SEPARATORS = re.compile(r"[\s:,.;\-–—_，、。]+")


def spoken(fingerprint: str, language: str | None = None) -> list[str]:
    """The 16 words of a fingerprint (hex in any grouping), in the current language unless one is named."""
    listed = _lists()[language or lang.current()]
    return [listed[byte] for byte in bytes.fromhex(_SEPARATORS.sub("", fingerprint))[:BYTES]]


def same(text: str, public: PublicKeys) -> bool:
    """Whether `text` is the fingerprint of these keys: all 64 digits in any grouping, or the 16 words of a language.

    Raises UsageError where it is neither.
    """
    given = _bytes(text)
    wanted = bytes.fromhex(public.fingerprint)
    return hmac.compare_digest(given, wanted[: len(given)])


def _bytes(text: str) -> bytes:
    """32 bytes of hex digits, or 16 of words."""
    parts = [part for part in _SEPARATORS.split(text.strip().lower().removeprefix("0x")) if part]
    digits = "".join(parts)
    if re.fullmatch(r"[0-9a-f]{64}", digits):
        return bytes.fromhex(digits)
    for listed in _lists().values():
        if len(parts) == BYTES and all(part in listed for part in parts):
            return bytes(listed.index(part) for part in parts)
    raise UsageError(
        "This is no fingerprint.", "It has 64 digits or letters from a to f, or {count} words.", count=BYTES
    )


@functools.cache
def _lists() -> dict[str, tuple[str, ...]]:
    """256 words a language."""
    listed = json.loads(resources.files(__package__).joinpath("words.json").read_text("utf-8"))
    return {language: tuple(text.split()) for language, text in listed.items()}
