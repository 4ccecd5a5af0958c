"""Both roles of the vole match, honest, with small buckets where wanted, and with hellos and randomness that repeat."""

import hashlib
import os
import threading
from collections import defaultdict

import numpy as np
import pyarrow as pa
from support import Outcome, canaries, digests, drawing, headers, open_with_nonce, session, wires

from protocols import payload
from protocols.errors import PeerAborted
from protocols.header import BYTES
from protocols.psi.vole import receiving, sending
from protocols.psi.vole.parameters import BUCKET_ROWS, MOST_ROWS

WIDTH = 24


def marks(numbers, width: int = WIDTH) -> np.ndarray:
    """Labels that say whose they are."""
    rows = np.zeros((len(numbers), width), np.uint8)
    rows[:, :8] = np.array(numbers, "<i8").reshape(-1, 1).view(np.uint8)
    return rows


def sender(theirs, *, width: int = 0, bucket_rows: int = BUCKET_ROWS, draw=os.urandom, most: int = MOST_ROWS):
    own = marks(theirs, width) if width else None
    return lambda c: sending.send(c, digests(theirs), own, canaries("sender"), draw, most, bucket_rows)


def receiver(mine, *, width: int = 0, bucket_rows: int = BUCKET_ROWS, draw=os.urandom, most: int = MOST_ROWS):
    return lambda c: receiving.receive(c, digests(mine), width, canaries("receiver"), draw, most, bucket_rows)


def run(theirs, mine, *, width: int = 0, bucket_rows: int = BUCKET_ROWS, **other) -> Outcome:
    settings = {"width": width, "bucket_rows": bucket_rows}
    return session(sender(theirs, **settings), receiver(mine, **settings), **other)


def run_known(theirs, mine, *, width: int = 0, bucket_rows: int = BUCKET_ROWS) -> Outcome:
    """The same session every time: nonces, keys and all that either side draws are fixed."""
    ends = dict(zip(("sender", "receiver"), wires(), strict=True))
    outcome = Outcome()
    settings = {"width": width, "bucket_rows": bucket_rows}
    jobs = {
        "sender": sender(theirs, draw=drawing(b"sender"), **settings),
        "receiver": receiver(mine, draw=drawing(b"receiver"), **settings),
    }

    def work(side: str, other: str) -> None:
        try:
            with open_with_nonce(ends[side], hashlib.sha256(side.encode()).digest(), side, other) as channel:
                outcome.results[side] = jobs[side](channel)
        except Exception as error:
            outcome.errors[side] = error
        finally:
            ends[side].close()

    threads = [threading.Thread(target=work, args=pair) for pair in (("sender", "receiver"), ("receiver", "sender"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    outcome.frames = {side: end.frames for side, end in ends.items()}
    return outcome


def spoken(outcome: Outcome) -> dict[str, str]:
    """SHA-256 of the bytes of each message, frames and Arrow's own bytes left out."""
    bodies: dict[str, list[bytes]] = defaultdict(list)
    for side in ("sender", "receiver"):
        for header, frame in zip(headers(outcome.frames[side]), outcome.frames[side], strict=True):
            if header.name.startswith("vole.") and header.length:
                body = frame[BYTES + payload.FINGERPRINT_BYTES :]
                message = pa.ipc.read_message(pa.py_buffer(body))
                bodies[f"{side} {header.name}"].append(bytes(message.body))
    return {name: hashlib.sha256(b"".join(parts)).hexdigest()[:32] for name, parts in sorted(bodies.items())}


def fails(outcome, side, kind, text):
    """`side` refuses by name, the other sees a peer that gave up, neither has a result."""
    other = "sender" if side == "receiver" else "receiver"
    assert type(outcome.errors[side]) is kind
    assert text in str(outcome.errors[side])
    assert isinstance(outcome.errors[other], PeerAborted)
    assert not outcome.results
