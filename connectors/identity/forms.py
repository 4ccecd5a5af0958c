"""Columns that arrive already hashed: found by form over the whole column, never hashed again."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import Bytes, Flags, flags, numbers
from connectors.identity.digests import from_base64, from_hex
from connectors.identity.names import Codes, Loss, Repair, code, none
from connectors.identity.texts import hexadecimal, is_blank, lengths, matches, uniform

Form = Literal["raw", "sha256", "md5"]
WIDTHS: dict[Form, int] = {"raw": 32, "sha256": 32, "md5": 16}
"""Bytes of a digest, by the form of its column."""
_AMONG: dict[tuple[Form, Form], Loss] = {
    ("sha256", "raw"): Loss.HASHED_AMONG_RAW,
    ("md5", "raw"): Loss.HASHED_AMONG_RAW,
    ("raw", "sha256"): Loss.RAW_AMONG_HASHED,
    ("raw", "md5"): Loss.RAW_AMONG_HASHED,
    ("md5", "sha256"): Loss.MD5_AMONG_SHA256,
    ("sha256", "md5"): Loss.SHA256_AMONG_MD5,
}


@dataclass(frozen=True)
class Digests:
    """Of a column that holds `form`: the digests uint8[n, width], and codes of losses and repairs."""

    digests: Bytes
    lost: Codes
    repaired: Codes


def count(texts: pa.StringArray, base64: bool) -> dict[Form, int]:
    """How many rows of a column without nulls have each form; blank rows have none."""
    hashed = _forms(texts, base64)
    sha256, md5 = int((hashed == 1).sum()), int((hashed == 2).sum())
    if not sha256 and not md5:
        return {"raw": len(texts), "sha256": 0, "md5": 0}
    other = texts.filter(flags(hashed == 0))
    return {"raw": len(other) - int(is_blank(other).sum()), "sha256": sha256, "md5": md5}


def majority(counts: dict[Form, int]) -> Form:
    """The form most rows have; raw, then SHA-256, where it is a draw."""
    return max(counts, key=lambda form: counts[form])


def strangers(texts: pa.StringArray, form: Form, base64: bool) -> Codes:
    """Codes of the rows whose form is not the column's; blank rows are missing where the column is hashed."""
    own: tuple[Form, ...] = ("raw", "sha256", "md5")
    hashed = _forms(texts, base64)
    lost = none(len(texts))
    for place, found in enumerate(own):
        if found != form:
            lost[hashed == place] = code(_AMONG[found, form])
    if form != "raw":
        rows = np.flatnonzero(hashed == 0)
        lost[rows[is_blank(texts.take(numbers(rows)))]] = code(Loss.MISSING)
    return lost


def read(texts: pa.StringArray, form: Form, base64: bool, refused: tuple[bytes, ...]) -> Digests:
    """The digests of a column that is hashed already; those of nothing (`refused`) are lost."""
    lost = strangers(texts, form, base64)
    digests = np.zeros((len(texts), WIDTHS[form]), np.uint8)
    rows = np.flatnonzero(lost < 0)
    trimmed = _trimmed(texts if len(rows) == len(texts) else texts.take(numbers(rows)))
    for width, decode in ((2 * WIDTHS[form], from_hex), (44, from_base64)):
        fits, characters = uniform(trimmed, width)
        if fits.any():
            digests[rows[fits]] = decode(characters)
    lost[(lost < 0) & _among(digests, refused)] = code(Loss.HASH_OF_NOTHING)
    repaired = none(len(texts))
    moved = lengths(trimmed) != lengths(texts)[rows]
    repaired[rows[moved & (lost[rows] < 0)]] = code(Repair.SEPARATORS)
    return Digests(digests, lost, repaired)


def _among(digests: Bytes, refused: tuple[bytes, ...]) -> Flags:
    """Which digests are one of these; told by their first eight bytes, then by all."""
    heads = np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]
    found = np.zeros(len(digests), np.bool_)
    for digest in refused:
        if len(digest) != digests.shape[1]:
            continue
        near = np.flatnonzero(heads == np.frombuffer(digest[:8], np.uint64)[0])
        found[near] |= (digests[near] == np.frombuffer(digest, np.uint8)).all(axis=1)
    return found


def _forms(texts: pa.StringArray, base64: bool) -> NDArray[np.int8]:
    """0 raw, 1 SHA-256, 2 MD5, a row. Only texts of about the right length are looked at."""
    forms = np.zeros(len(texts), np.int8)
    size = lengths(texts)
    rows = np.flatnonzero((size >= 32) & (size <= 80))
    if not len(rows):
        return forms
    trimmed = _trimmed(texts if len(rows) == len(texts) else texts.take(numbers(rows)))
    forms[rows[hexadecimal(trimmed, 64)]] = 1
    forms[rows[hexadecimal(trimmed, 32)]] = 2
    if base64:
        forms[rows[matches(trimmed, r"^[A-Za-z0-9+/]{43}=$")]] = 1
    return forms


def _trimmed(texts: pa.StringArray) -> pa.StringArray:
    size = lengths(texts)
    return texts if ((size == 64) | (size == 32)).all() else pc.utf8_trim_whitespace(texts)
