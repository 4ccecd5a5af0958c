"""The commands `cleanroom insight`: boards, metrics, portraits. Parse, call, render, exit code; nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Insight: asset overview, C-CARE, trends, portraits; read from boards and plans for nothing.")
cost = terminal.new(help="What campaigns cost, entered by the merchant, kept sealed here.")
app.add_typer(cost, name="cost")

RoomName = Annotated[str, typer.Argument(help="The room's name.")]
Date = Annotated[str, typer.Option(help="The report date, as 2026-01-31; otherwise the newest.")]
Window = Annotated[int, typer.Option(help="Days up to the report date: 1, 7, 30 or 90.")]
Real = Annotated[bool, typer.Option("--exclude-import", help="Without persons known only by upload.")]
DatasetName = Annotated[str, typer.Option("--dataset", help="Whose numbers, where the room has several.")]
Chart = Annotated[Path | None, typer.Option(help="Write a picture here, as SVG.")]
Where = Annotated[str, typer.Option(help="The segment, as a condition of SQL; otherwise everybody.")]


def _page(name: str) -> Callable[..., None]:
    """The command that shows one page of metrics."""

    def shown(room: RoomName, window: Window = 30, exclude_import: Real = False, date: Date = "",
              dataset: DatasetName = "", chart: Chart = None, home: HomeOption = DEFAULT_HOME,
              json: Json = False) -> None:  # fmt: skip
        from cleanroom.insight.views import page
        from cleanroom.terminal.insight import page_shown

        result = page(home, room, name, window=window, chart=chart, exclude_import=exclude_import, date=date,
                      dataset=dataset)  # fmt: skip
        show.result(result, json, lambda console: page_shown(console, result))

    return shown


terminal.command(
    app, "overview", "How many persons, from which relation, in which stage.",
    "cleanroom insight overview spring --exclude-import",
)(_page("overview"))  # fmt: skip
terminal.command(
    app, "composition", "What the persons are, by each attribute.", "cleanroom insight composition spring"
)(_page("composition"))  # fmt: skip
terminal.command(
    app, "behaviour", "Frequency, duration, spend and recency of visitors, members and payers in 30 days.",
    "cleanroom insight behaviour spring --chart visits.svg",
)(_page("behaviour"))  # fmt: skip
terminal.command(
    app, "funnel", "How many reached each stage, and the rate of each step.",
    "cleanroom insight funnel spring --window 7 --chart funnel.svg",
)(_page("funnel"))  # fmt: skip
terminal.command(
    app, "retention", "Revisit and repurchase by cohort, coupons, messages, RFM classes, order value.",
    "cleanroom insight retention spring --chart cohorts.svg",
)(_page("retention"))  # fmt: skip


@terminal.command(app, "flow", "From which stage to which, between two dates 30 days apart.",
                  "cleanroom insight flow spring --chart flow.svg")  # fmt: skip
def flow_command(room: RoomName, since: Annotated[str, typer.Option(help="The first date, as 2026-01-01.")] = "",
                 exclude_import: Real = False, date: Date = "", dataset: DatasetName = "", chart: Chart = None,
                 home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Show it."""
    from cleanroom.insight.views import flow
    from cleanroom.terminal.insight import page_shown

    result = flow(home, room, since=since, chart=chart, exclude_import=exclude_import, date=date, dataset=dataset)
    show.result(result, json, lambda console: page_shown(console, result))


@terminal.command(app, "care", "The eight values of C-CARE, and with --diagnose the weakest and a playbook for it.",
                  "cleanroom insight care spring --diagnose")  # fmt: skip
def care_command(room: RoomName,
                 diagnose: Annotated[bool, typer.Option("--diagnose", help="Name the weakest.")] = False,
                 window: Window = 30, exclude_import: Real = False, date: Date = "", dataset: DatasetName = "",
                 chart: Chart = None, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Show them."""
    from cleanroom.insight.views import care
    from cleanroom.terminal.insight import care_shown

    result = care(home, room, window=window, diagnosed=diagnose, chart=chart, exclude_import=exclude_import, date=date,
                  dataset=dataset)  # fmt: skip
    show.result(result, json, lambda console: care_shown(console, result))


@terminal.command(app, "trend", "A metric by day, week or month, every person once in each.",
                  "cleanroom insight trend spring --metric visitors --by week --chart trend.svg")  # fmt: skip
def trend_command(room: RoomName, metric: Annotated[str, typer.Option(help="Which metric.")] = "visitors",
                  by: Annotated[str, typer.Option(help="day, week or month (the 30 days up to its last).")] = "day",
                  last: Annotated[int, typer.Option(help="How many periods.")] = 31, exclude_import: Real = False,
                  date: Date = "", dataset: DatasetName = "", chart: Chart = None, home: HomeOption = DEFAULT_HOME,
                  json: Json = False) -> None:  # fmt: skip
    """Show it."""
    from cleanroom.insight.views import trend
    from cleanroom.terminal.insight import trend_shown

    result = trend(home, room, name=metric, period=by, last=last, chart=chart, exclude_import=exclude_import,
                   date=date, dataset=dataset)  # fmt: skip
    show.result(result, json, lambda console: trend_shown(console, result))


@terminal.command(app, "compare", "Metrics against the period before and against 52 weeks before.",
                  "cleanroom insight compare spring --window 7")  # fmt: skip
def compare_command(room: RoomName, metric: Annotated[list[str] | None, typer.Option(help="Which metrics.")] = None,
                    window: Window = 30, exclude_import: Real = False, date: Date = "", dataset: DatasetName = "",
                    chart: Chart = None, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Show them."""
    from cleanroom.insight.views import compared
    from cleanroom.terminal.insight import compared_shown

    result = compared(home, room, names=metric or (), window=window, chart=chart, exclude_import=exclude_import,
                      date=date, dataset=dataset)  # fmt: skip
    show.result(result, json, lambda console: compared_shown(console, result))


@terminal.command(app, "portrait", "How a segment differs from a base, by columns (TGI), with the top tags.",
                  "cleanroom insight portrait spring city age_band --where \"tier = 'gold'\"")  # fmt: skip
def portrait_command(
    room: RoomName,
    columns: Annotated[list[str] | None, typer.Argument(help="The columns; otherwise all.")] = None,
    where: Where = "",
    base: Annotated[str, typer.Option(help="Compare with these, as a condition of SQL; otherwise with all.")] = "",
    base_name: Annotated[str, typer.Option("--base-name", help="What the base is called.")] = "",
    everybody: Annotated[bool, typer.Option("--everybody", help="All of the dataset, matched or not.")] = False,
    date: Date = "",
    dataset: DatasetName = "",
    chart: Chart = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.insight.portrait_views import of_everybody, portrait
    from cleanroom.terminal.insight import portrait_shown

    if everybody:
        result = of_everybody(home, room, columns or (), where=where, base=base, base_name=base_name, chart=chart,
                              date=date, dataset=dataset)  # fmt: skip
    else:
        result = portrait(home, room, columns or (), where=where, base=base, base_name=base_name, chart=chart)
    show.result(result, json, lambda console: portrait_shown(console, result))


@terminal.command(app, "cities", "The people of the match by province and city.", "cleanroom insight cities spring")
def cities_command(room: RoomName, where: Where = "", home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show them."""
    from cleanroom.insight.portrait_views import geography
    from cleanroom.terminal.insight import geography_shown

    result = geography(home, room, where=where)
    show.result(result, json, lambda console: geography_shown(console, result))


@terminal.command(app, "metrics", "Every metric: its name, what it means, its windows.", "cleanroom insight metrics")
def metrics_command(json: Json = False) -> None:
    """List them."""
    from cleanroom.insight.views import listed
    from cleanroom.terminal.insight import metrics_shown

    result = listed()
    show.result(result, json, lambda console: metrics_shown(console, result))


@terminal.command(app, "refresh", "Have a board released of the newest data; reading it is free ever after.",
                  "cleanroom insight refresh spring --dry-run")  # fmt: skip
def refresh_command(room: RoomName, dataset: DatasetName = "",
                    daily: Annotated[bool, typer.Option("--daily", help="The small board of every day.")] = False,
                    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it costs.")] = False,
                    home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Charge it, make it, keep it."""
    from cleanroom.boards import make
    from cleanroom.terminal.insight import refreshed_shown

    with show.progress(json) as progress:
        result = make(home, room, dataset=dataset, board="daily" if daily else "full", progress=progress,
                      dry_run=dry_run)  # fmt: skip
    show.result(result, json, lambda console: refreshed_shown(console, result))


@terminal.command(cost, "add", "Enter a cost, or what a campaign brought.",
                  "cleanroom insight cost add spring double-11 media 12000 --day 2026-11-11")  # fmt: skip
def cost_add(room: RoomName, campaign: Annotated[str, typer.Argument(help="The campaign's name.")],
             kind: Annotated[str, typer.Argument(help="media, coupons, points, attributed or incremental.")],
             amount: Annotated[str, typer.Argument(help="In the currency's unit, with at most two decimals.")],
             day: Annotated[str, typer.Option(help="On which day, as 2026-01-31; otherwise today.")] = "",
             margin: Annotated[float | None, typer.Option(help="Of incremental revenue: 0 to 1.")] = None,
             home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:  # fmt: skip
    """Keep it."""
    from cleanroom.insight.costs import entered
    from cleanroom.terminal.insight import costs_shown

    result = entered(home, room, day or _today(), campaign, kind, amount, margin)
    show.result(result, json, lambda console: costs_shown(console, result))


@terminal.command(cost, "list", "The costs entered for a room.", "cleanroom insight cost list spring")
def cost_list(room: RoomName, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.insight.costs import table
    from cleanroom.terminal.insight import costs_shown

    result = table(home, room)
    show.result(result, json, lambda console: costs_shown(console, result))


def _today() -> str:
    import datetime as dt

    return dt.datetime.now(dt.timezone(dt.timedelta(hours=8))).date().isoformat()
