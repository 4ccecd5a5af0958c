"""The unbalanced match with a peer that deviates: a named error at both ends, and nobody has a result."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from oprf_support import KEY, WIDTH, Run, fails, question, table_of, terms
from support import canaries, digests, headers, session

from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, ProtocolError
from protocols.oprf import suite
from protocols.oprf.keys import Quota
from protocols.oprf.suite import Mode
from protocols.oprf.tables import TagTable, precompute
from protocols.psi import oprf
from protocols.rows import schema, to_batch, to_rows

VECTORS = Path(__file__).parent.parent / "vectors"
BAD = [row["encoding"] for row in json.loads((VECTORS / "rfc9496_ristretto255.json").read_text())["bad_encodings"]]


def changing(name: str, change):
    """A channel that sends the rows of the message `name` changed."""

    def wrap(channel: Channel) -> Channel:
        send = channel.send

        def changed(message: str, batch: pa.RecordBatch, bucket: int = 0) -> None:
            if message == name:
                rows = change(to_rows(batch.column(0)).copy())
                if not len(rows):
                    return
                batch = to_batch(schema({batch.schema.names[0]: rows.shape[1]}), rows)
            send(message, batch, bucket)

        channel.send = changed
        return channel

    return wrap


def with_row(place: int, row: bytes):
    def change(rows):
        rows[place] = np.frombuffer(row, np.uint8)
        return rows

    return change


@pytest.mark.parametrize(
    ("name", "change", "text"),
    [
        *[("oprf.evaluated", with_row(2, bytes.fromhex(bad)), "group element") for bad in (*BAD[::6], "00" * 32)],
        ("oprf.evaluated", lambda rows: rows[:-1], "fewer rows"),
        ("oprf.evaluated", lambda rows: rows[:0], "fewer rows"),
        ("oprf.evaluated", lambda rows: rows[[*range(len(rows)), 0]], "more rows"),
        ("oprf.evaluated", lambda rows: rows[::-1], "proof that the peer used"),
        ("oprf.evaluated", lambda rows: rows[:, :31], "schema"),
        ("oprf.proof", lambda rows: rows ^ 1, "proof that the peer used"),
        ("oprf.proof", lambda rows: rows | 255, "scalar"),
        ("oprf.proof", lambda rows: rows[:0], "fewer rows"),
        ("oprf.tags", lambda rows: rows[:-1], "not the one that it declared"),
        ("oprf.tags", lambda rows: rows[::-1], "out of order or repeated"),
        ("oprf.tags", lambda rows: rows[[*range(len(rows)), 0]], "more rows"),
        ("oprf.tags", lambda rows: np.sort(rows ^ 1, axis=0), ""),
    ],
)
def test_what_the_sender_may_not_send(name, change, text):
    outcome = Run(table_of([1, 2, 3]), question([2, 3, 4])).start(sends=changing(name, change))
    fails(outcome, "receiver", BadMessage, text)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        *[(with_row(1, bytes.fromhex(bad)), "group element") for bad in (*BAD[::6], "00" * 32)],
        (lambda rows: rows[:-1], "fewer rows"),
        (lambda rows: rows[[*range(len(rows)), 0]], "more rows"),
    ],
)
def test_what_the_receiver_may_not_send(change, text):
    outcome = Run(table_of([1, 2, 3]), question([2, 3, 4])).start(receives=changing("oprf.blinded", change))
    fails(outcome, "sender", BadMessage, text)


def declaring(**changed):
    """A channel whose own sizes are changed."""

    def wrap(channel: Channel) -> Channel:
        send = channel.send_batch

        def declared(name: str, batch: pa.RecordBatch, bucket: int = 0) -> None:
            if name in ("oprf.sizes", "oprf.update"):
                row = batch.to_pylist()[0]
                row |= {field: value for field, value in changed.items() if field in row}
                batch = pa.RecordBatch.from_pylist([row], schema=batch.schema)
            send(name, batch, bucket)

        channel.send_batch = declared
        return channel

    return wrap


@pytest.mark.parametrize("rows", [-1, canary.COUNT - 1, 1001 + canary.COUNT, 2**62])
def test_sizes_that_cannot_be_are_refused_before_any_work(rows):
    run = Run(table_of([1, 2, 3]), question([2, 3, 4]))
    outcome = run.start(sends=declaring(rows=rows))
    fails(outcome, "receiver", BadMessage, "not allowed")
    assert "oprf.blinded" not in {header.name for header in headers(outcome.frames["receiver"])}
    outcome = run.start(receives=declaring(rows=rows))
    assert isinstance(outcome.errors["sender"], ProtocolError)
    assert not run.kept or run.kept[-1].spent == 9
    assert "oprf.evaluated" not in {header.name for header in headers(outcome.frames["sender"])}


@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_either_side_may_be_held_to_fewer_rows(side):
    table, asked, most = table_of([1, 2, 3]), question([2, 3, 4]), {side: 2}
    outcome = session(
        lambda c: oprf.sender(c, KEY, table, Quota.of(terms()), lambda _: None, most=most.get("sender", 3)),
        lambda c: oprf.receiver(c, asked, terms(), None, most=most.get("receiver", 3)),
    )
    fails(outcome, side, BadMessage, "not allowed")


@pytest.mark.parametrize(
    "changed",
    [
        {"removed": 1},
        {"removed": -1},
        {"added": 8},
        {"added": -1},
        {"whole": 0, "removed": 2},
        {"table": bytes(31) + b"1"},
    ],
)
def test_updates_that_do_not_add_up_are_refused(changed):
    run = Run(table_of([1, 2, 3]), question([2, 3, 4]))
    fails(run.start(sends=declaring(**changed)), "receiver", BadMessage, "")


@pytest.mark.parametrize("changed", [{"label": 8}, {"most_rows": 5}, {"most_queries": 5}, {"canaries": 0}])
def test_settings_that_differ_are_named(changed):
    run = Run(table_of([1, 2, 3]), question([2, 3, 4]))
    fails(run.start(receives=declaring(**changed)), "sender", ProtocolError, f"do not agree on {next(iter(changed))}")


def test_a_sender_with_a_key_for_each_query_is_caught():
    """The attack that the proof is for: one row under another key, to see later whether it had matched."""
    other = KEY.rotated()

    def two_keys(rows):
        rows[0] = suite.blind_evaluate(other.secret, suite.blind([b"any"], Mode.VOPRF)[1])[0]
        return rows

    outcome = Run(table_of([1, 2]), question([1, 2])).start(sends=changing("oprf.evaluated", two_keys))
    fails(outcome, "receiver", BadMessage, "used the key of this epoch does not hold")


def test_canaries_of_another_secret_or_that_match_from_one_side_are_found():
    for strange in (
        canary.draw(b"t" * 32, "sender", 32),
        canary.Canaries(canaries("sender").common, canaries("receiver").own),
    ):
        table = precompute(KEY, terms(), digests([1]), None, canaries=strange)[0]
        fails(Run(table, question([1])).start(), "receiver", ProtocolError, "canaries")


def test_a_damaged_label_ends_the_session_without_a_result():
    table = table_of([1, 2], epoch=terms(width=WIDTH))
    damaged = TagTable(table.epoch, table.tags, table.labels ^ 1)
    fails(Run(damaged, question([1])).start(), "receiver", BadMessage, "does not open")


def test_a_truncated_or_replayed_stream_is_refused():
    run = Run(table_of([1, 2, 3]), question([2, 3, 4]))
    count = len(run.start().frames["sender"])
    for number in range(2, count, 3):
        dropped = run.start(tamper=lambda at, frame, number=number: [] if at == number else [frame])
        assert any(isinstance(error, ProtocolError) for error in dropped.errors.values())
        assert "receiver" not in dropped.results
    twice = run.start(tamper=lambda at, frame: [frame, frame] if at == 5 else [frame])
    fails(twice, "receiver", BadMessage, "repeated")
