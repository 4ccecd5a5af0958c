"""SQL on a room that stays on this machine: through the gate, then answered by its parties, or of one's own data here.

A party sees its own dataset exactly and without charge. What depends on another party's data is a release: priced,
debited, noised, thresholded, receipted, by the parties' own processes.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cleanroom import layout
from cleanroom.answer import allowed, closing
from cleanroom.answer.release import MINOR, Release, labelled
from cleanroom.answer.side import Side
from cleanroom.answer.slots import draws, reach
from cleanroom.enclave.query import PEOPLE, Query, split_name
from cleanroom.errors import Refused
from cleanroom.files import write_bytes
from cleanroom.gate import gate
from cleanroom.gate.ask import Ask
from cleanroom.gate.condition import Condition
from cleanroom.gate.schema import Schema
from cleanroom.home import Home
from cleanroom.ledger.ledger import Charge
from cleanroom.ledger.opening import open_ledger
from cleanroom.ledger.receipt import SignedReceipt
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.plan.accuracy import within as persons_of
from cleanroom.plan.store import Plans
from cleanroom.privacy import accounting
from cleanroom.privacy.ranges import Range
from cleanroom.rooms import templates
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.taking_part import takes_part
from cleanroom.rooms.terms import Dataset


@dataclass(frozen=True)
class Price:
    """What a question costs each dataset of the room, in millionths of ρ. sigma: of its noise, in persons; people: half
    the width of the 95 % interval of a count; left: of this node's dataset this month, before it."""

    rho_micro: int
    sigma: int
    people: int
    left: int
    delta: float
    sums: dict[str, float] = field(default_factory=dict)
    """Of each sum half the width of its 95 % interval, in major units."""

    def plain(self) -> dict[str, Any]:
        """For programs, with ε beside ρ, and how many such questions are left."""
        return {
            "rho_micro": self.rho_micro,
            "epsilon": round(accounting.epsilon(self.rho_micro, self.delta), 4),
            "sigma": self.sigma,
            "people": self.people,
            "sums": self.sums,
            "left_rho_micro": self.left,
            "questions_left": self.left // self.rho_micro,
        }


@dataclass(frozen=True)
class Answered:
    """A release of a room, or a party's own numbers. table: as the question lays it out, amounts in major units; noise:
    how much is in it, None where it is exact; receipt: of what depends on others; price: None where it cost nothing.

    release: the released groups, before they were laid out: labels, people int64, sums in minor units.
    """

    room: str
    asked: Ask
    rows: layout.Rows
    release: pa.Table
    k: int
    exact: bool
    withheld: bool
    noise: dict[str, Any] | None
    price: Price | None
    receipt: SignedReceipt | None
    widths: layout.Rows = field(default_factory=list)
    """Of every noised number in `rows` half its 95 % interval, by the same titles."""


def answer(path: Path, name: str, sql: str, progress: Progress | None = None, *, dry_run: bool = False,
           within: str | None = None, template: str | None = None, values: Mapping[str, str] | None = None,
           before: Callable[[dict[str, Any]], None] | None = None,
           receipt: Path | None = None, meeting: Meeting = usual) -> dict[str, Any]:  # fmt: skip
    """What `ask` finds, for programs; dry_run: only how the question is understood, and its price.

    before: is told these before anything is charged; receipt: where its file goes.
    """
    home, room = opened(path, name)
    asked, digest = understand(home, room, sql, template, values)
    release = room.contract.release
    told = {"room": name, "understood": _understood(asked, room), "k": release.k, "noise": release.noise}

    def dry(due: Price | None) -> dict[str, Any]:
        return {**told, "rows": None, "exact": asked.table != gate.MATCHED, "price": due.plain() if due else None}

    if dry_run:
        return dry(None if asked.table != gate.MATCHED else priced(home, room, asked, within)[1])
    say = None if before is None else lambda due: before(dry(due))
    found = ask(home, room, asked, progress, within=within, template=digest, values=values, before=say, meeting=meeting)
    signed = found.receipt
    record = signed and {**signed.receipt.plain(), "digest": signed.receipt.digest(), "file": signed.encode().decode()}
    if receipt is not None and signed is not None:
        write_bytes(receipt, signed.encode())
    return {
        **told,
        "noise": found.noise or ("off" if found.exact else release.noise),
        "exact": found.exact,
        "price": found.price.plain() if found.price else None,
        "rows": found.rows,
        "within": found.widths,
        "withheld": found.withheld,
        "receipt": record,
    }


def opened(path: Path, name: str) -> tuple[Home, Room]:
    """The home, and its room of that name."""
    home = Home.open(path.expanduser())
    return home, Rooms(home.rooms).load(name)


def understand(home: Home, room: Room, sql: str, template: str | None = None,
               values: Mapping[str, str] | None = None) -> tuple[Ask, str | None]:  # fmt: skip
    """The question that the text or the template asks, and the digest of that template.

    Raises QueryRefused for what the gate does not let in, Refused for what this room does not answer to this party.
    """
    digest = None
    if template is not None:
        asked, digest = templates.resolve(home, room, template, values or {})
    else:
        asked = gate.ask(sql, Schema.of(room.contract, room.annexes or ()))
    if asked.table != gate.MATCHED and room.contract.dataset(asked.table).owner != home.party:
        raise Refused("{table} on its own is for its owner to ask.", "Ask FROM matched.", table=asked.table)
    templates.check_allowed(room.contract, asked, digest)
    return asked, digest


def ask(home: Home, room: Room, asked: Ask, progress: Progress | None = None, *, within: str | None = None,
        template: str | None = None, values: Mapping[str, str] | None = None,
        before: Callable[[Price | None], None] | None = None, meeting: Meeting = usual) -> Answered:  # fmt: skip
    """The answer to a question that was understood.

    meeting: where the parties are; within: half the width of the interval that the asker needs, in persons or as a
    share; before: is told the price before anything is charged. Raises Refused for what the room does not release, or
    can no longer pay.
    """
    k, matched = room.contract.release.k, asked.table == gate.MATCHED
    sigma, due = priced(home, room, asked, within) if matched else (0, None)
    if before is not None:
        before(due)
    if not matched:
        own = _own(home, room, asked).table
        rows = layout.laid_out(asked, own, None, room)
        return Answered(room.contract.room, asked, rows, own, k, True, False, None, None, None)
    outcome = _released(home, room.contract, asked, sigma, template, values or {}, progress, meeting)
    due = due if outcome["charged"] else None
    kept = outcome["receipt"]["question"]
    release, signed = closing.recall(home, kept)
    table = _meant(release.table, asked, room)
    noise = outcome["noise"]
    rows = layout.laid_out(asked, table, None if sigma else outcome["range"], room)
    widths = layout.widths(asked, layout.arranged(asked, table, room), noise) if noise else []
    return Answered(room.contract.room, asked, rows, table, k, False, release.withheld, noise, due, signed, widths)


def _understood(asked: Ask, room: Room) -> dict[str, Any]:
    """The question as the gate reads it, in the contract's names and labels. where: for people in any of the boxes."""
    boxes = []
    for box in () if asked.where.everybody else asked.where.boxes:
        found = {name: [room.annex(*split_name(name)).labels[cell] for cell in cells] for name, cells in box}
        boxes.append(found)
    over = {"over": list(asked.over)} if asked.over else {}
    return {"table": asked.table, "by": list(asked.by), "sums": list(asked.sums), "where": boxes, **over}


# -- the price


def _sigma(home: Home, room: Room, asked: Ask, within: str | None) -> int:
    """The noise that the asker wants, or the contract's; 0 without noise. Raises UsageError, Refused."""
    release = room.contract.release
    if within is None:
        return release.sigma
    if release.noise == "off":
        raise Refused("This room is without noise: its numbers are exact already.", "Leave --within out.")
    plan = Plans(home).latest(room.contract.room)
    people = round(float(plan.estimates[()])) if plan is not None else None
    return accounting.sigma_within(persons_of(within, people), draws(room.contract, (*asked.by, *asked.sums)))


def priced(home: Home, room: Room, asked: Ask, within: str | None) -> tuple[int, Price | None]:
    """Sigma of the noise, and what a question about the match costs; (0, None) in a room without noise.

    Raises Refused where the room would not answer it, or not to this party.
    """
    if home.party not in room.contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    sigma = _sigma(home, room, asked, within)
    query = Query(asked.by, asked.sums, () if asked.chosen.everybody else asked.chosen.boxes)
    allowed.check(Side(home, room, query, {}, None, lambda *_: None, sigma, over=asked.over))
    if not sigma:
        return 0, None
    contract, dataset = room.contract, room.contract.dataset_of(home.party)
    rho = accounting.rho_micro(sigma, 1 + len(asked.sums), contract.moved)
    width = accounting.half_width(sigma, draws(contract, (*asked.by, *asked.sums)))
    terms = ((name, contract.dataset(split_name(name)[0]).column(split_name(name)[1])) for name in asked.sums)
    sums = {name: float(width * reach(term) / MINOR) for name, term in terms}
    return sigma, Price(rho, sigma, width, left(home, contract, dataset), accounting.delta(dataset.rows), sums)


def left(home: Home, contract: Contract, dataset: Dataset) -> int:
    """What may still be charged to the dataset this month, in millionths of ρ."""
    with open_ledger(home) as ledger:
        return ledger.left(Charge(dataset.name, 0, closing.budget(contract, dataset)))


# -- one's own data


def _own(home: Home, room: Room, asked: Ask) -> Release:
    """Exact groups of this party's own dataset."""
    side = Side(home, room, Query(asked.by, asked.sums), {}, None, lambda *_: None)
    rows = home.vault.rows(side.dataset.name)
    codes = {name: side.codes(split_name(name)[1]) for name in {*asked.by, *asked.where.columns}}
    meant = _inside(asked.where, codes, rows)
    columns = {name: pa.array(codes[name][meant]) for name in asked.by}
    columns |= {name: pa.array(side.amounts(split_name(name)[1])[meant]) for name in asked.sums}
    batch = pa.record_batch(columns or {f"{asked.table}.row": pa.array(np.zeros(int(meant.sum()), np.int64))})
    with side.enclave() as enclave:
        enclave.load_matched(batch.schema, iter([batch]))
        table = enclave.run(Query(asked.by, asked.sums), {}).table
    found = {name: table.column(name).to_pylist() for name in table.column_names}
    shown = labelled(room, asked.by, found, found[PEOPLE], {name: found[name] for name in asked.sums})
    return Release(shown, False, Range(0, 0))


def _inside(where: Condition, codes: Mapping[str, np.ndarray], rows: int) -> np.ndarray:
    """Which of so many rows are in a box, by the cell of each in the columns: bool[rows]."""
    found = np.zeros(rows, np.bool_)
    for box in where.boxes:
        inside = np.ones(rows, np.bool_)
        for name, cells in box:
            inside &= np.isin(codes[name], cells)
        found |= inside
    return found


# -- what depends on others


def _released(home: Home, contract: Contract, asked: Ask, sigma: int, template: str | None,
              values: Mapping[str, str], progress: Progress | None, meeting: Meeting) -> dict[str, Any]:  # fmt: skip
    """What the parties release to this one."""
    names = takes_part(contract, asked)
    query = {"by": list(asked.by), "sums": list(asked.sums), "sigma": sigma, "where": boxes(asked.chosen),
             "over": list(asked.over)}  # fmt: skip
    job = {"room": contract.room, "query": query, "template": template, "values": dict(values)}
    with meeting(home, contract, names, progress) as parties:
        outcome: dict[str, Any] = parties.call("run", jobs(contract, names, job))[home.party]
    return outcome


def jobs(contract: Contract, names: Iterable[str], job: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The job for each party: for an operator without conditions and values, which owners tell it as value tokens."""
    query = {**job["query"], "where": []}
    without = {**job, "query": query, "template": None, "values": {}}
    return {party: job if party in contract.owners else without for party in names}


def boxes(where: Condition) -> list[list[list[object]]]:
    """A condition as it is told to the parties: none for everybody."""
    return [] if where.everybody else where.plain()


def _meant(table: pa.Table, asked: Ask, room: Room) -> pa.Table:
    """The released groups that the condition means, where it is about the columns of the groups alone."""
    if asked.where.everybody or not asked.chosen.everybody:
        return table
    codes = {}
    for name in asked.where.columns:
        labels = pa.array(room.annex(*split_name(name)).labels, pa.string())
        codes[name] = pa.compute.index_in(table.column(name), labels).to_numpy()
    return table.filter(pa.array(_inside(asked.where, codes, len(table))))
