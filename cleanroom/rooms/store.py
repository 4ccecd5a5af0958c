"""Rooms on disk: a folder a room in the node's home, with the signed contract and, at data owners, its labels."""

import dataclasses
import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom import canonical
from cleanroom.errors import BadData, UsageError
from cleanroom.files import write_bytes
from cleanroom.rooms.contract import Contract, SignedContract, check_annexes, signed_from_canonical
from cleanroom.rooms.paillier_keys import ProvedKey
from cleanroom.rooms.terms import Annex

FORMAT = "cleanroom-room/2"
_FIELDS = {"cleanroom-room/1": {"format", "signed", "annexes"}, FORMAT: {"format", "signed", "annexes", "keys"}}


@dataclass(frozen=True)
class Room:
    """A room as a node holds it; `annexes` is None at an operator, who may not see labels; keys: Paillier's, proved."""

    signed: SignedContract
    annexes: tuple[Annex, ...] | None
    keys: tuple[ProvedKey, ...] = ()

    @property
    def contract(self) -> Contract:
        """The terms."""
        return self.signed.contract

    def in_force(self, now: dt.datetime) -> Contract:
        """The terms, if all signed them, they are not expired and the labels are those signed. Raises Refused."""
        contract = self.signed.check(now, self.annexes)
        contract.check_current()
        return contract

    def annex(self, dataset: str, column: str) -> Annex:
        """Labels of a column's cells. Raises BadData where this node has none."""
        for annex in self.annexes or ():
            if (annex.dataset, annex.column) == (dataset, column):
                return annex
        raise BadData("This node holds no labels for {dataset}.{column}.", dataset=dataset, column=column)


class Rooms:
    """The rooms folder of a home."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Names of all rooms, sorted."""
        return sorted(path.name for path in self._folder.iterdir() if (path / "room.json").is_file())

    def save(self, room: Room) -> None:
        """Keep `room` under its name, replacing an earlier state of the same room."""
        folder = self._folder / room.contract.room
        folder.mkdir(mode=0o700, exist_ok=True)
        write_bytes(folder / "room.json", canonical.encode(to_plain(room)))

    def under(self, contract: str) -> Room | None:
        """The room whose contract has this digest, if it is here."""
        rooms = map(self.load, self.names())
        return next((room for room in rooms if room.contract.digest() == contract), None)

    def load(self, name: str) -> Room:
        """The room of that name. Raises UsageError where there is none, BadData where the file is damaged."""
        path = self._folder / Path(name).name / "room.json"
        if Path(name).name != name or not path.is_file():
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(name).name)
        try:
            return from_plain(json.loads(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            raise BadData("The file of the room {name} is damaged.", name=name) from error


def gathered(room: Room, others: Sequence[Room]) -> Room:
    """The room with the signatures and Paillier keys that stand in others of the same contract too."""
    signatures = {name: text for each in (room, *others) for name, text in each.signed.signatures.items()}
    keys = {key.owner: key for each in (room, *others) for key in each.keys}
    annexes = next((each.annexes for each in (room, *others) if each.annexes is not None), None)
    signed = SignedContract(room.contract, signatures)
    return Room(signed, annexes, tuple(keys[owner] for owner in sorted(keys)))


def to_plain(room: Room, *, for_operator: bool = False) -> dict[str, Any]:
    """A room as stored and sent; `for_operator` leaves the labels out."""
    annexes = None if for_operator or room.annexes is None else [_annex(annex) for annex in room.annexes]
    keys = [key.plain() for key in room.keys]
    return {"format": FORMAT, "signed": room.signed.canonical(), "annexes": annexes, "keys": keys}


def from_plain(value: Any) -> Room:
    """The room of `to_plain`. Raises BadData for an unknown format or labels that were not signed."""
    if not isinstance(value, dict) or value.keys() != _FIELDS.get(str(value.get("format"))):
        raise BadData("This room has a format that this version does not know.")
    signed = signed_from_canonical(value["signed"])
    annexes = None if value["annexes"] is None else annexes_from(value["annexes"])
    if annexes is not None:
        check_annexes(signed.contract, annexes)
    return Room(signed, annexes, keys_from(value.get("keys", [])))


def keys_from(values: Any) -> tuple[ProvedKey, ...]:
    """Paillier keys of their stored form, one an owner. Raises BadData."""
    keys = {key.owner: key for key in map(ProvedKey.parse, values if isinstance(values, list) else [None])}
    return tuple(keys[owner] for owner in sorted(keys))


def annexes_from(values: Sequence[Any]) -> tuple[Annex, ...]:
    """Annexes of their stored form. Raises BadData."""
    try:
        return tuple(Annex(**{**a, "labels": tuple(a["labels"]), "edges": tuple(a["edges"])}) for a in values)
    except (TypeError, KeyError, AttributeError) as error:
        raise BadData("The labels of the room are not in the form that this version knows.") from error


def _annex(annex: Annex) -> dict[str, Any]:
    return {**dataclasses.asdict(annex), "labels": list(annex.labels), "edges": list(annex.edges)}
