"""C8: a forked, cut, reordered, edited or foreign ledger does not verify, and the failing step is named."""

import hashlib
import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parties import SALT, TABLE, Keys, question, receipt, side, story

from cleanroom import canonical
from cleanroom.errors import BadData
from cleanroom.lang import choose, t
from cleanroom.ledger.audit import first_difference, heads_seen, verify_home_ledger, verify_receipt_file
from cleanroom.ledger.chain import HEAD_LABEL, Entry, Head, entry_hash, genesis, head_message
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.ledger.store import found_in, read
from cleanroom.ledger.words import TEXTS, show

PLATFORM = Keys(2)


@pytest.fixture
def owner(tmp_path):
    """A merchant with a ledger of a whole story, of which the platform has seen and signed the end."""
    owner = side(tmp_path)
    story(owner)
    with owner.open() as ledger, side(tmp_path, "platform", 2).create() as theirs:
        head = ledger.head()
        ledger.accept("platform", PLATFORM.public, head, theirs.countersign(head, owner.keys.public))
    return owner


def edit(owner, *statements):
    database = sqlite3.connect(owner.path, isolation_level=None)
    for statement in statements:
        database.execute(*statement if isinstance(statement, tuple) else (statement,))
    database.close()


def rewrite(owner, change, keys=None, keep=0):
    """The ledger written anew by someone with a key: `change` maps (kind, body) pairs; hashes and signatures follow.

    The first `keep` entries stay what they are.
    """
    keys = keys or owner.keys
    contents = read(owner.path)
    previous, rows = genesis("merchant", owner.keys.public), []
    rewritten = change([(e.kind, dict(e.body)) for e in contents.entries])
    for seq, (kind, body) in enumerate(rewritten, start=1):
        time = contents.entries[seq - 1].time if seq <= keep else "2025-01-01T00:00:00Z"
        hash_ = entry_hash(seq, time, kind, body, previous)
        message = head_message("merchant", owner.keys.public.hex(), seq, hash_)
        signature = keys.sign(HEAD_LABEL, message).hex()
        rows.append(
            (
                seq,
                time,
                kind,
                canonical.encode(body).decode(),
                previous,
                hash_,
                signature,
                *found_in(body),
            )
        )
        previous = hash_
    inserts = [("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row) for row in rows]
    edit(owner, "DROP INDEX IF EXISTS once", "DELETE FROM entries", "DELETE FROM spending", *inserts)
    spent = [(body["lineage"], body["rho_micro"]) for _, body in rewritten if body.get("lineage")]
    if total := sum(rho for _, rho in spent):
        edit(owner, ("INSERT INTO spending VALUES (?, '2025-01', ?)", (spent[0][0], total)))


def check(owner, **more):
    return verify_home_ledger(owner.path, owner.keys.public, **more)


def witnesses(owner):
    return heads_seen(owner.path.with_name("platform.sqlite"), owner.keys.public)


def test_a_good_ledger_verifies_and_says_what_was_checked(owner):
    report = check(owner, peers={("platform", PLATFORM.public)}, witnesses=witnesses(owner))
    assert (report.subject, report.entries, len(report.steps)) == ("merchant", 10, 8)
    assert [(each.lineage, each.rho_micro) for each in report.spent] == [("crm", 2500)]
    assert len(check(owner).steps) == 7
    peer = owner.path.with_name("platform.sqlite")
    assert verify_home_ledger(peer, PLATFORM.public, peers={("merchant", owner.keys.public)}).entries == 1


EDITS = {
    "another version": (1, "UPDATE meta SET format = 'cleanroom-ledger/3'"),
    "another key": (1, f"UPDATE meta SET key = '{PLATFORM.public.hex()}'"),
    "an entry taken out": (2, "DELETE FROM entries WHERE seq = 2"),
    "an unknown kind": (2, "UPDATE entries SET kind = 'other' WHERE seq = 2"),
    "a field more": (2, """UPDATE entries SET body = json_set(body, '$.more', 1) WHERE seq = 2"""),
    "another time form": (2, "UPDATE entries SET time = 'yesterday' WHERE seq = 2"),
    "an edited body": (3, """UPDATE entries SET body = json_set(body, '$.rows', 999) WHERE seq = 2"""),
    "an edited time": (3, "UPDATE entries SET time = '2020-01-01T00:00:00Z' WHERE seq = 2"),
    "another party": (3, "UPDATE meta SET party = 'someone'"),
    "an edited hash": (3, "UPDATE entries SET hash = substr(hash, 2) || '0' WHERE seq = 6"),
    "a foreign signature": (
        4,
        "UPDATE entries SET signature = (SELECT signature FROM entries WHERE seq = 1) WHERE seq = 2",
    ),
    "a budget's sum made less": (5, "UPDATE spending SET rho_micro = rho_micro - 1"),
    "a budget's sum taken out": (5, "DELETE FROM spending"),
    "an answer taken out": (6, "DELETE FROM answers"),
    "a question taken out": (6, "DELETE FROM questions"),
    "a question exchanged": (6, "UPDATE questions SET sealed = x'00'"),
    "a question that was not debited": (6, "INSERT INTO questions VALUES ('1', x'00')"),
    "noise taken out": (6, "DELETE FROM draws"),
    "noise exchanged": (6, "UPDATE draws SET sealed = x'00'"),
    "noise for a question without": (6, "INSERT INTO draws SELECT question, sealed FROM questions LIMIT 1"),
    "an answer exchanged": (6, "UPDATE answers SET sealed = x'00'"),
}


@pytest.mark.parametrize("what", EDITS)
def test_an_edited_file_fails_at_its_step(owner, what):
    step, statement = EDITS[what]
    edit(owner, statement)
    with pytest.raises(BadData, match=f"step {step}"):
        check(owner)


def test_reordered_entries_fail_even_when_renumbered(owner):
    edit(owner, *(f"UPDATE entries SET seq = {b} WHERE seq = {a}" for a, b in ((2, 99), (3, 2), (99, 3))))
    with pytest.raises(BadData, match="step 3"):
        check(owner)


@pytest.mark.parametrize("body", ["[]", "no json", "1", "[" * 5000, "{}" + " " * 70_000])
def test_damaged_bodies_are_named_by_their_entry(owner, body):
    edit(owner, ("UPDATE entries SET body = ? WHERE seq = 2", (body,)))
    with pytest.raises(BadData, match="Entry 2"):
        check(owner)


def test_rewriting_with_another_key_fails(owner):
    rewrite(owner, lambda entries: entries, keys=PLATFORM)
    with pytest.raises(BadData, match="step 4"):
        check(owner)


def test_a_release_without_its_debit_fails_even_with_the_right_key(owner):
    rewrite(owner, lambda entries: [entry for entry in entries if entry[0] not in ("debit", "countersign")])
    with pytest.raises(BadData, match=r"step 5.*without a debit"):
        check(owner)


def test_a_debit_after_its_release_or_twice_fails_even_with_the_right_key(owner):
    rewrite(owner, lambda entries: [*entries[:3], entries[4], entries[3]])
    with pytest.raises(BadData, match="step 5"):
        check(owner)
    rewrite(owner, lambda entries: [*entries[:3], entries[4], entries[4], entries[3]])
    with pytest.raises(BadData, match=r"step 5.*repeats"):
        check(owner)


def changed(entries, kind, **fields):
    """Fields of the noised question's entry exchanged."""
    return [
        (k, {**body, **fields} if (k, body.get("lineage", "crm")) == (kind, "crm") else body) for k, body in entries
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda entries: [*entries[:6], *entries[7:9]], "noise without a debit"),
        (lambda entries: [*entries[:7], entries[8], entries[7]], "noise drawn after its release"),
        (lambda entries: [*entries[:8], *entries[7:9]], "repeats"),
        (lambda entries: changed(entries, "debit", rho_micro=25_001), "overdraws"),
        (lambda entries: changed(entries, "debit", most_micro=0), "overdraws"),
        (lambda entries: changed(entries, "debit", rho_micro=-1), "gives back"),
    ],
)
def test_noise_and_budgets_are_checked_even_with_the_right_key(owner, change, says):
    rewrite(owner, lambda entries: change(entries[:9]))
    with pytest.raises(BadData, match=f"step 5.*{says}"):
        check(owner)


def test_all_debits_of_a_month_count_together(owner):
    def twice(entries):
        second = {**entries[6][1], "question": "e" * 64, "rho_micro": 22_501}
        return [*entries[:9], ("debit", second)]

    rewrite(owner, twice)
    with pytest.raises(BadData, match="entry 10 overdraws"):
        check(owner)


def test_rewritten_history_contradicts_what_the_peer_has_signed(owner):
    rewrite(owner, lambda entries: [entry for entry in entries if entry[0] != "forget"])
    with pytest.raises(BadData, match=r"step 7.*head not in here"):
        check(owner)


def test_a_countersignature_by_an_unknown_or_false_peer_fails(owner):
    with pytest.raises(BadData, match=r"step 7.*unknown peer"):
        check(owner, peers={("platform", Keys(3).public)})
    rewrite(owner, lambda entries: entries)  # with another time: the peer has signed other hashes
    with pytest.raises(BadData, match="step 7"):
        check(owner)


def test_a_false_countersignature_fails(owner):
    def forge(entries):
        return [(kind, body | {"signature": "00" * 64} if kind == "countersign" else body) for kind, body in entries]

    def with_true_heads(entries):
        seen = {e.seq: e.hash for e in read(owner.path).entries}
        return [(kind, body | {"hash": seen[9]} if kind == "countersign" else body) for kind, body in entries]

    rewrite(owner, forge)
    rewrite(owner, with_true_heads)
    with pytest.raises(BadData, match=r"step 7.*does not verify"):
        check(owner)


def test_a_cut_ledger_contradicts_what_the_peer_has_seen(owner):
    edit(owner, "DELETE FROM entries WHERE seq > 5")
    with pytest.raises(BadData, match="step 5"):
        check(owner)
    edit(owner, "DELETE FROM spending")
    with pytest.raises(BadData, match="step 6"):
        check(owner)
    known = "question NOT IN (SELECT subject FROM entries)"
    edit(owner, *(f"DELETE FROM {table} WHERE {known}" for table in ("questions", "draws", "answers")))
    check(owner)  # by itself it looks whole
    with pytest.raises(BadData, match=r"step 8.*cut"):
        check(owner, witnesses=witnesses(owner))


def test_a_fork_contradicts_what_the_peer_has_seen(owner):
    early = next(entry for entry in read(owner.path).entries if entry.seq == 3)
    head = Head("merchant", owner.keys.public.hex(), 3, early.hash, early.signature)
    rewrite(owner, lambda entries: entries[:9], keep=5)
    check(owner)
    with pytest.raises(BadData, match=r"step 8.*forked.* one of 1 to 9"):
        check(owner, witnesses=witnesses(owner))
    with pytest.raises(BadData, match=r"step 8.*forked.* one of 4 to 9"):
        check(owner, witnesses=[*witnesses(owner), head])


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_two_copies_name_the_first_entry_that_differs(shared, ours, theirs):
    def ledger(own, name):
        said = [("import", {"rows": at}) for at in range(shared)] + [
            ("import", {"of": name, "rows": at}) for at in range(own)
        ]
        entries, previous = [], genesis("merchant", b"k")
        for seq, (kind, body) in enumerate(said, start=1):
            previous = entry_hash(seq, "2025-01-01T00:00:00Z", kind, body, before := previous)
            entries.append(Entry(seq, "2025-01-01T00:00:00Z", kind, body, before, previous, ""))
        return entries

    found = first_difference(ledger(ours, "ours"), ledger(theirs, "theirs"))
    assert found == (shared + 1 if ours and theirs else None)


def test_a_witness_of_another_key_is_no_witness(owner):
    with side(owner.path.parent, "third", 3).create() as third, pytest.raises(BadData):
        check(owner, witnesses=[third.head()])


def test_a_receipt_file_is_checked_against_keys_answer_and_ledger(owner, tmp_path):
    path = tmp_path / "receipt.json"
    keys = {"merchant": owner.keys.public, "platform": PLATFORM.public}
    path.write_bytes(SignedReceipt(receipt()).sign("merchant", owner.keys).sign("platform", PLATFORM).encode())
    report = verify_receipt_file(path, keys, contract="c" * 64, answer=(TABLE, SALT), ledger=owner.path)
    assert [step[0] for step in report.steps] == ["1", "2", "3", "4", "5", "6"]
    with pytest.raises(BadData, match="step 6"):
        verify_receipt_file(path, keys, ledger=owner.path.with_name("platform.sqlite"))
    with pytest.raises(BadData):
        verify_receipt_file(tmp_path / "missing.json", keys)


def test_a_ledger_reads_in_words_of_both_languages(owner):
    rows = show(owner.path)
    texts = [t(row.text, **row.params) for row in rows]
    assert texts[2] == "platform learned which of its own rows matched; both sides learned each other's number of rows."
    assert texts[4].startswith(
        "platform learned a table of 2 groups of at least 100 people each, counted exactly (noise off)"
    )
    kinds = ["contract", "import", "match", "debit", "release", "forget", "debit", "draws", "release", "countersign"]
    assert [row.kind for row in rows] == kinds
    assert texts[6].endswith("2500 millionths of ρ, to the budget of crm.")
    assert "noise on every number" in texts[8]
    try:
        choose("zh")
        assert all(t(text) != text for text in TEXTS.values())
        assert "无噪声" in t(rows[4].text, **rows[4].params)
    finally:
        choose("en")
    assert show(owner.path.with_name("platform.sqlite"))[0].params["peer"] == "merchant"


def test_unknown_matches_are_not_put_into_words(owner):
    edit(owner, """UPDATE entries SET body = json_set(body, '$.protocol', 'other') WHERE seq = 3""")
    with pytest.raises(BadData, match="Entry 3"):
        show(owner.path)


def test_a_ledger_holds_digests_and_names_only(owner):
    whole = json.dumps([entry.body for entry in read(owner.path).entries])
    for value in ("gold", "silver", "the answer"):
        assert value not in whole
    assert hashlib.sha256(b"the answer").hexdigest() not in whole
    assert question().digest() in whole
