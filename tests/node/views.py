"""What every party of three real nodes has seen after a keyed and a `dh` room without noise were asked a question
each: its home, log, figures, calls, wires and the values in them.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cleanroom.home import Home
from cleanroom.node import certificate
from cleanroom.node.jobs import PartyJobs
from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, columns_of
from cleanroom.overlap.drafting import draft_contract
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, from_plain, gathered, to_plain
from protocols.header import Header, unpack
from tests.near import new_home
from tests.node import tapped
from tests.node import world as worlds
from tests.room.world import csv, reference

BITS = 2048
PARTIES = worlds.PARTIES
ROOMS = {"keyed": PARTIES, "dh": SIDES}
DATASETS = {"keyed": ("crm", "users"), "dh": ("buyers", "visitors")}
ROOT = Path(__file__).parents[2]
TIMES = {"connect": 10.0, "silent": 30.0, "resume": 60.0}
_LENGTH = 8


Table = dict[str, list[str]]


@dataclass(frozen=True)
class Data:
    """Both sides' tables. city: the label that the keyed question is about, in the platform's words."""

    merchant: Table
    platform: Table
    city: str


@dataclass(frozen=True)
class View:
    """All that one party has: files of its home by name; its node's log; figures that its metrics tell; calls, its
    peers' and its own answered; wires, the bytes that came over each; values, by column, that its workers read; rows of
    its node's database by table."""

    files: dict[str, bytes]
    log: str
    figures: dict[str, float]
    calls: list[dict[str, Any]]
    wires: dict[str, bytes]
    values: dict[str, list[str]]
    rows: dict[str, list[dict[str, Any]]]

    def everything(self) -> bytes:
        """As one piece, in which to search."""
        texts = [self.log, json.dumps(self.calls, ensure_ascii=False), json.dumps(self.figures)]
        tables = [repr(row) for rows in self.rows.values() for row in rows]
        return b"\xff".join([*self.files.values(), *self.wires.values(), *map(str.encode, (*texts, *tables))])

    def frames(self) -> dict[str, list[Header]]:
        """The headers of the channel's frames on every wire, in their order."""
        return {name: list(_headers(content)) for name, content in self.wires.items()}


Whole = tuple[dict[str, bytes], dict[str, list[dict[str, Any]]], str, list[dict[str, Any]]]
"""Files of a home but its node's database, that one's rows, log, calls."""


@dataclass(frozen=True)
class Seen:
    """A world's run: views by party, the homes in `folder`, the results of the two questions, and what the operator had
    before and after the `dh` run, in which it took no part."""

    folder: Path
    views: dict[str, View]
    results: dict[str, Any]
    before: Whole
    after: Whole


def _headers(content: bytes) -> Iterator[Header]:
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + _LENGTH], "little")
        yield unpack(memoryview(content)[at + _LENGTH : at + _LENGTH + length])
        at += _LENGTH + length


# -- a world


@cache
def _bare() -> Path:
    """Homes with all keys and certificates, and nothing else: the same for every world; gone when the tests are."""
    folder = tempfile.TemporaryDirectory(prefix="bare-")
    _KEPT.append(folder)
    for name in PARTIES:
        certificate.own(new_home(Path(folder.name) / name, name, BITS if name == "merchant" else 0))
    return Path(folder.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def prepared(folder: Path, data: Data) -> worlds.World:
    """Homes with datasets and both rooms, pinned at each other."""
    made = folder / "made"
    shutil.copytree(_bare(), made)
    sources = [
        csv(folder / f"{side}.csv", table) for side, table in zip(SIDES, (data.merchant, data.platform), strict=True)
    ]
    _agree({name: Home.open(made / name) for name in PARTIES}, *sources)
    return worlds.world(made, folder, times=TIMES, direct=True)


def _agree(homes: dict[str, Home], merchant: str, platform: str) -> None:
    """Both rooms, each over datasets of its own: without noise, answers about the same ones could be subtracted."""
    jobs = {name: PartyJobs(home, {}, lambda *_: None) for name, home in homes.items()}
    for protocol, parties in ROOMS.items():
        datasets = dict(zip(SIDES, DATASETS[protocol], strict=True))
        asked = Overlap(merchant, platform, by=("merchant.level", "platform.city"), sums=("merchant.spend",), k=50,
                        key_bits=BITS, room=protocol, datasets=datasets)  # fmt: skip
        by, sums = ([reference(asked, name) for name in names] for names in (asked.by, asked.sums))
        imports, proposals = {}, {}
        for side in SIDES:
            wanted = columns_of(side, by, sums)
            imports[side] = jobs[side].job_import(**asked.wish(side), **wanted)
            proposals[side] = jobs[side].job_propose(asked.datasets[side], **wanted, most=20, least=asked.k)
        keys = {name: jobs[name].job_keys(BITS if name == "merchant" else 0) for name in parties}
        contract, annexes = draft_contract(asked, protocol, keys, imports, proposals, by, sums, ["merchant"])
        unsigned = Room(SignedContract(contract), annexes)
        signed = [jobs[name].job_sign(to_plain(unsigned, for_operator=name == OPERATOR)) for name in parties]
        room = gathered(unsigned, [from_plain(one) for one in signed])
        for name in parties:
            jobs[name].job_keep(to_plain(room, for_operator=name == OPERATOR))


# -- a run


@contextmanager
def maker(folder: Path) -> Iterator[str]:
    """What makes the processes of tapped nodes; the program that stands for one."""
    client, line = folder / "client", folder / "socket"
    client.write_text(tapped.CLIENT.format(python=sys.executable, socket=str(line)))
    client.chmod(0o700)
    process = subprocess.Popen([sys.executable, "-m", tapped.__name__, str(line)], start_new_session=True, cwd=ROOT)
    try:
        until = time.monotonic() + 120
        while not line.exists():
            if process.poll() is not None or time.monotonic() > until:
                raise AssertionError("the maker of processes has ended, or does not begin")
            time.sleep(0.05)
        yield str(client)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # where a run has failed, its nodes are still there
            process.wait(2)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def run(folder: Path, data: Data, client: str) -> Seen:
    """Both questions, of tapped nodes, to the end."""
    made = prepared(folder, data)
    metrics = dict(zip(PARTIES, worlds.free_ports(len(PARTIES)), strict=True))
    try:
        for name in PARTIES:
            (folder / f"{name}.tap").mkdir()
            made.start(name, by=(client,), environment={
                "CLIENT": client, "TAP": str(folder / f"{name}.tap"),
                "CLEANROOM_NODE_METRICS": f"127.0.0.1:{metrics[name]}"})  # fmt: skip
        some = f"SELECT crm.level, COUNT(*), SUM(crm.spend) FROM matched WHERE users.city = '{data.city}' GROUP BY 1"
        results = {"keyed": _asked(made, "keyed", some)}
        before = _whole(made, OPERATOR)
        groups = "SELECT buyers.level, visitors.city, COUNT(*), SUM(buyers.spend) FROM matched GROUP BY 1, 2"
        results["dh"] = _asked(made, "dh", groups)
        after = _whole(made, OPERATOR)
        figures = {name: _figures(made, name, metrics[name]) for name in PARTIES}
        for name in PARTIES:
            made.nodes[name].process.terminate()
        for name in PARTIES:
            assert made.nodes[name].process.wait(worlds.PATIENCE) == 0
        return Seen(folder, {name: _view(made, name, figures[name]) for name in PARTIES}, results, before, after)
    finally:
        made.close()


def _asked(made: worlds.World, room: str, sql: str) -> Any:
    result = made.done("platform", made.ask("platform", room, sql))
    made.until(lambda: all(_over(made, name) for name in PARTIES), what="all have told of their part")
    return result


def _over(made: worlds.World, name: str) -> bool:
    return made.logged(name, "job", state="running") == made.logged(name, "job", state="done")


def _whole(made: worlds.World, name: str) -> Whole:
    home, log = made.home(name), made.nodes[name].log.read_text("utf-8")
    files = {file: content for file, content in _files(home).items() if not file.startswith("node.sqlite")}
    return files, _rows(home / "node.sqlite"), log, _lines(made.folder / f"{name}.tap" / "calls.jsonl")


def _files(home: Path) -> dict[str, bytes]:
    """All regular files, by their relative names."""
    return {str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()}


def _figures(made: worlds.World, name: str, port: int) -> dict[str, float]:
    """When they tell of all that went over wires, which they do once a second; what came counts its end too."""
    came = [path.stat().st_size + 1 for path in made.folder.glob(f"{name}.tap/wire-*")]
    went = [path.stat().st_size for path in made.folder.glob(f"*.tap/wire-{name}-*")]
    made.until(lambda: (_sum(_told(port), "received"), _sum(_told(port), "sent")) == (sum(came), sum(went)), 60, name)
    return _told(port)


def _told(port: int) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")}


def _sum(figures: dict[str, float], way: str) -> float:
    return sum(value for name, value in figures.items() if "wire_bytes_total" in name and f'way="{way}"' in name)


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def _view(made: worlds.World, name: str, figures: dict[str, float]) -> View:
    home, tap = made.home(name), made.folder / f"{name}.tap"
    values: dict[str, list[str]] = {}
    for column, found in _lines(tap / "values.jsonl"):
        values.setdefault(column, []).extend(found)
    return View(
        _files(home), made.nodes[name].log.read_text("utf-8"), figures, _lines(tap / "calls.jsonl"),
        {path.name: path.read_bytes() for path in sorted(tap.glob("wire-*"))}, values, _rows(home / "node.sqlite"),
    )  # fmt: skip


def _rows(path: Path) -> dict[str, list[dict[str, Any]]]:
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    try:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {table: [dict(row) for row in database.execute(f"SELECT * FROM {table}")] for table in sorted(tables)}
    finally:
        database.close()


def repeats(values: dict[str, list[str]]) -> dict[str, list[int]]:
    """For every column: how often its values repeat."""
    return {name: sorted(Counter(found).values()) for name, found in values.items()}
