"""`data` for people: what a file holds and what stands in the vault. Counts, row numbers and names of columns only."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import show
from cleanroom.terminal.reasons import kind, reason


def doctor_shown(console: Console, result: dict[str, Any]) -> None:
    """Mapping, funnel, advice."""
    title = t("Columns of {source}", source=result["source"])
    if result["preset"]:
        title += " · " + t("recognised as {preset}", preset=result["preset"])
    columns = [(column["header"], column["name"], kind(column["kind"])) for column in result["columns"]]
    show.table(console, title, (t("column"), t("taken as"), t("kind")), columns)
    for note in result["notes"]:
        show.line(console, note)
    _funnels(console, result["funnel"])
    if result["advice"]:
        console.print(t("What to do"), style="bold")
    for advice in result["advice"]:
        show.line(console, advice)


def added_shown(console: Console, result: dict[str, Any]) -> None:
    """What was imported, and what was lost on the way."""
    _funnels(console, result["funnel"])
    figures = {"name": result["dataset"], "version": result["version"], "rows": f"{result['rows']:,}"}
    show.line(console, t("Dataset {name}, version {version}: {rows} persons, encrypted.", **figures))
    for why, count in result.get("events_left_out", {}).items():
        show.line(console, t("{count} events were left out: {reason}.", count=f"{count:,}", reason=t(why)))
    if result["forgotten"]:
        show.line(console, t("{count} rows of forgotten persons were left out.", count=result["forgotten"]))
    show.fact(console, t("Home"), result["home"])


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A dataset a line."""
    if not result["datasets"]:
        show.line(console, t("No datasets yet. Add one: {command}", command="cleanroom data add FILE --name NAME"))
        return
    rows = [
        (each["name"], each["version"], each["rows"], _identities(each), each["created"][:10],
         ", ".join(f"{column['name']} ({kind(column['kind'])})" for column in each["columns"]))
        for each in result["datasets"]
    ]  # fmt: skip
    titles = (t("dataset"), t("version"), t("persons"), t("matched by"), t("added"), t("columns"))
    show.table(console, t("Datasets of {party}", party=t(result["party"])), titles, rows)


def placed_shown(console: Console, result: dict[str, Any]) -> None:
    """Where it stands, and what that asks of whoever runs it."""
    console.print(t("The datasets of this home will stand at {place}, each in {partitions} partitions.", **result))
    console.print(t("A backup of the home does not hold them: let the store keep versions or copies of its own."))


def forgotten_shown(console: Console, result: dict[str, Any]) -> None:
    """How many were named, and how many rows went."""
    show.line(console, t("{count} persons are forgotten, now and at every later import.", count=result["persons"]))
    if result["form"] != "raw":
        show.line(console, t("The list is hashed: data written in another way can still hold them. Name them raw."))
    if result["shared"]:
        text = t(
            "{count} other identities in their rows were left alone: too many share each of them, as a placeholder. "
            "Name those themselves to forget everybody who has one.",
            count=result["shared"],
        )
        show.line(console, text)
    rows = list(result["datasets"].items())
    if rows:
        show.table(console, t("Rows removed"), (t("dataset"), t("rows")), rows)
    else:
        show.line(console, t("No dataset held a row of them."))
    if result["losses"]:
        lost = [(reason(name), count) for name, count in result["losses"].items()]
        show.table(console, t("Rows of the list that name nobody"), (t("reason"), t("rows")), lost)


def _identities(dataset: dict[str, Any]) -> str:
    """The profile, or of several identities each with its own, in the order in which they are tried."""
    if not dataset["also"]:
        return str(dataset["profile"])
    return "\n".join(f"{t(one['identity'])} ({one['profile']})" for one in (dataset, *dataset["also"]))


def _funnels(console: Console, funnel: dict[str, Any]) -> None:
    """Every row stands in exactly one place; and where there are several identities, each by itself."""
    rows: list[tuple[str, Any, str]] = [
        (t("rows read"), funnel["rows"], ""),
        (t("with an identity"), funnel["present"], ""),
        (t("usable"), funnel["valid"], ""),
        (t("persons"), funnel["unique"], ""),
    ]
    if funnel["merged"]:
        rows.append((t("another row of the same person"), funnel["merged"], ""))
    rows += _lost(funnel)
    for name, count in funnel["unparsed"].items():
        if count:
            text = t("unreadable values of {column}", column=name)
            rows.append((text, count, _examples(funnel, f"unparsed:{name}", count)))
    _table(console, t("Rows"), rows + _repaired(funnel))
    for each in funnel.get("kinds", ()):
        own = [(t("with an identity"), each["present"], ""), (t("usable"), each["valid"], "")]
        _table(console, t("Rows by {identity} alone", identity=t(each["kind"])), own + _lost(each) + _repaired(each))


def _table(console: Console, title: str, rows: list[tuple[str, Any, str]]) -> None:
    show.table(console, title, ("", t("rows"), t("row numbers")), rows)


def _lost(funnel: dict[str, Any]) -> list[tuple[str, Any, str]]:
    losses = funnel["losses"].items()
    return [(t("lost: {reason}", reason=reason(name)), count, _examples(funnel, name, count)) for name, count in losses]


def _repaired(funnel: dict[str, Any]) -> list[tuple[str, Any, str]]:
    return [(t("repaired: {reason}", reason=reason(name)), count, "") for name, count in funnel["repairs"].items()]


def _examples(funnel: dict[str, Any], name: str, count: int) -> str:
    shown = funnel["examples"].get(name, ())
    return ", ".join(map(str, shown)) + (" …" if count > len(shown) else "")
