"""The command `cleanroom doctor`: whether this machine, this installation and this home are fit.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, Json

_NOT_FIT = 1


def add(app: typer.Typer) -> None:
    """Put the command into `app`."""
    terminal.command(app, "doctor", "Whether this machine, this installation and the home are fit, and what to do.",
                     "cleanroom doctor      cleanroom doctor --home merchant --json")(doctor)  # fmt: skip


def doctor(
    home: Annotated[
        Path | None,
        typer.Option("--home", help="The node's home folder; without one, the machine alone.", envvar="CLEANROOM_HOME"),
    ] = None,
    json: Json = False,
) -> None:
    """Examine and say; the exit code is 1 where something does not work."""
    from cleanroom.doctor.run import examined
    from cleanroom.terminal.doctor import examined_shown

    result = examined(home or DEFAULT_HOME, named=home is not None)
    show.result(result, json, lambda console: examined_shown(console, result))
    if result["state"] == "bad":
        raise typer.Exit(_NOT_FIT)
