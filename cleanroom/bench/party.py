"""One role of one measured match, in a process of its own.

usage: python -m cleanroom.bench.party ROLE PROTOCOL RECEIVER_ROWS SENDER_ROWS PEER=SOCKET …
It writes a line when it is ready, starts when it reads one, and ends with a line of JSON. The keys that sign are made
up and known to all roles: these are parties of a measurement, not of a room.
"""

import atexit
import hashlib
import json
import resource
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from cleanroom.node.sockets import SocketTransport
from protocols import canary
from protocols.canary import Canaries
from protocols.channel import Channel
from protocols.hello import signed_bytes
from protocols.rows import Bytes, Indices

SECRET = hashlib.sha256(b"cleanroom/bench/1").digest()
WIDTH = 16
ROLES = ("receiver", "sender", "operator")


class Signer:
    """A role's Ed25519 key, drawn from its name."""

    def __init__(self, role: str) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        self._key = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(role.encode()).digest())
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, label: str, message: bytes) -> bytes:
        """As `protocols.hello` wants it."""
        return self._key.sign(signed_bytes(label, message))


def channel(role: str, peer: str, number: int) -> Channel:
    """A session with the peer over an inherited socket, which is closed when the process ends: what is queued by then
    still goes out."""
    transport = SocketTransport(socket.socket(fileno=number))
    atexit.register(transport.close)
    return Channel.open(
        transport, role=role, peer_role=peer, me=Signer(role), peer_key=Signer(peer).public, contract_hash=SECRET,
        fingerprints=(role, peer), parameters={},
    )  # fmt: skip


def canaries(side: str) -> Canaries:
    """Of a side, drawn from the shared secret."""
    return canary.draw(SECRET, side, WIDTH)


def identities(receiver: int, sender: int) -> tuple[Bytes, Bytes]:
    """Digests uint8[n, 16] of nobody for both sides; half of the smaller side's stand in both."""
    shared = min(receiver, sender) // 2
    everybody = np.frombuffer(np.random.default_rng(1).bytes(WIDTH * (receiver + sender - shared)), np.uint8)
    rows = everybody.reshape(-1, WIDTH)
    return rows[:receiver], rows[receiver - shared :]


def _two_party(role: str, protocol: str, items: Bytes, numbers: Mapping[str, int]) -> dict[str, Any]:
    from protocols.psi import dh, vole

    peer, own = ("sender" if role == "receiver" else "receiver"), canaries(role)
    module: Any = {"vole": vole, "dh": dh}[protocol]
    ordered = {"ordered": True} if protocol == "dh" else {}
    _begin()
    with channel(role, peer, numbers[peer]) as line:
        if role == "sender":
            module.sender(line, items, None, canaries=own, **ordered)
            return {"sent": line.sent}
        result = module.receiver(line, items, label_width=0, canaries=own, **ordered)
        return {"sent": line.sent, "matched": result.size}


def _unbalanced(role: str, items: Bytes, rows: tuple[int, int], numbers: Mapping[str, int]) -> dict[str, Any]:
    """The receiver has no table yet, so it comes over the channel."""
    from protocols.oprf.keys import Epoch, Key, Quota
    from protocols.oprf.questions import ask
    from protocols.oprf.tables import precompute
    from protocols.psi import oprf

    key = Key(SECRET, 1, SECRET)
    epoch = Epoch(1, key.public, rows[1], 2 * rows[0])
    if role == "receiver":
        _begin()
        question = ask(items, canaries=canaries(role))
        with channel(role, "sender", numbers["sender"]) as line:
            found = oprf.receiver(line, question, epoch, None)
            return {"sent": line.sent, "matched": found.result.size}
    start = time.perf_counter()
    table, _ = precompute(key, epoch, items, None, canaries=canaries(role))
    offline = time.perf_counter() - start
    _begin()
    with channel(role, "receiver", numbers["receiver"]) as line:
        oprf.sender(line, key, table, Quota.of(epoch), lambda quota: None)
        return {"sent": line.sent, "offline": offline}


def _owner(role: str, items: Bytes, numbers: Mapping[str, int]) -> dict[str, Any]:
    from protocols.psi import keyed

    _begin()
    with channel(role, "operator", numbers["operator"]) as line:
        mine = canary.draw(keyed.canary_secret(SECRET), role, WIDTH)
        sent = keyed.owner(line, SECRET, items, {}, _no_columns, canaries=mine)
        matched = len(keyed.receive_matched(line, sent)) if role == "receiver" else None
        return {"sent": line.sent, "matched": matched}


def _no_columns(rows: Indices) -> Mapping[str, Bytes]:
    return {}


def _operate(numbers: Mapping[str, int]) -> dict[str, Any]:
    from protocols.psi import keyed

    _begin()
    left, right = (channel("operator", owner, numbers[owner]) for owner in ROLES[:2])
    with left, right:
        found = keyed.line_up(keyed.operator(left, {}), keyed.operator(right, {}))
        positions = keyed.without_canaries(found, keyed.named_canaries(left), keyed.named_canaries(right))
        keyed.send_matched(left, positions)
        return {"sent": left.sent + right.sent}


def _begin() -> None:
    """Say that all is ready; wait for the word."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


def main(words: list[str]) -> None:
    """The role that the words name."""
    role, protocol, rows = words[0], words[1], (int(words[2]), int(words[3]))
    numbers = {peer: int(number) for peer, number in (word.split("=") for word in words[4:])}
    if role == "operator":
        told = _operate(numbers)
    else:
        items = identities(*rows)[ROLES.index(role)]
        if protocol == "keyed":
            told = _owner(role, items, numbers)
        elif protocol == "oprf":
            told = _unbalanced(role, items, rows, numbers)
        else:
            told = _two_party(role, protocol, items, numbers)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    megabytes = peak >> (20 if sys.platform == "darwin" else 10)
    sys.stdout.write(json.dumps({**told, "megabytes": megabytes}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
