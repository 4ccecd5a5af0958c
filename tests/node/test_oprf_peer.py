"""A party that computes with `voprf` (PyPI), and makes tags and labels by the specification alone, as receiver and as
sender of an `oprf` match: over a channel on a socket pair, and on a pair as two nodes' link carries it.

Of ours it uses the channel and the canaries; `protocols.oprf` and `protocols.psi` are on the other side only. `voprf`
has VOPRF (RFC 9497, mode 1), which is the mode that the match uses; it blinds every input by a scalar of its own.
"""

import hashlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil, log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from voprf import ristretto

from cleanroom.node.sockets import SocketTransport
from protocols import canary
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted
from protocols.oprf import suite
from protocols.oprf.keys import Epoch, Key, Quota
from protocols.oprf.questions import ask
from protocols.oprf.tables import precompute
from protocols.psi import oprf
from tests.node.test_link import Line, pair
from tests.protocols.support import canaries, digests, opening

ROOM, SEED, NUMBER = b"r" * 32, b"k" * 32, 3
ROWS, QUERIES, WIDTH = 1000, 500, 8
PIECE = 7
"""Elements a proof: so that there are several."""
CANARIES = 6
THEIRS, MINE = range(30), [2, 77, 29, 0, 78, 13, 79, 5, 80, 81, 82]
COMMON = [row for row, person in enumerate(MINE) if person in THEIRS]
Role = Callable[[Channel], Any]


# -- the specification, written down once more


def fixed(**widths: int) -> pa.Schema:
    return pa.schema([pa.field(name, pa.binary(width), nullable=False) for name, width in widths.items()])


def batch(layout: pa.Schema, *columns: list[Any]) -> pa.RecordBatch:
    return pa.record_batch(
        [pa.array(column, field.type) for column, field in zip(columns, layout, strict=True)], layout
    )


INTEGERS = ("rows", "epoch", "most_rows", "most_queries", "label", "canaries")
SIZES = pa.schema([*(pa.field(name, pa.int64(), nullable=False) for name in INTEGERS), *fixed(public=32, table=32)])
UPDATE = pa.schema([pa.field(name, pa.int64(), nullable=False) for name in ("whole", "removed", "added")])
POINT, PROOF = fixed(point=32), fixed(proof=64)
TAG_BYTES = ceil((40 + 2 * ceil(log2(ROWS + CANARIES))) / 8)
TAGS = fixed(tag=TAG_BYTES, label=16 + WIDTH + 16)
SERVER = ristretto.Evaluator.from_seed(SEED, b"cleanroom/oprf/1" + ROOM + NUMBER.to_bytes(8, "big"))
PUBLIC = SERVER.public_key.serialize()


def sizes(rows: int, table: bytes) -> pa.RecordBatch:
    return batch(SIZES, *([value] for value in (rows, NUMBER, ROWS, QUERIES, WIDTH, CANARIES, PUBLIC, table)))


def pieces(rows: int) -> list[slice]:
    count = -(-rows // PIECE)
    return [slice(rows * n // count, rows * (n + 1) // count) for n in range(count)]


def fingerprint(tags: list[bytes], labels: list[bytes]) -> bytes:
    key_id = hashlib.sha256(b"cleanroom/oprf-key-id/1" + NUMBER.to_bytes(8, "big") + PUBLIC).digest()[:16]
    return hashlib.sha256(b"".join([b"oprf-tags/1", key_id, *tags, *labels])).digest()


def label_cipher(salt: bytes, output: bytes) -> AESGCM:
    return AESGCM(hashlib.sha512(b"cleanroom/oprf-label/1" + salt + output).digest()[:32])


def rows_of(content: Any) -> list[bytes]:
    return [row.tobytes() for row in content]


# -- the independent party


def voprf_receiver(channel: Channel, items: list[bytes]) -> tuple[list[bytes], dict[int, bytes]]:
    """F of every item and canary; of those that the sender has, the label."""
    channel.send_batch("oprf.sizes", sizes(len(items), bytes(32)))
    (theirs,) = channel.receive_row("oprf.sizes", SIZES).to_pylist()
    clients, asked = zip(*map(ristretto.Client.blind, items), strict=True)
    for piece in pieces(len(items)):
        channel.send_batch("oprf.blinded", batch(POINT, [one.serialize() for one in asked[piece]]))
    outputs: list[bytes] = []
    key = ristretto.PublicKey.deserialize(PUBLIC)
    for piece in pieces(len(items)):
        count = len(items[piece])
        evaluated = rows_of(channel.receive_rows("oprf.evaluated", POINT, rows=count)[0])
        (proof,) = rows_of(channel.receive_rows("oprf.proof", PROOF, rows=1)[0])
        outputs += finalized(list(clients[piece]), proof + b"".join(evaluated), key)
    assert channel.receive_row("oprf.update", UPDATE).to_pylist() == [
        {"whole": 1, "removed": 0, "added": theirs["rows"]}
    ]
    channel.receive_rows("oprf.removed", fixed(tag=TAG_BYTES), rows=0)
    tags, labels = map(rows_of, channel.receive_rows("oprf.tags", TAGS, rows=theirs["rows"]))
    channel.confirm()
    assert fingerprint(tags, labels) == theirs["table"]
    assert tags == sorted(set(tags))
    sealed = dict(zip(tags, labels, strict=True))
    found = {place: sealed[output[:TAG_BYTES]] for place, output in enumerate(outputs) if output[:TAG_BYTES] in sealed}
    return outputs, {place: label_cipher(label[:16], outputs[place]).decrypt(bytes(12), label[16:], None)
                     for place, label in found.items()}  # fmt: skip


def finalized(clients: list[Any], answer: bytes, key: Any) -> list[bytes]:
    """Raises ValueError for one whose proof does not hold; of several `voprf` panics."""
    if len(clients) == 1:
        return [clients[0].finalize(ristretto.VerifiableOutput.deserialize(answer), key)]
    found: list[bytes] = ristretto.Client.finalize_batch(
        clients, ristretto.VerifiableBatchOutput.deserialize(answer), key
    )
    return found


def voprf_sender(channel: Channel, items: list[bytes], labels: list[bytes], server: Any = SERVER) -> int:
    """Evaluates what it is asked, and hands over its own table; how many were asked."""
    table = []
    for item, label in zip(items, labels, strict=True):
        output, salt = server.evaluate_known_input(item), os.urandom(16)
        table.append((output[:TAG_BYTES], salt + label_cipher(salt, output).encrypt(bytes(12), label, None)))
    tags, sealed = map(list, zip(*sorted(table), strict=True))
    channel.send_batch("oprf.sizes", sizes(len(tags), fingerprint(tags, sealed)))
    rows: int = channel.receive_row("oprf.sizes", SIZES).to_pylist()[0]["rows"]
    for piece in pieces(rows):
        asked = rows_of(channel.receive_rows("oprf.blinded", POINT, rows=piece.stop - piece.start)[0])
        answer = server.evaluate_batch(list(map(ristretto.BlindedInput.deserialize, asked))).serialize()
        evaluated = [answer[at : at + 32] for at in range(64, len(answer), 32)]
        channel.send_batch("oprf.evaluated", batch(POINT, evaluated))
        channel.send_batch("oprf.proof", batch(PROOF, [answer[:64]]))
    channel.send_batch("oprf.update", batch(UPDATE, [1], [0], [len(tags)]))
    channel.send_batch("oprf.removed", batch(fixed(tag=TAG_BYTES), []))
    channel.send_batch("oprf.tags", batch(TAGS, tags, sealed))
    channel.confirm()
    return rows - CANARIES


# -- ours

KEY = Key(ROOM, NUMBER, SEED)
EPOCH = Epoch(NUMBER, KEY.public, ROWS, QUERIES, WIDTH)


def labels_of(people: Any) -> np.ndarray:
    return np.array(list(people), "<i8").reshape(-1, 1).view(np.uint8)


def our_sender(channel: Channel, key: Key = KEY) -> Any:
    table = precompute(KEY, EPOCH, digests(THEIRS), labels_of(THEIRS), canaries=canaries("sender"))[0]
    return oprf.sender(channel, key, table, Quota.of(EPOCH), lambda _: None)


def our_receiver(channel: Channel) -> Any:
    return oprf.receiver(channel, ask(digests(MINE), canaries=canaries("receiver")), EPOCH, None)


# -- the two together


@contextmanager
def paired() -> Iterator[tuple[SocketTransport, SocketTransport]]:
    """A socket pair."""
    left, right = map(SocketTransport, socket.socketpair())
    yield left, right


@contextmanager
def linked() -> Iterator[tuple[SocketTransport, SocketTransport]]:
    """Two wires that two nodes' links join, over a line that is cut on the way and comes again."""
    with pair() as both:
        lines = iter([Line(cut=25), Line(cut=40), Line()])
        carrying = both.begin(both.carry_all, lines)
        yield SocketTransport(both.workers[0]), SocketTransport(both.workers[1])
        carrying.join(20)


def meet(ends: Any, sender: Role, receiver: Role) -> tuple[dict[str, Any], dict[str, BaseException]]:
    results: dict[str, Any] = {}
    errors: dict[str, BaseException] = {}

    def play(name: str, other: str, end: SocketTransport, role: Role) -> None:
        try:
            with Channel.open(end, **opening(name, other)) as channel:
                results[name] = role(channel)
        except Exception as error:
            errors[name] = error
        finally:
            end.close()

    with ends() as (left, right):
        roles = (("sender", "receiver", left, sender), ("receiver", "sender", right, receiver))
        threads = [threading.Thread(target=play, args=each) for each in roles]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
    return results, errors


@pytest.fixture(autouse=True)
def several_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oprf, "SMALL_BATCH", PIECE)


ENDS = pytest.mark.parametrize("ends", [paired, linked])


def test_the_key_of_an_epoch_is_the_rfcs() -> None:
    assert (KEY.public, canary.COUNT) == (PUBLIC, CANARIES)


@ENDS
def test_an_independent_receiver_at_our_sender(ends: Any) -> None:
    asked = [*rows_of(digests(MINE)), *rows_of(canaries("receiver").rows)]
    results, errors = meet(ends, our_sender, lambda channel: voprf_receiver(channel, asked))
    assert not errors
    outputs, labels = results["receiver"]
    assert outputs == rows_of(suite.evaluate(KEY.secret, asked, suite.Mode.VOPRF))
    assert outputs == [SERVER.evaluate_known_input(item) for item in asked]
    assert [place for place in labels if place < len(MINE)] == COMMON
    assert set(labels) - set(COMMON) == set(range(len(MINE), len(MINE) + canary.COMMON))
    assert [labels[place] for place in COMMON] == rows_of(labels_of(MINE[place] for place in COMMON))
    assert results["sender"].peer_rows == len(MINE)


@ENDS
def test_our_receiver_at_an_independent_sender(ends: Any) -> None:
    held = [*rows_of(digests(THEIRS)), *rows_of(canaries("sender").rows)]
    labels = [*rows_of(labels_of(THEIRS)), *[bytes(WIDTH)] * CANARIES]
    results, errors = meet(ends, lambda channel: voprf_sender(channel, held, labels), our_receiver)
    assert not errors
    ours = meet(ends, our_sender, our_receiver)[0]["receiver"]
    for received in (results["receiver"], ours):
        assert received.result.matched.tolist() == COMMON
        assert received.result.labels.tobytes() == labels_of(MINE[place] for place in COMMON).tobytes()
        assert received.result.peer_rows == len(THEIRS)
        assert rows_of(received.answers.outputs) == list(map(SERVER.evaluate_known_input, rows_of(digests(MINE))))
    assert (results["receiver"].table.tags == ours.table.tags).all()
    assert results["sender"] == len(MINE)


def test_our_receiver_takes_no_other_key_of_an_independent_sender() -> None:
    other = ristretto.Evaluator.from_seed(SEED, b"another")
    held = [*rows_of(digests(THEIRS)), *rows_of(canaries("sender").rows)]
    results, errors = meet(
        paired, lambda channel: voprf_sender(channel, held, [bytes(WIDTH)] * len(held), other), our_receiver
    )
    assert not results
    assert isinstance(errors["receiver"], BadMessage)
    assert "proof that the peer used the key" in str(errors["receiver"])
    assert isinstance(errors["sender"], PeerAborted)


def test_an_independent_receiver_takes_no_other_key_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oprf, "SMALL_BATCH", 1)
    monkeypatch.setitem(globals(), "PIECE", 1)
    evaluate, other = suite.blind_evaluate, KEY.rotated()
    monkeypatch.setattr(suite, "blind_evaluate", lambda secret, blinded: evaluate(other.secret, blinded))
    asked = rows_of(canaries("receiver").rows)
    results, errors = meet(paired, our_sender, lambda channel: voprf_receiver(channel, asked))
    assert not results
    assert isinstance(errors["sender"], PeerAborted)
    assert isinstance(errors["receiver"], ValueError)
    assert str(errors["receiver"]) == "invalid proof"
