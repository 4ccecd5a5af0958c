"""The command `cleanroom portfolio`: what a service provider may do at each of its merchants.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(
    help="What this party may do at each of its merchants: their grants, and how long they last.",
    no_args_is_help=False,
    invoke_without_command=True,
)


@app.callback()
def portfolio(
    context: typer.Context,
    merchant: Annotated[str, typer.Option(help="Of this merchant alone.")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """List the grants, a list a merchant."""
    if context.invoked_subcommand is not None:
        return
    from cleanroom.access.portfolio import listed
    from cleanroom.terminal.grants import portfolio_shown

    result = listed(home, merchant)
    show.result(result, json, lambda console: portfolio_shown(console, result))


@terminal.command(
    app, "ask", "Ask a merchant for a grant; a person there decides.",
    "cleanroom portfolio ask merchant --call query --room spring --days 90",
)  # fmt: skip
def portfolio_ask(
    merchant: Annotated[str, typer.Argument(help="The merchant, a peer of this node.")],
    call: Annotated[list[str], typer.Option(help="A call that the grant is to give.")],
    room: Annotated[list[str], typer.Option(help="A room's name; * for all, and for the home as a whole.")],
    channel: Annotated[list[str] | None, typer.Option(help="A channel that crowds may go to; otherwise all.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="A column as dataset.column; otherwise all.")] = None,
    days: Annotated[int, typer.Option(help="How long it is in force.")] = 30,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Ask for it."""
    from cleanroom.access.portfolio import ask
    from cleanroom.rooms.grants import EVERY, Scope
    from cleanroom.terminal.grants import asked_shown

    scope = Scope(tuple(call), tuple(room), tuple(channel or (EVERY,)), tuple(column or (EVERY,)))
    result = ask(home, merchant, scope, days)
    show.result(result, json, lambda console: asked_shown(console, result))
