"""What a deviating peer tries: found by name, before anything of the honest side's items is out."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pytest
from support import digests, drawing, headers, session
from vole_support import fails, receiver, run, sender

from protocols import canary
from protocols.errors import BadMessage, ProtocolError
from protocols.header import BYTES
from protocols.payload import FINGERPRINT_BYTES
from protocols.psi.vole import check, code, messages, parameters, receiving, streams
from protocols.psi.vole.parameters import CODE_LENGTH, LEAST_ROWS, MOST_ROWS, derive

FAILED = "check of the peer's messages failed"


def names(outcome, side):
    return [header.name for header in headers(outcome.frames[side])]


# -- corrections that are no code words (REVIEW 1)


class Cheat:
    """A receiver that adds a multiple of one coordinate's unit to each of its items, to read Delta off its matches."""

    def __init__(self, monkeypatch):
        self.rows = self.own = self.masks = None
        solve, send, of_bin, receive = (
            receiving._solve,
            messages.send_correction,
            receiving.of_bin,
            messages.receive_masks,
        )

        def solving(layout, rows):
            self.layout, self.rows = layout, rows
            return solve(layout, rows)

        def sending_changed(channel, bucket, planes):
            send(channel, bucket, planes ^ self.errors())

        def keeping(layout, rows, number, planes, *others):
            self.own = planes.copy()
            of_bin(layout, rows, number, planes, *others)

        def hearing(*arguments):
            self.masks = receive(*arguments)
            return self.masks

        monkeypatch.setattr(receiving, "_solve", solving)
        monkeypatch.setattr(messages, "send_correction", sending_changed)
        monkeypatch.setattr(receiving, "of_bin", keeping)
        monkeypatch.setattr(messages, "receive_masks", hearing)

    @property
    def coordinate(self):
        return np.arange(len(self.rows.digests)) % CODE_LENGTH

    def errors(self):
        """uint64[blocks, 35, 48] that adds, at each item's slots together, 1 in the item's coordinate."""
        from protocols.kernels.vole import okvs

        digests_, values = self.rows.digests.copy(), np.uint64(1) << self.coordinate.astype(np.uint64)
        digests_[:, 2] = (digests_[:, 2] & np.uint64(0xFFFFFFFF)) | (values << np.uint64(32))
        digests_[:, 3] = values >> np.uint64(32)
        slots = np.zeros((self.layout.slots, 2), np.uint64)
        assert okvs.encode_bin(digests_, 1, self.layout.sparse, self.layout.dense, 20, slots) >= 0
        bits = np.unpackbits(slots[:, :1].copy().view(np.uint8), axis=1, bitorder="little")[:, :CODE_LENGTH]
        planes = np.packbits(bits.reshape(-1, 512, CODE_LENGTH), axis=1, bitorder="little")
        added = np.zeros((self.layout.blocks, CODE_LENGTH, 6, 8), np.uint64)
        added[:, :, 0] = np.ascontiguousarray(planes.transpose(0, 2, 1)).view(np.uint64)
        return added.reshape(self.layout.blocks, CODE_LENGTH, 48)

    def delta(self):
        """Guess each coordinate, at the items that carry it."""
        from protocols.kernels.vole import okvs, outputs, planes

        seen = set(zip(*(column.tolist() for column in self.masks), strict=True))
        slots = np.empty((self.layout.slots, 4), np.uint64)
        planes.planes_to_rows(self.own.reshape(self.layout.blocks, -1, 8), slots)
        shape = (1, self.layout.sparse, self.layout.dense, 20)
        found = np.full(CODE_LENGTH, -1)
        for place in range(CODE_LENGTH):
            items = self.rows.digests[self.coordinate == place]
            for guess in range(64):
                table, shift = np.zeros((11, 256, 4), np.uint64), guess << (6 * place)
                table[0] = [(shift >> (64 * word)) & (2**64 - 1) for word in range(4)]
                hi, lo = np.empty(len(items), np.uint64), np.empty(len(items), np.uint64)
                nothing, low = np.empty((0, 2), np.uint64), np.uint64((1 << (8 * (self.layout.mask_bytes - 8))) - 1)
                blank = okvs.blocks(b"vole-out", outputs.OUT_BYTES)
                outputs.evaluate(blank, items, slots, table, shape, low, hi, lo, nothing)
                if seen & set(zip(hi.tolist(), lo.tolist(), strict=True)):
                    found[place] = guess
        return found


def test_a_receiver_whose_corrections_are_no_code_words_learns_no_delta(monkeypatch):
    """The review's attack recovered Delta, then the sender's whole set. Now no mask is ever sent."""
    cheat = Cheat(monkeypatch)
    outcome = session(sender(range(2000)), receiver(range(2000)))
    fails(outcome, "sender", BadMessage, FAILED)
    assert cheat.masks is None
    assert "vole.masks" not in names(outcome, "sender")


def test_without_the_check_the_same_receiver_would_learn_all_of_delta(monkeypatch):
    """That the attack above is a real one."""
    cheat = Cheat(monkeypatch)
    monkeypatch.setattr(check, "verify", lambda *arguments: None)
    session(sender(range(2000), draw=drawing(b"sender")), receiver(range(2000)))
    truth = np.frombuffer(drawing(b"sender")(CODE_LENGTH), np.uint8) & 63
    assert cheat.delta().tolist() == truth.tolist()


@pytest.mark.parametrize("place", [(0, 0, 0), (2, 20, 30), (5, 34, 47)])
def test_a_single_bit_is_enough_to_be_caught(monkeypatch, place):
    send, changed = messages.send_correction, []

    def sending_changed(channel, bucket, planes):
        if not changed:
            planes[place] ^= np.uint64(1 << 17)
            changed.append(True)
        send(channel, bucket, planes)

    monkeypatch.setattr(messages, "send_correction", sending_changed)
    delta = np.frombuffer(drawing(b"sender")(CODE_LENGTH), np.uint8) & 63
    assert delta[place[1]]  # where Delta is 0 the bit would change nothing
    fails(session(sender([1], draw=drawing(b"sender")), receiver([1])), "sender", BadMessage, FAILED)


def test_a_cheat_in_one_coordinate_passes_for_one_guess_of_64():
    rng = np.random.default_rng(3)
    bins, blocks = 2, 3
    hashed = check.Hash(b"t" * 32, 0, 0, bins, blocks)
    message = rng.integers(0, 2**64, (bins, blocks, 84, 8), dtype=np.uint64)
    own = rng.integers(0, 2**64, (bins, blocks, 210, 8), dtype=np.uint64)
    delta = rng.integers(0, 64, CODE_LENGTH)
    slots, error = own.copy(), np.zeros((210, 8), np.uint64)
    error[6 * 9 : 6 * 10] = rng.integers(0, 2**64, (6, 8), dtype=np.uint64)
    for b in range(bins):
        for k in range(blocks):
            word = code.encode_planes(message[b, k])
            slots[b, k] ^= code.scale_planes(word, delta)
    honest = check.proof(hashed, message, own)
    check.verify(hashed, slots, delta, *honest)
    slots[1, 2] ^= code.scale_planes(error, delta)
    where = np.zeros_like(own)
    where[1, 2] = error
    passed = []
    for guess in range(64):
        adapted = hashed.planes(own) ^ code.scale_planes(hashed.planes(where), np.full(CODE_LENGTH, guess))
        try:
            check.verify(hashed, slots, delta, honest[0], check._digest(adapted))
            passed.append(guess)
        except BadMessage:
            continue
    assert passed == [delta[9]]


def test_the_challenge_depends_on_all_that_was_said():
    one = check.Hash(b"a" * 32, 0, 0, 1, 2)
    planes = np.random.default_rng(1).integers(0, 2**64, (1, 2, 3, 8), dtype=np.uint64)
    for other in ((b"b" * 32, 0, 0), (b"a" * 32, 1, 0), (b"a" * 32, 0, 1)):
        assert (check.Hash(*other, 1, 2).planes(planes) != one.planes(planes)).all()


def test_the_check_of_a_group_cannot_stand_for_another(monkeypatch):
    """A proof is of its challenge: the first group's, sent again, is refused."""
    monkeypatch.setattr(parameters, "BIN_ROWS", 500)
    proofs, proof = [], check.proof
    monkeypatch.setattr(
        check, "proof", lambda *arguments: proofs[0] if proofs else proofs.append(proof(*arguments)) or proofs[0]
    )
    fails(run([1], range(4000)), "sender", BadMessage, FAILED)


# -- trees and transfers


@pytest.mark.parametrize("part", ["both", "totals", "digest"])
def test_trees_that_do_not_fit_are_caught(monkeypatch, part):
    send = messages.send_trees

    def changed(channel, reply, sums):
        padded, totals, digest = sums.padded.copy(), sums.totals.copy(), sums.digest
        if part == "both":
            padded[7, 2] ^= 1
        elif part == "totals":
            totals[34, 31] ^= 128
        else:
            digest = bytes(32)
        send(channel, reply, dataclasses.replace(sums, padded=padded, totals=totals, digest=digest))

    monkeypatch.setattr(messages, "send_trees", changed)
    fails(run([1], [1]), "sender", BadMessage, FAILED)


@pytest.mark.parametrize("side", [0, 1])
def test_a_wrong_sum_on_one_side_is_a_guess_of_one_bit_of_delta(monkeypatch, side):
    send = messages.send_trees

    def changed(channel, reply, sums):
        padded = sums.padded.copy()
        padded[7, 2, side] ^= 1
        send(channel, reply, dataclasses.replace(sums, padded=padded))

    monkeypatch.setattr(messages, "send_trees", changed)
    outcome = session(sender([1], draw=drawing(b"sender")), receiver([1]))
    delta = np.frombuffer(drawing(b"sender")(CODE_LENGTH), np.uint8)[7] & 63
    if (delta >> 3) & 1 != side:  # the sender takes the sum of the side that its path does not
        fails(outcome, "sender", BadMessage, FAILED)
    else:
        outcome.both()


@pytest.mark.parametrize("bad", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
@pytest.mark.parametrize("of", ["points", "reply"])
def test_elements_that_are_none_are_refused(monkeypatch, bad, of):
    points, trees = messages.send_points, messages.send_trees

    def changed(channel, rows):
        rows = rows.copy()
        rows[100] = np.frombuffer(bad, np.uint8)
        points(channel, rows)

    if of == "points":
        monkeypatch.setattr(messages, "send_points", changed)
    else:
        monkeypatch.setattr(messages, "send_trees", lambda channel, reply, sums: trees(channel, bad, sums))
    fails(run([1], [1]), "receiver" if of == "points" else "sender", BadMessage, "group element")


# -- sizes and layouts (REVIEW 2, 4, 5, 6)


def declaring(rows: int):
    def work(channel):
        values = [messages.VERSION, rows, 32, 0, canary.COUNT]
        channel.send_batch("vole.sizes", pa.record_batch([pa.array([n]) for n in values], schema=messages._SIZES))
        channel.receive_batch("vole.sizes", messages._SIZES, rows=1)
        channel.receive_batch("vole.layout", messages._SIZES, rows=1)

    return work


@pytest.mark.parametrize("rows", [MOST_ROWS + canary.COUNT + 1, 2**35, 2**62, -1, 0, 1, LEAST_ROWS + canary.COUNT - 1])
def test_a_receivers_size_that_cannot_be_is_refused_before_any_work(rows):
    fails(session(sender([1]), declaring(rows)), "sender", BadMessage, "not allowed")


@pytest.mark.parametrize("rows", [MOST_ROWS + canary.COUNT + 1, 2**35, 2**62, -1, canary.COUNT - 1])
def test_a_senders_size_that_cannot_be_is_refused_before_any_work(rows):
    fails(session(declaring(rows), receiver([1])), "receiver", BadMessage, "not allowed")


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(parameters.Layout)])
def test_a_layout_that_differs_by_one_is_named(monkeypatch, field):
    def skewed(*arguments):
        layout = derive(*arguments)
        return dataclasses.replace(layout, **{field: getattr(layout, field) + 1})

    monkeypatch.setattr(receiving, "derive", skewed)
    outcome = run([1], [1])
    assert all(f"agree on {field}" in str(error) for error in outcome.errors.values())
    assert "vole.points" not in names(outcome, "sender")


@pytest.mark.parametrize("rows", [LEAST_ROWS, 10_000, 10**6, 2**20, 10**7, 2**27])
def test_the_columns_that_cap_what_a_receiver_tests_are_few_more_than_it_declared(rows):
    layout = derive(rows + canary.COUNT, rows + canary.COUNT)
    assert layout.columns < 1.4 * rows
    assert layout.slots % 512 == 0
    assert layout.slots >= layout.sparse + layout.dense + layout.masking_slots


def test_so_many_bins_that_their_numbers_overflow_are_refused(monkeypatch):
    monkeypatch.setattr(parameters, "BIN_ROWS", 16)
    with pytest.raises(ValueError, match="too large"):
        derive(2**20, 2**20)


def test_rows_that_cannot_be_solved_are_drawn_again(monkeypatch):
    solve, calls = receiving._solve, []

    def failing(layout, rows):
        calls.append(1)
        return None if len(calls) < 3 else solve(layout, rows)

    monkeypatch.setattr(receiving, "_solve", failing)
    assert run(range(50), range(25, 75), width=8).both()[1].matched.tolist() == list(range(25))
    monkeypatch.setattr(receiving, "_solve", lambda layout, rows: None)
    fails(run([1], [1]), "receiver", ProtocolError, "cannot be solved")


# -- pads (REVIEW 7, 9)


def test_no_block_of_a_stream_is_ever_used_twice(monkeypatch):
    used = {True: [], False: []}
    fill = streams.Streams.fill

    def filling(self, block, u, v):
        used[self.whole] += range(block, block + len(v))
        fill(self, block, u, v)

    monkeypatch.setattr(streams.Streams, "fill", filling)
    outcome = run([1], range(9000), bucket_rows=3000)
    outcome.both()
    for blocks in used.values():
        assert sorted(blocks) == list(range(len(blocks)))
    pads = []
    for header, frame in zip(headers(outcome.frames["receiver"]), outcome.frames["receiver"], strict=True):
        if header.name == "vole.correction" and header.length:
            body = bytes(pa.ipc.read_message(pa.py_buffer(frame[BYTES + FINGERPRINT_BYTES :])).body)
            pads += [body[at : at + 16] for at in range(0, len(body), 16)]
    assert len(pads) > 20_000
    assert len(set(pads)) == len(pads)


def test_a_claim_is_expanded_once():
    held = streams.Streams(bytes(32), np.zeros((1, 64, 16), np.uint8), whole=True)
    claims = [held.claim(2), held.claim(3)]
    assert [(claim.first, claim.blocks) for claim in claims] == [(0, 2), (2, 3)]
    claims[0].expand(np.empty((2, 1, 48), np.uint64))
    with pytest.raises(ValueError, match="once"):
        claims[0].expand(np.empty((2, 1, 48), np.uint64))
    with pytest.raises(ValueError, match="room"):
        claims[1].expand(np.empty((2, 1, 48), np.uint64))


def test_another_session_has_another_pad_under_the_same_seeds():
    seeds = np.frombuffer(drawing(b"seeds")(1024), np.uint8).reshape(1, 64, 16)
    one, two = (streams.Streams(session, seeds, whole=True) for session in (bytes(32), b"\1" * 32))
    v = np.empty((1, 1, 48), np.uint64)
    assert (one.claim(1).expand(v) != two.claim(1).expand(v)).all()


# -- what masks show


def candidates_found(monkeypatch, draw) -> int:
    """How many of the sender's 500 items, which the receiver lacks, its own V would find among the masks."""
    kept = {}
    of_bin, receive = receiving.of_bin, messages.receive_masks

    def keeping(layout, rows, number, planes, *others):
        kept["layout"], kept["own"] = layout, planes.copy()
        of_bin(layout, rows, number, planes, *others)

    def hearing(*arguments):
        kept["masks"] = receive(*arguments)
        return kept["masks"]

    monkeypatch.setattr(receiving, "of_bin", keeping)
    monkeypatch.setattr(messages, "receive_masks", hearing)
    sessions = []

    def receiving_session(channel):
        sessions.append(channel.session)
        return receiver([9000])(channel)

    session(sender(range(500), draw=draw), receiving_session)
    from protocols.psi.vole.items import hold, rows_of

    held = hold([digests(range(500))], sessions[0], 1, 500)
    rows = rows_of(held, 0, kept["layout"], sessions[0], 0)
    nothing, no_rest = np.empty((0, 256, 4), np.uint64), np.empty((0, 2), np.uint64)
    of_bin(kept["layout"], rows, 0, kept["own"], nothing, held.hi, held.lo, no_rest)
    return len(np.intersect1d(held.hi, kept["masks"][0]))


def test_a_receiver_cannot_try_candidates_unless_delta_is_zero(monkeypatch):
    """The positive control: with Delta forced to zero the same trial finds everybody."""
    assert candidates_found(monkeypatch, os.urandom) == 0

    def no_delta(n: int) -> bytes:
        return bytes(n) if n == CODE_LENGTH else os.urandom(n)

    assert candidates_found(monkeypatch, no_delta) == 500


# -- malformed, cut short, in another order


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda hi, lo: (hi[::-1].copy(), lo[::-1].copy()), "not distinct"),
        (lambda hi, lo: (hi[[0, *range(len(hi) - 1)]], lo[[0, *range(len(lo) - 1)]]), "not distinct"),
        (lambda hi, lo: (hi[:-1], lo[:-1]), "fewer rows"),
        (lambda hi, lo: (np.append(hi, hi[-1]), np.append(lo, lo[-1] + np.uint64(1))), "more rows"),
        (lambda hi, lo: (hi, np.sort(lo)), "canaries"),
    ],
)
def test_masks_that_no_sender_has(monkeypatch, change, text):
    send = messages.send_masks
    monkeypatch.setattr(
        messages, "send_masks", lambda channel, bucket, hi, lo, width: send(channel, bucket, *change(hi, lo), width)
    )
    kind = ProtocolError if text == "canaries" else BadMessage
    fails(run(range(20), range(20)), "receiver", kind, text)


@pytest.mark.parametrize(
    ("change", "text"), [(lambda p: p[:-1], "fewer rows"), (lambda p: np.concatenate([p, p[:1]]), "longer than")]
)
def test_corrections_of_another_length(monkeypatch, change, text):
    send = messages.send_correction
    monkeypatch.setattr(
        messages, "send_correction", lambda channel, bucket, planes: send(channel, bucket, change(planes))
    )
    fails(run([1], [1]), "sender", BadMessage, text)


def test_messages_in_another_order(monkeypatch):
    monkeypatch.setattr(messages, "send_correction", lambda *arguments: None)
    fails(run([1], [1]), "sender", BadMessage, "another message than vole.correction")


@pytest.mark.parametrize("attempt", [-1, messages.MOST_ATTEMPTS, 2**62])
def test_attempts_that_cannot_be(monkeypatch, attempt):
    send = messages.send_attempt
    monkeypatch.setattr(messages, "send_attempt", lambda channel, bucket, number: send(channel, bucket, attempt))
    fails(run([1], [1]), "sender", BadMessage, "malformed")


@pytest.mark.parametrize("name", ["vole.points", "vole.masks", "vole.labels", "vole.layout", "vole.sizes"])
@pytest.mark.parametrize("how", ["cut", "dropped", "twice", "flipped"])
def test_frames_that_somebody_changed(name, how):
    """Whatever happens to a frame on its way, the session ends with an error of ours, and nobody has a result."""

    def tamper(number, frame):
        header = headers([frame])[0]
        if header.name != name or not header.length:
            return [frame]
        flipped = frame[:-9] + bytes([frame[-9] ^ 1]) + frame[-8:]
        return {"cut": [frame[:-8]], "dropped": [], "twice": [frame, frame], "flipped": [flipped]}[how]

    outcome = run([1, 2], [2, 3], width=8, tamper=tamper)
    assert all(isinstance(error, ProtocolError) for error in outcome.errors.values())
    assert len(outcome.errors) == 2
    assert not outcome.results


@pytest.mark.parametrize("change", [lambda rows: rows ^ 1, lambda rows: rows[::-1]])
def test_labels_that_are_not_of_their_rows(monkeypatch, change):
    from protocols import labels

    seal = labels.seal
    monkeypatch.setattr(labels, "seal", lambda keys, plain: change(seal(keys, plain)))
    fails(run(range(20), range(20), width=8), "receiver", BadMessage, "does not open")


def test_a_cheat_in_the_last_bucket_keeps_the_masks_of_all(monkeypatch):
    send = messages.send_correction

    def changed(channel, bucket, planes):
        send(channel, bucket, planes ^ np.uint64(bucket == 2))

    monkeypatch.setattr(messages, "send_correction", changed)
    outcome = run(range(3000), range(3000), bucket_rows=1000)
    fails(outcome, "sender", BadMessage, FAILED)
    assert "vole.masks" not in names(outcome, "sender")


def test_hashed_messages_are_masked_by_random_slots(monkeypatch):
    """The last 128 slots of each bin, which no row refers to, are new in every session and alone in having a say."""
    kept, encode = [], receiving._Receiver._encode

    def keeping(self, bucket):
        rows, values = encode(self, bucket)
        kept.append((self._layout, values))
        return rows, values

    monkeypatch.setattr(receiving._Receiver, "_encode", keeping)
    for _ in range(2):
        run([1], [1]).both()
    (layout, one), (_, two) = kept
    first = layout.slots - layout.masking_slots
    assert layout.sparse + layout.dense <= first
    assert (one[:, first:, 0] != two[:, first:, 0]).all()
    assert len(np.unique(one[:, first:, 1])) > 100
    assert not one[:, layout.sparse + layout.dense : first].any()
    assert (one[..., 1] < 2**20).all()
