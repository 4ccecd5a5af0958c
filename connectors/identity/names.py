"""Why a row is lost and how a value was repaired: closed lists of names, so that no row goes without one.

Their texts and the advice on each stand in `connectors.doctor`.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import flags, numbers, words

Codes = NDArray[np.int8]
"""A Loss or Repair a row, as its place in the list; NONE where there is none."""
NONE = -1


class Loss(StrEnum):
    """Why a row takes no part."""

    MISSING = "missing"
    NO_CONSENT = "no-consent"
    MASKED = "masked"
    ROUNDED = "spreadsheet-rounded"
    SEVERAL = "several-numbers"
    OTHER_CHARACTERS = "other-characters"
    NOT_MAINLAND = "not-mainland"
    LANDLINE = "landline"
    LEADING_ZERO = "leading-zero"
    TOO_FEW_DIGITS = "too-few-digits"
    TOO_MANY_DIGITS = "too-many-digits"
    NOT_A_MOBILE = "not-a-mobile"
    NOT_ASSIGNED = "not-assigned"
    NO_COUNTRY = "no-such-country"
    NOT_AN_EMAIL = "not-an-email"
    NOT_A_DEVICE = "not-a-device-id"
    ZERO_ID = "zero-id"
    HASH_OF_NOTHING = "hash-of-nothing"
    HASHED_AMONG_RAW = "hashed-among-raw"
    RAW_AMONG_HASHED = "raw-among-hashed"
    MD5_AMONG_SHA256 = "md5-among-sha256"
    SHA256_AMONG_MD5 = "sha256-among-md5"


class Repair(StrEnum):
    """What was put right without loss; where several were, the first of this list."""

    DECIMAL = "spreadsheet-decimal"
    SCIENTIFIC = "spreadsheet-scientific"
    FULL_WIDTH = "full-width"
    COUNTRY_CODE = "country-code"
    SEPARATORS = "separators"


LOSSES = tuple(Loss)
REPAIRS = tuple(Repair)


def code(name: Loss | Repair) -> int:
    """The place of a name in its list."""
    return LOSSES.index(name) if isinstance(name, Loss) else REPAIRS.index(name)


def none(count: int) -> Codes:
    """`count` rows without a name."""
    return np.full(count, NONE, np.int8)


def named(codes: Codes, names: tuple[Loss, ...] | tuple[Repair, ...]) -> pa.DictionaryArray:
    """Codes as a dictionary<int8, string> column, null where NONE."""
    return pa.DictionaryArray.from_arrays(numbers(codes, codes >= 0), words([str(name) for name in names]))


@dataclass(frozen=True)
class Written:
    """A column as a profile writes it.

    texts: string, "" where lost; lost, repaired: codes of the same length.
    """

    texts: pa.StringArray
    lost: Codes
    repaired: Codes


def merged(texts: pa.StringArray, rows: NDArray[np.int64], part: Written) -> Written:
    """`texts` as they are, except `part` at `rows` (ascending)."""
    chosen = np.zeros(len(texts), np.bool_)
    chosen[rows] = True
    lost, repaired = none(len(texts)), none(len(texts))
    lost[rows], repaired[rows] = part.lost, part.repaired
    return Written(pc.replace_with_mask(texts, flags(chosen), part.texts), lost, repaired)
