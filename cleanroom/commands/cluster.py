"""The commands `cleanroom cluster`: the key of executors, and whether a cluster is fit.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json

app = terminal.new(help="Rooms on Apache Spark, for what outgrows a machine: engine = spark in node.toml.")


@terminal.command(
    app, "key", "Make the key file by which keys reach executors: the same on the driver and on every executor.",
    "cleanroom cluster key /etc/cleanroom/executor.key",
)  # fmt: skip
def cluster_key(
    path: Annotated[Path, typer.Argument(help="Where to put it; a file that is there already is left alone.")],
    json: Json = False,
) -> None:
    """Make it."""
    from cleanroom.cluster import executor_keys
    from cleanroom.terminal.cluster import key_shown

    executor_keys.make(path)
    result = {"key_file": str(path)}
    show.result(result, json, lambda console: key_shown(console, result))


@terminal.command(
    app, "check", "Start Spark as node.toml says, and try all that a room needs of it.",
    "cleanroom cluster check --home platform",
)  # fmt: skip
def cluster_check(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Try it; a fault is named."""
    from cleanroom.cluster.checking import checked
    from cleanroom.terminal.cluster import check_shown

    result = checked(home)
    show.result(result, json, lambda console: check_shown(console, result))
