"""`demo --scene` for people."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show


def played(console: Console, result: dict[str, Any]) -> None:
    """What the scene measured, beside what was planted, and where its report is."""
    found = result["difference"]
    show.fact(console, t("Planted lift"), f"{result['planted']:.2%}")
    show.fact(console, t("Measured lift"), f"{found['value']:.2%} ({found['low']:.2%} … {found['high']:.2%})")
    show.fact(console, t("Report"), result["report"])
    show.line(console, t("All persons are made up, and what they did too."))
