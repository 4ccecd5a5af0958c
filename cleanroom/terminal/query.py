"""`query` for people: how the question was understood, what it costs, and the released groups."""

from collections.abc import Callable
from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.ledger.computed import by_cluster
from cleanroom.terminal import show
from cleanroom.terminal.overlap import MINOR_CELLS, rules_shown


def query_shown(console: Console, result: dict[str, Any]) -> None:
    """The table, and by which rules it left."""
    if result["rows"] is None:
        understood_shown(console, result)
        show.line(console, t("Nothing was computed, and nothing charged."))
        return
    if result["rows"]:
        cells = cells_of(result["rows"], result["within"])
        show.table(console, t("Answer"), list(result["rows"][0]), cells)
    else:
        show.line(console, t("No group may be shown."))
    if result["exact"]:
        show.line(console, t("Your own data: exact, without charge or receipt."))
        return
    if result["withheld"] and result["noise"] == "off":
        show.line(console, t("Some groups are withheld."))
    if result["noise"] != "off" and result["price"] is None:
        show.line(console, t("Asked before: the same answer, and nothing charged."))
    rules_shown(console, result["k"], result["noise"])
    show.fact(console, t("Receipt"), result["receipt"]["digest"])
    if by_cluster(result["receipt"]["isolation"]):
        show.computed(console, result["receipt"]["isolation"])


def before(*, quiet: bool) -> Callable[[dict[str, Any]], None] | None:
    """Says how the question was read and what it costs before it is asked."""
    return None if quiet else lambda told: understood_shown(Console(highlight=False), told)


def understood_shown(console: Console, result: dict[str, Any]) -> None:
    """How the question was read, and what it costs: told before it is asked."""
    read = result["understood"]
    show.fact(console, t("Room"), result["room"])
    by = ", ".join(read["by"]) or t("everybody")
    table = " + ".join(read.get("over", ())) or read["table"]
    show.fact(console, t("Understood as"), t("people of {table}, by {columns}", table=table, columns=by))
    if read["where"]:
        show.fact(console, t("Of whom"), t(", or ").join(map(_box, read["where"])))
    if read["sums"]:
        show.fact(console, t("Summed"), ", ".join(read["sums"]))
    if result["price"] is not None:
        show.fact(console, t("Price"), _price(result["price"]))


def _box(box: dict[str, list[str]]) -> str:
    """People with one of these labels in each of these columns."""
    return t(" and ").join(f"{name}: {' | '.join(map(t, labels))}" for name, labels in box.items())


def _price(price: dict[str, Any]) -> str:
    """In words: what it costs if it was not asked before, how exact it is, and how many such questions are left."""
    told = {"epsilon": f"{price['epsilon']:g}", "width": price["people"], "count": f"{price['questions_left']:,}"}
    text = t("ε {epsilon} for counts within ± {width} persons; about {count} questions like this one are left this "
             "month", **told)  # fmt: skip
    for name, width in price["sums"].items():
        text += t("; sums of {column} within ± {width}", column=name, width=f"{width:,.2f}")
    return text


def cells_of(rows: list[dict[str, Any]], widths: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Rows for a table: labels, and numbers with what they may be off."""
    beside: list[dict[str, Any]] = widths or [{}] * len(rows)
    return [
        tuple(_cell(value, within.get(title)) for title, value in row.items())
        for row, within in zip(rows, beside, strict=True)
    ]


def _cell(value: Any, within: float | None) -> Any:
    if within is not None:
        return f"{value:,} ± {within:,}"
    return t(value) if value in MINOR_CELLS else value
