"""Drafting: a contract from its parties' cards, as TOML to be read, edited and signed; nothing is signed here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cleanroom.errors import UsageError
from cleanroom.home import Home
from cleanroom.rooms import cards, costs, draft, room_secrets
from cleanroom.rooms.assembly import Plan, assemble
from cleanroom.rooms.cards import Card
from cleanroom.rooms.choose import Choice, Wish, choose
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.meetings import Asked
from cleanroom.rooms.terms import NO_MARKETING, Annex, Marketing, Protocol, Slots


def new(path: Path, name: str, role: str, dataset: str, partners: Sequence[Path], receiver: str, protocol: str, k: int,
        purpose: str, out: Path | None, link: str | None = None, *, noise: bool = True,
        marketing: Marketing = NO_MARKETING, members: Sequence[str] = ()) -> dict[str, Any]:  # fmt: skip
    """Write a draft from this party's card and its partners'; `auto` is resolved here, before anything is signed.

    link: between the parties, as "100Mbit,20ms"; otherwise one machine is assumed. noise: whether releases hold some;
    marketing: what the receiver may do beside; members: columns of this party's that may define whom it addresses.
    """
    home = Home.open(path.expanduser())
    own = cards.parse(cards.make(home, role, dataset, members), home.party)
    owners, operator = _sides(own, [cards.read(partner) for partner in partners])
    receiving = _receiver(receiver, owners)
    choice = _choice(owners, operator, receiving, link)
    chosen: Any = choice.protocol if protocol == "auto" else protocol
    contract, annexes = _drafted(
        home, Plan(name, chosen, receiving, k, purpose, noise=noise, marketing=marketing), owners, operator
    )
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


def from_cards(home: Home, room: str, asked: Asked, found: Sequence[Card]) -> tuple[Contract, tuple[Annex, ...]]:
    """The contract of cards that came over the wire, this party's own first, as its inviter wished it.

    Raises UsageError, Refused or BadData where there can be none.
    """
    owners, operator = _sides(found[0], found[1:])
    receiving = _receiver(asked.receiver, owners) if asked.receiver else _by_size(asked.protocol, owners)
    choice = _choice(owners, operator, receiving, None)
    chosen: Any = choice.protocol if asked.protocol == "auto" else asked.protocol
    plan = Plan(room, chosen, receiving, asked.k, asked.purpose, asked.days, asked.noise, updates=asked.updates,
                marketing=Marketing(asked.channels, asked.lists, asked.boards))  # fmt: skip
    return _drafted(home, plan, owners, operator)


def _by_size(protocol: str, owners: Sequence[Card]) -> str:
    """The owner with the most rows, who then hosts; where the few ask about the many, the one with the fewest."""
    pick = min if protocol == "oprf" else max
    return pick(owners, key=lambda each: each.rows).party.name


def _choice(owners: Sequence[Card], operator: Card | None, receiving: str, link: str | None) -> Choice:
    """`auto`, resolved. link: between the parties; None: one machine is assumed."""
    rows = {each.party.name: each.rows for each in owners}
    sending = max((each for each in owners if each.party.name != receiving), key=lambda each: each.rows)
    slots = bool((sending.offer or {}).get("columns"))
    several = max(each.identities for each in owners)
    wish = Wish(rows[receiving], rows[sending.party.name], operator is not None, slots=slots, identities=several)
    return choose(wish, link=costs.link(link))


def _sides(own: Card, partners: Sequence[Card]) -> tuple[tuple[Card, ...], Card | None]:
    """The owners and the operator, if there is one. Of two the merchant comes first, of more who drafts, since the
    first draws the secret that they share."""
    operators = [each for each in partners if each.party.role == "operator"]
    others = [each for each in partners if each.party.role != "operator"]
    if not others or len(operators) > 1 or len({each.party.name for each in (own, *partners)}) != 1 + len(partners):
        raise UsageError(
            "A room has two data owners or more and at most one operator.", "Give each partner's card once."
        )
    for other in others:
        if other.offer is None:
            raise UsageError(
                "The card of {party} offers no dataset.", "Ask for a card with --dataset.", party=other.party.name
            )
    names = [each.offer["name"] for each in (own, *others) if each.offer is not None]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                "Both sides call their dataset {name}.", "Add one of them again under another name.", name=name
            )
    last = len(others) == 1 and others[0].party.role == "merchant" and own.party.role != "merchant"
    return (*others, own) if last else (own, *others), operators[0] if operators else None


def _receiver(wanted: str, owners: Sequence[Card]) -> str:
    """The owner meant, by name or by role."""
    found = [each.party.name for each in owners if wanted in (each.party.name, each.party.role)]
    if len(found) != 1:
        names = ", ".join(each.party.name for each in owners)
        raise UsageError("{name} is not one of the data owners.", "They are: {names}.", name=wanted, names=names)
    return found[0]


def _drafted(home: Home, plan: Plan, owners: Sequence[Card],
             operator: Card | None) -> tuple[Contract, tuple[Annex, ...]]:  # fmt: skip
    if operator is not None and plan.protocol != "keyed":
        raise UsageError("In {protocol} an operator has nothing to do.", "Leave its card out.", protocol=plan.protocol)
    host = operator.party.name if operator is not None else plan.receiver
    slots = [found for each in owners if each.party.name != host and (found := _slots(each, plan.protocol))]
    if len(owners) > 2:
        plan = replace(plan, commitment=room_secrets.draw(home))
    return assemble(plan, owners, None if operator is None else operator.party, slots)


def _slots(card: Card, protocol: Protocol) -> Slots | None:
    """Amounts travel as slots; between two parties so do the cells of the first category or bucket."""
    offer = card.offer or {}
    sums = tuple(column["name"] for column in offer["columns"] if column["kind"] == "amount")
    groups = tuple(column["name"] for column in offer["columns"] if column["kind"] != "amount")[:1]
    by = () if protocol == "keyed" else groups
    return Slots(offer["name"], by, sums, **cards.paillier(offer)) if sums or by else None
