"""A ledger charges and releases each question once, keeps what peers have seen, and holds no value of the data."""

import hashlib
import sqlite3
import stat
from dataclasses import replace

import pytest
from parties import COST, Keys, question, receipt, side, story

from cleanroom import canonical
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.keystore import Wrapping
from cleanroom.ledger import ledger as ledgers
from cleanroom.ledger.audit import verify_home_ledger
from cleanroom.ledger.chain import HEAD_LABEL, Head, entry_hash, genesis, head_message
from cleanroom.ledger.ledger import Charge, Ledger, UnsafeClear
from cleanroom.ledger.store import read


@pytest.fixture
def clock(monkeypatch):
    """Sets the time of entries."""
    return lambda time: monkeypatch.setattr(ledgers, "_now", lambda: time)


def test_a_question_is_charged_once_and_answered_from_the_ledger_afterwards(tmp_path):
    with side(tmp_path).create() as ledger:
        first, again = ledger.debit(question()), ledger.debit(question())
        assert first.fresh
        assert not again.fresh
        assert again.entry == first.entry
        assert ledger.stored_answer(question().digest()) is None
        released = ledger.record_release(receipt(), b"one")
        assert ledger.record_release(receipt(time="2026-01-01T00:00:00Z"), b"two") == released
    with side(tmp_path).open() as ledger:
        assert ledger.stored_answer(question().digest()) == b"one"
        assert not ledger.debit(question()).fresh


def test_a_party_that_may_not_have_the_answer_keeps_none(tmp_path):
    with side(tmp_path).create() as ledger:
        ledger.debit(question())
        ledger.record_release(receipt())
        assert ledger.stored_answer(question().digest()) is None


def test_a_release_without_a_debit_is_refused_and_leaves_nothing(tmp_path):
    with side(tmp_path).create() as ledger, pytest.raises(BadData, match="without a debit"):
        ledger.record_release(receipt(), b"answer")
    assert read(tmp_path / "merchant.sqlite").entries == ()


def test_a_second_grouping_by_several_columns_is_refused_and_not_charged(tmp_path):
    with side(tmp_path).create() as ledger:
        ledger.debit(question("level"))
        ledger.debit(question("level", "city"))
        ledger.debit(question("gender"))
        with pytest.raises(Refused, match="already grouped"):
            ledger.debit(question("level", "gender"))
        assert ledger.head().seq == 3


def test_stored_answers_are_sealed_and_only_their_own_question_opens_them(tmp_path):
    story(side(tmp_path))
    assert b"the answer" not in (tmp_path / "merchant.sqlite").read_bytes()
    with side(tmp_path).open() as ledger:
        sealed = ledger._database.execute("SELECT sealed FROM answers").fetchone()[0]
        ledger._database.execute("UPDATE answers SET sealed = ?", (sealed[:-1] + bytes([sealed[-1] ^ 1]),))
        with pytest.raises(BadData, match="was changed"):
            ledger.stored_answer(question().digest())


def test_answers_are_kept_in_the_clear_only_where_the_caller_says_so(tmp_path):
    keys = Keys(1)
    with Ledger.create(tmp_path / "l", "merchant", keys, keys.public, UnsafeClear()) as ledger:
        ledger.debit(question())
        ledger.record_release(receipt(), b"the answer")
        assert ledger.stored_answer(question().digest()) == b"the answer"


def test_the_file_is_its_owners_alone_and_never_begun_again(tmp_path):
    side(tmp_path).create().close()
    assert stat.S_IMODE((tmp_path / "merchant.sqlite").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["merchant.sqlite"]
    with pytest.raises(UsageError):
        side(tmp_path).create()


def test_a_commit_is_synced_before_it_returns(tmp_path):
    with side(tmp_path).create() as ledger:
        settings = [
            ledger._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
        ]
    assert settings == ["wal", 2]  # FULL


def test_what_is_committed_and_not_yet_in_the_file_is_its_owners_alone_and_not_begun_over(tmp_path):
    with side(tmp_path).create() as ledger:
        ledger.debit(question())
        assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*-wal")} == {
            "merchant.sqlite-wal": 0o600
        }
        (tmp_path / "merchant.sqlite").unlink()
        with pytest.raises(UsageError):
            side(tmp_path).create()


def test_a_missing_foreign_or_damaged_file_is_named(tmp_path):
    with pytest.raises(BadData, match="is missing"):
        side(tmp_path).open()
    side(tmp_path).create().close()
    with pytest.raises(BadData, match="another key"):
        side(tmp_path, seed=2).open()
    for content in (b"", b"no database" * 1000):
        (tmp_path / "merchant.sqlite").write_bytes(content)
        with pytest.raises(BadData):
            side(tmp_path).open()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("import", {"dataset": "crm", "manifest": "a", "rows": "1000"}),
        ("import", {"dataset": "crm", "manifest": "a"}),
        ("import", {"dataset": "crm", "manifest": "a", "rows": 1, "phone": "13800138000"}),
        ("import", {"dataset": "x" * 129, "manifest": "a", "rows": 1}),
        ("forget", {"dataset": "crm", "persons": True, "epoch": "1"}),
    ],
)
def test_entries_have_their_fields_and_no_others(tmp_path, kind, body):
    with side(tmp_path).create() as ledger, pytest.raises(BadData):
        ledger.append(kind, body)


def test_debits_and_releases_cannot_be_appended_past_their_rules(tmp_path):
    with side(tmp_path).create() as ledger:
        for kind in ("debit", "release", "countersign", "other"):
            with pytest.raises(UsageError):
                ledger.append(kind, {})


def test_a_budget_is_for_all_questions_to_a_lineage_and_refuses_what_is_beyond(tmp_path):
    with side(tmp_path).create() as ledger:
        for number in range(9):
            ledger.debit(question(f"column{number}", sigma=20), COST)
        assert ledger.left(COST) == 2_500
        with pytest.raises(Refused, match=r"crm does not allow .* ρ 0\.002501, and ρ 0\.0025 of 0\.025 are left"):
            ledger.debit(question("more", sigma=20), replace(COST, rho_micro=2_501))
        assert ledger.head().seq == 9
        ledger.debit(question("ten", sigma=20), COST)
        assert ledger.left(COST) == 0
        assert not ledger.debit(question("ten", sigma=20), COST).fresh  # repeated, it needs nothing
        with pytest.raises(Refused):
            ledger.debit(question("eleven", sigma=20), COST)
        ledger.debit(question("other", sigma=20), replace(COST, lineage="users"))
        ledger.debit(question("operator", sigma=20), replace(COST, lineage=""))
        ledger.debit(question("exact"), Charge("crm"))  # noise off costs nothing
        assert ledger.left(replace(COST, most_micro=10_000)) == 0
        assert ledger.left(replace(COST, lineage="")) == COST.most_micro
    verify_home_ledger(tmp_path / "merchant.sqlite", Keys(1).public)


def test_a_refusal_says_when_the_budget_renews(tmp_path, clock):
    clock("2025-12-31T23:59:59Z")
    with side(tmp_path).create() as ledger, pytest.raises(Refused) as refused:
        ledger.debit(question(sigma=20), replace(COST, most_micro=1))
    assert refused.value.params["day"] == "2026-01-01"


def test_a_new_month_renews_the_budget_and_charges_no_question_again(tmp_path, clock):
    asked, whole = question(sigma=20), replace(COST, rho_micro=COST.most_micro)
    with side(tmp_path).create() as ledger:
        clock("2026-01-31T23:59:59Z")
        assert ledger.debit(asked, whole).fresh
        assert ledger.left(whole) == 0
        clock("2026-02-01T00:00:00Z")
        assert not ledger.debit(asked, whole).fresh
        assert ledger.left(whole) == COST.most_micro
        assert ledger.debit(question("other", sigma=20), whole).fresh
        clock("2026-01-15T12:00:00Z")  # a clock set back frees nothing
        assert ledger.left(replace(whole, most_micro=2 * COST.most_micro)) == 0
    report = verify_home_ledger(tmp_path / "merchant.sqlite", Keys(1).public)
    assert [(each.month, each.rho_micro) for each in report.spent] == [("2026-01", 25_000), ("2026-02", 25_000)]


@pytest.mark.parametrize("fields", [{"rho_micro": -1}, {"most_micro": -1}])
def test_a_charge_gives_nothing_back(fields):
    with pytest.raises(UsageError):
        Charge("crm", **fields)


def test_noise_is_drawn_once_whoever_asks_again(tmp_path):
    asked = question(sigma=20)
    with side(tmp_path).create() as ledger:
        with pytest.raises(BadData, match="after the debit"):
            ledger.draws(asked.digest(), lambda: b"first")
        ledger.debit(asked, COST)
        with pytest.raises(ZeroDivisionError):
            ledger.draws(asked.digest(), lambda: bytes(1 // 0))
        assert ledger.draws(asked.digest(), lambda: b"first") == b"first"
    with side(tmp_path).open() as ledger:
        assert ledger.draws(asked.digest(), lambda: b"second") == b"first"
        ledger.record_release(receipt(asked), b"answer")
        assert ledger.draws(asked.digest(), lambda: b"third") == b"first"
        assert ledger.released(asked.digest()).body["noise"] == "gaussian"
    assert b"first" not in (tmp_path / "merchant.sqlite").read_bytes()


def test_noise_that_was_lost_is_not_drawn_anew(tmp_path):
    asked = question(sigma=20)
    with side(tmp_path).create() as ledger:
        ledger.debit(asked, COST)
        ledger.draws(asked.digest(), lambda: b"first")
        ledger._database.execute("DELETE FROM draws")
        with pytest.raises(BadData, match="was changed"):
            ledger.draws(asked.digest(), lambda: b"second")
        ledger.debit(question("other", sigma=20), COST)
        ledger.record_release(receipt(question("other", sigma=20)), b"answer")
        with pytest.raises(BadData, match="before the release"):
            ledger.draws(question("other", sigma=20).digest(), lambda: b"late")


def test_what_was_asked_over_a_population_is_known_and_sealed(tmp_path):
    here = replace(question(sigma=20), where=((("crm.city", (1, 2)),),))
    with side(tmp_path).create() as ledger:
        ledger.debit(here, COST)
        ledger.debit(question("level"))
        ledger.debit(replace(question("gender"), epoch="1"))
        assert ledger.questions(here.population()) == [here.query(), question("level").query()]
        assert ledger.charged(here)
        assert not ledger.charged(question("gender"))
    assert b"crm.city" not in (tmp_path / "merchant.sqlite").read_bytes()


def test_with_noise_columns_may_be_crossed_as_one_likes(tmp_path):
    with side(tmp_path).create() as ledger:
        ledger.debit(question("level", "gender", sigma=20), COST)
        ledger.debit(question("level", "city"))
        ledger.debit(question("city", "gender", sigma=20), COST)
        with pytest.raises(Refused, match="already grouped by city, level"):
            ledger.debit(question("level", "gender"))


def first_format(owner) -> None:
    """A ledger as the first version wrote it: a debit of that form, and its release."""
    asked = question("level")
    body = {"question": asked.digest(), "query": asked.query_digest(), "contract": asked.contract,
            "population": asked.population(), "by": ["level"], "rho_micro": 0}  # fmt: skip
    database = sqlite3.connect(owner.path, isolation_level=None)
    database.executescript(
        """CREATE TABLE meta (format TEXT NOT NULL, party TEXT NOT NULL, key TEXT NOT NULL);
        CREATE TABLE entries (
            seq INTEGER PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,
            previous TEXT NOT NULL, hash TEXT NOT NULL, signature TEXT NOT NULL, subject TEXT NOT NULL
        );
        CREATE TABLE answers (question TEXT PRIMARY KEY, sealed BLOB NOT NULL);
        CREATE UNIQUE INDEX once ON entries (subject, kind) WHERE kind IN ('debit', 'release');"""
    )
    sealed = Wrapping(b"r" * 32).wrap(f"answer/{asked.digest()}", b"the answer")
    release = receipt(asked).ledger_body(hashlib.sha256(sealed).hexdigest())
    previous, key = genesis(owner.name, owner.keys.public), owner.keys.public.hex()
    for seq, (kind, said) in enumerate((("debit", body), ("release", release)), start=1):
        hash_ = entry_hash(seq, "2025-01-01T00:00:00Z", kind, said, previous)
        signature = owner.keys.sign(HEAD_LABEL, head_message(owner.name, key, seq, hash_)).hex()
        row = (seq, "2025-01-01T00:00:00Z", kind, canonical.encode(said).decode(), previous, hash_, signature)
        database.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*row, asked.digest()))
        previous = hash_
    database.execute("INSERT INTO answers VALUES (?, ?)", (asked.digest(), sealed))
    database.execute("INSERT INTO meta VALUES ('cleanroom-ledger/1', ?, ?)", (owner.name, key))
    database.close()


def test_a_ledger_of_the_first_format_reads_verifies_and_goes_on(tmp_path):
    owner = side(tmp_path)
    first_format(owner)
    assert verify_home_ledger(owner.path, owner.keys.public).entries == 2
    before = read(owner.path)
    assert before.format == "cleanroom-ledger/1"
    for _ in range(2):
        with owner.open() as ledger:
            assert ledger.stored_answer(question("level").digest()) == b"the answer"
            assert not ledger.debit(question("level")).fresh
            ledger.debit(question("city", sigma=20), COST)
            assert ledger.questions(question().population())[0] == {"by": ["level"], "sums": []}
    with owner.open() as ledger, pytest.raises(Refused, match="already grouped"):
        ledger.debit(question("city", "level"))
        ledger.debit(question("city", "gender"))
    after = read(owner.path)
    assert (after.format, after.entries[:2]) == ("cleanroom-ledger/2", before.entries)
    assert verify_home_ledger(owner.path, owner.keys.public).entries == 4


def exchange(mine: Ledger, theirs: Ledger, theirs_name: str, keys: Keys) -> None:
    head = mine.head()
    mine.accept(theirs_name, keys.public, head, theirs.countersign(Head.parse(head.plain()), bytes.fromhex(mine.key)))


def test_heads_are_exchanged_and_kept(tmp_path):
    merchant, platform = side(tmp_path), side(tmp_path, "platform", 2)
    with merchant.create() as ours, platform.create() as theirs:
        exchange(ours, theirs, "platform", platform.keys)  # empty ledgers have heads too
        ours.debit(question())
        exchange(ours, theirs, "platform", platform.keys)
        exchange(theirs, ours, "merchant", merchant.keys)
        before = theirs.head()
        theirs.countersign(ours.head(), merchant.keys.public)
        theirs.countersign(ours.head(), merchant.keys.public)
        assert theirs.head().seq == before.seq + 1  # the same head twice is kept once


def test_a_fork_shown_to_the_same_peer_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    merchant, twin, platform = side(tmp_path), side(tmp_path / "other"), side(tmp_path, "platform", 2)
    with merchant.create() as ours, twin.create() as forked, platform.create() as theirs:
        ours.debit(question("level"))
        forked.debit(question("city"))
        theirs.countersign(ours.head(), merchant.keys.public)
        with pytest.raises(BadData, match="forked"):
            theirs.countersign(forked.head(), merchant.keys.public)


def test_a_cut_ledger_shown_to_the_same_peer_is_refused(tmp_path):
    merchant, platform = side(tmp_path), side(tmp_path, "platform", 2)
    with merchant.create() as ours, platform.create() as theirs:
        early = ours.head()
        ours.debit(question())
        theirs.countersign(ours.head(), merchant.keys.public)
        with pytest.raises(BadData, match="cut"):
            theirs.countersign(early, merchant.keys.public)


def test_heads_and_countersignatures_of_other_keys_are_refused(tmp_path):
    merchant, platform, stranger = side(tmp_path), side(tmp_path, "platform", 2), Keys(3)
    with merchant.create() as ours, platform.create() as theirs:
        head = ours.head()
        with pytest.raises(BadData):
            theirs.countersign(head, stranger.public)
        with pytest.raises(BadData):
            theirs.countersign(Head(head.party, head.key, 7, head.hash, head.signature), merchant.keys.public)
        cosignature = theirs.countersign(head, merchant.keys.public)
        with pytest.raises(BadData):
            ours.accept("platform", stranger.public, head, cosignature)
        foreign = theirs.head()
        with pytest.raises(BadData, match="not of this ledger"):
            ours.accept("platform", platform.keys.public, foreign, theirs.countersign(foreign, platform.keys.public))


@pytest.mark.parametrize("value", [None, {}, {"party": "a"}, [1], "x"])
def test_heads_that_are_not_in_their_form_are_refused(value):
    with pytest.raises(BadData):
        Head.parse(value)
