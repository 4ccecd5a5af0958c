"""C9 in whole rooms: run, restore, run. The restored side is refused until people accept it, then charged anew."""

import datetime as dt
import shutil
from pathlib import Path

import pytest

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.ledger import ledger as ledgers
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.store import read
from cleanroom.node import certificate
from cleanroom.node.peers import Peers
from cleanroom.operations import statement
from cleanroom.operations.restore import restore
from cleanroom.overlap.asked import Overlap
from tests.operations.world import backed_up, locks
from tests.room.world import csv, prepare, run

PEOPLE = 400


def put_back(homes: dict[str, Home], party: str, file: Path, folder: Path) -> None:
    shutil.rmtree(homes[party].path)
    restore(file, locks(folder)[1], homes[party].path)
    homes[party] = Home.open(homes[party].path)


def accepted_by_all(homes: dict[str, Home], party: str) -> None:
    said = statement.of(homes[party])
    for name, home in homes.items():
        if name != party:
            shown = certificate.own(homes[party])
            Peers(home).add(party, "", shown.pem, homes[party].keys.fingerprint)
            statement.accept(home, party, said, "Li")


def debits(home: Home) -> list[str]:
    return [str(entry.body["question"]) for entry in read(home.ledger_path).entries if entry.kind == "debit"]


@pytest.mark.parametrize(("protocol", "party"), [("dh", "merchant"), ("keyed", "operator")])
@pytest.mark.parametrize("released", [True, False])
def test_run_restore_run(
    protocol: str, party: str, released: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """released: the run before ended, so that peers saw its end; else it was cut off, and they saw nothing."""
    phones = [f"1380000{n:04d}" for n in range(PEOPLE)]
    merchant = csv(tmp_path / "m.csv", {"phone": phones, "level": ["a", "b"] * (PEOPLE // 2)})
    platform = csv(tmp_path / "p.csv", {"phone": phones, "city": ["x"] * PEOPLE})
    asked = Overlap(merchant, platform, protocol=protocol, by=("merchant.level",), k=50, key_bits=2048, noise=True,
                    operator=protocol == "keyed")  # fmt: skip
    homes, _, query = prepare(tmp_path, asked, protocol)
    file = backed_up(homes[party], tmp_path)
    first: list[str] = []
    if released:
        ran = run(homes, query)
        assert not ran.failures, ran.failures
        first = debits(homes["platform"])
    put_back(homes, party, file, tmp_path)

    refused = run(homes, query).failures[party]
    assert isinstance(refused, BadData if released else Refused)
    assert ("older, or another" if released else "not every peer") in str(refused)
    assert debits(homes[party]) == []

    accepted_by_all(homes, party)
    if party != "operator":
        closed = run(homes, query).failures[party]
        assert "budget of a dataset" in str(closed)  # the same text at both
        assert debits(homes[party]) == []
        moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=40)
        monkeypatch.setattr(ledgers, "_now", lambda: moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    ran = run(homes, query)
    assert not ran.failures, ran.failures
    for home in homes.values():
        assert not set(debits(home)[-1:]) & set(first)  # charged anew everywhere: no noise for free
    with open_ledger(homes[party]) as ledger:
        assert ledger.restored() is not None
