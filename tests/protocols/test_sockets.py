"""The socket transport: whole frames, no deadlock, and a peer that is dead, silent or absurd is a named error."""

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from support import canaries, digests, opening

from cleanroom.node.sockets import SocketTransport
from protocols.channel import MOST_FRAME_BYTES, Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError
from protocols.psi import dh


@pytest.fixture
def pair():
    left, right = socket.socketpair()
    ends = SocketTransport(left, 20), SocketTransport(right, 20)
    yield ends
    for end in ends:
        end.close()


def test_frames_arrive_whole_and_in_order(pair):
    left, right = pair
    frames = [[b"a", memoryview(b"bc")], [b""], [np.arange(100_000).data, b"", b"x"]]
    for frame in frames:
        left.send(frame)
    for frame in frames:
        assert bytes(right.receive()) == b"".join(bytes(part) for part in frame)
    assert left.sent == right.received == 3 * 8 + 3 + 800_001


def test_two_senders_do_not_block_each_other(pair):
    block = os.urandom(1 << 20)

    def role(end):
        for _ in range(40):
            end.send([block])
        return all(end.receive() == block for _ in range(40))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(role, pair, timeout=30))


def test_a_sender_waits_for_a_reader_that_is_behind(pair):
    left, right = pair
    sent = []

    def send():
        for number in range(40):
            left.send([bytes(1 << 20)])
            sent.append(number)

    thread = threading.Thread(target=send)
    thread.start()
    time.sleep(0.3)
    assert len(sent) < 30  # eight frames ahead, and what the socket holds
    for _ in range(40):
        right.receive()
    thread.join(10)
    assert len(sent) == 40


def test_what_was_sent_before_closing_arrives(pair):
    left, right = pair
    for _ in range(5):
        left.send([bytes(100_000)])
    left.close()
    assert sum(len(right.receive()) for _ in range(5)) == 500_000
    with pytest.raises(PeerAborted, match="gone"):
        right.receive()
    left.close()  # twice does no harm


def test_a_frame_above_the_cap_is_refused_before_it_is_read():
    left, right = socket.socketpair()
    transport = SocketTransport(right, 5)
    left.sendall(struct.pack("<Q", MOST_FRAME_BYTES * 2))
    with pytest.raises(BadMessage, match="longer"):
        transport.receive()
    transport.close()
    left.close()


def test_a_connection_cut_within_a_frame_is_a_dead_peer():
    left, right = socket.socketpair()
    transport = SocketTransport(right, 5)
    left.sendall(struct.pack("<Q", 100) + b"half")
    left.close()
    with pytest.raises(PeerAborted, match="gone"):
        transport.receive()
    transport.close()


def test_a_silent_peer_is_named():
    left, right = socket.socketpair()
    transport = SocketTransport(right, 0.05)
    with pytest.raises(PeerAborted, match="silent"):
        transport.receive()
    transport.close()
    left.close()


def test_sending_to_a_dead_peer_ends():
    left, right = socket.socketpair()
    transport = SocketTransport(left, 5)
    right.close()
    with pytest.raises(PeerAborted, match="gone"):
        for _ in range(100):
            transport.send([bytes(1 << 20)])
    transport.close()


def test_closing_does_not_wait_for_ever_for_a_peer_that_never_reads(monkeypatch):
    monkeypatch.setattr("cleanroom.node.sockets._CLOSE_SECONDS", 0.05)
    left, right = socket.socketpair()
    transport = SocketTransport(left, 30)
    for _ in range(8):
        transport.send([bytes(1 << 20)])
    start = time.monotonic()
    transport.close()
    assert time.monotonic() - start < 5
    right.close()


RECEIVER = """
import socket, sys, time
sys.path[:0] = {paths!r}
from support import canaries, digests, opening
from cleanroom.node.sockets import SocketTransport
from protocols.channel import Channel
from protocols.psi import dh
transport = SocketTransport(socket.socket(fileno={handle}), 20)
with Channel.open(transport, **opening("receiver", "sender")) as channel:
    print("open", flush=True)
    result = dh.receiver(channel, digests(range({rows})), label_width=0, canaries=canaries("receiver"), ordered=True)
    print(result.size, flush=True)
transport.close()
"""


def start_receiver(rows: int) -> tuple[socket.socket, "subprocess.Popen[str]"]:
    left, right = socket.socketpair()
    here = Path(__file__).parent
    code = RECEIVER.format(paths=[str(here.parent.parent), str(here)], handle=right.fileno(), rows=rows)
    process = subprocess.Popen(
        [sys.executable, "-c", code], pass_fds=[right.fileno()], stdout=subprocess.PIPE, text=True
    )
    right.close()
    return left, process


def test_two_processes_match():
    left, process = start_receiver(300)
    transport = SocketTransport(left, 20)
    with Channel.open(transport, **opening("sender", "receiver")) as channel:
        dh.sender(channel, digests(range(250, 500)), None, canaries=canaries("sender"), ordered=True)
    out, _ = process.communicate(timeout=20)
    assert out.split() == ["open", "50"]
    transport.close()


def test_a_killed_peer_is_a_named_error_without_a_result():
    left, process = start_receiver(20_000)
    transport = SocketTransport(left, 20)

    def kill_when_open():
        process.stdout.readline()
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)

    killer = threading.Thread(target=kill_when_open)
    killer.start()
    with pytest.raises(ProtocolError) as failure, Channel.open(transport, **opening("sender", "receiver")) as channel:
        dh.sender(channel, digests(range(20_000)), None, canaries=canaries("sender"), ordered=True)
    assert failure.type is PeerAborted
    killer.join()
    process.communicate()
