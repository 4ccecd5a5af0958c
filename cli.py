"""The command `cleanroom`: parse, call, render, exit code; nothing else. Heavy imports wait inside the commands."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from cleanroom import __version__
from cleanroom.commands import (
    activation,
    audit,
    campaigns,
    catalogue,
    cluster,
    crowds,
    data,
    doctor,
    gateway,
    grants,
    insight,
    interop,
    node,
    operations,
    peers,
    plans,
    portfolio,
    rooms,
    serve,
    templates,
    users,
)
from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import (
    DEFAULT_HOME,
    AsOf,
    Explain,
    HomeOption,
    Json,
    Language,
    LinkOption,
    MappingFile,
    Profile,
    Protocol,
    Receiver,
    SeveralOn,
)

app = terminal.new(
    cls=terminal.Application, help="A data clean room: overlap, segment and measure users without showing them."
)
app.add_typer(data.app, name="data")
app.add_typer(rooms.app, name="room")
app.add_typer(templates.app, name="template")
app.add_typer(insight.app, name="insight")
app.add_typer(crowds.app, name="crowd")
app.add_typer(campaigns.app, name="campaign")
app.add_typer(activation.app, name="activation")
app.add_typer(activation.coupons, name="coupon")
app.add_typer(gateway.app, name="gateway")
app.add_typer(interop.app, name="interop")
app.add_typer(audit.app, name="audit")
app.add_typer(plans.app, name="plan")
app.add_typer(grants.app, name="grant")
app.add_typer(node.app, name="node")
app.add_typer(cluster.app, name="cluster")
app.add_typer(peers.app, name="peer")
app.add_typer(users.app, name="user")
app.add_typer(portfolio.app, name="portfolio")
app.add_typer(catalogue.app, name="catalogue")
app.add_typer(catalogue.usage_app)


@app.callback()
def main(
    lang: Annotated[Language | None, typer.Option(help="en or zh, before or after a command; else by locale.")] = None,
) -> None:
    """The language is chosen before commands are built (cleanroom.terminal.app)."""


@terminal.command(app, "version", "The version of this program.", "cleanroom version --json")
def version(json: Json = False) -> None:
    """Print it."""
    show.result({"version": __version__}, json, lambda console: console.print(__version__))


@terminal.command(
    app,
    "overlap",
    "Overlap and segments of two files or tables, each read by a party of its own on this machine.",
    "cleanroom overlap crm.csv users.parquet --by tier --by city_tier --sum spend --members out.csv",
)
def overlap(
    merchant: Annotated[str, typer.Argument(help="The merchant's file or database table.")],
    platform: Annotated[str, typer.Argument(help="The platform's file or database table.")],
    on: SeveralOn = "phone",
    profile: Profile = None,
    protocol: Annotated[Protocol, typer.Option(help="How the two sides are matched.")] = Protocol.auto,
    by: Annotated[list[str] | None, typer.Option(help="Group by this column; may be given again.")] = None,
    sums: Annotated[list[str] | None, typer.Option("--sum", help="Sum this amount; may be given again.")] = None,
    receiver: Annotated[Receiver, typer.Option(help="Who learns which of its rows matched.")] = Receiver.platform,
    members: Annotated[Path | None, typer.Option(help="Write the receiver's matched rows here, as CSV.")] = None,
    k: Annotated[int, typer.Option("--k", help="The least number of people behind any number shown.")] = 100,
    merchant_mapping: Annotated[str | None, typer.Option(help="TOML: what the merchant's columns are.")] = None,
    platform_mapping: Annotated[str | None, typer.Option(help="TOML: what the platform's columns are.")] = None,
    receipt: Annotated[Path | None, typer.Option(help="Write the signed receipt here.")] = None,
    home: Annotated[Path | None, typer.Option(help="Keep the parties' homes here; otherwise they are removed.")] = None,
    no_operator: Annotated[bool, typer.Option("--no-operator", help="The two sides match alone.")] = False,
    noise: Annotated[
        bool, typer.Option("--noise/--no-noise", help="Add noise, as rooms between strangers do.")
    ] = False,
    link: LinkOption = None,
    explain: Explain = False,
    json: Json = False,
) -> None:
    """Run it and show what came of it."""
    from cleanroom.overlap import Overlap, run
    from cleanroom.terminal.choice import explained_shown
    from cleanroom.terminal.overlap import shown

    given = {"merchant": merchant_mapping, "platform": platform_mapping}
    mappings = {side: path for side, path in given.items() if path}
    asked = Overlap(
        merchant, platform, on, profile, protocol.value, tuple(by or ()), tuple(sums or ()), receiver.value, members, k,
        receipt, mappings, operator=not no_operator, link=link, noise=noise,
    )  # fmt: skip
    with show.progress(json) as progress:
        result = run(asked, home, progress, show.teller(json))

    def people(console: Console) -> None:
        shown(console, result)
        if explain:
            explained_shown(console, result["explained"])

    show.result(result, json, people)


@terminal.command(
    app,
    "query",
    "SQL on a room: the gate reads it, the parties answer, only what the contract releases comes back.",
    'cleanroom query overlap "SELECT tier, COUNT(*) FROM matched GROUP BY tier ORDER BY 2 DESC" --home clean',
)
def query(
    room: Annotated[str, typer.Argument(help="The room's name.")],
    sql: Annotated[str, typer.Argument(help="One SELECT: FROM matched, or FROM your own dataset.")] = "",
    template: Annotated[str | None, typer.Option(help="Ask this signed template, NAME or NAME@VERSION.")] = None,
    values: Annotated[list[str] | None, typer.Option("--set", help="A value of the template, NAME=VALUE.")] = None,
    home: HomeOption = DEFAULT_HOME,
    within: Annotated[str | None, typer.Option(help="How exact counts must be, as 30 (persons) or 5%.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how it is understood, and its price.")] = False,
    receipt: Annotated[Path | None, typer.Option(help="Write the signed receipt here.")] = None,
    json: Json = False,
) -> None:
    """Ask, and show what may be shown."""
    from cleanroom.querying import answer
    from cleanroom.terminal.query import before, query_shown
    from cleanroom.terminal.templates import asked_by

    with show.progress(json) as progress:
        result = answer(home, room, sql, progress, dry_run=dry_run, within=within, before=before(quiet=json),
                        receipt=receipt, **asked_by(sql, template, values))  # fmt: skip
    show.result(result, json, lambda console: query_shown(console, result))


@terminal.command(
    app,
    "demo",
    "The whole story on sample data: two parties, a contract, a match, segments, a receipt, an HTML report.",
    "cleanroom demo      cleanroom demo --scene goods      cleanroom demo --serve --json",
)
def demo(
    home: Annotated[Path, typer.Option(help="A new folder for the demo's homes, data and report.")] = Path("demo-home"),
    as_of: AsOf = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove an earlier demo in that folder first.")] = False,
    scene: Annotated[
        str | None,
        typer.Option(help="A marketer's story instead, from import to measured result: goods, leads or search."),
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Nodes with their consoles and the Qipan gateway on sample data.")
    ] = False,
    scale: Annotated[float, typer.Option(help="How many people; 1 is 23,570 members.")] = 0.5,
    json: Json = False,
) -> None:
    """Run it and say where the report is."""
    from cleanroom.terminal.overlap import demo_shown

    if serve:
        from cleanroom.gateway.demo import serve_demo
        from cleanroom.terminal.gateway import demo_served

        with show.progress(json) as progress:
            serve_demo(home, progress, scale=scale, replace=replace, told=lambda found: demo_served(found, json))
        return
    if scene is not None:
        from cleanroom.demo.scenes import play
        from cleanroom.terminal.scenes import played

        with show.progress(json) as progress:
            result = play(home, scene, as_of, scale, replace=replace, progress=progress)
        show.result(result, json, lambda console: played(console, result))
        return
    from cleanroom.demo.story import tell

    with show.progress(json) as progress:
        result = tell(home, as_of, replace=replace, progress=progress)
    show.result(result, json, lambda console: demo_shown(console, result))


@terminal.command(
    app,
    "checkup",
    "The merchant alone, one file: mapping, doctor, RFM, repeat and lapsed customers, expected repurchases.",
    "cleanroom checkup orders.xlsx --as-of 2026-01-31",
)
def checkup(
    file: Annotated[str, typer.Argument(help="An export of orders or of members.")],
    as_of: AsOf = None,
    mapping: MappingFile = None,
    report: Annotated[
        Path | None, typer.Option(help="Where the HTML report goes; otherwise FILE-checkup.html here.")
    ] = None,
    json: Json = False,
) -> None:
    """Examine one file and write the report."""
    from cleanroom.insight.run import run_checkup
    from cleanroom.terminal.overlap import checkup_shown

    result = run_checkup(file, as_of, mapping, report)
    show.result(result, json, lambda console: checkup_shown(console, result))


@terminal.command(
    app,
    "warm-up",
    "Compile the fast kernels once, so that no run waits for it; remove what older versions had compiled.",
    "cleanroom warm-up",
)
def warm_up(json: Json = False) -> None:
    """Fill the compile cache."""
    from cleanroom.terminal.choice import warm_shown
    from cleanroom.warming import warm_up as compile_all

    with show.progress(json) as progress:
        result = compile_all(progress)
    show.result(result, json, lambda console: warm_shown(console, result))


@terminal.command(
    app,
    "bench",
    "How quick the protocols are on this machine, in about a minute, on made-up identities.",
    "cleanroom bench --save",
)
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes only.")] = False,
    save: Annotated[bool, typer.Option("--save", help="Keep the figures, for `auto` on this machine.")] = False,
    json: Json = False,
) -> None:
    """Measure."""
    from cleanroom.bench.run import measure
    from cleanroom.terminal.choice import bench_shown

    with show.progress(json) as progress:
        result = measure(progress, quick=quick, save=save)
    show.result(result, json, lambda console: bench_shown(console, result))


@terminal.command(
    app, "budget", "What is left of the privacy budgets of this node's datasets, and how many questions that is.",
    "cleanroom budget      cleanroom budget spring --json",
)  # fmt: skip
def budget(
    room: Annotated[str | None, typer.Argument(help="This room alone; otherwise all.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.budgets import told
    from cleanroom.terminal.budget import budget_shown

    result = told(home, room)
    show.result(result, json, lambda console: budget_shown(console, result))


serve.add(app)
doctor.add(app)
operations.add(app, rooms.app)
