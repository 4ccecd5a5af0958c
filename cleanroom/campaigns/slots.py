"""The columns of campaigns: a dataset has some, empty, before the first campaign, so that a contract can name them.

A contract names columns with all their cells; a campaign later fills its slot's in, as the dataset's next version.
"""

from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.campaigns import columns
from cleanroom.campaigns.campaign import SLOTS
from cleanroom.campaigns.columns import Amount, Category, Columns
from cleanroom.campaigns.holdout import ARM_LABELS
from cleanroom.campaigns.outcomes import BUCKETS, NONE, TOUCHED
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.matching.cells import TYPED

YES_NO = ("no", "yes")
TOUCHES = (NONE, *(f"{channel}@{bucket}" for _, channel in TOUCHED for _, bucket in BUCKETS))
"""A first touch that is the last one too; of others the cell is `other`."""
CATEGORIES: dict[str, dict[str, tuple[str, ...]]] = {
    "platform": {"arm": ARM_LABELS, "exposed": YES_NO, "engaged": YES_NO, "touch": TOUCHES},
    "merchant": {"paid_after": YES_NO, "paid_when": (NONE, *(bucket for _, bucket in BUCKETS))},
}
_CLAMP = 100_000
AMOUNTS: dict[str, tuple[int, int]] = {
    "payers_after": (0, 1),
    "spend_after": (0, _CLAMP),
    "spend_sq": (0, _CLAMP**2 // 10_000),
}
"""The merchant's, with the usual bounds in minor units; a contract may name others."""


def labels_of(name: str) -> tuple[str, ...] | None:
    """The cells of a campaign's category, as arm_1; None of another column."""
    base, _, slot = name.rpartition("_")
    if slot not in map(str, SLOTS):
        return None
    return next((own[base] for own in CATEGORIES.values() if base in own), None)


def bounds_of(name: str) -> tuple[int, int] | None:
    """The usual bounds of a campaign's amount; None of another column."""
    base, _, slot = name.rpartition("_")
    return AMOUNTS.get(base) if slot in map(str, SLOTS) else None


def prepare(path: Path, dataset: str, side: str, count: int = 1) -> dict[str, Any]:
    """Put the columns of so many slots beside the dataset, of nobody yet; those that are there stay.

    Raises UsageError for an unknown dataset.
    """
    home = Home.open(path.expanduser())
    if not 1 <= count <= len(SLOTS):
        raise UsageError("A campaign uses one of the slots 1 to 4.")
    if side not in ("platform", "merchant"):
        raise UsageError("A dataset is on the side of the merchant or of the platform.", "--side merchant")
    manifest = home.vault.manifest(dataset)
    there = {stored.name for stored in manifest.columns}
    made: dict[str, Category | Amount] = {}
    for slot in SLOTS[:count]:
        nobody = np.zeros(manifest.rows, np.uint8)
        made |= {f"{name}_{slot}": Category(labels, nobody) for name, labels in CATEGORIES[side].items()}
        if side == "merchant":
            made |= {f"{name}_{slot}": Amount(np.zeros(manifest.rows, np.int64)) for name in AMOUNTS}
    added: Columns = {name: own for name, own in made.items() if TYPED + name not in there}
    if added:
        manifest, _ = columns.put(home, manifest, added)
    return {"dataset": dataset, "version": manifest.version, "rows": manifest.rows, "added": list(added)}
