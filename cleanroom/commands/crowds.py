"""The commands `cleanroom crowd`: audiences by rule, upload and combination.

Parse, call, render, exit code; nothing else.
"""

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cleanroom.commands import crowd_lists, crowd_spread  # noqa: TID251 - parts of the same group of commands
from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Crowds: audiences by rule, by upload and by combination; their sizes are ranges.")
app.add_typer(crowd_spread.app)
app.add_typer(crowd_lists.app)


class Operation(StrEnum):
    """How crowds are taken together."""

    union = "union"
    intersection = "intersection"
    difference = "difference"


RoomArgument = Annotated[str, typer.Argument(help="The room's name.")]
NameArgument = Annotated[str, typer.Argument(help="What people call it.")]
CodeArgument = Annotated[str, typer.Argument(help="The crowd's code.")]
FileArgument = Annotated[str, typer.Argument(help="A file with an identity a row.")]
Where = Annotated[list[str] | None, typer.Option(help="A condition as SQL has it after WHERE; several are united.")]
And = Annotated[list[str] | None, typer.Option("--and", help="A condition that must hold as well.")]
InList = Annotated[list[str] | None, typer.Option("--in", help="The code of a crowd that people must be in.")]
Without = Annotated[list[str] | None, typer.Option(help="The code of a crowd whose people are left out.")]
RuleFile = Annotated[Path | None, typer.Option("--rule", help="A rule as JSON, instead of conditions.")]
Channels = Annotated[
    list[str] | None, typer.Option("--channel", help="Where it may be used; otherwise wherever the contract allows.")
]
External = Annotated[str, typer.Option(help="Your own code: the same again gives the same crowd.")]
Days = Annotated[int, typer.Option(help="Days until it expires.")]
DayOption = Annotated[str | None, typer.Option("--day", help="The day, as 2026-11-21; otherwise yesterday.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")]
Charge = Annotated[bool, typer.Option("--charge", help="Count it for a part of the budget, where no plan tells.")]
On = Annotated[str, typer.Option("--on", help="The identity: phone, email, openid or device; otherwise the room's.")]


@terminal.command(
    app, "create", "A new crowd by rule; nothing is counted yet.",
    "cleanroom crowd create spring \"gold, lapsed\" --where \"level = 'gold'\" --and \"stage_30d = 'none'\"",
)  # fmt: skip
def crowd_create(
    room: RoomArgument,
    name: NameArgument,
    where: Where = None,
    also: And = None,
    within: InList = None,
    without: Without = None,
    rule: RuleFile = None,
    channel: Channels = None,
    external: External = "",
    hidden: Annotated[bool, typer.Option("--hidden", help="Leave it out of lists.")] = False,
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    days: Days = 90,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Check the rule and keep it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    wanted = shown.rule_of(rule, where, also, within, without)
    made = desk.create(home, room, name, rule=wanted, channels=channel or (), external=external, hidden=hidden,
                       description=description, days=days)  # fmt: skip
    result = {**telling.crowd(made), "understood": telling.meant(home, room, made.rule)}
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


@terminal.command(
    app, "upload", "A new crowd of the people in a file. The list is sealed here, and never shown again.",
    "cleanroom crowd upload spring leads leads.csv --on phone",
)  # fmt: skip
def crowd_upload(
    room: RoomArgument,
    name: NameArgument,
    file: FileArgument,
    on: On = "",
    channel: Channels = None,
    external: External = "",
    days: Days = 90,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it, seal it."""
    from cleanroom.crowds import desk, telling, uploading
    from cleanroom.terminal import crowds as shown

    digests, funnel = uploading.digests_of(home, room, file, on)
    made = desk.create(home, room, name, digests=digests, identity=on or shown.identity_of(home, room),
                       channels=channel or (), external=external, days=days)  # fmt: skip
    result = {**telling.crowd(made), "funnel": funnel}
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


def _changed(home: Path, code: str, file: str, on: str, json: bool, *, more: bool) -> None:
    from cleanroom.crowds import desk, telling, uploading
    from cleanroom.terminal import crowds as shown

    crowd = desk.get(home, code)
    digests, funnel = uploading.digests_of(home, crowd.room, file, on)
    (desk.add if more else desk.remove)(home, code, digests)
    result = {**telling.crowd(crowd), "funnel": funnel}
    show.result(result, json, lambda console: shown.changed_shown(console, result))


@terminal.command(
    app, "add", "More people for an uploaded crowd, from its next version on.", "cleanroom crowd add C… more.csv"
)
def crowd_add(code: CodeArgument, file: FileArgument, on: On = "", home: HomeOption = DEFAULT_HOME,
              json: Json = False) -> None:  # fmt: skip
    """Gather them."""
    _changed(home, code, file, on, json, more=True)


@terminal.command(
    app, "remove", "Fewer people for an uploaded crowd, from its next version on.", "cleanroom crowd remove C… gone.csv"
)
def crowd_remove(code: CodeArgument, file: FileArgument, on: On = "", home: HomeOption = DEFAULT_HOME,
                 json: Json = False) -> None:  # fmt: skip
    """Gather them."""
    _changed(home, code, file, on, json, more=False)


@terminal.command(
    app, "pool", "A new crowd of others: union, intersection, or difference (the first without all others).",
    "cleanroom crowd pool spring \"gold or paid\" C1… C2… --operation union",
)  # fmt: skip
def crowd_pool(
    room: RoomArgument,
    name: NameArgument,
    codes: Annotated[list[str], typer.Argument(help="Codes of two or more crowds.")],
    operation: Annotated[Operation, typer.Option(help="How they are taken together.")] = Operation.union,
    channel: Channels = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Combine them."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    made = desk.pool(home, room, name, codes, operation.value, channel or ())
    result = {**telling.crowd(made), "understood": telling.meant(home, room, made.rule)}
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


@terminal.command(app, "list", "The crowds of this home, the newest first.", "cleanroom crowd list --name gold")
def crowd_list(
    name: Annotated[str, typer.Option(help="Only those with this in their name.")] = "",
    room: Annotated[str, typer.Option(help="Only those of this room.")] = "",
    page: Annotated[int, typer.Option(help="The page, from 1.")] = 1,
    size: Annotated[int, typer.Option(help="Crowds a page.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Hidden and archived ones too.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show a page."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    found, total = desk.listed(home, name, page, size, room=room, hidden=everything, archived=everything)
    result = {"crowds": [telling.crowd(each) for each in found], "total": total, "page": page}
    show.result(result, json, lambda console: shown.list_shown(console, result))


@terminal.command(app, "show", "A crowd: its rule, status, channels, size and activations.", "cleanroom crowd show C…")
def crowd_show(code: CodeArgument, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    found = desk.get(home, code)
    tasks = [telling.task(each) for each in found.tasks]
    meant = [] if found.kind == "spread" else shown.understood(home, found)
    result = {**telling.crowd(found), "understood": meant, "tasks": tasks, "failure": shown.failure(home, found)}
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


@terminal.command(
    app, "estimate", "How many people a rule means, as a range: from the room's plan for nothing, where it can tell.",
    "cleanroom crowd estimate spring --where \"level = 'gold' AND stage_30d = 'pay'\"",
)  # fmt: skip
def crowd_estimate(
    room: RoomArgument,
    where: Where = None,
    also: And = None,
    within: InList = None,
    without: Without = None,
    rule: RuleFile = None,
    charge: Charge = False,
    dry_run: DryRun = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it, or count it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    wanted = shown.rule_of(rule, where, also, within, without)
    with show.progress(json) as progress:
        meeting = shown.watched(progress)
        found = None if dry_run else desk.estimate(home, room, wanted, charge=charge, meeting=meeting)
    price = desk.price(home, room, wanted) if dry_run else None
    result = {
        "room": room, "rule": wanted.plain(), "understood": telling.meant(home, room, wanted),
        "size": telling.size(found), "price": price,
    }  # fmt: skip
    show.result(result, json, lambda console: shown.estimate_shown(console, result))


@terminal.command(
    app, "refresh", "The crowd's version of a day, frozen; the same day again changes nothing.",
    "cleanroom crowd refresh C… --charge",
)  # fmt: skip
def crowd_refresh(code: CodeArgument, day: DayOption = None, charge: Charge = False, dry_run: DryRun = False,
                  home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Make it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    if dry_run:
        crowd = desk.get(home, code)
        _priced(code, desk.price(home, crowd.room, crowd.rule), json)
        return
    with show.progress(json) as progress:
        made = desk.refresh(home, code, _day(day), charge=charge, meeting=shown.watched(progress))
    result = {"code": code, **telling.version(made)}
    show.result(result, json, lambda console: shown.version_shown(console, result))


@terminal.command(app, "history", "A crowd's versions, with their sizes as ranges.", "cleanroom crowd history C…")
def crowd_history(code: CodeArgument, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show them."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    result = {"code": code, "versions": [telling.version(each) for each in desk.history(home, code)]}
    show.result(result, json, lambda console: shown.history_shown(console, result))


@terminal.command(
    app, "diff", "Two versions of a crowd side by side, as ranges.", "cleanroom crowd diff C… 2026-11-20 2026-11-21"
)
def crowd_diff(
    code: CodeArgument,
    before: Annotated[str, typer.Argument(help="The day of the earlier version.")],
    after: Annotated[str, typer.Argument(help="The day of the later one.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Compare them."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    days = [each.replace("-", "") for each in (before, after)]
    result = {"code": code, **telling.difference(desk.diff(home, code, *days))}
    show.result(result, json, lambda console: shown.diff_shown(console, result))


@terminal.command(
    app, "activate", "Give a crowd to whoever addresses people, for one channel and purpose; charged.",
    "cleanroom crowd activate C… coupon --purpose \"spring campaign\"",
)  # fmt: skip
def crowd_activate(
    code: CodeArgument,
    channel: Annotated[str, typer.Argument(help="Where it is used: one of the contract's channels.")],
    purpose: Annotated[str, typer.Option(help="What for: one of the contract's purposes.")],
    number: Annotated[str, typer.Option(help="Your own number: the same again gives the same activation.")] = "",
    day: DayOption = None,
    dry_run: DryRun = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Give it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    if dry_run:
        _priced(code, shown.price_of_giving(home, desk.get(home, code)), json)
        return
    with show.progress(json) as progress:
        found = desk.activate(home, code, channel, purpose, out_no=number, day=_day(day),
                              meeting=shown.watched(progress))  # fmt: skip
    result = telling.task(found)
    show.result(result, json, lambda console: shown.task_shown(console, result))


@terminal.command(app, "task", "How an activation stands, by its number.", "cleanroom crowd task T…")
def crowd_task(
    number: Annotated[str, typer.Argument(help="Its number, or yours.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    result = telling.task(desk.task(home, number))
    show.result(result, json, lambda console: shown.task_shown(console, result))


@terminal.command(
    app, "modify", "Another name, other channels; what a crowd means never changes.",
    "cleanroom crowd modify C… --name \"gold, spring\" --channel coupon",
)  # fmt: skip
def crowd_modify(
    code: CodeArgument,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
    channel: Channels = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Change it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    result = telling.crowd(desk.modify(home, code, name, channel))
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


@terminal.command(
    app,
    "archive",
    "An end for a crowd; an uploaded list is removed with everybody in it.",
    "cleanroom crowd archive C…",
)
def crowd_archive(code: CodeArgument, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """End it."""
    from cleanroom.crowds import desk, telling
    from cleanroom.terminal import crowds as shown

    result = telling.crowd(desk.archive(home, code))
    show.result(result, json, lambda console: shown.crowd_shown(console, result))


def _priced(code: str, price: dict[str, Any], json: bool) -> None:
    from cleanroom.terminal import crowds as shown

    show.result({"code": code, "price": price}, json, lambda console: shown.priced(console, price))


def _day(text: str | None) -> dt.date | None:
    from cleanroom.terminal.crowds import day_of

    return None if text is None else day_of(text)
