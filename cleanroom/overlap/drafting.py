"""The default contract of `overlap`, from what the two sides say of their own columns, as if by cards."""

from dataclasses import replace
from typing import Any

from cleanroom.overlap.asked import OPERATOR, SIDES, Overlap, Reference, columns_of
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.cards import Card, identities_of, room_to_grow
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Annex, Party, Slots

VALID_DAYS = 30
GO_ON = ("keyed", "dh")
"""Protocols whose runs in a room that stays go on from each other; in `oprf` all do."""


def draft_contract(asked: Overlap, protocol: Any, keys: dict[str, Any], imports: dict[str, Any],
                   proposals: dict[str, Any], by: list[Reference], sums: list[Reference],
                   slotted: list[str], *, stays: bool = False) -> tuple[Contract, tuple[Annex, ...]]:  # fmt: skip
    """The default contract of `overlap` and its labels. Its columns may define members lists. stays: for homes that
    stay, so that a later run may go on from this one."""
    parties = {name: Party(name, name, held["signing"], held["exchange"]) for name, held in keys.items()}  # type: ignore[arg-type]
    updates = stays and protocol in GO_ON
    bound = room_to_grow if updates or protocol == "oprf" else lambda rows: max(1, rows)  # a room that serves again
    left, right = (
        Card(parties[side], _offer(asked, side, imports[side], proposals[side], bound(imports[side]["rows"])))
        for side in SIDES
    )
    slots = []
    for side in slotted:
        mine = columns_of(side, by, sums)
        crossed = () if protocol == "keyed" else tuple(mine["by"])
        slots.append(Slots(asked.datasets[side], crossed, tuple(mine["sums"]), key_bits=asked.key_bits,
                           key=keys[side]["paillier"]))  # fmt: skip
    plan = Plan(asked.room, protocol, asked.receiver, asked.k, asked.purpose, VALID_DAYS, noise=asked.noise)
    contract, annexes = assemble(plan, (left, right), parties.get(OPERATOR), slots)
    updates = updates and not any(dataset.also for dataset in contract.datasets)
    return replace(contract, match=replace(contract.match, updates=updates)), annexes


def _offer(asked: Overlap, side: str, imported: dict[str, Any], proposed: list[dict[str, Any]],
           rows: int) -> dict[str, Any]:  # fmt: skip
    """What a side brings, in the form of a card's offer."""
    columns = [column if column["kind"] == "amount" else {**column, "members": True} for column in proposed]
    return {
        "name": asked.datasets[side],
        **identities_of(imported),
        "rows": rows,
        "columns": columns,
    }
