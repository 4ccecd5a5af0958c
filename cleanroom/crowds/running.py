"""A crowd's run: its noised size, tables of it where asked, and its members to whoever addresses them.

Whoever asks gets noised numbers, never a member. The same crowd of the same day and data costs nothing again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanroom.answer import closing, crowd, planning
from cleanroom.answer.crowd import CrowdAsked
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Selection
from cleanroom.enclave.query import PEOPLE, split_name
from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.privacy import accounting
from cleanroom.privacy.ranges import Range, size_range
from cleanroom.querying import left, opened
from cleanroom.rooms.store import Room

__all__ = ["CrowdNote", "Found", "recall", "run"]


@dataclass(frozen=True)
class Found:
    """What a crowd's run released. people: noised, for this program alone: a person is shown `size`; tables: of every
    column (dataset.column) the noised count of each of its cells, by label; within: half the width of a count's 95 %
    interval; enough: whether so many may be addressed; charged: whether it cost something; receipt, question: their
    digests."""

    people: int
    size: Range
    within: int
    sigma: int
    enough: bool
    tables: dict[str, dict[str, int]]
    charged: bool
    rho_micro: int
    receipt: str
    question: str

    def shown(self) -> dict[str, Any]:
        """For people and programs of theirs: sizes as ranges."""
        return {
            "size": {"range": [self.size.low, self.size.high], "withheld": self.size.withheld,
                     "text": self.size.text()},
            "enough": self.enough, "charged": self.charged, "rho_micro": self.rho_micro, "receipt": self.receipt,
        }  # fmt: skip


def price(path: Path, name: str, columns: int = 0, sigma: int = 0) -> dict[str, Any]:
    """What a run with tables by so many columns costs each dataset, and what is left of this one's."""
    home, room = opened(path, name)
    contract = room.contract
    sigma = sigma or contract.release.sigma
    rho = accounting.rho_micro(sigma, 1 + columns, contract.moved)
    return {"rho_micro": rho, "sigma": sigma, "within": accounting.half_width(sigma, 1),
            "left_rho_micro": left(home, contract, contract.dataset_of(home.party))}  # fmt: skip


def run(path: Path, name: str, selection: Selection, *, note: CrowdNote | None = None, tables: tuple[str, ...] = (),
        sigma: int = 0, progress: Progress | None = None, meeting: Meeting = usual) -> Found:  # fmt: skip
    """Count the crowd; with a note give its members to the receiver, where they are enough.

    tables: columns of the receiver, as dataset.column. Raises Refused for what the contract does not allow, or where
    the budget does not suffice.
    """
    home, room = opened(path, name)
    contract = room.contract
    if home.party not in contract.owners:
        raise Refused("Only an owner of data asks about the match.")
    asked = CrowdAsked.of(selection, note)
    by = tuple(sorted(tables))
    crowd.check(contract, asked, by, home.party)
    parties = [each.name for each in contract.parties]
    query = {"by": list(by), "sums": [], "sigma": sigma or contract.release.sigma, "plan": True}
    jobs = {
        party: {
            "room": name,
            "query": query,
            "crowd": asked.for_owner() if party in contract.owners else asked.for_operator(),
        }
        for party in parties
    }
    with meeting(home, contract, parties, progress) as met:
        outcome: dict[str, Any] = met.call("run", jobs)[home.party]
    return _found(home, room, outcome["receipt"]["question"], charged=outcome["charged"])


def recall(home: Home, room: Room, question: str) -> Found:
    """What was released of a crowd before, here or by a peer that asked: by the digest of the question."""
    return _found(home, room, question, charged=False)


def _found(home: Home, room: Room, question: str, *, charged: bool) -> Found:
    release, signed = closing.recall(home, question)
    receipt, flat = signed.receipt, release.table.column(PEOPLE).to_numpy()
    if (receipt.room, receipt.crowd == "") != (room.contract.room, False):
        raise BadData("This release is of no crowd of this room.")
    found, start = {}, 1
    for (column,) in planning.tables(receipt.asked())[1:]:
        labels = room.annex(*split_name(column)).labels
        found[column] = dict(zip(labels, flat[start : start + len(labels)].tolist(), strict=True))
        start += len(labels)
    people, k = int(np.int64(flat[0])), room.contract.release.k
    return Found(
        people, size_range(max(0, people), k), accounting.half_width(receipt.rules.sigma, 1), receipt.rules.sigma,
        crowd.enough(room.contract, people), found, charged, receipt.rho_micro, receipt.digest(),
        question,
    )  # fmt: skip
