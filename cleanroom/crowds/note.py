"""What goes along with a crowd's members: which crowd and day they are of, where they may be used, until when."""

import datetime as dt
import re
from dataclasses import dataclass, fields
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData

LABEL = "cleanroom/crowd/1"
_MOST_TEXT = 200
_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True)
class CrowdNote:
    """code: of the crowd; version: its day, yyyyMMdd; name: for people; channel: one of the contract's; purpose: one of
    the contract's; ends: the last day, ISO, on which they may be addressed. Raises BadData for what cannot be meant."""

    code: str
    version: str
    name: str
    channel: str
    purpose: str
    ends: str

    def __post_init__(self) -> None:
        texts = [getattr(self, each.name) for each in fields(self)]
        if not all(type(text) is str and 0 < len(text) <= _MOST_TEXT and text.isprintable() for text in texts):
            raise _malformed()
        if not _CODE.fullmatch(self.code):
            raise _malformed()
        try:  # in one way alone: days are compared as text, and name files
            version, ends = dt.datetime.strptime(self.version, "%Y%m%d"), dt.date.fromisoformat(self.ends)
        except ValueError as error:
            raise _malformed() from error
        if (version.strftime("%Y%m%d"), ends.isoformat()) != (self.version, self.ends):
            raise _malformed()

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def from_plain(value: Any) -> CrowdNote:
    """Of `CrowdNote.plain`. Raises BadData."""
    try:
        return CrowdNote(**value)
    except TypeError as error:
        raise _malformed() from error


def _malformed() -> BadData:
    return BadData("A crowd's note is not in the form that this version knows.")
