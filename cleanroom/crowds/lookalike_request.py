"""What a lookalike's asker says to whoever addresses people: which release to fit, and whom it wants.

The release itself is not sent: the other party has it, as one of its recipients. No number about a person stands here.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.crowds import note as notes
from cleanroom.crowds.note import CrowdNote
from cleanroom.errors import BadData

FORMAT = "cleanroom-lookalike/1"
MOST_COUNT = 1_000_000_000
_MOST_NOTES = 32
_FIELDS = {"format", "room", "contract", "question", "seed", "count", "include", "tenths", "notes"}


@dataclass(frozen=True)
class Request:
    """question: digest of the seed's release; seed: code of the seed's crowd; count: how many people are wanted;
    include: the seed's people too; tenths: whether the gain is to be counted; notes: one a channel, of one crowd and
    version. Raises BadData for what cannot be meant."""

    room: str
    contract: str
    question: str
    seed: str
    count: int
    include: bool
    tenths: bool
    notes: tuple[CrowdNote, ...]

    def __post_init__(self) -> None:
        texts = (self.room, self.contract, self.question, self.seed)
        if not all(type(text) is str and 0 < len(text) <= 64 and text.isprintable() for text in texts):
            raise malformed()
        if type(self.count) is not int or not 1 <= self.count <= MOST_COUNT:
            raise malformed()
        if type(self.include) is not bool or type(self.tenths) is not bool:
            raise malformed()
        if not 0 < len(self.notes) <= _MOST_NOTES or len({(each.code, each.version) for each in self.notes}) != 1:
            raise malformed()
        if self.code == self.seed:
            raise malformed()

    @property
    def code(self) -> str:
        """Of the crowd that is made."""
        return self.notes[0].code

    @property
    def digest(self) -> str:
        """Of what defines the crowd, whatever its channels: in hex."""
        defined: canonical.Json = [self.contract, self.question, self.seed, self.count, self.include]
        return canonical.digest("cleanroom/lookalike-rule/1", defined)

    @property
    def version(self) -> str:
        """Its day, yyyyMMdd."""
        return self.notes[0].version

    def plain(self) -> dict[str, Any]:
        """For a message or a job."""
        rest = {name: value for name, value in vars(self).items() if name != "notes"}
        return {"format": FORMAT, **rest, "notes": [each.plain() for each in self.notes]}


def from_plain(value: Any) -> Request:
    """Of `Request.plain`. Raises BadData."""
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise BadData("What is asked of a lookalike is of an unknown version.", "Update this program.")
    if value.keys() != _FIELDS or not isinstance(value["notes"], list):
        raise malformed()
    rest = {name: each for name, each in value.items() if name not in ("format", "notes")}
    return Request(**rest, notes=tuple(map(notes.from_plain, value["notes"])))


def list_code(room: str, code: str, what: str) -> str:
    """The code of a list that serves the gain of the crowd `code`: what is "held" at the asker, "1" to "10" at whoever
    addresses people. The codes of different crowds differ, and tell nothing of them."""
    return f"{of_room(room)}{canonical.digest('cleanroom/lookalike-list/2', [room, code])[:16]}-{what}"


def of_room(room: str) -> str:
    """How the codes of all such lists of a room begin: a peer names none of another room's."""
    return f"lookalike-{canonical.digest('cleanroom/lookalike-room/1', room)[:10]}"


def draw_of(question: str) -> int:
    """By which equals are drawn: the same release and crowd draw the same."""
    return int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")


def malformed() -> BadData:
    """For what is not in the form of this version."""
    return BadData("What is asked of a lookalike is not in the form that this version knows.")
