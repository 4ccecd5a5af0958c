"""A board over real nodes: two of them, while the operator's is down."""

from dataclasses import replace
from pathlib import Path

import pytest

from cleanroom import auditing, boards
from cleanroom.home import Home
from cleanroom.insight.board_store import Boards
from cleanroom.rooms.contract import SignedContract
from cleanroom.rooms.store import Room, Rooms
from tests.boards import world
from tests.node import world as nodes

pytestmark = pytest.mark.nodes


def test_two_nodes_make_a_board_without_the_operator(tmp_path: Path) -> None:
    made = nodes.world(nodes.template(), tmp_path, direct=True)
    homes = {name: Home.open(made.home(name)) for name in nodes.PARTIES}
    held = Rooms(homes["merchant"].rooms).load("keyed")
    name = held.contract.dataset_of("platform").name
    release = replace(held.contract.release, alone=(name,))
    contract = replace(held.contract, room="boards", release=release)
    world.agree(homes, Room(SignedContract(contract), held.annexes))
    try:
        made.start("merchant", "platform")
        first = boards.make(made.home("merchant"), "boards")
        again = boards.make(made.home("merchant"), "boards")
        made.quiet()
    finally:
        made.close()
    assert (first["charged"], again["charged"], again["receipt"]) == (True, False, first["receipt"])
    board = Boards(homes["merchant"]).latest("boards", name)
    exact = boards.own(homes["platform"], "boards")
    assert board is not None
    assert ("city",) in board.counts
    assert abs(board.counts["city",] - exact.counts["city",]).max() <= 12 * board.sigma
    for party in ("merchant", "platform"):
        auditing.verified(made.home(party), None, None)
