"""C9, D4, L1: a snapshot brought back spends nothing twice, draws nothing twice, and remembers whom it may not."""

import datetime as dt
import json
import shutil
from pathlib import Path

import pytest

from cleanroom import budgets, keystore
from cleanroom.answer.epochs import Kept, number_at
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.keystore import Wrapping
from cleanroom.ledger import ledger as ledgers
from cleanroom.ledger.audit import heads_seen, verify_home_ledger
from cleanroom.ledger.chain import Entry
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.words import show
from cleanroom.operations import databases, sealed_stream, statement
from cleanroom.operations.restore import Newer, Restored, restore
from cleanroom.rooms.store import Rooms
from protocols.errors import ProtocolError
from tests.operations.world import World, backed_up, fill, locks, person, world


@pytest.fixture
def parties(tmp_path: Path) -> World:
    return world(tmp_path)


def brought_back(file: Path, folder: Path, newer: Newer | None = None) -> tuple[Home, Restored]:
    done = restore(file, locks(folder)[1], folder / "again", newer or Newer())
    return Home.open(folder / "again"), done


def later(monkeypatch: pytest.MonkeyPatch, days: int = 40) -> None:
    """Next month, for ledgers."""
    moment = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    monkeypatch.setattr(ledgers, "_now", lambda: moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def test_a_budget_is_not_spent_again(parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshot, spend, restore, spend: refused, whatever the dataset and the room, until the next month."""
    file = backed_up(parties.merchant, tmp_path)
    parties.ask(parties.merchant, parties.question(), b"the noise")
    home, done = brought_back(file, tmp_path)
    assert done.renews == renewal_day()
    later_room = Charge("imported-after-the-backup", 1, 10**12)
    with open_ledger(home) as ledger:
        for charge in (parties.charge, later_room, Charge("crm")):
            assert ledger.left(charge) == 0
            with pytest.raises(Refused, match="restored from a backup"):
                ledger.debit(parties.question(home, "city"), charge)
    told = budgets.told(home.path)
    assert [(each["left"]["rho_micro"], each["questions_left"]) for each in told["budgets"]] == [(0, 0)]
    later(monkeypatch)
    with open_ledger(home) as ledger:
        assert ledger.debit(parties.question(home), parties.charge).fresh
        assert ledger.left(parties.charge) == parties.charge.most_micro - parties.charge.rho_micro
    assert verify_home_ledger(home.ledger_path, home.keys.public.signing).entries


def renewal_day() -> str:
    today = dt.datetime.now(dt.UTC).date()
    return (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1).isoformat()


def test_a_clock_set_back_does_not_open_budgets(
    parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, _ = brought_back(backed_up(parties.merchant, tmp_path), tmp_path)
    monkeypatch.setattr(ledgers, "_now", lambda: "2024-01-01T00:00:00Z")
    with open_ledger(home) as ledger, pytest.raises(Refused, match="restored from a backup"):
        ledger.debit(parties.question(home), parties.charge)


def test_no_second_draw_of_a_question(parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked after the backup is another question after the restore: charged anew at both, never drawn free."""
    file = backed_up(parties.merchant, tmp_path)
    asked = parties.question()
    first = parties.ask(parties.merchant, asked, b"first noise")
    home, _ = brought_back(file, tmp_path)
    with open_ledger(home) as ledger, pytest.raises(BadData, match="after the debit"):
        ledger.draws(asked.digest(), lambda: b"second noise")
    anew = parties.question(home)
    assert anew.digest() != asked.digest()
    later(monkeypatch)
    with open_ledger(parties.platform) as theirs:
        statement_accepted(home, theirs, parties)
        assert not theirs.charged(anew)  # so that it is charged there too
    second = parties.ask(home, anew, b"second noise")
    assert (first, second) == (b"first noise", b"second noise")


def statement_accepted(home: Home, theirs: ledgers.Ledger, parties: World) -> None:
    key = home.keys.public.signing
    _, head = statement.read("merchant", key, statement.of(home))
    theirs.accept_line(head, key, "Li")


def test_two_restores_of_one_backup_do_not_meet(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    epochs = set()
    for name in ("one", "two", "three"):
        restore(file, locks(tmp_path)[1], tmp_path / name)
        epochs.add(Home.open(tmp_path / name).vault.epoch)
    assert len(epochs) == 3
    assert min(epochs) > parties.merchant.vault.epoch


def test_with_the_lost_ledger_nothing_is_lost(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    asked = parties.question()
    parties.ask(parties.merchant, asked, b"the noise")
    home, done = brought_back(file, tmp_path, Newer(parties.merchant.ledger_path))
    assert (done.renews, done.told) == ("", ())
    with open_ledger(home) as ledger, open_ledger(parties.platform) as theirs:
        assert ledger.restored() is None
        assert ledger.left(parties.charge) == parties.charge.most_micro - parties.charge.rho_micro
        assert ledger.draws(asked.digest(), lambda: b"another") == b"the noise"
        seen = theirs.seen("merchant", home.keys.public.signing)
        assert seen is not None
        ledger.check_holds(seen)


def test_a_copy_of_the_ledger_keeps_the_record_and_closes_budgets(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    asked = parties.question()
    parties.ask(parties.merchant, asked, b"the noise")
    copy = tmp_path / "copy.sqlite"
    databases.copy(parties.merchant.ledger_path, copy)
    parties.ask(parties.merchant, parties.question(None, "city"), b"later noise")
    home, done = brought_back(file, tmp_path, Newer(copy, copy=True))
    assert done.renews == renewal_day()
    with open_ledger(home) as ledger:
        assert ledger.draws(asked.digest(), lambda: b"another") == b"the noise"
        with pytest.raises(Refused, match="restored from a backup"):
            ledger.debit(parties.question(home), parties.charge)


def test_a_ledger_that_does_not_go_on_is_refused(parties: World, tmp_path: Path) -> None:
    older = tmp_path / "older.sqlite"
    with open_ledger(parties.merchant):
        pass
    shutil.copy(parties.merchant.ledger_path, older)
    parties.ask(parties.merchant, parties.question(), b"the noise")
    file = backed_up(parties.merchant, tmp_path)
    with open_ledger(parties.platform):
        pass
    (tmp_path / "none.sqlite").write_bytes(b"no database")
    for path in (older, parties.platform.ledger_path, tmp_path / "none.sqlite", tmp_path / "missing.sqlite"):
        with pytest.raises(BadData):
            brought_back(file, tmp_path, Newer(path))
        assert not (tmp_path / "again").exists()


def test_an_edited_ledger_is_refused(parties: World, tmp_path: Path) -> None:
    import sqlite3

    file = backed_up(parties.merchant, tmp_path)
    parties.ask(parties.merchant, parties.question(), b"the noise")
    database = sqlite3.connect(parties.merchant.ledger_path)
    with database:
        database.execute("DELETE FROM entries WHERE kind = 'draws'")
    database.close()
    with pytest.raises(BadData, match="Ledger, step 2"):
        brought_back(file, tmp_path, Newer(parties.merchant.ledger_path))


def test_peers_refuse_the_older_ledger_until_a_person_accepts_it(parties: World, tmp_path: Path) -> None:
    file = backed_up(parties.merchant, tmp_path)
    parties.ask(parties.merchant, parties.question(), b"the noise")
    home, _ = brought_back(file, tmp_path)
    key = home.keys.public.signing
    with open_ledger(home) as ledger, open_ledger(parties.platform) as theirs:
        seen = theirs.seen("merchant", key)
        assert seen is not None
        with pytest.raises(BadData, match="older, or another"):
            ledger.check_holds(seen)
        with pytest.raises(BadData, match=r"cut|forked"):
            theirs.countersign(ledger.head(), key)
        statement_accepted(home, theirs, parties)
        now_seen = theirs.seen("merchant", key)
        assert now_seen is not None
        ledger.check_holds(now_seen)
        theirs.countersign(ledger.head(), key)
        with pytest.raises(Refused, match="accepted before"):
            statement_accepted(home, theirs, parties)
    assert "Li accepted the restored ledger of merchant" in " ".join(
        row.text.format(**row.params) for row in show(parties.platform.ledger_path)
    )
    verify_home_ledger(parties.platform.ledger_path, parties.platform.keys.public.signing)
    witnesses = heads_seen(parties.platform.ledger_path, key)
    assert len(verify_home_ledger(home.ledger_path, key, witnesses=witnesses).steps) == 8
    with pytest.raises(BadData, match="step 8"):
        verify_home_ledger(parties.merchant.ledger_path, key, witnesses=witnesses)


def test_a_statement_cannot_be_forged_or_be_of_another_entry(parties: World, tmp_path: Path) -> None:
    home, _ = brought_back(backed_up(parties.merchant, tmp_path), tmp_path)
    key, said = home.keys.public.signing, statement.of(home)
    assert statement.read("merchant", key, json.loads(json.dumps(said)))[1].seq == said["entry"]["seq"]
    entry = said["entry"]
    for changed in (
        said | {"format": "cleanroom-restored/9"},
        said | {"more": 1},
        said | {"entry": entry | {"body": entry["body"] | {"made": "2020-01-01T00:00:00Z"}}},
        said | {"entry": entry | {"seq": entry["seq"] + 1}},
        said | {"entry": entry | {"signature": "00" * 64}},
        said | {"entry": "none"},
        said | {"key": parties.platform.keys.public.signing.hex()},
    ):
        with pytest.raises(BadData):
            statement.read("merchant", key, changed)
    with pytest.raises(BadData):
        statement.read("other", key, said)
    with open_ledger(parties.merchant) as ledger:
        ledger.append("import", {"dataset": "crm", "manifest": "a" * 64, "rows": 1})
    other = first_entry(parties.merchant)
    with pytest.raises(BadData):
        statement.read("merchant", key, said | {"entry": other.__dict__})
    with pytest.raises(UsageError, match="never restored"):
        statement.of(parties.platform)


def first_entry(home: Home) -> Entry:
    from cleanroom.ledger.store import read

    return read(home.ledger_path).entries[0]


def test_forgotten_persons_do_not_come_back(parties: World, tmp_path: Path) -> None:
    """L1: with the newest list whoever was forgotten since the backup is gone from all that is restored, for good."""
    import numpy as np

    file = backed_up(parties.merchant, tmp_path)
    parties.merchant.vault.forget(np.frombuffer(person(3) + person(4), np.uint8).reshape(-1, 32))
    newest = parties.merchant.path / "vault" / "tombstones"
    home, done = brought_back(file, tmp_path, Newer(tombstones=newest))
    assert done.forgotten == 2
    assert home.vault.rows("crm") == 38
    assert len(home.vault.versions("crm")) == 1  # the version with them is no more
    fill(home, "crm", range(40))
    assert home.vault.rows("crm") == 38
    without = restore(file, locks(tmp_path)[1], tmp_path / "without")
    assert without.forgotten is None
    assert Home.open(tmp_path / "without").vault.rows("crm") == 40


def test_an_older_or_foreign_list_of_the_forgotten_is_refused(parties: World, tmp_path: Path) -> None:
    import numpy as np

    forget = parties.merchant.vault.forget
    forget(np.frombuffer(person(3), np.uint8).reshape(-1, 32))
    older = shutil.copy(parties.merchant.path / "vault" / "tombstones", tmp_path / "older")
    forget(np.frombuffer(person(4), np.uint8).reshape(-1, 32))
    file = backed_up(parties.merchant, tmp_path)
    parties.platform.vault.forget(np.frombuffer(person(5), np.uint8).reshape(-1, 32))
    for path in (older, parties.platform.path / "vault" / "tombstones"):
        with pytest.raises(BadData):
            brought_back(file, tmp_path, Newer(tombstones=path))


def test_no_run_goes_on_from_a_backup(tmp_path: Path) -> None:
    """States of former runs are dropped; the quota of this key epoch counts as spent, its key known or not."""
    created = (dt.datetime.now(dt.UTC) - dt.timedelta(days=3)).replace(microsecond=0).isoformat()
    parties = world(tmp_path, "oprf", created, quota=50)
    contract = Rooms(parties.merchant.rooms).load("spring").contract
    number = number_at(contract, dt.datetime.now(dt.UTC))
    kept = Kept(parties.merchant, contract, number).begin()
    kept.save("own", b"of persons")
    slots = parties.merchant.rooms / "spring" / "slots-crm"
    slots.write_bytes(b"ciphertexts")
    (parties.merchant.rooms / "spring" / "slots.lock").touch()
    home, _ = brought_back(backed_up(parties.merchant, tmp_path), tmp_path)
    assert not list((home.rooms / "spring").glob("slots-*"))
    again = Kept(home, contract, number)
    assert again.load("own") is None

    from protocols.oprf.keys import Epoch, Key, Quota

    key = Key.import_secret(again.load("key") or b"")
    epoch = Epoch(number, key.public, 2000, 50, 8)
    quota = Quota.from_bytes(again.load("quota") or b"")
    with pytest.raises(ProtocolError, match="0 are left"):
        quota.spend(epoch, 1)


def test_no_key_and_nonce_twice(parties: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Snapshot, run, restore, run: whatever is sealed, in the ledger, the vault and the backups."""
    used: list[tuple[bytes, bytes]] = []

    real = keystore.AESGCM

    def noting(key: bytes) -> object:
        class Sealing:
            def encrypt(self, nonce: bytes, content: bytes, with_it: bytes) -> bytes:
                used.append((bytes(key), bytes(nonce)))
                return real(key).encrypt(nonce, content, with_it)

            decrypt = staticmethod(real(key).decrypt)

        return Sealing()

    for module in (keystore, sealed_stream):
        monkeypatch.setattr(module, "AESGCM", noting)
    file = backed_up(parties.merchant, tmp_path)
    parties.ask(parties.merchant, parties.question(), b"the noise")
    fill(parties.merchant, "crm", range(50))
    home, _ = brought_back(file, tmp_path)
    later(monkeypatch)
    with open_ledger(parties.platform) as theirs:
        statement_accepted(home, theirs, parties)
    parties.ask(home, parties.question(home), b"other noise")
    fill(home, "crm", range(50))
    backed_up(home, tmp_path, "second")
    assert len(used) > 20
    assert len(used) == len(set(used))


def test_homes_inside_are_made_safe_too(parties: World, tmp_path: Path) -> None:
    inner = parties.merchant.path / "peers" / "platform"
    shutil.copytree(parties.platform.path, inner)
    home, _ = brought_back(backed_up(parties.merchant, tmp_path), tmp_path)
    with open_ledger(Home.open(home.path / "peers" / "platform")) as ledger:
        assert ledger.restored() is not None


def test_the_wrapping_is_the_same(parties: World, tmp_path: Path) -> None:
    home, _ = brought_back(backed_up(parties.merchant, tmp_path), tmp_path)
    assert isinstance(home.wrapping, Wrapping)
    assert home.wrapping.unwrap("x", parties.merchant.wrapping.wrap("x", b"1")) == b"1"
