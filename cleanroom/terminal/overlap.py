"""`overlap`, `demo` and `checkup` for people: what was read, what came out, who learned what."""

from typing import Any

from rich.console import Console

from cleanroom.lang import t
from cleanroom.ledger.computed import by_cluster
from cleanroom.privacy.ranges import Range
from cleanroom.terminal import show
from cleanroom.terminal.reasons import reason

MINOR_CELLS = ("other", "unknown")
"""Labels that are ours, not the data's (cleanroom.rooms.draft)."""
OWNERS = ("merchant", "platform")
_SIDES = ("left", "right")


def shown(console: Console, result: dict[str, Any]) -> None:
    """The whole account of one overlap."""
    _rows(console, result)
    _identities(console, result["on"])
    _protocol(console, result)
    _size(console, result)
    _segments(console, result)
    _learned(console, result["learned"])
    _record(console, result)


def demo_shown(console: Console, result: dict[str, Any]) -> None:
    """The demo's rooms, where its report is, and what to try next."""
    rows = [
        (name, each["protocol"], _people(each["overlap"]), len(each["segments"] or ()), each["seconds"])
        for name, each in result["results"].items()
    ]
    titles = (t("room"), t("protocol"), t("overlap in persons"), t("groups released"), t("seconds"))
    show.table(console, t("Rooms, on sample data as of {day}", day=result["as_of"]), titles, rows)
    show.line(console, t("All persons are made up. Noise is off in these rooms."))
    show.fact(console, t("Home"), result["home"])
    show.fact(console, t("Report"), result["report"])
    show.fact(console, t("Customer checkup"), result["checkup"])
    command = f"cleanroom room show {next(iter(result['rooms']))} --home {result['home']}"
    show.line(console, t("Next: {command}", command=command))


def checkup_shown(console: Console, result: dict[str, Any]) -> None:
    """The figures at a glance; all of them stand in the report."""
    show.table(console, t("Customer checkup"), (t("figure"), t("value")), [
        (t("rows"), result["rows"]), (t("rows used"), result["used"]), (t("customers"), result["customers"]),
        (t("payers"), result["payers"]), *_figures(result),
    ])  # fmt: skip
    if result["losses"]:
        show.table(console, t("Rows not used"), (t("reason"), t("rows")),
                   [(reason(name), count) for name, count in result["losses"].items()])  # fmt: skip
    for text in result["missing"]:
        show.line(console, t(text))
    show.fact(console, t("As of"), result["as_of"])
    show.fact(console, t("Report"), result["report"])


def _figures(result: dict[str, Any]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    if result["money"] is not None:
        found.append((t("net money"), result["money"] / 100))
    if result["repeat"] is not None:
        found.append((t("repeat rate"), f"{result['repeat']['rate']:.1%}"))
    if result["lapsed"] is not None:
        found.append((t("lapsed payers"), result["lapsed"]["lapsed"]))
    if result["forecast"] is not None:
        text = t("repurchases expected in {days} days", days=result["forecast"]["days"])
        found.append((text, round(result["forecast"]["purchases"])))
    return found


def _rows(console: Console, result: dict[str, Any]) -> None:
    """Both funnels, every loss by name."""
    left, right = (result[side] for side in _SIDES)
    stages = (("rows", t("rows read")), ("present", t("with an identity")), ("valid", t("usable")),
              ("unique", t("persons")))  # fmt: skip
    rows: list[tuple[Any, ...]] = [(text, left[key], right[key]) for key, text in stages]
    rows.append((t("another row of the same person"), left["valid"] - left["unique"], right["valid"] - right["unique"]))
    losses = dict.fromkeys((*left["losses"], *right["losses"]))
    rows += [
        (t("lost: {reason}", reason=reason(name)), left["losses"].get(name, 0), right["losses"].get(name, 0))
        for name in losses
    ]
    unparsed = [result["unparsed"][side] for side in _SIDES]
    for name in dict.fromkeys((*unparsed[0], *unparsed[1])):
        counts = [side.get(name, 0) for side in unparsed]
        if any(counts):
            rows.append((t("unreadable values of {column}", column=name), *counts))
    show.table(console, t("Rows"), ("", t("merchant"), t("platform")), rows)


def _identities(console: Console, kinds: list[str]) -> None:
    """Where there are several: a person counts once, by the first that hits."""
    if len(kinds) > 1:
        show.fact(console, t("Matched by"), t("{kinds}, a person once, by the first that hits",
                                              kinds=", ".join(map(t, kinds))))  # fmt: skip


def _protocol(console: Console, result: dict[str, Any]) -> None:
    text = str(result["protocol"])
    if result["why"]:
        why = dict(result["why"])
        text += " · " + t(why.pop("template"), **why)
    show.fact(console, t("Protocol"), text)


def _size(console: Console, result: dict[str, Any]) -> None:
    """Exact where the contract gives the receiver its members; a range for everybody else."""
    size = result["overlap"]
    if size["value"] is None:
        show.fact(console, t("Overlap"), t("{range} persons", range=_range(size)))
        return
    exact = t("{count} persons (exact: the receiver learns its members)", count=f"{size['value']:,}")
    show.fact(console, t("Overlap"), exact)
    show.fact(console, t("The other side sees"), t("{range} persons", range=_range(size)))


def _people(size: dict[str, Any]) -> Any:
    return _range(size) if size["value"] is None else size["value"]


def _range(size: dict[str, Any]) -> str:
    low, high = size["range"]
    return Range(low, high, size["withheld"]).text()


def _segments(console: Console, result: dict[str, Any]) -> None:
    """Released groups only; labels are the contract's."""
    segments = result["segments"]
    if segments:
        names = list(segments[0])
        show.table(console, t("Segments"), [_title(name) for name in names],
                   [tuple(_label(segment[name]) for name in names) for segment in segments])  # fmt: skip
    rules_shown(console, result["k"], result["noise"])


def rules_shown(console: Console, k: int, noise: Any) -> None:
    """By which rules the numbers left; noise: 'off', or how much is in them."""
    if noise == "off":
        show.line(console, t("Noise off: numbers are exact. Groups under {k} persons are withheld.", k=k))
        return
    text = t("Noise on: numbers of persons are within ± {width} in 95 of 100 cases. Groups are shown from {least} on; "
             "others may be withheld.", width=noise["people"], least=noise["least"])  # fmt: skip
    show.line(console, text)
    for name, width in noise["sums"].items():
        show.line(console, t("Sums of {column} are within ± {width}.", column=name, width=f"{width:,.2f}"))


def _title(name: str) -> str:
    if name.endswith("_average"):
        return t("{name}, average", name=name.removesuffix("_average"))
    return t("persons") if name == "people" else name


def _label(value: Any) -> Any:
    return t(value) if value in MINOR_CELLS else value


def _learned(console: Console, learned: dict[str, Any]) -> None:
    rows = [
        (t(party) if place == 0 else "", t(each["template"], **_named(each["params"])))
        for party, found in sorted(learned.items(), key=lambda item: (item[0] not in OWNERS, item[0]))
        for place, each in enumerate(found)
    ]
    show.table(console, t("Who learned what"), (t("party"), t("learned")), rows)


def _named(params: dict[str, Any]) -> dict[str, Any]:
    named = {name: f"{value:,}" if isinstance(value, int) else value for name, value in params.items()}
    return {**named, "party": t(str(params["party"]))} if "party" in params else named


def _record(console: Console, result: dict[str, Any]) -> None:
    show.fact(console, t("Receipt"), result["receipt"]["digest"])
    if by_cluster(result["receipt"]["isolation"]):
        show.computed(console, result["receipt"]["isolation"])
    if result["members"]:
        count = f"{result['members']['rows']:,}"
        show.fact(console, t("Members"), t("{count} rows in {path}", count=count, path=result["members"]["path"]))
    figures = {"seconds": f"{result['seconds']:.1f}", "megabytes": f"{result['wire_bytes'] / 1e6:,.1f}"}
    show.fact(console, t("Took"), t("{seconds} s, {megabytes} MB between the parties", **figures))
