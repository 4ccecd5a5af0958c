"""The accuracy that an asker names, as a number of persons: what a question's price follows."""

import re

from cleanroom.errors import UsageError

_WRITTEN = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*([%％]?)")


def within(text: str, population: int | None = None) -> int:
    """Persons that an answer may be off, of '30' or '5%' of `population` (the latest plan's, where there is one).

    Raises UsageError for another form, for less than one person, and for a share of an unknown population.
    """
    found = _WRITTEN.fullmatch(text.strip())
    if found is None:
        raise UsageError("An accuracy is a number of persons or a share.", "--within 30 or --within 5%.")
    number, share = float(found[1]), bool(found[2])
    if share and population is None:
        raise UsageError(
            "A share needs a known number of people, and this room has no plan yet.",
            "Give persons, as in --within 30, or make a plan first.",
        )
    persons = int(number * (population or 0) / 100) if share else int(number)
    if persons < 1 or (not share and persons != number):
        raise UsageError("An accuracy is at least one whole person.", "--within 30 or --within 5%.")
    return persons
