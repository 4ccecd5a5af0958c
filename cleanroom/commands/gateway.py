"""The commands `cleanroom gateway`: the Qipan open API at the merchant's node.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="The Qipan open API at this node, for code that was written against its SDK.")
app_app = terminal.new(help="Apps that may call the gateway.")
app.add_typer(app_app, name="app")
RoomOption = Annotated[str, typer.Option("--room", help="The room that the app works in.")]


@terminal.command(
    app, "init", "Make an app for a room: its id and keys, the private one shown once.",
    "cleanroom gateway init --room spring",
)  # fmt: skip
def gateway_init(
    room: RoomOption,
    pid: Annotated[str, typer.Option(help="The merchant id that its calls name; otherwise any.")] = "",
    purpose: Annotated[str, typer.Option(help="Of the contract, for its exports; otherwise the first.")] = "",
    public_key: Annotated[
        Path | None, typer.Option(help="A file with the app's own public key; then none is made here.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make it and show its keys."""
    from cleanroom.gateway.setting_up import init
    from cleanroom.terminal.gateway import made_shown

    result = init(home, room, pid=pid, purpose=purpose, public_key=public_key)
    show.result(result, json, lambda console: made_shown(console, result))


@terminal.command(
    app, "serve", "Serve the gateway until it is told to stop; a line a call, as JSON, on stderr.",
    "cleanroom gateway serve --listen 127.0.0.1:80",
)  # fmt: skip
def gateway_serve(
    listen: Annotated[
        str, typer.Option(help="HOST:PORT; the SDK reaches port 80, and 443 with TLS, alone.")
    ] = "127.0.0.1:80",
    certificate: Annotated[Path | None, typer.Option(help="For TLS: its certificate chain, PEM.")] = None,
    key: Annotated[Path | None, typer.Option(help="For TLS: its private key, PEM.")] = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Until SIGTERM or Ctrl-C."""
    from cleanroom.gateway.server import Listening
    from cleanroom.gateway.setting_up import serve

    serve(home, Listening.at(listen, certificate, key))


@terminal.command(
    app, "push", "Bring a crowd to a platform's own API: the hashed phones of a file, 1,000 a call; they leave here.",
    "cleanroom gateway push leads.csv --account alipay.toml --name leads --code leads-11 --channel coupon",
)  # fmt: skip
def gateway_push(
    file: Annotated[str, typer.Argument(help="A file with a phone a row, plain or as SHA-256 in hex.")],
    account: Annotated[
        Path, typer.Option(help="A TOML file of mode 0600: url, app_id, private_key, public_key (the platform's).")
    ],
    name: Annotated[str, typer.Option(help="What the crowd is called there.")],
    code: Annotated[str, typer.Option(help="Your own code: the same with the same people is the same crowd.")],
    channel: Annotated[list[str] | None, typer.Option(help="Where it may be used.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Send it, in batches."""
    from cleanroom.gateway.pushing import push
    from cleanroom.terminal.gateway import pushed_shown

    with show.progress(json) as progress:
        result = push(home, file, account, name, code, channels=channel or (), progress=progress)
    show.result(result, json, lambda console: pushed_shown(console, result))


@terminal.command(app_app, "list", "All apps, revoked ones too.", "cleanroom gateway app list")
def app_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show them."""
    from cleanroom.gateway.setting_up import listed
    from cleanroom.terminal.gateway import apps_shown

    result = listed(home)
    show.result(result, json, lambda console: apps_shown(console, result))


@terminal.command(
    app_app, "revoke", "From now on refuse an app's calls.", "cleanroom gateway app revoke 2021000123456789"
)
def app_revoke(
    app_id: Annotated[str, typer.Argument(help="The app's id.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Revoke it."""
    from cleanroom.gateway.setting_up import revoked
    from cleanroom.terminal.gateway import revoked_shown

    result = revoked(home, app_id)
    show.result(result, json, lambda console: revoked_shown(console, result))
