"""The commands `cleanroom room`: contracts.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, Explain, HomeOption, Json, LinkOption, Protocol

app = terminal.new(help="Contracts: draft, show, sign, verify.")


@terminal.command(app, "list", "The rooms of this node.", "cleanroom room list")
def room_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.rooms.desk import listed
    from cleanroom.terminal.rooms import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    app, "card", "This party's card, to be handed to a partner: name, public keys, what a dataset could share.",
    "cleanroom room card --dataset crm --role merchant > merchant.json",
)  # fmt: skip
def room_card(
    role: Annotated[str, typer.Option(help="merchant, platform, provider, auditor or operator.")],
    dataset: Annotated[str | None, typer.Option(help="The dataset to bring; an operator brings none.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Print it; it is JSON for people too, since it is made to be sent."""
    from cleanroom.rooms.desk import card

    show.result(card(home, role, dataset), True, lambda console: None)


@terminal.command(
    app, "new", "Draft a contract as TOML, from this party's card and its partners'.",
    "cleanroom room new spring --dataset crm --role merchant --partner platform.json --receiver platform",
)  # fmt: skip
def room_new(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    role: Annotated[str, typer.Option(help="This party's role.")],
    dataset: Annotated[str, typer.Option(help="The dataset this party brings.")],
    partner: Annotated[list[Path], typer.Option(help="A partner's card; may be given again, e.g. for an operator.")],
    receiver: Annotated[str, typer.Option(help="The party that learns its members.")],
    protocol: Annotated[Protocol, typer.Option(help="How the two sides are matched.")] = Protocol.auto,
    k: Annotated[int, typer.Option("--k", help="The least number of people behind any number shown.")] = 100,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Noise in releases; without it every owner must sign so.")
    ] = True,
    purpose: Annotated[str, typer.Option(help="What for.")] = "audience overlap",
    out: Annotated[Path | None, typer.Option(help="Where the draft goes; otherwise NAME.toml here.")] = None,
    link: LinkOption = None,
    explain: Explain = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write the draft, to be read, edited and signed."""
    from cleanroom.rooms.drafting import new
    from cleanroom.terminal.choice import explained_shown
    from cleanroom.terminal.rooms import new_shown

    result = new(home, name, role, dataset, partner, receiver, protocol.value, k, purpose, out, link,
                 noise=noise)  # fmt: skip

    def people(console: Console) -> None:
        new_shown(console, result)
        if explain:
            explained_shown(console, result["explained"])

    show.result(result, json, people)


@terminal.command(
    app, "sign", "Sign a draft, or a contract that others signed already; the result is to be sent to the partners.",
    "cleanroom room sign spring.toml --out spring.room.json",
)  # fmt: skip
def room_sign(
    file: Annotated[Path, typer.Argument(help="A draft (TOML), or a contract as a partner sent it (JSON).")],
    out: Annotated[Path | None, typer.Option(help="Where the signed contract goes; otherwise ROOM.room.json.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Sign it, keep it, and write it for the partners."""
    from cleanroom.rooms.signing import sign
    from cleanroom.terminal.rooms import signed_shown

    result = sign(home, file, out)
    show.result(result, json, lambda console: signed_shown(console, result))


@terminal.command(app, "show", "A room's contract in plain words.", "cleanroom room show spring")
def room_show(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.rooms.desk import described
    from cleanroom.terminal.rooms import described_shown

    result = described(home, name)
    show.result(result, json, lambda console: described_shown(console, result))


@terminal.command(
    app, "verify", "Check that a contract is signed by all, in force, and unchanged.", "cleanroom room verify spring"
)
def room_verify(
    name: Annotated[str, typer.Argument(help="The room's name.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Raises what is wrong."""
    from cleanroom.rooms.desk import verified
    from cleanroom.terminal.rooms import verified_shown

    result = verified(home, name)
    show.result(result, json, lambda console: verified_shown(console, result))
