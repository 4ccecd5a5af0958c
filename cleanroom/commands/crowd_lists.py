"""The commands `cleanroom crowd risk|lists|guard|channels`: lists, and what every activation leaves out.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new()

NameArgument = Annotated[str, typer.Argument(help="What people call it.")]
RoomArgument = Annotated[str, typer.Argument(help="The room's name.")]
FileArgument = Annotated[str, typer.Argument(help="A file with an identity a row.")]
Without = Annotated[list[str] | None, typer.Option(help="The code of a crowd whose people are left out.")]


@terminal.command(
    app, "risk", "A new grey or black list; nobody of a black list is ever addressed.",
    "cleanroom crowd risk \"disputes\" disputes.csv --black --tag DISPUTE --until 2027-06-30",
)  # fmt: skip
def crowd_risk(
    name: NameArgument,
    file: FileArgument,
    on: Annotated[str, typer.Option("--on", help="The identity: phone, email, openid or device.")] = "phone",
    black: Annotated[bool, typer.Option("--black", help="Leave its people out of every activation.")] = False,
    tag: Annotated[list[str] | None, typer.Option(help="FRAUD, DISPUTE, OVERDUE or OTHER.")] = None,
    until: Annotated[str | None, typer.Option(help="Their last day in it, as 2027-06-30.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Seal it."""
    from cleanroom.crowds import desk, uploading
    from cleanroom.terminal import crowds as shown

    digests, funnel = uploading.anybody_of(home, file, on)
    code = desk.risk(
        home, name, digests, black=black, tags=tag or (), until=shown.day_of(until) if until else None, identity=on
    )
    result = {"list": code, "name": name, "kind": "black" if black else "grey", "funnel": funnel}
    show.result(result, json, lambda console: shown.risk_shown(console, result))


@terminal.command(app, "lists", "The lists that this home holds, without anybody in them.", "cleanroom crowd lists")
def crowd_lists(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show them."""
    from cleanroom.crowds import telling
    from cleanroom.crowds.lists import Lists
    from cleanroom.home import Home
    from cleanroom.terminal import crowds as shown

    result = {"lists": [telling.listed(each) for each in Lists(Home.open(home.expanduser())).names()]}
    show.result(result, json, lambda console: shown.lists_shown(console, result))


@terminal.command(
    app, "guard", "What every activation of a room leaves out, beside black lists.",
    "cleanroom crowd guard spring --without C… --where \"exposures_30d >= 8\" --holdout 50",
)  # fmt: skip
def crowd_guard(
    room: RoomArgument,
    without: Without = None,
    lists: Annotated[list[str] | None, typer.Option("--list", help="The code of a list, as of a grey one.")] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="A condition as SQL, as of people who were reached too often.")
    ] = None,
    holdout: Annotated[int | None, typer.Option(help="Of 1,000 people so many whom nothing ever addresses.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Leave nobody out any more but black lists.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Set it, or show it."""
    from cleanroom.terminal import crowds as shown

    result = shown.guard_of(home, room, without or (), lists or (), where or (), holdout, clear=clear)
    show.result(result, json, lambda console: shown.guard_shown(console, result))


@terminal.command(app, "channels", "The channels that there are.", "cleanroom crowd channels")
def crowd_channels(json: Json = False) -> None:
    """Show them."""
    from cleanroom.crowds.channels import CHANNELS
    from cleanroom.terminal import crowds as shown

    result = {"channels": [{"name": name, "zh": zh, "en": en} for name, (zh, en) in CHANNELS.items()]}
    show.result(result, json, lambda console: shown.channels_shown(console, result))
