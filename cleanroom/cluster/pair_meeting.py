"""Where tasks of two clusters find each other: a server of the receiver's driver, which carries nothing else.

A task of either party comes, says that it is free and waits. Once there is one of each, both get the lowest bucket that
is to be done, with the number of this attempt, and the sender's learns where the receiver's listens. A bucket is done
when both say that they kept it, in one attempt; else it is given out again, to whoever is free then. So neither the
order in which a cluster runs its tasks nor the loss of one can leave two tasks waiting for each other.

A line that ends is a task that is lost. What a party's tasks could do here against the other is to waste its time.
"""

import heapq
import socket
import threading
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from cleanroom.answer.notes import hear, malformed, take, tell
from cleanroom.cluster.pair_transport import Address, Listener, Speaker, TlsTransport, link
from cleanroom.errors import Interrupted
from protocols.channel import Channel
from protocols.errors import PeerAborted, ProtocolError

MOST_ATTEMPTS = 8
"""Times that a bucket is begun."""
LINE_SECONDS = 86400.0
_LOOK_SECONDS = 0.2
_GRACE_SECONDS = 5.0
_OUTCOMES = ("kept", "lost", "failed")


@dataclass
class _Lease:
    """A bucket that one task of each side works at."""

    bucket: int
    attempt: int
    address: Address | None
    outcomes: dict[str, str] = field(default_factory=dict)


@dataclass
class _Visitor:
    """A task's line: whose it is, where it listens, and what it works at."""

    role: str
    transport: TlsTransport
    address: Address | None = None
    lease: _Lease | None = None


class Meeting:
    """The server, from its making until `close`. me: who speaks for the receiver's party; done: buckets that are done
    already; patience: seconds for which tasks of one side may find none of the other while nothing is being done."""

    def __init__(self, host: str, me: Speaker, done: Collection[int], patience: float, port: int = 0) -> None:
        self._listener = Listener(host, port)
        self._me, self._patience, self._buckets = me, patience, me.terms.buckets
        self._changed = threading.Condition()
        self._done = set(done)
        self._todo = [bucket for bucket in range(self._buckets) if bucket not in self._done]
        self._attempts: Counter[int] = Counter()
        self._waiting: dict[str, list[_Visitor]] = {"receiver": [], "sender": []}
        self._working = 0
        self._moved = time.monotonic()
        self._failure: Interrupted | None = None
        self._failed = ""
        self._closed = False
        self._lines: dict[threading.Thread, TlsTransport | None] = {}
        self._door = threading.Thread(target=self._open_door, name="pair-meeting", daemon=True)
        self._door.start()

    @property
    def address(self) -> Address:
        """Where tasks come to."""
        return self._listener.address

    @property
    def done(self) -> int:
        """Buckets that both sides kept."""
        with self._changed:
            return len(self._done)

    def check(self, grace: float = 0.0) -> None:
        """Raises Interrupted where the job has not been able to come to an end for so many seconds."""
        if self._failure and time.monotonic() - self._moved >= grace:
            raise self._failure

    @property
    def failed_there(self) -> bool:
        """Whether a task of the sender's party has failed: its driver will say why."""
        return self._failed == "sender"

    def stop(self) -> None:
        """Give nothing out any more, and send away who waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more, and hang up on who is there."""
        self.stop()
        self._door.join()
        until = time.monotonic() + _GRACE_SECONDS
        for thread in self._lines:
            thread.join(max(until - time.monotonic(), 0))
        for transport in self._lines.values():
            if transport is not None:
                transport.close()

    def __enter__(self) -> "Meeting":
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()

    # -- one line

    def _open_door(self) -> None:
        with self._listener:
            while not self._closed:
                connection = self._listener.accept(_LOOK_SECONDS)
                for thread in [thread for thread in self._lines if not thread.is_alive()]:
                    del self._lines[thread]
                if connection is not None:
                    thread = threading.Thread(target=self._serve, args=(connection,), name="pair-line", daemon=True)
                    self._lines[thread] = None
                    thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """All that is said on one line; however it ends, nobody waits for it afterwards."""
        try:
            transport = self._listener.secured(connection)
        except PeerAborted:
            return
        self._lines[threading.current_thread()] = transport
        visitor: _Visitor | None = None
        try:
            roles = ("meeting", "")
            channel, role = link(
                transport, self.address.digest, self._me, roles, dialled=False, purpose="meeting", parameters={}
            )
            transport.wait(LINE_SECONDS)
            visitor = _Visitor(role, transport)
            with channel:
                while self._give(channel, visitor):
                    pass
        except ProtocolError:  # the line's end says it; a stranger gets no answer
            pass
        finally:
            if visitor is not None:
                self._lost(visitor)
            transport.close()

    def _give(self, channel: Channel, visitor: _Visitor) -> bool:
        """One bucket to a task that asks, and what came of it; False where there is nothing left to give."""
        where = hear(channel, "pairs.ready")
        if (where is None) is not (visitor.role == "sender"):
            raise malformed()
        visitor.address = None if where is None else Address.of_note(where)
        lease = self._next(visitor)
        if lease is None:
            tell(channel, "pairs.bucket", {"over": "failed" if self._failure or self._closed else "done"})
            return False
        address = lease.address.note() if lease.address is not None and visitor.role == "sender" else None
        tell(channel, "pairs.bucket", {"bucket": lease.bucket, "attempt": lease.attempt, "address": address})
        outcome = take(hear(channel, "pairs.outcome"), "outcome", str)
        if outcome not in _OUTCOMES:
            raise malformed()
        tell(channel, "pairs.ended", {"done": self._ended(visitor, lease, outcome)})
        return outcome != "failed"

    # -- who works at what

    def _next(self, visitor: _Visitor) -> _Lease | None:
        """A bucket for this task and one of the other side, or None where no more will come. Raises PeerAborted."""
        with self._changed:
            self._waiting[visitor.role].append(visitor)
            self._match()
            since = time.monotonic()
            while visitor.lease is None and not self._over:
                self._changed.wait(_LOOK_SECONDS)
                if visitor.lease is None and visitor.transport.ended:
                    self._leave(visitor)
                    raise PeerAborted("The connection to the peer is gone.")
                if visitor.lease is None and not self._working:
                    self._lose_patience(max(since, self._moved), visitor.role)
            if visitor.lease is None:
                self._leave(visitor)
            return visitor.lease

    def _leave(self, visitor: _Visitor) -> None:
        """Wait no longer; `_changed` is held."""
        self._waiting[visitor.role] = [each for each in self._waiting[visitor.role] if each is not visitor]

    def _match(self) -> None:
        """Pair who is waiting; `_changed` is held."""
        alive = {role: [each for each in there if not each.transport.ended] for role, there in self._waiting.items()}
        while self._todo and not self._over and alive["receiver"] and alive["sender"]:
            bucket = heapq.heappop(self._todo)
            self._attempts[bucket] += 1
            if self._attempts[bucket] > MOST_ATTEMPTS:
                self._fail(
                    Interrupted(
                        "Bucket {bucket} was begun {count} times and never finished on both sides.",
                        "Do the clusters lose their executors, or not reach each other? Their logs say why.",
                        bucket=bucket,
                        count=MOST_ATTEMPTS,
                    )
                )
                break
            pair = [alive["receiver"].pop(0), alive["sender"].pop(0)]
            lease = _Lease(bucket, self._attempts[bucket], pair[0].address)
            for visitor in pair:
                visitor.lease = lease
            self._working += 1
            self._moved = time.monotonic()
        self._waiting = alive
        self._changed.notify_all()

    def _ended(self, visitor: _Visitor, lease: _Lease, outcome: str) -> bool:
        """Whether the bucket is done, once the other side has spoken too, or is lost."""
        with self._changed:
            self._settle(visitor, lease, outcome)
            while len(lease.outcomes) < 2 and outcome != "failed" and not self._closed:
                self._changed.wait(_LOOK_SECONDS)
            return lease.bucket in self._done

    def _lost(self, visitor: _Visitor) -> None:
        with self._changed:
            if visitor.lease is not None:
                self._settle(visitor, visitor.lease, "lost")

    def _settle(self, visitor: _Visitor, lease: _Lease, outcome: str) -> None:
        """One side's outcome; with the second the bucket is done, or to be done again. `_changed` is held."""
        visitor.lease = None
        lease.outcomes[visitor.role] = outcome
        if len(lease.outcomes) == 2:
            self._working -= 1
            self._moved = time.monotonic()
            if set(lease.outcomes.values()) == {"kept"}:
                self._done.add(lease.bucket)
            else:
                heapq.heappush(self._todo, lease.bucket)
        if outcome == "failed":
            self._failed = self._failed or visitor.role
            self._fail(
                Interrupted("A task of the {role} failed.", "Its own party's driver says why.", role=visitor.role)
            )
        self._match()

    @property
    def _over(self) -> bool:
        return self._closed or self._failure is not None or len(self._done) == self._buckets

    def _lose_patience(self, since: float, role: str) -> None:
        """`_changed` is held."""
        if time.monotonic() - since > self._patience:
            self._fail(
                Interrupted(
                    "No task of the {role}'s cluster came within {seconds} seconds.",
                    "Does its job run, and do its executors reach the receiver's driver?",
                    role="sender" if role == "receiver" else "receiver",
                    seconds=round(self._patience),
                )
            )

    def _fail(self, failure: Interrupted) -> None:
        """The first reason stays. `_changed` is held."""
        if self._failure is None:
            self._failure = failure
            self._moved = time.monotonic()
            self._changed.notify_all()
