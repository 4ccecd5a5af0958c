"""Columns that every room calls and cuts alike: those of a platform's private domain, and those of campaigns.

A contract names all their cells, also those that nobody is in today: no values of the data are looked at.
"""

from connectors.private_domain.columns import STANDARD

_CAMPAIGNS = frozenset(
    ["arm", "exposed", "engaged", "touch", "paid_after", "paid_when", "payers_after", "spend_after", "spend_sq"]
)


def labels_of(name: str) -> tuple[str, ...] | None:
    """The cells of a category of that name; None where it is not one of these."""
    if (known := STANDARD.get(name)) is not None and known.kind == "category":
        return known.labels
    if name.rpartition("_")[0] not in _CAMPAIGNS:
        return None
    from cleanroom.campaigns import slots  # what campaigns need: only where there is one

    return slots.labels_of(name)


def bounds_of(name: str) -> tuple[int, int] | None:
    """The bounds of an amount of a campaign; None of any other."""
    if name.rpartition("_")[0] not in _CAMPAIGNS:
        return None
    from cleanroom.campaigns import slots

    return slots.bounds_of(name)
