"""Tools on columns of text, byte by byte over Arrow's buffers: what regular expressions are too slow for.

No rule of any profile stands here, and nothing loops over rows.
"""

import binascii

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from connectors.arrays import Bytes, Flags, as_flags, flags, is_valid, numbers, values_of, word, words
from connectors.errors import InputError

SPACES = b" \t\r\n\v\f"
INVISIBLE = (
    r"[\x{00AD}\x{200B}-\x{200F}\x{202A}-\x{202E}\x{2060}-\x{2064}\x{2066}-\x{2069}\x{FEFF}"
    r"\x{00A0}\x{1680}\x{2000}-\x{200A}\x{202F}\x{205F}\x{3000}\x{2028}\x{2029}\x{0085}]"
)
"""Zero-width characters, marks of direction (contacts on phones carry them), and spaces beyond ASCII."""
PLACEHOLDERS = (
    *("null", "none", "nan", "n/a", "na", "#n/a", "nil", "undefined", "unknown", "\\n", "/", "-", "--", "—"),
    *("无", "没有", "空", "未知", "暂无", "未填", "未填写", "未提供", "保密"),
)
"""What people and programs write where there is nothing."""


def as_texts(values: pa.Array | pa.ChunkedArray) -> pa.StringArray:
    """Any column as text of the same length, nulls as "". A whole float ends in ".0", so that it can be told.

    Raises InputError for types that are no text and no number.
    """
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type):
        array = _float_texts(array)
    if array.type != pa.string():
        try:
            array = array.cast(pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise InputError(
                "A column of type {type} cannot be read as text.", "Export it as text.", type=array.type
            ) from error
    return pc.fill_null(array, word("")) if array.null_count else array


def _float_texts(array: pa.Array) -> pa.StringArray:
    """Whole numbers as digits and ".0", others in decimal notation where they have digits behind the point."""
    array = array.cast(pa.float32()) if array.type == pa.float16() else array
    exact = 2**63 if array.type == pa.float64() else 2**24  # beyond, a narrow float no longer holds each digit
    values = np.where(is_valid(array), values_of(array).astype(np.float64), np.nan)
    whole = np.isfinite(values) & (np.abs(values) < exact) & (values == np.rint(values))
    integers = numbers(np.where(whole, values, 0).astype(np.int64)).cast(pa.string())
    pointed = pc.binary_join_element_wise(integers, word(".0"), word(""))
    texts = pc.if_else(flags(whole), pointed, array.cast(pa.string()))
    texts = pc.if_else(flags(np.isnan(values)), word(""), texts)
    for power in range(10, 16) if (~whole & (np.abs(values) >= 1e10)).any() else ():
        texts = pc.replace_substring_regex(texts, rf"^(-?\d)\.(\d{{{power}}})(\d+)e\+{power}$", r"\1\2.\3")
    return texts


def view(texts: pa.StringArray) -> tuple[NDArray[np.int64], Bytes]:
    """(offsets int64[n + 1] from 0, bytes uint8[offsets[-1]]) of a column without nulls; the bytes are not copied."""
    if not len(texts):
        return np.zeros(1, np.int64), np.empty(0, np.uint8)
    _, where, data = texts.buffers()
    offsets = np.frombuffer(where, np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    content = np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8)
    return offsets - offsets[0], content[offsets[0] : offsets[-1]]


def lengths(texts: pa.StringArray) -> NDArray[np.int64]:
    """Bytes in each text."""
    return np.diff(view(texts)[0])


def compact(texts: pa.StringArray, kept: Flags, content: Bytes | None = None) -> pa.StringArray:
    """The texts with only the bytes flagged; `content` replaces their bytes first. The result must be UTF-8."""
    offsets, own = view(texts)
    before = np.zeros(len(kept) + 1, np.int32)
    np.cumsum(kept, out=before[1:])
    data = (own if content is None else content)[kept]
    return pa.StringArray.from_buffers(len(texts), pa.py_buffer(before[offsets]), pa.py_buffer(data))


def without(texts: pa.StringArray, ascii_bytes: bytes) -> pa.StringArray:
    """The texts without any of these ASCII characters."""
    dropped = np.zeros(256, np.bool_)
    dropped[np.frombuffer(ascii_bytes, np.uint8)] = True
    kept = ~dropped[view(texts)[1]]
    return texts if kept.all() else compact(texts, kept)


def half_width(texts: pa.StringArray) -> pa.StringArray:
    """Full-width forms U+FF01–U+FF5E as ASCII, U+3000 as a space; nothing else changes."""
    content = view(texts)[1]
    if len(content) < 3 or not (content >= 0xE3).any():
        return texts
    first, second, third = content[:-2], content[1:-1], content[2:]
    low = (first == 0xEF) & (second == 0xBC) & (third >= 0x81)  # U+FF01–U+FF3F → 0x21–0x5F
    high = (first == 0xEF) & (second == 0xBD) & (third <= 0x9E)  # U+FF40–U+FF5E → 0x60–0x7E
    space = (first == 0xE3) & (second == 0x80) & (third == 0x80)
    replaced, kept = content.copy(), np.ones(len(content), np.bool_)
    starts = np.flatnonzero(low | high | space)
    replaced[:-2][low] = third[low] - 0x60
    replaced[:-2][high] = third[high] - 0x20
    replaced[:-2][space] = 0x20
    kept[starts + 1] = kept[starts + 2] = False
    return compact(texts, kept, replaced)


def visible(texts: pa.StringArray) -> pa.StringArray:
    """The texts without characters that cannot be seen and without spaces beyond ASCII."""
    return pc.replace_substring_regex(texts, INVISIBLE, "") if (view(texts)[1] >= 0x80).any() else texts


def matches(texts: pa.StringArray, pattern: str) -> Flags:
    """Which texts match an RE2 pattern."""
    return as_flags(pc.match_substring_regex(texts, pattern))


def is_blank(texts: pa.StringArray) -> Flags:
    """Which texts are empty, spaces only, or a placeholder for nothing."""
    short = lengths(texts) <= 12  # a placeholder has at most 9 bytes, and trimming long texts costs time
    if not short.any():
        return short
    some = texts if short.all() else texts.filter(flags(short))
    trimmed = pc.utf8_lower(pc.utf8_trim_whitespace(visible(half_width(some))))
    blank = as_flags(pc.is_in(trimmed, value_set=words(("", *PLACEHOLDERS))))
    found = short.copy()
    found[short] = blank
    long = np.flatnonzero(~short)
    if len(long):
        found[long] = ~matches(texts.take(numbers(long)), r"[^\s\p{Z}]")
    return found


def uniform(texts: pa.StringArray, width: int) -> tuple[Flags, Bytes]:
    """(which texts have exactly `width` bytes, those as uint8[m, width]); not copied where all have."""
    offsets, content = view(texts)
    fits = np.diff(offsets) == width
    if not fits.all():
        content = view(texts.filter(flags(fits)))[1]
    return fits, content.reshape(-1, width)


def hexadecimal(texts: pa.StringArray, width: int) -> Flags:
    """Which texts are exactly `width` (even) hexadecimal digits, in either case."""
    fits, characters = uniform(texts, width)
    try:
        binascii.unhexlify(characters.tobytes())  # all of them: the usual case, at a quarter of the table's time
    except binascii.Error:
        fits = fits.copy()
        fits[fits] = _HEXADECIMAL[characters].all(axis=1)
    return fits


_HEXADECIMAL = np.zeros(256, np.bool_)
_HEXADECIMAL[np.frombuffer(b"0123456789abcdefABCDEF", np.uint8)] = True
