"""The secret that all owners of a room with more than two of them share, and its operator lacks.

The owner of the left dataset draws it for a draft; the contract holds its digest. Signed, it goes to each owner sealed
under a key that only these two derive (X25519, bound to the contract and both fingerprints), in the file for owners.
From it and the contract's digest come the keys of runs, another one for each choice of datasets that are lined up, so
that no token of one tells the operator anything in another. It may not reach an operator, in whatever form: so whoever
drew it hands it on to the parties of the first contract that names it, and under no contract of others.
"""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cleanroom import canonical
from cleanroom.errors import BadData, Refused
from cleanroom.keys import PublicKeys, SecretAccess
from cleanroom.rooms.contract import Contract, session_context
from cleanroom.rooms.taking_part import lined_up
from protocols.errors import BadMessage

if TYPE_CHECKING:
    from cleanroom.home import Home
    from cleanroom.rooms.store import Room

SECRET_BYTES = 32
_COMMITMENT_LABEL = b"cleanroom/room-secret/1"
_SEAL_LABEL = "cleanroom/room-secret/1"
_RUN_LABEL = "cleanroom/several-owners/1"
_PARTIES_LABEL = "cleanroom/room-secret-parties/1"


@dataclass(frozen=True)
class SealedSecret:
    """The secret as it travels from one owner to another, or to itself."""

    by: str
    to: str
    sealed: bytes

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON."""
        return {"by": self.by, "to": self.to, "sealed": self.sealed.hex()}

    @classmethod
    def parse(cls, value: Any) -> "SealedSecret":
        """The reverse of `plain`. Raises BadData."""
        try:
            if value.keys() == {"by", "to", "sealed"} and all(type(text) is str for text in value.values()):
                return cls(value["by"], value["to"], bytes.fromhex(value["sealed"]))
        except (AttributeError, TypeError, ValueError):
            pass
        raise BadData("A sealed secret of the room is not in the form that this version knows.")


def draw(home: "Home") -> str:
    """Draw the secret of a new room, keep it in this home, and return what its contract names: 64 hex digits."""
    return _kept(home, secrets.token_bytes(SECRET_BYTES))


def _kept(home: "Home", secret: bytes) -> str:
    commitment = digest(secret)
    home.keys.secret(_slot("room", commitment), lambda: secret, SecretAccess("keep the secret of a new room"))
    return commitment


def digest(secret: bytes) -> str:
    """What a contract names: SHA-256 in hex; it tells nothing of 32 random bytes, and fits no others."""
    return hashlib.sha256(_COMMITMENT_LABEL + secret).hexdigest()


def offered(home: "Home", contract: Contract, held: Sequence[SealedSecret]) -> tuple[SealedSecret, ...]:
    """What this party hands on with its signature: of the owner of the left dataset, the secret sealed to each owner.

    Another owner has it already, in `held`, or does not sign. Raises Refused where it is missing or went to others,
    BadData where it is not the one that the contract names.
    """
    if not contract.match.others or home.party not in contract.owners:
        return ()
    if home.party != _maker(contract):
        opened(home, contract, held)
        return ()
    access = SecretAccess("hand on a room's secret")
    secret = home.keys.secret(_slot("room", contract.match.commitment), _missing, access)
    parties = _parties(contract)
    if home.keys.secret(_slot("for", contract.match.commitment), lambda: parties, access) != parties:
        raise _drawn_for_others()
    return _for_each(home, contract, secret)


def handed_on(home: "Home", before: "Room", contract: Contract) -> tuple[SealedSecret, ...]:
    """Of an owner that proposes another contract for a room: the room's secret, sealed to each owner for that one.

    Raises Refused where its parties are others than before, or it names another secret; else as `opened`.
    """
    if not contract.match.others or home.party not in contract.owners:
        return ()
    if contract.match.commitment != before.contract.match.commitment or _parties(contract) != _parties(before.contract):
        raise _drawn_for_others()
    return _for_each(home, contract, opened(home, before.contract, before.secrets))


def _for_each(home: "Home", contract: Contract, secret: bytes) -> tuple[SealedSecret, ...]:
    return tuple(SealedSecret(home.party, each, _sealed(home, contract, each, secret)) for each in contract.owners)


def _drawn_for_others() -> Refused:
    return Refused("The secret that the contract names was drawn for other parties.", "Draft the room anew, for these.")


def check(home: "Home", contract: Contract, held: Sequence[SealedSecret]) -> None:
    """At an owner that keeps a room: what came for it opens, and is what the contract names. Raises BadData."""
    if contract.match.others and any(each.to == home.party for each in held):
        opened(home, contract, held)


def check_here(home: "Home", room: "Room") -> None:
    """At an owner before a run: the secret is here and the one signed, where there is to be one. Raises as `opened`."""
    if room.contract.match.others:
        opened(home, room.contract, room.secrets)


def opened(home: "Home", contract: Contract, held: Sequence[SealedSecret]) -> bytes:
    """The secret, 32 bytes. Raises Refused where it has not come, BadData where it does not open or is another."""
    mine = next((each for each in held if each.to == home.party and each.by in contract.owners), None)
    if mine is None:
        raise Refused(
            "The room's secret has not come with the contract.",
            "Ask {party} for the file that it signed, the one for owners, and sign it again.",
            party=_maker(contract),
        )
    from protocols.psi import keyed

    label = _label(contract, mine.by, home.party)
    try:
        secret = keyed.open_sealed(_between(home, contract, mine.by), label, mine.sealed)
    except BadMessage as error:
        raise BadData(
            "The room's secret that came from {party} does not open here.",
            "It was changed, or sealed for another contract or home. Ask for the file again.",
            party=mine.by,
        ) from error
    if digest(secret) != contract.match.commitment:
        raise BadData(
            "The room's secret that came from {party} is not the one that the contract names.",
            "Do not sign; ask for a new contract.",
            party=mine.by,
        )
    return secret


def run_key(home: "Home", contract: Contract, held: Sequence[SealedSecret], over: Sequence[str]) -> bytes:
    """The 32 bytes that the data owners share for runs that line up the datasets `over`. Raises as `opened`."""
    from protocols.psi import keyed

    names: list[canonical.Json] = [dataset.name for dataset in lined_up(contract, over)]
    salt = hashlib.sha256(session_context(contract) + canonical.encode(names)).digest()
    return keyed.subkey(opened(home, contract, held), _RUN_LABEL, salt)


def _sealed(home: "Home", contract: Contract, owner: str, secret: bytes) -> bytes:
    from protocols.psi import keyed

    return keyed.seal(_between(home, contract, owner), _label(contract, home.party, owner), secret)


def _between(home: "Home", contract: Contract, other: str) -> bytes:
    """The key that this owner and another, who may be itself, derive for the contract."""
    from protocols.psi import keyed

    own = home.keys.exchange_secret(SecretAccess("agree on the key that a room's secret is sealed under"))
    return keyed.room_key(own, bytes.fromhex(contract.party(other).exchange), session_context(contract))


def _label(contract: Contract, maker: str, owner: str) -> str:
    """What the seal is bound to beside the contract: who sealed, for whom."""
    return "/".join((_SEAL_LABEL, *(_fingerprint(contract, name) for name in (maker, owner))))


def _fingerprint(contract: Contract, name: str) -> str:
    party = contract.party(name)
    return PublicKeys(bytes.fromhex(party.signing), bytes.fromhex(party.exchange)).fingerprint


def _maker(contract: Contract) -> str:
    return contract.dataset(contract.match.left).owner


def _parties(contract: Contract) -> bytes:
    """A digest of who is in the room, as what, and by which keys."""
    told: list[canonical.Json] = [[party.name, party.role, party.signing, party.exchange] for party in contract.parties]
    return bytes.fromhex(canonical.digest(_PARTIES_LABEL, told))


def _slot(kind: str, commitment: str) -> str:
    return f"{kind}-{commitment[:32]}"


def _missing() -> bytes:
    raise Refused(
        "This home has not drawn the secret that the contract names.",
        "The owner of the left dataset drafts the room: cleanroom room new draws the secret.",
    )
