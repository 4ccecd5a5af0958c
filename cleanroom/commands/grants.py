"""The commands `cleanroom grant`: what others may do in this party's name.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="What others may do in this party's name: analysts, agencies, programs.")


@terminal.command(
    app, "add", "Sign a grant: what the holder of a key may call, in which rooms, for how long.",
    "cleanroom grant add ada --key 9c1f…e2 --call query --call audit --room spring --days 30",
)  # fmt: skip
def grant_add(
    name: Annotated[str, typer.Argument(help="What the holder is called.")],
    key: Annotated[str, typer.Option(help="The holder's Ed25519 key, 64 hex digits.")],
    call: Annotated[
        list[str], typer.Option(help="import, draft, sign, query, plan, members, audit, budget or forget.")
    ],
    room: Annotated[list[str], typer.Option(help="A room's name; * for all, and for the home as a whole.")],
    days: Annotated[int, typer.Option(help="How long it is in force.")] = 30,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Sign and keep it."""
    from cleanroom.rooms.grants import given
    from cleanroom.terminal.grants import given_shown

    result = given(home, name, key, call, room, days)
    show.result(result, json, lambda console: given_shown(console, result))


@terminal.command(app, "list", "The grants of this node's party.", "cleanroom grant list")
def grant_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.rooms.grants import listed
    from cleanroom.terminal.grants import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(app, "revoke", "End a grant now.", "cleanroom grant revoke 3")
def grant_revoke(
    number: Annotated[int, typer.Argument(help="The grant's number.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Revoke it."""
    from cleanroom.rooms.grants import ended
    from cleanroom.terminal.grants import ended_shown

    result = ended(home, number)
    show.result(result, json, lambda console: ended_shown(console, result))
