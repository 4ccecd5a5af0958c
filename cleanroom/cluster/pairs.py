"""Two-party matching by buckets, each on a task of either party's cluster: what the two drivers do.

Both drivers hold the room's channel, as they would on one machine, and say on it what the job is, how many rows they
declare and, twice a second, that they are there. Items are split by a hash of the job; `pair_work` does the buckets,
`pair_meeting` brings their tasks together. Every bucket declares a number of rows that follows from the two totals, so
that the peer learns what it learns of a match on one machine. `docs/decisions/0035-pairs.md` has the reasons.
"""

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from cleanroom import canonical
from cleanroom.answer.notes import hear, take, tell, whole_numbers
from cleanroom.cluster import delegation, executor_keys, stages
from cleanroom.cluster.delegation import KeySigner, Terms
from cleanroom.cluster.pair_meeting import Meeting
from cleanroom.cluster.pair_split import KEY_BYTES, Source, Split, each_piece
from cleanroom.cluster.pair_transport import Address, Speaker, dial
from cleanroom.cluster.pair_work import DONE, Loads, PairTask
from cleanroom.cluster.parts import Parts
from cleanroom.cluster.settings import ClusterSettings
from cleanroom.cluster.stages import Piece, Stage, Step
from cleanroom.errors import Interrupted
from cleanroom.node.control import unpack_error
from protocols.channel import Channel
from protocols.errors import BadMessage, PeerAborted, ProtocolError, check_agreed
from protocols.hello import Signer
from protocols.psi.results import ReceiverResult, SenderResult
from protocols.rows import Bytes, to_rows

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FORMAT = "cleanroom-pairs/1"
_STAGE_LABEL = "cleanroom/pairs-stage/1"
_BEAT_SECONDS = 0.5
_ROUNDS = 4
"""Times that a cluster may lose all its tasks with no bucket done in between."""
_GRACE_SECONDS = 30.0
"""For so long tasks may end by themselves, with their own reasons, once the job cannot go on."""
_REACH_SECONDS = 10.0
_BITS = 42
"""A bucket is too full once in 2^42 jobs."""


@dataclass(frozen=True)
class Pairing:
    """One party's part in a job.

    role: 'receiver' or 'sender'; terms: the same on both sides; settings, parts: of this party's cluster; signer: the
    party's own key, which stays here; parties: each role's Ed25519 key; secret: 32 bytes that the two owners share;
    most: rows that the peer may declare; digest_bytes: of an item; host: where the receiver's driver listens, an
    address that executors of both parties reach; patience: seconds for which nothing may happen; seconds: for which
    executors may speak for the party.
    """

    role: str
    terms: Terms
    settings: ClusterSettings
    parts: Parts
    signer: Signer
    parties: Mapping[str, bytes]
    secret: bytes = field(repr=False)
    most: int
    digest_bytes: int = 32
    label_width: int = 0
    protocol: str = "vole"
    host: str = "127.0.0.1"
    patience: float = 600.0
    seconds: int = 86400

    @property
    def other(self) -> str:
        """The peer's role."""
        return "sender" if self.role == "receiver" else "receiver"

    @property
    def width(self) -> int:
        """Bytes of an item that the protocol looks at."""
        return KEY_BYTES if self.protocol == "vole" else self.digest_bytes

    def stage_of(self, name: str) -> Stage:
        """Of this job's buckets: 'items' as they were split, 'done' what came of them."""
        about: canonical.Json = {
            "contract": self.terms.contract.hex(), "job": self.terms.job, "buckets": self.terms.buckets, "name": name,
            "role": self.role, "protocol": self.protocol, "width": self.width, "label": self.label_width,
        }  # fmt: skip
        return Stage(self.parts, f"pairs-{name}", canonical.digest(_STAGE_LABEL, about), self.terms.buckets)


class Cluster(Protocol):
    """What runs tasks. `step` is called about twice a second, and what it raises ends the work."""

    def split(self, split: Split, step: Step) -> tuple[Piece, ...]:
        """All buckets, in order; those that a former run made stay."""

    def run(self, task: PairTask, count: int, step: Step) -> list[tuple[int, str]]:
        """What so many calls of `task.one` gave. Raises Interrupted where the cluster lost some of them."""


@dataclass(frozen=True)
class SparkCluster:
    """Spark's executors."""

    spark: "SparkSession"

    def split(self, split: Split, step: Step) -> tuple[Piece, ...]:
        """See `Cluster`."""
        return stages.run(self.spark, split.stage, lambda wanted: split.on(self.spark, wanted), step)

    def run(self, task: PairTask, count: int, step: Step) -> list[tuple[int, str]]:
        """See `Cluster`; a Spark task each."""
        work = self.spark.range(0, count, 1, count).mapInArrow(task, DONE)
        rows: list[Any] = stages.watched(self.spark, work.collect, "pairs", count, step)
        return [(row[0], row[1]) for row in rows]


@dataclass(frozen=True)
class Matched:
    """What the receiver learned, a piece a bucket: rows (row int64, label where there are any) stand in the parts.

    size: of them; peer_rows: what the sender declared.
    """

    stage: Stage
    pieces: tuple[Piece, ...]
    size: int
    peer_rows: int
    label_width: int

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All matched rows, in no order beyond a bucket."""
        return each_piece(self.stage, self.pieces)

    def result(self) -> ReceiverResult:
        """As a match on one machine gives it, in this process's memory."""
        rows, labels = np.empty(self.size, np.int64), np.empty((self.size, self.label_width), np.uint8)
        done = 0
        for batch in self.batches():
            part = slice(done, done + batch.num_rows)
            rows[part] = batch.column("row").to_numpy()
            if self.label_width:
                labels[part] = to_rows(batch.column("label"))
            done += batch.num_rows
        order = np.argsort(rows)
        return ReceiverResult(rows[order], self.size, _ordered(labels, order), self.peer_rows)


def receive(channel: Channel, cluster: Cluster, pairing: Pairing, source: Source, step: Step) -> Matched:
    """Learn which rows of `source` the sender has too. channel: between the two drivers.

    Raises ProtocolError and its kinds for what the two sides do not share and for checks that fail; Interrupted where
    a cluster is lost or not reached; what reading `source` raises. What was done by then stays in the parts: the same
    job, run again by both, does the rest.
    """
    peer_rows, stage = _run(channel, cluster, pairing, source, step)
    pieces = stage.commit()
    return Matched(stage, pieces, sum(piece.rows for piece in pieces), peer_rows, pairing.label_width)


def send(channel: Channel, cluster: Cluster, pairing: Pairing, source: Source, step: Step) -> SenderResult:
    """Let the receiver match its rows with `source`'s. Errors as `receive`."""
    peer_rows, stage = _run(channel, cluster, pairing, source, step)
    stage.commit()
    return SenderResult(peer_rows)


def _run(channel: Channel, cluster: Cluster, pairing: Pairing, source: Source, step: Step) -> tuple[int, Stage]:
    """Both sides' part: the rows that the peer declared, and what was done."""
    acting = KeySigner(os.urandom(32))
    leave = delegation.delegate(pairing.signer, pairing.role, pairing.terms, acting.public, pairing.seconds)
    secret = delegation.job_secret(pairing.secret, pairing.terms)
    sealed = executor_keys.seal(pairing.settings, "pairs", acting.secret + secret)
    _agree(channel, pairing, leave)
    beats = _Beats(channel, step)
    split = Split(source, pairing.stage_of("items"), sealed, pairing.width,
                  pairing.label_width if pairing.role == "sender" else 0)  # fmt: skip
    split.check_size()
    step("split", 0, pairing.terms.buckets)
    pieces = beats.phase("split", lambda beat: cluster.split(split, beat))
    done = pairing.stage_of("done")
    with ExitStack() as stack:
        shared = _exchange(channel, pairing, source.rows, done)
        split.check(pieces, shared.loads.of(pairing.role))
        meeting: Meeting | None = None
        if pairing.role == "receiver":
            me = Speaker("receiver", pairing.terms, acting, leave, pairing.parties)
            meeting = stack.enter_context(Meeting(pairing.host, me, shared.done, pairing.patience))
        address = _meet(channel, meeting)
        task = PairTask(
            pairing.role, pairing.terms, pairing.protocol, leave, sealed, pairing.parties, address, split.stage, pieces,
            done, shared.loads, pairing.width, pairing.label_width, pairing.patience,
        )  # fmt: skip
        step("match", len(shared.done), pairing.terms.buckets)
        rounds = _Rounds(cluster, task, beats, meeting)
        beats.phase("match", rounds.run, rounds.done, len(shared.done))
    channel.confirm()
    return shared.peer_rows, done


# -- what the drivers tell each other


def _agree(channel: Channel, pairing: Pairing, leave: bytes) -> None:
    """Raises ProtocolError that names what differs, or what is wrong with the peer's delegation."""
    mine: dict[str, Any] = {
        "format": FORMAT, "job": pairing.terms.job, "buckets": pairing.terms.buckets, "protocol": pairing.protocol,
        "width": pairing.width, "label": pairing.label_width,
    }  # fmt: skip
    tell(channel, "pairs.terms", {**mine, "delegation": leave.hex()})
    theirs = hear(channel, "pairs.terms")
    check_agreed(mine, {name: take(theirs, name, type(value)) for name, value in mine.items()})
    try:
        content = bytes.fromhex(take(theirs, "delegation", str))
    except ValueError as error:
        raise BadMessage("The peer's delegation is malformed.") from error
    delegation.check(content, pairing.parties[pairing.other], pairing.other, pairing.terms)


@dataclass(frozen=True)
class _Shared:
    """What both sides know once they have told their sizes; done: buckets that both did in a former run."""

    peer_rows: int
    loads: Loads
    done: frozenset[int]


def _exchange(channel: Channel, pairing: Pairing, rows: int, done: Stage) -> _Shared:
    """Tell the rows that this side declares. Raises BadMessage for what the peer may not declare."""
    mine, missing = declared(rows, pairing), frozenset(done.missing())
    tell(channel, "pairs.sizes", {"rows": mine, "missing": sorted(missing)})
    note = hear(channel, "pairs.sizes")
    theirs, others = allowed(take(note, "rows", int), pairing), whole_numbers(take(note, "missing", list))
    totals = {pairing.role: mine, pairing.other: theirs}
    open_here = missing | frozenset(others)
    return _Shared(theirs, loads(totals, pairing), frozenset(range(pairing.terms.buckets)) - open_here)


def declared(rows: int, pairing: Pairing) -> int:
    """The rows that a side with so many declares, as on one machine."""
    return max(rows, _least(pairing.protocol)) if pairing.role == "receiver" else rows


def allowed(rows: int, pairing: Pairing) -> int:
    """The rows that the peer declares. Raises BadMessage where it may not."""
    least = _least(pairing.protocol) if pairing.role == "sender" else 0
    if not least <= rows <= pairing.most:
        raise BadMessage("The peer's declared number of rows is not allowed.")
    return rows


def loads(totals: Mapping[str, int], pairing: Pairing) -> Loads:
    """What each bucket declares of these totals. Raises ProtocolError where so many buckets would let the receiver
    look for notably more rows than it declared."""
    from protocols.psi.vole.parameters import load_bound

    buckets, least = pairing.terms.buckets, _least(pairing.protocol)
    if totals["receiver"] < buckets * least:
        raise ProtocolError(
            "{buckets} buckets are too many for {rows} rows: each has {least} at least.",
            "Set fewer on both sides, or match on one machine.",
            buckets=buckets,
            rows=totals["receiver"],
            least=least,
        )
    return Loads(*(load_bound(totals[role], buckets, _BITS, buckets) for role in ("receiver", "sender")))


def _least(protocol: str) -> int:
    if protocol != "vole":
        return 0
    from protocols.psi.vole import LEAST_ROWS

    return LEAST_ROWS


def _meet(channel: Channel, meeting: Meeting | None) -> Address:
    """Where tasks of both sides come to: the receiver says it. Raises Interrupted where that is not reached."""
    if meeting is not None:
        tell(channel, "pairs.meeting", {"address": meeting.address.note()})
        return meeting.address
    note = hear(channel, "pairs.meeting")
    address = Address.of_note(note.get("address") if isinstance(note, dict) else None)
    try:  # here once, before every task would find out for itself
        dial(address, _REACH_SECONDS)[0].close()
    except PeerAborted as error:
        raise Interrupted(error.template, error.hint, **error.params) from error
    return address


class _Beats:
    """Twice a second both drivers tell how far they are, so that neither works on for one that is gone."""

    def __init__(self, channel: Channel, step: Step) -> None:
        self._channel, self._step = channel, step
        self._mine: Callable[[], int] | None = None
        self._name = ""
        self.theirs = 0

    def phase(
        self, name: str, work: Callable[[Step], Any], done: Callable[[], int] | None = None, begun: int = 0
    ) -> Any:
        """What `work` returns, once the peer has ended the same phase; begun: what is known to be done already."""
        self._mine, self._name, self.theirs = done, name, begun
        found = work(self._beat)
        while not self._exchange(0 if done is None else done(), over=True):
            time.sleep(_BEAT_SECONDS)
        return found

    def _beat(self, name: str, reached: int, total: int) -> None:
        at = reached if self._mine is None else self._mine()
        self._step(self._name, at, total)
        self._exchange(at, over=False)

    def _exchange(self, done: int, *, over: bool) -> bool:
        """Whether both have ended. Raises PeerAborted."""
        tell(self._channel, "pairs.beat", {"phase": self._name, "done": done, "over": over})
        note = hear(self._channel, "pairs.beat")
        check_agreed({"phase": self._name}, {"phase": take(note, "phase", str)})
        self.theirs = take(note, "done", int)
        return take(note, "over", bool) and over


class _Rounds:
    """The buckets, by as many rounds of tasks as the losses of this side's cluster make it take."""

    def __init__(self, cluster: Cluster, task: PairTask, beats: _Beats, meeting: Meeting | None) -> None:
        self._cluster, self._task, self._beats, self._meeting = cluster, task, beats, meeting
        self._buckets = task.terms.buckets

    def done(self) -> int:
        """Buckets that both sides kept, as the receiver's driver knows."""
        return self._meeting.done if self._meeting is not None else self._beats.theirs

    def run(self, beat: Step) -> None:
        """Returns when all buckets are done."""
        ended = False

        def watch(name: str, reached: int, total: int) -> None:
            nonlocal ended
            ended = True  # unless nothing below says that this is over
            try:
                beat(name, reached, self._buckets)
                if self._meeting is not None:
                    self._meeting.check(_GRACE_SECONDS)
            except BaseException:
                if self._meeting is not None:
                    self._meeting.stop()  # so that no task waits there any longer
                raise
            ended = False

        fruitless, reached = 0, -1
        while self.done() < self._buckets:
            fruitless, reached = (0 if self.done() > reached else fruitless), max(self.done(), reached)
            try:
                outcomes = self._cluster.run(self._task, self._buckets - self.done(), watch)
            except Interrupted:
                fruitless += 1
                if ended or fruitless >= _ROUNDS:
                    raise
                continue
            _raise_worst(outcomes)
            if self._meeting is not None and not self._meeting.failed_there:
                self._meeting.check()
            time.sleep(_BEAT_SECONDS)
            watch("match", 0, self._buckets)  # the tasks may have been told before this driver


def _raise_worst(outcomes: Sequence[tuple[int, str]]) -> None:
    """Raises the error of a task, a peer that merely gave up last."""
    failures = [unpack_error(json.loads(error)) for _, error in outcomes if error]
    if failures:
        raise min(failures, key=lambda error: isinstance(error, PeerAborted))


def _ordered(labels: Bytes, order: Any) -> Bytes:
    return labels[order] if labels.shape[1] else labels
