"""Reading biz_content field by field: each by its type and bound, each at most once, and nothing left over.

Every problem is a Fault of its own that names the field, never what stood in it.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cleanroom.crowds.channels import CHANNELS
from cleanroom.gateway import words
from cleanroom.gateway.codes import Fault

Read = TypeVar("Read")
UNKNOWN_PLACE = 0
"""The number that an entry gives itself in a Fault; its list puts the right one there."""
_WHOLE = re.compile(r"[0-9]{1,15}", re.ASCII)
_DAY = re.compile(r"[0-9]{8}", re.ASCII)
_TRUE, _FALSE = (True, "true", "TRUE", "True", "Y", "1", 1), (False, "false", "FALSE", "False", "N", "0", 0)


class Fields:
    """One JSON object; `done` refuses what nobody took. where: its name in messages."""

    def __init__(self, value: Any, where: str = "biz_content") -> None:
        if not isinstance(value, dict):
            raise Fault("isv.invalid-parameter", field=where)
        self._value: Mapping[str, Any] = value
        self._where = where
        self._taken: set[str] = set()

    def take(self, name: str) -> Any:
        """The raw value; None where it is missing or null."""
        self._taken.add(name)
        return self._value.get(name)

    def text(self, name: str, most: int = words.MOST_TEXT, *, need: bool = False, too_long: str = "") -> str:
        """A text of printable characters; numbers count as their digits. too_long: the sub_code for one over `most`."""
        value = self.take(name)
        if type(value) is int:
            value = str(value)
        if value is None or value == "":
            if need:
                raise Fault("isv.missing-parameter", field=name)
            return ""
        if type(value) is not str or not value.isprintable():
            raise Fault("isv.invalid-parameter", field=name)
        if len(value) > most:
            raise Fault(too_long, most=most) if too_long else Fault("isv.text-too-long", field=name, most=most)
        return value

    def flag(self, name: str) -> bool | None:
        """True, false, or their usual words; None where it is missing."""
        value = self.take(name)
        if value is None or value == "":
            return None
        for found, known in ((True, _TRUE), (False, _FALSE)):
            if any(type(value) is type(each) and value == each for each in known):
                return found
        raise Fault("isv.invalid-parameter", field=name)

    def whole(self, name: str, *, default: int | None = None) -> int:
        """A whole number, also written as a text."""
        value = self.take(name)
        if value is None or value == "":
            if default is None:
                raise Fault("isv.missing-parameter", field=name)
            return default
        if type(value) is str and _WHOLE.fullmatch(value):
            value = int(value)
        if type(value) is not int or not 0 <= value < 10**15:
            raise Fault("isv.invalid-parameter", field=name)
        return value

    def entries(self, name: str, read: Callable[[Any], Read], most: int, *, too_long: str = "") -> tuple[Read, ...]:
        """A list, each entry read by `read`; () where it is missing."""
        value = self.take(name)
        if value is None or value == "":
            return ()
        if not isinstance(value, list):
            raise Fault("isv.invalid-parameter", field=name)
        if len(value) > most:
            raise Fault(too_long, most=most) if too_long else Fault("isv.list-too-long", field=name, most=most)
        return tuple(_read(read, each, number) for number, each in enumerate(value, 1))

    def texts(self, name: str, most: int, longest: int = words.MOST_TEXT) -> tuple[str, ...]:
        """A list of texts; one text alone may be written without the list, or several with commas."""
        value = self._value.get(name)
        if type(value) is str and value:
            self.take(name)
            value = value.split(",")
            return Fields({name: value}).texts(name, most, longest)
        return self.entries(name, lambda each: Fields({name: each}).text(name, longest, need=True), most)

    def name(self, *, need: bool = True) -> str:
        """crowd_name."""
        return self.text("crowd_name", words.MOST_NAME, need=need, too_long="CROWD_NAME_TOO_LONG").strip()

    def description(self) -> str:
        """crowd_desc."""
        return self.text("crowd_desc", words.MOST_DESC, too_long="CROWD_DESC_TOO_LONG")

    def code(self, name: str = "crowd_code", *, need: bool = True) -> str:
        """A code that names something."""
        return self.text(name, words.MOST_CODE, need=need)

    def channels(self, name: str = "apply_channel_list") -> tuple[str, ...]:
        """Channels by our names; capitals and underscores are taken as well (DAILY_PROMOTION)."""
        found = tuple(each.lower().replace("_", "-") for each in self.texts(name, words.MOST_CHANNELS))
        if any(each not in CHANNELS for each in found):
            raise Fault("CHANNEL_UNKNOWN")
        return tuple(dict.fromkeys(found))

    def word(self, name: str, known: Mapping[str, Read], default: str = "") -> Read:
        """One of some words, in small letters or capitals."""
        text = self.text(name, need=not default) or default
        if text.upper() not in known:
            raise Fault("OPERATION_UNKNOWN", field=name, allowed=", ".join(known))
        return known[text.upper()]

    def day(self, name: str, yesterday: dt.date) -> dt.date:
        """A report date, yyyyMMdd; yesterday where it is missing."""
        text = self.text(name, words.MOST_CODE)
        if not text:
            return yesterday
        try:
            if not _DAY.fullmatch(text):
                raise ValueError
            found = dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError as error:
            raise Fault("REPORT_DATE_INVALID") from error
        if found > yesterday:
            raise Fault("REPORT_DATE_IN_FUTURE")
        return found

    def done(self) -> None:
        """Raises Fault where a field was sent that nobody took."""
        if self._value.keys() - self._taken:
            raise Fault("isv.unknown-parameter", field=self._where)


def _read(read: Callable[[Any], Read], value: Any, number: int) -> Read:
    try:
        return read(value)
    except Fault as fault:
        if fault.params.get("number") != UNKNOWN_PLACE:
            raise
        raise Fault(fault.sub_code, **{**fault.params, "number": number}) from fault
