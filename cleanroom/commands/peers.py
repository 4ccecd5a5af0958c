"""The commands `cleanroom peer`: the parties whose nodes this one knows.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="The other parties' nodes: pinned by fingerprints that people compare.")
Name = Annotated[str, typer.Argument(help="What the peer calls its party.")]


@terminal.command(
    app, "add", "Pin a peer, once you have compared its fingerprint with its people.",
    "cleanroom peer add platform grpc+tls://platform.example:8815 68d5 e053 c371 …",
)  # fmt: skip
def peer_add(
    name: Name,
    source: Annotated[str, typer.Argument(help="Its address, grpc+tls://HOST:PORT, or the file of its card.")],
    fingerprint: Annotated[
        list[str], typer.Argument(help="All 64 digits in any grouping, or the 16 words in English or Chinese.")
    ],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Fetch, check, pin."""
    from cleanroom.node.introducing import added
    from cleanroom.terminal.peers import added_shown

    result = added(home, name, source, " ".join(fingerprint))
    show.result(result, json, lambda console: added_shown(console, result))


@terminal.command(app, "list", "The peers of this node.", "cleanroom peer list")
def peer_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.node.introducing import listed
    from cleanroom.terminal.peers import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(app, "show", "A peer's fingerprint as digits, words and QR code.", "cleanroom peer show platform")
def peer_show(name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.node.introducing import shown as of
    from cleanroom.terminal.peers import shown

    result = of(home, name)
    show.result(result, json, lambda console: shown(console, result))


@terminal.command(
    app, "card", "Who this node is, to be told to its peers: fingerprint, words, QR code, and a file.",
    "cleanroom peer card --out merchant.card",
)  # fmt: skip
def peer_card(
    out: Annotated[Path | None, typer.Option(help="Write the card here, for peers that cannot dial this node.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it, and write it."""
    from cleanroom.node.introducing import own_card
    from cleanroom.terminal.peers import card_shown

    result = own_card(home, out)
    show.result(result, json, lambda console: card_shown(console, result))


@terminal.command(app, "remove", "Forget a peer: it is not let in any more.", "cleanroom peer remove platform")
def peer_remove(name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Remove it."""
    from cleanroom.node.introducing import removed
    from cleanroom.terminal.peers import removed_shown

    result = removed(home, name)
    show.result(result, json, lambda console: removed_shown(console, result))


@terminal.command(
    app, "renew", "Take a peer's new certificate; its keys, and so its fingerprint, stay the same.",
    "cleanroom peer renew platform      cleanroom peer renew merchant merchant.card",
)  # fmt: skip
def peer_renew(
    name: Name,
    source: Annotated[str | None, typer.Argument(help="The address or the card's file; otherwise as pinned.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Fetch, check, replace."""
    from cleanroom.node.introducing import renewed
    from cleanroom.terminal.peers import renewed_shown

    result = renewed(home, name, source)
    show.result(result, json, lambda console: renewed_shown(console, result))
