"""Why rows were lost or repaired, and what kinds of columns there are, in a few words for tables."""

from cleanroom.lang import t

REASONS = {
    "missing": "no identity",
    "no-consent": "no consent",
    "masked": "masked, as in 138****1234",
    "spreadsheet-rounded": "rounded by a spreadsheet, as in 1.38E+10",
    "several-numbers": "several identities in one cell",
    "other-characters": "letters or signs in a number",
    "not-mainland": "not a number of mainland China",
    "landline": "landline or service number",
    "leading-zero": "a 0 before the mobile number",
    "too-few-digits": "too few digits",
    "too-many-digits": "too many digits",
    "not-a-mobile": "not a mobile number",
    "not-assigned": "in no range in use",
    "no-such-country": "no such country code",
    "not-an-email": "not an e-mail address",
    "not-a-device-id": "not a device id",
    "zero-id": "all zeros",
    "hash-of-nothing": "hash of nothing",
    "hashed-among-raw": "hashed, while most are plain",
    "raw-among-hashed": "plain, while most are hashed",
    "md5-among-sha256": "MD5, while most are SHA-256",
    "sha256-among-md5": "SHA-256, while most are MD5",
    "ragged": "more or fewer columns than the header",
    "total": "a total, not a person",
    "note": "a note beside the table",
    "spreadsheet-decimal": "had become a decimal in a spreadsheet",
    "spreadsheet-scientific": "scientific notation with all digits",
    "full-width": "full-width characters",
    "country-code": "country code removed",
    "separators": "spaces or separators removed",
}
"""Names of losses, of repairs and of what sources set aside (connectors.identity.names, connectors.doctor)."""

KINDS = {
    "identity": "identity",
    "category": "category",
    "bucket": "bucket",
    "amount": "amount",
    "handle": "handle",
    "date": "date",
    "consent": "consent",
    "ignore": "not used",
}
"""Kinds of columns."""


def reason(name: str) -> str:
    """A loss or repair in the current language."""
    return t(REASONS.get(name, name))


def kind(name: str) -> str:
    """A column's kind in the current language."""
    return t(KINDS.get(name, name))
