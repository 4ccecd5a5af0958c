"""Spoiling examples: bytes anyhow, and JSON so that it stays JSON and what lies behind the first check is reached."""

import json
import random
from typing import Any

_ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**64), 10**40, 1.5, "", "x", "\0", "\ud800", "ab" * 32, "ab" * 64,
    "é" * 300,
    "{name}", "../x", "2026-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "9" * 5000, [], [[]], [None], {},
    {"": None},
    {"name": "x"}, [1.5], "NaN", "1e400", "²", "١",
)  # fmt: skip
_RAW = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1f\x8b", b'"', b"'", b",", b"\n", b"\r", b"\r\n", b"{", b"}",
    b"[" * 3000,
    b'{"a":' * 3000, b"9" * 5000, b"1e999", b"NaN", b"\\ud800", b"\xed\xa0\x80", b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80", b"(" * 500, b"\xe4\xb8", b"=1+1", b"\x1a", b"true", b"-0", b"\t", b"a = ", b"[[a]]", b"{name}",
)  # fmt: skip


def mutated(content: bytes, chance: random.Random, *, structured: bool = False, most: int = 1 << 16) -> bytes:
    """`content`, spoilt in one to five places; structured: as JSON where it is JSON, three times in four."""
    if structured and chance.random() < 0.75:
        found = _structured(content, chance)
        if found is not None:
            return found[:most]
    data = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        _spoil(data, chance)
    return bytes(data[:most])


def _spoil(data: bytearray, chance: random.Random) -> None:
    at, to = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    kind = chance.randrange(9)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << chance.randrange(8)
    elif kind == 1 and data:
        data[at % len(data)] = chance.randrange(256)
    elif kind == 2:
        data[at:at] = chance.choice(_RAW)
    elif kind == 3:
        data[at : at + chance.choice((1, 2, 4, 8))] = b""
    elif kind == 4:
        del data[at:]
    elif kind == 5:
        data[at:at] = data[at : min(to, at + 500)]
    elif kind == 6:
        del data[at:to]
    elif kind == 7:
        number = chance.choice((0, 1, -1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), len(data), 2**40))
        width = chance.choice((4, 8))
        data[at : at + width] = (number % 2 ** (8 * width)).to_bytes(width, chance.choice(("little", "big")))  # type: ignore[arg-type]
    else:
        other = chance.randrange(len(data) + 1)
        data[at : at + 16] = data[other : other + 16]


def _structured(content: bytes, chance: random.Random) -> bytes | None:
    """JSON with values changed, keys lost, renamed, doubled or added; None where it is no JSON."""
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    try:
        value = json.loads(lines[at] or lines[0])
    except (ValueError, RecursionError):
        return None
    for _ in range(chance.choice((1, 1, 2, 4))):
        value = _changed(value, chance)
    plain = chance.random() < 0.8
    text = json.dumps(value, ensure_ascii=not plain, sort_keys=plain, separators=(",", ":") if plain else None)
    if chance.random() < 0.1:
        text = text.replace("{", '{"format":1,', 1)
    try:
        lines[at] = text.encode("utf-8")
    except UnicodeEncodeError:
        lines[at] = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return b"\n".join(lines)


def _changed(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """One place of `value` changed."""
    if isinstance(value, dict) and value and (depth < 1 or chance.random() < 0.8):
        key = chance.choice(sorted(value))
        kind = chance.random()
        if kind < 0.75:
            return value | {key: _changed(value[key], chance, depth + 1)}
        rest = {name: item for name, item in value.items() if name != key}
        if kind < 0.83:
            return rest
        return (
            rest | {chance.choice(("", "x", key + "x", key.upper(), "self", "format")): value[key]}
            if kind < 0.92
            else value | {"x": 1}
        )
    if isinstance(value, list) and value and (depth < 1 or chance.random() < 0.8):
        at = chance.randrange(len(value))
        kind = chance.random()
        if kind < 0.75:
            return [*value[:at], _changed(value[at], chance, depth + 1), *value[at + 1 :]]
        return value[:at] + value[at + 1 :] if kind < 0.85 else [*value, value[at]]
    if isinstance(value, str) and value and chance.random() < 0.4:
        at = chance.randrange(len(value))
        return value[:at] + chance.choice(("", "\0", "0", "f", "\ud800", "{", "1" * 80)) + value[at + 1 :]
    if type(value) is int and chance.random() < 0.5:
        return value + chance.choice((-1, 1, -value, 2**40))
    return chance.choice(_ODD)
