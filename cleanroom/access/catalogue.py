"""What a platform's operator keeps: channels, the catalogue of tags, quotas of peers; and what each merchant used.

Nothing of the data is here: names of columns, titles, numbers of runs. The operator sees who ran how much, never what
was asked or answered.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.access.store import text_list
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.ledger.chain import Entry
from cleanroom.ledger.store import read
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.state import FILE as STATE_FILE
from cleanroom.node.state import State
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Rooms
from cleanroom.rooms.terms import _named

FORMAT = "cleanroom-catalogue/1"
MOST_TEXT = 500
MOST_ENTRIES = 10_000
MOST_JOBS = 100_000
_STORE = "catalogue.json"
_LOCK = "catalogue.lock"
_LIMIT = 1 << 24


@dataclass(frozen=True)
class Channel:
    """Where a crowd may be used. name: for contracts and grants; zh, en: its titles; purposes: what for."""

    name: str
    zh: str
    en: str
    purposes: tuple[str, ...]


@dataclass(frozen=True)
class Tag:
    """A column, as dataset.column, that merchants may be offered: its titles and what it means."""

    name: str
    zh: str
    en: str
    description: str


@dataclass(frozen=True)
class Quota:
    """What a peer may do here: runs a day, and rows that it may bring to one."""

    peer: str
    runs: int
    rows: int


@dataclass(frozen=True)
class Catalogue:
    """All of it."""

    channels: tuple[Channel, ...] = ()
    tags: tuple[Tag, ...] = ()
    quotas: tuple[Quota, ...] = ()


@dataclass
class Used:
    """What a merchant used in a month: runs, rows that it brought to them as it told, ρ in millionths, bytes sent."""

    runs: int = 0
    rows: int = 0
    rho_micro: int = 0
    sent: int = 0


def load(home: Home) -> Catalogue:
    """What the home holds now. Raises BadData for another format or a damaged file."""
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return Catalogue()
    try:
        value = json.loads(private_files.read(path, _LIMIT))
        if value["format"] != FORMAT:
            raise BadData("The catalogue of this home has a format that this version does not know.")
        return Catalogue(
            tuple(_checked(Channel(**{**each, "purposes": text_list(each["purposes"])})) for each in value["channels"]),
            tuple(_checked(Tag(**each)) for each in value["tags"]),
            tuple(_checked(Quota(**each)) for each in value["quotas"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The file of the catalogue is damaged.", "Restore it from a backup.") from error


def put(home: Home, term: Channel | Tag | Quota) -> None:
    """Adds it, or replaces the one of its name. Raises BadData for what cannot be meant."""
    _checked(term)
    kind, name = KINDS[type(term)], _key(term)

    def made(held: Catalogue) -> Catalogue:
        rest = [each for each in getattr(held, kind) if _key(each) != name]
        if len(rest) >= MOST_ENTRIES:
            raise UsageError("A catalogue has at most {most} entries of a kind.", most=MOST_ENTRIES)
        return replace(held, **{kind: tuple(sorted([*rest, term], key=_key))})

    _change(home, made)


def drop(home: Home, kind: str, name: str) -> None:
    """Removes it. kind: channels, tags or quotas. Raises UsageError where there is none of that name."""

    def made(held: Catalogue) -> Catalogue:
        rest = tuple(each for each in getattr(held, kind) if _key(each) != name)
        if len(rest) == len(getattr(held, kind)):
            raise UsageError("The catalogue has no {name}.", "cleanroom catalogue list shows it.", name=name)
        return replace(held, **{kind: rest})

    _change(home, made)


def check_quota(home: Home, peer: str, runs_today: int, rows: int) -> None:
    """Raises Refused where one more run, with so many rows, is more than this peer may have; a peer without a quota has
    what the node's settings allow."""
    quota = next((each for each in load(home).quotas if each.peer == peer), None)
    if quota is None:
        return
    if runs_today >= quota.runs:
        raise Refused("{party} has used its {most} runs of today.", "Try again tomorrow (UTC).", party=peer,
                      most=quota.runs)  # fmt: skip
    if rows > quota.rows:
        raise Refused("{party} may bring at most {most} rows to a run.", party=peer, most=quota.rows)


def check_channel(home: Home, name: str, purposes: Iterable[str]) -> None:
    """Raises Refused unless the channel is kept here and allows one of the contract's purposes."""
    channel = next((each for each in load(home).channels if each.name == name), None)
    if channel is None or not set(channel.purposes) & set(purposes):
        raise Refused("The channel {name} is not for this purpose.", "cleanroom catalogue list shows it.", name=name)


def kept(path: Path, term: Channel | Tag | Quota) -> dict[str, Any]:
    """`put` into the catalogue of a home."""
    put(Home.open(path.expanduser()), term)
    return {"kept": _key(term), **asdict(term)}


def dropped(path: Path, kind: str, name: str) -> dict[str, Any]:
    """`drop` from the catalogue of a home."""
    drop(Home.open(path.expanduser()), kind, name)
    return {"dropped": name}


def listed(path: Path) -> dict[str, Any]:
    """The catalogue of a home."""
    home = Home.open(path.expanduser())
    held = load(home)
    kinds = {kind: [asdict(each) for each in getattr(held, kind)] for kind in KINDS.values()}
    return {"home": str(home.path), "party": home.party, **kinds}


def used(path: Path) -> dict[str, Any]:
    """What each merchant used, by month: from the ledger, and bytes from the node's jobs that are done."""
    home = Home.open(path.expanduser())
    jobs: list[Job] = []
    if (home.path / STATE_FILE).exists():
        with State.open(home) as state:
            jobs = Jobs(state).listed(state="done", most=MOST_JOBS)
    contracts = [room.contract for room in Rooms(home.rooms).every()]
    entries = read(home.ledger_path).entries if home.ledger_path.exists() else ()
    found = usage(home.party, contracts, entries, jobs)
    lines = [{"merchant": who, "month": month, **asdict(each)} for (who, month), each in sorted(found.items())]
    return {"home": str(home.path), "party": home.party, "usage": lines}


def usage(party: str, contracts: Iterable[Contract], entries: Iterable[Entry],
          jobs: Iterable[Job] = ()) -> dict[tuple[str, str], Used]:  # fmt: skip
    """(merchant, month as 2026-01) → what it used. What a room of several merchants cost counts for who asked, and
    where that is not known for each of them."""
    merchants, rooms = {}, {}
    for contract in contracts:
        others = [name for name in contract.owners if name != party]
        merchants[contract.digest()], rooms[contract.room] = others, others
    found: dict[tuple[str, str], Used] = defaultdict(Used)
    for entry in entries:
        body, month = entry.body, entry.time[:7]
        others = merchants.get(str(body.get("contract")), [])
        if entry.kind == "input" and body["owner"] in others:
            found[str(body["owner"]), month].rows += int(str(body["rows"]))
        elif entry.kind == "debit":
            asked_by = body.get("asked_by")
            asker = [str(asked_by[0])] if isinstance(asked_by, list) and asked_by else []
            for name in asker if set(asker) & set(others) else others:
                found[name, month].runs += 1
                found[name, month].rho_micro += int(str(body["rho_micro"]))
    for job in jobs:
        sent = job.result.get("sent", 0) if isinstance(job.result, dict) else 0
        for name in rooms.get(job.room, []) if job.ended else []:
            found[name, job.ended[:7]].sent += sent if isinstance(sent, int) else 0
    return dict(found)


KINDS: dict[type, str] = {Channel: "channels", Tag: "tags", Quota: "quotas"}
_CHECKED = {Channel: "name", Tag: "name", Quota: "peer"}


def _key(term: Any) -> str:
    return str(getattr(term, _CHECKED[type(term)]))


def _checked(term: Any) -> Any:
    """The term. Raises BadData for what cannot be meant."""
    for each in fields(term):
        value = getattr(term, each.name)
        if each.type is int:
            fits = type(value) is int and value >= 0
        else:
            texts = value if type(value) is tuple and each.name == "purposes" else (value,)
            fits = bool(texts) and all(type(t) is str and 0 < len(t) <= MOST_TEXT and t.isprintable() for t in texts)
            fits = fits and (type(value) is tuple) == (each.name == "purposes")
        if not fits:
            raise BadData("The entry {entry} of the catalogue cannot be this.", entry=each.name)
    parts = _key(term).split(".", 1) if isinstance(term, Tag) else [_key(term)]
    _named(parts[0])
    if isinstance(term, Tag) and len(parts) != 2:
        raise BadData("The entry {entry} of the catalogue cannot be this.", entry="name")
    return term


def _change(home: Home, made: Callable[[Catalogue], Catalogue]) -> None:
    with private_files.locked(home.path / _LOCK):
        held = made(load(home))
        kinds: dict[str, canonical.Json] = {
            kind: [asdict(each) for each in getattr(held, kind)] for kind in KINDS.values()
        }
        write_bytes(home.path / _STORE, canonical.encode({"format": FORMAT, **kinds}))
