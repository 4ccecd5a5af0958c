"""The commands `cleanroom data`: files, and datasets of this node's vault.

Parse, call, render, exit code; nothing else.
"""

from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, AsOf, HomeOption, Json, MappingFile, Profile, SeveralOn

app = terminal.new(help="Look at files, and keep datasets in this node's vault.")


@terminal.command(
    app, "doctor", "What a file holds, row by row accounted for, without one value of it.",
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
    app, "add", "Put a file into the vault, encrypted, as a new version of a dataset.",
    "cleanroom data add crm.csv --name crm --on phone      cleanroom data add events/ --name users --features "
    "private-domain --as-of 2026-01-31",
)  # fmt: skip
def data_add(
    file: Annotated[str, typer.Argument(help="A file, a folder of events, s3://bucket/key, or a database table.")],
    name: Annotated[str, typer.Option(help="The dataset's name.")],
    on: SeveralOn = "phone",
    profile: Profile = None,
    mapping: MappingFile = None,
    features: Annotated[
        str | None, typer.Option(help="Fold events to one row a user: private-domain, or a TOML of features.")
    ] = None,
    users: Annotated[str | None, typer.Option(help="The users' table beside events: attributes, consent.")] = None,
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
        result = add(home, file, name, on, profile, mapping, features, as_of, progress, users=users)
    show.result(result, json, lambda console: added_shown(console, result))


@terminal.command(
    app, "place", "Let the datasets of a new home stand in an object store, or another folder.",
    "cleanroom data place s3://company-cleanroom/vault --rows 1000000000",
)  # fmt: skip
def data_place(
    address: Annotated[str, typer.Argument(help="s3://bucket/prefix, oss://bucket/prefix or a folder.")],
    rows: Annotated[int, typer.Option(help="What the largest dataset will have: it is cut into as many files.")] = 0,
    party: Annotated[str, typer.Option(help="This party's name, where the home is made now.")] = "merchant",
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Say so, before the first import."""
    from cleanroom.datasets import open_home, place
    from cleanroom.terminal.data import placed_shown

    open_home(home, party=party)
    result = place(home, address, rows)
    show.result(result, json, lambda console: placed_shown(console, result))


@terminal.command(app, "list", "The datasets of this node.", "cleanroom data list")
def data_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.datasets import listed
    from cleanroom.terminal.data import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    app, "forget", "Forget persons: in every dataset, in every version, and in all that is imported later.",
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
