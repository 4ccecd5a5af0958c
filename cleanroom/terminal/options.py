"""Options that several commands have, with their help; and the words that some of them take."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Language(StrEnum):
    """What --lang takes."""

    en = "en"
    zh = "zh"


class Protocol(StrEnum):
    """What --protocol takes."""

    auto = "auto"
    keyed = "keyed"
    vole = "vole"
    dh = "dh"
    oprf = "oprf"
    join_sum = "join-sum"


class Receiver(StrEnum):
    """What --receiver takes."""

    platform = "platform"
    merchant = "merchant"


class Period(StrEnum):
    """What --period takes."""

    weekly = "weekly"
    monthly = "monthly"


Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else there.")]
HomeOption = Annotated[Path, typer.Option("--home", help="The node's home folder.", envvar="CLEANROOM_HOME")]
DEFAULT_HOME = Path("~/.cleanroom")
SeveralOn = Annotated[
    str,
    typer.Option(
        "--on",
        help="The identity: phone, email, openid, device, or its column's header; or several in order, as phone,email.",
    ),
]
Profile = Annotated[str | None, typer.Option(help="How identities are normalised, e.g. cn-mobile/1.")]
MappingFile = Annotated[str | None, typer.Option("--mapping", help="TOML that says what the columns are.")]
LinkOption = Annotated[
    str | None, typer.Option("--link", help="Between the parties, as 100Mbit,20ms; otherwise one machine is assumed.")
]
Explain = Annotated[bool, typer.Option("--explain", help="Say of every protocol what speaks for it or against it.")]
AsOf = Annotated[str | None, typer.Option(help="The day on which the data end, as 2026-01-31; otherwise yesterday.")]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="A file of mode 0600 with the password; otherwise CLEANROOM_PASSWORD, or you are asked."),
]
