"""One byte form for everything that is hashed or signed: JSON of strings, integers, booleans, null, lists and objects.

Keys sorted, no spaces, UTF-8, no floats (their text is not unique): a subset of RFC 8785 that both sides can check.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence

_NOT_CANONICAL = "canonical JSON holds strings, integers, booleans, null, lists and objects only"

Json = None | bool | int | str | Sequence["Json"] | Mapping[str, "Json"]


def encode(value: Json) -> bytes:
    """The canonical bytes. Raises TypeError for floats and foreign types."""
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(label: str, value: Json) -> str:
    """SHA-256 in hex of `value` under a label that separates its domain, e.g. 'cleanroom/contract/1'."""
    return hashlib.sha256(len(label).to_bytes(2, "big") + label.encode() + encode(value)).hexdigest()


def _check(value: object) -> None:
    if value is None or type(value) in (str, int, bool):  # nearly all there is, and quicker told than what follows
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(_NOT_CANONICAL)
            _check(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check(item)
    elif not isinstance(value, str | int):
        raise TypeError(_NOT_CANONICAL)
