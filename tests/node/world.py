"""Three real nodes on this machine, each a process over its own home, joined through proxies that a test can break.

The homes are made once a session, with one keyed room of all three and one `dh` room of merchant and platform, both
with noise; every world has copies of them. Nothing leaves loopback, and only processes started here are ended here.
"""

import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from cleanroom import auditing, querying
from cleanroom.home import Home
from cleanroom.ledger.store import read
from cleanroom.node import certificate, desk
from cleanroom.node.jobs import PartyJobs
from cleanroom.node.peers import Peers
from cleanroom.node.queue import ENDED, Job
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, Rooms, from_plain, gathered, to_plain
from tests.near import new_home
from tests.node.proxy import Proxy
from tests.room import world as room_world

PARTIES = (*SIDES, OPERATOR)
ROLES = {"merchant": "merchant", "platform": "platform", OPERATOR: "enclave"}
ROWS = 1000
SHARED = 600
ROOMS = {"keyed": PARTIES, "dh": SIDES}
COMMAND = str(Path(sys.executable).with_name("cleanroom"))
TIMES = {"connect": 3.0, "silent": 3.0, "resume": 15.0, "retry_first": 0.2}
PATIENCE = 60.0


# -- homes


def prepared(folder: Path, files: tuple[str, str] | None = None,
             protocols: Mapping[str, tuple[str, ...]] = ROOMS) -> Path:  # fmt: skip
    """Homes of the parties with their datasets, the rooms of those protocols (each named after its own), signed by
    all. files: the exports of merchant (phone, level) and platform (phone, city)."""
    merchant, platform = files or sources(folder, ROWS)
    homes = {name: new_home(folder / name, name) for name in PARTIES}
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    asked = Overlap(merchant, platform, by=("merchant.level", "platform.city"), k=50, noise=True)
    by = [room_world.reference(asked, name) for name in asked.by]
    imports, proposals = {}, {}
    for side in SIDES:
        wanted = columns_of(side, by, [])
        imports[side] = jobs[side].job_import(**asked.wish(side), **wanted)
        proposals[side] = jobs[side].job_propose(asked.datasets[side], **wanted, most=20, least=asked.k)

    def signed(name: str, protocol: str, parties: tuple[str, ...]) -> Room:
        wished = replace(asked, room=name, by=asked.by if protocol == "keyed" else asked.by[1:])
        grouped = [room_world.reference(wished, each) for each in wished.by]
        keys = {party: jobs[party].job_keys() for party in parties}
        contract, annexes = draft_contract(wished, protocol, keys, imports, proposals, grouped, [], [])
        unsigned = Room(SignedContract(contract), annexes)
        offered = [jobs[party].job_sign(to_plain(unsigned, for_operator=party == OPERATOR)) for party in parties]
        return gathered(unsigned, [from_plain(one) for one in offered])

    def keep(room: Room, *parties: str) -> None:
        for party in parties:
            jobs[party].job_keep(to_plain(room, for_operator=party == OPERATOR))

    for protocol, parties in protocols.items():
        keep(signed(protocol, protocol, parties), *parties)
    if "dh" in protocols:  # rooms that the two sides do not agree on
        keep(signed("apart", "dh", SIDES), "merchant")
        keep(signed("apart", "dh", SIDES), "platform")
        keep(signed("alone", "dh", SIDES), "merchant")
    for home in homes.values():
        certificate.own(home)
    return folder


def sources(folder: Path, rows: int) -> tuple[str, str]:
    """Exports of both sides: the last 60 % of the merchant's people are the platform's first."""
    apart = rows - rows * SHARED // ROWS
    phones = [f"138{n:08d}" for n in range(rows + apart)]
    levels = ["gold" if n % 3 else "silver" for n in range(rows)]
    cities = ["Shanghai" if n % 2 else "Hangzhou" for n in range(rows)]
    return (room_world.csv(folder / "m.csv", {"phone": phones[:rows], "level": levels}),
            room_world.csv(folder / "p.csv", {"mobile": phones[apart:], "city": cities}))  # fmt: skip


# -- nodes


@dataclass
class Running:
    """One node's process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; a line that is none of its own as {"event": "?", "text": …}."""
        found = []
        for line in self.log.read_text("utf-8", "replace").splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                found.append({"event": "?", "text": line})
        return found


@dataclass
class World:
    """The homes, and whatever runs over them. proxies: by who dials and who is dialled."""

    folder: Path
    ports: dict[str, int]
    proxies: dict[tuple[str, str], Proxy]
    nodes: dict[str, Running] = field(default_factory=dict)

    def home(self, name: str) -> Path:
        """A party's home."""
        return self.folder / name

    # -- processes

    def start(self, *names: str, environment: Mapping[str, str] | None = None,
              by: tuple[str, ...] = ()) -> None:  # fmt: skip
        """Start the nodes of these parties, and wait until they work. by: a command that runs the node's."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "CLEANROOM"))}
        clean |= {"CLEANROOM_NODE_METRICS": "", **(environment or {})}
        for name in names:
            log = self.folder / f"{name}.log"
            begun = log.read_text("utf-8").count('"event": "started"') if log.exists() else 0
            with log.open("ab") as file:
                command = [*by, COMMAND, "serve", "--home", str(self.home(name))]
                process = subprocess.Popen(command, stderr=file, stdin=subprocess.DEVNULL, stdout=file, env=clean)
            self.nodes[name] = Running(name, process, log)
            self._begun(name, begun)

    def _begun(self, name: str, times: int) -> None:
        self.until(lambda: self.logged(name, "started") > times, what=f"{name} starts")

    def logged(self, name: str, event: str, **facts: Any) -> int:
        """How many lines of a node say so."""
        return sum(line["event"] == event and facts.items() <= line.items() for line in self.nodes[name].lines())

    def kill(self, name: str) -> None:
        """kill -9 of the node alone, as the kernel does when memory is short."""
        self.nodes[name].process.kill()
        self.nodes[name].process.wait()

    def stop(self, name: str) -> int:
        """SIGTERM; its exit code."""
        self.nodes[name].process.terminate()
        return self.nodes[name].process.wait(PATIENCE)

    def close(self) -> None:
        """End what runs, with its workers."""
        for node in self.nodes.values():
            workers = children(node.process.pid)
            if node.process.poll() is None:
                node.process.kill()
                node.process.wait()
            for pid in workers:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for proxy in self.proxies.values():
            proxy.close()

    def workers(self, name: str) -> list[int]:
        """The processes of a node's jobs."""
        return children(self.nodes[name].process.pid)

    # -- jobs

    def ask(self, name: str, room: str, sql: str = "SELECT COUNT(*) FROM matched", kind: str = "query",
            **more: Any) -> str:  # fmt: skip
        """Leave a question at a party's node; the job's number."""
        return str(desk.submit(self.home(name), kind, room, {"sql": sql, **more}, wait=False)["id"])

    def ask_run(self, name: str, room: str, sigma: int, others: Mapping[str, Any] | None = None, **own: Any) -> str:
        """Leave a bare run, a question of its own for every sigma; of it the receiver's result tells the exact size.

        own, others: what the job of this party, or of the others, says beside.
        """
        with desk.opened(self.home(name)) as held:
            contract = Rooms(held.home.rooms).load(room).contract
            query: dict[str, Any] = {"by": [], "sums": [], "sigma": sigma, "where": [], "over": []}
            job = {"room": room, "query": query, "template": None, "values": {}}
            told = querying.jobs(contract, [each.name for each in contract.parties], job)
            told = {party: each | (own if party == name else dict(others or {})) for party, each in told.items()}
            return held.jobs.submit("run", room, {"parties": told}, name).id

    def job(self, name: str, number: str) -> Job:
        """A job as it stands."""
        with desk.opened(self.home(name)) as held:
            return held.jobs.get(number)

    def jobs(self, name: str, **which: Any) -> list[Job]:
        """All of a node's jobs, the newest first."""
        with desk.opened(self.home(name)) as held:
            return held.jobs.listed(most=10_000, **which)

    def ended(self, name: str, number: str, seconds: float = PATIENCE) -> Job:
        """The job when it has ended."""
        self.until(lambda: self.job(name, number).state in ENDED, seconds, f"{name} {number}")
        return self.job(name, number)

    def done(self, name: str, number: str, seconds: float = PATIENCE) -> Any:
        """The result of a job that must succeed."""
        job = self.ended(name, number, seconds)
        if job.state != "done":
            raise AssertionError(f"{job.state}: {job.error}\n{self.told()}")
        return job.result

    def quiet(self, seconds: float = PATIENCE) -> None:
        """Wait until no node has a job under way."""
        self.until(lambda: not any(self.jobs(name, state="running") for name in self.nodes), seconds, "a job runs")

    def until(self, true: Callable[[], object], seconds: float = PATIENCE, what: str = "") -> None:
        """Wait until it is so."""
        deadline = time.monotonic() + seconds
        while not true():
            if time.monotonic() > deadline:
                raise AssertionError(f"waited {seconds} s: {what}\n{self.told()}")
            time.sleep(0.05)

    def told(self) -> str:
        """The last lines of every node's log."""
        lines = []
        for node in self.nodes.values():
            said = node.log.read_text("utf-8", "replace").splitlines()[-15:]
            lines += [f"{node.name} {node.process.poll()}", *said]
        return "\n".join(lines)

    # -- what came of it

    def charges(self, name: str) -> list[str]:
        """The questions that stand as debits in a party's ledger, in their order."""
        ledger = Home.open(self.home(name)).ledger_path
        if not ledger.exists():
            return []
        return [str(entry.body["question"]) for entry in read(ledger).entries if entry.kind == "debit"]

    def audit(self) -> None:
        """`audit verify` at every party. Raises BadData where a ledger is not as it should be."""
        for name in self.nodes:
            if Home.open(self.home(name)).ledger_path.exists():
                auditing.verified(self.home(name), None, None)

    def cli(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A command in a party's home."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("COVERAGE", "CLEANROOM"))}
        return subprocess.run([COMMAND, *words, "--home", str(self.home(name))], capture_output=True, text=True,
                              env=clean, timeout=120, check=False)  # fmt: skip


def world(template: Path, folder: Path, *, times: Mapping[str, float] = TIMES, limits: Mapping[str, int] | None = None,
          direct: bool = False, hosts: Mapping[str, str] | None = None) -> World:  # fmt: skip
    """Copies of the template's homes, pinned at each other; nothing runs yet. direct: not through proxies; hosts: other
    addresses than that of loopback, by party."""
    at = {name: (hosts or {}).get(name, "127.0.0.1") for name in PARTIES}
    ports = dict(zip(PARTIES, free_ports(len(PARTIES)), strict=True))
    pairs = [(a, b) for a in PARTIES for b in PARTIES if a != b]
    proxies = {} if direct else {(a, b): Proxy(ports[b]) for a, b in pairs}
    for name in PARTIES:
        shutil.copytree(template / name, folder / name)
        (folder / name / "node.toml").write_text(settings(name, f"{at[name]}:{ports[name]}", times, limits or {}))
    homes = {name: Home.open(folder / name) for name in PARTIES}
    for a, b in pairs:
        url = f"grpc+tls://{at[b]}:{ports[b]}" if direct else proxies[a, b].url
        Peers(homes[a]).add(b, url, certificate.own(homes[b]).pem, homes[b].keys.public.fingerprint)
    return World(folder, ports, proxies)


def settings(name: str, address: str, times: Mapping[str, float], limits: Mapping[str, int]) -> str:
    """A node.toml."""
    lines = [f'role = "{ROLES[name]}"', f'listen = "{address}"', f'url = "grpc+tls://{address}"',
             "[times]", *(f"{key} = {value}" for key, value in times.items()),
             "[limits]", *(f"{key} = {value}" for key, value in limits.items())]  # fmt: skip
    return "\n".join(lines) + "\n"


_PORTS = itertools.count(12_000 + 1_000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]))
"""Each worker's own, below those that a system gives to whoever asks for any: such a one, free now, may be another's
before a node listens on it."""


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on now."""
    found: list[int] = []
    while len(found) < count:
        port = next(_PORTS)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.append(port)
    return found


def children(pid: int) -> list[int]:
    """Processes that a process has started, of whichever thread, and theirs."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                for child in (task / "children").read_text().split():
                    found += [int(child), *children(int(child))]
    return found


def alive(pids: list[int]) -> list[int]:
    """Those that still run."""
    return [pid for pid in pids if Path(f"/proc/{pid}/stat").exists()
            and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"]  # fmt: skip


@cache
def template() -> Path:
    """The homes that worlds are copies of; gone when the tests are."""
    folder = tempfile.TemporaryDirectory(prefix="nodes-")
    _KEPT.append(folder)
    return prepared(Path(folder.name))


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def broken(patches: Mapping[str, str]) -> dict[str, str]:
    """The environment of a node whose modules are changed (`patched/sitecustomize.py`)."""
    return {"PYTHONPATH": str(Path(__file__).with_name("patched")), "CLEANROOM_TEST_PATCHES": json.dumps(patches)}


def dying(module: str, what: str, when: str, flag: Path, *, alone: bool = False) -> dict[str, str]:
    """The environment of a node that dies once, before or after a function is done, while the file `flag` is there.

    what: Class.function; alone: the function is the node's own, else it is its worker's, who dies with it.
    """
    holder, _, name = what.rpartition(".")
    strike = "os.kill(os.getpid(), 9)" if alone else "(os.kill(os.getppid(), 9), os._exit(137))"
    body = f"""
import os
def _dying(usual):
    def struck(*given, **named):
        if {when == "before"} and _once(): {strike}
        found = usual(*given, **named)
        if _once(): {strike}
        return found
    return struck
def _once():
    try:
        os.unlink({str(flag)!r})
    except FileNotFoundError:
        return False
    return True
{holder}.{name} = _dying({holder}.{name})
"""
    return broken({module: body})


def usual(folder: Path) -> Iterator[World]:
    """A world with all nodes running, for a fixture."""
    made = world(template(), folder)
    try:
        made.start(*PARTIES)
        yield made
    finally:
        made.close()
