"""`budget` for people: what is left of each dataset's budget, as a bar and as questions that may still be asked."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.ledger.spending import as_rho
from cleanroom.terminal import show

_BAR = 20


def budget_shown(console: Console, result: dict[str, Any]) -> None:
    """A dataset and room at a time; then what is not counted."""
    for each in result["budgets"]:
        _shown(console, each)
    if result["budgets"]:
        show.line(console, t("Budgets renew on {day} (UTC). A question that was answered already costs nothing.",
                             day=result["renews"]))  # fmt: skip
    for room in result["exact"]:
        show.line(console, t("In the room {room} noise is off: numbers are exact, and no budget is kept.", room=room))
    if not result["budgets"] and not result["exact"]:
        show.line(console, t("No room in force has a dataset of this node."))


def questions_text(count: int) -> str:
    """How many more plain counts, as people say it."""
    if count == 0:
        return t("no more questions this month")
    if count == 1:
        return t("one more question like a plain count")
    return t("about {count} more questions like a plain count", count=f"{rounded(count):,}")


def rounded(count: int) -> int:
    """Down to two digits that count."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return count // unit * unit


def bar(left: int, most: int) -> str:
    """What is left, as a bar of 20 signs; empty only where nothing is, full only where everything is."""
    full = max(_BAR * left // most, 1) if left else 0
    return "█" * full + "░" * (_BAR - full)


def _shown(console: Console, budget: dict[str, Any]) -> None:
    spent, left, most = (budget[name] for name in ("spent", "left", "budget"))
    share = 100 * left["rho_micro"] // most["rho_micro"]
    title = t("{dataset} in the room {room}", dataset=budget["dataset"], room=budget["room"])
    show.fact(console, title, f"{bar(left['rho_micro'], most['rho_micro'])} {share} %")
    show.line(console, questions_text(budget["questions_left"]) + t(" (± {people} persons)", people=budget["within"]))
    numbers = {
        "spent": as_rho(spent["rho_micro"]),
        "left": as_rho(left["rho_micro"]),
        "most": as_rho(most["rho_micro"]),
        "epsilon": f"{spent['epsilon']:.2f}",
        "bound": f"{most['epsilon']:.2f}",
        "delta": f"{budget['delta']:.0e}",
    }
    show.line(console, t("spent this month in all rooms ρ {spent} of {most}, left ρ {left}; that is ε {epsilon} of "
                         "{bound} at δ {delta}", **numbers))  # fmt: skip
