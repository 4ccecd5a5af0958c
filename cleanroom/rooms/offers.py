"""What an offered contract must be before anybody is asked to read it: of those it says, and as was agreed."""

from dataclasses import replace

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.node.peers import Peers
from cleanroom.rooms import cards
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.meetings import Meeting, Part
from cleanroom.rooms.store import Room, Rooms


def parts_in(contract: Contract) -> dict[str, Part]:
    """What each party of a contract is."""
    return {each.name: "owner" if each.name in contract.owners else "operator" for each in contract.parties}


def check_names(home: Home, contract: Contract, sender: str) -> None:
    """Raises BadData unless the sender is a party, this node another with its own keys, and every party that is pinned
    has the keys that are pinned."""
    peers = Peers(home)
    if sender == home.party or not {sender, home.party} <= {each.name for each in contract.parties}:
        raise BadData("A contract came from somebody who is no party of it, or is for others.")
    for each in contract.parties:
        known = home.keys.public if each.name == home.party else None
        if known is None and each.name in peers.names():
            known = peers.get(each.name).public
        if known is not None and (each.signing, each.exchange) != (known.signing.hex(), known.exchange.hex()):
            raise BadData("The contract names other keys for {party}.", party=each.name)


def check_invited(meeting: Meeting, contract: Contract) -> None:
    """Raises Refused for other parties than were invited, or in other parts."""
    if parts_in(contract) != dict(meeting.invited):
        raise Refused("The contract has other parties than were invited.")


def check_own_terms(home: Home, meeting: Meeting, room: Room) -> None:
    """Raises Refused where the contract says of this party's dataset what its card did not offer."""
    offer = meeting.cards[home.party]["dataset"]
    if offer is None:
        return
    dataset = room.contract.dataset_of(home.party)
    terms, annexes = cards.terms(offer, home.party)
    columns = {column.name: column for column in terms.columns}
    labels = {annex.column: (annex.labels, annex.edges) for annex in annexes}
    fits = dataset.name == terms.name and set(dataset.identities) == set(terms.identities)
    for column in dataset.columns if fits else ():
        own = columns.get(column.name)
        fits = fits and own is not None and replace(own, annex=column.annex, members=column.members) == column
        fits = fits and own is not None and (own.members or not column.members)
        if fits and column.kind != "amount":
            annex = room.annex(dataset.name, column.name)
            fits = labels[column.name] == (annex.labels, annex.edges)
    if not fits:
        raise Refused("The contract says of {dataset} what this party's card does not offer.", dataset=terms.name)


def in_force(home: Home, name: str, digest: str) -> Room:
    """The room of that name, if that contract of it holds here and nobody left; it may have expired. Raises Refused."""
    room = Rooms(home.rooms).load(name) if name in Rooms(home.rooms).names() else None
    if room is None or not room.complete or room.contract.digest() != digest:
        raise Refused("The change is of another contract than the room {room} has here.", "Propose it anew.", room=name)
    for statement in room.left:
        raise statement.refusal()
    return room


def check_change(before: Contract, after: Contract) -> None:
    """Raises Refused where it is more than a change: other parties, or other keys, need a room of their own."""
    if set(before.parties) != set(after.parties) or before.room != after.room:
        raise Refused("A change keeps the room's name and its parties with their keys.", "Agree on a new room.")
    if parts_in(before) != parts_in(after) or before.digest() == after.digest():
        raise Refused("A change keeps who brings data, and changes something.", "Agree on a new room.")
