"""Drafting: a contract from two parties' cards, as TOML to be read, edited and signed; nothing is signed here."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.rooms import cards, costs, draft
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.cards import Card
from cleanroom.rooms.choose import Wish, choose
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Annex, Protocol, Slots


def new(path: Path, name: str, role: str, dataset: str, partners: Sequence[Path], receiver: str, protocol: str, k: int,
        purpose: str, out: Path | None, link: str | None = None, *, noise: bool = True) -> dict[str, Any]:  # fmt: skip
    """Write a draft from this party's card and its partners'; `auto` is resolved here, before anything is signed.

    link: between the parties, as "100Mbit,20ms"; otherwise one machine is assumed. noise: whether releases hold some.
    """
    home = Home.open(path.expanduser())
    own = cards.parse(cards.make(home, role, dataset), home.party)
    owners, operator = _sides(own, [cards.read(partner) for partner in partners])
    receiving = _receiver(receiver, owners)
    rows = {each.party.name: each.rows for each in owners}
    sending = next(each for each in owners if each.party.name != receiving)
    slots = bool((sending.offer or {}).get("columns"))
    several = max(each.identities for each in owners)
    wish = Wish(rows[receiving], rows[sending.party.name], operator is not None, slots=slots, identities=several)
    choice = choose(wish, link=costs.link(link))
    chosen: Any = choice.protocol if protocol == "auto" else protocol
    contract, annexes = _drafted(Plan(name, chosen, receiving, k, purpose, noise=noise), owners, operator)
    file = out or Path(f"{name}.toml")
    if file.exists():  # somebody may have edited it
        raise UsageError("There is a file {name} already.", "Name another with --out.", name=file.name)
    draft.write(file, contract, annexes)
    return {
        "room": name,
        "path": str(file),
        "protocol": chosen,
        "why": {"template": choice.why, **choice.params} if protocol == "auto" else None,
        "explained": choice.explained(),
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


def _drafted(plan: Plan, owners: tuple[Card, Card], operator: Card | None) -> tuple[Contract, tuple[Annex, ...]]:
    if operator is not None and plan.protocol != "keyed":
        raise UsageError("In {protocol} an operator has nothing to do.", "Leave its card out.", protocol=plan.protocol)
    host = operator.party.name if operator is not None else plan.receiver
    slots = [found for each in owners if each.party.name != host and (found := _slots(each, plan.protocol))]
    return assemble(plan, owners, None if operator is None else operator.party, slots)


def _slots(card: Card, protocol: Protocol) -> Slots | None:
    """Amounts travel as slots; between two parties so do the cells of the first category or bucket."""
    offer = card.offer or {}
    sums = tuple(column["name"] for column in offer["columns"] if column["kind"] == "amount")
    groups = tuple(column["name"] for column in offer["columns"] if column["kind"] != "amount")[:1]
    by = () if protocol == "keyed" else groups
    return Slots(offer["name"], by, sums, **cards.paillier(offer)) if sums or by else None
