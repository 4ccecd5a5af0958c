"""A restored node tells its peers by a signed message; a person there is asked; a yes puts the new line on record."""

import datetime as dt
from pathlib import Path

import pytest

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.ledger.opening import open_ledger
from cleanroom.node import certificate
from cleanroom.node.approvals import Approvals
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message
from cleanroom.node.queue import Jobs
from cleanroom.node.schedule import Schedules
from cleanroom.node.state import State
from cleanroom.operations import desk, statement
from cleanroom.operations.restore import HANDLERS, restore
from tests.operations.world import World, backed_up, locks, world


@pytest.fixture
def pinned(tmp_path: Path) -> World:
    """Two nodes that have pinned each other."""
    parties = world(tmp_path)
    for home, peer in ((parties.merchant, parties.platform), (parties.platform, parties.merchant)):
        Peers(home).add(peer.party, "", certificate.own(peer).pem, peer.keys.fingerprint)
    return parties


def message(home: Home) -> Message:
    return Message("node.restored", "merchant", "platform", "0" * 32, "2026-01-01T00:00:00Z", statement.of(home))


def test_from_restore_to_a_persons_yes(pinned: World, tmp_path: Path) -> None:
    with State.open(pinned.merchant) as state:
        job = Jobs(state).submit("query", "spring", {}, "owner")
        Jobs(state).submit("match", "spring", {}, "owner")
        Jobs(state).take(dt.datetime.now(dt.UTC), 0)
    file = backed_up(pinned.merchant, tmp_path)
    pinned.ask(pinned.merchant, pinned.question(), b"noise")
    done = restore(file, locks(tmp_path)[1], tmp_path / "again")
    assert (done.told, done.cancelled) == (("platform",), 2)
    home = Home.open(tmp_path / "again")
    with State.open(home) as state:
        assert {each.state for each in Jobs(state).listed()} == {"cancelled"}
        assert Jobs(state).get(job.id).state == "cancelled"
        with state.reading() as database:
            assert database.execute("SELECT kind, peer FROM outbox").fetchall() == [("node.restored", "platform")]
    assert desk.tell_again(home.path)["told"] == ["platform"]

    with State.open(pinned.platform) as state:
        approvals = Approvals(state, Config(role="platform").approval)
        for _ in range(2):  # at least once: the same message may come again
            HANDLERS["node.restored"](pinned.platform, state, Config(role="platform"), message(home))
        (asked,) = approvals.waiting()
        assert (asked.kind, asked.asked_by) == ("restored", "merchant")
        texts = " ".join(text.format(**params) for text, params in asked.what)
        assert "You have seen its ledger up to entry 3" in texts
        with open_ledger(pinned.platform) as theirs, pytest.raises(BadData):  # asking changes nothing
            theirs.countersign(_head(home), home.keys.public.signing)
        decided = approvals.decide(asked.id, True, "Li", "called them", owner=True)
        statement.accept(pinned.platform, decided.asked_by, decided.payload, decided.decided_by)
        HANDLERS["node.restored"](pinned.platform, state, Config(role="platform"), message(home))
        assert approvals.waiting() == []  # accepted already
    with open_ledger(pinned.platform) as theirs:
        theirs.countersign(_head(home), home.keys.public.signing)
    with pytest.raises(Refused, match="accepted before"):
        statement.accept(pinned.platform, "merchant", statement.of(home), "Li")


def _head(home: Home) -> "object":
    with open_ledger(home) as ledger:
        return ledger.head()


def test_nobody_else_can_say_so(pinned: World, tmp_path: Path) -> None:
    """A statement of the platform's own key, or of a merchant's ledger that was not restored, is refused."""
    file = backed_up(pinned.platform, tmp_path)
    restore(file, locks(tmp_path)[1], tmp_path / "again")
    forged = statement.of(Home.open(tmp_path / "again"))
    with State.open(pinned.platform) as state, pytest.raises(BadData):
        HANDLERS["node.restored"](
            pinned.platform, state, Config(role="platform"),
            Message("node.restored", "merchant", "platform", "0" * 32, dt.datetime.now(dt.UTC).isoformat(), forged),
        )  # fmt: skip
    with pytest.raises(BadData):
        statement.accept(pinned.platform, "merchant", forged, "Li")


def test_the_time_that_a_person_reads_is_one(pinned: World, tmp_path: Path) -> None:
    file = backed_up(pinned.merchant, tmp_path)
    restore(file, locks(tmp_path)[1], tmp_path / "again")
    home = Home.open(tmp_path / "again")
    with open_ledger(home) as ledger:
        ledger.restore("2026-01-01T00:00:00Z \x1b[2J")
    with State.open(pinned.platform) as state, pytest.raises(BadData, match="not in a form"):
        HANDLERS["node.restored"](pinned.platform, state, Config(role="platform"), message(home))


def test_what_a_schedule_missed_since_the_backup_does_not_start_at_once(pinned: World, tmp_path: Path) -> None:
    def due(home: Home) -> int:
        with State.open(home) as state:
            return len(Schedules(state, Jobs(state)).due(dt.datetime.now(dt.UTC)))

    with State.open(pinned.merchant) as state:
        Schedules(state, Jobs(state)).add("daily 03:30", "query", "spring", {}, "merchant")
        with state.transaction() as database:
            database.execute("UPDATE schedules SET next = '2026-01-01T00:00:00.000Z'")
    file = backed_up(pinned.merchant, tmp_path)
    restore(file, locks(tmp_path)[1], tmp_path / "again")
    assert due(Home.open(tmp_path / "again")) == 0
    assert due(pinned.merchant) == 1
