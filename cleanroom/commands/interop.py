"""The commands `cleanroom interop`: what other tools take and give: match tokens, crowd rules, three-key matching.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cleanroom.lang import t
from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Exchange with other tools: match tokens, crowd rules, three-key matching (PAIR).")
tokens_app = terminal.new(help="Match tokens as files, for a tool that the contract names.")
rules_app = terminal.new(help="Rules of crowds as documents.")
three_key_app = terminal.new(help="Three-key matching over files, as the IAB Tech Lab's PAIR has it.")
app.add_typer(tokens_app, name="tokens")
app.add_typer(rules_app, name="rules")
app.add_typer(three_key_app, name="three-key")

Room = Annotated[str, typer.Argument(help="The room's name.")]
NewFile = Annotated[Path, typer.Argument(help="A new file, .csv or .parquet.")]


# -- match tokens


@terminal.command(
    tokens_app, "export", "Write your people in a room as tokens that one tool can match, and nothing else.",
    "cleanroom interop tokens export spring tokens.parquet --for warehouse",
)  # fmt: skip
def tokens_export(
    room: Room,
    file: NewFile,
    tool: Annotated[str, typer.Option("--for", help="The tool, as a purpose of the contract names it.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write them."""
    from cleanroom.home import Home
    from cleanroom.interop import tokens
    from cleanroom.keys import SecretAccess

    access = SecretAccess("an export of match tokens that the owner of this home asked for")
    header = tokens.export(Home.open(home.expanduser()), room, tool, file, access)
    show.result({"file": str(file), **header}, json, lambda console: _header(console, {"file": str(file), **header}))


@terminal.command(
    tokens_app, "check", "Verify a file of tokens: its header, signature, bytes and order.",
    "cleanroom interop tokens check tokens.parquet",
)  # fmt: skip
def tokens_check(file: Annotated[Path, typer.Argument(help="The file of tokens.")], json: Json = False) -> None:
    """Read all of it."""
    from cleanroom.interop import tokens

    found = tokens.opened(file)
    rows = sum(len(batch) for batch in found.batches())
    result = {"file": str(file), **found.header, "verified": rows}
    show.result(result, json, lambda console: _header(console, result))


@terminal.command(
    tokens_app, "match", "At the tool: how many tokens two owners' files share.",
    "cleanroom interop tokens match merchant.parquet platform.parquet",
)  # fmt: skip
def tokens_match(
    left: Annotated[Path, typer.Argument(help="One owner's file.")],
    right: Annotated[Path, typer.Argument(help="The other's.")],
    json: Json = False,
) -> None:
    """Count them."""
    from cleanroom.interop import tokens

    one, other = tokens.opened(left), tokens.opened(right)
    result = {"tool": one.header["tool"], "left": one.rows, "right": other.rows, "shared": tokens.shared(one, other)}

    def people(console: Console) -> None:
        show.fact(console, t("Tokens"), f"{result['left']:,} · {result['right']:,}")
        show.fact(console, t("Shared"), f"{result['shared']:,}")

    show.result(result, json, people)


# -- rules


@terminal.command(
    rules_app, "export", "Write the rules of crowds, and of those they stand on, as one JSON document.",
    "cleanroom interop rules export spring rules.json C1 C2",
)  # fmt: skip
def rules_export(
    room: Room,
    file: Annotated[Path, typer.Argument(help="A new file, .json.")],
    codes: Annotated[list[str], typer.Argument(help="The crowds' codes.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write them."""
    from cleanroom.interop import rules

    result = rules.export(home, room, codes, file)
    show.result(result, json, lambda console: _rules(console, result))


@terminal.command(
    rules_app, "import", "Make crowds of a document's rules, if the room's columns can mean all of them.",
    "cleanroom interop rules import spring rules.json --dry-run",
)  # fmt: skip
def rules_import(
    room: Room,
    file: Annotated[Path, typer.Argument(help="The document.")],
    days: Annotated[int, typer.Option(help="Days until they expire.")] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say whether they can be meant here.")] = False,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Check them, make them."""
    from cleanroom.interop import rules

    result = rules.check(home, room, file) if dry_run else rules.bring(home, room, file, days)
    show.result(result, json, lambda console: _rules(console, result))


# -- three keys


@terminal.command(
    three_key_app, "share", "The publisher: write the key of these 30 days, sealed for the room's advertiser.",
    "cleanroom interop three-key share spring shared.json",
)  # fmt: skip
def three_key_share(
    room: Room,
    file: Annotated[Path, typer.Argument(help="A new file, .json.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.home import Home
    from cleanroom.interop import three_keys

    result = three_keys.share(three_keys.setting(Home.open(home.expanduser()), room), file)
    show.result(result, json, lambda console: _key(console, result))


@terminal.command(
    three_key_app, "accept", "The advertiser: keep the publisher's key of these 30 days.",
    "cleanroom interop three-key accept spring shared.json",
)  # fmt: skip
def three_key_accept(
    room: Room,
    file: Annotated[Path, typer.Argument(help="The publisher's file.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Open it, keep it."""
    from cleanroom.home import Home
    from cleanroom.interop import three_keys

    result = three_keys.accept(three_keys.setting(Home.open(home.expanduser()), room), file)
    show.result(result, json, lambda console: _key(console, result))


@terminal.command(
    three_key_app, "list", "Write your people under the shared key and your own, for the other side.",
    "cleanroom interop three-key list spring mine.csv",
)  # fmt: skip
def three_key_list(room: Room, file: NewFile, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Write them."""
    from cleanroom.interop import matching

    result = {"file": str(file), **matching.listed(home, room, file)}
    show.result(result, json, lambda console: _header(console, result))


@terminal.command(
    three_key_app, "cross", "Put your key on the other side's list too; send the result back, and keep it.",
    "cleanroom interop three-key cross spring theirs.csv crossed.csv",
)  # fmt: skip
def three_key_cross(
    room: Room,
    theirs: Annotated[Path, typer.Argument(help="The other side's list.")],
    file: NewFile,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write it."""
    from cleanroom.interop import matching

    result = {"file": str(file), **matching.crossed(home, room, theirs, file)}
    show.result(result, json, lambda console: _header(console, result))


@terminal.command(
    three_key_app, "match", "How many percent of your list are shared; the advertiser: whom, as identifiers for a DSP.",
    "cleanroom interop three-key match spring returned.csv crossed.csv --identifiers dsp.csv",
)  # fmt: skip
def three_key_match(
    room: Room,
    returned: Annotated[Path, typer.Argument(help="Your list, as the other side crossed it.")],
    made: Annotated[Path, typer.Argument(help="The other side's list, as you crossed it.")],
    identifiers: Annotated[Path | None, typer.Option(help="A new file for publisher identifiers, .csv.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Match the two."""
    from cleanroom.interop import matching

    result = matching.matched(home, room, returned, made, identifiers)
    show.result(result, json, lambda console: _rate(console, result))


@terminal.command(
    three_key_app, "identifiers", "The publisher: your references to your users beside their identifiers, .parquet.",
    "cleanroom interop three-key identifiers spring users.parquet",
)  # fmt: skip
def three_key_identifiers(
    room: Room,
    file: Annotated[Path, typer.Argument(help="A new file, .parquet.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Write them."""
    from cleanroom.interop import matching

    result = matching.identifiers(home, room, file)

    def people(console: Console) -> None:
        show.fact(console, t("File"), result["file"])
        show.fact(console, t("Rows"), f"{result['rows']:,}")

    show.result(result, json, people)


# -- for people


def _header(console: Console, header: dict[str, Any]) -> None:
    show.fact(console, t("File"), header["file"])
    show.fact(console, t("Format"), f"{header['format']} · {header['algorithm']}")
    show.fact(console, t("Rows"), f"{header['rows']:,}")
    show.fact(console, t("Made by"), f"{header['party']} · {header['created']}")
    show.fact(console, "SHA-256", header["sha256"])
    show.line(console, t("The header {name} belongs to it: hand both on.", name=Path(header["file"]).name + ".json"))


def _rules(console: Console, result: dict[str, Any]) -> None:
    codes = result.get("codes", {})
    rows = [(each["id"], each["name"], codes.get(each["id"], "")) for each in result["crowds"]]
    show.table(console, t("Rules of crowds"), (t("id"), t("name"), t("code")), rows)
    show.fact(console, t("Columns"), ", ".join(result["columns"]))


def _key(console: Console, result: dict[str, Any]) -> None:
    show.fact(console, t("Shared key"), result["key_id"])
    show.line(console, t("It is for these 30 days, and for this room's advertiser alone."))


def _rate(console: Console, result: dict[str, Any]) -> None:
    if result["withheld"]:
        show.line(console, t("Fewer people are shared than may be told of."))
    else:
        sign = ">" if result["above"] else ""
        show.fact(console, t("Shared"), f"{sign}{result['percent']} %")
    if "file" in result:
        show.fact(console, t("File"), result["file"])
