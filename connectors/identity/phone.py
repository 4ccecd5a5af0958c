"""Phone numbers: Chinese mobiles by Arrow alone, others by the phonenumbers library.

Ordinary rows (eleven digits) cost nothing beyond a look at their bytes; only the unusual ones are cleaned.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import Flags, flags, numbers, values_of, word, words
from connectors.errors import InputError
from connectors.identity.names import NONE, Codes, Loss, Repair, Written, code, merged, none
from connectors.identity.texts import SPACES, half_width, is_blank, lengths, matches, uniform, visible, without

MOBILE = r"1[3-9]\d{9}"
ACCEPTED = rf"^(?:\+86|0086|86)?{MOBILE}$"
_DECIMAL = r"^\s*(\+?\d{8,})\.0+\s*$"  # 8 digits or more: 1380013.8000 is a grouped phone, no number of a spreadsheet
_SCIENTIFIC = (r"^\s*(\d)\.(\d{10})0*[eE]\+?10\s*$", r"^\s*(\d)\.(\d{12})0*[eE]\+?12\s*$")  # every digit is there
_ROUNDED = r"^\s*\+?\d(?:\.\d*)?[eE]\+?\d{1,2}\s*$"
_MASKED = r"[*•●×#]{2,}|[\d\-\s][xX]{2,}|[*•●]"
_SEVERAL = rf"\d{{7,}}[\s)]*[/,;、|\\&]\s*[+(]*\d{{7,}}|^\s*{MOBILE}\s*{MOBILE}\s*$"


@dataclass(frozen=True)
class _Cleaned:
    """seen: in half width and visible, spreadsheet forms undone; bare: also without separators; repaired: codes."""

    seen: pa.StringArray
    bare: pa.StringArray
    repaired: Codes


def cn_mobile(texts: pa.StringArray) -> Written:
    """`cn-mobile/1`: eleven digits, nothing before them."""
    return _by_exception(texts, _unusual_mobiles)


def e164(texts: pa.StringArray, country: str) -> Written:
    """E.164 with `+`; `country` (ISO 3166) is assumed where a number names none. Raises InputError."""
    _check_country(country)
    if country != "CN":
        return _international(texts, country)
    written = _by_exception(texts, lambda rest: _international(rest, "CN"))
    short = flags(_ordinary(written.texts))  # what the fast path let through as it was
    return Written(
        pc.if_else(short, _plus_86(written.texts), written.texts),
        written.lost,
        written.repaired,
    )


def digits_only(texts: pa.StringArray, country: str) -> Written:
    """The digits of E.164: country code, no `+`, no leading zeros."""
    written = e164(texts, country)
    return Written(without(written.texts, b"+"), written.lost, written.repaired)


def _ordinary(texts: pa.StringArray) -> Flags:
    """Which texts are a mobile number already, byte for byte."""
    fits, rows = uniform(texts, 11)
    good = (rows[:, 0] == ord("1")) & (rows[:, 1] >= ord("3"))
    for place in range(1, 11):
        good &= rows[:, place] - np.uint8(48) <= 9
    flags = fits.copy()
    flags[fits] = good
    return flags


def _by_exception(texts: pa.StringArray, unusual: Callable[[pa.StringArray], Written]) -> Written:
    rest = np.flatnonzero(~_ordinary(texts))
    if not len(rest):
        return Written(texts, none(len(texts)), none(len(texts)))
    return merged(texts, rest, unusual(texts.take(numbers(rest))))


def _unusual_mobiles(texts: pa.StringArray) -> Written:
    cleaned = _clean(texts)
    good = matches(cleaned.bare, ACCEPTED)
    lost, repaired = none(len(texts)), cleaned.repaired
    repaired[good & (repaired < 0) & (lengths(cleaned.bare) > 11)] = code(Repair.COUNTRY_CODE)
    bad = np.flatnonzero(~good)
    if len(bad):
        rows = numbers(bad)
        lost[bad] = _why(cleaned.seen.take(rows), cleaned.bare.take(rows))
    repaired[bad] = NONE
    return Written(_choose(good, pc.utf8_slice_codeunits(cleaned.bare, -11)), lost, repaired)


def _clean(texts: pa.StringArray) -> _Cleaned:
    half = half_width(texts)
    seen = visible(half)
    plain = pc.replace_substring_regex(seen, _DECIMAL, r"\1")
    decimal = lengths(plain) != lengths(seen)
    whole = plain
    for pattern in _SCIENTIFIC:
        whole = pc.replace_substring_regex(whole, pattern, r"\1\2")
    scientific = lengths(whole) != lengths(plain)
    bare = without(whole, SPACES + b"-().")
    repaired = np.select(
        [decimal, scientific, lengths(half) != lengths(texts), lengths(bare) != lengths(texts)],
        [code(name) for name in (Repair.DECIMAL, Repair.SCIENTIFIC, Repair.FULL_WIDTH, Repair.SEPARATORS)],
        NONE,
    ).astype(np.int8)
    # a country code matters more than the separators that came with it
    coded = (repaired == code(Repair.SEPARATORS)) & matches(bare, rf"^(?:\+86|0086|86){MOBILE}$")
    repaired[coded] = code(Repair.COUNTRY_CODE)
    return _Cleaned(whole, bare, repaired)


def _common_losses(seen: pa.StringArray) -> tuple[list[Flags], list[Loss]]:
    return (
        [is_blank(seen), matches(seen, _ROUNDED), matches(seen, _SEVERAL), matches(seen, _MASKED)],
        [Loss.MISSING, Loss.ROUNDED, Loss.SEVERAL, Loss.MASKED],
    )


def _why(seen: pa.StringArray, bare: pa.StringArray) -> Codes:
    """Why each of these is no mobile number of mainland China: codes of Loss."""
    flags, names = _common_losses(seen)
    inner = pc.replace_substring_regex(bare, r"^(?:\+|00)86", "")
    count = lengths(inner)
    rules: list[tuple[Flags, Loss]] = [
        (lengths(bare) == 0, Loss.MISSING),
        (~matches(bare, r"^\+?\d+$"), Loss.OTHER_CHARACTERS),
        (matches(bare, rf"^0{MOBILE}$"), Loss.LEADING_ZERO),
        (matches(inner, r"^0\d{9,11}$|^0?[48]00\d{7}$"), Loss.LANDLINE),
        (matches(bare, r"^(?:\+|00)86(?:10|[2-9]\d{1,2})\d{7,8}$") & (count != 11), Loss.LANDLINE),
        (matches(inner, r"^(?:\+|00)\d+$"), Loss.NOT_MAINLAND),
        (count < 11, Loss.TOO_FEW_DIGITS),
        (count > 11, Loss.TOO_MANY_DIGITS),
    ]
    flags += [flag for flag, _ in rules]
    names += [name for _, name in rules]
    return np.select(flags, [code(name) for name in names], code(Loss.NOT_A_MOBILE)).astype(np.int8)


def _international(texts: pa.StringArray, country: str) -> Written:
    cleaned = _clean(texts)
    flags, names = _common_losses(cleaned.seen)
    lost = np.select(flags, [code(name) for name in names], NONE).astype(np.int8)
    mobile = matches(cleaned.bare, ACCEPTED if country == "CN" else rf"^\+86{MOBILE}$")
    lost[mobile] = NONE
    result = _choose(mobile, _plus_86(pc.utf8_slice_codeunits(cleaned.bare, -11)))
    rest = np.flatnonzero(~mobile & (lost < 0))
    if len(rest):
        part = _by_library(cleaned.seen.take(numbers(rest)), country)
        result = merged(result, rest, part).texts
        lost[rest] = part.lost
    repaired = np.where(lost < 0, cleaned.repaired, NONE).astype(np.int8)
    return Written(result, lost, repaired)


def _choose(good: Flags, texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(flags(good), texts, word(""))


def _plus_86(mobiles: pa.StringArray) -> pa.StringArray:
    return pc.binary_join_element_wise(word("+86"), mobiles, word(""))


def _by_library(texts: pa.StringArray, country: str) -> Written:
    """Each distinct text through phonenumbers once."""
    distinct = texts.dictionary_encode()
    parsed = [_parse(text, country) for text in distinct.dictionary.to_pylist()]
    rows = distinct.indices
    lost = np.array([code(name) if isinstance(name, Loss) else NONE for name in parsed], np.int8)
    results = words(["" if isinstance(name, Loss) else name for name in parsed])
    return Written(results.take(rows), lost[values_of(rows)], none(len(texts)))


def _parse(text: str, country: str) -> str | Loss:
    import phonenumbers as library

    reasons = {
        library.NumberParseException.INVALID_COUNTRY_CODE: Loss.NO_COUNTRY,
        library.NumberParseException.TOO_LONG: Loss.TOO_MANY_DIGITS,
        library.NumberParseException.TOO_SHORT_NSN: Loss.TOO_FEW_DIGITS,
        library.NumberParseException.TOO_SHORT_AFTER_IDD: Loss.TOO_FEW_DIGITS,
    }
    try:
        number = library.parse(text, country)
    except library.NumberParseException as error:
        return reasons.get(error.error_type, Loss.OTHER_CHARACTERS)
    possible = library.is_possible_number_with_reason(number)
    if possible == library.ValidationResult.TOO_LONG:
        return Loss.TOO_MANY_DIGITS
    if possible == library.ValidationResult.TOO_SHORT:
        return Loss.TOO_FEW_DIGITS
    if not library.is_valid_number(number):
        return Loss.NOT_ASSIGNED
    return str(library.format_number(number, library.PhoneNumberFormat.E164))


def _check_country(country: str) -> None:
    if country == "CN":
        return
    import phonenumbers

    if country not in phonenumbers.SUPPORTED_REGIONS:
        raise InputError(
            "{country} is not a country of the phone library.", "Give two letters as in ISO 3166.", country=country
        )
