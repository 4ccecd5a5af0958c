"""The inbox: what a yes reveals is read before it is said, who may say it, and what became of it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cleanroom.access import delegating
from cleanroom.activation import approving
from cleanroom.activation.memberships import Use
from cleanroom.home import Home
from cleanroom.node.approvals import Approvals
from cleanroom.node.config import load
from cleanroom.node.state import State
from cleanroom.privacy.ranges import Range
from cleanroom.rooms.store import Rooms
from tests.console.conftest import Client, users_of

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[[str], Client]
ROOM = "market"


@pytest.fixture(scope="module")
def home(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A platform's home, whose approver may decide."""
    path = Path(shutil.copytree(prepared / "peers" / "platform", tmp_path_factory.mktemp("inbox") / "home",
                                symlinks=True))  # fmt: skip
    settings = path / "node.toml"
    settings.write_text(settings.read_text().replace('"owner", ', ""))
    settings.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def of(home: Path) -> Iterator[Of]:
    """A signed-in user of that home's console."""
    with users_of(home) as found:
        yield found


@pytest.fixture
def asked(home: Path) -> Iterator[Approvals]:
    """What waits: each test asks for what it needs."""
    with State.open(Home.open(home)) as state:
        yield Approvals(state, load(home).approval)


def crowd(home: Path, asked: Approvals, version: str) -> str:
    """A crowd that a merchant wants to be addressed here."""
    contract = Rooms(home / "rooms").load(ROOM).contract
    use = Use("coupon", "marketing to members", "2026-12-31", "Gold members", "")
    what, reveals = approving.said(contract, use, "c-1", version, ("crm.level", "crm.city"), 3, Range(2_000, 4_999))
    payload = {"crowd": "c-1", "version": version, "channel": "coupon", "purpose": use.purpose}
    return asked.ask(approving.KIND, ROOM, "merchant", what, reveals, payload)


def test_a_crowd_shows_what_it_discloses_person_by_person(of: Of, home: Path, asked: Approvals) -> None:
    crowd(home, asked, "20261122")
    page = of("approver").get("/inbox")
    for said in ("Crowd to be addressed", "one bit, to platform: whether they meet the rule", "crm.level, crm.city",
                 "merchant coupon", "3 of 31 that a person may be in", "2,000 to 4,999 people; the least is 1,000",
                 "marketing to members, until 2026-12-31"):  # fmt: skip
        assert said in page.text, said
    chinese = of("approver").get("/inbox", language="zh").text
    assert "商家券" in chinese
    assert "whether" not in chinese


def test_a_no_needs_a_reason_and_is_kept_with_it(of: Of, home: Path, asked: Approvals) -> None:
    number = crowd(home, asked, "20261123")
    assert of("approver").post(f"/inbox/{number}", {"yes": "false", "reason": " "}).status == 400
    assert asked.get(number).state == "waiting"
    assert of("approver").post(f"/inbox/{number}", {"yes": "false", "reason": "too <b>often</b>"}).where == "/inbox"
    assert (asked.get(number).state, asked.get(number).decided_by) == ("refused", "approver")
    page = of("approver").get("/inbox?tab=decided")
    assert "too <b>often</b>" in page.text
    assert "<b>often" not in page.html
    assert of("approver").post(f"/inbox/{number}", {"yes": "true"}).status == 409


def test_a_yes_is_said_once_by_who_may(of: Of, home: Path, asked: Approvals) -> None:
    number = crowd(home, asked, "20261124")
    for who in ("marketer", "analyst", "auditor", "operator"):
        assert of(who).post(f"/inbox/{number}", {"yes": "true"}).status == 403, who
        assert of(who).get("/inbox").status == 403
    page = of("owner").get(f"/inbox/{number}")  # by role, but the node's settings do not name them
    assert "Your name is not among them" in page.text
    assert of("owner").post(f"/inbox/{number}", {"yes": "true"}).status == 409
    assert of("approver").post(f"/inbox/{number}", {"yes": "true"}).status == 303
    assert asked.get(number).state == "approved"
    assert "approved" in of("approver").get(f"/inbox/{number}").text


def test_terms_of_a_room_lead_to_its_page(of: Of, asked: Approvals) -> None:
    number = asked.ask(
        "room.sign", "other", "merchant", [("For: {purposes}", {"purposes": "more"})], [], {"meeting": "1"}
    )
    page = of("approver").get("/inbox")
    assert "/rooms/other/review" in page.html
    assert f'action="/inbox/{number}"' not in page.html
    assert of("approver").post(f"/inbox/{number}", {"yes": "true"}).status == 400


def test_a_grant_is_for_the_owner_to_give(of: Of, asked: Approvals) -> None:
    number = asked.ask(delegating.KIND, "", "provider", [("{party} asks to act in this party's name for {days} days: "
                       "{calls}; in the rooms {rooms}.", {"party": "provider", "days": 30, "calls": "query",
                                                           "rooms": "market"})], [], {"peer": "provider"})  # fmt: skip
    assert "The owner of this node decides on grants." in of("approver").get(f"/inbox/{number}").text
    assert of("approver").post(f"/inbox/{number}", {"yes": "true"}).status == 403
    assert asked.get(number).state == "waiting"


def test_what_there_is_not_is_a_named_error(of: Of) -> None:
    assert of("approver").get("/inbox/" + "0" * 32).status == 400
    assert of("approver").post("/inbox/zzzz", {"yes": "true"}).status == 400
