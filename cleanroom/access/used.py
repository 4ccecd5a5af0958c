"""What a marketer's call uses: the columns and channels of insight, of crowds and of activations.

Nothing of the data is read. What cannot be told from the arguments uses all columns of the room, so that only a grant
for all of them covers it; so does a rule that names a list, whose people no column tells.
"""

from collections.abc import Mapping
from typing import Any

from cleanroom.crowds.wishes import ACTIVATE, COUNTED, CROWD, INSIGHT, code_of, does, rule_of, texts
from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.rooms.store import Room

CALLS = (INSIGHT, CROWD, ACTIVATE)
LISTING = "list"


def lists_alone(call: str, arguments: Mapping[str, Any]) -> bool:
    """Whether a call lists crowds: then each crowd that it shows is checked by itself."""
    return call == CROWD and arguments.get("do") == LISTING


def channels(call: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """The channels that a call names: where an activation goes, or where a new crowd may. Raises UsageError for an
    activation without one."""
    if call == ACTIVATE:
        channel = arguments.get("channel")
        if not isinstance(channel, str) or not channel:
            raise UsageError("This job needs {name}.", "--set {name}=…", name="channel")
        return (channel,)
    return texts(arguments, "channels") if call == CROWD else ()


def columns(home: Home, room: Room, call: str, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """All columns (dataset.column) that a call uses, sorted. Raises UsageError for a crowd that this room has not, and
    what the gate and the rule refuse."""
    if call == INSIGHT:
        return _of_insight(room, arguments)
    if call == ACTIVATE:
        return _of_crowd(home, room, arguments)
    if does(arguments) in COUNTED:
        return _of_rule(home, room, rule_of(arguments))
    return _of_crowd(home, room, arguments)


def everything(room: Room) -> tuple[str, ...]:
    """All columns of a room."""
    names = (f"{dataset.name}.{column.name}" for dataset in room.contract.datasets for column in dataset.columns)
    return tuple(sorted(names))


def _of_insight(room: Room, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a portrait by named columns these, and those of its conditions; other pages are of all."""
    from cleanroom.gate import gate  # the gate and its parser: only where there is a condition
    from cleanroom.gate.schema import Schema

    every, named = everything(room), texts(arguments, "columns")
    if arguments.get("page") != "portrait" or not named:
        return every
    found = {each for each in every for name in named if name in (each, each.partition(".")[2])}
    for name in ("where", "base"):
        for where in texts(arguments, name):
            asked = gate.ask(f"SELECT COUNT(*) FROM {gate.MATCHED} WHERE {where}",  # noqa: S608 - the gate parses it
                             Schema.of(room.contract, room.annexes or ()))  # fmt: skip
            found |= {*asked.columns}
    return tuple(sorted(found))


def _of_rule(home: Home, room: Room, rule: Any) -> tuple[str, ...]:
    from cleanroom.crowds.reading import understood  # the gate

    selection = understood(home, room, rule)
    if any(selection.lists(dataset.name) for dataset in room.contract.datasets):
        return everything(room)
    return selection.columns


def _of_crowd(home: Home, room: Room, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Of a crowd its rule's, also by the crowds that it stands on; of a lookalike all, since its seed's tables were."""
    from cleanroom.crowds.wishes import crowd_in

    crowd = crowd_in(home, room.contract.room, code_of(arguments))
    return everything(room) if crowd.kind == "spread" else _of_rule(home, room, crowd.rule)
