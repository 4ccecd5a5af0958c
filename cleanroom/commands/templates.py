"""The commands `cleanroom template`: questions that the owners sign beforehand.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Questions that the owners sign beforehand, with values left open.")


@terminal.command(
    app, "add", "Keep a template (TOML), or one that a partner sent (JSON), in a room.",
    "cleanroom template add spring tiers.toml",
)  # fmt: skip
def template_add(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    file: Annotated[Path, typer.Argument(help="A template (TOML), or a signed one as a partner sent it (JSON).")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Check it and keep it."""
    from cleanroom.rooms.templates import add
    from cleanroom.terminal.templates import template_shown

    result = add(home, room, file)
    show.result(result, json, lambda console: template_shown(console, result))


@terminal.command(
    app, "sign", "Sign a template; the result is to be sent to the partners.",
    "cleanroom template sign spring tiers --out tiers.template.json",
)  # fmt: skip
def template_sign(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    which: Annotated[str, typer.Argument(help="A template's file, or its NAME or NAME@VERSION in the room.")],
    out: Annotated[Path | None, typer.Option(help="Where it goes; otherwise NAME-VERSION.template.json.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Sign it, keep it, and write it for the partners."""
    from cleanroom.rooms.templates import sign
    from cleanroom.terminal.templates import template_shown

    result = sign(home, room, which, out)
    show.result(result, json, lambda console: template_shown(console, result))


@terminal.command(app, "list", "The templates of a room, and who signed them.", "cleanroom template list spring")
def template_list(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """List them."""
    from cleanroom.rooms.templates import listed
    from cleanroom.terminal.templates import list_shown

    result = listed(home, room)
    show.result(result, json, lambda console: list_shown(console, result))
