"""Whether a ledger still holds what peers have seen of it: told before a run, so that none is set back unnoticed."""

from collections.abc import Sequence
from typing import Any

from cleanroom.answer.notes import reading, take
from cleanroom.answer.side import Side
from cleanroom.ledger.chain import Head
from cleanroom.ledger.opening import open_ledger


def seen(side: Side) -> dict[str, Any]:
    """Of every other party's ledger the newest head that this one countersigned: it must hold it still."""
    with open_ledger(side.home) as ledger:
        others = (party for party in side.contract.parties if party.name != side.party)
        found = {party.name: ledger.seen(party.name, bytes.fromhex(party.signing)) for party in others}
    return {name: head.plain() for name, head in found.items() if head is not None}


def check_not_set_back(side: Side, notes: Sequence[Any]) -> None:
    """Raises BadData where a peer has seen more of this party's ledger than it holds: noise would be drawn anew, and
    nobody is charged. A head that is here counts whatever came after it, so runs at the same time do no harm."""
    with open_ledger(side.home) as ledger:
        for note in notes:
            if (claimed := take(note, "seen", dict).get(side.party)) is not None:
                with reading():
                    head = Head.parse(claimed)
                    head.verify(bytes.fromhex(ledger.key))
                ledger.check_holds(head)
