"""What an owner may say about the folding of its private domain: columns, campaigns, places; a versioned TOML file.

Nothing is read here but that file.
"""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from connectors.errors import InputError
from connectors.features import EventColumns
from connectors.private_domain.columns import MOST_CAMPAIGNS
from connectors.private_domain.places import MOST_PLACES, Place

BUILT_IN = "private-domain"
"""The name of the standard columns, where a file of features could stand."""
FORMAT = "cleanroom-private-domain/1"
_KNOWN = frozenset({"format", "columns", "campaigns", "place"})


_FOUND = EventColumns(user="")


@dataclass(frozen=True)
class Settings:
    """columns: where user, event and time stand (user "" is found by its header); campaigns: as the events call them,
    for the slots 1 to 4; places: a yes/no column each, from the users' table. Raises InputError."""

    columns: EventColumns = _FOUND
    campaigns: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()

    def __post_init__(self) -> None:
        names = [place.name for place in self.places]
        texts = all(isinstance(name, str) and name for name in self.campaigns)
        if not texts or len(self.campaigns) > MOST_CAMPAIGNS or len(set(self.campaigns)) < len(self.campaigns):
            raise InputError("There are at most {most} campaigns, each by its own name.", 'As in campaigns = ["618"].',
                             most=MOST_CAMPAIGNS)  # fmt: skip
        if len(names) > MOST_PLACES or len(set(names)) < len(names):
            raise InputError("There are at most {most} places, each by its own name.", "Leave some out.",
                             most=MOST_PLACES)  # fmt: skip


def is_settings(path: Path) -> bool:
    """Whether a file of features is one of this format rather than of features declared one by one."""
    try:
        return bool(re.search(rf'^\s*format\s*=\s*"{FORMAT.partition("/")[0]}/', path.read_text("utf-8"), re.M))
    except (OSError, UnicodeDecodeError):
        return False  # whoever reads features says what is wrong with it


def load_settings(path: Path) -> Settings:
    """`format`, then `campaigns`, [columns] and a [[place]] each, all of which may be left out. Raises InputError."""
    try:
        given: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line \d+", str(error))
        raise InputError("{file} is not valid TOML.", "Look near: {where}.", file=path.name,
                         where=found.group() if found else "the end") from None  # fmt: skip
    if given.get("format") != FORMAT:
        raise InputError("{file} is not of a known format.", 'Write format = "{known}".', file=path.name, known=FORMAT)
    try:
        if given.keys() - _KNOWN:
            raise TypeError
        columns = EventColumns(**{"user": "", **given.get("columns", {})})
        return Settings(
            columns, tuple(given.get("campaigns", ())), tuple(Place(**one) for one in given.get("place", ()))
        )
    except TypeError:
        raise InputError(
            "{file} has a key that is not known, or lacks one.", "A place has: {known}.",
            file=path.name, known=", ".join(one.name for one in fields(Place)),
        ) from None  # fmt: skip
