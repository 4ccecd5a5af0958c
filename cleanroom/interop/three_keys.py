"""Who is what in three-key matching, and the three keys: whose they are, how long they live, how the shared one goes.

A room's platform is the publisher, its merchant the advertiser, and the contract says so by a purpose of its own. The
publisher draws the shared key, one for all its advertisers, for 30 days; each side draws its own for 180 days (PAIR
1.1). Days are counted from 1970 (UTC), so that keys change by themselves and nobody is asked. Keys stand in slots of
the home's keys; the shared one leaves sealed for the other party of one contract, and no key leaves otherwise.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, SecretAccess
from cleanroom.rooms.contract import Contract, session_context
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.terms import Party
from protocols.errors import BadMessage
from protocols.psi import keyed, three_key

PURPOSE = "three-key matching"
"""What a contract's purposes must hold, word for word."""
PUBLISHER, ADVERTISER = "publisher", "advertiser"
ROLES: Mapping[str, str] = {"platform": PUBLISHER, "merchant": ADVERTISER}
SHARED_DAYS, OWN_DAYS = 30, 180
FORMAT = "cleanroom-three-key-shared/1"
_FIELDS: Mapping[str, type] = {"format": str, "contract": str, "period": int, "key_id": str, "sealed": str}
_SEAL_LABEL = "cleanroom/three-key-shared/1"
_LIMIT = 1 << 14


@dataclass(frozen=True)
class Setting:
    """A party's place in a room where three keys may be used. day: UTC."""

    home: Home
    contract: Contract
    role: str
    peer: Party
    day: dt.date

    @property
    def other_role(self) -> str:
        """The peer's."""
        return ADVERTISER if self.role == PUBLISHER else PUBLISHER

    def signing(self, role: str) -> str:
        """The signing key of who has this role, in hex."""
        return self.home.keys.public.signing.hex() if role == self.role else self.peer.signing


@dataclass(frozen=True)
class Key:
    """A key and its id, which may be told."""

    secret: bytes

    @property
    def id(self) -> str:
        """See `three_key.key_id`."""
        return three_key.key_id(self.secret)


def setting(home: Home, room: str) -> Setting:
    """This party's place in the room. Raises Refused unless the contract in force lets people be matched so."""
    contract = Rooms(home.rooms).load(room).in_force(dt.datetime.now(dt.UTC))
    if PURPOSE not in contract.purposes:
        raise Refused("The contract does not provide for three-key matching.",
                      'All parties sign a contract with the purpose "{purpose}" first.', purpose=PURPOSE)  # fmt: skip
    owners = [contract.party(name) for name in contract.owners]
    if sorted(owner.role for owner in owners) != sorted(ROLES):
        raise Refused("Three keys match the people of one platform with those of one merchant.")
    if home.party not in contract.owners:
        raise Refused("Only the two owners of data have a key.")
    if any(len(contract.dataset_of(owner.name).identities) > 1 for owner in owners):
        raise Refused("Three keys match by one identity, and the room matches by several.")
    peer = next(owner for owner in owners if owner.name != home.party)
    return Setting(home, contract, ROLES[contract.party(home.party).role], peer, today())


def today() -> dt.date:
    """The day, UTC."""
    return dt.datetime.now(dt.UTC).date()


def own_key(place: Setting, known: str = "") -> Key:
    """This side's own key of today; or the one with this id, of today or of the period before. Raises Refused."""
    access = SecretAccess("multiply a list of three-key matching by this party's own key")
    return _of_period(place, OWN_DAYS, known, lambda period, absent: place.home.keys.secret(
        f"three-key-{place.role}-{period}", absent or three_key.new_key, access))  # fmt: skip


def shared_key(place: Setting, known: str = "") -> Key:
    """The shared key of today; or the one with this id, of today or of the period before. Raises Refused."""
    access = SecretAccess("hash this party's people under the key shared with the other side")
    make = three_key.new_shared if place.role == PUBLISHER else _not_come
    return _of_period(place, SHARED_DAYS, known, lambda period, absent: place.home.keys.secret(
        _shared_slot(place, period), absent or make, access))  # fmt: skip


def share(place: Setting, path: Path) -> dict[str, Any]:
    """The publisher's: write the shared key of these 30 days for the advertiser of the room, who alone can open it."""
    if place.role != PUBLISHER:
        raise Refused("The publisher draws the shared key.", "Ask {party} for it.", party=place.peer.name)
    if path.exists() or path.is_symlink():
        raise UsageError("{name} exists already.", "Name a file that does not exist yet.", name=path.name)
    key, period = shared_key(place), _period(place.day, SHARED_DAYS)
    sealed = keyed.seal(_between(place), f"{_SEAL_LABEL}/{period}", key.secret)
    told: dict[str, canonical.Json] = {
        "format": FORMAT,
        "contract": place.contract.digest(),
        "period": period,
        "key_id": key.id,
    }
    write_bytes(path, canonical.encode({**told, "sealed": sealed.hex()}))
    return dict(told)


def accept(place: Setting, path: Path) -> dict[str, Any]:
    """The advertiser's: keep the shared key of the file. Raises BadData where it does not open, Refused where another
    came for the same days, or it is over."""
    if place.role != ADVERTISER:
        raise Refused("The publisher draws the shared key.", "Give it away: cleanroom interop three-key share")
    found = _parsed(path)
    if found["contract"] != place.contract.digest():
        raise BadData("The shared key was sealed for another contract.", "Ask {party} for it.", party=place.peer.name)
    if found["period"] != _period(place.day, SHARED_DAYS):
        raise Refused("The shared key is not the one of these {days} days.", "Ask {party} for it.", days=SHARED_DAYS,
                      party=place.peer.name)  # fmt: skip
    try:
        sealed = bytes.fromhex(found["sealed"])
        secret = keyed.open_sealed(_between(place), f"{_SEAL_LABEL}/{found['period']}", sealed)
    except (BadMessage, ValueError) as error:
        raise BadData("The shared key does not open here.", "It was changed, or sealed for another home.") from error
    if len(secret) != three_key.SHARED_BYTES or three_key.key_id(secret) != found["key_id"]:
        raise BadData("The shared key does not open here.", "It was changed, or sealed for another home.")
    access = SecretAccess("keep the key shared with the publisher")
    if place.home.keys.secret(_shared_slot(place, found["period"]), lambda: secret, access) != secret:
        raise Refused("Another shared key came for the same days already.", "A publisher has one for all.")
    return {name: value for name, value in found.items() if name != "sealed"}


def _of_period(place: Setting, days: int, known: str,
               of: Callable[[int, Callable[[], bytes] | None], bytes]) -> Key:  # fmt: skip
    """of: the secret of a period; where there is none, what stands second is called, or if that is None it is made."""
    period = _period(place.day, days)
    if not known:
        return Key(of(period, None))
    for each in (period, period - 1):
        try:
            key = Key(of(each, _not_come))
        except _Missing:
            continue
        if key.id == known:
            return key
    raise Refused("A list was made with a key that is over, or is of another publisher.",
                  "Both sides make their lists anew.")  # fmt: skip


class _Missing(Refused):
    """The publisher's key has not come."""


def _not_come() -> bytes:
    raise _Missing("The publisher's shared key of these {days} days has not come.",
                   "The publisher runs cleanroom interop three-key share, then you: cleanroom interop three-key accept",
                   days=SHARED_DAYS)  # fmt: skip


def _period(day: dt.date, days: int) -> int:
    return (day - dt.date(1970, 1, 1)).days // days


def _shared_slot(place: Setting, period: int) -> str:
    if place.role == PUBLISHER:
        return f"three-key-shared-{period}"
    theirs = PublicKeys(bytes.fromhex(place.peer.signing), bytes.fromhex(place.peer.exchange))
    return f"three-key-of-{theirs.fingerprint.replace(' ', '')[:16]}-{period}"


def _between(place: Setting) -> bytes:
    """What only the two parties of the contract derive."""
    secret = place.home.keys.exchange_secret(SecretAccess("seal the key of three-key matching for the other party"))
    return keyed.room_key(secret, bytes.fromhex(place.peer.exchange), session_context(place.contract))


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(private_files.read(path, _LIMIT))
    except (ValueError, RecursionError) as error:
        raise _malformed(path) from error
    if not isinstance(found, dict) or found.keys() != _FIELDS.keys() or found["format"] != FORMAT:
        raise _malformed(path)
    if any(type(found[name]) is not kind for name, kind in _FIELDS.items()):
        raise _malformed(path)
    return found


def _malformed(path: Path) -> BadData:
    return BadData("{name} is no shared key that this version knows.", "Ask the publisher for it.", name=path.name)
