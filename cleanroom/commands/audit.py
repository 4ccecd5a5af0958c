"""The commands `cleanroom audit`: who learned what.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Check afterwards who learned what.")


@terminal.command(
    app, "verify", "Check this node's ledger, and a receipt where one is named, step by step.",
    "cleanroom audit verify --home demo-home      cleanroom audit verify receipt.json --contract spring.room.json",
)  # fmt: skip
def audit_verify(
    receipt: Annotated[Path | None, typer.Argument(help="A receipt's file; otherwise the ledger alone.")] = None,
    contract: Annotated[
        Path | None, typer.Option(help="The contract's file, where this node has not the room.")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", help="An export, checked without this node's keys.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Raises the step that failed."""
    from cleanroom.auditing import verified, verified_export
    from cleanroom.terminal.audit import checked_shown

    result = verified_export(home, export, receipt, contract) if export else verified(home, receipt, contract)
    show.result(result, json, lambda console: checked_shown(console, result))


@terminal.command(
    app, "seen", "What each other party learned, and what you did, day by day, from your own ledger.",
    "cleanroom audit seen --party platform --days 7",
)  # fmt: skip
def audit_seen(
    party: Annotated[str, typer.Option(help="What this party alone learned.")] = "",
    room: Annotated[str, typer.Option("--room", help="Of this room.")] = "",
    days: Annotated[int, typer.Option(help="So many days.")] = 30,
    until: Annotated[str, typer.Option(help="The last day, as 2026-01-31; otherwise today.")] = "",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Read it."""
    from cleanroom.seen import told
    from cleanroom.terminal.audit import seen_shown

    result = told(home, party=party, room=room, days=days, until=until)
    show.result(result, json, lambda console: seen_shown(console, result))


@terminal.command(
    app, "export", "Write this node's ledger, checked, into one file for an auditor without a node.",
    "cleanroom audit export ledger.jsonl --home demo-home",
)  # fmt: skip
def audit_export(
    out: Annotated[Path, typer.Argument(help="The file to write.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.auditing import exported
    from cleanroom.terminal.audit import exported_shown

    result = exported(home, out)
    show.result(result, json, lambda console: exported_shown(console, result))


@terminal.command(
    app, "replay", "Count once more what a receipt's answer is made of: are the groups the same?",
    "cleanroom audit replay receipt.json --home clean",
)  # fmt: skip
def audit_replay(
    receipt: Annotated[Path, typer.Argument(help="A receipt's file.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Yes or no; nothing is charged, and nothing of the answer is shown."""
    from cleanroom.replaying import replayed
    from cleanroom.terminal.rooms import replayed_shown

    with show.progress(json) as progress:
        result = replayed(home, receipt, progress)
    show.result(result, json, lambda console: replayed_shown(console, result))
    if not result["same"]:
        raise typer.Exit(4)


@terminal.command(app, "show", "What stands in this node's ledger, in words.", "cleanroom audit show --home demo-home")
def audit_show(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show every entry."""
    from cleanroom.auditing import entries
    from cleanroom.terminal.audit import entries_shown

    result: dict[str, Any] = entries(home)
    show.result(result, json, lambda console: entries_shown(console, result))
