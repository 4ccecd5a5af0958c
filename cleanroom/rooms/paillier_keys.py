"""Paillier keys of rooms: one a home and size, named in contracts by fingerprint, proved once, remembered by hosts.

A key and its proof travel with their owner's signature under a contract. The host checks a proof before it keeps the
contract, and never again for a key that it has seen; a run only looks the key up by the fingerprint that was signed.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cleanroom import canonical, private_files
from cleanroom.errors import BadData, Refused
from cleanroom.files import write_bytes
from cleanroom.keys import SecretAccess
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Slots

if TYPE_CHECKING:
    from cleanroom.home import Home
    from protocols.paillier.keys import PrivateKey, PublicKey

_FINGERPRINT_LABEL = b"cleanroom/paillier-fingerprint/1"
_OWNER_LABEL = b"cleanroom/paillier-owner/1"


@dataclass(frozen=True)
class ProvedKey:
    """A public key as it travels: its owner, its bytes, the proof that its modulus is a Paillier–Blum one."""

    owner: str
    key: bytes
    proof: bytes

    def plain(self) -> dict[str, canonical.Json]:
        """As canonical JSON."""
        return {"owner": self.owner, "key": self.key.hex(), "proof": self.proof.hex()}

    @classmethod
    def parse(cls, value: Any) -> "ProvedKey":
        """The reverse of `plain`. Raises BadData."""
        try:
            if value.keys() == {"owner", "key", "proof"}:
                return cls(str(value["owner"]), bytes.fromhex(value["key"]), bytes.fromhex(value["proof"]))
        except (AttributeError, TypeError, ValueError):
            pass
        raise BadData("A Paillier key of the room is not in the form that this version knows.")

    @property
    def fingerprint(self) -> str:
        """What a contract calls it by: SHA-256 in hex."""
        return hashlib.sha256(_FINGERPRINT_LABEL + self.key).hexdigest()


def own(home: "Home", bits: int) -> "PrivateKey":
    """This party's key of that size, made at first use."""
    from protocols.paillier.keys import PrivateKey, generate

    access = SecretAccess("decrypt sums of this party's own columns")
    made = home.keys.secret(f"paillier-{bits}", lambda: generate(bits).export_secret(), access)
    return PrivateKey.import_secret(made)


def own_fingerprint(home: "Home", bits: int) -> str:
    """What a contract calls it by."""
    return ProvedKey(home.party, own(home, bits).public.to_bytes(), b"").fingerprint


def own_for(home: "Home", slots: Slots) -> "PrivateKey":
    """This party's key, if it is the one that the contract names. Raises Refused."""
    key = own(home, slots.key_bits)
    if ProvedKey(home.party, key.public.to_bytes(), b"").fingerprint != slots.key:
        raise Refused(
            "The contract names another Paillier key for {dataset}.",
            "Each home has its own: cleanroom room card shows it.",
            dataset=slots.dataset,
        )
    return key


def offered(home: "Home", contract: Contract) -> tuple[ProvedKey, ...]:
    """What this party hands on with its signature: the key of its slots, where it has some. Raises Refused."""
    if home.party not in contract.owners or not (slots := contract.slots_of(contract.dataset_of(home.party).name)):
        return ()
    key = own_for(home, slots)
    return (ProvedKey(home.party, key.public.to_bytes(), _own_proof(home, key)),)


def _own_proof(home: "Home", key: "PrivateKey") -> bytes:
    """The proof, made once and kept beside the key."""
    from protocols.paillier import modulus_proof

    path = home.path / "keys" / f"paillier-{key.public.bits}.proof"
    if not path.exists():
        write_bytes(path, modulus_proof.prove(key, _context(home.keys.public.signing)))
    return private_files.read(path)


def check(home: "Home", contract: Contract, keys: tuple[ProvedKey, ...]) -> None:
    """At the host: every key that came is the one signed, and proved.

    Raises BadData for another key, BadMessage for a modulus or proof that does not hold.
    """
    held = {key.owner: key for key in keys}
    for slots in contract.slots if home.party == contract.match.host else ():
        owner = contract.dataset(slots.dataset).owner
        if owner in held:
            _check(home, contract, slots, held[owner])


def _check(home: "Home", contract: Contract, slots: Slots, given: ProvedKey) -> None:
    from protocols.paillier import modulus_proof
    from protocols.paillier.keys import PublicKey

    if given.fingerprint != slots.key:
        raise BadData("The Paillier key of {party} is not the one that the contract names.", party=given.owner)
    signing = bytes.fromhex(contract.party(given.owner).signing)
    path, name = _remembered(home, slots.key, signing)
    if path.exists():
        return
    public = PublicKey.from_bytes(given.key)
    if public.bits != slots.key_bits:
        raise BadData("The Paillier key of {party} has another size than the contract says.", party=given.owner)
    modulus_proof.verify(public, given.proof, _context(signing))
    write_bytes(path, home.wrapping.wrap(name, given.key))


def of_peer(home: "Home", contract: Contract, slots: Slots) -> "PublicKey":
    """The key of another owner's slots, proved when the contract was kept. Raises Refused where it never came."""
    from protocols.paillier.keys import PublicKey

    owner = contract.dataset(slots.dataset).owner
    path, name = _remembered(home, slots.key, bytes.fromhex(contract.party(owner).signing))
    if not path.exists():
        raise Refused(
            "The Paillier key of {party} has not come with the contract.",
            "Ask for the file that {party} signed, and sign it again.",
            party=owner,
        )
    return PublicKey.from_bytes(home.wrapping.unwrap(name, private_files.read(path)))


def _remembered(home: "Home", fingerprint: str, signing: bytes) -> tuple[Path, str]:
    """Where a proved key is kept, sealed under this name so that nobody else can put one there."""
    name = f"peer-paillier/{fingerprint}/{signing.hex()}"
    return home.path / "keys" / f"peer-{hashlib.sha256(name.encode()).hexdigest()[:40]}.paillier", name


def _context(signing: bytes) -> bytes:
    """Whose key it is."""
    return _OWNER_LABEL + signing
