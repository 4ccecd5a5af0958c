"""The profiles' own vectors: what a profile makes of telling inputs, so that two sides can prove that they write alike.

Invented numbers (the ranges kept for examples, or plain patterns) and addresses at example domains.
"""

from typing import Literal

Vector = tuple[Literal["phone", "email", "openid", "device"], str, str, str, str]
"""(identity kind, raw text, country, scope, the text that is digested or "lost: <name>")."""

_MOBILE: tuple[tuple[str, str], ...] = (
    ("13800138000", "13800138000"),
    (" 138-0013 8000 ", "13800138000"),
    ("(138)0013.8000", "13800138000"),
    ("１３８００１３８０００", "13800138000"),
    ("\u200b138\u200d00138000\ufeff", "13800138000"),
    ("+86 138 0013 8000", "13800138000"),
    ("008613800138000", "13800138000"),
    ("8613800138000", "13800138000"),
    ("13800138000.0", "13800138000"),
    ("1.3800138000E+10", "13800138000"),
    ("1.38E+10", "lost: spreadsheet-rounded"),
    ("138****8000", "lost: masked"),
    ("861380013800", "lost: too-many-digits"),
    ("12800138000", "lost: not-a-mobile"),
    ("010-88888888", "lost: landline"),
    ("+852 5123 4567", "lost: not-mainland"),
    ("", "lost: missing"),
)
_PLUS: tuple[tuple[str, str, str], ...] = (
    ("13800138000", "CN", "+8613800138000"),
    ("+86 138-0013-8000", "US", "+8613800138000"),
    ("010 8888 8888", "CN", "+861088888888"),
    ("(650)555-1212", "US", "+16505551212"),
    ("+44 20 7031 3000", "CN", "+442070313000"),
    ("0491 570 006", "AU", "+61491570006"),
    ("123", "CN", "lost: too-few-digits"),
)
_EMAIL: tuple[tuple[str, str, str, str], ...] = (
    # raw, Google's rule, UID2's rule, Meta's rule
    (" Ann.Lee+x@Example.com ", "ann.lee+x@example.com", "ann.lee+x@example.com", "ann.lee+x@example.com"),
    ("Ann.Lee+x@gmail.com", "annlee@gmail.com", "annlee@gmail.com", "ann.lee+x@gmail.com"),
    ("Ann.Lee+x@googlemail.com", "annlee@googlemail.com", "ann.lee+x@googlemail.com", "ann.lee+x@googlemail.com"),
    ("ann.lee", "lost: not-an-email", "lost: not-an-email", "lost: not-an-email"),
)


def _mobiles() -> tuple[Vector, ...]:
    return tuple(("phone", raw, "CN", "", text) for raw, text in _MOBILE)


def _plus(drop: str = "") -> tuple[Vector, ...]:
    return tuple(("phone", raw, country, "", text.removeprefix(drop)) for raw, country, text in _PLUS)


def _addresses(rule: int) -> tuple[Vector, ...]:
    return tuple(("email", row[0], "CN", "", row[rule]) for row in _EMAIL)


VECTORS: dict[str, tuple[Vector, ...]] = {
    "cn-mobile/1": _mobiles(),
    "qipan/1": _mobiles(),
    "e164/1": _plus(),
    "google-customer-match/1": _addresses(1) + _plus(),
    "uid2/1": _addresses(2) + _plus(),
    "meta/1": _addresses(3) + _plus(drop="+"),
    "openid/1": (
        ("openid", " oAbC_1-x ", "CN", "wx0123", "6:wx0123oAbC_1-x"),
        ("openid", "oAbC_1-x", "CN", "", "0:oAbC_1-x"),
        ("openid", "NULL", "CN", "wx0123", "lost: missing"),
    ),
    "device/1": (
        ("device", "6d92078a-8246-4ba4-ae5b-76104861e7dc", "CN", "upper", "6D92078A-8246-4BA4-AE5B-76104861E7DC"),
        ("device", "6D92078A-8246-4BA4-AE5B-76104861E7DC", "CN", "lower", "6d92078a-8246-4ba4-ae5b-76104861e7dc"),
        ("device", "aB3f09Cc21d7E5a8", "CN", "", "aB3f09Cc21d7E5a8"),
        ("device", "00000000-0000-0000-0000-000000000000", "CN", "", "lost: zero-id"),
    ),
}
