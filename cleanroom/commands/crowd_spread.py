"""The commands `cleanroom crowd spread|gain`: lookalikes and how good they are. Parse, call, render; nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new()

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")]
CodeArgument = Annotated[str, typer.Argument(help="The crowd's code.")]


@terminal.command(
    app, "spread", "A new crowd of people like another's (lookalike), chosen by whoever addresses them; charged.",
    "cleanroom crowd spread spring \"like gold\" C1… --count 50000 --dry-run",
)  # fmt: skip
def crowd_spread(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    name: Annotated[str, typer.Argument(help="What people call it.")],
    seed: Annotated[str, typer.Argument(help="The code of the crowd that they are to be like.")],
    count: Annotated[int, typer.Option(help="How many people.")],
    include: Annotated[bool, typer.Option("--include-seed", help="The seed's people too.")] = False,
    channel: Annotated[
        list[str] | None,
        typer.Option("--channel", help="Where it may be used; otherwise wherever the contract allows."),
    ] = None,
    dry_run: DryRun = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Ask for it."""
    from cleanroom.crowds import desk, lookalike_asking, telling
    from cleanroom.terminal import crowds as shown

    if dry_run:
        price = lookalike_asking.price(home, room)
        show.result({"room": room, "price": price}, json, lambda console: shown.spread_priced(console, price))
        return
    with show.progress(json) as progress:
        made = desk.spread(home, room, name, seed, count, include, channel or (), meeting=shown.watched(progress))
    result = telling.crowd(made)
    show.result(result, json, lambda console: shown.spread_shown(console, result))


@terminal.command(
    app, "gain", "How like its seed a lookalike is, by tenths of the users: charged once, free ever after.",
    "cleanroom crowd gain C1… --chart gain.svg",
)  # fmt: skip
def crowd_gain(
    code: CodeArgument,
    chart: Annotated[Path | None, typer.Option(help="Write a picture here, as SVG.")] = None,
    dry_run: DryRun = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Count it on the part of the seed that was held out."""
    from cleanroom.terminal import crowd_gain as shown

    with show.progress(json) as progress:
        result = shown.gain_of(home, code, chart, progress, dry_run=dry_run)
    show.result(result, json, lambda console: shown.gain_shown(console, result))
