"""What is not the next message of this session from this peer ends it (attack C7); disagreements have names."""

import threading

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import Outcome, Signer, headers, open_with_nonce, opening, session, wires

from protocols import channel as channels
from protocols import hello, payload
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.header import BYTES, Header, Kind, unpack
from protocols.rows import schema, to_batch, to_rows

NUMBERS = pa.schema([pa.field("number", pa.int64(), nullable=False)])
TEXTS = pa.schema([pa.field("text", pa.string(), nullable=False)])
HELLOS = 3  # frames of a hello: itself, its signature, the signature's end


def numbers(*values: int) -> pa.RecordBatch:
    return pa.record_batch([pa.array(values, pa.int64())], schema=NUMBERS)


def say(channel: Channel) -> bytes:
    channel.send("first", numbers(1, 2))
    channel.send("first", numbers(3))
    channel.end("first")
    channel.send_batch("second", numbers(4), bucket=7)
    return channel.confirm()


def hear(channel: Channel) -> list[int]:
    first = [n for batch in channel.receive("first", NUMBERS, rows=3) for n in batch.column(0).to_pylist()]
    second = channel.receive_batch("second", NUMBERS, bucket=7, rows=1)
    channel.confirm()
    return first + second.column(0).to_pylist()


def refused(outcome: Outcome, at: str = "receiver") -> BaseException:
    """The named error at one side; the other side saw a peer that gave up."""
    other = "sender" if at == "receiver" else "receiver"
    assert isinstance(outcome.errors[other], PeerAborted)
    assert not outcome.results.get(at)
    return outcome.errors[at]


def test_what_is_said_is_heard_and_both_hold_the_same_transcript():
    said = []
    transcript, heard = session(say, lambda channel: (said.append(hear(channel)), channel.transcript())[1]).both()
    assert said == [[1, 2, 3, 4]]
    assert len(transcript) == 32
    assert transcript != heard  # the confirmation itself is in the transcript from then on
    after = session(lambda c: (say(c), c.transcript())[1], lambda c: (hear(c), c.transcript())[1]).both()
    assert after[0] == after[1]


def test_the_transcript_depends_on_what_was_said_and_on_the_session():
    assert session(say, hear).both()[0] != session(say, hear).both()[0]


def test_empty_messages_and_large_ones(monkeypatch):
    monkeypatch.setattr(channels, "FRAME_BYTES", 1 << 16)
    large = np.random.default_rng(1).integers(0, 256, (5_000, 100), dtype=np.uint8)
    layout = schema({"row": 100})

    def speak(channel):
        channel.end("nothing")
        channel.send_batch("large", to_batch(layout, large))

    def listen(channel):
        return (
            channel.receive_batch("nothing", layout, rows=0),
            to_rows(channel.receive_batch("large", layout, rows=5_000).column(0)),
        )

    outcome = session(speak, listen)
    nothing, heard = outcome.both()[1]
    assert nothing is None
    assert (heard == large).all()
    assert max(len(frame) for frame in outcome.frames["sender"]) < 70_000


MUTATIONS = {
    "replay": lambda frames, at: [*frames[: at + 1], frames[at], *frames[at + 1 :]],
    "drop": lambda frames, at: frames[:at] + frames[at + 1 :],
    "swap": lambda frames, at: [*frames[:at], *frames[at : at + 2][::-1], *frames[at + 2 :]],
    "cut header": lambda frames, at: [*frames[:at], frames[at][: BYTES - 1]],
    "cut content": lambda frames, at: [*frames[:at], frames[at][:-1]],
    "lengthen": lambda frames, at: [*frames[:at], frames[at] + b"\0"],
}


@pytest.mark.parametrize("at", range(HELLOS, HELLOS + 7))
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_every_frame_replayed_dropped_swapped_or_cut(mutation, at):
    sent: list[bytes] = []

    def tamper(number, frame):  # holds everything after the hello back until it is complete
        if number < HELLOS:
            return [frame]
        sent.append(frame)
        if len(sent) < 7:  # 2 data, end, data, end, confirm's data, confirm's end
            return []
        if mutation == "swap" and at == HELLOS + 6:
            return [*sent[:-1], sent[-1], sent[-1]]
        return MUTATIONS[mutation](sent, at - HELLOS)

    outcome = session(say, hear, tamper=tamper)
    if at == HELLOS + 6 and mutation in ("drop", "replay", "swap"):  # nothing comes after it that could be out of order
        assert mutation != "drop" or isinstance(outcome.errors["receiver"], PeerAborted)
    else:
        assert isinstance(outcome.errors["receiver"], BadMessage)
        assert "receiver" not in outcome.results
        if mutation in ("replay", "drop", "swap"):
            text = str(outcome.errors["receiver"])
            assert "out of order" in text or "another message" in text  # the latter where buckets meet


@pytest.mark.parametrize("place", range(0, BYTES, 3))
def test_any_changed_header_byte_is_refused(place):
    def tamper(number, frame):
        return [frame if number != HELLOS else frame[:place] + bytes([frame[place] ^ 0x40]) + frame[place + 1 :]]

    assert isinstance(session(say, hear, tamper=tamper).errors["receiver"], BadMessage)


def test_changed_content_is_found_when_transcripts_are_compared():
    changed = {}

    def tamper(number, frame):
        if number == HELLOS:
            at = frame.rindex((2).to_bytes(8, "little"))
            changed["frame"] = frame[:at] + b"\3" + frame[at + 1 :]
            return [changed["frame"]]
        return [frame]

    outcome = session(say, hear, tamper=tamper)
    assert changed
    assert "same messages" in str(outcome.errors["receiver"])
    assert {type(error) for error in outcome.errors.values()} <= {BadMessage, PeerAborted}


def test_reflection():
    left, right = wires()
    echo = threading.Thread(target=lambda: [left.inbox.put(bytes(right.receive())) for _ in range(1)])
    echo.start()
    with pytest.raises(BadMessage, match="came back"):
        Channel.open(left, **opening("sender", "receiver"))
    echo.join()


def test_a_hello_is_not_its_own_answer_even_under_the_other_role():
    nonce = bytes(32)
    left, right = wires()
    errors = []

    def other():
        try:
            open_with_nonce(right, nonce, "receiver", "sender")
        except ProtocolError as error:
            errors.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    with pytest.raises(BadMessage, match="own hello"):
        open_with_nonce(left, nonce, "sender", "receiver")
    thread.join()
    assert len(errors) == 1


def test_frames_of_another_session_are_refused():
    earlier = session(say, hear).frames["sender"]
    outcome = session(say, hear, tamper=lambda number, frame: [earlier[number] if number == HELLOS else frame])
    assert "another session" in str(refused(outcome))
    whole = session(say, hear, tamper=lambda number, frame: [earlier[number]])
    assert isinstance(whole.errors["receiver"], BadMessage)


def test_a_message_of_another_name_bucket_schema_or_size_is_refused():
    cases = {
        "another message than other": lambda c: c.receive_batch("other", NUMBERS, rows=3),
        "another message than first": lambda c: c.receive_batch("first", NUMBERS, bucket=1, rows=3),
        "another schema": lambda c: c.receive_batch("first", TEXTS, rows=3, nbytes=100),
        "more rows": lambda c: c.receive_batch("first", NUMBERS, rows=2),
        "more rows than were declared": lambda c: c.receive_row("first", NUMBERS),
        "longer than was declared": lambda c: c.receive_batch("first", NUMBERS, rows=10_000, nbytes=1_000),
    }
    for text, listen in cases.items():
        values = range(2_000 if "longer" in text else 3)

        def speak(channel, values=values):
            channel.send_batch("first", numbers(*values))
            channel.confirm()

        assert text in str(refused(session(speak, listen)))


def test_a_message_without_the_rows_it_must_have_is_refused():
    def speak(channel):
        channel.end("first")
        channel.confirm()

    for listen in (
        lambda c: c.receive_row("first", NUMBERS),
        lambda c: c.receive_rows("first", schema({"a": 8}), rows=1),
    ):
        assert "fewer rows" in str(refused(session(speak, listen)))


def test_variable_width_needs_a_declared_size():
    with pytest.raises(ValueError, match="nbytes"):
        next(Channel(wires()[0], "a", "b", bytes(32), Signer("a"), b"").receive("text", TEXTS, rows=1))


def test_texts_travel_within_their_declared_size():
    batch = pa.record_batch([pa.array(["甲", "乙"])], schema=TEXTS)
    heard = session(
        lambda c: c.send_batch("texts", batch), lambda c: c.receive_batch("texts", TEXTS, rows=2, nbytes=64)
    ).both()[1]
    assert heard.equals(batch)


DISAGREEMENTS = {
    "agree on lambda: 41 here, 40 there": {"parameters": {"lambda": 41, "suite": 1}},
    "has set extra, the other has not": {"parameters": {"lambda": 40, "suite": 1, "extra": 1}},
    "different contracts": {"contract_hash": bytes(32)},
    "each other's keys": {"fingerprints": ("print of receiver", "print of another")},
    "another role than operator": {"peer_role": "operator"},
}


@pytest.mark.parametrize("text", DISAGREEMENTS)
def test_a_disagreement_is_refused_by_name_at_the_side_that_has_it(text):
    outcome = session(say, hear, given={"receiver": DISAGREEMENTS[text]})
    assert text in str(outcome.errors["receiver"])
    assert isinstance(outcome.errors["sender"], ProtocolError)
    assert not outcome.results


def test_both_sides_name_a_disagreement():
    outcome = session(say, hear, given={"sender": {"contract_hash": bytes(32)}})
    assert all("contracts" in str(error) for error in outcome.errors.values())


def test_an_unknown_suite_and_two_equal_roles_are_refused(monkeypatch):
    mine = hello.Hello("one", "a", b"1" * 32, b"c", "m", "p", {})
    with pytest.raises(ProtocolError, match="suites"):
        hello.check(mine, hello.Hello("two", "b", b"2" * 32, b"c", "p", "m", {}), "b")
    outcome = session(say, hear, roles=("same", "same"))
    assert all("came back" in str(error) for error in outcome.errors.values())


def test_a_key_that_the_contract_does_not_name_is_refused():
    outcome = session(say, hear, given={"sender": {"me": Signer("an impostor")}})
    assert "does not hold the key" in str(refused(outcome))


def test_a_hello_must_be_one():
    for content in (b"", b"\0" * 200, bytes(hello.MOST_BYTES + 1)):
        with pytest.raises(BadMessage):
            hello.decode(memoryview(content))


def test_another_version_is_refused_by_its_number():
    outcome = session(say, hear, tamper=lambda number, frame: [frame[:4] + b"\2\0" + frame[6:]])
    assert "version 2 of the channel, this side 1" in str(refused(outcome))


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (BadMessage("x"), "refused a message"),
        (ProtocolError("x"), "a check failed"),
        (KeyError("a bug"), "failed on its own side"),
    ],
)
def test_a_failure_tells_the_peer_its_kind_and_no_more(failure, text):
    def fail(channel):
        raise failure

    outcome = session(fail, hear)
    assert outcome.errors["sender"] is failure
    assert text in str(outcome.errors["receiver"])
    assert isinstance(outcome.errors["receiver"], PeerAborted)
    abort = outcome.frames["sender"][-1]
    assert len(abort) == BYTES + 2


def test_an_unknown_abort_code_is_still_an_abort():
    left, right = wires()
    left.send([Header(Kind.ABORT, bytes(32), "sender", "abort", 0, 0, 2).pack(), b"\xff\xff"])
    with pytest.raises(PeerAborted, match="ended the session"):
        Channel.open(right, **opening("receiver", "sender"))


def test_a_sender_whose_peer_gave_up_learns_why():
    def give_up(channel):
        raise ProtocolError("x")

    def speak(channel):
        while True:
            channel.send_batch("first", numbers(1))

    left, right = wires()
    original = left.send

    def send(frame):
        if len(left.frames) > 20:
            raise PeerAborted("The connection to the peer is gone.")
        original(frame)

    left.send = send
    failures = []

    def role(work, wire, names):
        try:
            with Channel.open(wire, **opening(*names)) as channel:
                work(channel)
        except ProtocolError as error:
            failures.append(error)

    other = threading.Thread(target=role, args=(give_up, right, ("receiver", "sender")))
    other.start()
    role(speak, left, ("sender", "receiver"))
    other.join()
    assert any("a check failed" in str(error) for error in failures)


def test_two_sessions_on_one_transport():
    left, right = wires()

    def two(wire, names, work):
        for _ in range(2):
            with Channel.open(wire, **opening(*names)) as channel:
                work(channel)

    thread = threading.Thread(target=two, args=(left, ("sender", "receiver"), say))
    thread.start()
    two(right, ("receiver", "sender"), hear)
    thread.join()
    sessions = {header.session for header in headers(left.frames)}
    assert len(sessions) == 3  # zeros of the hellos, and two


def test_bytes_are_counted():
    ends = {}

    def note(channel):
        ends[channel.role] = (channel.sent, channel.received)

    session(lambda c: (say(c), note(c)), lambda c: (hear(c), note(c))).both()
    assert ends["sender"] == ends["receiver"][::-1]
    assert min(ends["sender"]) > 1000


def test_the_header_is_final():
    header = Header(Kind.DATA, bytes(range(32)), "sender", "dh.tags", 3, 5, 0)
    assert header.pack().hex() == (
        "4f435243" "0100" "01" "00" + bytes(range(32)).hex() + b"sender".ljust(16, b"\0").hex()
        + b"dh.tags".ljust(32, b"\0").hex() + "03000000" "00000000" "0500000000000000" "0000000000000000"
    )  # fmt: skip
    assert unpack(memoryview(header.pack())) == header


@pytest.mark.parametrize("name", ["", "Upper", "way-too-long-a-name-for-the-field-of-32", "a b", "名"])
def test_names_are_short_ascii(name):
    with pytest.raises(ValueError, match="letters"):
        Header(Kind.DATA, bytes(32), "role", name, 0, 0, 0).pack()


# -- payloads


BATCH = pa.record_batch(
    [pa.array([1, 2, 3]), pa.array(["a", "bb", "ccc"]), pa.array([b"x" * 16] * 3, pa.binary(16))],
    schema=pa.schema(
        [
            pa.field("number", pa.int64(), nullable=False),
            pa.field("text", pa.string()),
            pa.field("token", pa.binary(16), nullable=False),
        ]
    ),
)
ENCODED = b"".join(bytes(part) for part in payload.encode(BATCH))


def test_a_payload_is_read_back():
    assert payload.decode(memoryview(bytearray(ENCODED)), BATCH.schema, 3).equals(BATCH)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(16, len(ENCODED) - 1), st.integers(0, 255)), min_size=1, max_size=4),
    st.integers(16, len(ENCODED)),
)
def test_malformed_payloads_are_refused_or_are_batches(changes, length):
    content = bytearray(ENCODED)
    for place, value in changes:
        content[place] = value
    try:
        batch = payload.decode(memoryview(content[:length]), BATCH.schema, 3)
    except BadMessage:
        return
    assert batch.schema == BATCH.schema
    assert 0 < batch.num_rows <= 3
    batch.to_pydict() if batch.column("text").null_count == 3 else batch.column("token").to_pylist()


def test_compressed_payloads_are_refused_before_they_are_unpacked():
    zeros = pa.record_batch([pa.array(np.zeros(100_000, np.int64))], schema=NUMBERS)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, NUMBERS, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_batch(zeros)
    messages = pa.ipc.MessageReader.open_stream(sink.getvalue())
    messages.read_next_message()
    body = messages.read_next_message().serialize()
    content = bytearray(payload.fingerprint(NUMBERS) + bytes(body))
    with pytest.raises(BadMessage, match="malformed"):
        payload.decode(memoryview(content), NUMBERS, 100_000)


def test_nulls_where_the_schema_has_none_are_refused():
    loose = pa.record_batch([pa.array([1, None])], schema=pa.schema([pa.field("number", pa.int64())]))
    content = bytearray(payload.fingerprint(NUMBERS) + bytes(loose.serialize()))
    with pytest.raises(BadMessage, match="malformed"):
        payload.decode(memoryview(content), NUMBERS, 2)


@pytest.mark.parametrize("rows", [0, 2])
def test_too_many_rows_or_none_are_refused(rows):
    content = bytearray(b"".join(bytes(part) for part in payload.encode(numbers(*range(rows)))))
    with pytest.raises(BadMessage, match="rows"):
        payload.decode(memoryview(content), NUMBERS, 1)


def test_fingerprints_tell_schemas_apart():
    schemas = [
        pa.schema([pa.field("ab", pa.string()), pa.field("c", pa.string())]),
        pa.schema([pa.field("a", pa.string()), pa.field("bc", pa.string())]),
        pa.schema([pa.field("ab", pa.string()), pa.field("c", pa.large_string())]),
        pa.schema([pa.field("ab", pa.string()), pa.field("c", pa.string(), nullable=False)]),
        pa.schema([pa.field("ab", pa.string())]),
    ]
    assert len({payload.fingerprint(one) for one in schemas}) == len(schemas)
