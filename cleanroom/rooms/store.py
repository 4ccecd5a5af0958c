"""Rooms on disk: a folder a room in the node's home, with the signed contract and, at data owners, its labels.

One contract of a room is in force at a time (`room.json`). Those that it replaced stay in `earlier/`, by digest, since
receipts and ledger entries are checked by them for ever; nothing runs under them again. Who left stands in `left.json`.
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.rooms import left as leaving
from cleanroom.rooms.contract import Contract, SignedContract, check_annexes, signed_from_canonical
from cleanroom.rooms.left import Left
from cleanroom.rooms.paillier_keys import ProvedKey
from cleanroom.rooms.room_secrets import SealedSecret
from cleanroom.rooms.terms import Annex

FORMAT, SEVERAL_FORMAT = "cleanroom-room/2", "cleanroom-room/3"
"""The second of rooms with more than two owners: the secret that they share goes along, sealed to each."""
_T = TypeVar("_T")
FILE, EARLIER = "room.json", "earlier"
_FIELDS = {
    "cleanroom-room/1": {"format", "signed", "annexes"},
    FORMAT: {"format", "signed", "annexes", "keys"},
    SEVERAL_FORMAT: {"format", "signed", "annexes", "keys", "secrets"},
}


@dataclass(frozen=True)
class Room:
    """A room as a node holds it; `annexes` is None at an operator, who may not see labels; keys: Paillier's, proved.

    left: statements of those who left it; earlier: another contract of this room is in force instead; secrets: what the
    owners share where there are more than two, sealed to each, and never at an operator.
    """

    signed: SignedContract
    annexes: tuple[Annex, ...] | None
    keys: tuple[ProvedKey, ...] = ()
    left: tuple[Left, ...] = ()
    earlier: bool = False
    secrets: tuple[SealedSecret, ...] = ()

    @property
    def contract(self) -> Contract:
        """The terms."""
        return self.signed.contract

    def in_force(self, now: dt.datetime) -> Contract:
        """The terms, if all signed them, they are not expired, nobody left or replaced them, and the labels are those
        signed. Raises Refused."""
        for statement in self.left:
            raise statement.refusal()
        if self.earlier:
            raise Refused(
                "All have signed another contract of the room {room} since.", "Use that one.", room=self.contract.room
            )
        contract = self.signed.check(now, self.annexes)
        contract.check_current()
        return contract

    @property
    def complete(self) -> bool:
        """Whether every party has signed."""
        return self.signed.signatures.keys() == {party.name for party in self.contract.parties}

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
        return sorted(path.name for path in self._folder.iterdir() if (path / FILE).is_file())

    def save(self, room: Room, *, instead_of: str = "") -> None:
        """Keep `room` under its name, replacing an earlier state of the same contract, or one that not all had signed.

        instead_of: digest of the contract in force that this one is to replace; it is kept beside. Raises Refused for
        any other that all have signed.
        """
        folder = self._folder / room.contract.room
        folder.mkdir(mode=0o700, exist_ok=True)
        held = self.load(room.contract.room) if (folder / FILE).is_file() else None
        digest = room.contract.digest()
        if held is not None and held.complete and held.contract.digest() != digest:
            if not room.complete or held.contract.digest() != instead_of:
                raise another(room.contract.room)
            (folder / EARLIER).mkdir(mode=0o700, exist_ok=True)
            write_bytes(folder / EARLIER / f"{instead_of}.json", canonical.encode(to_plain(held)))
        write_bytes(folder / FILE, canonical.encode(to_plain(room)))

    def leave(self, statement: Left, contract: Contract) -> bool:
        """Keep a statement of leaving beside its room, which may still be about to come into force; whether it is new.

        Raises BadData unless a party of `contract`, one of that room, signed it.
        """
        statement.check(contract)
        folder = self._folder / contract.room
        folder.mkdir(mode=0o700, exist_ok=True)
        held = leaving.load(folder, contract)
        if any(each.party == statement.party for each in held):
            return False
        leaving.save(folder, (*held, statement))
        return True

    def under(self, contract: str) -> Room | None:
        """The room whose contract has this digest, if it is or was in force here."""
        return next((room for room in self.every() if room.contract.digest() == contract), None)

    def every(self) -> list[Room]:
        """All rooms, and all contracts that theirs replaced."""
        return [room for name in self.names() for room in (self.load(name), *self.earlier(name))]

    def earlier(self, name: str) -> list[Room]:
        """The contracts that were in force before in the room of that name, oldest first."""
        folder, now = self._folder / name / EARLIER, self.load(name).contract.digest()
        paths = folder.glob("*.json") if folder.is_dir() else ()
        found = [self._read(path, name) for path in paths if path.stem != now]
        return sorted((dataclasses.replace(room, earlier=True) for room in found), key=lambda r: r.contract.created)

    def load(self, name: str) -> Room:
        """The room of that name. Raises UsageError where there is none, BadData where the file is damaged."""
        path = self._folder / Path(name).name / FILE
        if Path(name).name != name or not path.is_file():
            raise UsageError("There is no room {name} here.", "cleanroom room list names them.", name=Path(name).name)
        room = self._read(path, name)
        return dataclasses.replace(room, left=leaving.load(path.parent, room.contract))

    def _read(self, path: Path, name: str) -> Room:
        try:
            return from_plain(json.loads(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            raise BadData("The file of the room {name} is damaged.", name=name) from error


def another(room: str) -> Refused:
    """For a second contract of a name that all have signed one of."""
    return Refused(
        "The room {room} has another contract, which all have signed.",
        "Give the new one another name, or ask for a change: cleanroom room change.",
        room=room,
    )


def gathered(room: Room, others: Sequence[Room]) -> Room:
    """The room with the signatures, Paillier keys and sealed secrets that stand in others of the same contract too."""
    signatures = {name: text for each in (room, *others) for name, text in each.signed.signatures.items()}
    keys = {key.owner: key for each in (room, *others) for key in each.keys}
    annexes = next((each.annexes for each in (room, *others) if each.annexes is not None), None)
    signed = SignedContract(room.contract, signatures)
    secrets = {secret.to: secret for each in (room, *others) for secret in each.secrets}
    return Room(signed, annexes, _in_order(keys), secrets=_in_order(secrets))


def to_plain(room: Room, *, for_operator: bool = False) -> dict[str, Any]:
    """A room as stored and sent; `for_operator` leaves the labels and the owners' secret out."""
    annexes = None if for_operator or room.annexes is None else [_annex(annex) for annex in room.annexes]
    keys = [key.plain() for key in room.keys]
    plain = {"format": FORMAT, "signed": room.signed.canonical(), "annexes": annexes, "keys": keys}
    if not room.contract.match.others:
        return plain
    secrets = [] if for_operator else [secret.plain() for secret in room.secrets]
    return {**plain, "format": SEVERAL_FORMAT, "secrets": secrets}


def from_plain(value: Any) -> Room:
    """The room of `to_plain`. Raises BadData for an unknown format or labels that were not signed."""
    if not isinstance(value, dict) or value.keys() != _FIELDS.get(str(value.get("format"))):
        raise BadData("This room has a format that this version does not know.")
    signed = signed_from_canonical(value["signed"])
    annexes = None if value["annexes"] is None else annexes_from(value["annexes"])
    if annexes is not None:
        check_annexes(signed.contract, annexes)
    if (value["format"] == SEVERAL_FORMAT) != bool(signed.contract.match.others):
        raise BadData("This room has a format that this version does not know.")
    return Room(signed, annexes, keys_from(value.get("keys", [])), secrets=secrets_from(value.get("secrets", [])))


def keys_from(values: Any) -> tuple[ProvedKey, ...]:
    """Paillier keys of their stored form, one an owner. Raises BadData."""
    keys = {key.owner: key for key in map(ProvedKey.parse, values if isinstance(values, list) else [None])}
    return _in_order(keys)


def secrets_from(values: Any) -> tuple[SealedSecret, ...]:
    """Sealed secrets of their stored form, one an owner. Raises BadData."""
    found = map(SealedSecret.parse, values if isinstance(values, list) else [None])
    return _in_order({secret.to: secret for secret in found})


def _in_order(by_party: Mapping[str, _T]) -> tuple[_T, ...]:
    return tuple(by_party[party] for party in sorted(by_party))


def annexes_from(values: Sequence[Any]) -> tuple[Annex, ...]:
    """Annexes of their stored form. Raises BadData."""
    try:
        return tuple(Annex(**{**a, "labels": tuple(a["labels"]), "edges": tuple(a["edges"])}) for a in values)
    except (TypeError, KeyError, AttributeError) as error:
        raise BadData("The labels of the room are not in the form that this version knows.") from error


def _annex(annex: Annex) -> dict[str, Any]:
    return {**dataclasses.asdict(annex), "labels": list(annex.labels), "edges": list(annex.edges)}
