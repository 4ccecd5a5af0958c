"""What parties sign, keep and tell each other: rooms, drafts, cards, receipts, ledgers, notes."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pyarrow as pa

from cleanroom import canonical
from cleanroom.answer.notes import _NOTE, hear
from cleanroom.errors import CleanroomError
from cleanroom.keys import PublicKeys
from cleanroom.ledger import export
from cleanroom.ledger import store as ledgers
from cleanroom.ledger.chain import FORMAT, HEAD_LABEL, Entry, Head, entry_hash, genesis, head_message
from cleanroom.ledger.receipt import Receipt, SignedReceipt
from cleanroom.privacy.history import DatasetVersion, Question
from cleanroom.privacy.ranges import Range
from cleanroom.privacy.threshold import Rules
from cleanroom.rooms import cards, draft
from cleanroom.rooms.contract import LABEL, Contract, SignedContract
from cleanroom.rooms.paillier_keys import ProvedKey
from cleanroom.rooms.store import Room, Rooms, to_plain
from cleanroom.rooms.terms import Annex, Column, Dataset, Match, Party, ReleaseRules, Slots
from tests.fuzz.base import CANARY, KEY, PUBLIC, Target, scratch, written

# -- contracts, cards, drafts


@cache
def _drafted() -> tuple[Contract, tuple[Annex, ...]]:
    terms: list[Column] = []
    annexes: list[Annex] = []
    edges = ("2026-01-01", "2026-07-01")
    given = {"tier": draft.Cells(("gold", CANARY, "银 卡")), "joined": draft.Cells(draft.edge_labels(edges), edges)}
    for name, cells in given.items():
        term, annex = draft.column("crm", name, "bucket" if cells.edges else "category", cells, members=True)
        terms.append(term)
        annexes.append(annex)
    terms.append(Column("spend", "amount", low=-100, high=10**6, unit="0.01"))
    parties = tuple(
        Party(name, role, PUBLIC.hex(), "ab" * 32)
        for name, role in (("shop", "merchant"), ("ads", "platform"), ("lab", "operator"))  # type: ignore[arg-type]
    )
    contract = Contract(
        room="overlap",
        parties=parties,
        datasets=(
            Dataset("crm", "shop", "phone", "cn-mobile/1", 5000, tuple(terms)),
            Dataset("users", "ads", "phone", "cn-mobile/1", 9000, ()),
        ),
        match=Match("keyed", "crm", "users", "lab", "ads", "members", 0),
        release=ReleaseRules(("shop", "ads"), 100),
        purposes=("audience overlap",),
        created="2026-01-01T00:00:00+00:00",
        expires="2099-01-01T00:00:00+00:00",
        slots=(Slots("crm", (), ("spend",), key="ab" * 32),),
        notes=("a note",),
    )
    return contract, tuple(annexes)


def _rooms() -> list[bytes]:
    contract, annexes = _drafted()
    signed = SignedContract(contract, {"shop": "ab" * 64, "ads": "cd" * 64})
    keys = (ProvedKey("shop", b"k" * 40, b"p" * 40),)
    return [
        canonical.encode(to_plain(Room(signed, annexes, keys))),
        canonical.encode(to_plain(Room(signed, None), for_operator=True)),
    ]


def _load_room(content: bytes) -> object:
    return Rooms(written(content, "room/room.json").parent.parent).load("room")


def _drafts() -> list[bytes]:
    path = scratch() / "draft.toml"
    draft.write(path, *_drafted())
    return [path.read_bytes()]


def _cards() -> list[bytes]:
    party = _drafted()[0].parties[0]
    columns: list[dict[str, Any]] = [
        {"name": "tier", "kind": "category", "cells": ["gold", CANARY], "edges": []},
        {"name": "days", "kind": "bucket", "cells": ["< 1", "1 – 2", "≥ 2"], "edges": ["1", "2"]},
        {"name": "spend", "kind": "amount", "low": 0, "high": 9, "unit": "0.01"},
    ]
    offer = {
        "name": "crm", "identity": "phone", "profile": "cn-mobile/1", "rows": 5000, "columns": columns,
        "paillier": {"bits": 2048, "key": "ab" * 32}, "also": [{"kind": "email", "profile": "email/1"}],
    }  # fmt: skip
    card = {
        "format": cards.FORMAT, "party": party.name, "role": party.role, "signing": party.signing,
        "exchange": party.exchange, "fingerprint": cards.fingerprint(party), "dataset": offer,
    }  # fmt: skip
    return [json.dumps(card).encode(), json.dumps(card | {"role": "operator", "dataset": None}).encode()]


def _read_card(content: bytes) -> object:
    card = cards.read(written(content, "card.json"))
    return card.rows, card.identities


# -- ledgers, receipts, notes


def _receipts() -> list[bytes]:
    versions = (DatasetVersion("shop", "crm", "a" * 64, 1000), DatasetVersion("ads", "users", "b" * 64, 2000))
    asked = Question(("crm.tier",), ("crm.spend",), "c" * 64, versions)
    receipt = Receipt(
        "overlap", asked.contract, asked.digest(), asked.by, asked.sums, versions, "dh", "d" * 64, "process", Rules(),
        ("ads",), ("audience overlap",), "e" * 64, 2, 3, Range(400, 500), True, "2026-01-01T00:00:00Z",
    )  # fmt: skip
    return [SignedReceipt(receipt, {"shop": "ab" * 64, "ads": "cd" * 64}).encode()]


def _heads() -> list[bytes]:
    signature = _signed(HEAD_LABEL, head_message("shop", PUBLIC.hex(), 3, "ab" * 32))
    return [canonical.encode(Head("shop", PUBLIC.hex(), 3, "ab" * 32, signature).plain())]


def _read_head(content: bytes) -> None:
    with _json_errors():
        value = json.loads(content)
    Head.parse(value).verify(PUBLIC)


@contextmanager
def _json_errors() -> Iterator[None]:
    """Where the value comes from a note, which `hear` has read."""
    try:
        yield
    except (ValueError, RecursionError):
        raise CleanroomError("not JSON") from None


def _ledgers() -> list[bytes]:
    path = scratch() / "made.sqlite"
    path.unlink(missing_ok=True)
    ledgers.create(path, "shop", PUBLIC)
    with sqlite3.connect(path) as database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(entries)")]
        body = canonical.encode({"dataset": "crm", "manifest": "ab" * 32, "rows": 5}).decode()
        known = {"seq": 1, "time": "2026-01-01T00:00:00Z", "kind": "import", "body": body}
        row = [known.get(name, "ab" * 32 if name in ("previous", "hash") else "") for name in columns]
        marks = ", ".join("?" * len(row))
        database.execute(f"INSERT INTO entries VALUES ({marks})", row)
    database.close()
    return [path.read_bytes()]


def _exports() -> list[bytes]:
    """Of a ledger with one entry, under a contract that its party signed."""
    contract, _ = _drafted()
    body = {"dataset": "crm", "manifest": "ab" * 32, "rows": 5}
    previous, time = genesis("shop", PUBLIC), "2026-01-01T00:00:00Z"
    hash_ = entry_hash(1, time, "import", body, previous)
    signature = _signed(HEAD_LABEL, head_message("shop", PUBLIC.hex(), 1, hash_))
    entry = Entry(1, time, "import", body, previous, hash_, signature)
    keys = PublicKeys(PUBLIC, bytes.fromhex(contract.party("shop").exchange))
    contents = ledgers.Contents(FORMAT, "shop", PUBLIC.hex(), (entry,), {})
    signature_under = _signed(LABEL, bytes.fromhex(contract.digest()))
    signed = SignedContract(contract, {party.name: signature_under for party in contract.parties})
    path = scratch() / "made.jsonl"
    export.write(path, export.Export(contents, keys, (signed,), (Head("shop", PUBLIC.hex(), 1, hash_, signature),)))
    return [path.read_bytes()]


def _signed(label: str, message: bytes) -> str:
    return KEY.sign(len(label).to_bytes(2, "big") + label.encode() + message).hex()


def _read_export(content: bytes) -> object:
    return export.verify(export.read(written(content, "export.jsonl")))


def _notes() -> list[bytes]:
    values: list[canonical.Json] = [
        {"name": "crm", "rows": 5, "also": [], "epoch": "1", "form": "x"}, [1, 2, 3], "text", {"receipt": "{}"}
    ]  # fmt: skip
    return [canonical.encode(value) for value in values]


class _Said:
    """A channel over which one note came."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def receive_row(self, name: str, schema: pa.Schema, *, nbytes: int) -> pa.RecordBatch:
        return pa.record_batch([pa.array([self._content], pa.binary())], schema=_NOTE)


SIGNED = (
    Target("room", _rooms, _load_room, structured=True),
    Target("draft", _drafts, lambda content: draft.read(written(content, "given.toml"))),
    Target("card", _cards, _read_card, structured=True),
    Target("receipt", _receipts, SignedReceipt.parse, structured=True),
    Target("head", _heads, _read_head, structured=True),
    Target("ledger", _ledgers, lambda content: ledgers.read(written(content, "given.sqlite"))),
    Target("export", _exports, _read_export, structured=True),
    Target("note", _notes, lambda content: hear(_Said(content), "note"), structured=True),  # type: ignore[arg-type]
)
