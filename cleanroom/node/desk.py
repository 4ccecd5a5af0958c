"""What the owner's commands read and write of a node: its jobs, schedules, approvals and state. The node may run or
not.

Every function opens a home and gives plain values back, for `--json` and for people.
"""

import datetime as dt
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cleanroom import __version__
from cleanroom.access import delegating
from cleanroom.errors import KNOWN, UsageError
from cleanroom.home import Home
from cleanroom.lang import t
from cleanroom.node import certificate, config, console
from cleanroom.node.approvals import Approval, Approvals
from cleanroom.node.control import unpack_error
from cleanroom.node.local import Progress
from cleanroom.node.peers import Peers
from cleanroom.node.queue import STATES, Job, Jobs
from cleanroom.node.schedule import Schedules
from cleanroom.node.state import State
from cleanroom.node.submitted import awaited, check_running, is_running
from cleanroom.operations import statement

KINDS = ("query", "match", "plan", "refresh", "export", "replay", "board", "crowd", "activate", "insight", "campaign")
"""Jobs that a person or a schedule may ask for."""
_NEEDS = {"refresh": ("dataset", "source"), "export": ("file",), "replay": ("file",),
          "activate": ("crowd", "channel", "purpose"), "campaign": ("campaign",)}  # fmt: skip


@dataclass(frozen=True)
class Desk:
    """An open home with its node's state."""

    home: Home
    state: State
    jobs: Jobs
    approvals: Approvals
    schedules: Schedules


@contextmanager
def opened(path: Path) -> Iterator[Desk]:
    """The desk of that home."""
    home = Home.open(path.expanduser())
    settings = config.load(home.path)
    with State.open(home) as state:
        jobs = Jobs(state, most_waiting=settings.limits.jobs_waiting)
        yield Desk(home, state, jobs, Approvals(state, settings.approval), Schedules(state, jobs))


# -- jobs


def submit(path: Path, kind: str, room: str, arguments: Mapping[str, Any], progress: Progress | None = None, *,
           wait: bool = True, asked_by: str = "") -> dict[str, Any]:  # fmt: skip
    """Leave a job; with `wait` its end. Raises UsageError for an unknown kind, and what it fails with."""
    _check(kind, arguments)
    with opened(path) as desk:
        if wait:
            check_running(desk.home)
        job = desk.jobs.submit(kind, room, dict(arguments), asked_by or desk.home.party)
        if not wait:
            return told(job, desk.jobs)
        found = awaited(desk.jobs, job.id, desk.home, progress)
        return {**told(desk.jobs.get(job.id), desk.jobs), "result": found}


def act(path: Path, merchant: str, call: str, room: str, arguments: Mapping[str, Any],
        progress: Progress | None = None) -> dict[str, Any]:  # fmt: skip
    """Have something done at a merchant's node, in its name, by its grant; what came of it."""
    from cleanroom.access import acting  # the gate: only where it is needed

    with opened(path) as desk:
        check_running(desk.home)
        channel = str(arguments.get("channel", "")) if call == "activate" else ""
        request = acting.request(desk.home, merchant, call, room, arguments, channel=channel)
        job = desk.jobs.submit("act", room, {"merchant": merchant, "request": request}, desk.home.party)
        found = awaited(desk.jobs, job.id, desk.home, progress)
        return {"merchant": merchant, "call": call, "room": room, "result": found}


def listed(path: Path, room: str | None, state: str | None, most: int) -> dict[str, Any]:
    """Jobs, the newest first. Raises UsageError for a state that there is not."""
    if state is not None and state not in STATES:
        raise UsageError("There is no state {state}.", "There are: {states}.", state=state, states=", ".join(STATES))
    with opened(path) as desk:
        found = [told(job, desk.jobs) for job in desk.jobs.listed(room, state, most)]
        return {"home": str(desk.home.path), "running": is_running(desk.home), "jobs": found}


def shown(path: Path, number: str, *, wait: bool = False, progress: Progress | None = None) -> dict[str, Any]:
    """One job; with `wait` when it has ended, raising what it failed with."""
    with opened(path) as desk:
        job = desk.jobs.get(number)
        if wait:
            awaited(desk.jobs, job.id, desk.home, progress)
        job = desk.jobs.get(number)
        return {**told(job, desk.jobs), "arguments": job.arguments, "result": job.result}


def cancelled(path: Path, number: str) -> dict[str, Any]:
    """Cancel a job."""
    with opened(path) as desk:
        desk.jobs.cancel(desk.jobs.get(number).id)
        return told(desk.jobs.get(number), desk.jobs)


def retried(path: Path, number: str) -> dict[str, Any]:
    """Queue a failed job again."""
    with opened(path) as desk:
        return told(desk.jobs.retry(desk.jobs.get(number).id), desk.jobs)


def _check(kind: str, arguments: Mapping[str, Any]) -> None:
    """Raises UsageError for an unknown kind of job, and one without what it needs."""
    if kind not in KINDS:
        raise UsageError("There is no kind of job {kind}.", "There are: {kinds}.", kind=kind, kinds=", ".join(KINDS))
    for name in _NEEDS.get(kind, ()):
        if not isinstance(arguments.get(name), str):
            raise UsageError("This job needs {name}.", "--set {name}=…", name=name)


def told(job: Job, jobs: Jobs) -> dict[str, Any]:
    """A job for programs and people, without what it brought. left: seconds by earlier ones of its kind, None
    unknown."""
    error = None if job.error is None else str(_translated(job.error))
    names = ("id", "kind", "room", "asked_by", "peer", "state", "stage", "done", "total", "created", "started", "ended",
             "attempts", "not_before")  # fmt: skip
    plain = asdict(job)
    return {**{name: plain[name] for name in names}, "left": jobs.estimate(job), "error": error}


def _translated(error: dict[str, Any]) -> str:
    found: Any = unpack_error(error)
    return " ".join(t(text, **found.params) for text in (found.template, found.hint) if text)


# -- schedules


def scheduled(path: Path, spec: str, kind: str, room: str, arguments: Mapping[str, Any], *,
              asked_by: str = "") -> dict[str, Any]:  # fmt: skip
    """Have a job done again and again."""
    _check(kind, arguments)
    with opened(path) as desk:
        number = desk.schedules.add(spec, kind, room, dict(arguments), asked_by or desk.home.party)
        return asdict(desk.schedules.get(number))


def schedules(path: Path) -> dict[str, Any]:
    """All schedules."""
    with opened(path) as desk:
        return {"home": str(desk.home.path), "running": is_running(desk.home),
                "schedules": [asdict(each) for each in desk.schedules.listed()]}  # fmt: skip


def unscheduled(path: Path, number: str) -> dict[str, Any]:
    """End a schedule."""
    with opened(path) as desk:
        found = desk.schedules.get(number)
        desk.schedules.remove(found.id)
        return asdict(found)


# -- approvals


def inbox(path: Path, *, everything: bool) -> dict[str, Any]:
    """What waits for a person's yes; everything: what was decided too."""
    with opened(path) as desk:
        found = desk.approvals.listed() if everything else desk.approvals.waiting()
        return {"home": str(desk.home.path), "party": desk.home.party, "approvals": [_approval(each) for each in found]}


def decided(path: Path, number: str, *, yes: bool, reason: str, who: str = "") -> dict[str, Any]:
    """Say yes or no: the user `who`, or the owner of the home. What is about a room's terms is signed, accepted or
    refused by name."""
    with opened(path) as desk:
        found = desk.approvals.get(number)
        if found.kind.startswith("room."):
            raise UsageError("This is about a room: say it there.",
                             "cleanroom room review {room}, then room accept, room sign or room refuse.",
                             room=found.room)  # fmt: skip
        if found.kind == delegating.KIND:
            return _approval(delegating.decided(desk.home, desk.state, found.id, yes=yes, reason=reason, who=who))
        with desk.state.transaction():  # who may not decide changes nothing; what cannot be done stays undecided
            done = desk.approvals.decide(found.id, yes, who or desk.home.party, reason, owner=not who)
            if found.kind == statement.APPROVAL and yes:
                statement.accept(desk.home, found.asked_by, found.payload, who or desk.home.party)
        return _approval(done)


def _approval(found: Approval) -> dict[str, Any]:
    plain = asdict(found)
    del plain["payload"]
    for name in ("what", "reveals"):
        plain[name] = [t(template, **params) for template, params in plain[name]]
    return plain


# -- the whole


def status(path: Path) -> dict[str, Any]:
    """How the node is: whether it runs, what waits, its certificate, peers and disk."""
    with opened(path) as desk:
        home, now = desk.home, dt.datetime.now(dt.UTC)
        settings = config.load(home.path)
        own = certificate.own(home).certificate
        with desk.state.reading() as database:
            undelivered = dict(database.execute(
                "SELECT peer, count(*) FROM outbox WHERE delivered IS NULL GROUP BY peer").fetchall())  # fmt: skip
            counts = dict(database.execute("SELECT state, count(*) FROM jobs GROUP BY state").fetchall())
        peers = []
        for peer in Peers(home).all():
            ends = certificate.read_any(peer.certificate).ends
            peers.append({"name": peer.name, "url": peer.url, "certificate_ends": ends.isoformat(),
                          "messages_waiting": undelivered.get(peer.name, 0)})  # fmt: skip
        return {
            "home": str(home.path),
            "party": home.party,
            "role": settings.role,
            "version": __version__,
            "running": is_running(home),
            "listen": settings.listen,
            "url": settings.url,
            "metrics": settings.metrics,
            "console": console.address(home),
            "certificate_ends": own.ends.isoformat(),
            "certificate_days": (own.ends - now).days,
            "jobs": counts,
            "approvals": len(desk.approvals.waiting()),
            "peers": peers,
            "free_bytes": shutil.disk_usage(home.path).free,
        }


def reached(path: Path) -> dict[str, str]:
    """Of every peer that can be dialled, whether its node answers now: "" or why not."""
    from cleanroom.node.lines import Lines  # gRPC: only where something is dialled

    home = Home.open(path.expanduser())
    lines, found = Lines(home, config.load(home.path)), {}
    for name in Peers(home).names():
        if lines.reaches(name):
            try:
                lines.call(name, "ping", {})
                found[name] = ""
            except KNOWN as error:
                found[name] = " ".join(t(text, **error.params) for text in (error.template, error.hint) if text)
    lines.close()
    return found
