"""The commands of a node at work: `serve`, `status`, `inbox`, `approve`, `refuse`, `job`, `schedule`.

Parse, call, render, exit code; nothing else.
"""

import json as jsons
import os
import resource
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json, PasswordFile

job_app = terminal.new(help="Jobs of the node: matches, queries, plans, refreshes, exports.")
schedule_app = terminal.new(help="Jobs that come again by themselves.")
Number = Annotated[str, typer.Argument(help="Its number, or the first signs of it.")]
Kind = Annotated[
    str, typer.Argument(help="query, match, plan, board, crowd, activate, insight, refresh, export or replay.")
]
RoomOption = Annotated[str, typer.Option("--room", help="The room it is about.")]
Settings = Annotated[list[str] | None, typer.Option("--set", help="What the job needs, as NAME=VALUE; may be again.")]


def add(app: typer.Typer) -> None:
    """Put the commands into `app`."""
    terminal.command(app, "serve", "Run this home's node until it is told to stop.",
                     "cleanroom serve --home merchant")(serve)  # fmt: skip
    terminal.command(app, "status", "How the node is: running or not, jobs, what waits, peers, certificate.",
                     "cleanroom status --peers")(status)  # fmt: skip
    terminal.command(app, "inbox", "What waits for a person's yes: who asks what, and what it would reveal.",
                     "cleanroom inbox --all")(inbox)  # fmt: skip
    terminal.command(app, "approve", "Say yes to what waits.", "cleanroom approve 3f2a")(approve)
    terminal.command(app, "refuse", "Say no to what waits, and why.",
                     'cleanroom refuse 3f2a --reason "not before the campaign"')(refuse)  # fmt: skip
    terminal.command(app, "act", "As a provider: have a merchant's node do something in its name, by its grant.",
                     'cleanroom act shop query --room may --set "sql=SELECT COUNT(*) FROM matched"')(act)  # fmt: skip
    terminal.command(app, "ask", "As a user of a node: by token, what your roles allow.",
                     'cleanroom ask query --room spring --set "sql=SELECT COUNT(*) FROM matched"')(ask)  # fmt: skip
    terminal.command(app, "login", "Log in with a password: a token for some hours, into a file.",
                     "cleanroom login ada --out token.txt --socket /run/cleanroom/node.sock")(login)  # fmt: skip
    app.add_typer(job_app, name="job")
    app.add_typer(schedule_app, name="schedule")


def serve(home: HomeOption = DEFAULT_HOME) -> None:
    """Until SIGTERM or Ctrl-C."""
    from cleanroom.home import Home
    from cleanroom.node.daemon import Node, signals

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # each connection of a stranger holds one for two minutes
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65_536)), hard))
    node = Node(Home.open(home.expanduser()))
    with signals(node):
        node.serve()
    sys.stderr.flush()
    os._exit(0)  # threads of gRPC may still call into Python while it ends


def status(
    peers: Annotated[bool, typer.Option("--peers", help="Dial every peer, and say whether it answers.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import status_shown

    result = desk.status(home)
    if peers:
        result["reached"] = desk.reached(home)
    show.result(result, json, lambda console: status_shown(console, result))


def inbox(
    everything: Annotated[bool, typer.Option("--all", help="What was decided too.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import inbox_shown

    result = desk.inbox(home, everything=everything)
    show.result(result, json, lambda console: inbox_shown(console, result))


def approve(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Yes."""
    _decide(number, "", home, json, yes=True)


def refuse(
    number: Number,
    reason: Annotated[str, typer.Option(help="Why; whoever asked is told.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """No."""
    _decide(number, reason, home, json, yes=False)


def act(
    merchant: Annotated[str, typer.Argument(help="The merchant, a peer.")],
    call: Annotated[
        str, typer.Argument(help="query, plan, import, members, insight, crowd, activate, jobs, budget or status.")
    ],
    room: RoomOption = "",
    settings: Settings = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Ask, wait, show."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import acted_shown

    with show.progress(json) as progress:
        result = desk.act(home, merchant, call, room, parsed(settings), progress)
    show.result(result, json, lambda console: acted_shown(console, result))


def ask(
    call: Annotated[
        str,
        typer.Argument(help="query, plan, import, members, insight, crowd, activate, jobs, approve, budget or status."),
    ],
    room: RoomOption = "",
    settings: Settings = None,
    socket: Annotated[str, typer.Option(help="The node's socket.", envvar="CLEANROOM_SOCKET")] = "",
    token_file: Annotated[
        str, typer.Option(help="A file that holds your token; otherwise the environment's CLEANROOM_TOKEN.")
    ] = "",
    json: Json = False,
) -> None:
    """Ask, wait, show."""
    from cleanroom.node import visiting
    from cleanroom.terminal.node import acted_shown

    result = visiting.asked(socket, token_file, call, room, parsed(settings))
    show.result(result, json, lambda console: acted_shown(console, result))


def login(
    name: Annotated[str, typer.Argument(help="Your name at the node.")],
    out: Annotated[Path, typer.Option(help="Where the token goes.")],
    password_file: PasswordFile = None,
    socket: Annotated[str, typer.Option(help="The node's socket.", envvar="CLEANROOM_SOCKET")] = "",
    json: Json = False,
) -> None:
    """Ask for the password, keep the token."""
    from cleanroom.node import visiting
    from cleanroom.terminal.users import password

    result = visiting.logged_in(socket, name, password(password_file), out)
    show.result(result, json, lambda console: console.print(result["path"], markup=False))


def _decide(number: str, reason: str, home: Any, json: bool, *, yes: bool) -> None:
    from cleanroom.node import desk
    from cleanroom.terminal.node import approval_shown

    result = desk.decided(home, number, yes=yes, reason=reason)
    show.result(result, json, lambda console: approval_shown(console, result))


# -- jobs


@terminal.command(
    job_app, "submit", "Leave a job for the node, and wait for its end.",
    'cleanroom job submit query --room spring --set "sql=SELECT COUNT(*) FROM matched"',
)  # fmt: skip
def job_submit(
    kind: Kind,
    room: RoomOption = "",
    settings: Settings = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for its end.")] = True,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Leave it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import job_shown

    with show.progress(json) as progress:
        result = desk.submit(home, kind, room, parsed(settings), progress, wait=wait)
    show.result(result, json, lambda console: job_shown(console, result))


@terminal.command(job_app, "list", "Jobs, the newest first.", "cleanroom job list --state running")
def job_list(
    room: Annotated[str | None, typer.Option(help="Of this room.")] = None,
    state: Annotated[str | None, typer.Option(help="queued, running, done, failed or cancelled.")] = None,
    most: Annotated[int, typer.Option(help="So many.")] = 50,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show them."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import jobs_shown

    result = desk.listed(home, room, state, most)
    show.result(result, json, lambda console: jobs_shown(console, result))


@terminal.command(job_app, "show", "One job, and what came of it.", "cleanroom job show 3f2a --wait")
def job_show(
    number: Number,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Show it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import job_shown

    with show.progress(json) as progress:
        result = desk.shown(home, number, wait=wait, progress=progress)
    show.result(result, json, lambda console: job_shown(console, result))


@terminal.command(job_app, "cancel", "Cancel a job; the peers of its run are told.", "cleanroom job cancel 3f2a")
def job_cancel(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Cancel it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import job_shown

    result = desk.cancelled(home, number)
    show.result(result, json, lambda console: job_shown(console, result))


@terminal.command(job_app, "retry", "Have a failed job done again.", "cleanroom job retry 3f2a")
def job_retry(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Queue it again."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import job_shown

    result = desk.retried(home, number)
    show.result(result, json, lambda console: job_shown(console, result))


# -- schedules


@terminal.command(
    schedule_app, "add", "Have a job done again and again, in China's time unless another zone is named.",
    'cleanroom schedule add "daily 03:30" refresh --room spring --set dataset=crm --set source=crm.csv      '
    'cleanroom schedule add "weekly mon 09:00" plan --room spring',
)  # fmt: skip
def schedule_add(
    spec: Annotated[str, typer.Argument(help="When: daily, weekly, monthly or hourly, and the time; see the example.")],
    kind: Kind,
    room: RoomOption = "",
    settings: Settings = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Keep it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import schedule_shown

    result = desk.scheduled(home, spec, kind, room, parsed(settings))
    show.result(result, json, lambda console: schedule_shown(console, result))


@terminal.command(schedule_app, "list", "All schedules, and when each comes next.", "cleanroom schedule list")
def schedule_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show them."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import schedules_shown

    result = desk.schedules(home)
    show.result(result, json, lambda console: schedules_shown(console, result))


@terminal.command(schedule_app, "remove", "End a schedule.", "cleanroom schedule remove 3f2a")
def schedule_remove(number: Number, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """End it."""
    from cleanroom.node import desk
    from cleanroom.terminal.node import schedule_shown

    result = desk.unscheduled(home, number)
    show.result(result, json, lambda console: schedule_shown(console, result))


def parsed(settings: list[str] | None) -> dict[str, Any]:
    """NAME=VALUE pairs; a value that begins with [ or { is JSON. Raises UsageError."""
    from cleanroom.errors import UsageError

    found: dict[str, Any] = {}
    for each in settings or ():
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise UsageError("A setting is written NAME=VALUE.")
        try:
            found[name] = jsons.loads(value) if value[:1] in ("[", "{") else value
        except ValueError as error:
            raise UsageError("The value of {name} is no JSON.", name=name) from error
    return found
