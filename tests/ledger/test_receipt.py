"""A receipt verifies for what it is, and for nothing else; each failure names the step."""

import dataclasses
import itertools
import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parties import SALT, TABLE, Keys, receipt

from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.ledger.receipt import SignedReceipt, table_digest, verify
from cleanroom.privacy.ranges import Range
from cleanroom.privacy.threshold import Rules

MERCHANT, PLATFORM = Keys(1), Keys(2)
KEYS = {"merchant": MERCHANT.public, "platform": PLATFORM.public}


def signed(**changes):
    return SignedReceipt(receipt(**changes)).sign("merchant", MERCHANT).sign("platform", PLATFORM)


def test_a_good_receipt_verifies_and_says_what_was_checked():
    assert len(verify(signed(), KEYS, contract="c" * 64, answer=(TABLE, SALT))) == 5
    assert [step[0] for step in verify(signed(), KEYS)] == ["1", "2", "4"]


def test_it_says_plainly_that_noise_is_off():
    assert json.loads(signed().encode())["receipt"]["rules"] == {"k": 100, "noise": "off"}


def test_it_survives_its_file_form():
    assert SignedReceipt.parse(signed().encode()) == signed()
    assert SignedReceipt.parse(signed().encode() + b"\n").receipt.digest() == receipt().digest()


def test_signatures_of_both_sides_are_merged():
    ours = SignedReceipt(receipt()).sign("merchant", MERCHANT)
    theirs = SignedReceipt(receipt()).sign("platform", PLATFORM)
    assert verify(ours.merge(theirs), KEYS)
    with pytest.raises(BadData):
        ours.merge(SignedReceipt(receipt(rows=1)).sign("platform", PLATFORM))


@pytest.mark.parametrize(
    ("step", "found", "keys", "more"),
    [
        (1, SignedReceipt(receipt()).sign("merchant", MERCHANT), KEYS, {}),
        (1, signed(), {"merchant": MERCHANT.public}, {}),
        (1, SignedReceipt(receipt()), {}, {}),
        (2, SignedReceipt(receipt(rows=1), signed().signatures), KEYS, {}),
        (2, signed(), {"merchant": MERCHANT.public, "platform": MERCHANT.public}, {}),
        (2, SignedReceipt(receipt(), {"merchant": "zz", "platform": ""}), KEYS, {}),
        (3, signed(), KEYS, {"contract": "e" * 64}),
        (3, signed(by=("city",)), KEYS, {}),
        (3, signed(recipients=("stranger",)), KEYS, {}),
        (4, signed(people=Range(0, 99, withheld=True)), KEYS, {}),
        (4, signed(rows=5, people=Range(200, 499)), KEYS, {}),
        (5, signed(), KEYS, {"answer": (TABLE.slice(0, 1), SALT)}),
        (5, signed(), KEYS, {"answer": (TABLE.take([1, 0]), SALT)}),
        (5, signed(), KEYS, {"answer": (TABLE, bytes(16))}),
    ],
)
def test_each_step_fails_by_its_name(step, found, keys, more):
    with pytest.raises(BadData, match=f"step {step}"):
        verify(found, keys, **more)


@given(st.data())
def test_any_changed_byte_is_noticed(data):
    content = bytearray(signed().encode())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CleanroomError):
        verify(SignedReceipt.parse(bytes(content)), KEYS, contract="c" * 64, answer=(TABLE, SALT))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "cleanroom-receipt/9"},
        {"rows": "2"},
        {"rows": -1},
        {"withheld": 1},
        {"room": 5},
        {"recipients": []},
        {"table": "short"},
        {"people": {"low": 5, "high": 1, "withheld": False}},
        {"people": None},
        {"rules": {"k": 100}},
        {"more": 1},
        {"query": "f" * 64},
        {"datasets": [{}]},
    ],
)
def test_receipts_that_are_not_in_their_form_are_refused(change):
    whole = json.loads(signed().encode())
    whole["receipt"] |= change
    with pytest.raises(BadData):
        SignedReceipt.parse(json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"null", b"\xff", b"[" * 5000])
def test_what_is_no_receipt_is_refused(content):
    with pytest.raises(BadData):
        SignedReceipt.parse(content)


def test_a_k_below_the_floor_is_refused():
    whole = json.loads(signed().encode())
    whole["receipt"]["rules"]["k"] = 3
    with pytest.raises(Refused):
        SignedReceipt.parse(json.dumps(whole).encode())
    assert dataclasses.replace(receipt(), rules=Rules(50)).rules.k == 50


COLUMNS = st.sampled_from(
    [
        pa.array(["a", None, "", "bc", "长"]),
        pa.array([1, -2, None, 2**62, 0]),
        pa.array([0.5, None, -0.0, 1e300, 3.0]),
        pa.array([True, False, None, True, True]),
        pa.array([0, 1, None, 20000, 5], pa.date32()),
    ]
)


@given(st.lists(COLUMNS, min_size=1, max_size=3), st.lists(st.integers(0, 5), max_size=4))
def test_the_digest_of_a_table_does_not_depend_on_its_chunks(columns, cuts):
    table = pa.table({f"c{i}": column for i, column in enumerate(columns)})
    edges = sorted({0, 5, *cuts})
    chunked = pa.concat_tables([table.slice(a, b - a) for a, b in itertools.pairwise(edges)])
    rebuilt = pa.table({name: chunked.column(name).dictionary_encode() for name in chunked.column_names[:1]})
    for name in chunked.column_names[1:]:
        rebuilt = rebuilt.append_column(name, chunked.column(name))
    assert table_digest(chunked, SALT) == table_digest(table, SALT) == table_digest(rebuilt, SALT)


def test_different_tables_have_different_digests():
    texts = [["ab", "c"], ["a", "bc"], ["ab", None], ["ab", ""], ["abc", ""], ["c", "ab"]]
    tables = [pa.table({"x": pa.array(values, pa.string())}) for values in texts]
    tables += [pa.table({"y": ["ab", "c"]}), pa.table({"x": ["ab", "c"], "z": ["ab", "c"]}), pa.table({"x": ["ab"]})]
    tables += [
        pa.table({"x": [0, 1]}),
        pa.table({"x": [0, None]}),
        pa.table({"x": [0.0, 1.0]}),
        pa.table({"x": [False, True]}),
    ]
    assert len({table_digest(table, SALT) for table in tables}) == len(tables)
    assert table_digest(tables[0], SALT) != table_digest(tables[0], b"another salt 16B")


def test_widths_of_integers_and_empty_tables_are_one_form():
    assert table_digest(pa.table({"n": pa.array([1], pa.int32())}), SALT) == table_digest(pa.table({"n": [1]}), SALT)
    empty = TABLE.slice(0, 0)
    assert table_digest(empty, SALT) == table_digest(TABLE.schema.empty_table(), SALT) != table_digest(TABLE, SALT)


def test_columns_that_no_release_has_and_short_salts_are_refused():
    with pytest.raises(UsageError):
        table_digest(pa.table({"x": [[1]]}), SALT)
    with pytest.raises(UsageError):
        table_digest(TABLE, b"short")
