"""`crowd` for people: crowds, their rules as understood, their sizes as ranges; and rules as options name them."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from cleanroom import lang, private_files
from cleanroom.crowds import guards, reading, rule, spreading
from cleanroom.crowds.channels import CHANNELS
from cleanroom.crowds.crowd import STATUSES, TASKS, Crowd
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.rule import Node, Other, Pool, Rule, Tags, Uploaded
from cleanroom.crowds.running import price
from cleanroom.crowds.telling import meant
from cleanroom.errors import KNOWN, UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.querying import opened
from cleanroom.terminal import show

_MOST_RULE = 1 << 20


def rule_of(file: Path | None, where: Sequence[str] | None, also: Sequence[str] | None,
            within: Sequence[str] | None, without: Sequence[str] | None) -> Rule:  # fmt: skip
    """The rule that options or a file say. Raises UsageError where both or neither do."""
    told = [*(where or ()), *(also or ()), *(within or ()), *(without or ())]
    if (file is not None) == bool(told):
        raise UsageError("Say whom you mean by --where, --in and the like, or by --rule.")
    if file is not None:
        return rule.from_text(private_files.read(file, _MOST_RULE).decode("utf-8", "replace"))
    needed: list[Node] = [*map(Tags, also or ()), *map(Other, within or ())]
    pools = [Pool(tuple(map(Tags, where)))] if where else []
    if needed:
        pools.append(Pool(tuple(needed), "intersection", "intersection" if pools else "union"))
    made = Rule(tuple(pools) or (Pool((Tags(""),)),))
    return made.without(tuple(map(Other, without or ())))


def identity_of(path: Path, room: str) -> str:
    """What the room matches this party's people by."""
    home, held = opened(path, room)
    return held.contract.dataset_of(home.party).identity


def day_of(text: str) -> dt.date:
    """Raises UsageError."""
    try:
        return dt.date.fromisoformat(text)
    except ValueError as error:
        raise UsageError("{text} is no day.", "Write it like 2026-11-21.", text=text[:32]) from error


def understood(path: Path, crowd: Crowd) -> list[dict[str, list[str]]]:
    """How the rule is understood now; nothing where it cannot be any more, as of an archived crowd."""
    try:
        return meant(path, crowd.room, crowd.rule)
    except KNOWN:
        return []


def failure(path: Path, crowd: Crowd) -> str:
    """Why a lookalike could not be made."""
    return spreading.failure(Home.open(path.expanduser()), crowd)


def guard_of(path: Path, room: str, without: Sequence[str], lists: Sequence[str], where: Sequence[str],
             holdout: int | None, *, clear: bool) -> dict[str, Any]:  # fmt: skip
    """The room's guard, changed before where anything is said."""
    nodes: list[Node] = [*map(Other, without), *map(Uploaded, lists), *map(Tags, where)]
    held = guards.guard(path, room)
    if nodes or holdout is not None or clear:
        home, opened_room = opened(path, room)
        own = Lists(home)
        meaning = reading.meaning(home, opened_room, lambda code: own.head(code).code)
        kept = () if clear else held.nodes
        share = holdout if holdout is not None else 0 if clear else held.holdout
        held = guards.set_guard(path, room, tuple(dict.fromkeys([*kept, *nodes])), share, meaning)
    return {"room": room, "without": [each.plain() for each in held.nodes], "holdout": held.holdout}


def watched(progress: Progress) -> Meeting:
    """The usual meeting of parties, whose steps are told."""
    return lambda home, contract, names, _: usual(home, contract, names, progress)


def price_of_giving(path: Path, crowd: Crowd) -> dict[str, Any]:
    """What activating it costs: a run; nothing for a lookalike, which was given when it was made."""
    free = crowd.kind == "spread"
    return (
        {"free": True, "given": True, "rho_micro": 0}
        if free
        else {"free": False, **price(path.expanduser(), crowd.room)}
    )


def crowd_shown(console: Console, result: dict[str, Any]) -> None:
    """A crowd."""
    show.fact(console, t("Crowd"), f"{result['name']}  {result['code']}")
    show.fact(console, t("Room"), result["room"])
    show.fact(console, t("Status"), _word(STATUSES, result["status"]))
    _understood(console, result.get("understood") or ())
    if result["channels"]:
        show.fact(console, t("Channels"), ", ".join(_word(CHANNELS, each) for each in result["channels"]))
    show.fact(console, t("Last day"), result["ends"])
    if result["size"] is not None:
        show.fact(console, t("Size"), _size(result["size"]))
    if "funnel" in result:
        _funnel(console, result["funnel"])
    if result.get("failure"):
        show.line(console, result["failure"], "✗")
    if result.get("tasks"):
        rows = [(each["version"], _word(CHANNELS, each["channel"]), each["purpose"], _word(TASKS, each["status"]))
                for each in result["tasks"]]  # fmt: skip
        show.table(console, t("Activations"), (t("day"), t("channel"), t("purpose"), t("status")), rows)


def changed_shown(console: Console, result: dict[str, Any]) -> None:
    """People came or went."""
    show.fact(console, t("Crowd"), f"{result['name']}  {result['code']}")
    _funnel(console, result["funnel"])
    show.line(console, t("They gather into the next version; one that is frozen stays as it is."))


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A page of crowds."""
    rows = [(each["code"], each["name"], each["room"], _word(STATUSES, each["status"]),
             each["size"]["text"] if each["size"] else "", each["ends"]) for each in result["crowds"]]  # fmt: skip
    titles = (t("code"), t("Crowd"), t("Room"), t("status"), t("size"), t("last day"))
    show.table(console, t("Crowds, {count} in all", count=result["total"]), titles, rows)


def estimate_shown(console: Console, result: dict[str, Any]) -> None:
    """A range, or a price."""
    _understood(console, result["understood"])
    if result["size"] is not None:
        show.fact(console, t("Size"), _size(result["size"]))
        return
    priced(console, result["price"])


def priced(console: Console, price: dict[str, Any]) -> None:
    """What a number costs."""
    if price["free"]:
        given = t("It was given when it was made, and charged then.")
        show.line(console, given if price.get("given") else t("The room's plan tells: it costs nothing."))
        return
    told = {"cost": f"{price['rho_micro'] / 1e6:g}", "left": f"{price['left_rho_micro'] / 1e6:g}"}
    show.fact(console, t("Price"), t("ρ {cost}; ρ {left} are left this month", **told))


def spread_priced(console: Console, price: dict[str, Any]) -> None:
    """What a lookalike costs, and its gain."""
    priced(console, {**price, "free": False})
    show.fact(console, t("Its gain, where it is wanted"), f"ρ {price['gain_rho_micro'] / 1e6:g}")


def spread_shown(console: Console, result: dict[str, Any]) -> None:
    """A lookalike, and what comes next."""
    crowd_shown(console, result)
    show.line(console, t("How like its seed it is: {command}", command=f"cleanroom crowd gain {result['code']}"))


def version_shown(console: Console, result: dict[str, Any]) -> None:
    """One version."""
    show.fact(console, t("Version"), result["day"])
    show.fact(console, t("Size"), _size(result["size"]))


def history_shown(console: Console, result: dict[str, Any]) -> None:
    """All versions."""
    rows = [(each["day"], _size(each["size"])) for each in result["versions"]]
    show.table(console, result["code"], (t("day"), t("size")), rows)


def diff_shown(console: Console, result: dict[str, Any]) -> None:
    """Two versions."""
    for side in (result["before"], result["after"]):
        show.fact(console, side["day"], _size(side["size"]))
    show.line(console, _change(result["direction"], result["by"]["text"] if result["by"] else ""))
    rows = [(each["list"], each["came"], each["went"]) for each in result["lists"]]
    if rows:
        show.table(console, t("Your own lists, exactly"), (t("list"), t("came"), t("went")), rows)


def task_shown(console: Console, result: dict[str, Any]) -> None:
    """One activation."""
    show.fact(console, t("Activation"), result["number"])
    show.fact(console, t("Crowd"), f"{result['crowd']}  {result['version']}")
    show.fact(console, t("Channel"), _word(CHANNELS, result["channel"]))
    show.fact(console, t("Status"), _word(TASKS, result["status"]))
    if result["size"] is not None:
        show.fact(console, t("Size"), _size(result["size"]))


def risk_shown(console: Console, result: dict[str, Any]) -> None:
    """A grey or black list."""
    show.fact(console, t("List"), f"{result['name']}  {result['list']}")
    _funnel(console, result["funnel"])


def lists_shown(console: Console, result: dict[str, Any]) -> None:
    """All lists."""
    rows = [(each["code"], each["name"], each["kind"], each["identity"], each["days"][-1] if each["days"] else "",
             each["waiting"]) for each in result["lists"]]  # fmt: skip
    titles = (t("code"), t("List"), t("kind"), t("identity"), t("newest version"), t("waiting changes"))
    show.table(console, t("Lists"), titles, rows)


def guard_shown(console: Console, result: dict[str, Any]) -> None:
    """What activations leave out."""
    show.fact(console, t("Room"), result["room"])
    for each in result["without"]:
        show.line(console, t("without {what}", what=" ".join(filter(None, each))))
    show.fact(console, t("Held out of everything"), t("{count} of 1,000 people", count=result["holdout"]))


def channels_shown(console: Console, result: dict[str, Any]) -> None:
    """All channels."""
    rows = [(each["name"], each["zh"], each["en"]) for each in result["channels"]]
    show.table(console, t("Channels"), (t("Channel"), "中文", "English"), rows)


def _understood(console: Console, boxes: Sequence[dict[str, list[str]]]) -> None:
    for box in boxes:
        sides = [f"{name}: {', '.join(labels)}" for name, labels in box.items()]
        show.line(console, " · ".join(sides) or t("everybody"), "∪")


def _size(size: dict[str, Any]) -> str:
    if size["below_floor"]:
        return t("{text}: below the floor, no size is told", text=size["text"])
    if size["source"] == "run":
        source = t("counted, with noise")
    elif size["estimated"]:
        source = t("estimated from the plan of {day}", day=size["made"])
    else:
        source = t("from the plan of {day}", day=size["made"])
    return f"{size['text']} ({source})"


def _change(direction: str, by: str) -> str:
    if direction == "more":
        return t("More people, by {range}.", range=by)
    if direction == "fewer":
        return t("Fewer people, by {range}.", range=by)
    if direction == "alike":
        return t("No change that noise does not explain.")
    return t("The two sizes do not tell how much changed.")


def _funnel(console: Console, funnel: dict[str, Any]) -> None:
    show.fact(console, t("Taken from the file"), t("{count} persons", count=f"{funnel['unique']:,}"))


def _word(words: Any, name: str) -> str:
    """The Chinese or the English title of a fixed word."""
    titles = words.get(name, (name, name))
    return str(titles[0 if lang.current() == "zh" else 1])
