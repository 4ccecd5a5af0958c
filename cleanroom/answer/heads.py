"""Whether a ledger still holds what peers have seen of it: told before a run, so that none is set back unnoticed."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

from cleanroom.answer.notes import reading, take
from cleanroom.answer.side import Side
from cleanroom.errors import Refused
from cleanroom.ledger.chain import Head
from cleanroom.ledger.opening import open_ledger


def seen(side: Side) -> dict[str, Any]:
    """Of the ledger of everybody else who takes part the newest head that this one countersigned: it must hold it
    still."""
    with open_ledger(side.home) as ledger:
        others = {name: key for name, key in side.signing_keys.items() if name != side.party}
        found = {name: ledger.seen(name, key) for name, key in others.items()}
    return {name: head.plain() for name, head in found.items() if head is not None}


def check_not_set_back(side: Side, notes: Sequence[Any]) -> None:
    """Raises BadData where a peer has seen more of this party's ledger than it holds: noise would be drawn anew, and
    nobody is charged. A head that is here counts whatever came after it, so runs at the same time do no harm.

    After a restore raises Refused until every owner of data in a room from before has accepted the new line: a run that
    was cut off shows no head, though its noise was drawn.
    """
    with open_ledger(side.home) as ledger:
        restored, accepted = ledger.restored(), 0
        for note in notes:
            if (claimed := take(note, "seen", dict).get(side.party)) is not None:
                with reading():
                    head = Head.parse(claimed)
                    head.verify(bytes.fromhex(ledger.key))
                ledger.check_holds(head)
                accepted += restored is not None and head.seq >= restored.seq
        others = len(notes) - (side.party in side.contract.owners)
        if restored is not None and accepted < others and _moment(side.contract.created) <= _moment(restored.time):
            raise Refused(
                "The home of {party} was restored from a backup, and not every peer has accepted its ledger yet.",
                "A person accepts it there: cleanroom inbox.",
                party=side.party,
            )


def _moment(time: str) -> dt.datetime:
    return dt.datetime.fromisoformat(time)
