"""The commands `cleanroom grant`: what others may do in this party's name.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="What others may do in this party's name: analysts, agencies, programs.")
Number = Annotated[int, typer.Argument(help="The grant's number.")]


@terminal.command(
    app, "add", "Sign a grant: what the holder of a key may call, in which rooms, for how long.",
    "cleanroom grant add agency --call query --call plan --room spring --column crm.tier --days 30",
)  # fmt: skip
def grant_add(
    name: Annotated[str, typer.Argument(help="What the holder is called; a peer by its name.")],
    call: Annotated[
        list[str],
        typer.Option(
            help="import, query, plan, members, insight, crowd, activate, audit, budget, jobs, schedule or status."
        ),
    ],
    room: Annotated[list[str], typer.Option(help="A room's name; * for all, and for the home as a whole.")],
    channel: Annotated[list[str] | None, typer.Option(help="A channel that crowds may go to; otherwise all.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="A column as dataset.column; otherwise all.")] = None,
    key: Annotated[str, typer.Option(help="The holder's Ed25519 key, 64 hex digits; otherwise the peer's.")] = "",
    days: Annotated[int, typer.Option(help="How long it is in force.")] = 30,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:  # fmt: skip
    """Sign and keep it; a peer is told."""
    from cleanroom.access.delegating import given
    from cleanroom.rooms.grants import EVERY, Scope
    from cleanroom.terminal.grants import given_shown

    scope = Scope(tuple(call), tuple(room), tuple(channel or (EVERY,)), tuple(column or (EVERY,)))
    result = given(home, name, key, scope, days)
    show.result(result, json, lambda console: given_shown(console, result))


@terminal.command(app, "list", "The grants of this node's party.", "cleanroom grant list")
def grant_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.rooms.grants import listed
    from cleanroom.terminal.grants import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(app, "revoke", "End a grant now.", "cleanroom grant revoke 3")
def grant_revoke(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Revoke it; a peer is told."""
    from cleanroom.access.delegating import ended
    from cleanroom.terminal.grants import ended_shown

    result = ended(home, number)
    show.result(result, json, lambda console: ended_shown(console, result))


@terminal.command(app, "send", "Tell a peer of a grant that was given before the peer was pinned.",
                  "cleanroom grant send 3")  # fmt: skip
def grant_send(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Tell it once more."""
    from cleanroom.access.delegating import sent
    from cleanroom.terminal.grants import sent_shown

    result = sent(home, number)
    show.result(result, json, lambda console: sent_shown(console, result))
