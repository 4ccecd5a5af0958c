"""An update's result is a fresh run's, at the cost of what changed; states that do not belong together are refused."""

import hashlib
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Outcome, canaries, contents, digests, drawing, headers, session

from protocols import canary
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.group import Libsodium, libsodium
from protocols.psi import dh, dh_update
from protocols.psi.dh_update import ReceiverState, SenderState
from protocols.rows import schema, to_batch, to_rows

Kept = tuple[SenderState, ReceiverState]
GENERATOR = np.frombuffer(libsodium().generated((1).to_bytes(32, "little")), np.uint8)[None]
NOTHING = (SenderState(), ReceiverState())


def run(theirs, mine, kept: Kept = NOTHING, *, tamper=None, wrap=lambda c: c, **other) -> Outcome:
    return session(
        lambda c: dh_update.sender(wrap(c), digests(theirs), kept[0], canaries=canaries("sender"), **other),
        lambda c: dh_update.receiver(c, digests(mine), kept[1], canaries=canaries("receiver")),
        tamper=tamper,
    )


def step(theirs, mine, kept: Kept = NOTHING) -> tuple[list[int], Kept]:
    """The matched rows, and the states after, as they come back from storage."""
    (sent, sender), (result, receiver) = run(theirs, mine, kept).both()
    assert (sent.peer_rows, result.peer_rows) == (len(mine), len(theirs))
    assert result.size == len(result.matched)
    stored = (sender.export_secret(), receiver.export_secret())
    return result.matched.tolist(), (SenderState.load_secret(stored[0]), ReceiverState.load_secret(stored[1]))


people = st.lists(st.integers(0, 30), unique=True, max_size=20)


@settings(max_examples=12, deadline=None)
@given(st.lists(st.tuples(people, people), min_size=2, max_size=4))
def test_any_history_gives_what_a_fresh_run_gives(history):
    kept = NOTHING
    for theirs, mine in history:
        matched, kept = step(theirs, mine, kept)
        assert matched == [row for row, number in enumerate(mine) if number in theirs]
    assert kept[0].generation == kept[1].generation == len(history)


def test_an_update_costs_what_changed(monkeypatch):
    counted = []

    def count(name):
        work = getattr(Libsodium, name)
        monkeypatch.setattr(Libsodium, name, lambda *given: counted.append(len(given[-1])) or work(*given))

    count("from_uniform")
    count("multiply")
    theirs, mine = list(range(1000)), list(range(500, 1500))
    _, kept = step(theirs, mine)
    first, counted[:] = sum(counted), []
    assert first == 4 * (1000 + canary.COUNT) + 1  # hash and multiply own, reply, hash theirs; the key
    theirs = theirs[20:] + list(range(2000, 2020))  # 2 % leave, 2 % come
    mine = list(range(2000, 2010)) + mine[10:]
    matched, _ = step(theirs, mine, kept)
    assert matched == [row for row, number in enumerate(mine) if number in theirs]
    assert sum(counted) == 2 * 20 + 2 * 10 + 4 * canary.COUNT + 1
    assert sum(counted) < 0.03 * first


def test_an_update_says_nothing_of_what_stayed():
    """What is sent after nothing changed is as long for ten rows as for forty, and holds canaries only."""
    lengths = set()
    for size in (10, 40):
        _, kept = step(list(range(size)), list(range(size)))
        outcome = run(list(range(size)), list(range(size)), kept)
        outcome.both()
        frames = outcome.frames["sender"] + outcome.frames["receiver"]
        lengths.add(tuple((h.name, h.length) for h in headers(frames) if h.name.startswith("dh-update")))
    assert len(lengths) == 1


def test_neither_identities_nor_tags_of_what_stayed_cross_the_wire_again():
    _, kept = step([1, 2, 3], [2, 3, 4])
    outcome = run([1, 2, 3, 5], [2, 3, 5], kept)
    outcome.both()
    wire = contents(outcome.frames["sender"]) + contents(outcome.frames["receiver"])
    for row in [*digests(range(9)), *kept[0].tags]:
        assert row.tobytes()[:8] not in wire


def test_md5_digests_and_empty_sides():
    kept = NOTHING
    for theirs, mine in (([], []), ([1], []), ([1], [1]), ([], [1])):
        sender = partial(dh_update.sender, items=digests(theirs, 16), state=kept[0], canaries=canaries("sender", 16))
        receiver = partial(
            dh_update.receiver, items=digests(mine, 16), state=kept[1], canaries=canaries("receiver", 16)
        )
        (_, sent), (result, received) = session(sender, receiver).both()
        assert result.size == len(set(theirs) & set(mine))
        kept = (sent, received)


def test_known_answer():
    """Injected randomness, fixed session: the frames of two sessions of an epoch."""
    kept, sent = NOTHING, b""
    for theirs, mine in (([1, 2, 3], [3, 4]), ([2, 3, 5], [4, 5])):
        given = {"ordered": True}
        for_sender = {"items": digests(theirs), "state": kept[0], "canaries": canaries("sender")}
        for_receiver = {"items": digests(mine), "state": kept[1], "canaries": canaries("receiver")}
        outcome = session(
            partial(dh_update._sender, **for_sender, **given, draw=drawing(b"sender")),
            partial(dh_update._receiver, **for_receiver, **given, draw=drawing(b"receiver")),
            known_session=bytes(range(32)),
        )
        (_, sender), (_, receiver) = outcome.both()
        kept = (sender, receiver)
        for side in ("receiver", "sender"):
            for header, frame in zip(headers(outcome.frames[side]), outcome.frames[side], strict=True):
                if header.name.startswith("dh-update"):
                    sent += header.name.encode() + frame[112:]
    assert hashlib.sha256(sent).hexdigest() == KNOWN_ANSWER


KNOWN_ANSWER = "a6939a4db15e050d408ba53ef3a7d30d34031e5986c3603d1d31a5689e84fba4"


# -- what is refused


def fails(outcome: Outcome, side: str, kind: type[ProtocolError], text: str) -> None:
    other = "sender" if side == "receiver" else "receiver"
    assert type(outcome.errors[side]) is kind
    assert text in str(outcome.errors[side])
    assert isinstance(outcome.errors[other], PeerAborted)
    assert not outcome.results


def test_a_size_alone_is_not_updated():
    fails(run([1], [1], ordered=False), "sender", ProtocolError, "size alone cannot be updated")
    outcome = session(
        lambda c: dh_update.sender(c, digests([1]), SenderState(), canaries=canaries("sender")),
        lambda c: dh_update.receiver(c, digests([1]), ReceiverState(), canaries=canaries("receiver"), ordered=False),
    )
    fails(outcome, "receiver", ProtocolError, "size alone cannot be updated")


def test_states_of_other_sessions_are_refused_at_both_sides():
    _, one = step([1, 2], [2, 3])
    _, other = step([1, 2], [2, 3])
    _, later = step([1, 2], [2, 3], one)
    for mixed in ((one[0], other[1]), (one[0], later[1]), (later[0], one[1]), (one[0], ReceiverState())):
        outcome = run([1, 2], [2, 3], mixed)
        assert all("not of the same session" in str(error) for error in outcome.errors.values())
        assert len(outcome.errors) == 2


def test_the_quota_of_an_epoch():
    outcome = run([1], [1, 2, 3], most_answered=2)
    fails(outcome, "sender", ProtocolError, "quota")
    (_, sender), (_, receiver) = run([1], [1, 2, 3], most_answered=3).both()
    assert sender.answered == 3
    run([1], [1, 2], (sender, receiver), most_answered=3).both()
    fails(run([1], [1, 2, 3, 4], (sender, receiver), most_answered=3), "sender", ProtocolError, "quota")


def test_canaries_of_another_secret_do_not_match():
    strange = canary.draw(b"t" * 32, "sender", 32)
    outcome = session(
        lambda c: dh_update.sender(c, digests([1, 2]), SenderState(), canaries=strange),
        lambda c: dh_update.receiver(c, digests([2]), ReceiverState(), canaries=canaries("receiver")),
    )
    fails(outcome, "receiver", ProtocolError, "canaries")


def test_a_one_sided_canary_that_matches_is_found():
    leaked = canary.Canaries(canaries("sender").common, canaries("receiver").own)
    outcome = session(
        lambda c: dh_update.sender(c, digests([1, 2]), SenderState(), canaries=leaked),
        lambda c: dh_update.receiver(c, digests([2]), ReceiverState(), canaries=canaries("receiver")),
    )
    fails(outcome, "receiver", ProtocolError, "canaries")


def changing(name: str, change):
    def wrap(channel):
        send = channel.send

        def changed(message, batch, bucket=0):
            if message == name:
                batch = to_batch(batch.schema, change(to_rows(batch.column(0)).copy()))
            send(message, batch, bucket)

        channel.send = changed
        return channel

    return wrap


@pytest.mark.parametrize(
    ("name", "change", "text", "kind"),
    [
        ("dh-update.key", lambda rows: rows * 0, "group element", BadMessage),
        ("dh-update.key", lambda rows: rows | 255, "group element", BadMessage),
        ("dh-update.key", lambda rows: rows[:0], "fewer rows", BadMessage),
        ("dh-update.key", lambda rows: rows[[0, 0]], "more rows", BadMessage),
        ("dh-update.key", lambda rows: GENERATOR, "canaries", ProtocolError),
        ("dh-update.replies", lambda rows: rows[:-1], "fewer rows", BadMessage),
        ("dh-update.replies", lambda rows: rows[[*range(len(rows)), 0]], "more rows", BadMessage),
        ("dh-update.replies", lambda rows: rows * 0, "group element", BadMessage),
        ("dh-update.added", lambda rows: rows[:-1], "fewer rows", BadMessage),
        ("dh-update.added", lambda rows: rows[[0, 0]], "not distinct", BadMessage),
        ("dh-update.removed", lambda rows: rows ^ 1, "do not fit", BadMessage),
        ("dh-update.removed", lambda rows: rows[[0, 0]], "not distinct", BadMessage),
        ("dh-update.removed", lambda rows: rows[:0], "fewer rows", BadMessage),
        ("dh-update.canaries", lambda rows: rows[::-1], "canaries", ProtocolError),
        ("dh-update.canaries", lambda rows: rows[:5], "fewer rows", BadMessage),
    ],
)
def test_what_the_sender_may_not_send(name, change, text, kind):
    _, kept = step([1, 2, 3, 4], [2, 3, 9])
    outcome = run([3, 4, 5, 6], [2, 3, 5], kept, wrap=changing(name, change))
    fails(outcome, "receiver", kind, text)


def test_an_addition_that_was_there_before_is_refused():
    _, (sender, receiver) = step([1, 2, 3], [3])
    forged = SenderState(sender.epoch, 1, sender.items[1:], sender.tags[1:], 1, sender._scalar)
    fails(run([1, 2, 3], [3], (forged, receiver)), "receiver", BadMessage, "do not fit")


def test_repeated_items_are_refused():
    outcome = run([1, 1], [1])
    fails(outcome, "sender", ProtocolError, "1 identities are repeated")


@pytest.mark.parametrize(
    "sizes", [(-1, 0, 0), (dh.MOST_ROWS + 1, 0, 0), (5, 1, 0), (2, 3, 0), (2, -1, 0), (2, 0, -1), (2, 0, 2**62)]
)
def test_sizes_that_cannot_be_are_refused_before_any_work(sizes):
    """rows, added, removed as a sender with two rows declares them to a receiver that takes four."""
    _, kept = step([1, 2], [2])

    def declare(channel):
        columns = [pa.array([value]) for value in (*sizes, 32, 1)] + [pa.array([kept[0].epoch], pa.binary(32))]
        channel.send_batch("dh-update.sizes", pa.record_batch(columns, schema=dh_update._SIZES))
        channel.receive_batch("dh-update.sizes", dh_update._SIZES, rows=1)
        channel.receive_batch("dh-update.blinded", schema({"point": 32}), rows=100)

    outcome = session(
        declare,
        lambda c: dh_update.receiver(c, digests([2]), kept[1], canaries=canaries("receiver"), most=4),
    )
    fails(outcome, "receiver", BadMessage, "not allowed")


def test_states_do_not_show_their_secrets_and_strange_ones_are_refused():
    _, (sender, receiver) = step([1, 2], [2])
    assert sender._scalar.hex() not in repr(sender) and repr(sender._scalar) not in repr(sender)
    for kind, state in ((SenderState, sender), (ReceiverState, receiver)):
        content = state.export_secret()
        for strange in (b"", content[:-1], content + b"\0", content.replace(b"/1\n", b"/2\n"), content[:40]):
            with pytest.raises(ProtocolError, match="unknown form"):
                kind.load_secret(strange)
    with pytest.raises(ProtocolError, match="unknown form"):
        ReceiverState.load_secret(sender.export_secret())
