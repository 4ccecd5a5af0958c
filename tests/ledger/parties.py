"""Two parties with keys and ledgers of their own, and a question with its receipt, for the tests of this folder."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from cleanroom.keystore import Wrapping
from cleanroom.ledger.ledger import Charge, Ledger
from cleanroom.ledger.receipt import Receipt, table_digest
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.ranges import size_range
from cleanroom.privacy.threshold import Rules

SALT = bytes(range(16))
TABLE = pa.table({"level": ["gold", "silver"], "people": [150, 300], "spend": [-15, None]})
DATASETS = (DatasetVersion("merchant", "crm", "a" * 64, 1000), DatasetVersion("platform", "users", "b" * 64, 2000))


class Keys:
    """Signs as `PartyKeys` does, without a folder."""

    def __init__(self, seed: int) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        return self._key.sign(len(label).to_bytes(2, "big") + label.encode() + message)


@dataclass(frozen=True)
class Side:
    name: str
    keys: Keys
    path: Path

    def open(self, keys: Keys | None = None) -> Ledger:
        keys = keys or self.keys
        return Ledger(self.path, keys, keys.public, Wrapping(b"r" * 32))

    def create(self) -> Ledger:
        return Ledger.create(self.path, self.name, self.keys, self.keys.public, Wrapping(b"r" * 32))


def side(folder: Path, name: str = "merchant", seed: int = 1) -> Side:
    return Side(name, Keys(seed), folder / f"{name}.sqlite")


COST = Charge("crm", 2_500, 25_000)
"""Of a noised question, in a budget for ten."""


def question(*by: str, sigma: int = 0) -> Question:
    return Question(by or ("level",), ("spend",), "c" * 64, DATASETS, sigma=sigma)


def receipt(asked: Question | None = None, **changes: object) -> Receipt:
    asked = asked or question()
    fields: dict[str, object] = {
        "room": "overlap",
        "contract": asked.contract,
        "question": asked.digest(),
        "by": asked.by,
        "sums": asked.sums,
        "datasets": asked.datasets,
        "protocol": "dh",
        "transcript": "d" * 64,
        "isolation": "process without network",
        "rules": Rules(noise="gaussian", sigma=asked.sigma, draws=1) if asked.sigma else Rules(),
        "recipients": ("platform",),
        "purposes": ("audience overlap",),
        "table": table_digest(TABLE, SALT),
        "rows": 2,
        "columns": 3,
        "people": size_range(460, 100),
        "withheld": True,
        "time": "2025-01-01T00:00:00Z",
    }
    return Receipt(**{**fields, **changes})


def story(owner: Side) -> None:
    """A ledger with one entry of most kinds."""
    with owner.create() as ledger:
        ledger.append("contract", {"contract": "c" * 64, "room": "overlap", "parties": ["merchant", "platform"]})
        ledger.append("import", {"dataset": "crm", "manifest": "a" * 64, "rows": 1000})
        match = {"protocol": "dh", "host": "platform", "receiver": "platform", "output": "members"}
        ledger.append("match", {"contract": "c" * 64, "transcript": "d" * 64, **match})
        ledger.debit(question())
        ledger.record_release(receipt(), b"the answer")
        ledger.append("forget", {"dataset": "crm", "persons": 2, "epoch": "1"})
        noised = question("city", sigma=20)
        ledger.debit(noised, COST)
        ledger.draws(noised.digest(), lambda: b"the noise")
        ledger.record_release(receipt(noised), b"the noised answer")
