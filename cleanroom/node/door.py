"""What others than the owner may have this node do: its users by token, providers by a grant; one table of calls.

Every call is checked before anything of it is used, against roles and grants as they are at that moment. What takes
time becomes a job in the name of the party and of whoever asked; a caller sees its own jobs, and those who may approve
or audit see all.
"""

import datetime as dt
import json
import os
import secrets
import socket
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from cleanroom import budgets
from cleanroom.access import acting, catalogue, used, users
from cleanroom.access.check import Caller
from cleanroom.crowds import wishes
from cleanroom.errors import KNOWN, BadData, Interrupted, Refused, UsageError, our_mistake
from cleanroom.home import Home
from cleanroom.insight import wishes as insight_wishes
from cleanroom.node import desk
from cleanroom.node.config import Config
from cleanroom.node.control import pack_error
from cleanroom.node.peers import Peer
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.state import State

SOCKET = "node.sock"
_MOST_LINE = 1 << 20
_SECONDS = 30.0
_MOST_AT_ONCE = 32
_LEAST_SIGNS = 4
_JOBS = {"query": ("query", {"sql", "template", "values", "within"}), "plan": ("plan", {"period"}),
         "import": ("refresh", {"dataset", "source", "on", "profile"}),
         "members": ("export", {"file"}), "insight": ("insight", insight_wishes.TAKES),
         "crowd": ("crowd", wishes.CROWD_TAKES), "activate": ("activate", wishes.ACTIVATE_TAKES)}  # fmt: skip
"""Calls that become jobs: the kind of job, and the arguments that it may have."""
_OF_CONSOLE = {"match": "query", "campaign": "crowd", "examine": "import", "forget": "forget", "replay": "audit"}
"""Kinds of jobs that the console begins beside these, and the call that each was checked as."""
_PLACES = {"source": "incoming", "file": "outgoing"}
"""Arguments that name a file: by its name, in a folder of the home that is for this."""
_PLACED = {*_PLACES, "path"}


class Door:
    """The calls of one node, for callers that have been made sure of."""

    def __init__(self, home: Home, state: State, config: Config) -> None:
        self._home, self._state, self._config = home, state, config
        self._jobs = Jobs(state, most_waiting=config.limits.jobs_waiting)
        self._answers: dict[str, Callable[[Caller, str, dict[str, Any]], dict[str, Any]]] = {
            "jobs": self._seen, "status": self._status, "approve": self._decide, "budget": self._budget,
            "usage": lambda *_: catalogue.used(home.path), "audit": self._audit, "schedule": self._schedule,
            "channels": self._keeping("channels"), "catalogue": self._keeping("tags"),
            "quotas": self._keeping("quotas"),
        }  # fmt: skip

    def request(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `act`: what a provider asks in this party's name. Raises what `acting.verified` does."""
        asked = acting.verified(self._home, self._state, body, dt.datetime.now(dt.UTC), skew=self._config.times.skew)
        if asked.caller.key != peer.public.signing:
            raise Refused("A request comes from the node of whoever signed it.")
        return self._do(asked.caller, asked.call, asked.room, asked.arguments, asked.id)

    def followed(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `act.job`: how far the job is that this provider asked for. Raises GrantRefused where its grant is no
        more, UsageError where there is no such job of its."""
        number = body.get("id")
        if not acting.is_id(number):
            raise BadData("A request is not in its form.")
        job = self._jobs.get(str(number))
        if job.asked_by != peer.name or job.peer:
            raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=str(number)[:8])
        call = _call_of(job)
        if call is None:
            raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=str(number)[:8])
        caller = Caller("key", peer.name, key=peer.public.signing)
        acting.check_call(self._home, caller, call, job.room, job.arguments)
        return _without_places({**desk.told(job, self._jobs), "failure": job.error, "result": job.result})

    def check_again(self, job: Job) -> None:
        """When a job begins: whoever asked for it may still. Raises as `call`."""
        call = _call_of(job) or _OF_CONSOLE.get(job.kind)
        if call is not None:
            acting.check_again(self._home, job.asked_by, call, job.room, job.arguments)

    def call(self, caller: Caller, call: str, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A call of a user. Raises AccessRefused, and what the call does."""
        acting.check_call(self._home, caller, call, room, arguments)
        return self._do(caller, call, room, arguments, None)

    def _do(
        self, caller: Caller, call: str, room: str, arguments: Mapping[str, Any], number: str | None
    ) -> dict[str, Any]:
        if used.lists_alone(call, arguments):
            return self._crowds(caller, room, arguments)
        if call in _JOBS:
            kind, given = self._given(call, arguments)
            job = self._jobs.submit(kind, room, given, caller.name or self._home.party, id=number)
            return desk.told(job, self._jobs)
        answer = self._answers.get(call)
        if answer is None:
            raise UsageError(
                "The call {call} is not to be had here.", "Its people use the command at the node.", call=call
            )
        found = answer(caller, room, {**arguments})
        return found if caller.kind == "owner" else _without_places(found)

    def _given(self, call: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The kind of job that a call becomes, and what it is given: files by their names."""
        kind, known = _JOBS[call]
        _only(arguments, *known)
        given = {**arguments}
        for name, folder in _PLACES.items():
            if name in given:
                given[name] = str(place(self._home, folder, given[name]))
        if call == "crowd" and wishes.does(arguments) == "create" and not given.get("external"):
            given["external"] = secrets.token_hex(16)  # begun twice, the job makes one crowd
        return kind, given

    def _crowds(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """A page of crowds, the newest first: of a provider's those alone that its grants cover."""
        _only(arguments, *wishes.LIST_TAKES)
        return wishes.listed(self._home, room, arguments, lambda crowd: self._covers(caller, crowd.room, crowd.code))

    def _covers(self, caller: Caller, room: str, code: str) -> bool:
        """Whether a caller may see a crowd."""
        try:
            acting.check_call(self._home, caller, "crowd", room, {"do": "show", "crowd": code})
        except KNOWN:
            return False
        return True

    def _seen(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Jobs; with id one of them, and what came of it; with cancel ended."""
        number = arguments.get("id")
        if number is None:
            found = [job for job in self._jobs.listed(room or None) if self._may_see(caller, job)]
            return {"jobs": [desk.told(job, self._jobs) for job in found]}
        job = self._jobs.get(str(number))
        if not self._may_see(caller, job):
            raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=str(number)[:32])
        self._check_result(caller, job)
        if arguments.get("cancel"):
            self._jobs.cancel(job.id)
            job = self._jobs.get(job.id)
        return {**desk.told(job, self._jobs), "failure": job.error, "result": job.result}

    def _check_result(self, caller: Caller, job: Job) -> None:
        """What came of one's own call is told as long as one may make it. Raises as `call`."""
        call = _call_of(job)
        if call is not None and job.asked_by == caller.name and not self._sees_all(caller):
            acting.check_call(self._home, caller, call, job.room, job.arguments)

    def _sees_all(self, caller: Caller) -> bool:
        return caller.kind == "owner" or bool({"owner", "approver"} & set(caller.roles))

    def _may_see(self, caller: Caller, job: Job) -> bool:
        own = job.asked_by == caller.name and not job.peer
        return own or self._sees_all(caller)

    def _status(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        found = desk.status(self._home.path)
        return {name: found[name] for name in ("party", "role", "version", "running", "jobs", "approvals")}

    def _decide(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What waits; with id one of them decided."""
        number = arguments.get("id")
        if number is None:
            return desk.inbox(self._home.path, everything=False)
        return desk.decided(self._home.path, str(number), yes=arguments.get("yes") is True,
                            reason=str(arguments.get("reason", "")), who=caller.name)  # fmt: skip

    def _audit(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The ledger in words; with verify=yes whether it holds together."""
        _only(arguments, "verify")
        from cleanroom import auditing  # pyarrow: only where it is read

        return auditing.verified(self._home.path, None, None) if arguments else auditing.entries(self._home.path)

    def _schedule(self, caller: Caller, room: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Schedules; with spec and call one more, with remove one less. What comes again is asked for as at once."""
        own = [each for each in desk.schedules(self._home.path)["schedules"]
               if each["asked_by"] == caller.name or "owner" in caller.roles]  # fmt: skip
        if not arguments:
            return {"schedules": own}
        if "remove" in arguments:
            _only(arguments, "remove")
            number = str(arguments["remove"])
            if len(number) < _LEAST_SIGNS or not any(each["id"].startswith(number) for each in own):
                raise UsageError("There is no {id} in this list.", "The list shows what there is.", id=number[:32])
            return desk.unscheduled(self._home.path, number)
        spec, call = str(arguments.pop("spec", "")), str(arguments.pop("call", ""))
        if call not in _JOBS:
            raise UsageError("A schedule names when and what.", "spec, and call: {known}.", known=", ".join(_JOBS))
        acting.check_call(self._home, caller, call, room, arguments)
        kind, given = self._given(call, arguments)
        return desk.scheduled(self._home.path, spec, kind, room, given, asked_by=caller.name)

    def _keeping(self, kind: str) -> Callable[[Caller, str, dict[str, Any]], dict[str, Any]]:
        """What the platform's operator keeps of that kind: all; with its parts one more, with drop one less."""
        made = next(term for term, name in catalogue.KINDS.items() if name == kind)

        def keep(caller: Caller, room: str, arguments: dict[str, Any]) -> dict[str, Any]:
            if not arguments:
                return {kind: catalogue.listed(self._home.path)[kind]}
            if "drop" in arguments:
                _only(arguments, "drop")
                return catalogue.dropped(self._home.path, kind, str(arguments["drop"]))
            parts = {each.name: each.type for each in fields(made)}
            _only(arguments, *parts)
            values = {name: _part(name, parts[name], arguments) for name in parts}
            return catalogue.kept(self._home.path, made(**values))

        return keep

    def _budget(self, caller: Caller, room: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return budgets.told(self._home.path, room or None)


def _call_of(job: Job) -> str | None:
    """The call that a job came of, where one does."""
    return next((call for call, (kind, _) in _JOBS.items() if kind == job.kind), None)


def _without_places(value: dict[str, Any]) -> dict[str, Any]:
    """An answer for others than the owner: where the home and its files lie is left out, the files' names stay."""
    found = {}
    for name, each in value.items():
        if name in _PLACED and isinstance(each, str):
            each = Path(each).name
        elif isinstance(each, dict):
            each = _without_places(each)
        elif isinstance(each, list):
            each = [_without_places(part) if isinstance(part, dict) else part for part in each]
        found[name] = each
    found.pop("home", None)
    return found


def _only(arguments: Mapping[str, Any], *known: str) -> None:
    """Raises UsageError for an argument that is not known."""
    for name in arguments:
        if name not in known:
            raise UsageError("This call does not know {name}.", "It knows: {known}.", name=str(name)[:64],
                             known=", ".join(sorted(known)))  # fmt: skip


def _part(name: str, kind: Any, arguments: Mapping[str, Any]) -> Any:
    """A part of what is kept: a text, a number, or a list of texts."""
    value = arguments.get(name, "")
    if "tuple" in str(kind):
        return tuple(str(each) for each in (value if isinstance(value, list) else [value]))
    if kind in (int, "int"):
        if not str(value).isdecimal() or len(str(value)) > 12:
            raise UsageError("This call needs a number as {name}.", name=name)
        return int(value)
    return str(value)


def place(home: Home, folder: str, name: object) -> Path:
    """The file of that name in a folder of the home. Raises UsageError for anything that leads elsewhere."""
    if not isinstance(name, str) or not name or name.startswith(".") or not name.isprintable() or "/" in name:
        raise UsageError(
            "A file is named by its name alone; it lies in the folder {folder} of the home.", folder=folder
        )
    found = home.path / folder / name
    found.parent.mkdir(0o700, exist_ok=True)
    if found.is_symlink():
        raise UsageError(
            "A file is named by its name alone; it lies in the folder {folder} of the home.", folder=folder
        )
    return found


class Reception:
    """The Unix socket of the node's users: a line of JSON with token, call, room and arguments, answered by a line;
    or one with name and password, answered by a token."""

    def __init__(self, home: Home, door: Door, config: Config, log: Callable[..., None]) -> None:
        """config.socket: its path, "" for the usual one. Whoever may enter its folder may knock; the token decides."""
        self._home, self._door, self._log, self._config = home, door, log, config
        path = config.socket
        self._room = threading.Semaphore(_MOST_AT_ONCE)
        self._path = Path(path) if path else home.path / SOCKET
        if self._path.exists() and not stat.S_ISSOCK(self._path.lstat().st_mode):
            raise Interrupted(
                "The node cannot listen on {address}.", "Is another node running?", address=self._path.name
            )
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX)
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self._socket.bind(f"/proc/self/fd/{folder}/{self._path.name}")  # a socket's path may be 107 bytes long
            self._path.chmod(0o600 if not path else 0o666)
            self._socket.listen(64)
        except OSError as error:
            raise Interrupted("The node cannot listen on {address}.", "Is another node running?",
                              address=self._path.name) from error  # fmt: skip
        finally:
            os.close(folder)
        threading.Thread(target=self._accept, name="reception", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._socket.accept()
            except OSError:
                return
            if not self._room.acquire(blocking=False):
                line.close()
                continue
            threading.Thread(target=self._receive, args=(line,), daemon=True).start()

    def _receive(self, line: socket.socket) -> None:
        line.settimeout(_SECONDS)
        try:
            with line, line.makefile("rwb") as stream:
                content = stream.readline(_MOST_LINE)
                stream.write(json.dumps(self._answered(content), ensure_ascii=False).encode() + b"\n")
        except OSError:
            return
        finally:
            self._room.release()

    def _answered(self, content: bytes) -> dict[str, Any]:
        try:
            asked = json.loads(content)
            if isinstance(asked, dict) and asked.keys() == {"name", "password"}:
                return {"result": {"token": users.login(self._home, str(asked["name"]), str(asked["password"]))}}
            fits = isinstance(asked, dict) and asked.keys() == {"token", "call", "room", "arguments"}
            if not fits or not isinstance(asked["arguments"], dict):
                raise BadData("A request is not in its form.")
            caller = self._caller(str(asked["token"]))
            found = self._door.call(caller, str(asked["call"]), str(asked["room"]), asked["arguments"])
            self._log("user", name=caller.name, call=str(asked["call"]), outcome="answered")
            return {"result": found}
        except (ValueError, RecursionError):
            return {"error": pack_error(BadData("A request is not in its form."))}
        except KNOWN as error:
            self._log("user", outcome="refused", error=type(error).__name__)
            return {"error": pack_error(error)}
        except Exception as error:  # noqa: BLE001 - told as our mistake, by place
            self._log("mistake", call="reception", **our_mistake(error).params)
            return {"error": pack_error(our_mistake(error))}

    def _caller(self, token: str) -> Caller:
        """Whose token it is: of this node, or of the identity provider where there is one."""
        settings = self._config.oidc
        if token.startswith(users.PREFIX) or not settings.issuer:
            return users.authenticate(self._home, token)
        from cleanroom.access import oidc  # authlib: only where a provider is configured

        roles = dict(each.split("=", 1) for each in settings.roles if "=" in each)
        provider = oidc.Oidc(settings.issuer, settings.audience, Path(settings.jwks_file).expanduser(),
                             settings.roles_claim, roles)  # fmt: skip
        return oidc.authenticate(provider, token)

    def close(self) -> None:
        """Let nobody in any more."""
        self._socket.close()
        self._path.unlink(missing_ok=True)


def knock(path: Path, asked: Mapping[str, Any]) -> dict[str, Any]:
    """A user's line at the node whose socket is at `path`. Raises what it answers, Interrupted where none is there."""
    from cleanroom.node.control import unpack_error

    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_SECONDS)
            line.connect(f"/proc/self/fd/{folder}/{path.name}")
            line.sendall(json.dumps(dict(asked)).encode() + b"\n")
            with line.makefile("rb") as stream:
                answer = json.loads(stream.readline())
    except (OSError, ValueError) as error:
        raise Interrupted("The node at {address} does not answer.", "Is it running?", address=path.name) from error
    finally:
        os.close(folder)
    if "error" in answer:
        raise unpack_error(answer["error"])
    return dict(answer["result"])
