"""The commands `cleanroom catalogue` and `cleanroom usage`: what a platform's operator keeps and sees.

Parse, call, render, exit code; nothing else.
"""

from enum import StrEnum
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="What the operator of a platform keeps: channels, the catalogue of tags, quotas of peers.")
Chinese = Annotated[str, typer.Option("--zh", help="Its title in Chinese.")]
English = Annotated[str, typer.Option("--en", help="Its title in English.")]


class Kind(StrEnum):
    """What a catalogue has entries of."""

    channels = "channels"
    tags = "tags"
    quotas = "quotas"


@terminal.command(app, "list", "Channels, tags and quotas.", "cleanroom catalogue list")
def catalogue_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.access.catalogue import listed
    from cleanroom.terminal.catalogue import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    app, "channel", "Keep a channel: where a crowd may be used, and what for.",
    "cleanroom catalogue channel feed --zh '…' --en 'News feed' --purpose advertising",
)  # fmt: skip
def catalogue_channel(
    name: Annotated[str, typer.Argument(help="Its name in contracts and grants.")],
    zh: Chinese,
    en: English,
    purpose: Annotated[list[str], typer.Option(help="A purpose that it is for; may be given again.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.access.catalogue import Channel, kept
    from cleanroom.terminal.catalogue import kept_shown

    result = kept(home, Channel(name, zh, en, tuple(purpose)))
    show.result(result, json, lambda console: kept_shown(console, result))


@terminal.command(
    app, "tag", "Keep a tag: a column that merchants may be offered.",
    "cleanroom catalogue tag users.city_tier --zh '…' --en 'City tier' --text 'Six tiers, by residence.'",
)  # fmt: skip
def catalogue_tag(
    name: Annotated[str, typer.Argument(help="The column, as dataset.column.")],
    zh: Chinese,
    en: English,
    text: Annotated[str, typer.Option(help="What it means.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.access.catalogue import Tag, kept
    from cleanroom.terminal.catalogue import kept_shown

    result = kept(home, Tag(name, zh, en, text))
    show.result(result, json, lambda console: kept_shown(console, result))


@terminal.command(
    app,
    "quota",
    "Keep a quota: what a peer may do here.",
    "cleanroom catalogue quota merchant --runs 20 --rows 5000000",
)
def catalogue_quota(
    peer: Annotated[str, typer.Argument(help="The peer's name.")],
    runs: Annotated[int, typer.Option(help="Runs a day (UTC).")],
    rows: Annotated[int, typer.Option(help="Rows that it may bring to a run.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.access.catalogue import Quota, kept
    from cleanroom.terminal.catalogue import kept_shown

    result = kept(home, Quota(peer, runs, rows))
    show.result(result, json, lambda console: kept_shown(console, result))


@terminal.command(app, "drop", "Take something out of the catalogue.", "cleanroom catalogue drop channels feed")
def catalogue_drop(
    kind: Annotated[Kind, typer.Argument(help="channels, tags or quotas.")],
    name: Annotated[str, typer.Argument(help="Its name.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Drop it."""
    from cleanroom.access.catalogue import dropped
    from cleanroom.terminal.catalogue import kept_shown

    result = dropped(home, kind.value, name)
    show.result(result, json, lambda console: kept_shown(console, result))


usage_app = terminal.new()


@terminal.command(
    usage_app, "usage", "What each merchant used of this node, by month: runs, rows, privacy budget, bytes.",
    "cleanroom usage --json",
)  # fmt: skip
def usage(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.access.catalogue import used
    from cleanroom.terminal.catalogue import usage_shown

    result = used(home)
    show.result(result, json, lambda console: usage_shown(console, result))
