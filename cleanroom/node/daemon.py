"""A node at work: it listens to its peers, delivers and handles messages, and works on jobs, until told to stop.

Everything that must outlive it is in the home before it is relied on, so it may be killed at any point. It reads no
data itself: that is for the workers it starts.
"""

import contextlib
import datetime as dt
import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from cleanroom import uploads
from cleanroom.access import portfolio
from cleanroom.activation import keeping
from cleanroom.crowds import messages as crowd_messages
from cleanroom.errors import KNOWN, Interrupted, Refused, UsageError, Waiting, our_mistake
from cleanroom.home import Home
from cleanroom.keys import SecretAccess
from cleanroom.node import certificate, config, notices, renewals
from cleanroom.node.approvals import Approvals
from cleanroom.node.console import Console
from cleanroom.node.control import known_error
from cleanroom.node.door import Door, Reception
from cleanroom.node.flight import Server
from cleanroom.node.lines import Calls, Lines
from cleanroom.node.log import Log
from cleanroom.node.metrics import Endpoint, Metrics
from cleanroom.node.peers import Peer, Peers
from cleanroom.node.post import Handler, Post
from cleanroom.node.postman import Postman
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.runs import Runs, asked_by
from cleanroom.node.schedule import Schedules
from cleanroom.node.session import Sessions
from cleanroom.node.state import State
from cleanroom.node.submitted import LOCK
from cleanroom.node.worker import Worker
from cleanroom.operations import restore
from cleanroom.rooms import agreeing, invitations
from cleanroom.rooms.store import Rooms
from protocols.errors import PeerAborted

TICK_SECONDS = 0.1
_DRAIN_SECONDS = 30.0
_KEEP_JOBS_DAYS = 90
_MOST_WAIT = 300.0
_AGAIN_AFTER_YES, _OFTEN = 30.0, 20


class Node:
    """One running node. Use it in a `with`; `serve` returns after `stop`."""

    def __init__(self, home: Home, log: Log | None = None) -> None:
        self.home, self.log = home, log or Log()
        self.config = config.load(home.path)
        self.metrics = Metrics()
        self._lock = _locked(home)
        self._state = State.open(home)
        self._jobs = Jobs(self._state, most_running=self.config.limits.runs,
                          most_waiting=self.config.limits.jobs_waiting)  # fmt: skip
        self._post = Post(home, self._state)
        self._peers = Peers(home)
        self._approvals = Approvals(self._state, self.config.approval)
        self._schedules = Schedules(self._state, self._jobs)
        self._lines = Lines(home, self.config)
        sessions = Sessions(home, self.config.times.skew)
        self._runs = Runs(home, self._state, self.config, self._lines, sessions, self._serve_peer)
        self._stopping = threading.Event()
        self._postman = Postman(home, self.config, self._post, self._lines, self.log, self._stopping)
        self._door = Door(home, self._state, self.config)
        self._reception: Reception | None = None
        self._calls = self._postman.calls = Calls(sessions, self._answers(), self.log)
        self._workers: dict[str, Worker] = {}
        self._server: Server | None = None
        self._shown: tuple[bytes, bytes] | None = None
        self._endpoint: Endpoint | None = None
        self._console = Console(home.path, self.log)
        self._counted: dict[int, tuple[int, int, int]] = {}

    def _answers(self) -> dict[str, Callable[[Peer, dict[str, Any]], dict[str, Any]]]:
        answers = {
            "messages": self._postman.taken,
            "poll": self._postman.polled,
            "answered": self._postman.answered,
            "run.ask": self._runs.asked,
            "run.start": self._runs.started,
            "run.end": self._runs.called_off,
            "act": self._door.request,
            "act.job": self._door.followed,
            "ping": lambda peer, body: {"time": dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")},
        }
        return {name: self._counting(name, answer) for name, answer in answers.items()}

    def _counting(self, name: str, answer: Callable[[Peer, dict[str, Any]], dict[str, Any]]) -> Any:
        def counted(peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
            try:
                found = answer(peer, body)
            except Exception as error:
                self.metrics.calls.labels(name, "refused").inc()
                self.log.error("refused", error, call=name, peer=peer.name)
                raise
            self.metrics.calls.labels(name, "answered").inc()
            return found

        return counted

    # -- life

    def serve(self) -> None:
        """Work until `stop`."""
        again = self._jobs.recover()
        if self.config.notices.webhook:
            notices.check_webhook(self.config.notices.webhook)
        if self.config.metrics:
            self._endpoint = Endpoint(self.config.metrics, self.metrics, lambda: self._server is not None or not
                                      self.config.listen)  # fmt: skip
        self._reception = Reception(self.home, self._door, self.config, self.log)
        self._listen()
        self.log("started", party=self.home.party, listen=self.config.listen or "-", recovered=again)
        for work, seconds in (
            (self._announce, 5.0),
            (self._handle, TICK_SECONDS),
            (self._settle, 2.0),
            (self._tick, 1.0),
        ):
            threading.Thread(target=self._often, args=(work, seconds), name=work.__name__, daemon=True).start()
        self._console.start(wanted=self.config.console)
        while not self._stopping.wait(TICK_SECONDS):
            self._once("jobs", self._take_jobs)
            self._once("listen", self._listen)
            self._once("post", self._postman.turn)
        self._drain()

    def stop(self, *_: object) -> None:
        """Take no more jobs; those that run may end within half a minute, then they are put back."""
        self._stopping.set()

    def _drain(self) -> None:
        self.log("stopping", running=len(self._workers))
        self._console.stop()
        until = time.monotonic() + _DRAIN_SECONDS
        while self._workers and time.monotonic() < until:
            time.sleep(TICK_SECONDS)
        for worker in list(self._workers.values()):
            worker.stop(Interrupted("The node of {party} was stopped.", "Run it again.", party=self.home.party))
        while self._workers and time.monotonic() < until + _DRAIN_SECONDS:
            time.sleep(TICK_SECONDS)
        for link in self._runs.carried():
            link.wait(2.0)
        self._lines.fetched.wake()
        if self._server is not None:
            self._server.stop()
        self._lines.close()
        for each in (self._endpoint, self._reception):
            if each is not None:
                each.close()
        self._state.close()
        os.close(self._lock)
        self.log("stopped")

    def _often(self, work: Callable[[], None], seconds: float) -> None:
        while not self._stopping.wait(seconds):
            self._once(work.__name__, work)

    def _once(self, name: str, work: Callable[[], None]) -> None:
        """What fails is told and tried again: a node lives through full disks and damaged messages."""
        try:
            work()
        except KNOWN as error:
            self.log.error("failed", error, work=name)
            time.sleep(1.0)
        except Exception as error:  # noqa: BLE001 - as above
            self.log("mistake", work=name, **our_mistake(error).params)
            time.sleep(1.0)

    # -- listening

    def _listen(self) -> None:
        """Listen with the certificate and to the peers that there are now; wires live through a change."""
        if not self.config.listen:
            return
        own = certificate.own(self.home)
        wanted = (own.pem, self._peers.roots())
        if self._server is not None and wanted == self._shown:
            return
        if self._server is not None:
            self._lines.fetched.wake()
            self._server.stop()
            self.log("listening anew", peers=len(self._peers.names()))
        key = own.key_pem(SecretAccess("show who we are in TLS"))
        self._server = Server(self.config.listen, own.pem, key, wanted[1], self._calls, self._runs.carry,
                              self._runs.whose, self.config.limits.links)  # fmt: skip
        self._shown = wanted

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.port if self._server is not None else 0

    # -- messages

    def _announce(self) -> None:
        """Tell all peers of this node's next certificate, once."""
        body = renewals.announcement(self.home)
        if body is None:
            return
        digest = certificate.read_any(body["certificate"].encode()).digest
        with self._state.transaction() as database:
            database.execute("CREATE TABLE IF NOT EXISTS announced (digest TEXT, peer TEXT, UNIQUE (digest, peer))")
            for name in self._peers.names():
                if database.execute("INSERT OR IGNORE INTO announced VALUES (?, ?)", (digest, name)).rowcount:
                    with contextlib.suppress(Refused):  # neither node can dial the other
                        self._post.send(name, renewals.KIND, body)

    def _settle(self) -> None:
        """What people decided about rooms, and what a crash left half done."""
        for room, error in agreeing.settle(agreeing.Here(self.home, self._state, self.config), signing=False):
            self.log.error("not settled", error, room=room)

    def _handle(self) -> None:
        before = self._approvals.waiting_rooms()
        known = handlers()
        for message, failed in self._post.handle(self.config, known):
            kind = message.kind if message.kind in known else "unknown"
            self.metrics.messages.labels(kind, "refused" if failed else "handled").inc()
            if failed is not None:
                self.log.error("message refused", failed, kind=kind, peer=message.sender)
            else:
                self.log("message", kind=kind, peer=message.sender)
        for approval, room in self._approvals.waiting_rooms().items():
            if approval not in before:
                notices.send(self.config.notices, "approval.waiting", self.home.party, room)

    # -- jobs

    def _take_jobs(self) -> None:
        for each in self._schedules.due(dt.datetime.now(dt.UTC)):
            self.log("scheduled", kind=each.kind, room=each.room, job=each.id[:8])
        own = sum(1 for name in self._workers if not name.startswith("peer "))
        job = self._jobs.take(dt.datetime.now(dt.UTC), own)
        if job is not None and self._ends_the_node(job):
            self._jobs.fail(job.id, Interrupted("The node ended before the job was done."))
        elif job is not None and job.kind == "act":
            threading.Thread(target=self._act, args=(job,), name=f"act {job.id[:8]}", daemon=True).start()
        elif job is not None and self._is_still_allowed(job):
            self._start(job, job.id, lambda worker: self._do_own(job, worker), self._others(job.room))

    def _ends_the_node(self, job: Job) -> bool:
        """Whether a job was begun so often without an end that it may be what ends the node; one that waits for a
        person's yes is asked for again for as long as it waits."""
        waits = job.error is not None and job.error["kind"] == Waiting.__name__
        return job.attempts > self.config.times.retries and not waits

    def _is_still_allowed(self, job: Job) -> bool:
        """Whether whoever asked for the job may still: a grant or a role may have ended since."""
        try:
            self._door.check_again(job)
        except KNOWN as error:
            self._jobs.fail(job.id, error)
            self.log.error("not allowed any more", error, job=job.id[:8])
            return False
        return True

    def _others(self, room: str) -> list[str]:
        if not room:
            return []
        with contextlib.suppress(*KNOWN):
            contract = Rooms(self.home.rooms).load(room).contract
            return [party.name for party in contract.parties if party.name != self.home.party]
        return []

    def _serve_peer(self, job: Job, wanted: dict[str, Any]) -> None:
        others = [name for name in wanted["parties"] if name != self.home.party]

        def do(worker: Worker) -> Any:
            self._runs.join(worker, wanted["run"], wanted["pairs"])
            outcome = worker.do("run", wanted["job"], self._step(job), _nobody)
            return {
                "charged": outcome["charged"],
                "sent": outcome["sent"],
                "receipt": (outcome["receipt"] or {}).get("digest"),
            }

        self._start(job, f"peer {job.id}", do, others)

    def _act(self, job: Job) -> None:
        """Have something done at a merchant's node in its name, and wait for it. arguments: merchant, request."""
        merchant = str(job.arguments["merchant"])
        try:
            found = self._asked(merchant, job)
            while found.get("state") in ("queued", "running"):
                if self._stopping.wait(1.0) or self._jobs.cancelled(job.id):
                    raise Interrupted("{party} cancelled the run.", party=self.home.party)
                found = self._lines.call(merchant, "act.job", {"id": found["id"]})
            if found.get("state") in ("failed", "cancelled"):
                raise _failure(found, merchant)
            self._jobs.finish(job.id, found.get("result", found))
        except Exception as error:  # noqa: BLE001 - a merchant's odd answer is its mistake or ours, by name
            known = error if isinstance(error, KNOWN) else our_mistake(error)
            with contextlib.suppress(*KNOWN):
                self._jobs.fail(job.id, known, self._again_at(job, known))

    def _asked(self, merchant: str, job: Job) -> dict[str, Any]:
        """The first answer; where an earlier one was lost, how far that is by now."""
        request = job.arguments["request"]
        if job.attempts:
            with contextlib.suppress(UsageError):
                return self._lines.call(merchant, "act.job", {"id": request["id"]})
        return self._lines.call(merchant, "act", request)

    def _start(self, job: Job, name: str, do: Callable[[Worker], Any], others: list[str]) -> None:
        worker = Worker(self.home.path, self.home.party, others)
        self._workers[name] = worker
        threading.Thread(target=self._work, args=(job, name, worker, do), name=f"job {job.id[:8]}", daemon=True).start()

    def _do_own(self, job: Job, worker: Worker) -> Any:
        arguments = {"kind": job.kind, "room": job.room, "arguments": job.arguments,
                     "asked_by": asked_by(self.home.party, job.asked_by)}  # fmt: skip
        if job.kind != "run":
            return worker.do("work", arguments, self._step(job), lambda at, told: self._runs.meet(job, at, told))
        told = {"parties": {name: each for name, each in job.arguments["parties"].items() if name != self.home.party}}
        met: Future[None] = Future()  # what is to be asked is known: peers begin while the worker still starts
        threading.Thread(target=_into, args=(met, lambda: self._runs.meet(job, worker, told)), daemon=True).start()
        return worker.do("work", arguments, self._step(job), lambda *_: met.result())

    def _work(self, job: Job, name: str, worker: Worker, do: Callable[[Worker], Any]) -> None:
        began = time.monotonic()
        self.log("job", state="running", kind=job.kind, room=job.room, job=job.id[:8], peer=job.peer or "-")
        try:
            result = do(worker)
            worker.close()
            self._jobs.finish(job.id, result)
            state = "done"
        except KNOWN as error:
            state = self._failed(job, worker, error)
        except Exception as error:  # noqa: BLE001 - told as our mistake, by place
            state = self._failed(job, worker, our_mistake(error))
        finally:
            self._workers.pop(name, None)
            self._runs.over(job.id)
            with contextlib.suppress(*KNOWN):
                self._jobs.forget_asked(job.id)
        seconds = time.monotonic() - began
        self.metrics.jobs.labels(job.kind, state).inc()
        self.metrics.seconds.labels(job.kind).observe(seconds)
        self.log("job", state=state, kind=job.kind, room=job.room, job=job.id[:8], seconds=round(seconds, 3))
        if not job.peer:
            notices.send(self.config.notices, f"job.{state}", self.home.party, job.room)

    def _failed(self, job: Job, worker: Worker, error: Exception) -> str:
        if isinstance(error, Refused):  # a rule, which all may know; of anything else peers see that it failed
            worker.tell(error)
        worker.close()
        again = None if self._stopping.is_set() and worker.ended is error else self._again_at(job, error)
        if self._stopping.is_set() and worker.ended is error and not job.peer:
            again = dt.datetime.now(dt.UTC)  # the next node goes on
        with contextlib.suppress(*KNOWN):  # a full disk: it stays running, and is recovered at the next start
            self._jobs.fail(job.id, error, again)
        self.log.error("job failed", error, job=job.id[:8], again=again is not None)
        return "again" if again else "failed"

    def _again_at(self, job: Job, error: Exception) -> dt.datetime | None:
        """When a job is tried again: where a link, a peer or a process was lost, or a person has still to say yes."""
        if job.peer or not isinstance(error, Interrupted | PeerAborted | Waiting):
            return None
        if job.attempts >= self.config.times.retries and not isinstance(error, Waiting):
            return None
        wait = min(self.config.times.retry_first * 2 ** min(job.attempts, 20), _MOST_WAIT)
        if isinstance(error, Waiting):  # each time costs a worker's start
            wait = _AGAIN_AFTER_YES if job.attempts < _OFTEN else _MOST_WAIT
        return dt.datetime.now(dt.UTC) + dt.timedelta(seconds=wait)

    def _step(self, job: Job) -> Callable[[str, int, int], None]:
        def step(stage: str, done: int, total: int) -> None:
            with contextlib.suppress(*KNOWN):
                self._jobs.progress(job.id, stage, done, total)

        return step

    # -- time

    def _tick(self) -> None:
        self._runs.tick()
        for name, worker in list(self._workers.items()):
            job_id = name.removeprefix("peer ")
            if self._jobs.cancelled(job_id):
                worker.stop(Interrupted("{party} cancelled the run.", party=self.home.party))
            elif time.monotonic() - worker.begun > self.config.times.job:
                worker.stop(Interrupted("The job took longer than {seconds} seconds.", "Raise times.job in node.toml.",
                                        seconds=round(self.config.times.job)))  # fmt: skip
        self._measure()
        for approval in self._approvals.remind(dt.datetime.now(dt.UTC)):
            notices.send(self.config.notices, "approval.reminder", self.home.party, approval.room)
        if time.time() % 3600 < 1:
            self._jobs.forget_older(_KEEP_JOBS_DAYS)
            self._post.forget_old()
            keeping.sweep(self.home)
            uploads.tidy(self.home)

    def _measure(self) -> None:
        links = self._runs.carried()
        self.metrics.links.set(sum(not link.over for link in links))
        ends = certificate.own(self.home).certificate.ends
        self.metrics.certificate.set((ends - dt.datetime.now(dt.UTC)).total_seconds())
        self.metrics.running.set(len(self._workers))
        self.metrics.queued.set(len(self._jobs.listed(state="queued", most=self.config.limits.jobs_waiting)))
        self.metrics.waiting.set(len(self._approvals.waiting_rooms()))
        known = {}
        for link in links:
            now, before = (link.sent, link.received, link.cuts), self._counted.get(id(link), (0, 0, 0))
            known[id(link)] = now
            self.metrics.bytes.labels(link.peer, "sent").inc(now[0] - before[0])
            self.metrics.bytes.labels(link.peer, "received").inc(now[1] - before[1])
            self.metrics.cuts.labels(link.peer).inc(now[2] - before[2])
        self._counted = known


def handlers() -> dict[str, Handler]:
    """What a node does with messages, by kind."""
    return {**renewals.HANDLERS, **invitations.HANDLERS, **portfolio.HANDLERS, **restore.HANDLERS,
            **crowd_messages.HANDLERS}  # fmt: skip


def _failure(found: dict[str, Any], merchant: str) -> Exception:
    """What a job at a merchant's node ended in, where it is told in words of ours."""
    try:
        return known_error(found["failure"])
    except (ValueError, KeyError, TypeError):
        return Interrupted("{party} ended the run.", "See its own message.", party=merchant)


def _into(future: "Future[None]", work: Callable[[], None]) -> None:
    """The end of `work` as the future's."""
    try:
        work()
        future.set_result(None)
    except BaseException as error:  # noqa: BLE001 - told to whoever waits for it
        future.set_exception(error)


def _nobody(worker: Worker, arguments: dict[str, Any]) -> None:
    raise UsageError("Only whoever began a run brings others to it.")


def _locked(home: Home) -> int:
    """The lock that one node at a time holds. Raises UsageError."""
    handle = os.open(home.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise UsageError("A node runs in this home already.", "cleanroom status shows it.") from error
    return handle


@contextlib.contextmanager
def signals(node: Node) -> Iterator[None]:
    """SIGTERM and Ctrl-C stop the node gracefully."""
    before = {number: signal.signal(number, node.stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
