"""What a home may still spend, and what its ledger says: read as they stand, nothing is written."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom.api import html
from cleanroom.api.figures import Answers
from cleanroom.lang import t


@dataclass(frozen=True, repr=False)
class Budget(Answers):
    """The budgets of this node's datasets this month, as `cleanroom budget --json` has them.

    Example: `room.budget().questions_left`.
    """

    plain: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dataset and room a row: ε spent, left and in all, and how many more plain counts that pays for."""
        return [
            {t("dataset"): each["dataset"], t("room"): each["room"], t("ε spent"): each["spent"]["epsilon"],
             t("ε a month"): each["budget"]["epsilon"], t("questions left"): each["questions_left"],
             t("each within ±"): each["within"]}
            for each in self.plain["budgets"]
        ]  # fmt: skip

    @property
    def questions_left(self) -> int | None:
        """Of the first budget: plain counts that may still be asked; None where noise is off."""
        return int(self.plain["budgets"][0]["questions_left"]) if self.plain["budgets"] else None

    def said(self) -> str:
        """When they renew, and which rooms keep none."""
        text = t("Budgets renew on {day} (UTC). A question that was answered already costs nothing.",
                 day=self.plain["renews"])  # fmt: skip
        exact = (t("In the room {room} noise is off: numbers are exact, and no budget is kept.", room=room)
                 for room in self.plain["exact"])  # fmt: skip
        return " ".join([text, *exact])


@dataclass(frozen=True, repr=False)
class Ledger(Answers):
    """Every entry of the home's ledger in words, oldest first.

    Example: `room.ledger().last(5)`.
    """

    plain: Mapping[str, Any]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """An entry a row."""
        return [
            {t("entry"): str(each["seq"]), t("time (UTC)"): each["time"],
             t("what happened"): t(each["template"], **_named(each["params"]))}
            for each in self.plain["entries"]
        ]  # fmt: skip

    def last(self, count: int) -> "Ledger":
        """The newest entries alone."""
        return Ledger({**self.plain, "entries": self.plain["entries"][-count:]})

    def said(self) -> str:
        """Whose it is."""
        return t("Ledger of {party}", party=t(self.plain["party"]))


@dataclass(frozen=True)
class Steps:
    """What was checked and held; where anything does not, an error was raised instead."""

    held: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join(f"✓ {each}" for each in self.held)

    def _repr_html_(self) -> str:
        return html.box(html.items(f"✓ {each}" for each in self.held))


def steps(*reports: Mapping[str, Any] | None) -> Steps:
    """Of reports that have steps; of those that are None nothing."""
    return Steps(tuple(t(step) for report in reports if report is not None for step in report["steps"]))


def _named(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: ", ".join(map(t, value.split(", "))) if isinstance(value, str) and value else value
            for name, value in params.items()}  # fmt: skip
