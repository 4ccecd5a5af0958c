"""The command `cleanroom`: parse, call, render, exit code; nothing else. Heavy imports wait inside the commands."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cleanroom import __version__
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
data = terminal.new(help="Look at files, and keep datasets in this node's vault.")
room = terminal.new(help="Contracts: draft, show, sign, verify.")
audit = terminal.new(help="Check afterwards who learned what.")
app.add_typer(data, name="data")
app.add_typer(room, name="room")
app.add_typer(audit, name="audit")


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
        receipt, mappings, operator=not no_operator, link=link,
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
    sql: Annotated[str, typer.Argument(help="One SELECT: FROM matched, or FROM your own dataset.")],
    home: HomeOption = DEFAULT_HOME,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how it is understood.")] = False,
    json: Json = False,
) -> None:
    """Ask, and show what may be shown."""
    from cleanroom.querying import answer
    from cleanroom.terminal.query import query_shown

    with show.progress(json) as progress:
        result = answer(home, room, sql, progress, dry_run=dry_run)
    show.result(result, json, lambda console: query_shown(console, result))


@terminal.command(
    app,
    "demo",
    "The whole story on sample data: two parties, a contract, a match, segments, a receipt, an HTML report.",
    "cleanroom demo --home demo-home",
)
def demo(
    home: Annotated[Path, typer.Option(help="A new folder for the demo's homes, data and report.")] = Path("demo-home"),
    as_of: AsOf = None,
    replace: Annotated[bool, typer.Option("--replace", help="Remove an earlier demo in that folder first.")] = False,
    json: Json = False,
) -> None:
    """Run it and say where the report is."""
    from cleanroom.demo.story import tell
    from cleanroom.terminal.overlap import demo_shown

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


# -- data


@terminal.command(
    data, "doctor", "What a file holds, row by row accounted for, without one value of it.",
    "cleanroom data doctor crm.csv --on phone,email",
)  # fmt: skip
def data_doctor(
    file: Annotated[str, typer.Argument(help="A file or a database table.")],
    on: SeveralOn = "phone",
    profile: Profile = None,
    mapping: MappingFile = None,
    json: Json = False,
) -> None:
    """Examine a source."""
    from cleanroom.datasets import doctor
    from cleanroom.terminal.data import doctor_shown

    result = doctor(file, on, profile, mapping)
    show.result(result, json, lambda console: doctor_shown(console, result))


@terminal.command(
    data, "add", "Put a file into the vault, encrypted, as a new version of a dataset.",
    "cleanroom data add crm.csv --name crm --on phone",
)  # fmt: skip
def data_add(
    file: Annotated[str, typer.Argument(help="A file or a database table.")],
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    on: SeveralOn = "phone",
    profile: Profile = None,
    mapping: MappingFile = None,
    features: Annotated[str | None, typer.Option(help="TOML: fold events to one row a user by these features.")] = None,
    as_of: AsOf = None,
    party: Annotated[str, typer.Option(help="This party's name, where the home is made now.")] = "merchant",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Import a source."""
    from cleanroom.datasets import add, open_home
    from cleanroom.terminal.data import added_shown

    open_home(home, party=party)
    with show.progress(json) as progress:
        result = add(home, file, name, on, profile, mapping, features, as_of, progress)
    show.result(result, json, lambda console: added_shown(console, result))


@terminal.command(data, "list", "The datasets of this node.", "cleanroom data list")
def data_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.datasets import listed
    from cleanroom.terminal.data import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    data, "forget", "Forget persons: in every dataset, in every version, and in all that is imported later.",
    "cleanroom data forget people.csv --on phone      (or - to read one identity a line from standard input)",
)  # fmt: skip
def data_forget(
    people: Annotated[str, typer.Argument(help="A file with their identities, or - for standard input.")],
    on: SeveralOn = "phone",
    profile: Profile = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Forget them; identities never stand in the command line, which others can see."""
    from cleanroom.datasets import forget
    from cleanroom.terminal.data import forgotten_shown

    result = forget(home, people, on, profile)
    show.result(result, json, lambda console: forgotten_shown(console, result))


# -- rooms


@terminal.command(room, "list", "The rooms of this node.", "cleanroom room list")
def room_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.rooms.desk import listed
    from cleanroom.terminal.rooms import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    room, "card", "This party's card, to be handed to a partner: name, public keys, what a dataset could share.",
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
    room, "new", "Draft a contract as TOML, from this party's card and its partners'.",
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
    purpose: Annotated[str, typer.Option(help="What for.")] = "audience overlap",
    out: Annotated[Path | None, typer.Option(help="Where the draft goes; otherwise NAME.toml here.")] = None,
    link: LinkOption = None,
    explain: Explain = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write the draft, to be read, edited and signed."""
    from cleanroom.rooms.drafting import new
    from cleanroom.terminal.choice import explained_shown
    from cleanroom.terminal.rooms import new_shown

    result = new(home, name, role, dataset, partner, receiver, protocol.value, k, purpose, out, link)

    def people(console: Console) -> None:
        new_shown(console, result)
        if explain:
            explained_shown(console, result["explained"])

    show.result(result, json, people)


@terminal.command(
    room, "sign", "Sign a draft, or a contract that others signed already; the result is to be sent to the partners.",
    "cleanroom room sign spring.toml --out spring.room.json",
)  # fmt: skip
def room_sign(
    file: Annotated[Path, typer.Argument(help="A draft (TOML), or a contract as a partner sent it (JSON).")],
    out: Annotated[Path | None, typer.Option(help="Where the signed contract goes; otherwise ROOM.room.json.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Sign it, keep it, and write it for the partners."""
    from cleanroom.rooms.signing import sign
    from cleanroom.terminal.rooms import signed_shown

    result = sign(home, file, out)
    show.result(result, json, lambda console: signed_shown(console, result))


@terminal.command(room, "show", "A room's contract in plain words.", "cleanroom room show spring")
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
    room, "verify", "Check that a contract is signed by all, in force, and unchanged.", "cleanroom room verify spring"
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


# -- audit


@terminal.command(
    audit, "verify", "Check this node's ledger, and a receipt where one is named, step by step.",
    "cleanroom audit verify --home demo-home      cleanroom audit verify receipt.json --contract spring.room.json",
)  # fmt: skip
def audit_verify(
    receipt: Annotated[Path | None, typer.Argument(help="A receipt's file; otherwise the ledger alone.")] = None,
    contract: Annotated[
        Path | None, typer.Option(help="The contract's file, where this node has not the room.")
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Raises the step that failed."""
    from cleanroom.auditing import verified
    from cleanroom.terminal.rooms import steps_shown

    result = verified(home, receipt, contract)
    show.result(result, json, lambda console: steps_shown(console, result))


@terminal.command(
    audit, "show", "What stands in this node's ledger, in words.", "cleanroom audit show --home demo-home"
)
def audit_show(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Show every entry."""
    from cleanroom.auditing import entries
    from cleanroom.terminal.rooms import entries_shown

    result: dict[str, Any] = entries(home)
    show.result(result, json, lambda console: entries_shown(console, result))
