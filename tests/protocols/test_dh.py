"""The receiver learns its matches and nothing else; whatever is malformed ends both sides without a result."""

import hashlib
import json
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import (
    Outcome,
    canaries,
    contents,
    digests,
    drawing,
    headers,
    opening,
    session,
    shapes,
    wires,
)

from protocols import canary, labels
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.group import Kernel, backend, random_blinds
from protocols.kernels.target import has
from protocols.psi import dh, dh_steps
from protocols.rows import permutation, schema, to_batch, to_rows

VECTORS = Path(__file__).parent.parent / "vectors"
BAD = [row["encoding"] for row in json.loads((VECTORS / "rfc9496_ristretto255.json").read_text())["bad_encodings"]]
WIDTH = 24
ORDERED_ANSWER = "32187ce9a69f38c97c9cc46a0be0942a6a6c8f7bb1498adca7bbfdd01a21b133"
SHUFFLED_ANSWER = "15c15f7b695c916d3ca6e6d659e71661bcdeca2085425cb85bb3f373c1df3b75"


def marks(numbers, width: int = WIDTH) -> np.ndarray:
    """Labels that say whose they are."""
    rows = np.zeros((len(numbers), width), np.uint8)
    rows[:, :8] = np.array(numbers, "<i8").reshape(-1, 1).view(np.uint8)
    return rows


def run(theirs, mine, *, ordered: bool, width: int = WIDTH, **other) -> Outcome:
    own = marks(theirs, width) if width else None
    return session(
        lambda c: dh.sender(c, digests(theirs), own, canaries=canaries("sender"), ordered=ordered),
        lambda c: dh.receiver(c, digests(mine), label_width=width, canaries=canaries("receiver"), ordered=ordered),
        **other,
    )


@settings(max_examples=12, deadline=None)
@given(st.sets(st.integers(0, 30)), st.lists(st.integers(0, 30), unique=True), st.sampled_from([0, 8, WIDTH]))
def test_both_modes_agree_with_set_intersection(theirs, mine, width):
    theirs = sorted(theirs)
    expected = [row for row, number in enumerate(mine) if number in theirs]
    _, in_order = run(theirs, mine, ordered=True, width=width).both()
    assert in_order.matched.tolist() == expected
    assert in_order.peer_rows == len(theirs)
    sent, shuffled = run(theirs, mine, ordered=False, width=width).both()
    assert shuffled.matched is None
    assert sent.peer_rows == len(mine)
    assert in_order.size == shuffled.size == len(expected)
    if width:
        assert (in_order.labels == marks([mine[row] for row in expected], width)).all()
        found = sorted(shuffled.labels[:, :8].copy().view("<i8")[:, 0].tolist())
        assert found == sorted(mine[row] for row in expected)
    else:
        assert in_order.labels.shape == shuffled.labels.shape == (len(expected), 0)


@pytest.mark.parametrize("ordered", [True, False])
def test_many_batches_and_skewed_sizes(monkeypatch, ordered):
    monkeypatch.setattr(dh_steps, "BATCH", 16)
    for theirs, mine in ((range(200), range(190, 210)), (range(190, 210), range(200)), (range(100), range(100))):
        expected = len(set(theirs) & set(mine))
        _, result = run(list(theirs), list(mine), ordered=ordered).both()
        assert result.size == expected
        assert len(result.labels) == expected


def test_md5_digests_match_among_themselves():
    outcome = session(
        lambda c: dh.sender(c, digests([1, 2], 16), None, canaries=canaries("sender", 16), ordered=True),
        lambda c: dh.receiver(c, digests([2, 3], 16), label_width=0, canaries=canaries("receiver", 16), ordered=True),
    )
    assert outcome.both()[1].matched.tolist() == [0]


# -- what the wire shows


@pytest.mark.parametrize("ordered", [True, False])
def test_no_digest_nor_hash_of_a_candidate_crosses_the_wire(ordered):
    """Attack P4: everybody who could be in the data is tried against every byte that was sent."""
    outcome = run([1, 2, 3], [2, 3, 4], ordered=ordered)
    outcome.both()
    wire = contents(outcome.frames["sender"]) + contents(outcome.frames["receiver"])
    candidates = digests(range(40))
    elements = backend().hash_to_group(candidates, dh_steps.HASH_TAG)
    for digest, element in zip(candidates, elements, strict=True):
        raw = digest.tobytes()
        forms = [raw, raw[:16], element.tobytes(), labels.derive(bytes(32), element[None])[0].tobytes()]
        forms += [hashlib.new(name, raw).digest() for name in ("md5", "sha1", "sha256", "sha512")]
        forms += [hashlib.sha256(raw.hex().encode()).digest(), raw.hex().encode()]
        assert not any(form[:8] in wire for form in forms)


@pytest.mark.parametrize("ordered", [True, False])
def test_views_of_equal_leakage_have_equal_shapes(monkeypatch, ordered):
    """Role-view test: other people, other rows, other labels, the same sizes and overlap: the same frames in form."""
    monkeypatch.setattr(dh_steps, "BATCH", 8)
    one = run(list(range(30)), list(range(20, 45)), ordered=ordered)
    two = run(list(range(130, 100, -1)), [*range(500, 515), *range(101, 111)], ordered=ordered)
    assert one.both()[1].size == two.both()[1].size == 10
    for side in ("sender", "receiver"):
        assert shapes(one.frames[side]) == shapes(two.frames[side])


def test_a_size_that_may_not_be_known_leaves_no_trace_at_the_sender():
    few = run(list(range(30)), list(range(100, 120)), ordered=False)
    many = run(list(range(30)), list(range(20)), ordered=False)
    assert (few.both()[1].size, many.both()[1].size) == (0, 20)
    assert shapes(few.frames["receiver"]) == shapes(many.frames["receiver"])
    assert shapes(few.frames["sender"]) == shapes(many.frames["sender"])


def split(content: bytes) -> list[bytes]:
    return [content[at : at + 32] for at in range(0, len(content), 32)]


def test_replies_that_are_not_ordered_come_in_a_secret_order():
    """With a sender's scalar of one, replies are what the receiver sent: the same elements, elsewhere."""
    draw = drawing(b"seed")

    def known_scalar(n: int) -> bytes:
        return (1).to_bytes(64, "little") if n == 64 else draw(n)

    outcome = session(
        lambda c: dh._sender(c, digests(range(50)), None, canaries("sender"), False, known_scalar),
        lambda c: dh.receiver(c, digests(range(50)), label_width=0, canaries=canaries("receiver"), ordered=False),
    )
    assert outcome.both()[1].size == 50
    (blinded,), (replies,) = (
        [frame for frame in outcome.frames[side] if (h := headers([frame])[0]).name == name and h.length]
        for side, name in (("receiver", "dh.blinded"), ("sender", "dh.replies"))
    )
    asked, given = (split(frame[-56 * 32 :]) for frame in (blinded, replies))
    assert sorted(asked) == sorted(given)
    assert asked != given


def test_neither_side_sends_in_the_order_of_its_rows():
    """With a scalar of one and blinds of zero, elements and tags on the wire can be told apart: in a secret order."""
    people = list(range(50))
    draw = drawing(b"seed")
    one = (1).to_bytes(64, "little")

    def known_scalar(n: int) -> bytes:
        return one if n == 64 else bytes(n) if n == 32 * (50 + canary.COUNT) else draw(n)

    outcome = session(
        lambda c: dh._sender(c, digests(people), None, canaries("sender"), True, known_scalar),
        lambda c: dh._receiver(c, digests(people), 0, canaries("receiver"), True, known_scalar),
    )
    assert outcome.both()[1].matched.tolist() == people
    hashed = backend().hash_multiply((2).to_bytes(32, "little"), digests(people), dh_steps.HASH_TAG)
    blinded = contents(outcome.frames["receiver"])
    places = [blinded.index(element.tobytes()) for element in hashed]
    assert sorted(places) != places
    agreed = headers(outcome.frames["sender"])[-1].session
    tags = labels.derive(agreed, backend().hash_to_group(digests(people), dh_steps.HASH_TAG))[0]
    sent = contents(outcome.frames["sender"])
    places = [sent.index(tag[:7].tobytes()) for tag in tags]
    assert sorted(places) != places


def test_each_row_is_blinded_by_itself():
    """What was added to the elements differs from row to row, so that differences of blinded elements say nothing."""
    people = digests(range(30))
    outcome = session(
        lambda c: dh.sender(c, people, None, canaries=canaries("sender"), ordered=True),
        lambda c: dh._receiver(c, people, 0, canaries("receiver"), True, drawing(b"receiver")),
    )
    outcome.both()
    draw = drawing(b"receiver")
    rows = np.concatenate([people, canaries("receiver").rows])
    rows = rows[permutation(len(rows), draw)]
    blinds = random_blinds(len(rows), draw)
    assert len({blind.tobytes() for blind in blinds}) == len(rows)
    blinded = backend().blind(rows, dh_steps.HASH_TAG, blinds)
    assert blinded.tobytes() in contents(outcome.frames["receiver"])


def test_a_second_session_sends_nothing_that_the_first_did():
    first, second = (run([1, 2, 3], [2, 3, 4], ordered=True) for _ in range(2))
    for side in ("sender", "receiver"):
        old = contents(first.frames[side])
        for name in ("dh.blinded", "dh.replies", "dh.tags", "dh.labels"):
            for header, frame in zip(headers(second.frames[side]), second.frames[side], strict=True):
                if header.name == name and header.length:
                    assert frame[-16:] not in old


KERNELS = [None, 1, *([8] if has("avx512f", "avx512ifma") else [])]


@pytest.mark.parametrize("lanes", KERNELS, ids=["libsodium", "one lane", "eight lanes"][: len(KERNELS)])
@pytest.mark.parametrize(("ordered", "answer"), [(True, ORDERED_ANSWER), (False, SHUFFLED_ANSWER)])
def test_known_answer(monkeypatch, lanes, ordered, answer):
    """Injected randomness, fixed session: what every message carries, byte by byte, is what it always was, whatever
    serves the group."""
    if lanes:
        monkeypatch.setattr(dh_steps, "backend", lambda rows: Kernel(lanes))
    theirs, width = digests([1, 2, 3]), WIDTH
    outcome = session(
        lambda c: dh._sender(c, theirs, marks([1, 2, 3]), canaries("sender"), ordered, drawing(b"sender")),
        lambda c: dh._receiver(c, digests([3, 4]), width, canaries("receiver"), ordered, drawing(b"receiver")),
        known_session=bytes(range(32)),
    )
    assert outcome.both()[1].size == 1
    layouts = {
        "dh.sizes": dh._SIZES,
        "dh.blinded": schema({"point": 32}),
        "dh.key": dh_steps.KEY,
        "dh.replies": schema({"point": 32}),
        "dh.tags": schema({"tag": 6}),
        "dh.canaries": schema({"tag": 6}),
        "dh.labels": schema({"label": WIDTH + 16}),
    }
    assert spoken(outcome, layouts) == answer


def spoken(outcome: Outcome, layouts) -> str:
    """SHA-256 over the names and contents of all messages of these layouts, the receiver's first."""
    digest = hashlib.sha256()
    for side in ("receiver", "sender"):
        for header, frame in zip(headers(outcome.frames[side]), outcome.frames[side], strict=True):
            if header.name in layouts and header.length:
                batch = pa.ipc.read_record_batch(pa.py_buffer(frame[112 + 16 :]), layouts[header.name])
                for column in batch.columns:
                    fixed = pa.types.is_fixed_size_binary(column.type)
                    digest.update(header.name.encode() + (to_rows(column) if fixed else column.to_numpy()).tobytes())
    return digest.hexdigest()


# -- what goes wrong


def fails(outcome: Outcome, side: str, kind: type[ProtocolError], text: str) -> None:
    """`side` refuses by name, the other sees a peer that gave up, neither has a result."""
    other = "sender" if side == "receiver" else "receiver"
    assert type(outcome.errors[side]) is kind
    assert text in str(outcome.errors[side])
    assert isinstance(outcome.errors[other], PeerAborted)
    assert not outcome.results


def sending(*, width: int = WIDTH, ordered: bool = True):
    return lambda c: dh.sender(
        c, digests([1, 2, 3]), marks([1, 2, 3], width) if width else None, canaries=canaries("sender"), ordered=ordered
    )


def receiving(*, width: int = WIDTH, ordered: bool = True):
    return lambda c: dh.receiver(
        c, digests([2, 3, 4]), label_width=width, canaries=canaries("receiver"), ordered=ordered
    )


def test_repeated_items_are_refused_before_anything_is_sent():
    twice = digests([1, 2, 1])
    outcome = session(
        lambda c: dh.sender(c, twice, None, canaries=canaries("sender"), ordered=True), receiving(width=0)
    )
    fails(outcome, "sender", ProtocolError, "1 identities are repeated")
    outcome = session(
        sending(width=0), lambda c: dh.receiver(c, twice, label_width=0, canaries=canaries("receiver"), ordered=True)
    )
    fails(outcome, "receiver", ProtocolError, "1 identities are repeated")


@pytest.mark.parametrize(
    ("sender", "receiver", "text"),
    [
        (sending(width=8), receiving(), "agree on label: 24 here, 8 there"),
        (sending(ordered=False), receiving(), "agree on ordered"),
        (
            lambda c: dh.sender(c, digests([1], 16), None, canaries=canaries("sender", 16), ordered=True),
            receiving(width=0),
            "agree on width: 32 here, 16 there",
        ),
    ],
)
def test_settings_that_differ_are_named_at_both_sides(sender, receiver, text):
    outcome = session(sender, receiver)
    assert text in str(outcome.errors["receiver"])
    assert all(type(error) is ProtocolError for error in outcome.errors.values())


@pytest.mark.parametrize("ordered", [True, False])
def test_canaries_of_another_secret_do_not_match(ordered):
    strange = canary.draw(b"t" * 32, "sender", 32)
    outcome = session(
        lambda c: dh.sender(c, digests([1, 2]), None, canaries=strange, ordered=ordered),
        receiving(width=0, ordered=ordered),
    )
    fails(outcome, "receiver", ProtocolError, "canaries")


def test_a_one_sided_canary_that_matches_is_found():
    leaked = canary.Canaries(canaries("sender").common, canaries("receiver").own)
    outcome = session(lambda c: dh.sender(c, digests([1, 2]), None, canaries=leaked, ordered=True), receiving(width=0))
    fails(outcome, "receiver", ProtocolError, "canaries")


def scripted_receiver(rows: int, points: list[bytes], declared: int | None = None):
    """A receiver that declares `declared` rows and sends `points` as its blinded elements."""

    def work(channel: Channel) -> None:
        sizes = [declared or rows, 32, 0, 1, canary.COUNT]
        channel.send_batch("dh.sizes", pa.record_batch([pa.array([n]) for n in sizes], schema=dh._SIZES))
        channel.receive_batch("dh.sizes", dh._SIZES, rows=1)
        sent = np.frombuffer(b"".join(points), np.uint8).reshape(-1, 32)
        channel.send_batch("dh.blinded", to_batch(dh_steps.POINTS, sent))
        channel.receive_batch("dh.key", dh_steps.KEY, rows=1)
        channel.receive_batch("dh.replies", dh_steps.POINTS, rows=rows)

    return work


def good_points(n: int) -> list[bytes]:
    return [row.tobytes() for row in backend().hash_to_group(digests(range(n)), b"any")]


@pytest.mark.parametrize("bad", [*BAD[::6], "00" * 32])
def test_the_sender_refuses_elements_that_are_none(bad):
    outcome = session(sending(width=0), scripted_receiver(10, [*good_points(9), bytes.fromhex(bad)]))
    fails(outcome, "sender", BadMessage, "group element")


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("bad", [BAD[3], "00" * 32])
def test_the_receiver_refuses_elements_that_are_none(bad, ordered):
    def tamper(number, frame):
        header = headers([frame])[0]
        return [frame[:-32] + bytes.fromhex(bad) if header.name == "dh.replies" and header.length else frame]

    outcome = run([1, 2, 3], [2, 3, 4], ordered=ordered, tamper=tamper)
    fails(outcome, "receiver", BadMessage, "group element")


def test_other_numbers_of_rows_than_declared_are_refused():
    fails(session(sending(width=0), scripted_receiver(10, good_points(9))), "sender", BadMessage, "fewer rows")
    fails(session(sending(width=0), scripted_receiver(10, good_points(11))), "sender", BadMessage, "more rows")


@pytest.mark.parametrize("declared", [dh.MOST_ROWS + 1, -1, canary.COUNT - 1, 2**62])
def test_sizes_that_cannot_be_are_refused_before_any_work(declared):
    fails(session(sending(width=0), scripted_receiver(10, [], declared)), "sender", BadMessage, "not allowed")


def changing(name: str, change):
    """`Channel.send_batch` and `send` with the rows of the message `name` changed."""

    def wrap(channel: Channel) -> Channel:
        send = channel.send

        def changed(message: str, batch: pa.RecordBatch, bucket: int = 0) -> None:
            if message == name:
                rows = change(to_rows(batch.column(0)).copy())
                if not len(rows):
                    return
                batch = to_batch(batch.schema, rows)
            send(message, batch, bucket)

        channel.send = changed
        return channel

    return wrap


@pytest.mark.parametrize(
    ("name", "change", "text", "kind", "ordered"),
    [
        ("dh.key", lambda rows: rows * 0, "group element", BadMessage, True),
        ("dh.key", lambda rows: rows | 255, "group element", BadMessage, True),
        ("dh.key", lambda rows: rows | 128 * (np.arange(32) == 31).astype(np.uint8), "group element", BadMessage, True),
        ("dh.key", lambda rows: rows[[0, 0]], "more rows", BadMessage, True),
        ("dh.key", lambda rows: np.array([[*good_points(1)[0]]], np.uint8), "canaries", ProtocolError, True),
        ("dh.replies", lambda rows: rows[:-1], "fewer rows", BadMessage, True),
        ("dh.replies", lambda rows: rows[:-1], "fewer rows", BadMessage, False),
        ("dh.replies", lambda rows: rows[[*range(len(rows)), 0]], "more rows", BadMessage, True),
        ("dh.replies", lambda rows: rows[::-1], "canaries", ProtocolError, True),
        ("dh.replies", lambda rows: backend().multiply(b"\3" + bytes(31), rows), "canaries", ProtocolError, True),
        ("dh.replies", lambda rows: backend().multiply(b"\3" + bytes(31), rows), "canaries", ProtocolError, False),
        ("dh.tags", lambda rows: rows[:-1], "fewer rows", BadMessage, True),
        ("dh.tags", lambda rows: np.roll(rows, 1, axis=1), "canaries", ProtocolError, True),
        ("dh.labels", lambda rows: rows[:-1], "fewer rows", BadMessage, True),
        ("dh.labels", lambda rows: rows ^ 1, "does not open", BadMessage, True),
        ("dh.labels", lambda rows: rows ^ 1, "does not open", BadMessage, False),
        ("dh.canaries", lambda rows: rows[::-1], "canaries", ProtocolError, False),
        ("dh.canaries", lambda rows: rows[[0, 0, 1, 2, 4, 5]], "not distinct", BadMessage, False),
        ("dh.canaries", lambda rows: rows[:5], "fewer rows", BadMessage, False),
    ],
)
def test_what_the_sender_may_not_send(name, change, text, kind, ordered):
    wrap = changing(name, change)
    outcome = session(lambda c: sending(ordered=ordered)(wrap(c)), receiving(ordered=ordered))
    fails(outcome, "receiver", kind, text)


def test_a_sender_whose_tags_repeat_is_refused():
    def repeat(rows):
        return np.repeat(rows[:1], len(rows), axis=0)

    errors = set()
    for _ in range(12):  # the first tag is a random one: refused as repeated where it matches, else by the canaries
        outcome = session(lambda c: sending(width=0)(changing("dh.tags", repeat)(c)), receiving(width=0))
        errors.add(type(outcome.errors["receiver"]))
    assert errors <= {BadMessage, ProtocolError}
    assert BadMessage in errors


def test_a_killed_sender_is_a_named_error():
    left, right = wires()
    errors = []

    def receive():
        try:
            with Channel.open(right, **opening("receiver", "sender")) as channel:
                receiving()(channel)
        except ProtocolError as error:
            errors.append(error)

    thread = threading.Thread(target=receive)
    thread.start()
    with Channel.open(left, **opening("sender", "receiver")):
        left.close()
    thread.join()
    assert isinstance(errors[0], PeerAborted)


@pytest.mark.parametrize(
    ("items", "own"),
    [(np.zeros((2, 20), np.uint8), None), (np.zeros((2, 32), np.int64), None), (digests([1, 2]), marks([1]))],
)
def test_shapes_are_the_callers_bug(items, own):
    outcome = session(lambda c: dh.sender(c, items, own, canaries=canaries("sender"), ordered=True), receiving())
    assert isinstance(outcome.errors["sender"], ValueError)
    assert "failed on its own side" in str(outcome.errors["receiver"])


@pytest.mark.parametrize(
    ("name", "columns", "text"),
    [
        ("dh.tags", {"point": 32}, "another message than dh.key"),
        ("dh.replies", {"point": 32}, "another message than dh.key"),
        ("dh.key", {"point": 32}, "another schema"),
    ],
)
def test_messages_in_another_order_or_of_another_width_are_refused(name, columns, text):
    def wrong(channel: Channel) -> None:
        sizes = [10, 32, 0, 1, canary.COUNT]
        channel.send_batch("dh.sizes", pa.record_batch([pa.array([n]) for n in sizes], schema=dh._SIZES))
        channel.receive_batch("dh.sizes", dh._SIZES, rows=1)
        channel.send_batch(name, to_batch(schema(columns), np.ones((9, *columns.values()), np.uint8)))
        channel.receive_batch("dh.blinded", dh_steps.POINTS, rows=10)
        channel.receive_batch("never", dh_steps.POINTS, rows=10)

    fails(session(wrong, receiving(width=0)), "receiver", BadMessage, text)


def test_answers_before_their_questions_are_refused(monkeypatch):
    """Blinds stand where outputs will: an early answer must not be taken for one to a row that has no blind yet."""
    monkeypatch.setattr(dh_steps, "BATCH", 4)

    def hasty(channel: Channel) -> None:
        sizes = [10, 32, 0, 1, canary.COUNT]
        channel.send_batch("dh.sizes", pa.record_batch([pa.array([n]) for n in sizes], schema=dh._SIZES))
        channel.receive_batch("dh.sizes", dh._SIZES, rows=1)
        points = np.frombuffer(b"".join(good_points(9)), np.uint8).reshape(-1, 32)
        channel.send_batch("dh.key", to_batch(dh_steps.KEY, points[:1]))
        channel.send_batch("dh.replies", to_batch(dh_steps.POINTS, np.repeat(points, 2, axis=0)))
        channel.receive_batch("dh.blinded", dh_steps.POINTS, rows=100)

    def receiving_many(channel: Channel):
        return dh.receiver(channel, digests(range(12)), label_width=0, canaries=canaries("receiver"), ordered=True)

    fails(session(hasty, receiving_many), "receiver", BadMessage, "before it had them")


@pytest.mark.parametrize("ordered", [True, False])
def test_the_compiled_group_refuses_and_agrees_as_libsodium_does(monkeypatch, ordered):
    monkeypatch.setattr(dh_steps, "backend", lambda rows: Kernel())
    _, result = run(list(range(40)), list(range(30, 60)), ordered=ordered).both()
    assert result.size == 10

    def tamper(number, frame):
        header = headers([frame])[0]
        return [frame[:-32] + bytes.fromhex(BAD[3]) if header.name == "dh.replies" and header.length else frame]

    fails(run([1, 2, 3], [2, 3, 4], ordered=ordered, tamper=tamper), "receiver", BadMessage, "group element")
