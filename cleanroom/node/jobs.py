"""The jobs of a party's process, by name: what arrives over the control line, checked, and what goes back.

Every answer is small and holds no row; rows move only through the vault, the protocols and the enclave.
"""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cleanroom import importing
from cleanroom.answer.board import from_job as asked_board
from cleanroom.answer.crowd import from_job as asked_crowd
from cleanroom.answer.run import run_room
from cleanroom.answer.side import Side
from cleanroom.answer.slots import cell_layout
from cleanroom.enclave.query import Query
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.importing import Wish, import_source
from cleanroom.matching.cells import TYPED, propose_bounds, propose_cells
from cleanroom.rooms import paillier_keys
from cleanroom.rooms.assembly import says_the_same
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.identities import as_agreed
from cleanroom.rooms.keeping import free_name, keep
from cleanroom.rooms.signing import with_signature
from cleanroom.rooms.store import Room, Rooms, from_plain, to_plain
from cleanroom.rooms.templates import check_asked
from cleanroom.rooms.terms import Dataset
from cleanroom.vault.manifest import Manifest
from connectors.errors import InputError
from protocols.channel import Transport
from protocols.errors import ProtocolError

Step = Callable[[str, int, int], None]
Meet = Callable[[dict[str, Any]], None]
UNIT = "0.01"
"""Amounts are integers of this part of the currency unit."""


class PartyJobs:
    """One party's side of everything."""

    def __init__(self, home: Home, peers: Mapping[str, Transport], step: Step, meet: Meet | None = None) -> None:
        """meet: has the other parties of a run begin their part; None where whoever started them all does that."""
        self._home, self._peers, self._step, self._meet = home, peers, step, meet
        self._rooms = Rooms(home.rooms)

    def job_look(self, names: list[str], **wish: Any) -> dict[str, Any]:
        """Columns of a source as they are understood, and which of the names asked for it has (name → canonical)."""
        asked = Wish(**wish)
        understood = importing.look(importing.open_wish(asked), asked.mapping)
        found = {}
        for name in names:
            with suppress(InputError):
                found[name] = understood.find(name).name
        return {
            "columns": [{"header": c.header, "name": c.name, "kind": c.kind} for c in understood.columns],
            "found": found,
        }

    def job_import(self, **wish: Any) -> dict[str, Any]:
        """Import a source into the vault."""
        wish["by"], wish["sums"] = tuple(wish["by"]), tuple(wish["sums"])
        return import_source(self._home, Wish(**wish), lambda rows: self._step("import", rows, 0))

    def job_propose(self, dataset: str, by: list[str], sums: list[str], most: int, least: int) -> list[dict[str, Any]]:
        """Terms for the columns of a dataset that a question needs."""
        vault = self._home.vault
        kinds = kinds_of(vault.manifest(dataset))
        terms: list[dict[str, Any]] = []
        for name in by:
            cells = propose_cells(vault, dataset, name, most=most, least_people=least)
            kind = "category" if kinds[name] == "category" else "bucket"
            edges = list(cells.edges)
            terms.append({"name": name, "kind": kind, "cells": list(cells.labels), "edges": edges})
        for name in sums:
            low, high = propose_bounds(vault, dataset, name)
            terms.append({"name": name, "kind": "amount", "low": low, "high": high, "unit": UNIT})
        return terms

    def job_keys(self, key_bits: int = 0) -> dict[str, str]:
        """This party's public keys, and where its columns travel as slots the fingerprint of its Paillier key."""
        public = self._home.keys.public
        paillier = paillier_keys.own_fingerprint(self._home, key_bits) if key_bits else ""
        return {"signing": public.signing.hex(), "exchange": public.exchange.hex(), "paillier": paillier}

    def job_name(self, wanted: str) -> str:
        """A name for a new room that is free in this home."""
        return free_name(self._home, wanted)

    def job_again(self, room: Any, rows: dict[str, int]) -> dict[str, Any] | None:
        """A room in force that says the same as this draft, for datasets of so many rows; None where there is none."""
        drafted, now = from_plain(room), dt.datetime.now(dt.UTC)
        for name in self._rooms.names():
            held = self._rooms.load(name)
            with suppress(BadData, Refused):
                held.in_force(now)
                if says_the_same(held, drafted, rows):
                    return to_plain(held)
        return None

    def job_sign(self, room: Any) -> dict[str, Any]:
        """The contract signed; it names this party, its keys and (of an owner) a dataset it has. Raises Refused."""
        offered = from_plain(room)
        check_own(self._home, offered)
        return to_plain(with_signature(self._home, offered), for_operator=True)

    def job_keep(self, room: Any) -> None:
        """Keep a contract that all have signed."""
        offered = from_plain(room)
        offered.in_force(dt.datetime.now(dt.UTC))
        keep(self._home, offered)

    def job_run(self, room: str, query: dict[str, Any], members: str | None = None, *, again: bool = False,
                template: str | None = None, values: dict[str, str] | None = None,
                expected: str = "", asked_by: Sequence[str] = (), board: dict[str, Any] | None = None,
                crowd: dict[str, Any] | None = None) -> dict[str, Any]:  # fmt: skip
        """This party's role in a match and an answer. query: by, sums; where it differs from the usual: where, sigma,
        plan, over. board, crowd: as `answer` has them. again: compute once more what was answered before, `expected`
        being the digest of that question; template: its digest, with its values; asked_by: as `Side` has it."""
        where = tuple(tuple((name, tuple(cells)) for name, cells in box) for box in query.get("where", ()))
        about = asked_crowd(crowd)
        question = Query(tuple(query["by"]), tuple(query["sums"]), where)
        held, over = self._rooms.load(room), tuple(query.get("over", ()))
        if about is not None:
            question = Query(question.by, question.sums, about.where(held.contract))
        if expected and not again:
            raise Refused("Only what was answered can be computed again.")
        if self._home.party in held.contract.owners and not query.get("plan") and not expected and not board:
            check_asked(self._home, held, question.by, question.sums, where, template=template, values=values or {},
                        over=over)  # fmt: skip
        out = Path(members) if members else None
        side = Side(self._home, held, question, self._peers, out, self._step, query.get("sigma", 0), again,
                    query.get("plan", False), expected, tuple(asked_by), over=over,
                    board=asked_board(board), crowd=about)  # fmt: skip
        return asdict(run_room(side))

    def job_lookalike(self, request: dict[str, Any]) -> dict[str, Any]:
        """A lookalike that a party on this same machine asks for, of its seed's released numbers."""
        from cleanroom.crowds import lookalike_making  # scikit-learn: only where one is made

        return lookalike_making.made(self._home, request, self._step)

    def job_work(self, kind: str, room: str, arguments: dict[str, Any], asked_by: list[str]) -> dict[str, Any]:
        """A node's own job of that kind (`cleanroom.node.work`), with its peers at their own nodes."""
        from cleanroom.node import work  # what it needs is loaded where a node asks for it

        if self._meet is None:
            raise Refused("Only a node's own process works on its jobs.")
        parties = work.Afar(self._home.party, self._meet, lambda **job: self.job_run(**job, asked_by=asked_by))
        return work.KINDS[kind](self._home, room, arguments, parties, self._step)


def check_own(home: Home, room: Room) -> None:
    """What a party checks before it signs: that what it promises is there and not more than it has. Raises Refused."""
    contract = room.contract
    if contract.party(home.party).role == "operator":
        return
    dataset = contract.dataset_of(home.party)
    manifest = home.vault.manifest(dataset.name)
    held = {name: kind for name, kind in kinds_of(manifest).items() if f"{TYPED}{name}" in _stored(manifest)}
    if missing := next((column.name for column in dataset.columns if column.name not in held), None):
        raise Refused("The dataset {dataset} has no column {column}.", dataset=dataset.name, column=missing)
    for column in dataset.columns:
        if (held[column.name] == "amount") != (column.kind == "amount"):
            kind = held[column.name]
            raise Refused("{column} cannot be used like this: it is of the kind {kind}.", column=column.name, kind=kind)
    _check_slots(contract, dataset)
    if manifest.rows > dataset.rows:
        raise Refused("The dataset {dataset} has more rows than the contract allows.", dataset=dataset.name)
    as_agreed(dataset, manifest.meta)


def _check_slots(contract: Contract, dataset: Dataset) -> None:
    """Raises Refused where the slots of this party's dataset cannot be laid out."""
    slots = contract.slots_of(dataset.name)
    try:
        if slots is not None:
            cell_layout(contract, dataset, slots)
    except ProtocolError as error:
        raise Refused(error.template, error.hint, **error.params) from error


def _stored(manifest: Manifest) -> set[str]:
    return {column.name for column in manifest.columns}


def kinds_of(manifest: Manifest) -> dict[str, str]:
    """Canonical column name → kind, as it was imported."""
    columns: Any = manifest.meta["columns"]
    return {column["name"]: column["kind"] for column in columns}
