"""What columns are called: the vocabulary of `headers.toml`, and how a header is compared with it.

Only names of columns are looked at here, never a value.
"""

import functools
import re
import tomllib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal, get_args

Kind = Literal["identity", "category", "bucket", "amount", "handle", "date", "consent", "ignore"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BRACKETED = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|【[^【】]*】|<[^<>]*>|〔[^〔〕]*〕")
_PREFIX = re.compile(
    r"^(会员|客户|用户|买家|顾客|粉丝|收货人|收件人|customers?|members?|users?|buyers?|contacts?|clients?)"
)


def normal(header: str) -> str:
    """A header as it is compared: NFKC, without case, bracketed parts, spaces and punctuation."""
    text = unicodedata.normalize("NFKC", header).casefold()
    bare = _BRACKETED.sub("", text)
    return "".join(sign for sign in bare if sign.isalnum()) or "".join(sign for sign in text if sign.isalnum())


def slug(header: str) -> str:
    """A header as a name: NFKC, lower case, words joined by `_`; Chinese stays Chinese."""
    words = re.findall(r"\w+", unicodedata.normalize("NFKC", header).casefold().replace("_", " "))
    return "_".join(words) or header


def recognise(header: str) -> tuple[str, Kind] | None:
    """(canonical name, kind) of a header; None where the vocabulary lacks it."""
    known = vocabulary()
    plain = normal(header)
    return known.get(plain) or known.get(_PREFIX.sub("", plain))


@functools.cache
def vocabulary() -> dict[str, tuple[str, Kind]]:
    """Compared header → (canonical name, kind)."""
    return {
        normal(header): (name, entry.kind) for name, entry in _entries().items() for header in (name, *entry.headers)
    }


@functools.cache
def canonical_kinds() -> dict[str, Kind]:
    """Canonical name → kind."""
    return {name: entry.kind for name, entry in _entries().items()}


def header_at(rows: Sequence[Sequence[str]]) -> int:
    """Which of the first rows is the header: the first with the most known names, else the first that is full enough.

    Title rows above a table have one or two filled cells and no known name.
    """
    known = [sum(recognise(cell) is not None for cell in row if cell) for row in rows]
    if rows and max(known) >= 2:
        return known.index(max(known))
    filled = [sum(map(bool, row)) for row in rows]
    usual = Counter(count for count in filled if count).most_common(1)
    least = max(2, usual[0][0] / 2) if usual and usual[0][0] > 2 else 1
    return next((place for place, count in enumerate(filled) if count >= least), 0)


@dataclass(frozen=True)
class _Entry:
    kind: Kind
    headers: tuple[str, ...]


@functools.cache
def _entries() -> dict[str, _Entry]:
    given = tomllib.loads(resources.files(__package__).joinpath("headers.toml").read_text("utf-8"))
    given.pop("version")
    return {name: _Entry(entry["kind"], tuple(entry["headers"])) for name, entry in given.items()}
