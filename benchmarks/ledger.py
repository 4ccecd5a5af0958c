"""How many durable debits a second the ledger takes, beside how often this disk syncs, in turn on the same disk."""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from benchmarks.processes import Ran, summary
from benchmarks.regimes import OURS, Plan, Row
from cleanroom.keystore import Wrapping
from cleanroom.ledger.ledger import Charge, Ledger
from cleanroom.privacy.history import DatasetVersion, Question

WANTED = 200
_PAGE = 4096
_DATASETS = (DatasetVersion("merchant", "crm", "a" * 64, 1000), DatasetVersion("platform", "users", "b" * 64, 2000))


class _Keys:
    """Signs as a party does."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        return self._key.sign(len(label).to_bytes(2, "big") + label.encode() + message)


def debits(path: Path, count: int, before: int = 0) -> float:
    """Seconds of `count` debits of different questions in a new ledger at `path` that holds `before` already."""
    keys = _Keys()
    charge = Charge("crm", 1, 10**9)
    with Ledger.create(path, "merchant", keys, keys.public, Wrapping(os.urandom(32))) as ledger:
        for number in range(-before, 0):
            ledger.debit(_question(number), charge)
        start = time.perf_counter()
        for number in range(count):
            ledger.debit(_question(number), charge)
        return time.perf_counter() - start


def syncs(path: Path, count: int) -> float:
    """Seconds of `count` times one more page in the file, and fsync."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        start = time.perf_counter()
        for _ in range(count):
            os.write(handle, bytes(_PAGE))
            os.fsync(handle)
        return time.perf_counter() - start
    finally:
        os.close(handle)


def rates(folder: Path, count: int = 1000, rounds: int = 5, before: int = 0) -> tuple[float, float]:
    """(debits a second, fsyncs a second): medians of rounds that alternate."""
    taken = [
        (debits(folder / f"{place}.sqlite", count, before), syncs(folder / f"{place}.raw", count))
        for place in range(rounds)
    ]
    ours, disk = (statistics.median(each) for each in zip(*taken, strict=True))
    return count / ours, count / disk


def row(plan: Plan) -> Row:
    """One line of the report; what the disk does stands in its name, since a sync alone is no contender."""
    count = plan.rows(1000, 200)
    taken = [
        (debits(plan.folder / f"{place}.sqlite", count), syncs(plan.folder / f"{place}.raw", count))
        for place in range(plan.rounds(3))
    ]
    disk = count / statistics.median(each for _, each in taken)
    name = (
        f"ledger: {count:,} durable debits (this disk: {disk:,.0f} fsync/s)",
        f"账本：{count:,} 次落盘记账（本盘每秒 {disk:,.0f} 次 fsync）",
    )
    wanted = f"≤ {count / min(WANTED, disk):.1f} s"
    return Row(name, wanted, 0, {OURS: summary([Ran(each) for each, _ in taken])})


def main() -> None:
    """Both rates, for a new ledger and for one of 3,000 debits this month."""
    for before in (0, 3_000):
        with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
            ours, disk = rates(Path(name), rounds=1 if before else 5, before=before)
        wanted = min(WANTED, disk)
        kept = "kept" if ours >= wanted else "MISSED"
        print(f"ledger of {before:,}: {ours:,.0f} durable debits/s, disk {disk:,.0f} fsync/s; "
              f"target {wanted:,.0f}: {kept}")  # fmt: skip


def _question(number: int) -> Question:
    return Question((f"column{number}",), ("spend",), "c" * 64, _DATASETS, sigma=20)


if __name__ == "__main__":
    main()
