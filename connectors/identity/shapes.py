"""The format histogram: what a column's values look like, without the values ("11 digits", "3 digits + **** + …")."""

import re

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from connectors.arrays import Flags, flags
from connectors.identity.texts import compact, hexadecimal, view

_DIGIT, _LETTER, _OTHER = ord("9"), ord("a"), ord("~")


def shapes(texts: pa.StringArray) -> dict[str, int]:
    """Shape → rows, of a column without nulls; empty texts have none."""
    offsets, content = view(texts)
    size = np.diff(offsets)
    if (content - np.uint8(48) <= 9).all():
        return _digits(size)
    hexed = hexadecimal(texts, 64) | hexadecimal(texts, 32)
    if hexed.all():
        return _named(size, "hex")
    digits = ~hexed & (_per_row(_CLASSES[content] == _DIGIT, offsets) == size)
    found = _digits(size[digits]) | _named(size[hexed], "hex")
    rest = ~digits & ~hexed
    if rest.any():
        for pattern, rows in _patterns(texts.filter(flags(rest))).items():
            name = _describe(pattern)
            found[name] = found.get(name, 0) + rows
    return found


def _digits(size: NDArray[np.int64]) -> dict[str, int]:
    return _named(size[size > 0], "digits")


def _named(size: NDArray[np.int64], word: str) -> dict[str, int]:
    rows = np.bincount(np.minimum(size, 100))
    return {f"{width} {word}": int(rows[width]) for width in np.flatnonzero(rows)}


def _patterns(texts: pa.StringArray) -> dict[str, int]:
    """Each text with its characters as classes, a run of letters as one, and how often it occurs."""
    offsets, content = view(texts)
    kinds = _CLASSES[content]
    first = np.zeros(len(kinds) + 1, np.bool_)
    first[offsets[:-1]] = True
    again = (kinds[1:] == kinds[:-1]) & ((kinds[1:] == _LETTER) | (kinds[1:] == _OTHER)) & ~first[1:-1]
    counted = compact(texts, np.concatenate(([True], ~again)), kinds).value_counts()
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))


def _describe(pattern: str) -> str:
    if len(pattern) > 60:
        return "long text"
    parts = []
    for run in re.findall(r"9+|\*+|#+| +|.", pattern, re.DOTALL):
        if run[0] == "9":
            parts.append(f"{len(run)} digit" + "s" * (len(run) > 1))
        elif run[0] in "a~":
            parts.append("letters" if run == "a" else "other characters")
        else:
            parts.append("space" if run[0] in " \t" else run if run.isprintable() else "control character")
    return " + ".join(parts)


def _per_row(flags: Flags, offsets: NDArray[np.int64]) -> NDArray[np.int32]:
    before = np.zeros(len(flags) + 1, np.int32)
    np.cumsum(flags, out=before[1:])
    counts: NDArray[np.int32] = np.diff(before[offsets])
    return counts


def _class(place: int) -> int:
    letter = chr(place)
    if place >= 0x80:
        return _OTHER
    if letter.isdigit():
        return _DIGIT
    return _LETTER if letter.isalpha() else place


_CLASSES = np.array([_class(place) for place in range(256)], np.uint8)
