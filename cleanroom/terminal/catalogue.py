"""`catalogue` and `usage` for people: channels, tags, quotas; what each merchant used."""

from typing import Any

from rich.console import Console

from cleanroom import lang
from cleanroom.lang import t
from cleanroom.ledger.spending import as_rho
from cleanroom.terminal import show


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A table a kind, with titles in the language now chosen."""
    title = "zh" if lang.current() == "zh" else "en"
    channels = [(each["name"], each[title], ", ".join(each["purposes"])) for each in result["channels"]]
    show.table(console, t("Channels"), (t("channel"), t("title"), t("purposes")), channels)
    tags = [(each["name"], each[title], each["description"]) for each in result["tags"]]
    show.table(console, t("Tags"), (t("column"), t("title"), t("meaning")), tags)
    quotas = [(t(each["peer"]), each["runs"], each["rows"]) for each in result["quotas"]]
    show.table(console, t("Quotas"), (t("peer"), t("runs a day"), t("rows a run")), quotas)


def kept_shown(console: Console, result: dict[str, Any]) -> None:
    """What is in the catalogue now, or no more."""
    if "dropped" in result:
        show.line(console, t("{name} is no longer in the catalogue.", name=result["dropped"]))
    else:
        show.line(console, t("{name} is in the catalogue.", name=result["kept"]))


def usage_shown(console: Console, result: dict[str, Any]) -> None:
    """A merchant and month a line."""
    rows = [
        (t(each["merchant"]), each["month"], each["runs"], each["rows"], as_rho(each["rho_micro"]), each["sent"])
        for each in result["usage"]
    ]
    titles = (t("merchant"), t("month"), t("runs"), t("rows brought"), "ρ", t("bytes sent"))
    show.table(console, t("Usage of {party}", party=t(result["party"])), titles, rows)
