"""The commands `cleanroom activation` and `cleanroom coupon`: what becomes of a crowd where people are addressed.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, AsOf, HomeOption, Json

app = terminal.new(help="Crowds where people are addressed: who is sent to a channel, and how far it has come.")
coupons = terminal.new(help="Coupons: their terms, and what came of them.")
Room = Annotated[str, typer.Argument(help="The room's name.")]
Code = Annotated[str, typer.Argument(help="The crowd's code.")]
Version = Annotated[str, typer.Option(help="Its version, as 20260131; otherwise the newest.")]
Channel = Annotated[str, typer.Option(help="The channel, where the version is for several.")]


@terminal.command(app, "list", "The versions of crowds that are kept here.", "cleanroom activation list spring")
def activation_list(room: Room, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.activation.desk import listed
    from cleanroom.terminal.activation import list_shown

    result = listed(home, room)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    app,
    "show",
    "A version of a crowd, and what its use discloses of each person.",
    "cleanroom activation show spring C1",
)
def activation_show(
    room: Room, code: Code, version: Version = "", home: HomeOption = DEFAULT_HOME, json: Json = False
) -> None:
    """Show it."""
    from cleanroom.activation.desk import shown
    from cleanroom.terminal.activation import version_shown

    result = shown(home, room, code, version)
    show.result(result, json, lambda console: version_shown(console, result))


@terminal.command(
    app, "send", "Push a crowd to its channel's server, in batches; again: go on where it stopped.",
    "cleanroom activation send spring C1 --channel message",
)  # fmt: skip
def activation_send(
    room: Room, code: Code, version: Version = "", channel: Channel = "", home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:  # fmt: skip
    """Send it."""
    from cleanroom.activation.desk import sent
    from cleanroom.terminal.activation import sent_shown

    with show.progress(json) as progress:
        result = sent(home, room, code, version=version, channel=channel, progress=progress)
    show.result(result, json, lambda console: sent_shown(console, result))


@terminal.command(
    app, "export", "Write whom a channel is to address to a file, .csv or .parquet; it counts as sent.",
    "cleanroom activation export spring C1 people.csv --channel coupon",
)  # fmt: skip
def activation_export(
    room: Room,
    code: Code,
    file: Annotated[Path, typer.Argument(help="A new file, .csv or .parquet.")],
    version: Version = "",
    channel: Channel = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.activation.desk import exported
    from cleanroom.terminal.activation import sent_shown

    result = exported(home, room, code, file, version=version, channel=channel)
    show.result(result, json, lambda console: sent_shown(console, result))


@terminal.command(app, "status", "How far each send of a room has come.", "cleanroom activation status spring --json")
def activation_status(room: Room, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.activation.desk import status
    from cleanroom.terminal.activation import status_shown

    result = status(home, room)
    show.result(result, json, lambda console: status_shown(console, result))


@terminal.command(
    app, "sweep", "Remove members of crowds whose last day is over; call it once a day.", "cleanroom activation sweep"
)
def activation_sweep(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Remove them."""
    from cleanroom.activation.desk import swept
    from cleanroom.terminal.activation import swept_shown

    result = swept(home)
    show.result(result, json, lambda console: swept_shown(console, result))


@terminal.command(
    coupons, "create", "Make a batch of coupons with frozen terms, or take one from its file.",
    "cleanroom coupon create SPRING20 --name 'Spring' --value 2000 --threshold 10000 --quantity 50000 "
    "--begins 2026-03-01 --ends 2026-03-31",
)  # fmt: skip
def coupon_create(
    code: Annotated[str, typer.Argument(help="Its code.")] = "",
    name: Annotated[str, typer.Option(help="Its name.")] = "",
    rule: Annotated[
        str, typer.Option(help="Whom it is for: a condition, or a crowd's code; otherwise everybody.")
    ] = "",
    value: Annotated[int, typer.Option(help="Its face value in cents.")] = 0,
    threshold: Annotated[int, typer.Option(help="The least order that it counts for, in cents.")] = 0,
    store: Annotated[list[str] | None, typer.Option(help="A store that takes it; may be given again.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="An H3 cell where it is shown; may be given again.")] = None,
    city: Annotated[str, typer.Option(help="The city where it is shown.")] = "",
    begins: Annotated[str, typer.Option(help="Its first day, as 2026-03-01.")] = "",
    ends: Annotated[str, typer.Option(help="Its last day.")] = "",
    quantity: Annotated[int, typer.Option(help="How many there are.")] = 0,
    file: Annotated[Path | None, typer.Option(help="A batch that the other side made, as JSON.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.activation.coupons import Batch
    from cleanroom.activation.desk import created, taken
    from cleanroom.terminal.activation import coupon_shown

    if file is not None:
        result = taken(home, file)
    else:
        result = created(home, Batch(code, name, rule, value, threshold, tuple(store or ()), tuple(cell or ()), city,
                                     begins, ends, quantity))  # fmt: skip
    show.result(result, json, lambda console: coupon_shown(console, result))


@terminal.command(coupons, "list", "All batches of coupons.", "cleanroom coupon list")
def coupon_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.activation.desk import coupons as every
    from cleanroom.terminal.activation import coupons_shown

    result = every(home)
    show.result(result, json, lambda console: coupons_shown(console, result))


@terminal.command(
    coupons, "show", "A batch of coupons, and what came of it by events of one's own.",
    "cleanroom coupon show SPRING20 --events coupon.parquet --as-of 2026-03-15",
)  # fmt: skip
def coupon_show(
    code: Annotated[str, typer.Argument(help="Its code.")],
    events: Annotated[str, typer.Option(help="Events of coupons: user, event, time, batch.")] = "",
    as_of: AsOf = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.activation.desk import coupon
    from cleanroom.terminal.activation import coupon_shown

    result = coupon(home, code, events, as_of)
    show.result(result, json, lambda console: coupon_shown(console, result))
