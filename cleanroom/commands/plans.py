"""The commands `cleanroom plan`: counts made once a period.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json, Period

app = terminal.new(help="Plans: all one- and two-way counts of a match, made once a period, read for nothing.")


@terminal.command(
    app, "make", "Make the room's plan of this week or month, unless there is one.", "cleanroom plan make spring"
)
def plan_make(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    period: Annotated[Period, typer.Option(help="weekly costs less a time, monthly is more exact.")] = Period.weekly,
    again: Annotated[bool, typer.Option("--again", help="Even if there is one; it is charged.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Charge it, make it, keep it."""
    from cleanroom.planning import make
    from cleanroom.terminal.plan import made_shown

    with show.progress(json) as progress:
        result = make(home, name, period.value, progress, dry_run=dry_run, again=again)
    show.result(result, json, lambda console: made_shown(console, result))


@terminal.command(app, "show", "The newest plan of a room, each column by its values.", "cleanroom plan show spring")
def plan_show(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it; reading is free."""
    from cleanroom.planning import show as shown
    from cleanroom.terminal.plan import plan_shown

    result = shown(home, name)
    show.result(result, json, lambda console: plan_shown(console, result))


@terminal.command(
    app, "read", "How many people, by SQL, from the newest plan: free, and as often as one likes.",
    "cleanroom plan read spring \"SELECT tier, COUNT(*) FROM matched WHERE city = 'Hangzhou' GROUP BY tier\"",
)  # fmt: skip
def plan_read(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    sql: Annotated[str, typer.Argument(help="One SELECT of columns and COUNT(*) FROM matched.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it."""
    from cleanroom.planning import read
    from cleanroom.terminal.plan import read_shown

    result = read(home, name, sql)
    show.result(result, json, lambda console: read_shown(console, result))


@terminal.command(
    app, "portrait", "How a segment differs from all in the match, by a column (TGI), from the newest plan: free.",
    "cleanroom plan portrait spring city --where \"tier = 'gold'\" --chart city.svg",
)  # fmt: skip
def plan_portrait(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    column: Annotated[str, typer.Argument(help="The column to compare by.")],
    where: Annotated[str, typer.Option(help="The segment, as a condition of SQL; otherwise everybody.")] = "",
    chart: Annotated[Path | None, typer.Option(help="Write a picture here, as SVG.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it."""
    from cleanroom.planning import portrait
    from cleanroom.terminal.plan import portrait_shown

    result = portrait(home, name, column, where, chart)
    show.result(result, json, lambda console: portrait_shown(console, result))


@terminal.command(
    app, "trend", "The newest plan of a room beside the one before, by a column: free.",
    "cleanroom plan trend spring tier --where \"city = 'Hangzhou'\"",
)  # fmt: skip
def plan_trend(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    column: Annotated[str, typer.Argument(help="The column to compare by.")],
    where: Annotated[str, typer.Option(help="The segment, as a condition of SQL; otherwise everybody.")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it."""
    from cleanroom.planning import trend
    from cleanroom.terminal.plan import trend_shown

    result = trend(home, name, column, where)
    show.result(result, json, lambda console: trend_shown(console, result))
