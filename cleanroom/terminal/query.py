"""`query` for people: how the question was understood, and the released groups."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show
from cleanroom.terminal.overlap import MINOR_CELLS


def query_shown(console: Console, result: dict[str, Any]) -> None:
    """The table, and by which rules it left."""
    read = result["understood"]
    show.fact(console, t("Room"), result["room"])
    by = ", ".join(read["by"]) or t("everybody")
    show.fact(console, t("Understood as"), t("people of {table}, by {columns}", table=read["table"], columns=by))
    if read["sums"]:
        show.fact(console, t("Summed"), ", ".join(read["sums"]))
    if result["rows"] is None:
        show.line(console, t("Nothing was computed, and nothing charged."))
        return
    if result["rows"]:
        titles = list(result["rows"][0])
        cells = [tuple(_label(row[title]) for title in titles) for row in result["rows"]]
        show.table(console, t("Answer"), titles, cells)
    else:
        show.line(console, t("No group may be shown."))
    if result["exact"]:
        show.line(console, t("Your own data: exact, without charge or receipt."))
        return
    if result["withheld"]:
        show.line(console, t("Some groups are withheld."))
    show.line(console, t("Noise off: numbers are exact. Groups under {k} persons are withheld.", k=result["k"]))
    show.fact(console, t("Receipt"), result["receipt"]["digest"])


def _label(value: Any) -> Any:
    return t(value) if value in MINOR_CELLS else value
