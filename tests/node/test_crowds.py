"""A crowd made and given among three nodes: who learns what, and what a peer that asks for too much is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cleanroom.activation import memberships
from cleanroom.crowds import running
from cleanroom.crowds.note import CrowdNote
from cleanroom.crowds.selection import Selection, Within
from cleanroom.home import Home
from cleanroom.node import desk
from cleanroom.rooms.store import Rooms
from tests.crowds.world import ENDS, ROOM, World, build
from tests.node import world as worlds

pytestmark = [pytest.mark.nodes, pytest.mark.xdist_group("nodes")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return build(tmp_path_factory.mktemp("crowds"), "keyed")


@pytest.fixture
def nodes(made: World, tmp_path: Path) -> Iterator[worlds.World]:
    found = worlds.world(made.merchant.parent, tmp_path, direct=True)
    try:
        found.start(*worlds.PARTIES)
        yield found
    finally:
        found.close()


def test_a_crowd_is_given_over_nodes_and_a_receiver_cannot_take_one(made: World, nodes: worlds.World) -> None:
    labels = made.room.annex("crm", "level").labels
    rule = Selection(((Within("crm.level", (labels.index("gold"),)),),))
    note = CrowdNote("GOLD", "20261121", "gold members", "coupon", made.room.contract.purposes[0], ENDS)
    found = running.run(nodes.home("merchant"), ROOM, rule, note=note)
    nodes.quiet()
    meant = made.meant(("gold",))
    assert found.enough
    assert abs(found.people - len(meant)) < 50
    held = memberships.load(Home.open(nodes.home("platform")), ROOM, "GOLD", "20261121")
    assert {made.users[row] for row in held.rows} == meant
    nodes.audit()

    asked = {"selection": rule.plain(), "note": {**note.plain(), "code": "TAKEN"}}  # as a platform of its own making
    with desk.opened(nodes.home("platform")) as here:
        contract = Rooms(here.home.rooms).load(ROOM).contract
        query = {"by": [], "sums": [], "sigma": 6, "plan": True}
        jobs = {each.name: {"room": ROOM, "query": query, "crowd": asked} for each in contract.parties}
        jobs["operator"]["crowd"] = {"digest": "0" * 64, "given": True}
        number = here.jobs.submit("run", ROOM, {"parties": jobs}, "platform").id
    job = nodes.ended("platform", number)
    assert job.state == "failed"
    assert "is for the other side to say" in str(job.error)
