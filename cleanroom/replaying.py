"""What a receipt's answer is made of counted once more, in the enclave, from the same data: the same, yes or no.

Nothing is charged, and nothing but what was released leaves. All parties must be on this machine, with the same
versions of their datasets.
"""

from pathlib import Path
from typing import Any

from cleanroom.answer.board import BoardAsked
from cleanroom.answer.closing import ANOTHER
from cleanroom.answer.side import Side
from cleanroom.enclave.query import Query, Where
from cleanroom.errors import BadData, Refused, UsageError
from cleanroom.home import Home
from cleanroom.ledger.receipt import Receipt, SignedReceipt, verify
from cleanroom.node.local import Progress
from cleanroom.node.parties import Meeting, usual
from cleanroom.privacy.history import plain_where
from cleanroom.querying import jobs
from cleanroom.rooms.store import Room, Rooms
from cleanroom.rooms.taking_part import signers
from protocols.errors import ProtocolError


def replayed(path: Path, file: Path, progress: Progress | None = None, *, meeting: Meeting = usual) -> dict[str, Any]:
    """Whether the counts behind the receipt in `file` are those that its question has.

    Raises UsageError where this node has not its room, BadData for one that does not verify, Refused where the datasets
    are others by now, or the question was never asked here.
    """
    home = Home.open(path.expanduser())
    try:
        signed = SignedReceipt.parse(file.read_bytes())
    except OSError as error:
        raise UsageError("{name} cannot be read: {reason}.", name=file.name, reason=error.strerror) from error
    receipt = signed.receipt
    room = Rooms(home.rooms).under(receipt.contract)
    if room is None:
        raise UsageError("This node has no room with the receipt's contract.")
    keys = signers(room.contract, receipt)
    verify(signed, keys)
    if home.party not in room.contract.owners or home.party not in keys:
        raise Refused("Only an owner of data can have an answer computed again.")
    if receipt.crowd:
        raise Refused("A crowd is of what its owners chose that day, which is not kept: it cannot be counted again.")
    names, board = list(keys), None
    if receipt.tables:
        owner = receipt.datasets[0].owner
        if home.party == owner:
            raise Refused("Whoever asked for a board can have it counted again: {party}.",
                          party=next(name for name in names if name != owner))  # fmt: skip
        board = BoardAsked(home.party, receipt.datasets[0].name, receipt.tables).plain()
    over = [] if board else list(receipt.over)
    query = {"by": list(receipt.by), "sums": list(receipt.sums), "sigma": receipt.rules.sigma, "plan": receipt.plan,
             "where": plain_where(_where(home, room, receipt)), "over": over}  # fmt: skip
    job = {"room": room.contract.room, "query": query, "again": True, "expected": receipt.question}
    job |= {"board": board} if board else {}
    counted = receipt.datasets[0].owner if board else room.contract.match.host
    same = True
    with meeting(home, room.contract, names, progress) as parties:
        try:
            outcomes = parties.call("run", jobs(room.contract, names, job))
            same = outcomes[home.party]["receipt"]["table"] == receipt.table
            host = outcomes.get(counted)  # at a node of its own it keeps what it saw
            same = same and (host is None or host["same"] is not False)
        except (BadData, ProtocolError) as error:
            if error.template != ANOTHER:
                raise
            same = False
    return {"room": room.contract.room, "receipt": receipt.digest(), "same": same}


def _where(home: Home, room: Room, receipt: Receipt) -> Where:
    """The condition by cell numbers; a neutral room's receipt has value tokens, which an owner can read."""
    if room.contract.match.protocol != "keyed":
        return receipt.where
    side = Side(home, room, Query(receipt.by, receipt.sums), {}, None, lambda *_: None, over=receipt.over)
    boxes = []
    for box in receipt.where:
        parts = []
        for name, tokens in box:
            dataset, _, column = name.partition(".")
            cells = room.contract.dataset(dataset).column(column).cells
            code_of = {token: code for code, token in enumerate(side.tokens(name, range(cells)))}
            if not all(token in code_of for token in tokens):
                raise BadData("The receipt names a value that no cell has.")
            parts.append((name, tuple(sorted(code_of[str(token)] for token in tokens))))
        boxes.append(tuple(parts))
    return tuple(boxes)
