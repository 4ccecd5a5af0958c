"""A run about a crowd: each owner brings what it selects by the crowd's rule, and the match of these is counted.

It is a plan of one's own kind: the number of people in the crowd and, where asked, tables by one column of the
receiver, each number noised. Where a note goes along and the noised number reaches the contract's floor, the receiver
is told which of its own rows are in the crowd; nobody else is. An operator is told a digest in place of the rule, and
of a rule that mixes both sides a token a class.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.crowds import note as notes
from cleanroom.crowds import selection as selections
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selecting import where
from cleanroom.crowds.selection import Selection
from cleanroom.enclave.query import Where
from cleanroom.errors import BadData, Refused
from cleanroom.rooms.contract import Contract

LABEL = "cleanroom/crowd-asked/2"
_ASKED = "cleanroom/crowd-rule/2"
_COLUMN = "crowd:"
_OF_OWNER, _OF_OPERATOR = {"selection", "note"}, {"digest", "given"}


@dataclass(frozen=True)
class CrowdAsked:
    """What is asked of a crowd. rule: a digest of selection and note; given: whether the receiver is to have its
    members; selection, note: for owners alone, the note only where they are given."""

    rule: str
    given: bool
    selection: Selection | None = None
    note: CrowdNote | None = None

    @classmethod
    def of(cls, selection: Selection, note: CrowdNote | None) -> "CrowdAsked":
        """As an owner has it."""
        plain: dict[str, canonical.Json] = {"rule": selection.plain(), "note": note.plain() if note else None}
        return cls(canonical.digest(_ASKED, plain), note is not None, selection, note)

    @property
    def digest(self) -> str:
        """In hex, of all that is asked. It binds `given`, too: an operator, who sees no rule, gives nobody members of
        whom an owner was asked for the size alone."""
        return canonical.digest(LABEL, {"rule": self.rule, "given": self.given})

    def for_owner(self) -> dict[str, Any]:
        """For the job of an owner. Only where it holds the rule."""
        if self.selection is None:
            raise _malformed()
        return {"selection": self.selection.plain(), "note": self.note.plain() if self.note else None}

    def for_operator(self) -> dict[str, Any]:
        """For the job of an operator, who learns no rule."""
        return {"digest": self.rule, "given": self.given}

    def columns(self, contract: Contract) -> dict[str, str]:
        """Dataset → the column that holds its people's classes, dataset.column; it exists in this run alone."""
        return {dataset.name: f"{dataset.name}.{_COLUMN}{self.digest[:32]}" for dataset in contract.datasets}

    def where(self, contract: Contract) -> Where:
        """Who is in the crowd, of those selected who match; by numbers of classes. Raises Refused."""
        return () if self.selection is None else where(contract, self.selection, self.columns(contract))

    def is_class(self, name: str) -> bool:
        """Whether a column (dataset.column) is one of classes."""
        return name.partition(".")[2] == f"{_COLUMN}{self.digest[:32]}"


def from_job(value: Mapping[str, Any] | None) -> CrowdAsked | None:
    """Of `for_owner` or `for_operator`. Raises BadData."""
    if value is None:
        return None
    if value.keys() == _OF_OPERATOR and _is_digest(value["digest"]) and type(value["given"]) is bool:
        return CrowdAsked(value["digest"], value["given"])
    if value.keys() != _OF_OWNER:
        raise _malformed()
    note = None if value["note"] is None else notes.from_plain(value["note"])
    return CrowdAsked.of(selections.from_plain(value["selection"]), note)


def check(contract: Contract, asked: CrowdAsked, by: tuple[str, ...], asker: str = "") -> None:
    """Whether a room answers this about a crowd. asker: who began the run, where that is known. Raises Refused."""
    term = contract.activation
    if term is None:
        raise Refused("The contract of this room lets no crowd be made.", "Agree on an [activation] in the contract.")
    receiver = contract.dataset_of(term.receiver)
    if foreign := next((name for name in by if name.partition(".")[0] != receiver.name), None):
        raise Refused("A crowd is counted by columns of {party} alone, not by {column}.",
                      party=term.receiver, column=foreign)  # fmt: skip
    if asked.given and asker == term.receiver:
        raise _for_the_other_side(asker)
    if asked.selection is None:
        return
    asked.selection.check(contract)
    asked.where(contract)
    shows = asked.given or contract.match.protocol != "keyed"  # between two parties the host sees whom the match is of
    if shows:
        selections.members_only_by(contract, asked.selection, term.receiver)
        if asker == term.receiver:
            raise _for_the_other_side(asker)
    if asked.note is not None:
        _check_note(contract, asked.note, term.channels)


def _for_the_other_side(receiver: str) -> Refused:
    return Refused("Whom {party} may address is for the other side to say.", party=receiver)


def _check_note(contract: Contract, note: CrowdNote, channels: tuple[str, ...]) -> None:
    if note.channel not in channels:
        raise Refused("The contract has no channel {channel}.", "It has: {channels}.",
                      channel=note.channel, channels=", ".join(channels))  # fmt: skip
    if note.purpose not in contract.purposes:
        raise Refused("The contract has no purpose {purpose}.", "It has: {purposes}.",
                      purpose=note.purpose, purposes=", ".join(contract.purposes))  # fmt: skip
    if note.ends > contract.expires[:10]:
        raise Refused("The crowd would be used after the contract's end.", "It ends on {day}.",
                      day=contract.expires[:10])  # fmt: skip


def check_noise(contract: Contract, asked: CrowdAsked, sigma: int) -> None:
    """Raises Refused where a crowd would be given by a size that says nothing: with noise wide enough a single person
    would reach the floor every other time."""
    if asked.given and sigma > contract.release.sigma:
        raise Refused("A crowd is given by a size with noise of {sigma} persons at most.",
                      sigma=contract.release.sigma)  # fmt: skip


def enough(contract: Contract, noised: int) -> bool:
    """Whether a crowd of that noised size may be given."""
    return contract.activation is not None and noised >= contract.activation.floor


def gives(contract: Contract, asked: CrowdAsked | None, noised: int) -> bool:
    """Whether the receiver is told the crowd's members."""
    return asked is not None and asked.given and enough(contract, noised)


def receives(contract: Contract, party: str) -> bool:
    """Whether the party is who addresses people."""
    return contract.activation is not None and contract.activation.receiver == party


def _is_digest(value: Any) -> bool:
    return type(value) is str and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _malformed() -> BadData:
    return BadData("What is asked of a crowd is not in the form that this version knows.")
