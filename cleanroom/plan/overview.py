"""The latest plan as plain figures: everybody, and each column by its values. For screens, `--json` and pictures."""

from typing import Any

from cleanroom.plan.cube import Cube
from cleanroom.plan.reading import Answer, answer


def overview(cube: Cube) -> dict[str, Any]:
    """Room, day, rules, receipt, the total, and for each column its groups; people None is withheld."""
    total = answer(cube).groups[0]
    return {
        "room": cube.room,
        "made": cube.made.isoformat(),
        "sigma": cube.sigma,
        "tables": len(cube.counts),
        "k": cube.k,
        "total": {"people": total.people, "within": total.within},
        "columns": [_column(name, answer(cube, (name,))) for name in sorted(cube.columns)],
        "receipt": cube.receipt,
    }


def _column(name: str, found: Answer) -> dict[str, Any]:
    groups = [{"label": each.labels[0], "people": each.people, "within": each.within} for each in found.groups]
    return {"column": name, "least": found.least, "within": found.within, "groups": groups}
