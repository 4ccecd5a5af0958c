"""The commands `cleanroom campaign`: holdout, lift, worth, playbooks. Parse, call, render, exit code; nothing else."""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Campaigns: a random holdout, lift with its interval, what it was worth; playbooks.")
playbook = terminal.new(help="Playbooks: preset crowd, channel and holdout, with the smallest lift that can be seen.")
app.add_typer(playbook, name="playbook")

RoomName = Annotated[str, typer.Argument(help="The room's name.")]
Name = Annotated[str, typer.Argument(help="The campaign's name.")]
Share = Annotated[float, typer.Option("--holdout", help="Share of the crowd that is sent nothing, drawn at random.")]
Base = Annotated[float, typer.Option(help="Share of people who pay without the campaign.")]
Day = Annotated[str, typer.Option(help="The first day, as 2026-01-31; otherwise today.")]
Within = Annotated[str | None, typer.Option(help="How exact counts must be: ± so many persons, or 5%.")]


@terminal.command(
    app, "slots", "Put the columns of campaigns beside a dataset, empty, so that a contract can name them.",
    "cleanroom campaign slots crm --side merchant      cleanroom campaign slots users --side platform --count 2",
)  # fmt: skip
def slots(
    dataset: Annotated[str, typer.Argument(help="The dataset.")],
    side: Annotated[str, typer.Option(help="merchant: who pays after; platform: who is in which arm, and reacts.")],
    count: Annotated[int, typer.Option(help="For how many campaigns at a time, 1 to 4.")] = 1,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Put them there."""
    from cleanroom.campaigns.slots import prepare
    from cleanroom.terminal.campaigns import slots_shown

    result = prepare(home, dataset, side, count)
    show.result(result, json, lambda console: slots_shown(console, result))


@terminal.command(
    app, "plan", "What a campaign of this size can show, before anything is sent: the smallest lift.",
    "cleanroom campaign plan spring --people 20000 --base 0.05 --holdout 0.1",
)  # fmt: skip
def campaign_plan(
    room: RoomName,
    people: Annotated[int, typer.Option(help="Matched people of the crowd.")] = 0,
    crowd: Annotated[str, typer.Option(help="Or a crowd's code: the low edge of its size.")] = "",
    base: Base = 0.05,
    holdout: Share = 0.1,
    lift: Annotated[float, typer.Option(help="A lift to be shown, as 0.01: how many people that takes.")] = 0.0,
    within: Within = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Tell it."""
    from cleanroom.campaigns.running import plan
    from cleanroom.terminal.campaigns import planned

    result = plan(home, room, people=people, crowd=crowd, base=base, held_out=round(1000 * holdout), wanted=lift,
                  within=within)  # fmt: skip
    show.result(result, json, lambda console: planned(console, result))


@terminal.command(
    app, "create", "Keep a campaign's terms here; the other side creates it with the same ones.",
    "cleanroom campaign create spring double-11 --crowd C1 --channel coupon --purpose campaigns --holdout 0.1",
)  # fmt: skip
def campaign_create(
    room: RoomName,
    name: Name,
    crowd: Annotated[str, typer.Option(help="The crowd's code.")],
    channel: Annotated[str, typer.Option(help="Where it is used: one of the contract's channels.")],
    purpose: Annotated[str, typer.Option(help="One of the contract's purposes.")],
    holdout: Share = 0.1,
    days: Annotated[int, typer.Option(help="How long after the first day outcomes count.")] = 14,
    slot: Annotated[int, typer.Option(help="Which of the datasets' campaign columns, 1 to 4.")] = 1,
    within: Annotated[
        list[str] | None, typer.Option("--stratum", help="Draw within the values of this column.")
    ] = None,
    most: Annotated[int, typer.Option(help="The most that a person's spend counts, in major units.")] = 500,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep them."""
    from cleanroom.campaigns.campaign import Terms
    from cleanroom.campaigns.running import create
    from cleanroom.terminal.campaigns import created

    terms = Terms(name, room, crowd, channel, purpose, days, round(1000 * holdout), slot, tuple(within or ()),
                  100 * most)  # fmt: skip
    result = create(home, terms)
    show.result(result, json, lambda console: created(console, result))


@terminal.command(
    app, "start", "Draw the arms and commit to them, before anything is sent; at the other side: note the commitment.",
    "cleanroom campaign start spring double-11",
)  # fmt: skip
def campaign_start(
    room: RoomName,
    name: Name,
    version: Annotated[str, typer.Option(help="The crowd's version, as 20260131; otherwise the newest.")] = "",
    commitment: Annotated[str, typer.Option(help="At the other side: what its partner committed to.")] = "",
    day: Day = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Begin."""
    from cleanroom.campaigns.running import start
    from cleanroom.terminal.campaigns import shown

    result = start(home, room, name, version=version, commitment=commitment, day=day)
    show.result(result, json, lambda console: shown(console, result))


@terminal.command(
    app, "collect", "Put what people did beside this party's dataset: events where people are addressed, else orders.",
    "cleanroom campaign collect spring double-11 orders.csv",
)  # fmt: skip
def campaign_collect(
    room: RoomName,
    name: Name,
    source: Annotated[
        str, typer.Argument(help="Events or orders; without one the arms alone, as after an import.")
    ] = "",
    on: Annotated[str, typer.Option("--on", help="The identity's column; otherwise the dataset's identity.")] = "",
    day: Annotated[str, typer.Option(help="The column with an order's day.")] = "",
    amount: Annotated[str, typer.Option(help="The column with an order's amount.")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read them, count them by person."""
    from cleanroom.campaigns.running import collect
    from cleanroom.terminal.campaigns import collected

    result = collect(home, room, name, source, on=on, day=day, amount=amount)
    show.result(result, json, lambda console: collected(console, result))


@terminal.command(
    app, "measure", "Lift, from one charged release of the arms.", "cleanroom campaign measure spring double-11"
)
def campaign_measure(
    room: RoomName,
    name: Name,
    reach: Annotated[bool, typer.Option("--reach", help="Also who was reached: a release more.")] = False,
    attribution: Annotated[
        bool, typer.Option("--attribution", help="Also spend after a touch: a release more.")
    ] = False,
    within: Within = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Ask, and keep what is found."""
    from cleanroom.campaigns.running import measure
    from cleanroom.terminal.campaigns import priced, shown

    with show.progress(json) as progress:
        result = measure(home, room, name, progress, within=within, reach=reach, touches=attribution, dry_run=dry_run)
    show.result(result, json, lambda console: (priced if dry_run else shown)(console, result))


@terminal.command(app, "list", "The campaigns of a room.", "cleanroom campaign list spring")
def campaign_list(room: RoomName, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.campaigns.running import listed
    from cleanroom.terminal import campaigns

    result = listed(home, room)
    show.result(result, json, lambda console: campaigns.listed(console, result))


@terminal.command(app, "show", "A campaign, and what was measured of it.", "cleanroom campaign show spring double-11")
def campaign_show(room: RoomName, name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show it."""
    from cleanroom.campaigns import running
    from cleanroom.terminal.campaigns import shown

    result = running.show(home, room, name)
    show.result(result, json, lambda console: shown(console, result))


@terminal.command(
    app, "verify", "Check the arms against what was committed to before anything was sent.",
    "cleanroom campaign verify spring double-11",
)  # fmt: skip
def campaign_verify(room: RoomName, name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Check them."""
    from cleanroom.campaigns.running import verify
    from cleanroom.terminal.campaigns import verified

    result = verify(home, room, name)
    show.result(result, json, lambda console: verified(console, result))


@terminal.command(
    app, "report", "A campaign's result as a page, and as a picture.",
    "cleanroom campaign report spring double-11 --out double-11.html",
)  # fmt: skip
def campaign_report(
    room: RoomName,
    name: Name,
    out: Annotated[Path, typer.Option(help="Where the page goes.")],
    chart: Annotated[Path | None, typer.Option(help="Write a picture here, as SVG.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.campaigns.running import report
    from cleanroom.lang import t

    result = report(home, room, name, out, chart)
    show.result(result, json, lambda console: show.fact(console, t("Report"), result["report"]))


@terminal.command(
    app, "cost", "What a campaign cost, entered by the merchant; what is not named stays.",
    "cleanroom campaign cost spring double-11 --media 12000 --coupons 8000 --margin 0.3",
)  # fmt: skip
def campaign_cost(
    room: RoomName,
    name: Name,
    media: Annotated[float | None, typer.Option(help="Media, major units.")] = None,
    coupons: Annotated[float | None, typer.Option(help="Redeemed coupons, as far as the merchant bears them.")] = None,
    points: Annotated[int | None, typer.Option(help="Incentive points spent.")] = None,
    point_price: Annotated[float | None, typer.Option(help="Price of 1,000 points, major units.")] = None,
    margin: Annotated[float | None, typer.Option(help="Share of net revenue that is left, 0 to 1.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.campaigns.running import cost
    from cleanroom.terminal.campaigns import shown

    major = {"media": media, "coupons": coupons, "point_price": point_price}
    changes = {each: round(100 * value) for each, value in major.items() if value is not None}
    changes |= {} if points is None else {"points": points}
    changes |= {} if margin is None else {"margin": round(1000 * margin)}
    result = cost(home, room, name, changes)
    show.result(result, json, lambda console: shown(console, result))


@terminal.command(
    app, "close", "End a campaign: its slot is free, its seed and draws are removed for good.",
    "cleanroom campaign close spring double-11",
)  # fmt: skip
def campaign_close(room: RoomName, name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """End it."""
    from cleanroom.campaigns.running import close
    from cleanroom.terminal.campaigns import shown

    result = close(home, room, name)
    show.result(result, json, lambda console: shown(console, result))


@terminal.command(playbook, "list", "All playbooks.", "cleanroom campaign playbook list")
def playbook_list(json: Json = False) -> None:
    """List them."""
    from cleanroom.campaigns.playbooks import PLAYBOOKS, plain
    from cleanroom.terminal.campaigns import playbooks

    result = {"playbooks": [plain(each) for each in PLAYBOOKS.values()]}
    show.result(result, json, lambda console: playbooks(console, result))


@terminal.command(
    playbook, "show", "A playbook in a room: whom it means, how many, the smallest lift it can show. Free.",
    "cleanroom campaign playbook show win-back spring",
)  # fmt: skip
def playbook_show(
    name: Annotated[str, typer.Argument(help="The playbook's name.")],
    room: RoomName,
    base: Annotated[float, typer.Option(help="Share of people who pay anyway; otherwise the playbook's.")] = 0.0,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.campaigns import playbooks
    from cleanroom.terminal.campaigns import playbook as book_shown

    result = playbooks.shown(home, room, name, base=base)
    show.result(result, json, lambda console: book_shown(console, result))


@terminal.command(
    playbook, "start", "Make a playbook's crowd and campaign; with --every its crowd is given by schedule, unattended.",
    'cleanroom campaign playbook start win-back spring --every "daily 04:30"',
)  # fmt: skip
def playbook_start(
    name: Annotated[str, typer.Argument(help="The playbook's name.")],
    room: RoomName,
    campaign: Annotated[str, typer.Option(help="The campaign's name; otherwise the playbook's.")] = "",
    purpose: Annotated[str, typer.Option(help="One of the contract's purposes; otherwise its first.")] = "",
    channel: Annotated[str, typer.Option(help="Another channel than the playbook's.")] = "",
    slot: Annotated[int, typer.Option(help="Campaign columns, 1 to 4; otherwise the first free ones.")] = 0,
    every: Annotated[str, typer.Option(help='When the node gives the crowd, as "daily 04:30".')] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make them."""
    from cleanroom.campaigns.playbooks import start
    from cleanroom.terminal.campaigns import begun

    result = start(home, room, name, purpose=purpose, channel=channel, slot=slot, campaign=campaign, schedule=every)
    show.result(result, json, lambda console: begun(console, result))


@terminal.command(
    playbook, "push", "Give a campaign's crowd of the day, as its schedule does. The same day again changes nothing.",
    "cleanroom campaign playbook push spring win-back",
)  # fmt: skip
def playbook_push(room: RoomName, name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Give it."""
    from cleanroom.campaigns.playbooks import push
    from cleanroom.terminal.campaigns import pushed
    from cleanroom.terminal.crowds import watched

    with show.progress(json) as progress:
        result = push(home, room, name, meeting=watched(progress))
    show.result(result, json, lambda console: pushed(console, result))
