"""A ledger names both: the party, and who asked in its name. Ledgers from before stay what they are."""

import pytest
from parties import COST, question, receipt, side

from cleanroom import lang
from cleanroom.errors import BadData
from cleanroom.ledger import words
from cleanroom.ledger.audit import verify_home_ledger
from cleanroom.ledger.chain import check_body
from cleanroom.ledger.store import read
from cleanroom.terminal.audit import _entry

BOTH = ("merchant", "agency")


def test_a_debit_and_a_release_name_the_party_and_who_asked(tmp_path):
    mine, asked = side(tmp_path), question(sigma=20)
    with mine.create() as ledger:
        ledger.debit(asked, COST, BOTH)
        ledger.draws(asked.digest(), lambda: b"noise")
        ledger.record_release(receipt(asked), b"answer", BOTH)
        ledger.debit(question("city", sigma=20), COST)
    entries = read(mine.path).entries
    assert [list(entry.body.get("asked_by", ())) for entry in entries] == [list(BOTH), [], list(BOTH), []]
    assert verify_home_ledger(mine.path, mine.keys.public).entries == 4
    rows = words.show(mine.path)
    assert [row.asked_by for row in rows] == [BOTH, (), BOTH, ()]
    with mine.open() as ledger:  # asked again by another, the first entry stands
        assert not ledger.debit(asked, COST, ("merchant", "ada")).fresh


@pytest.mark.parametrize(
    ("language", "asked_by", "said"),
    [
        ("en", BOTH, "(merchant, asked by agency)"),
        ("en", ("platform",), "(asked by platform)"),
        ("zh", BOTH, "（商家，由agency代为提问）"),
    ],
)
def test_audit_show_says_so(tmp_path, language, asked_by, said):
    mine, before = side(tmp_path), lang.current()
    with mine.create() as ledger:
        ledger.debit(question(sigma=20), COST, asked_by)
    (row,) = words.show(mine.path)
    try:
        lang.choose(language)
        shown = _entry({"template": row.text, "params": dict(row.params), "asked_by": list(row.asked_by)})
    finally:
        lang.choose(before)
    assert shown.endswith(said)


def test_who_asked_is_fixed_by_the_chain_and_in_its_form(tmp_path):
    mine = side(tmp_path)
    with mine.create() as ledger:
        entry = ledger.debit(question(sigma=20), COST, BOTH).entry
        text = "UPDATE entries SET body = replace(body, 'agency', 'nobody')"
        ledger._database.execute(text)
    with pytest.raises(BadData, match="edited"):
        verify_home_ledger(mine.path, mine.keys.public)
    for wrong in ("agency", [5], ["x" * 129], None):
        with pytest.raises(BadData):
            check_body("debit", {**entry.body, "asked_by": wrong})
    with pytest.raises(BadData):
        check_body("match", {"asked_by": ["merchant"]})
