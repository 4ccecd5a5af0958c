"""Insight, crowds and activations for users by token and providers by grant: each held to room, columns and channel.

Each is checked at the call, when its job begins and when its result is fetched; sizes come back as ranges, and ledgers
name both the party and who asked.
"""

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from cleanroom import auditing, planning
from cleanroom.access import acting, users
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.activation import memberships
from cleanroom.crowds import desk as crowd_desk
from cleanroom.crowds.lists import Lists
from cleanroom.crowds.rule import Other, Pool, Rule, listed, simple
from cleanroom.errors import CleanroomError, UsageError
from cleanroom.ledger.store import read
from cleanroom.node import work
from cleanroom.node.config import Config, written
from cleanroom.node.daemon import asked_by
from cleanroom.node.door import Door
from cleanroom.node.parties import usual
from cleanroom.node.peers import Peers
from cleanroom.node.queue import Job, Jobs
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.grants import EVERY, GrantRefused, Scope
from tests import near
from tests.access import world as access_world
from tests.crowds import world
from tests.crowds.world import ROOM

GOLD, CITY = "level = 'gold'", "level = 'gold' AND city = 'Hangzhou'"
COLUMNS = ("crm.level", "users.stage")
CALLS = ("insight", "crowd", "activate")
PASSWORD = "correct horse battery"


class Near:
    """A node's meeting with its peers, all of them near; its own part of a run says who asked, as its worker's does."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def meeting(self, *given: Any) -> "Near":
        self._home, self._met = given[0], usual(*given)
        return self

    def call(self, job: str, arguments: dict[str, dict[str, Any]]) -> Any:
        own = {**arguments[self._home.party], "asked_by": asked_by(self._home.party, self._job.asked_by)}
        return self._met.call(job, {**arguments, self._home.party: own})

    def __enter__(self) -> "Near":
        self._met.__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._met.__exit__(*failure)


class Node:
    """A merchant's node as far as others reach it, in a room with crowds; an agency is pinned there."""

    def __init__(self, made: world.World, agency: Any) -> None:
        self.home, self.agency, self.made = made.homes["merchant"], agency, made
        access_world.pinned(self.home, agency)
        (self.home.path / "node.toml").write_text(written(Config("merchant", "", "", "")))
        self.state = State.open(self.home)
        self.door, self.jobs = Door(self.home, self.state, Config("merchant", "", "", "")), Jobs(self.state)
        self.purpose = made.room.contract.purposes[0]

    def grant(self, *calls: str, columns: tuple[str, ...] = (EVERY,), channels: tuple[str, ...] = (EVERY,)) -> int:
        scope, ends = Scope(calls, (ROOM,), channels, columns), dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        return grants.add(self.home, "agency", self.agency.keys.public.signing.hex(), scope, ends)[0].number

    def act(self, call: str, arguments: dict[str, Any], room: str = ROOM, channel: str = "") -> dict[str, Any]:
        body = acting.request(self.agency, "merchant", call, room, arguments, channel=channel)
        return self.door.request(Peers(self.home).get("agency"), body)

    def code(self, call: str, arguments: dict[str, Any], room: str = ROOM, channel: str = "") -> str:
        """'' where it is let in, else the error's code."""
        try:
            self.act(call, arguments, room, channel)
        except CleanroomError as error:
            return str(error.details()["code"])
        return ""

    def done(self, number: object) -> dict[str, Any]:
        """The job's end: checked when it begins, worked, its result kept."""
        job = self.jobs.get(str(number))
        self.door.check_again(job)
        found = work.KINDS[job.kind](self.home, job.room, job.arguments, Near(job), lambda *_: None)  # type: ignore[arg-type]
        if job.state == "queued":
            with self.state.transaction() as database:  # as a node takes it, whatever else waits
                database.execute("UPDATE jobs SET state = 'running', started = created WHERE id = ?", (job.id,))
            self.jobs.finish(job.id, found)
        return found

    def followed(self, number: object) -> dict[str, Any]:
        return self.door.followed(Peers(self.home).get("agency"), {"id": number})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp("marketers")
    with near.parties():
        node = Node(world.build(folder), access_world.home(folder, "agency"))
        planning.make(node.home.path, ROOM)
        yield node
        node.state.close()


@pytest.fixture
def node(made: Node) -> Iterator[Node]:
    """Without the grants and users of the test before."""
    yield made
    (made.home.path / "grants.json").unlink(missing_ok=True)
    for name in ("mary", "paul"):
        if acting.store.load(made.home).user(name):
            users.remove(made.home, name)


@pytest.fixture(scope="module")
def codes(made: Node) -> dict[str, str]:
    """The merchant's own crowds: within the grant's columns, and beyond, in four ways."""
    path, people = made.home.path, made.home.vault.digests("crm")[:10]
    Lists(made.home).create("LIST", "upload", "some", people)
    found = {"gold": crowd_desk.create(path, ROOM, "gold", rule=simple(GOLD)).code}
    found["city"] = crowd_desk.create(path, ROOM, "city", rule=simple(CITY)).code
    found["upload"] = crowd_desk.create(path, ROOM, "list", rule=listed("LIST")).code
    found["other"] = crowd_desk.create(path, ROOM, "on city", rule=Rule((Pool((Other(found["city"]),)),))).code
    return found


ASKED: list[tuple[str, dict[str, Any], str]] = [
    ("crowd", {"do": "estimate", "where": GOLD}, ""),
    ("crowd", {"do": "estimate", "where": [GOLD, "stage = 'pay'"]}, ""),
    ("crowd", {"do": "estimate", "where": CITY}, "columns"),
    ("crowd", {"do": "create", "name": "x", "where": CITY}, "columns"),
    ("crowd", {"do": "create", "name": "x", "where": GOLD, "channels": ["coupon"]}, ""),
    ("crowd", {"do": "create", "name": "x", "where": GOLD, "channels": ["message"]}, "channel"),
    ("crowd", {"do": "create", "name": "x", "where": GOLD, "channels": ["coupon", "message"]}, "channel"),
    ("crowd", {"do": "estimate", "rule": listed("LIST").plain()}, "columns"),
    ("crowd", {"do": "estimate", "where": "nothing = 1"}, "column"),
    ("crowd", {"do": "estimate"}, "usage"),
    ("crowd", {"do": "estimate", "rule": {"format": "x"}}, "data"),
    ("crowd", {"do": "drop", "crowd": "gold"}, "usage"),
    ("crowd", {"crowd": "gold"}, "usage"),
    ("crowd", {"do": "estimate", "where": GOLD, "channel": "coupon"}, "usage"),
    ("crowd", {"do": "refresh", "crowd": "gold"}, ""),
    ("crowd", {"do": "refresh", "crowd": "C0000000000000000"}, "usage"),
    *(("crowd", {"do": do, "crowd": name}, "columns") for do in ("refresh", "show")
      for name in ("city", "upload", "other")),
    ("activate", {"crowd": "gold", "channel": "coupon", "purpose": "p"}, ""),
    ("activate", {"crowd": "gold", "channel": "message", "purpose": "p"}, "channel"),
    ("activate", {"crowd": "gold", "channel": "*", "purpose": "p"}, "channel"),
    ("activate", {"crowd": "gold", "purpose": "p"}, "usage"),
    ("activate", {"crowd": "gold", "channel": ["coupon"], "purpose": "p"}, "usage"),
    *(("activate", {"crowd": name, "channel": "coupon", "purpose": "p"}, "columns")
      for name in ("city", "upload", "other")),
    ("insight", {"page": "portrait", "columns": ["stage"]}, ""),
    ("insight", {"page": "portrait", "columns": "users.stage", "where": GOLD}, ""),
    ("insight", {"page": "portrait", "columns": ["city"]}, "columns"),
    ("insight", {"page": "portrait", "columns": ["stage"], "where": "city = 'Hangzhou'"}, "columns"),
    ("insight", {"page": "portrait", "columns": ["stage"], "base": "city = 'Hangzhou'"}, "columns"),
    ("insight", {"page": "portrait"}, "columns"),
    ("insight", {"page": "overview"}, "columns"),  # a page of a board is of all columns
    ("insight", {"page": "portrait", "columns": ["stage"], "chart": "/tmp/x.svg"}, "usage"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "arguments", "code"), ASKED)
def test_a_call_beyond_columns_or_channels_of_the_grant_makes_no_job(
    node: Node, codes: dict[str, str], call: str, arguments: dict[str, Any], code: str
) -> None:
    node.grant(*CALLS, columns=COLUMNS, channels=("coupon",))
    named = {
        **arguments,
        **({"crowd": codes.get(arguments["crowd"], arguments["crowd"])} if "crowd" in arguments else {}),
    }
    before = len(node.jobs.listed(most=1000))
    assert node.code(call, named) == code
    assert len(node.jobs.listed(most=1000)) == before + (code == "")
    assert node.code(call, named, room="autumn") == "room"


@pytest.mark.parametrize("given", CALLS)
def test_one_call_is_no_other(node: Node, codes: dict[str, str], given: str) -> None:
    node.grant(given)
    asked: dict[str, dict[str, Any]] = {
        "insight": {"page": "portrait"}, "crowd": {"do": "show", "crowd": codes["city"]},
        "activate": {"crowd": codes["city"], "channel": "coupon", "purpose": "p"},
    }  # fmt: skip
    assert {call: node.code(call, asked[call]) for call in CALLS} == {
        call: "" if call == given else "call" for call in CALLS
    }


def test_a_request_for_one_channel_is_none_for_another(node: Node, codes: dict[str, str]) -> None:
    """What was signed in the head must be what the arguments say."""
    node.grant("activate")
    asked = {"crowd": codes["gold"], "channel": "message", "purpose": "p"}
    assert node.code("activate", asked, channel="coupon") == "data"
    assert node.code("activate", asked, channel="message") == ""


def test_a_provider_lists_the_crowds_that_its_grant_covers(node: Node, codes: dict[str, str]) -> None:
    node.grant("crowd", columns=COLUMNS)
    shown = node.act("crowd", {"do": "list", "size": 200})
    found = {each["code"] for each in shown["crowds"]}
    assert codes["gold"] in found
    assert not found & {codes[name] for name in ("city", "upload", "other")}
    assert shown["total"] == len(found)
    assert node.code("crowd", {"do": "list"}, room="") == "room"
    owner = node.door.call(Caller("owner"), "crowd", ROOM, {"do": "list", "size": 200})
    assert set(codes.values()) <= {each["code"] for each in owner["crowds"]}


@pytest.mark.parametrize("call", CALLS)
def test_a_grant_revoked_holds_at_the_jobs_beginning_and_at_its_result(
    node: Node, codes: dict[str, str], call: str
) -> None:
    asked: dict[str, dict[str, Any]] = {
        "insight": {"page": "portrait", "columns": ["stage"]}, "crowd": {"do": "show", "crowd": codes["gold"]},
        "activate": {"crowd": codes["gold"], "channel": "coupon", "purpose": "p"},
    }  # fmt: skip
    node.grant("jobs")
    number = node.grant(call)
    asked_for = node.act(call, asked[call])
    job = node.jobs.get(str(asked_for["id"]))
    assert (job.kind, job.room, job.asked_by, job.peer) == (call, ROOM, "agency", "")
    node.door.check_again(job)
    assert node.followed(job.id)["state"] == "queued"
    grants.revoke(node.home, number)
    for late in (lambda: node.door.check_again(job), lambda: node.followed(job.id),
                 lambda: node.act("jobs", {"id": job.id})):  # fmt: skip
        with pytest.raises(GrantRefused):
            late()


def test_a_role_taken_away_holds_at_the_jobs_beginning_and_at_its_result(node: Node, codes: dict[str, str]) -> None:
    users.add(node.home, "mary", ["marketer", "analyst"], PASSWORD)
    mary = Caller("user", "mary", ("marketer", "analyst"))
    number = node.door.call(mary, "crowd", ROOM, {"do": "show", "crowd": codes["gold"]})["id"]
    node.done(number)
    assert node.door.call(mary, "jobs", "", {"id": number})["result"]["code"] == codes["gold"]
    users.set_roles(node.home, "mary", ["analyst"])
    with pytest.raises(AccessRefused):
        node.door.check_again(node.jobs.get(str(number)))
    with pytest.raises(AccessRefused):
        node.door.call(mary, "jobs", "", {"id": number})


@pytest.mark.parametrize(("role", "may"), [
    ("marketer", {"insight", "crowd"}), ("analyst", {"insight"}), ("approver", {"activate"}), ("auditor", set()),
    ("operator", set()), ("owner", set(CALLS)),
])  # fmt: skip
def test_users_by_token_do_what_their_role_allows(node: Node, codes: dict[str, str], role: str, may: set[str]) -> None:
    users.add(node.home, "paul", [role], PASSWORD)
    caller, asked = users.authenticate(node.home, users.issue(node.home, "paul", "test", 1)[0]), {
        "insight": {"page": "overview"}, "crowd": {"do": "list"},
        "activate": {"crowd": codes["gold"], "channel": "coupon", "purpose": "p"},
    }  # fmt: skip
    found = set()
    for call in CALLS:
        try:
            node.door.call(caller, call, ROOM, asked[call])
            found.add(call)
        except AccessRefused as refused:
            assert refused.code == "role"
    assert found == may


def test_from_a_crowd_to_its_people_by_grant(node: Node) -> None:
    """Created, counted, refreshed, activated, looked at: the provider sees ranges, the ledgers whom it acted for."""
    node.grant(*CALLS, columns=COLUMNS, channels=("coupon",))
    crowd = node.done(node.act("crowd", {"do": "create", "name": "golden payers", "where": GOLD})["id"])
    code = crowd["code"]
    estimate = node.done(node.act("crowd", {"do": "estimate", "where": GOLD})["id"])
    version = node.done(node.act("crowd", {"do": "refresh", "crowd": code, "charge": "yes"})["id"])
    number = node.act("activate", {"crowd": code, "channel": "coupon", "purpose": node.purpose}, channel="coupon")["id"]
    task = node.done(number)
    again = node.done(number)  # begun twice, as after a node's sudden end
    assert estimate["size"]["range"] == version["size"]["range"] == task["size"]["range"] == [1_000, 1_999]
    assert (task["task"]["status"], again["task"]["number"]) == ("done", task["task"]["number"])
    held = memberships.load(node.made.homes["platform"], ROOM, code)
    assert {node.made.users[row] for row in held.rows} == node.made.meant(("gold",))
    shown = node.done(node.act("crowd", {"do": "show", "crowd": code})["id"])
    portrait = node.done(node.act("insight", {"page": "portrait", "columns": ["stage"], "where": GOLD})["id"])
    assert {each["column"] for each in portrait["portraits"]} == {"users.stage"}
    told = json.dumps([crowd, estimate, version, task, shown, portrait, node.followed(number)])
    assert "noised" not in told and str(node.home.path) not in told
    assert not any(phone in told for phone in node.made.members[:100])
    for home in node.made.homes.values():
        auditing.verified(home.path, None, None)
    debits = [each for each in read(node.home.ledger_path).entries if each.kind == "debit"]
    assert debits[-1].body["asked_by"] == ["merchant", "agency"]  # the activation; the rest the plan told for nothing


def test_a_crowd_that_is_created_twice_by_one_job_is_one(node: Node) -> None:
    users.add(node.home, "mary", ["marketer"], PASSWORD)
    number = node.door.call(Caller("user", "mary", ("marketer",)), "crowd", ROOM,
                            {"do": "create", "name": "twice", "where": GOLD})["id"]  # fmt: skip
    assert node.done(number)["code"] == node.done(number)["code"]


def test_an_activation_names_all_that_it_needs(node: Node, codes: dict[str, str]) -> None:
    users.add(node.home, "paul", ["approver"], PASSWORD)
    for missing in ("crowd", "channel", "purpose"):
        asked = {"crowd": codes["gold"], "channel": "coupon", "purpose": node.purpose}
        del asked[missing]
        number = node.door.call(Caller("user", "paul", ("approver",)), "activate", ROOM, asked)["id"]
        with pytest.raises(UsageError, match=missing):
            node.done(number)
