"""The commands `cleanroom node`: set this party's node up.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="This party's own node: set it up, its certificate, its settings.")


@terminal.command(
    app, "init", "Make a node from nothing: home, keys, certificate, settings.",
    "cleanroom node init platform --role platform --url grpc+tls://platform.example:8815",
)  # fmt: skip
def node_init(
    party: Annotated[str, typer.Argument(help="The party's name, as its peers and contracts will call it.")],
    role: Annotated[str, typer.Option(help="merchant, platform, enclave, provider or auditor.")],
    listen: Annotated[
        str | None, typer.Option(help="Where it listens, HOST:PORT; otherwise on the port of --url, or not at all.")
    ] = None,
    url: Annotated[str, typer.Option(help="What its peers dial, grpc+tls://HOST:PORT; none behind a NAT.")] = "",
    metrics: Annotated[
        str | None, typer.Option(help="Where health and metrics are served, HOST:PORT; otherwise 127.0.0.1:8816.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make it, and say what to do next."""
    from cleanroom.node.introducing import made
    from cleanroom.terminal.peers import made_shown

    result = made(home, party, role, listen, url, metrics)
    show.result(result, json, lambda console: made_shown(console, result))


@terminal.command(
    app, "certificate", "The certificate of this node; it renews itself, or by hand.",
    "cleanroom node certificate      cleanroom node certificate --renew",
)  # fmt: skip
def node_certificate(
    renew: Annotated[bool, typer.Option("--renew", help="Make a successor now; peers are told of it first.")] = False,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Replace it now, as after a theft; peers must then renew it by hand.")
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show or renew it."""
    from cleanroom.node.introducing import certified
    from cleanroom.terminal.peers import certificate_shown

    result = certified(home, renew=renew, at_once=at_once)
    show.result(result, json, lambda console: certificate_shown(console, result))


@terminal.command(
    app, "settings", "All settings in force, of node.toml and the environment, as a node.toml.",
    "cleanroom node settings --default > node.toml",
)  # fmt: skip
def node_settings(
    default: Annotated[bool, typer.Option("--default", help="As they are where nothing is set.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Print them."""
    from cleanroom.node.introducing import settings_shown as settings
    from cleanroom.terminal.peers import settings_shown

    result = settings(home, default=default)
    show.result(result, json, lambda console: settings_shown(console, result))
