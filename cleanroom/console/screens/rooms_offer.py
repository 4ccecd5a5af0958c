"""What this party may bring to a room: its datasets, and the columns of one of them; read from manifests alone."""

from dataclasses import dataclass

from cleanroom.console.visit import Visit
from cleanroom.datasets import listed
from cleanroom.terminal.reasons import kind as kind_name

_KINDS = ("category", "bucket", "date", "amount")


@dataclass(frozen=True)
class Column:
    """kind: for people; defines: whether it may define crowds."""

    name: str
    kind: str
    defines: bool


@dataclass(frozen=True)
class Offer:
    """datasets: (name, name) for a choice; chosen: one of them, "" where there is none; rows: of it."""

    datasets: tuple[tuple[str, str], ...]
    chosen: str
    rows: int
    columns: tuple[Column, ...]


def offered(visit: Visit, chosen: str) -> Offer:
    """The datasets, the columns of the chosen one (of the first, where that is none)."""
    found = {each["name"]: each for each in listed(visit.path)["datasets"]}
    names = tuple((name, name) for name in found)
    if not found:
        return Offer((), "", 0, ())
    dataset = found.get(chosen) or next(iter(found.values()))
    columns = tuple(Column(each["name"], kind_name(each["kind"]), each["kind"] != "amount")
                    for each in dataset["columns"] if each["kind"] in _KINDS)  # fmt: skip
    return Offer(names, dataset["name"], dataset["rows"], columns)
