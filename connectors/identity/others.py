"""E-mail addresses, open ids and device ids."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.arrays import Flags, as_flags, flags, numbers, word
from connectors.errors import InputError
from connectors.identity.names import NONE, Codes, Loss, Repair, Written, code, none
from connectors.identity.texts import is_blank, lengths, matches

_ADDRESS = r"^[^@\s\p{C}\p{Z},;<>\"]+@[^@\s\p{C}\p{Z},;<>\".]+(?:\.[^@\s\p{C}\p{Z},;<>\".]+)+$"
_DEVICE = r"^[0-9A-Za-z_\-]{8,64}$"
ZERO_IDS = ("00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000")


def email(texts: pa.StringArray, folded: tuple[str, ...]) -> Written:
    """Trimmed and lower-case; at the `folded` domains without dots and `+suffix` in the local part."""
    trimmed = pc.utf8_trim_whitespace(texts)
    lower = pc.utf8_lower(trimmed)
    for domain in folded:
        lower = _fold(lower, domain)
    good = matches(lower, _ADDRESS) & (lengths(lower) <= 254)
    masked = as_flags(pc.match_substring(lower, "**"))
    lost = _select(
        ~good | masked,
        lower,
        [(masked, Loss.MASKED), (matches(lower, r"@[^,;]+[,;\s].*@"), Loss.SEVERAL)],
        Loss.NOT_AN_EMAIL,
    )
    return _written(lower, lost, lengths(trimmed) != lengths(texts))


def openid(texts: pa.StringArray, scope: str) -> Written:
    """Opaque: trimmed, case kept. What is digested is `<bytes of scope>:<scope><id>`, so that no two pairs meet."""
    trimmed = pc.utf8_trim_whitespace(texts)
    masked = as_flags(pc.match_substring(trimmed, "**"))
    lost = _select(masked | (lengths(trimmed) <= 12), trimmed, [(masked, Loss.MASKED)], None)
    scoped = pc.binary_join_element_wise(word(f"{len(scope.encode())}:{scope}"), trimmed, word(""))
    return _written(scoped, lost, lengths(trimmed) != lengths(texts))


def device(texts: pa.StringArray, scope: str) -> Written:
    """Trimmed; `scope` says how the platform writes it: "upper", "lower", or "" for as it is. Zero ids are refused."""
    if scope not in ("", "upper", "lower"):
        raise InputError("A device profile cannot write ids as {scope}.", 'Give "upper" or "lower".', scope=scope)
    trimmed = pc.utf8_trim_whitespace(texts)
    zero = matches(trimmed, r"^[0\-]*0[0\-]*$")
    good = matches(trimmed, _DEVICE) & ~zero
    masked = as_flags(pc.match_substring(trimmed, "**"))
    lost = _select(~good, trimmed, [(zero, Loss.ZERO_ID), (masked, Loss.MASKED)], Loss.NOT_A_DEVICE)
    cased = {"": lambda column: column, "upper": pc.ascii_upper, "lower": pc.ascii_lower}[scope](trimmed)
    return _written(cased, lost, lengths(trimmed) != lengths(texts))


def _fold(addresses: pa.StringArray, domain: str) -> pa.StringArray:
    here = pc.ends_with(addresses, "@" + domain)
    if not as_flags(here).any():
        return addresses
    some = addresses.filter(here)
    local = pc.utf8_slice_codeunits(some, 0, -len(domain) - 1)
    local = pc.replace_substring(pc.replace_substring_regex(local, r"\+.*$", ""), ".", "")
    return pc.replace_with_mask(addresses, here, pc.binary_join_element_wise(local, word(domain), word("@")))


def _select(doubtful: Flags, texts: pa.StringArray, rules: list[tuple[Flags, Loss]], other: Loss | None) -> Codes:
    """Codes of the doubtful rows: missing, else the first rule that holds, else `other`."""
    lost = none(len(texts))
    rows = np.flatnonzero(doubtful)
    if len(rows):
        flags = [is_blank(texts.take(numbers(rows)))] + [flag[rows] for flag, _ in rules]
        names = [Loss.MISSING] + [name for _, name in rules]
        lost[rows] = np.select(flags, [code(name) for name in names], NONE if other is None else code(other))
    return lost


def _written(texts: pa.StringArray, lost: Codes, trimmed: Flags) -> Written:
    repaired = np.where(trimmed & (lost < 0), code(Repair.SEPARATORS), NONE).astype(np.int8)
    return Written(pc.if_else(flags(lost < 0), texts, word("")), lost, repaired)
