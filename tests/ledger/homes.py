"""Two homes with a signed room with noise, and a ledger with a question in it, which the other side has seen."""

from collections.abc import Mapping
from pathlib import Path

from parties import DATASETS, receipt

from cleanroom.home import Home
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.privacy import accounting
from cleanroom.privacy.history import Question
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Dataset, Match, Party, ReleaseRules

OWNERS = {"crm": "merchant", "users": "platform"}
NOISY = ReleaseRules(("merchant", "platform"), noise="gaussian", sigma=20, epsilon=10)


def homes(folder: Path) -> dict[str, Home]:
    return {name: Home.create(folder / name, name) for name in ("merchant", "platform")}


def contract(parties: Mapping[str, Home], room: str = "spring", release: ReleaseRules = NOISY) -> SignedContract:
    """Signed by both and kept in their homes."""
    keys = {name: home.keys.public for name, home in parties.items()}
    terms = Contract(
        room,
        tuple(Party(name, name, key.signing.hex(), key.exchange.hex()) for name, key in keys.items()),
        tuple(Dataset(name, owner, "phone", "cn-mobile/1", 2000) for name, owner in OWNERS.items()),
        Match("dh", "crm", "users", "platform", "platform"),
        release,
        ("audience overlap",),
        "2025-01-01T00:00:00+00:00",
        "2099-01-01T00:00:00+00:00",
    )
    signed = SignedContract(terms)
    for name, home in parties.items():
        signed = signed.sign(name, home.keys)
    for home in parties.values():
        Rooms(home.rooms).save(Room(signed, ()))
        with open_ledger(home) as ledger:
            ledger.append("contract", {"contract": terms.digest(), "room": room, "parties": sorted(parties)})
    return signed


def asked(signed: SignedContract, *by: str) -> Question:
    return Question(by or ("level",), ("spend",), signed.contract.digest(), DATASETS, sigma=20)


def charge(signed: SignedContract) -> Charge:
    release = signed.contract.release
    return Charge("crm", accounting.rho_micro(20, 2), accounting.budget_micro(release.epsilon))


def answered(parties: Mapping[str, Home], question: Question, charge: Charge) -> bytes:
    """A receipt signed by both; the merchant has charged, drawn, released, and the platform countersigned."""
    proof = receipt(question, room="spring", rho_micro=charge.rho_micro)
    signed = SignedReceipt(proof)
    for name, home in parties.items():
        signed = signed.sign(name, home.keys)
    with open_ledger(parties["merchant"]) as ledger, open_ledger(parties["platform"]) as theirs:
        ledger.debit(question, charge)
        ledger.draws(question.digest(), lambda: b"the noise")
        ledger.record_release(proof, b"the answer")
        head, keys = ledger.head(), {name: home.keys.public.signing for name, home in parties.items()}
        ledger.accept("platform", keys["platform"], head, theirs.countersign(head, keys["merchant"]))
    return signed.encode()
