"""A ledger charges and releases each question once, keeps what peers have seen, and holds no value of the data."""

import stat

import pytest
from parties import Keys, question, receipt, side, story

from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.ledger.chain import Head
from cleanroom.ledger.ledger import Ledger, UnsafeClear, read


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
        with pytest.raises(BadData, match="not the one that was released"):
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
