"""What is left of the privacy budgets of this node's datasets, and what may still be asked for it. Nothing here writes.

A budget belongs to a dataset over all its rooms, recipients and versions, a calendar month at a time (UTC); how much it
is, the contract of each room says. What was spent is read from the ledger as it stands.
"""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanroom.answer import closing
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.ledger.chain import Entry
from cleanroom.ledger.spending import charges, closed, month_of, renewal
from cleanroom.ledger.store import read
from cleanroom.privacy import accounting
from cleanroom.rooms.contract import Contract
from cleanroom.rooms.store import Room, Rooms


@dataclass(frozen=True)
class Budget:
    """A dataset's budget in one room, in millionths of ρ: what was spent in all rooms this month, what is left here.

    sigma: of the room's noise, in persons; price: of a plain count by it.
    """

    dataset: str
    room: str
    sigma: int
    delta: float
    spent: int
    most: int
    price: int

    @property
    def left(self) -> int:
        """What may still be spent this month."""
        return max(0, self.most - self.spent)

    @property
    def questions(self) -> int:
        """How many more plain counts may be asked this month."""
        return self.left // self.price

    def plain(self) -> dict[str, Any]:
        """For programs, with ε beside ρ."""
        return {
            "dataset": self.dataset,
            "room": self.room,
            "sigma": self.sigma,
            "delta": self.delta,
            "within": accounting.half_width(self.sigma),
            "questions_left": self.questions,
            "price": self._both(self.price),
            "spent": self._both(self.spent),
            "left": self._both(self.left),
            "budget": self._both(self.most),
        }

    def _both(self, micro: int) -> dict[str, Any]:
        return {"rho_micro": micro, "epsilon": round(accounting.epsilon(micro, self.delta), 4)}


def told(path: Path, name: str | None = None) -> dict[str, Any]:
    """Budgets of the home's datasets in every room with noise, or in the room `name`; exact: rooms without noise.

    Raises UsageError where there is no such room, or none of this node's datasets in it.
    """
    home = Home.open(path.expanduser())
    kept = Rooms(home.rooms)
    rooms = [kept.load(each) for each in ([name] if name else kept.names())]
    ours = [room.contract for room in rooms if _in_force(room) and home.party in room.contract.owners]
    if name and not ours:
        raise UsageError(
            "The room {name} is not in force, or has no dataset of this node.", "See: cleanroom room list", name=name
        )
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entries = read(home.ledger_path).entries if home.ledger_path.exists() else ()
    budgets = [_budget(contract, home.party, entries, now) for contract in ours if contract.release.noise != "off"]
    return {
        "home": str(home.path),
        "party": home.party,
        "month": month_of(now),
        "renews": renewal(now),
        "budgets": [budget.plain() for budget in sorted(budgets, key=lambda each: (each.dataset, each.room))],
        "exact": [contract.room for contract in ours if contract.release.noise == "off"],
    }


def _budget(contract: Contract, party: str, entries: tuple[Entry, ...], now: str) -> Budget:
    dataset, release = contract.dataset_of(party), contract.release
    most = closing.budget(contract, dataset)
    spent = sum(each.rho_micro for each in charges(entries) if _counts(each.entry, dataset.name, now))
    if month_of(now) <= closed(entries):  # a restore: what was spent since the backup is not known
        spent = max(spent, most)
    return Budget(
        dataset=dataset.name,
        room=contract.room,
        sigma=release.sigma,
        delta=accounting.delta(dataset.rows),
        spent=spent,
        most=most,
        price=accounting.rho_micro(release.sigma, 1, contract.moved),
    )


def _counts(debit: Entry, lineage: str, now: str) -> bool:
    """As the ledger itself counts: this month, and what a clock that ran ahead put after it."""
    return debit.body["lineage"] == lineage and month_of(debit.time) >= month_of(now)


def _in_force(room: Room) -> bool:
    """Whether it is signed by all, has not ended and nobody has left it: others cannot be asked."""
    try:
        room.in_force(dt.datetime.now(dt.UTC))
    except (Refused, BadData):
        return False
    return True
