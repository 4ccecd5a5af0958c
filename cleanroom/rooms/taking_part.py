"""Who takes part in a question: the owners of the datasets that it lines up, and the operator. Nobody else is asked,
signs its receipt or sees its release. Between two owners that is everybody.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from cleanroom.errors import BadData, Refused
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.terms import Dataset

if TYPE_CHECKING:
    from cleanroom.gate.ask import Ask
    from cleanroom.ledger.receipt import Receipt


def takes_part(contract: Contract, asked: "Ask") -> tuple[str, ...]:
    """The parties that answer `asked`, in the contract's order; of an owner's own dataset that owner alone."""
    if asked.table in {dataset.name for dataset in contract.datasets}:
        return (contract.dataset(asked.table).owner,)
    return parties_of(contract, asked.over)


def parties_of(contract: Contract, over: Sequence[str] = ()) -> tuple[str, ...]:
    """The parties of a run that lines up the datasets `over`, all where none is named; in the contract's order."""
    away = set(contract.owners) - set(owners_of(contract, over))
    return tuple(party.name for party in contract.parties if party.name not in away)


def owners_of(contract: Contract, over: Sequence[str] = ()) -> tuple[str, ...]:
    """The owners of the datasets `over`, in the order of the match."""
    owners = {dataset.owner for dataset in lined_up(contract, over)}
    return tuple(owner for owner in contract.owners if owner in owners)


def lined_up(contract: Contract, over: Sequence[str] = ()) -> tuple[Dataset, ...]:
    """The terms of the datasets `over`, all where none is named; in the contract's order.

    Raises Refused for fewer than two, for one named twice, and for one that the room has not.
    """
    names = {dataset.name for dataset in contract.datasets}
    if over and (len(over) < 2 or len(set(over)) != len(over) or not set(over) <= names):
        raise Refused("A question lines up two or more datasets of its room, each once.", "FROM matched means all.")
    return tuple(dataset for dataset in contract.datasets if not over or dataset.name in over)


def signers(contract: Contract, receipt: "Receipt") -> dict[str, bytes]:
    """Who must have signed a receipt, and by which Ed25519 key. Raises BadData where it names datasets that the room
    does not line up."""
    named = [(version.owner, version.name) for version in receipt.datasets]
    if receipt.tables:
        return _of_board(contract, receipt)
    over = [name for _, name in named] if contract.match.others else []
    try:
        datasets = lined_up(contract, over)
    except Refused as error:
        raise BadData("The receipt is about other datasets than its contract.") from error
    if contract.match.others and sorted(named) != sorted((each.owner, each.name) for each in datasets):
        raise BadData("The receipt is about other datasets than its contract.")
    return keys_of(contract, parties_of(contract, over))


def _of_board(contract: Contract, receipt: "Receipt") -> dict[str, bytes]:
    """Of a board: the dataset's owner, and the other owner who asked."""
    (version,) = receipt.datasets
    known = [(each.owner, each.name) for each in contract.datasets if each.name in contract.release.alone]
    two = len(set(receipt.recipients)) == len(receipt.recipients) == 2 and set(receipt.recipients) <= set(
        contract.owners
    )
    if (version.owner, version.name) not in known or version.owner not in receipt.recipients or not two:
        raise BadData("The receipt is about other datasets than its contract.")
    return keys_of(contract, receipt.recipients)


def hub(contract: Contract, parties: Sequence[str]) -> str:
    """With whom every other party of a run has a link: the host, and where it takes no part the first of the two."""
    return contract.match.host if contract.match.host in parties else min(parties)


def keys_of(contract: Contract, parties: Collection[str]) -> dict[str, bytes]:
    """Ed25519 public keys of these parties."""
    return {party.name: bytes.fromhex(party.signing) for party in contract.parties if party.name in parties}
