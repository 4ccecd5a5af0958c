"""The link alone, over lines in memory: every byte once and in order, or a named error at both ends."""

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, Full, Queue
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleanroom.errors import Interrupted, Refused
from cleanroom.node import link as links
from cleanroom.node.link import Link, Patience
from protocols.errors import BadMessage

WINDOW = 1 << 16
PATIENCE = 60.0
Message = tuple[bytes, bytes]
Change = Callable[[list[Message]], list[Message]]


def stands(written: list[int]) -> int:
    """How much was written, once it does not grow any more. Fails where it grows for ever."""
    deadline, last = time.monotonic() + PATIENCE, -1
    while not last or sum(written) > last:
        assert time.monotonic() < deadline
        last = sum(written)
        time.sleep(0.4)
    return last


# -- a line in memory


class Broken(Exception):
    """What a transport raises is its own affair."""


class End:
    """One end of a line: `link.Exchange`. most: messages that may wait on the way."""

    def __init__(self, out: "Queue[Message | None]", come: "Queue[Message | None]", line: "Line") -> None:
        self._out, self._come, self._line = out, come, line

    def send(self, header: bytes, payload: memoryview | None) -> None:
        for message in self._line.passing(self, (bytes(header), bytes(payload or b""))):
            self._put(message)

    def _put(self, message: Message | None) -> None:
        while not self._line.broken:
            try:
                return self._out.put(message, timeout=0.02)
            except Full:
                continue
        raise Broken

    def receive(self) -> tuple[bytes, memoryview]:
        while True:
            try:
                found = self._come.get(timeout=0.02)
            except Empty:
                if self._line.broken:
                    raise Broken from None
                continue
            if found is None:
                raise EOFError
            return found[0], memoryview(found[1])

    def done(self) -> None:
        self._put(None)

    def close(self) -> None:
        self._line.broken = True

    def free(self) -> None:
        self._line.broken = True


class Line:
    """Both ends. cut: after so many messages of both ways; change: what becomes of the n-th message one way."""

    def __init__(self, cut: int | None = None, most: int = 4, change: Change | None = None, way: int = 0) -> None:
        there: Queue[Message | None] = Queue(most)
        back: Queue[Message | None] = Queue(most)
        self.broken = False
        self.ends = End(there, back, self), End(back, there, self)
        self._left, self._change, self._way = cut, change, way
        self._lock = threading.Lock()
        self.seen: tuple[list[Message], list[Message]] = ([], [])

    def passing(self, end: End, message: Message) -> list[Message]:
        """What goes through of a message."""
        with self._lock:
            way = self.ends.index(end)
            self.seen[way].append(message)
            if self._left is not None:
                self._left -= 1
                self.broken = self.broken or self._left < 0
            if self._change is None or way != self._way:
                return [message]
            return self._change(self.seen[way])


@dataclass
class Pair:
    """Two links, and the workers' ends of their wires. got: what each worker has read."""

    links: tuple[Link, Link]
    workers: tuple[socket.socket, socket.socket]
    got: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, work: Callable[..., Any], *given: Any) -> threading.Thread:
        thread = threading.Thread(target=work, args=given, daemon=True)
        self.threads.append(thread)
        thread.start()
        return thread

    def write(self, side: int, chunks: list[bytes]) -> None:
        """As a worker: write, then end."""

        def write() -> None:
            try:
                for chunk in chunks:
                    self.workers[side].sendall(chunk)
                self.workers[side].shutdown(socket.SHUT_WR)
            except OSError:
                return

        self.begin(write)

    def read(self, side: int) -> threading.Thread:
        """As a worker: read to the end."""

        def read() -> None:
            try:
                while chunk := self.workers[side].recv(1 << 16):
                    self.got[side].extend(chunk)
            except OSError:
                return

        return self.begin(read)

    def carry(self, line: Line) -> None:
        """One exchange to its end."""
        threads = [self.begin(link.carry, end) for link, end in zip(self.links, line.ends, strict=True)]
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)

    def carry_all(self, lines: Iterator[Line]) -> None:
        """One line after the other until both ends are done."""
        deadline = time.monotonic() + PATIENCE
        while not all(link.over for link in self.links):
            assert time.monotonic() < deadline
            self.carry(next(lines))

    def check_all(self) -> threading.Thread:
        """What a node does about once a second."""

        def tick() -> None:
            while not all(link.over for link in self.links):
                for link in self.links:
                    link.check()
                time.sleep(0.05)

        return self.begin(tick)


@contextmanager
def pair(window: int = WINDOW, patience: Patience = Patience(60.0, 60.0)) -> Iterator[Pair]:  # noqa: B008
    """Two links that nothing joins yet."""
    left, right = socket.socketpair(), socket.socketpair()
    made = Pair((Link("a", "b", left[0], window, patience), Link("b", "a", right[0], window, patience)),
                (left[1], right[1]))  # fmt: skip
    try:
        yield made
    finally:
        for link in made.links:
            link.fail(Interrupted("{party} ended the run.", party="test"))
        for wire in made.workers:
            wire.close()
        for thread in made.threads:
            thread.join(PATIENCE)
        for wire in (left[0], right[0]):
            wire.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats and acknowledgements come as often as they do in the long run."""
    monkeypatch.setattr(links, "BEAT_SECONDS", 0.05)


def pieces(size: int, sizes: list[int]) -> list[bytes]:
    """`size` bytes that tell their places, in pieces of these sizes and the rest."""
    whole = b"".join(struct.pack("<I", n) for n in range(size // 4 + 1))[:size]
    found = []
    for each in sizes:
        found.append(whole[:each])
        whole = whole[each:]
    return [*found, whole]


SIZES = st.lists(st.integers(1, 70_000), max_size=4)


# -- every byte once and in order


@given(
    there=st.integers(0, 400_000), back=st.integers(0, 400_000), sizes=SIZES,
    cuts=st.lists(st.integers(0, 12), max_size=6), most=st.integers(1, 8), window=st.sampled_from([1 << 16, 1 << 20]),
)  # fmt: skip
@settings(max_examples=25, deadline=None)
def test_whatever_is_cut_every_byte_comes_once_and_in_order(
    there: int, back: int, sizes: list[int], cuts: list[int], most: int, window: int
) -> None:
    with pair(window) as ends:
        sent = pieces(there, sizes), pieces(back, sizes[::-1])
        readers = [ends.read(side) for side in (0, 1)]
        for side in (0, 1):
            ends.write(side, sent[side])
        lines = iter([*(Line(cut, most) for cut in cuts), *(Line(None, most) for _ in range(50))])
        ends.carry_all(lines)
        for reader in readers:
            reader.join(PATIENCE)
        assert bytes(ends.got[1]) == b"".join(sent[0])
        assert bytes(ends.got[0]) == b"".join(sent[1])
        assert [link.failure for link in ends.links] == [None, None]


def test_a_small_window_does_not_wait_for_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "BEAT_SECONDS", 1.0)
    with pair(window=1 << 16) as ends:
        readers = [ends.read(side) for side in (0, 1)]
        ends.write(0, [b"x" * (2 << 20)])
        ends.write(1, [])
        start = time.monotonic()
        ends.carry_all(iter([Line()]))
        readers[1].join(PATIENCE)
        assert len(ends.got[1]) == 2 << 20
        assert time.monotonic() - start < 15


def test_a_cut_repeats_no_more_than_what_was_not_acknowledged() -> None:
    with pair(window=1 << 20) as ends:
        readers = [ends.read(side) for side in (0, 1)]
        sent = pieces(4_000_000, [])
        ends.write(0, sent)
        ends.write(1, [])
        ends.carry(Line(cut=12))
        assert not any(link.over for link in ends.links)
        ends.carry_all(iter([Line()]))
        readers[1].join(PATIENCE)
        assert bytes(ends.got[1]) == sent[0]
        assert ends.links[0].repeated <= 1 << 20
        assert 4_000_000 <= ends.links[0].sent <= 4_000_000 + (1 << 20)


@pytest.mark.parametrize("first", [0, 1])
def test_a_side_that_finishes_first_still_gets_everything(first: int) -> None:
    with pair() as ends:
        ends.workers[first].shutdown(socket.SHUT_WR)  # says nothing at all
        reader = ends.read(first)
        carrying = ends.begin(ends.carry, Line())
        time.sleep(0.15)
        ends.write(1 - first, [b"x" * 300_000])
        carrying.join(PATIENCE)
        reader.join(PATIENCE)
        assert ends.got[first] == b"x" * 300_000
        assert all(link.over and link.failure is None for link in ends.links)


def test_a_worker_that_is_gone_ends_the_wire_at_its_peer() -> None:
    with pair() as ends:
        reader = ends.read(1)
        ends.write(1, [b"y" * 500_000])
        ends.workers[0].close()  # killed: nobody reads what comes
        ends.carry_all(iter([Line()]))
        reader.join(PATIENCE)
        assert ends.got[1] == b""


# -- what is not as it should be


def first_of(kind: int, become: Callable[[Message], list[Message]]) -> Change:
    """Only the first message of that kind becomes something else."""

    def change(seen: list[Message]) -> list[Message]:
        if seen[-1][0][5] == kind and sum(each[0][5] == kind for each in seen) == 1:
            return become(seen[-1])
        return seen[-1:]

    return change


def swapped(kind: int) -> Change:
    """The first message of that kind comes after the one that follows it."""
    held: list[Message] = []

    def change(seen: list[Message]) -> list[Message]:
        if seen[-1][0][5] == kind and not held:
            held.append(seen[-1])
            return []
        found = [seen[-1], *held[:1]] if len(held) == 1 else seen[-1:]
        if len(held) == 1:
            held.append(seen[-1])
        return found

    return change


def longer(message: Message) -> list[Message]:
    return [(message[0], message[1] + b"z" * (links.CHUNK_BYTES + 1 - len(message[1])))]


def altered(at: int, place: int, bit: int) -> Change:
    def change(seen: list[Message]) -> list[Message]:
        header = bytearray(seen[-1][0])
        if len(seen) == at:
            header[place] ^= 1 << bit
        return [(bytes(header), seen[-1][1])]

    return change


def header(
    kind: int, offset: int = 0, acknowledged: int = 0, version: int = 1, magic: bytes = b"OCRL", side: int = 1
) -> bytes:
    return struct.pack("<4sBBHQQ", magic, version, kind, side, offset, acknowledged)


def attacked(change: Change, size: int = 200_000) -> tuple[list[Exception | None], bytes, bytes]:
    """What both ends say where one way is changed; what came that way, and what had been sent."""
    with pair() as ends:
        sent = pieces(size, [1000, 20_000, 3])
        reader = ends.read(1)
        ends.read(0)
        ends.write(0, sent)
        ends.write(1, [b"other way" * 1000])
        ends.carry(Line(change=change))
        reader.join(PATIENCE)
        return [link.failure for link in ends.links], bytes(ends.got[1]), b"".join(sent)


KINDS = {"open": 1, "data": 2, "end": 4}
CHANGES: dict[str, Callable[[Message], list[Message]]] = {
    "again": lambda message: [message, message],
    "dropped": lambda message: [],
    "longer": longer,
    "garbage": lambda message: [(b"\x16\x03\x01", b"garbage")],
    "version": lambda message: [(header(2, version=2), b"x")],
    "magic": lambda message: [(header(2, magic=b"HTTP"), b"x")],
    "kind": lambda message: [(header(9), b"x")],
    "far": lambda message: [(header(2, offset=1 << 63, acknowledged=1 << 63), b"x")],
    "empty": lambda message: [(header(2), b"")],
}


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("how", [*CHANGES, "swapped"])
def test_a_message_that_does_not_belong_there_ends_both_sides_by_the_same_name(how: str, which: str) -> None:
    kind = KINDS[which]
    failures, came, sent = attacked(swapped(kind) if how == "swapped" else first_of(kind, CHANGES[how]))
    assert came == sent[: len(came)]
    assert [type(each) for each in failures] == [BadMessage, BadMessage], failures
    assert failures[0].args == failures[1].args  # type: ignore[union-attr]


@given(at=st.integers(1, 5), place=st.integers(0, 23), bit=st.integers(0, 7))
@settings(max_examples=20, deadline=None)
def test_an_altered_header_never_brings_a_wrong_byte(at: int, place: int, bit: int) -> None:
    with pair() as ends:
        sent = pieces(150_000, [1000, 20_000, 3])
        reader = ends.read(1)
        ends.read(0)
        ends.write(0, sent)
        ends.write(1, [b"other way" * 1000])
        line = Line(change=altered(at, place, bit))
        watch = threading.Timer(1.0, lambda: setattr(line, "broken", True))  # what is lost is lost with the line
        watch.start()
        ends.carry(line)
        watch.cancel()
        if not any(link.failure for link in ends.links):
            ends.carry_all(iter([Line() for _ in range(5)]))
        reader.join(PATIENCE)
        came, whole = bytes(ends.got[1]), b"".join(sent)
        assert came == whole[: len(came)]
        assert came == whole or any(ends.links[n].failure for n in (0, 1))
        assert all(isinstance(link.failure, BadMessage | Interrupted | None) for link in ends.links)


def test_our_own_messages_sent_back_to_us_are_refused() -> None:
    with pair() as ends:
        ends.write(0, [b"x" * 100_000])
        ends.read(0)
        line = Line()
        carrying = ends.begin(ends.links[0].carry, line.ends[0])
        mirror = line.ends[1]
        try:
            while carrying.is_alive():
                mirror.send(*mirror.receive())
        except (Broken, EOFError):
            pass
        carrying.join(PATIENCE)
        assert isinstance(ends.links[0].failure, BadMessage)
        assert ends.got[0] == b""


def test_the_end_is_told_once_and_nothing_comes_after_it() -> None:
    for after in ((header(4, 3), b""), (header(2, 3), b"x"), (header(2, 4), b"x")):
        with pair() as ends:
            reader = ends.read(0)
            line = Line()
            carrying = ends.begin(ends.links[0].carry, line.ends[0])
            for message in ((header(1), b""), (header(2, 0), b"abc"), (header(4, 3), b""), after):
                line.ends[1].send(message[0], memoryview(message[1]))
            carrying.join(PATIENCE)
            assert isinstance(ends.links[0].failure, BadMessage)
            reader.join(PATIENCE)
            assert ends.got[0] == b"abc"


@pytest.mark.parametrize("count", [1, 1 << 40, (1 << 64) - 1])
def test_nobody_acknowledges_what_was_not_sent(count: int) -> None:
    for first in (True, False):
        with pair() as ends:
            ends.read(0)
            line = Line()
            carrying = ends.begin(ends.links[0].carry, line.ends[0])
            if not first:
                line.ends[1].send(header(1), None)
            line.ends[1].send(header(1 if first else 3, 0, count), None)
            carrying.join(PATIENCE)
            assert isinstance(ends.links[0].failure, BadMessage)


# -- a peer that is slow, silent or gone


def test_a_peer_that_reads_no_more_makes_the_sender_wait_in_bounded_memory() -> None:
    with pair(window=1 << 18) as ends:
        ends.begin(ends.links[0].carry, (line := Line(most=2)).ends[0])
        line.ends[1].send(header(1), None)  # and nothing more: neither reads nor acknowledges
        written = []

        def write() -> None:
            try:
                while True:
                    written.append(ends.workers[0].send(b"x" * 65_536))
            except OSError:
                return

        ends.begin(write)
        stands(written)  # the worker waits
        kept = sum(len(chunk) for _, chunk in ends.links[0]._kept)
        assert kept <= (1 << 18) + links.CHUNK_BYTES
        assert not ends.links[0].over
        line.broken = True


def test_a_worker_that_reads_no_more_holds_its_peer_back() -> None:
    with pair(window=1 << 18) as ends:
        written = []

        def write() -> None:
            try:
                while True:
                    written.append(ends.workers[0].send(b"x" * 65_536))
            except OSError:
                return

        ends.begin(write)
        ends.write(1, [])
        line = Line()
        ends.begin(ends.carry, line)
        before = stands(written)
        assert sum(len(chunk) for _, chunk in ends.links[0]._kept) <= (1 << 18) + links.CHUNK_BYTES
        ends.read(1)  # it goes on
        deadline = time.monotonic() + PATIENCE
        while sum(written) < before + (8 << 20) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sum(written) >= before + (8 << 20)
        line.broken = True


def test_an_exchange_on_which_nothing_comes_is_given_up_and_the_link_goes_on() -> None:
    with pair(patience=Patience(silent=0.3, resume=30.0)) as ends:
        readers = [ends.read(side) for side in (0, 1)]
        ends.check_all()
        line = Line()
        carrying = ends.begin(ends.links[0].carry, line.ends[0])  # nobody at the other end
        carrying.join(PATIENCE)
        assert not carrying.is_alive()
        assert not ends.links[0].over
        assert ends.links[0].cuts
        for side in (0, 1):
            ends.write(side, [b"w" * 100_000])
        ends.carry_all(iter([Line(), Line()]))
        for reader in readers:
            reader.join(PATIENCE)
        assert ends.got == (bytearray(b"w" * 100_000), bytearray(b"w" * 100_000))


def test_a_peer_that_only_computes_is_not_taken_for_lost() -> None:
    with pair(patience=Patience(silent=2.0, resume=2.0)) as ends:
        ends.check_all()
        readers = [ends.read(side) for side in (0, 1)]
        carrying = ends.begin(ends.carry, Line())
        time.sleep(3.0)
        assert [link.failure for link in ends.links] == [None, None]
        for side in (0, 1):
            ends.write(side, [b"late"])
        carrying.join(PATIENCE)
        for reader in readers:
            reader.join(PATIENCE)
        assert ends.got == (bytearray(b"late"), bytearray(b"late"))


def test_a_cut_that_lasts_too_long_ends_both_sides_in_the_same_words() -> None:
    with pair(patience=Patience(silent=0.2, resume=0.5)) as ends:
        ends.write(0, [b"x" * 100_000])
        ends.check_all().join(PATIENCE)
        assert [type(link.failure) for link in ends.links] == [Interrupted, Interrupted]
        assert str(ends.links[0].failure) == str(ends.links[1].failure)


def test_a_peer_that_is_dialled_and_never_answers_counts_as_away() -> None:
    with pair(patience=Patience(silent=0.2, resume=0.8)) as ends:
        ends.check_all()
        start = time.monotonic()
        while not ends.links[0].over and time.monotonic() < start + PATIENCE:
            ends.begin(ends.links[0].carry, Line().ends[0]).join(PATIENCE)
        assert isinstance(ends.links[0].failure, Interrupted)
        assert time.monotonic() - start < 20
        assert str(ends.links[0].failure) == str(ends.links[1].failure)


def test_why_one_side_ended_it_is_told_to_the_other_in_the_same_words() -> None:
    why = Refused("The dataset {dataset} has more rows than the contract allows.", dataset="crm")
    for way in (0, 1):
        with pair() as ends:
            carrying = ends.begin(ends.carry, Line())
            time.sleep(0.1)
            ends.links[way].fail(why)
            carrying.join(PATIENCE)
            assert str(ends.links[1 - way].failure) == str(why)
            assert isinstance(ends.links[1 - way].failure, Refused)
    with pair() as ends:  # during a cut: at the next meeting
        ends.links[0].fail(why)
        ends.carry(Line())
        assert str(ends.links[1].failure) == str(why)


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[" * 5000, b'{"kind": 1}', json.dumps({
        "kind": "Refused", "template": "Send your keys to {place}.", "hint": "", "params": {"place": "me"}}).encode()],
)  # fmt: skip
def test_a_peers_own_words_are_never_shown_as_ours(content: bytes) -> None:
    with pair() as ends:
        line = Line()
        carrying = ends.begin(ends.links[0].carry, line.ends[0])
        line.ends[1].send(header(1), None)
        line.ends[1].send(header(5), memoryview(content))
        carrying.join(PATIENCE)
        assert isinstance(ends.links[0].failure, Interrupted)
        assert "keys" not in str(ends.links[0].failure)


def test_the_newest_exchange_counts() -> None:
    """A peer whose line broke without our hearing of it dials again: the old exchange gives way."""
    with pair() as ends:
        readers = [ends.read(side) for side in (0, 1)]
        old = Line()
        first = ends.begin(ends.links[0].carry, old.ends[0])
        old.ends[1].send(header(1), None)
        time.sleep(0.1)
        for side in (0, 1):
            ends.write(side, [b"n" * 50_000])
        ends.carry_all(iter([Line(), Line()]))
        first.join(PATIENCE)
        assert old.broken
        for reader in readers:
            reader.join(PATIENCE)
        assert ends.got == (bytearray(b"n" * 50_000), bytearray(b"n" * 50_000))
