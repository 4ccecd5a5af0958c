"""The vole match finds what the sets have in common, shows nothing else, and says the same bytes on all paths."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import canaries, contents, digests, headers, session, shapes
from vole_support import WIDTH, fails, marks, receiver, run, run_known, sender, spoken

from protocols import canary
from protocols.errors import BadMessage, ProtocolError
from protocols.kernels.vole import aes, clmul
from protocols.psi import vole
from protocols.psi.vole.parameters import LEAST_ROWS

KNOWN = Path(__file__).with_name("known_answers.json")
CASES = {
    "none": (range(0), range(0), 0, 1 << 20),
    "one": (range(1), range(1), 8, 1 << 20),
    "300": (range(300), range(200, 500), 0, 1 << 20),
    "two buckets": (range(300), range(200, 3200), 8, 2000),
}


def expected(theirs, mine) -> list[int]:
    known = set(theirs)
    return [row for row, number in enumerate(mine) if number in known]


@settings(max_examples=6, deadline=None)
@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30), unique=True), st.sampled_from([0, WIDTH]))
def test_it_agrees_with_set_intersection(theirs, mine, width):
    theirs = sorted(theirs)
    sent, result = run(theirs, mine, width=width).both()
    matched = expected(theirs, mine)
    assert result.matched.tolist() == matched
    assert result.size == len(matched)
    assert (sent.peer_rows, result.peer_rows) == (LEAST_ROWS, len(theirs))
    if width:
        assert (result.labels == marks([mine[row] for row in matched], width)).all()
    else:
        assert result.labels.shape == (len(matched), 0)


@pytest.mark.parametrize(
    ("theirs", "mine", "bucket_rows"),
    [
        (range(0), range(5000), 2000),
        (range(5000), range(0), 1000),
        (range(4000), range(4000), 2000),
        (range(4000), range(4000, 8000), 2000),
        (range(40000), range(39999, 80000), 1 << 20),
        (range(30000), range(28000, 31000), 7000),
    ],
)
def test_many_bins_and_buckets_and_skewed_sizes(theirs, mine, bucket_rows):
    sent, result = run(theirs, mine, width=8, bucket_rows=bucket_rows).both()
    matched = expected(theirs, mine)
    assert result.matched.tolist() == matched
    assert (result.labels == marks([mine[row] for row in matched], 8)).all()
    assert (sent.peer_rows, result.peer_rows) == (max(len(mine), LEAST_ROWS), len(theirs))


def test_several_bins_in_several_groups(monkeypatch):
    from protocols.psi.vole import parameters

    monkeypatch.setattr(parameters, "BIN_ROWS", 500)
    _, result = run(range(9000), range(4500, 12000), bucket_rows=4000).both()
    assert result.matched.tolist() == list(range(4500))


def test_md5_digests_match_among_themselves():
    outcome = session(
        lambda c: vole.sender(c, digests([1, 2], 16), None, canaries=canaries("sender", 16)),
        lambda c: vole.receiver(c, digests([2, 3], 16), label_width=0, canaries=canaries("receiver", 16)),
    )
    assert outcome.both()[1].matched.tolist() == [0]


def test_rows_may_stand_in_any_memory():
    """What Arrow gives is read-only, and what the caller cut out is neither aligned nor in one piece."""
    mine = np.concatenate([digests(range(10)), digests(range(10))], axis=1)[:, 32:]
    mine.flags.writeable = False
    outcome = session(
        sender(range(5, 20)), lambda c: vole.receiver(c, mine, label_width=0, canaries=canaries("receiver"))
    )
    assert outcome.both()[1].matched.tolist() == [5, 6, 7, 8, 9]


# -- what is said


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("hardware", [True, False])
def test_known_answers_are_the_same_on_all_paths(monkeypatch, case, hardware):
    if not hardware:
        monkeypatch.setattr(aes, "HARDWARE", False)
        monkeypatch.setattr(clmul, "HARDWARE", False)
    theirs, mine, width, bucket_rows = CASES[case]
    outcome = run_known(theirs, mine, width=width, bucket_rows=bucket_rows)
    assert outcome.both()[1].matched.tolist() == expected(theirs, mine)
    assert spoken(outcome) == json.loads(KNOWN.read_text("utf-8"))[case]


def test_no_digest_nor_hash_of_a_candidate_crosses_the_wire():
    """Everybody who could be in the data is tried against every byte that was sent."""
    outcome = run([1, 2, 3], [2, 3, 4], width=8)
    outcome.both()
    wire = contents(outcome.frames["sender"]) + contents(outcome.frames["receiver"])
    for digest in digests(range(40)):
        raw = digest.tobytes()
        forms = [raw, raw[:16], *(hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512"))]
        forms += [hashlib.sha256(raw.hex().encode()).digest(), raw.hex().encode()]
        assert not any(form[:8] in wire for form in forms)


def test_views_of_equal_sizes_have_equal_shapes():
    """Other people, other labels, another overlap and other loads of the buckets: the same frames in form."""
    one = run(range(3000), range(2000, 5500), width=8, bucket_rows=2000)
    two = run(range(9000, 6000, -1), range(20000, 23500), width=8, bucket_rows=2000)
    assert (one.both()[1].size, two.both()[1].size) == (1000, 0)
    for side in ("sender", "receiver"):
        assert shapes(one.frames[side]) == shapes(two.frames[side])


def test_what_is_sent_is_as_large_as_the_document_says():
    outcome = run(range(20000), range(20000))
    sizes = {}
    for side in ("sender", "receiver"):
        for header in headers(outcome.frames[side]):
            sizes[header.name] = sizes.get(header.name, 0) + header.length
    assert sizes["vole.correction"] / 20000 < 36
    assert sizes["vole.masks"] / 20000 < 10
    assert sum(sizes.values()) - sizes["vole.correction"] - sizes["vole.masks"] < 40_000


# -- what is refused


def test_a_size_only_match_is_refused_and_dh_is_named():
    outcome = session(
        lambda c: vole.sender(c, digests([1]), None, canaries=canaries("sender"), ordered=False), receiver([1])
    )
    fails(outcome, "sender", ProtocolError, "protocol dh")
    outcome = session(
        sender([1]),
        lambda c: vole.receiver(c, digests([1]), label_width=0, canaries=canaries("receiver"), ordered=False),
    )
    fails(outcome, "receiver", ProtocolError, "protocol dh")


def test_repeated_items_are_refused_before_anything_of_them_is_sent():
    outcome = session(sender([1, 2, 1, 1]), receiver([1]))
    fails(outcome, "sender", ProtocolError, "2 identities are repeated")
    assert "vole.masks" not in {header.name for header in headers(outcome.frames["sender"])}
    outcome = session(sender([1], bucket_rows=1000), receiver([*range(5000), 7], bucket_rows=1000))
    fails(outcome, "receiver", ProtocolError, "1 identities are repeated")
    assert "vole.correction" not in {
        header.name for header in headers(outcome.frames["receiver"]) if header.bucket == 4
    }


@pytest.mark.parametrize(
    ("given", "taken", "text"),
    [
        (sender([1], width=8), receiver([1], width=16), "agree on label"),
        (lambda c: vole.sender(c, digests([1], 16), None, canaries=canaries("sender", 16)), receiver([1]), "on width"),
        (sender([1], bucket_rows=1000), receiver(range(3000)), "agree on buckets"),
    ],
)
def test_settings_that_differ_are_named_at_both_sides(given, taken, text):
    outcome = session(given, taken)
    assert all(type(error) is ProtocolError and text in str(error) for error in outcome.errors.values())


def test_canaries_of_another_secret_do_not_match():
    strange = canary.draw(b"t" * 32, "sender", 32)
    outcome = session(lambda c: vole.sender(c, digests([1, 2]), None, canaries=strange), receiver([1]))
    fails(outcome, "receiver", ProtocolError, "canaries")
    leaked = canary.Canaries(canaries("sender").common, canaries("receiver").own)
    outcome = session(lambda c: vole.sender(c, digests([1, 2]), None, canaries=leaked), receiver([1]))
    fails(outcome, "receiver", ProtocolError, "canaries")


def test_more_rows_than_are_allowed_are_refused_before_any_work():
    outcome = session(sender([1], most=3000), receiver(range(3001)))
    fails(outcome, "sender", BadMessage, "not allowed")
    outcome = session(sender(range(31)), receiver([1], most=30))
    fails(outcome, "receiver", BadMessage, "not allowed")
    assert {header.name for header in headers(outcome.frames["receiver"])} <= {
        "hello",
        "hello.signature",
        "vole.sizes",
        "abort",
    }


def test_a_cap_that_the_layout_cannot_hold_is_refused_and_dh_is_named():
    fails(session(sender([1], most=LEAST_ROWS - 1), receiver([1])), "sender", ProtocolError, "protocol dh")


@pytest.mark.parametrize(
    "call",
    [
        lambda c: vole.sender(c, np.zeros((2, 20), np.uint8), None, canaries=canaries("sender")),
        lambda c: vole.sender(c, np.zeros((2, 32), np.int64), None, canaries=canaries("sender")),
        lambda c: vole.sender(c, digests([1, 2]), marks([1]), canaries=canaries("sender")),
    ],
)
def test_shapes_are_the_callers_bug(call):
    outcome = session(call, receiver([1]))
    assert isinstance(outcome.errors["sender"], ValueError)
    assert "failed on its own side" in str(outcome.errors["receiver"])
