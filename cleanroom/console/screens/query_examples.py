"""What a question may name in a room, and one that works for each column."""

from typing import Any

from cleanroom.errors import UsageError
from cleanroom.gate.gate import MATCHED
from cleanroom.gate.schema import Field, Schema
from cleanroom.lang import t
from cleanroom.rooms.store import Room

MOST_LABELS = 300


def tables(room: Room, party: str) -> list[tuple[str, str]]:
    """What may stand behind FROM, each with what it means."""
    own = [each.name for each in room.contract.datasets if each.owner == party]
    noised = room.contract.release.noise != "off"
    matched = (t("the people whom all sides have: released with noise, charged, receipted") if noised
               else t("the people whom all sides have: exact, small groups withheld"))  # fmt: skip
    return [(MATCHED, matched), *((name, t("your own data: exact, free, here on this node")) for name in own)]


def fields_of(room: Room, party: str) -> list[dict[str, Any]]:
    """The columns of the contract, a dataset after the other."""
    schema = Schema.of(room.contract, room.annexes or ())
    owners = {each.name: each.owner for each in room.contract.datasets}
    return [
        {"name": each.name, "dataset": each.dataset, "column": each.column, "kind": each.kind,
         "kind_name": kind_name(each.kind), "labels": len(each.labels), "own": owners[each.dataset] == party,
         "owner": owners[each.dataset]}
        for each in schema.fields
    ]  # fmt: skip


def kind_name(kind: str) -> str:
    """A kind of column in the current language."""
    return {"category": t("category"), "bucket": t("bucket"), "amount": t("amount")}.get(kind, kind)


def labels_of(room: Room, name: str) -> list[str]:
    """Its cells. Raises UsageError for a column that there is not."""
    return list(_field(room, name).labels[:MOST_LABELS])


def values_of(room: Room, name: str) -> list[str]:
    """What a template's parameter on this column may be: of a bucket its edges, else its labels."""
    field = _field(room, name)
    return list(field.edges or field.labels)


def example(room: Room, name: str) -> str:
    """A question about one column. Raises UsageError for a column that there is not."""
    field = _field(room, name)
    if field.kind == "amount":
        return _sum(room, field)
    shown = f"{_quoted(field)} AS {_title(field)}"
    return f"SELECT {shown}, COUNT(*) AS people\nFROM {MATCHED}\nGROUP BY {_quoted(field)}"


def _sum(room: Room, field: Field) -> str:
    schema = Schema.of(room.contract, room.annexes or ())
    beside = next((each for each in schema.fields if each.kind != "amount" and each.dataset == field.dataset), None)
    amount = f"COUNT(*) AS people, SUM({_quoted(field)}) AS total, AVG({_quoted(field)}) AS average"
    if beside is None:
        return f"SELECT {amount}\nFROM {MATCHED}"
    return f"SELECT {_quoted(beside)}, {amount}\nFROM {MATCHED}\nGROUP BY {_quoted(beside)}"


def _field(room: Room, name: str) -> Field:
    for field in Schema.of(room.contract, room.annexes or ()).fields:
        if field.name == name:
            return field
    raise UsageError("The room {room} has no column {column}.", "The list beside the editor has all of them.",
                     room=room.contract.room, column=name[:64])  # fmt: skip


def _quoted(field: Field) -> str:
    return ".".join(part if part.isidentifier() and part.isascii() else '"' + part.replace('"', '""') + '"'
                    for part in (field.dataset, field.column))  # fmt: skip


def _title(field: Field) -> str:
    return field.column if field.column.isidentifier() and field.column.isascii() else "label"
