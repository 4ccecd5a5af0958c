"""A contract put together from what its owners offer and what it is to be for. Every draft is made here."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cleanroom.privacy.noise import DEFAULT_SIGMA
from cleanroom.rooms import cards
from cleanroom.rooms.cards import Card
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import NOISE_OFF, NOTES, SEVERAL, WATERFALL
from cleanroom.rooms.identities import in_one_order
from cleanroom.rooms.store import Room
from cleanroom.rooms.terms import (
    DEFAULT_EPSILON,
    LEAST_VOLE_ROWS,
    NO_MARKETING,
    Activation,
    Annex,
    Marketing,
    Match,
    Output,
    Party,
    Protocol,
    ReleaseRules,
    Slots,
)

VALID_DAYS = 90
QUOTA_RUNS, LEAST_ASKED = 10, 100
"""A quota of `oprf` is enough for so many whole runs of the receiver in one key epoch, of so many rows at least."""


@dataclass(frozen=True)
class Plan:
    """What a contract is to say beside what its parties bring. receiver: an owner; days: how long it runs; noise: on,
    with the usual sigma and budget; commitment: to the secret of more than two owners, drawn by the first of them;
    updates: matches go on from the last one; marketing: what the receiver may do beside."""

    room: str
    protocol: Protocol
    receiver: str
    k: int
    purpose: str
    days: int = VALID_DAYS
    noise: bool = True
    commitment: str = ""
    updates: bool = False
    marketing: Marketing = NO_MARKETING


def assemble(plan: Plan, owners: Sequence[Card], operator: Party | None,
             slots: Sequence[Slots]) -> tuple[Contract, tuple[Annex, ...]]:  # fmt: skip
    """The contract of two or more cards with an offer each, and its labels; starts now. Raises what a contract
    refuses."""
    datasets, labels = zip(*(cards.terms(each.offer or {}, each.party.name) for each in owners), strict=True)
    datasets = (datasets[0], *(in_one_order(datasets[0], each) for each in datasets[1:]))  # the merchant's order
    if plan.protocol == "vole":
        datasets = tuple(
            replace(each, rows=max(each.rows, LEAST_VOLE_ROWS)) if each.owner == plan.receiver else each
            for each in datasets
        )
    left, right, *others = datasets
    output: Output = "size" if plan.protocol == "join-sum" else "members"
    host = operator.name if operator is not None else plan.receiver
    noise: dict[str, Any] = {}
    if plan.noise:
        noise = {"noise": "gaussian", "sigma": DEFAULT_SIGMA, "epsilon": DEFAULT_EPSILON}
    for_marketers = plan.marketing
    activation = None
    if for_marketers.channels:
        activation = Activation(plan.receiver, for_marketers.channels, lists=for_marketers.lists)
    if for_marketers.boards:
        noise["planned"] = for_marketers.planned
        noise["alone"] = tuple(each.name for each in datasets if each.owner == plan.receiver)
    quota = QUOTA_RUNS * max(LEAST_ASKED, *(each.rows for each in datasets if each.owner == plan.receiver))
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    contract = Contract(
        room=plan.room,
        parties=tuple(each for each in (*(owner.party for owner in owners), operator) if each is not None),
        datasets=datasets,
        match=Match(plan.protocol, left.name, right.name, host=host, receiver=plan.receiver, output=output,
                    quota=quota if plan.protocol == "oprf" else 0, others=tuple(each.name for each in others),
                    commitment=plan.commitment, updates=plan.updates),
        release=ReleaseRules(tuple(each.owner for each in datasets), plan.k, **noise),
        purposes=(plan.purpose,),
        created=now.isoformat(),
        expires=(now + dt.timedelta(days=plan.days)).isoformat(),
        slots=tuple(slots),
        notes=(*NOTES[SEVERAL if others else plan.protocol], *(NOTES[WATERFALL] if left.also else ()),
               *(() if plan.noise else NOISE_OFF)),
        activation=activation,
    )  # fmt: skip
    return contract, tuple(annex for each in labels for annex in each)


def says_the_same(held: Room, drafted: Room, rows: Mapping[str, int]) -> bool:
    """Whether a room says what a draft does, but for name, time and salts, and its bounds leave room for these rows."""
    fits = all(rows[dataset.name] <= dataset.rows for dataset in held.contract.datasets if dataset.name in rows)
    return fits and _content(held) == _content(drafted)


def _content(room: Room) -> dict[str, Any]:
    plain = room.contract.canonical()
    for name in ("room", "created", "expires"):
        del plain[name]
    for name in ("quota", "commitment"):
        plain["match"].pop(name, None)
    for dataset in plain["datasets"]:
        del dataset["rows"]
        for column in dataset["columns"]:
            del column["annex"]
    labels = {(each.dataset, each.column): (each.labels, each.edges) for each in room.annexes or ()}
    return {**plain, "labels": labels}
