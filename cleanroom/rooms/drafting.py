"""Drafting: a contract from two parties' cards, as TOML to be read, edited and signed; nothing is signed here."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.rooms import cards, draft
from cleanroom.rooms.cards import Card
from cleanroom.rooms.choose import choose
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.disclosure import NOTES
from cleanroom.rooms.terms import Annex, Dataset, Match, Output, Protocol, ReleaseRules, Slots

VALID_DAYS = 90


def new(path: Path, name: str, role: str, dataset: str, partners: Sequence[Path], receiver: str, protocol: str, k: int,
        purpose: str, out: Path | None) -> dict[str, Any]:  # fmt: skip
    """Write a draft from this party's card and its partners'; `auto` is resolved here, before anything is signed."""
    home = Home.open(path.expanduser())
    own = cards.parse(cards.make(home, role, dataset), home.party)
    owners, operator = _sides(own, [cards.read(partner) for partner in partners])
    choice = choose(operator=operator is not None, left_rows=owners[0].rows, right_rows=owners[1].rows)
    chosen: Any = choice.protocol if protocol == "auto" else protocol
    contract, annexes = _drafted(name, owners, operator, _receiver(receiver, owners), chosen, k, purpose)
    file = out or Path(f"{name}.toml")
    if file.exists():  # somebody may have edited it
        raise UsageError("There is a file {name} already.", "Name another with --out.", name=file.name)
    draft.write(file, contract, annexes)
    return {
        "room": name,
        "path": str(file),
        "protocol": chosen,
        "why": {"template": choice.why, **choice.params} if protocol == "auto" else None,
        "fingerprints": {
            each.party.name: cards.fingerprint(each.party) for each in (*owners, operator) if each is not None
        },
    }


def _sides(own: Card, partners: Sequence[Card]) -> tuple[tuple[Card, Card], Card | None]:
    """The two owners, the merchant first, and the operator, if there is one."""
    operators = [each for each in partners if each.party.role == "operator"]
    others = [each for each in partners if each.party.role != "operator"]
    if len(others) != 1 or len(operators) > 1:
        raise UsageError("A room has two data owners and at most one operator.", "Give each partner's card once.")
    other = others[0]
    if other.offer is None:
        raise UsageError(
            "The card of {party} offers no dataset.", "Ask for a card with --dataset.", party=other.party.name
        )
    if own.offer is not None and own.offer["name"] == other.offer["name"]:
        name = other.offer["name"]
        raise UsageError(
            "Both sides call their dataset {name}.", "Add one of them again under another name.", name=name
        )
    owners = (other, own) if other.party.role == "merchant" and own.party.role != "merchant" else (own, other)
    return owners, operators[0] if operators else None


def _receiver(wanted: str, owners: tuple[Card, Card]) -> str:
    """The owner meant, by name or by role."""
    found = [each.party.name for each in owners if wanted in (each.party.name, each.party.role)]
    if len(found) != 1:
        names = ", ".join(each.party.name for each in owners)
        raise UsageError("{name} is not one of the two data owners.", "They are: {names}.", name=wanted, names=names)
    return found[0]


def _drafted(room: str, owners: tuple[Card, Card], operator: Card | None, receiver: str, protocol: Protocol, k: int,
             purpose: str) -> tuple[Contract, tuple[Annex, ...]]:  # fmt: skip
    if operator is not None and protocol != "keyed":
        raise UsageError("In {protocol} an operator has nothing to do.", "Leave its card out.", protocol=protocol)
    datasets, labels = zip(*(cards.terms(each.offer or {}, each.party.name) for each in owners), strict=True)
    left, right = datasets
    output: Output = "size" if protocol == "join-sum" else "members"
    host = operator.party.name if operator is not None else receiver
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    contract = Contract(
        room=room,
        parties=tuple(each.party for each in (*owners, operator) if each is not None),
        datasets=datasets,
        match=Match(protocol, left.name, right.name, host=host, receiver=receiver, output=output),
        release=ReleaseRules((left.owner, right.owner), k),
        purposes=(purpose,),
        created=now.isoformat(),
        expires=(now + dt.timedelta(days=VALID_DAYS)).isoformat(),
        slots=tuple(slots for each in datasets if (slots := _slots(each, protocol, host)) is not None),
        notes=NOTES[protocol],
    )
    return contract, (*labels[0], *labels[1])


def _slots(dataset: Dataset, protocol: Protocol, host: str) -> Slots | None:
    """Amounts travel as slots; between two parties so do the cells of the first category or bucket."""
    if dataset.owner == host:
        return None
    sums = tuple(column.name for column in dataset.columns if column.kind == "amount")
    groups = tuple(column.name for column in dataset.columns if column.kind != "amount")[:1]
    if protocol == "keyed":
        return Slots(dataset.name, (), sums) if sums else None
    return Slots(dataset.name, groups, sums) if sums or groups else None
