"""The commands `cleanroom room`: contracts.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, Explain, HomeOption, Json, LinkOption, Protocol

app = terminal.new(help="Contracts: invite, draft, review, sign, change, leave, show, verify.")
Name = Annotated[str, typer.Argument(help="The room's name.")]
Columns = Annotated[list[str] | None, typer.Option(help="A category or bucket to offer; may be given again.")]
Sums = Annotated[list[str] | None, typer.Option("--sum", help="An amount to offer; may be given again.")]
Channels = Annotated[
    list[str] | None,
    typer.Option("--channel", help="Where the receiver may address crowds, as coupon; may be given again."),
]
Members = Annotated[
    list[str] | None, typer.Option(help="A column of yours that may define whom the other side addresses.")
]
Lists = Annotated[bool, typer.Option("--lists", help="Uploaded lists may define crowds too.")]
Boards = Annotated[bool, typer.Option("--boards", help="Boards of all persons of the receiver's dataset.")]
Reason = Annotated[str, typer.Option(help="Why; the others read it.")]


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
    channel: Channels = None,
    members: Members = None,
    lists: Lists = False,
    boards: Boards = False,
    explain: Explain = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write the draft, to be read, edited and signed."""
    from cleanroom.rooms.drafting import new
    from cleanroom.rooms.terms import Marketing
    from cleanroom.terminal.choice import explained_shown
    from cleanroom.terminal.rooms import new_shown

    result = new(home, name, role, dataset, partner, receiver, protocol.value, k, purpose, out, link,
                 noise=noise, marketing=Marketing(tuple(channel or ()), lists, boards),
                 members=members or ())  # fmt: skip

    def people(console: Console) -> None:
        new_shown(console, result)
        if explain:
            explained_shown(console, result["explained"])

    show.result(result, json, people)


@terminal.command(
    app, "sign", "Sign what waits about a room; or a draft, or a contract's file, whose result is to be sent to the "
    "partners.", "cleanroom room sign spring      cleanroom room sign spring.toml --out spring.room.json",
)  # fmt: skip
def room_sign(
    file: Annotated[str, typer.Argument(help="A room's name; or a draft (.toml), or a contract as a partner sent it "
                                             "(.json).")],
    out: Annotated[Path | None, typer.Option(help="Where the signed contract goes; otherwise ROOM.room.json.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:  # fmt: skip
    """Sign it, keep it, and send it to the partners, or write it for them."""
    from cleanroom.rooms import invitations
    from cleanroom.rooms.signing import sign
    from cleanroom.terminal.rooms import signed_shown

    if not Path(file).suffix:
        _told(invitations.sign(home, file), json)
        return
    result = sign(home, Path(file), out)
    show.result(result, json, lambda console: signed_shown(console, result))


@terminal.command(
    app, "invite", "Ask peers for a room: they answer with their cards, and this node drafts the contract of them.",
    "cleanroom room invite spring --with platform --dataset crm --by tier --sum spend --purpose 'spring campaign'",
)  # fmt: skip
def room_invite(
    name: Name,
    partner: Annotated[list[str], typer.Option("--with", help="A peer that brings data; may be given again.")],
    dataset: Annotated[str, typer.Option(help="The dataset this party brings.")],
    purpose: Annotated[str, typer.Option(help="What for.")],
    operator: Annotated[str | None, typer.Option(help="The peer that runs a neutral enclave.")] = None,
    by: Columns = None,
    sums: Sums = None,
    protocol: Annotated[Protocol, typer.Option(help="How the sides are matched.")] = Protocol.auto,
    receiver: Annotated[str, typer.Option(help="The owner that learns its members; otherwise who has most rows.")] = "",
    k: Annotated[int, typer.Option("--k", help="The least number of people behind any number shown.")] = 100,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Noise in releases; without it every owner must sign so.")
    ] = True,
    days: Annotated[int, typer.Option(help="How long the room runs.")] = 90,
    updates: Annotated[
        bool, typer.Option("--updates", help="Matches go on from the last one: only what changed travels.")
    ] = False,
    channel: Channels = None,
    members: Members = None,
    lists: Lists = False,
    boards: Boards = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Send the invitations."""
    from cleanroom.rooms import invitations
    from cleanroom.rooms.meetings import Asked

    asked = Asked(purpose, protocol.value, receiver, k, noise, days, updates, tuple(channel or ()), lists,
                  boards)  # fmt: skip
    columns = [*(by or ()), *(sums or ())]
    _told(invitations.invite(home, name, partner, operator, dataset, columns, asked, members or ()), json)


@terminal.command(
    app, "review", "What waits about a room: what would be shared, who learns what, and what a change would change.",
    "cleanroom room review spring",
)  # fmt: skip
def room_review(name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.rooms.review import reviewed
    from cleanroom.terminal.rooms import reviewed_shown

    result = reviewed(home, name)
    show.result(result, json, lambda console: reviewed_shown(console, result))


@terminal.command(
    app, "accept", "Answer an invitation with this party's card; the contract is drafted of it.",
    "cleanroom room accept spring --dataset users --by city",
)  # fmt: skip
def room_accept(
    name: Name,
    dataset: Annotated[str | None, typer.Option(help="The dataset to bring; an operator brings none.")] = None,
    by: Columns = None,
    sums: Sums = None,
    members: Members = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Send the card."""
    from cleanroom.rooms import invitations

    _told(invitations.accept(home, name, dataset, [*(by or ()), *(sums or ())], members=members or ()), json)


@terminal.command(
    app, "refuse", "Say no to an invitation, a contract or a change; all others are told why.",
    "cleanroom room refuse spring --reason 'the city is not for sharing'",
)  # fmt: skip
def room_refuse(name: Name, reason: Reason, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Send the no."""
    from cleanroom.rooms import invitations

    _told(invitations.refuse(home, name, reason), json)


@terminal.command(
    app, "change", "Propose other terms for a room: all sign, else those in force stay.",
    "cleanroom room change spring --expires 2027-06-30 --k 200",
)  # fmt: skip
def room_change(
    name: Name,
    file: Annotated[
        Path | None, typer.Argument(help="A draft (TOML) of the whole contract, instead of options.")
    ] = None,
    expires: Annotated[str | None, typer.Option(help="The last day, or a number of days from now.")] = None,
    k: Annotated[int | None, typer.Option("--k", help="The least number of people behind any number shown.")] = None,
    epsilon: Annotated[int | None, typer.Option(help="What questions may cost each dataset a month.")] = None,
    sigma: Annotated[int | None, typer.Option(help="The noise of each count, in people.")] = None,
    purpose: Annotated[str | None, typer.Option(help="What for.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Offer the changed contract to all."""
    from cleanroom.rooms import invitations
    from cleanroom.rooms.changing import Wished

    _told(invitations.change(home, name, Wished(expires, k, epsilon, sigma, purpose), file), json)


@terminal.command(
    app, "leave", "Leave a room: a signed statement goes to all, and nothing runs in it any more.",
    "cleanroom room leave spring --reason 'the campaign is over'",
)  # fmt: skip
def room_leave(name: Name, reason: Reason, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Sign the statement and send it."""
    from cleanroom.rooms.ended import leave
    from cleanroom.terminal.rooms import left_shown

    result = leave(home, name, reason)
    show.result(result, json, lambda console: left_shown(console, result))


def _told(result: dict[str, Any], json: bool) -> None:
    """What an act came to."""
    from cleanroom.terminal.rooms import meeting_shown

    show.result(result, json, lambda console: meeting_shown(console, result))


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
