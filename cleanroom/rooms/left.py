"""The statement by which a party leaves a room: signed, kept beside the contract, and from then on the room's end."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused
from cleanroom.files import write_bytes
from cleanroom.keys import PartyKeys, verify
from cleanroom.rooms.contract import Contract

FORMAT = "cleanroom-left/1"
LABEL = "cleanroom/left/1"
FILE = "left.json"


@dataclass(frozen=True)
class Left:
    """`party` has left `room` at `time` (UTC, ISO 8601), which it knew under the contract of that digest.

    signature: Ed25519 in hex over all the rest, under the party's key in the contract.
    """

    room: str
    contract: str
    party: str
    reason: str
    time: str
    signature: str = ""

    @classmethod
    def parse(cls, value: Any) -> "Left":
        """The reverse of `plain`. Raises BadData."""
        names = {each.name for each in fields(cls)}
        if (
            not isinstance(value, dict)
            or value.keys() != names
            or any(type(text) is not str for text in value.values())
        ):
            raise BadData("A statement of leaving is not in the form that this version knows.")
        return cls(**value)

    def plain(self) -> dict[str, str]:
        """As it is stored and sent."""
        return asdict(self)

    def signed(self, keys: PartyKeys) -> "Left":
        """The same with the party's signature."""
        return Left(
            self.room, self.contract, self.party, self.reason, self.time, keys.sign(LABEL, self._content()).hex()
        )

    def check(self, contract: Contract) -> None:
        """Raises BadData unless a party of this contract signed it, about this room."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError as error:
            raise BadData("A statement of leaving is not in the form that this version knows.") from error
        if self.room != contract.room:
            raise BadData("A statement of leaving is about another room.")
        verify(bytes.fromhex(contract.party(self.party).signing), LABEL, self._content(), signature)

    def refusal(self) -> Refused:
        """What every run is told from then on."""
        return Refused("{party} left the room on {day}: {reason}", "Agree on a new room.",
                       party=self.party, day=self.time[:10], reason=self.reason)  # fmt: skip

    def _content(self) -> bytes:
        return canonical.encode({name: text for name, text in asdict(self).items() if name != "signature"})


def load(folder: Path, contract: Contract) -> tuple[Left, ...]:
    """The statements beside a contract, in the order in which they came. Raises BadData for a forged or damaged one.

    One about another contract of this name counts only where it is signed by a party of this one: somebody may have
    left a room that never came into force, before others agreed on one of the same name.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    try:
        value = json.loads(private_files.read(path))
        if value.keys() != {"format", "left"} or value["format"] != FORMAT:
            raise BadData("A statement of leaving is not in the form that this version knows.")
        found = tuple(map(Left.parse, value["left"]))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("A statement of leaving is not in the form that this version knows.") from error
    return tuple(each for each in found if _counts(each, contract))


def _counts(statement: Left, contract: Contract) -> bool:
    try:
        statement.check(contract)
    except BadData:
        if statement.contract == contract.digest():
            raise
        return False
    return True


def save(folder: Path, left: Iterable[Left]) -> None:
    """Keep the statements, durably."""
    write_bytes(folder / FILE, canonical.encode({"format": FORMAT, "left": [each.plain() for each in left]}))
