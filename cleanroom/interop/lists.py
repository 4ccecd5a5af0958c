"""Lists of three-key matching as files: elements of ristretto255, in order, with which keys are on them; all checked.

The body is what other tools of PAIR read and write: an element a line in padded base64, no title (.csv); or one binary
column (.parquet). The header beside it says whose people these are, which keys were applied, under which contract, and
is signed by who made it. A list of another contract, profile or key, too old, too short, out of order, or with what is
no element is refused by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.errors import BadData, Refused
from cleanroom.interop import bodies, headers
from cleanroom.interop.bodies import Layout
from cleanroom.interop.three_keys import SHARED_DAYS, Setting
from protocols.errors import BadMessage
from protocols.psi import three_key
from protocols.rows import Bytes

FORMAT = "cleanroom-three-key-list/1"
LAYOUT = Layout("element", 32, "base64", titled=False)
LEAST = 1_000
"""People of a list before matching (PAIR 1.1, requirements of a clean room, 8 c)."""
KEYS = ("shared_key", "publisher_key", "advertiser_key")
MORE: Mapping[str, type] = {
    "room": str, "contract": str, "of": str, "identity": str, "profile": str, **dict.fromkeys(KEYS, str)
}  # fmt: skip


@dataclass(frozen=True)
class List:
    """Elements uint8[n, 32], ascending. of: whose people they are; keys: ids of the keys on them, "" where not."""

    of: str
    keys: Mapping[str, str]
    elements: Bytes


def write(place: Setting, path: Path, made: List) -> dict[str, Any]:
    """Write and sign a list; its header."""
    check_long_enough(len(made.elements))
    dataset = place.contract.dataset_of(place.home.party)
    bodies.write(path, LAYOUT, made.elements)
    return headers.write(place.home, path, FORMAT, three_key.SUITE, len(made.elements), {
        "room": place.contract.room, "contract": place.contract.digest(), "of": made.of, "identity": dataset.identity,
        "profile": dataset.profile, **{name: made.keys.get(name, "") for name in KEYS},
    })  # fmt: skip


def read(place: Setting, path: Path, *, of: str, by: str, whole: bool) -> List:
    """A list of the people of `of`, made by `by` (publisher or advertiser). whole: all three keys are on it.

    Order, length and header are checked, elements where they are used (`used`). Raises BadData, Refused.
    """
    header = headers.read(path, FORMAT, three_key.SUITE, MORE)
    headers.signed_by(header, place.signing(by), path)
    _check_meant(place, header, path, of, whole)
    age = (place.day - headers.made_on(header, path)).days
    if not -1 <= age <= SHARED_DAYS:  # clocks differ about midnight
        raise Refused("{name} is older than {days} days, or not made yet.", "Ask for a new one.", name=path.name,
                      days=SHARED_DAYS)  # fmt: skip
    owner = place.peer.name if of == place.other_role else place.home.party
    if header["rows"] > min(place.contract.dataset_of(owner).rows, three_key.MOST_ROWS):
        raise Refused("{name} has more people than the contract allows.", name=path.name)
    check_long_enough(header["rows"])
    elements = bodies.whole(path, LAYOUT, header["rows"])
    if (row := three_key.misplaced(elements)) >= 0:
        raise BadData("Row {row} of {name} is repeated or out of order.", "Ask for the list again.", row=row + 1,
                      name=path.name)  # fmt: skip
    return List(of, {name: header[name] for name in KEYS}, elements)


def multiplied(key: bytes, given: Bytes, path: Path) -> Bytes:
    """key · element, each checked. Raises BadData with the row of what is no element."""
    try:
        return three_key.multiplied(key, given)
    except BadMessage as error:
        raise _no_element(three_key.invalid(given), path) from error


def check_elements(given: Bytes, path: Path) -> None:
    """Raises BadData with the row of what is no element."""
    if (row := three_key.invalid(given)) >= 0:
        raise _no_element(row, path)


def check_long_enough(rows: int) -> None:
    """Raises Refused for a list of fewer people than may be matched."""
    if rows < LEAST:
        raise Refused("A list of three-key matching has at least {least} people.", least=LEAST)


def _check_meant(place: Setting, header: Mapping[str, Any], path: Path, of: str, whole: bool) -> None:
    if header["contract"] != place.contract.digest():
        raise BadData("{name} was made under another contract.", "Ask for the list of this room.", name=path.name)
    dataset = place.contract.dataset_of(place.home.party)
    if (header["identity"], header["profile"]) != (dataset.identity, dataset.profile):
        raise Refused("{name} is of people known by another identity or profile.", name=path.name)
    wanted = set(KEYS) if whole else {KEYS[0], f"{of}_key"}
    if header["of"] != of or {name for name in KEYS if header[name]} != wanted:
        raise BadData("{name} is another list than the one that is due: of {found}, {keys} keys on it.",
                      "See the steps in docs/formats/three-key-lists.md.", name=path.name, found=header["of"],
                      keys=sum(bool(header[name]) for name in KEYS))  # fmt: skip


def _no_element(row: int, path: Path) -> BadData:
    return BadData("Row {row} of {name} is no element of the group.", "Ask for the list again.", row=row + 1,
                   name=path.name)  # fmt: skip
