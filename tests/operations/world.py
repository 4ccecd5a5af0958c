"""A home with a dataset, a signed room with noise, and a ledger with a question in it that its peer has seen."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cleanroom.home import Home
from cleanroom.keystore import Keystore
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SALT_BYTES, Receipt, table_digest
from cleanroom.operations.backup import write
from cleanroom.operations.sealed_stream import Lock, Unlock, by_keystore, with_keystore
from cleanroom.privacy import accounting
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.ranges import size_range
from cleanroom.privacy.threshold import Rules
from cleanroom.rooms.contract import Contract, SignedContract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.terms import Column, Dataset, Match, Party, ReleaseRules
from tests.near import new_home

NOISY = ReleaseRules(("merchant", "platform"), noise="gaussian", sigma=20, epsilon=10)
PLANTED = "planted-张三-13800138000"


def backup_key(folder: Path) -> Keystore:
    """A key file for backups."""
    path = folder / "backup.key"
    if not path.exists():
        Keystore.make_key_file(path)
    return Keystore.from_key_file(path)


def locks(folder: Path) -> tuple[Lock, Unlock]:
    key = backup_key(folder)
    return by_keystore(key), with_keystore(key)


def backed_up(home: Home, folder: Path, name: str = "home.backup") -> Path:
    write(home, folder / name, locks(folder)[0])
    return folder / name


def person(number: int) -> bytes:
    return number.to_bytes(4, "big") * 8


def fill(home: Home, name: str, people: range) -> None:
    """A dataset of these persons."""
    schema = pa.schema([pa.field("digest", pa.binary(32), nullable=False), pa.field("note", pa.string())])
    rows = pa.table([pa.array([person(n) for n in people], pa.binary(32)), pa.array([PLANTED] * len(people))],
                    schema=schema)  # fmt: skip
    home.vault.write(name, schema, rows.to_batches(), meta={"identity": "phone"})


@dataclass(frozen=True)
class World:
    """Two homes, and the room between them."""

    merchant: Home
    platform: Home
    signed: SignedContract

    def question(self, home: Home | None = None, *by: str) -> Question:
        """As a run would make it: the epochs of both owners' vaults are in it."""
        owners = {"merchant": home or self.merchant, "platform": self.platform}
        versions = [DatasetVersion(n, d, "a" * 64, 1000) for n, d in (("merchant", "crm"), ("platform", "users"))]
        epoch = ",".join(f"{name}:{each.vault.epoch}" for name, each in owners.items())
        return Question(by or ("level",), ("spend",), self.signed.contract.digest(), tuple(versions), epoch, sigma=20)

    @property
    def charge(self) -> Charge:
        return Charge("crm", accounting.rho_micro(20, 2), accounting.budget_micro(10, 1e-6))

    def ask(self, home: Home, question: Question, noise: bytes) -> bytes:
        """What the home tells of the question: charged, drawn once, released, the end of its ledger countersigned."""
        keys = self.merchant.keys.public.signing, self.platform.keys.public.signing
        with open_ledger(home) as ledger, open_ledger(self.platform) as theirs:
            ledger.debit(question, self.charge)
            theirs.debit(question, Charge("users", self.charge.rho_micro, self.charge.most_micro))
            told = ledger.draws(question.digest(), lambda: noise)
            ledger.record_release(_receipt(question, self.charge.rho_micro), told)
            ledger.accept("platform", keys[1], ledger.head(), theirs.countersign(ledger.head(), keys[0]))
        return told


def world(folder: Path, protocol: str = "dh", created: str = "2025-01-01T00:00:00+00:00", quota: int = 0) -> World:
    homes = {name: new_home(folder / name, name) for name in ("merchant", "platform")}
    keys = {name: home.keys.public for name, home in homes.items()}
    columns = (Column("spend", "amount", low=0, high=100),)
    terms = Contract(
        "spring",
        tuple(Party(name, name, key.signing.hex(), key.exchange.hex()) for name, key in keys.items()),
        (Dataset("crm", "merchant", "phone", "cn-mobile/1", 2000, columns, "consent 7"),
         Dataset("users", "platform", "phone", "cn-mobile/1", 2000)),
        Match(protocol, "crm", "users", "platform", "platform", quota=quota),
        NOISY,
        ("audience overlap",),
        created,
        "2099-01-01T00:00:00+00:00",
    )  # fmt: skip
    signed = SignedContract(terms)
    for name, home in homes.items():
        signed = signed.sign(name, home.keys)
    for home in homes.values():
        Rooms(home.rooms).save(Room(signed, ()))
    fill(homes["merchant"], "crm", range(40))
    return World(homes["merchant"], homes["platform"], signed)


def _receipt(question: Question, rho: int) -> Receipt:
    table = pa.table({"level": ["gold"], "people": [150]})
    return Receipt(
        room="spring", contract=question.contract, question=question.digest(), by=question.by, sums=question.sums,
        datasets=question.datasets, protocol="dh", transcript="d" * 64, isolation="none",
        rules=Rules(100, "gaussian", 20, 1), recipients=("merchant", "platform"), purposes=("audience overlap",),
        table=table_digest(table, bytes(SALT_BYTES)), rows=1, columns=2, people=size_range(1000, 100), withheld=True,
        time="2026-01-01T00:00:00+00:00", epoch=question.epoch, rho_micro=rho,
    )  # fmt: skip
