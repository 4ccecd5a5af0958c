"""SQL on a room that stays on this machine: through the gate, then answered by its parties, or of one's own data here.

A party sees its own dataset exactly and without charge. What depends on another party's data is a release: debited,
thresholded, receipted, by the parties' own processes.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom.answer.release import Release, labelled, short_names
from cleanroom.answer.side import Side
from cleanroom.enclave.query import PEOPLE, Query, split_name
from cleanroom.errors import CleanroomError, Refused
from cleanroom.gate import gate
from cleanroom.gate.ask import Ask, Shown
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.node.local import LocalParties, Progress
from cleanroom.privacy.ranges import Range
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.draft import UNKNOWN
from cleanroom.rooms.store import Room, Rooms

Rows = list[dict[str, Any]]


def answer(
    path: Path, name: str, sql: str, progress: Progress | None = None, *, dry_run: bool = False
) -> dict[str, Any]:
    """What `sql` asks of the room `name` of the home at `path`; dry_run: only how it is understood.

    Raises QueryRefused for what the gate does not let in, Refused for what the room does not release.
    """
    home = Home.open(path.expanduser())
    room = Rooms(home.rooms).load(name)
    contract = room.contract
    asked = gate.ask(sql, Schema.of(contract, room.annexes or ()))
    told = {"room": name, "understood": understood(asked), "k": contract.release.k, "noise": contract.release.noise}
    own = asked.table != gate.MATCHED
    _check(home, contract, asked)
    if dry_run:
        return {**told, "rows": None, "exact": own}
    if own:
        segments, outcome = _own(home, room, asked).segments(), None
    else:
        outcome = _released(home, contract, asked, progress)
        segments = outcome["segments"] or []
    return {
        **told,
        "exact": own,
        "rows": laid_out(asked, segments, outcome["range"] if outcome else None, room),
        "withheld": outcome["withheld"] if outcome else False,
        "receipt": outcome["receipt"] if outcome else None,
    }


def understood(asked: Ask) -> dict[str, Any]:
    """The question as the gate reads it, in the contract's names and labels."""
    return {"table": asked.table, "by": list(asked.by), "sums": list(asked.sums), "where": asked.where.plain()}


def _check(home: Home, contract: Contract, asked: Ask) -> None:
    """Raises Refused for a question that is well formed and cannot be answered in this room."""
    if asked.table == gate.MATCHED:
        if not asked.where.everybody:
            raise Refused(
                "Without noise, the matched people cannot be asked about by condition: answers could be subtracted.",
                "Group by the column instead: groups of at least {k} people are shown.",
                k=contract.release.k,
            )
    elif contract.dataset(asked.table).owner != home.party:
        raise Refused("{table} on its own is for its owner to ask.", "Ask FROM matched.", table=asked.table)


# -- one's own data


def _own(home: Home, room: Room, asked: Ask) -> Release:
    """Exact groups of this party's own dataset."""
    side = Side(home, room, Query(asked.by, asked.sums), {}, None, lambda *_: None)
    rows = home.vault.rows(side.dataset.name)
    codes = {name: side.codes(split_name(name)[1]) for name in {*asked.by, *asked.where.columns}}
    meant = np.zeros(rows, np.bool_)
    for box in asked.where.boxes:
        inside = np.ones(rows, np.bool_)
        for name, cells in box:
            inside &= np.isin(codes[name], cells)
        meant |= inside
    columns = {name: pa.array(codes[name][meant]) for name in asked.by}
    columns |= {name: pa.array(side.amounts(split_name(name)[1])[meant]) for name in asked.sums}
    batch = pa.record_batch(columns or {f"{asked.table}.row": pa.array(np.zeros(int(meant.sum()), np.int64))})
    with side.enclave() as enclave:
        enclave.load_matched(batch.schema, iter([batch]))
        table = enclave.run(Query(asked.by, asked.sums), {}).table
    found = {name: table.column(name).to_pylist() for name in table.column_names}
    shown = labelled(room, asked.by, found, found[PEOPLE], {name: found[name] for name in asked.sums})
    return Release(shown, False, Range(0, 0))


# -- what depends on others


def _released(home: Home, contract: Contract, asked: Ask, progress: Progress | None) -> dict[str, Any]:
    """What the parties release to this one."""
    homes = _homes(home, contract)
    job = {"room": contract.room, "query": {"by": list(asked.by), "sums": list(asked.sums)}}
    with LocalParties(homes, progress) as parties:
        outcome: dict[str, Any] = parties.call("run", dict.fromkeys(homes, job))[home.party]
    return outcome


def _homes(home: Home, contract: Contract) -> dict[str, Path]:
    """The homes of all parties, by the keys that the contract names; they must be on this machine. Raises Refused."""
    path = home.path.resolve()
    keys, found = {each.name: each.signing for each in contract.parties}, {home.party: path}
    for folder in (home.peers, path.parent, path.parent.parent):
        for each in (folder, *(sorted(folder.iterdir()) if folder.is_dir() else ())):
            with suppress(OSError, CleanroomError):  # a home of somebody else, or none
                if (each / "node.json").is_file():
                    other = Home.open(each)
                    if keys.get(other.party) == other.keys.public.signing.hex():
                        found.setdefault(other.party, each)
    missing = [each.name for each in contract.parties if each.name not in found]
    if missing:
        raise Refused(
            "The home of {party} is not on this machine, so the room cannot be asked here.",
            "Rooms of overlap --home and of the demo have all their parties here.",
            party=missing[0],
        )
    return {each.name: found[each.name] for each in contract.parties}


# -- the layout


def laid_out(asked: Ask, segments: Rows, size: Mapping[str, Any] | None, room: Room) -> Rows:
    """The released groups as the query selects, orders and limits them: one object a row, by title.

    Columns are ordered as the contract declares their cells. A question about everybody alone has a size for an answer:
    a range of persons.
    """
    if not asked.by and not asked.sums and size is not None:
        segments = [{PEOPLE: Range(size["range"][0], size["range"][1], size["withheld"]).text()}]
    short = short_names([*asked.by, PEOPLE, *asked.sums])
    if asked.by:
        for at, descending in reversed(asked.order):
            segments = sorted(segments, key=_rank(asked.shown[at], short, room, -1 if descending else 1))
    titles = _titles(asked.shown)
    rows = [{title: segment[_key(each, short)] for title, each in titles.items()} for segment in segments]
    return rows if asked.limit is None else rows[: asked.limit]


def _rank(each: Shown, short: Mapping[str, str], room: Room, sign: int) -> Callable[[dict[str, Any]], Any]:
    """What a group is ordered by; sign: -1 for descending. Those without a value come last either way."""
    key = _key(each, short)
    if each.what != "column":
        return lambda segment: sign * segment[key]
    labels = room.annex(*split_name(each.name)).labels
    places = {label: sign * place for place, label in enumerate(labels)} | {UNKNOWN: len(labels)}
    return lambda segment: places[segment[key]]


def _titles(shown: tuple[Shown, ...]) -> dict[str, Shown]:
    """A title for each, made distinct by number where two have one."""
    titles: dict[str, Shown] = {}
    for each in shown:
        title, number = each.title, 2
        while title in titles:
            title, number = f"{each.title}_{number}", number + 1
        titles[title] = each
    return titles


def _key(each: Shown, short: Mapping[str, str]) -> str:
    if each.what == "people":
        return PEOPLE
    return short[each.name] + ("_average" if each.what == "average" else "")
