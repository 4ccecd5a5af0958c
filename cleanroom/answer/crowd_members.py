"""What the receiver of a crowd does with the members that it was told: they are kept, sealed, and shown to nobody."""

from cleanroom.activation import memberships
from cleanroom.answer.crowd import CrowdAsked
from cleanroom.crowds.note import CrowdNote
from cleanroom.errors import BadData
from cleanroom.home import Home
from cleanroom.rooms.contract import Contract
from protocols.rows import Indices


def keep(home: Home, contract: Contract, asked: CrowdAsked, rows: Indices, receipt: str, noised: int) -> None:
    """The members of the crowd, at the receiver. rows: of its dataset, ascending; receipt: its digest; noised: the
    crowd's noised size."""
    if asked.selection is None:
        raise BadData("A crowd without a note has no members.")
    dataset = contract.dataset_of(home.party).name
    defined_by = tuple(name for name in asked.selection.columns if name.partition(".")[0] != dataset)
    memberships.keep(home, contract.room, _note(asked), dataset, rows, receipt, noised=noised, columns=defined_by,
                     rule=asked.selection.digest())  # fmt: skip


def check(home: Home, contract: Contract, asked: CrowdAsked) -> None:
    """Raises Refused where this receiver could not keep the members: to be asked before anybody is charged."""
    if asked.selection is None:
        raise BadData("A crowd without a note has no members.")
    memberships.check(home, contract.room, _note(asked), rule=asked.selection.digest())


def kept(home: Home, contract: Contract, asked: CrowdAsked) -> bool:
    """Whether the receiver holds the members of the crowd, for the note's channel."""
    return memberships.has(home, contract.room, _note(asked))


def _note(asked: CrowdAsked) -> CrowdNote:
    if asked.note is None:
        raise BadData("A crowd without a note has no members.")
    return asked.note
