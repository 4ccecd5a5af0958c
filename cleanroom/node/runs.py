"""A run of a room among its parties' nodes: whoever begins it asks the others, all begin, and links join them.

1. `run.ask`: each party checks that it holds the same contract, that the asker is a party, that it has room, and that a
person need not say yes first; nothing has moved yet, and a refusal has the same text on both sides. 2. `run.start`:
each starts its own worker and is told who dials whom. 3. The workers play their roles over the links. Between two
owners that are not the host no link is needed in any protocol: every pair has the host in it.
"""

import contextlib
import datetime as dt
import json
import random
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cleanroom.access import catalogue
from cleanroom.errors import KNOWN, BadData, Busy, Interrupted, Refused, UsageError, Waiting
from cleanroom.home import Home
from cleanroom.node import link as links
from cleanroom.node.approvals import Approvals
from cleanroom.node.config import Config
from cleanroom.node.flight import ServerExchange
from cleanroom.node.lines import Lines
from cleanroom.node.link import Link, Patience
from cleanroom.node.peers import Peer
from cleanroom.node.post import UNREACHED, UNREACHED_HINT
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.session import NoSession, Sessions
from cleanroom.node.state import State
from cleanroom.node.submitted import WAITING
from cleanroom.node.worker import Worker
from cleanroom.rooms import asked_for
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.taking_part import hub

FORMAT = "cleanroom-run/1"
_ASKED = {"format", "run", "room", "contract", "parties", "job", "asker"}
_RESERVED_SECONDS = 150.0
"""Longer than an asker waits for a busy third."""
_BUSY_SECONDS = 120.0
_REDIAL = (0.1, 2.0)
_LINGER_SECONDS = 60.0
FOR_ANOTHER = "{asker} asks in the name of {party} a question in the room {room}."
_APPROVED_DAYS = 7
"""For so long what a person said to a question goes for the same question."""


@dataclass(frozen=True)
class _Asked:
    """A run that this node has agreed to, and keeps a place for."""

    peer: str
    body: dict[str, Any]
    until: float


class Runs:
    """The runs of one node, those that it began and those that peers did."""

    def __init__(self, home: Home, state: State, config: Config, lines: Lines, sessions: Sessions,
                 begin: Callable[[Job, dict[str, Any]], None]) -> None:  # fmt: skip
        """begin: works on a peer's job, in a thread of its own."""
        self._home, self._state, self._config, self._lines = home, state, config, lines
        self._sessions, self._begin = sessions, begin
        self._jobs = Jobs(state, most_waiting=config.limits.jobs_waiting)
        self._changed = threading.Condition()
        self._reserved: dict[str, _Asked] = {}
        self._serving: dict[str, str] = {}
        self._asking: dict[str, float] = {}
        self._links: dict[tuple[str, str], Link] = {}
        self._since: dict[tuple[str, str], float] = {}

    # -- beginning one

    def meet(self, job: Job, worker: Worker, arguments: dict[str, Any]) -> None:
        """Bring the other parties to the run that `worker` is about to play its part in. Raises what they say."""
        contract = self.contract(job.room)
        told: dict[str, dict[str, Any]] = arguments["parties"]
        run, everyone = secrets.token_hex(16), sorted((self._home.party, *told))
        agreed: dict[str, dict[str, Any]] = {}
        try:
            for party in sorted(told):
                body = {"format": FORMAT, "run": run, "room": job.room, "contract": contract.digest(),
                        "parties": everyone, "job": told[party], "asker": job.asked_by}  # fmt: skip
                agreed[party] = self._ask(party, body)
            pairs = self._pairs(contract, everyone, agreed)
            self.join(worker, run, pairs)
            for party in sorted(told):
                self._lines.call(party, "run.start", {"run": run, "pairs": pairs})
        except BaseException:
            for party in agreed:
                threading.Thread(target=self._call_off, args=(party, run), daemon=True).start()
            raise

    def _ask(self, party: str, body: dict[str, Any]) -> dict[str, Any]:
        """One party's yes; a busy one is asked again for a while."""
        until = time.monotonic() + _BUSY_SECONDS
        while True:
            answer = self._lines.call(party, "run.ask", body)
            if not answer.get("busy"):
                return answer
            if time.monotonic() > until:
                raise Busy("The node of {party} is busy with other runs.", "Try again later.", party=party)
            time.sleep(random.uniform(0.2, 1.0))  # noqa: S311

    def _call_off(self, party: str, run: str) -> None:
        with contextlib.suppress(*KNOWN):
            self._lines.call(party, "run.end", {"run": run})

    def _pairs(self, contract: Contract, parties: list[str], agreed: dict[str, dict[str, Any]]) -> list[list[str]]:
        """Who dials whom. Raises Refused where two cannot reach each other."""
        host = hub(contract, parties)
        found = []
        for other in parties:
            if other == host:
                continue
            if host in self._reached_by(other, agreed):
                found.append([other, host])
            elif other in self._reached_by(host, agreed):
                found.append([host, other])
            else:
                raise Refused(UNREACHED, UNREACHED_HINT, party=other, peer=host)
        return found

    def _reached_by(self, party: str, agreed: dict[str, dict[str, Any]]) -> list[str]:
        if party != self._home.party:
            reached = agreed[party].get("reaches", [])
            return list(reached) if isinstance(reached, list) else []
        return [name for name in (*agreed, self._home.party) if self._lines.reaches(name)]

    # -- taking part in one that a peer begins

    def asked(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `run.ask`. Raises Refused, BadData, Waiting; says busy where there is no place now."""
        if body.keys() != _ASKED or body["format"] != FORMAT or not _is_run(body["run"]):
            raise _malformed()
        if type(body["job"]) is not dict or not _is_name(body["asker"]) or not _are_texts(body["parties"]):
            raise _malformed()
        contract = self.contract(body["room"], peer)
        if contract.digest() != body["contract"]:
            raise Refused("The two sides hold different contracts.", "Sign the same version on both sides.")
        asked_for.check(contract, self._home.party, peer.name, body["parties"], body["job"])
        self._check_quota(peer.name, contract)
        self._check_approved(peer, contract, body)
        if not self._reserve(peer.name, body):
            return {"busy": True}
        return {"reaches": [name for name in body["parties"] if self._lines.reaches(name)]}

    def _reserve(self, peer: str, body: dict[str, Any]) -> bool:
        """Keep a place for the run; whether there is one. While others ask too, a peer has half of them at most."""
        most, now = self._config.limits.runs, time.monotonic()
        with self._changed:
            self._reserved = {run: each for run, each in self._reserved.items() if each.until > now}
            self._asking = {name: until for name, until in self._asking.items() if until > now}
            self._asking[peer] = now + _RESERVED_SECONDS
            known = self._reserved.keys() | self._serving.keys() | {run for run, _ in self._links}
            if body["run"] in known:
                raise _malformed()
            own = sum(each.peer == peer for each in self._reserved.values())
            own += sum(name == peer for name in self._serving.values())
            if own >= (most if len(self._asking) == 1 else max(1, most // 2)):
                return False
            if len(self._reserved) + len(self._serving) >= most:
                return False
            self._reserved[body["run"]] = _Asked(peer, body, now + _RESERVED_SECONDS)
        return True

    def started(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `run.start`: this party's worker starts. Raises Refused where the run was not agreed to."""
        run, pairs = body.get("run"), body.get("pairs")
        with self._changed:
            asked = self._reserved.get(run) if isinstance(run, str) else None
            if asked is not None and asked.peer == peer.name:
                del self._reserved[str(run)]
        host = hub(self.contract(asked.body["room"]), asked.body["parties"]) if asked is not None else ""
        if asked is None or asked.peer != peer.name or not _are_pairs(pairs, asked.body["parties"], host):
            raise Refused("The run was not agreed to, or too long ago.", "Run it again.")
        job = {**asked.body["job"], "asked_by": asked_by(peer.name, asked.body["asker"])}
        wanted = {"job": job, "run": run, "pairs": pairs, "parties": asked.body["parties"]}
        with self._state.transaction():
            self._jobs.submit("run", asked.body["room"], {"job": job}, asked.body["asker"], peer=peer.name, id=run)
            begun = self._jobs.begin(str(run))
        with self._changed:
            self._serving[str(run)] = peer.name
        self._begin(begun, wanted)
        return {}

    def called_off(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `run.end`: whoever began the run has given it up."""
        run = str(body.get("run"))
        with self._changed:
            asked = self._reserved.get(run)
            if asked is not None and asked.peer == peer.name:
                del self._reserved[run]
            begun = self._serving.get(run) == peer.name
            found = [link for (name, _), link in self._links.items() if name == run] if begun else []
        for link in found:
            link.fail(Interrupted("{party} ended the run.", "See its own message.", party=peer.name))
        return {}

    def over(self, run: str) -> None:
        """A peer's run has ended here: its place is free."""
        with self._changed:
            self._serving.pop(run, None)

    def contract(self, room: str, peer: Peer | None = None) -> Contract:
        """The room's contract, in force, and `peer` a party of it. Raises Refused, in words that both can be told."""
        rooms = Rooms(self._home.rooms)
        if peer is None:
            return rooms.load(room).in_force(dt.datetime.now(dt.UTC))
        try:
            if not _is_name(room):
                raise _malformed()
            held = rooms.load(room)
            known = held.contract.party(peer.name).signing == peer.public.signing.hex()
        except (UsageError, BadData):
            known = False
        if not known:
            raise Refused("There is no room {room} of {party} and {peer}.", "cleanroom room list, on both sides.",
                          room=str(room)[:64], **_names(self._home.party, peer.name))  # fmt: skip
        return held.in_force(dt.datetime.now(dt.UTC))

    def _check_quota(self, peer: str, contract: Contract) -> None:
        with self._state.reading() as database:
            since = (dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).isoformat(timespec="milliseconds")
            runs = database.execute("SELECT count(*) FROM jobs WHERE peer = ? AND created > ?",
                                    (peer, since)).fetchone()[0]  # fmt: skip
        if runs >= self._config.limits.runs_per_peer_per_day:
            raise Refused("{party} may begin {most} runs a day here.", "Ask again tomorrow, or have the limit raised.",
                          party=peer, most=self._config.limits.runs_per_peer_per_day)  # fmt: skip
        rows = contract.dataset_of(peer).rows if peer in contract.owners else 0
        catalogue.check_quota(self._home, peer, runs, rows)

    def _check_approved(self, peer: Peer, contract: Contract, body: dict[str, Any]) -> None:
        if self._config.approval.runs != "ask":
            return
        payload = {"peer": peer.name, "contract": body["contract"], "job": body["job"]}
        who = {"party": peer.name, "room": contract.room, "asker": body["asker"]}
        own = "{party} asks a question in the room {room}."
        what = [(own if body["asker"] == peer.name else FOR_ANOTHER, who)]
        reveals = [(each.template, each.params) for each in asked_for.said(contract, body["job"])]
        approvals = Approvals(self._state, self._config.approval)
        since = dt.datetime.now(dt.UTC) - dt.timedelta(days=_APPROVED_DAYS)
        decided = approvals.answer("run", contract.room, peer.name, payload, since)
        if decided is not None and decided.state == "approved":
            return
        if decided is not None:
            raise Refused("A person at {party} said no: {reason}", party=self._home.party, reason=decided.reason)
        approvals.ask("run", contract.room, peer.name, what, reveals, payload)
        raise Waiting(WAITING, "It waits there; ask again later.",
                      party=self._home.party)  # fmt: skip

    # -- links

    def join(self, worker: Worker, run: str, pairs: list[list[str]]) -> None:
        """Give the worker its links in this run, and begin to dial where this side dials."""
        patience = Patience(self._config.times.silent, self._config.times.resume)
        for dialler, dialled in pairs:
            if self._home.party not in (dialler, dialled):
                continue
            peer = dialled if dialler == self._home.party else dialler
            link = worker.link(peer, self._config.limits.window_bytes, patience)
            with self._changed:
                self._links[run, peer] = link
                self._changed.notify_all()
            if dialler == self._home.party:
                threading.Thread(target=self._dial, args=(link, run), name="link-dial", daemon=True).start()

    def _dial(self, link: Link, run: str) -> None:
        wait = _REDIAL[0]
        while not link.over:
            before = link.received, link.acknowledged
            with contextlib.suppress(*KNOWN):
                link.carry(self._lines.exchange(link.peer, {"run": run}))
            wait = _REDIAL[0] if (link.received, link.acknowledged) != before else min(2 * wait, _REDIAL[1])
            link.wait(wait)

    def whose(self, first: bytes) -> str:
        """The peer that dialled, by what it said first; "" where it is none."""
        with contextlib.suppress(ValueError, AttributeError, RecursionError, NoSession):
            return self._sessions.peer(json.loads(first).get("token")).name
        return ""

    def carry(self, first: bytes, exchange: ServerExchange) -> None:
        """A peer dialled: carry the link that it means."""
        try:
            said = json.loads(first)
            peer, run = self._sessions.peer(said.get("token")).name, str(said.get("run"))
        except (ValueError, AttributeError, RecursionError, NoSession):
            return None  # the dialler opens a new session, and dials again
        with self._changed:
            self._changed.wait_for(lambda: (run, peer) in self._links, self._config.times.connect)
            link = self._links.get((run, peer))
        if link is None:
            return links.refuse(exchange, Interrupted(
                "The node of {party} has no such run: it was restarted, or has ended it.", "Run it again.",
                party=self._home.party))  # fmt: skip
        return link.carry(exchange)

    def tick(self) -> None:
        """About once a second: what has been silent or lost for too long ends, what is long over is forgotten."""
        now = time.monotonic()
        with self._changed:
            all_links = dict(self._links)
        for key, link in all_links.items():
            link.check()
            if link.over and now - self._since.setdefault(key, now) > _LINGER_SECONDS:
                with self._changed:
                    self._links.pop(key, None)
                self._since.pop(key, None)

    def carried(self) -> list[Link]:
        """The links there are, for figures."""
        with self._changed:
            return list(self._links.values())


def asked_by(party: str, asker: str) -> list[str]:
    """As a ledger names who asked: the party, and whoever did in its name."""
    return [party] if asker == party else [party, asker]


def _malformed() -> BadData:
    return BadData("A run is asked for in a form that this version does not know.")


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 64 and value.isprintable()


def _is_run(value: object) -> bool:
    return isinstance(value, str) and len(value) == 32 and set(value) <= set("0123456789abcdef")


def _are_texts(value: object) -> bool:
    """Whether it is a list of different texts."""
    return isinstance(value, list) and all(type(each) is str for each in value) and len(set(value)) == len(value)


def _are_pairs(value: object, parties: list[str], host: str) -> bool:
    """Whether they join every party to the host, once, in either direction."""
    if not isinstance(value, list) or not all(_are_texts(pair) and len(pair) == 2 for pair in value):
        return False
    return sorted(sorted(pair) for pair in value) == sorted(sorted((host, each)) for each in parties if each != host)


def _names(one: str, other: str) -> dict[str, str]:
    """Two parties in an order that does not depend on who says it."""
    return dict(zip(("party", "peer"), sorted((one, other)), strict=True))
