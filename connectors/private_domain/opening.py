"""From what a person names to a private domain: a file of events, or a folder of parts, of which some are of users.

A part with an event and a time is of events; one with a user but neither is a users' table. Nothing else is guessed.
"""

import datetime
from collections.abc import Sequence
from pathlib import Path

from connectors.errors import InputError
from connectors.folders import folder, tables
from connectors.headers import recognise
from connectors.open import open_source
from connectors.private_domain.folding import PrivateDomain
from connectors.private_domain.settings import Settings
from connectors.source import Source


def open_domain(
    where: str, as_of: datetime.date, settings: Settings, *, on: str = "phone", users: str | None = None,
    scratch: Path | None = None,
) -> PrivateDomain:  # fmt: skip
    """The private domain at a path, an address, or a folder of parts; `users`: another source of users' tables.

    on: what identity the user is. Raises InputError.
    """
    found = [open_source(part) for part in parts_of(where)]
    further = [open_source(part) for part in parts_of(users)] if users else []
    columns = settings.columns
    events = [one for one in found if {columns.event, columns.time} <= set(one.schema.names)]
    people = [one for one in found if one not in events] + further
    if not events:
        raise InputError("There are no events in {source}.", "Each needs a user, an event and a time.",
                         source=found[0].label if found else where)  # fmt: skip
    headers = [user_of(one, columns.user, on) for one in (*events, *people)]
    return PrivateDomain(
        list(zip(events, headers, strict=False)),
        list(zip(people, headers[len(events) :], strict=True)),
        as_of, settings, identity=_kind(on), scratch=scratch,
    )  # fmt: skip


def parts_of(where: str) -> Sequence[str]:
    """What lies in a folder and those in it, by name, hidden files left out; or what is no folder, as it is.

    A folder that is cut into partitions is one part, with what is asked of them.
    """
    found = folder(where)
    return tables(found) if found else [where]


def user_of(source: Source, named: str, on: str) -> str:
    """The header of the user: the one named, `user`, or the one that is known as the identity `on`."""
    names = source.schema.names
    if named in names or (not named and "user" in names):
        return named or "user"
    fit = [name for name in names if _kind(name) == _kind(on)]
    if named or len(fit) != 1:
        raise InputError(
            "There is no column {column} in {source}.", "Its columns: {columns}.",
            column=named or "user", source=source.label, columns=", ".join(names),
        )  # fmt: skip
    return str(fit[0])


def _kind(on: str) -> str:
    """The canonical name of the first identity that is named."""
    first = on.replace("，", ",").partition(",")[0].strip()
    known = recognise(first)
    return known[0] if known else first.casefold()
