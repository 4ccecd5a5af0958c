"""What a column's own values say of its kind, where its header says nothing: only shapes are looked at."""

import pyarrow as pa
import pyarrow.compute as pc

from connectors.headers import Kind

_MOST = 0.8
_FEW = 50
_SHAPES = {  # identity → a regular expression (RE2) of the whole value
    "phone": r"'?(\+|00)?(86)?[\s\-]*1[3-9]\d[\s\-]?\d{4}[\s\-]?\d{4}(\.0)?|1[3-9]\d\*{4}\d{4}",
    "email": r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}",
    "openid": r"o[0-9A-Za-z_\-]{27}|2088\d{12}",
}
_NUMBER = r"\(?[¥\x{ffe5}$€]?\s*[+\-]?[¥\x{ffe5}$€]?\s*\d[\d,]*(\.\d+)?\s*[万亿]?元?\)?"
_MONEY = r"[¥\x{ffe5}$€万亿元]|\.\d"
_DAY = r"\d{4}([\-/.]\d{1,2}[\-/.]\d{1,2}|年\d{1,2}月\d{1,2}日)([T\s].*)?|\d{1,2}/\d{1,2}/\d{4}"


def guess(values: pa.Array) -> tuple[str | None, Kind]:
    """(identity or None, kind) of a column: few distinct values are a category, money an amount, other numbers a
    bucket; what fits nothing is a handle, which never leaves its owner.
    """
    values = values.drop_null()
    if not len(values):
        return None, "handle"
    kind = values.type
    if pa.types.is_boolean(kind):
        return None, "category"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return None, "date"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return None, "amount"
    texts = values.cast(pa.string()) if pa.types.is_integer(kind) else values
    return _of_texts(texts) if pa.types.is_string(texts.type) else (None, "handle")


def _of_texts(texts: pa.StringArray) -> tuple[str | None, Kind]:
    texts = pc.utf8_trim_whitespace(texts)
    for identity, shape in _SHAPES.items():
        if _share(texts, shape) >= _MOST:
            return identity, "identity"
    if _share(texts, _DAY) >= _MOST:
        return None, "date"
    distinct = pc.count_distinct(texts).as_py()
    few = distinct <= min(_FEW, max(2, len(texts) // 2))
    if _share(texts, _NUMBER) >= _MOST:
        return None, _of_numbers(texts, few, unique=distinct == len(texts))
    return None, "category" if few else "handle"


def _of_numbers(texts: pa.StringArray, few: bool, unique: bool) -> Kind:
    if pc.any(pc.match_substring_regex(texts, _MONEY)).as_py():
        return "amount"
    if unique and pc.min(pc.utf8_length(texts)).as_py() >= 6:  # numbers that nobody counts with: references
        return "handle"
    return "category" if few else "bucket"


def _share(texts: pa.StringArray, shape: str) -> float:
    hits = pc.sum(pc.match_substring_regex(texts, f"^(?:{shape})$")).as_py()
    return float(hits or 0) / len(texts)
