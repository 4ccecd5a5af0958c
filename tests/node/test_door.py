"""What users with tokens and providers with grants get done at a node, and what they do not."""

import datetime as dt
import json
import os
import socket
import stat
from pathlib import Path

import pytest

from cleanroom.access import acting, matrix, users
from cleanroom.access.check import AccessRefused, Caller
from cleanroom.errors import BadData, Interrupted, Refused, UsageError
from cleanroom.ledger.opening import open_ledger
from cleanroom.node import visiting
from cleanroom.node.config import Config, written
from cleanroom.node.door import _JOBS, Door, Reception, knock
from cleanroom.node.peers import Peers
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.grants import EVERY, GrantRefused, Scope
from tests.access import world
from tests.rooms.test_templates import save

SQL = "SELECT tier, COUNT(*) FROM matched WHERE city = '一线' GROUP BY tier"
PASSWORD = "correct horse battery"


class Node:
    """A merchant's node as far as others reach it, with an agency that it has pinned."""

    def __init__(self, folder: Path) -> None:
        self.home, self.agency = world.home(folder, "merchant"), world.home(folder, "agency")
        save({"merchant": self.home, **{name: world.home(folder, name) for name in ("platform", "operator")}}, "free")
        world.pinned(self.home, self.agency)
        (self.home.path / "node.toml").write_text(written(Config("merchant", "", "", "")))
        self.state = State.open(self.home)
        self.config = Config("merchant", "", "", "")
        self.door = Door(self.home, self.state, self.config)
        self.logged: list[str] = []
        self.jobs = Jobs(self.state)

    def user(self, name: str, *roles: str) -> str:
        users.add(self.home, name, roles, PASSWORD)
        return users.issue(self.home, name, "test", 1)[0]

    def grant(self, *calls: str, columns: tuple[str, ...] = (EVERY,)) -> int:
        scope = Scope(calls, ("spring",), (EVERY,), columns)
        ends = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
        return grants.add(self.home, "agency", self.agency.keys.public.signing.hex(), scope, ends)[0].number

    def act(self, call: str, arguments: dict[str, object], room: str = "spring") -> dict[str, object]:
        body = acting.request(self.agency, "merchant", call, room, arguments)
        return self.door.request(Peers(self.home).get("agency"), body)


@pytest.fixture
def node(tmp_path: Path):
    made = Node(tmp_path)
    yield made
    made.state.close()


@pytest.fixture
def reception(node: Node):
    opened = Reception(node.home, node.door, node.config, lambda event, **facts: node.logged.append(json.dumps(facts)))
    yield node.home.path / "node.sock"
    opened.close()


def test_a_provider_gets_a_job_in_the_partys_name_and_follows_it(node):
    node.grant("query")
    asked = node.act("query", {"sql": SQL})
    job = node.jobs.get(str(asked["id"]))
    assert (job.kind, job.room, job.asked_by, job.peer, job.state) == ("query", "spring", "agency", "", "queued")
    node.jobs.take(dt.datetime.now(dt.UTC), 0)
    node.jobs.finish(job.id, {"rows": []})
    followed = node.door.followed(Peers(node.home).get("agency"), {"id": job.id})
    assert (followed["state"], followed["result"]) == ("done", {"rows": []})


def test_a_grant_revoked_ends_also_what_is_under_way(node):
    number = node.grant("query")
    asked = node.act("query", {"sql": SQL})
    grants.revoke(node.home, number)
    with pytest.raises(GrantRefused):
        node.door.followed(Peers(node.home).get("agency"), {"id": asked["id"]})
    with pytest.raises(GrantRefused):
        node.act("query", {"sql": SQL})


def test_a_provider_sees_no_job_but_its_own(node):
    node.grant("query", "jobs")
    others = node.jobs.submit("query", "spring", {"sql": SQL}, "merchant")
    own = node.act("query", {"sql": SQL})
    with pytest.raises(UsageError):
        node.door.followed(Peers(node.home).get("agency"), {"id": others.id})
    with pytest.raises(UsageError):
        node.act("jobs", {"id": others.id})
    assert [job["id"] for job in node.act("jobs", {})["jobs"]] == [own["id"]]
    with pytest.raises(UsageError):
        node.act("jobs", {"id": others.id, "cancel": True})


@pytest.mark.parametrize("columns", [("crm.tier",), ("users.city",)])
def test_columns_outside_the_grant_are_refused_before_a_job_is_made(node, columns):
    node.grant("query", columns=columns)
    with pytest.raises(GrantRefused):
        node.act("query", {"sql": SQL})
    assert node.jobs.listed() == []


def test_another_node_cannot_bring_a_request_that_it_did_not_sign(node, tmp_path):
    node.grant("query")
    body = acting.request(node.agency, "merchant", "query", "spring", {"sql": SQL})
    other = world.home(tmp_path, "other")
    world.pinned(node.home, other)
    with pytest.raises(Refused):
        node.door.request(Peers(node.home).get("other"), body)
    assert node.jobs.listed() == []


@pytest.mark.parametrize("name", ["../keys/signing.secret", "/etc/passwd", ".hidden", "a/b", "", "x\0y", "x\ny", 7])
def test_files_are_named_and_lie_in_folders_that_are_for_them(node, name):
    token_of = Caller("user", "ada", ("owner",))
    users.add(node.home, "ada", ("owner",), PASSWORD)
    for call, argument in (("import", "source"), ("members", "file")):
        with pytest.raises(UsageError, match="by its name alone"):
            node.door.call(token_of, call, "spring", {argument: name})
    found = node.door.call(token_of, "members", "spring", {"file": "members.csv"})
    assert node.jobs.get(found["id"]).arguments["file"] == str(node.home.path / "outgoing" / "members.csv")


def test_a_link_in_those_folders_leads_nowhere(node):
    (node.home.path / "incoming").mkdir()
    (node.home.path / "incoming" / "crm.csv").symlink_to(node.home.path / "node.json")
    users.add(node.home, "ada", ("owner",), PASSWORD)
    with pytest.raises(UsageError, match="by its name alone"):
        node.door.call(Caller("user", "ada", ("owner",)), "import", "", {"source": "crm.csv", "dataset": "crm"})


def test_users_do_by_token_what_their_roles_allow(node, reception, monkeypatch):
    analyst, auditor = node.user("ada", "analyst"), node.user("eve", "auditor")
    asked = {"call": "query", "room": "spring", "arguments": {"sql": SQL}}
    found = knock(reception, {"token": analyst, **asked})
    assert node.jobs.get(found["id"]).asked_by == "ada"
    with pytest.raises(Refused, match="roles do not allow"):
        knock(reception, {"token": auditor, **asked})
    seen = knock(reception, {"token": analyst, "call": "jobs", "room": "", "arguments": {}})
    assert [job["id"] for job in seen["jobs"]] == [found["id"]]
    monkeypatch.setenv(visiting.TOKEN_VARIABLE, analyst)
    assert visiting.asked(str(reception), "", "status", "", {})["result"]["party"] == "merchant"


def test_a_password_gives_a_token_for_some_hours(node, reception, tmp_path):
    users.add(node.home, "ada", ("analyst",), PASSWORD)
    with pytest.raises(Refused):
        visiting.logged_in(str(reception), "ada", "wrong", tmp_path / "token")
    assert not (tmp_path / "token").exists()
    visiting.logged_in(str(reception), "ada", PASSWORD, tmp_path / "token")
    assert stat.S_IMODE((tmp_path / "token").stat().st_mode) == 0o600
    assert visiting.asked(str(reception), str(tmp_path / "token"), "jobs", "", {})["result"] == {"jobs": []}


def test_neither_tokens_nor_words_of_users_are_logged(node, reception):
    analyst = node.user("ada", "analyst")
    knock(reception, {"token": analyst, "call": "query", "room": "spring", "arguments": {"sql": SQL}})
    with pytest.raises(Refused):
        knock(reception, {"token": "cln_" + "x" * 43, "call": "status", "room": "", "arguments": {}})
    text = "".join(node.logged)
    assert "一线" not in text and analyst not in text and "xxx" not in text


@pytest.mark.parametrize("line", [b"", b"[]\n", b"{\n", b"[" * 9000 + b"\n", b'{"token": 1}\n', b"\xff\n",
                                  b'{"token": "x", "call": "status", "room": "", "arguments": []}\n'])  # fmt: skip
def test_garbage_at_the_socket_is_answered_by_name(node, reception, line):
    with socket.socket(socket.AF_UNIX) as knocking:
        knocking.connect(os.path.relpath(reception))
        knocking.sendall(line)
        knocking.shutdown(socket.SHUT_WR)
        answer = json.loads(knocking.makefile("rb").readline())
    assert answer["error"]["kind"] in ("BadData", "Refused")


def test_the_socket_is_its_owners_alone_and_where_no_node_is_nothing_answers(node, reception, tmp_path):
    assert stat.S_IMODE(reception.stat().st_mode) == 0o600
    with pytest.raises(Interrupted, match="does not answer"):
        knock(tmp_path / "nowhere.sock", {})
    with pytest.raises(UsageError, match="socket"):
        visiting.asked("", "", "status", "", {})


def test_a_call_that_the_door_does_not_have_is_named(node):
    users.add(node.home, "ada", ("owner",), PASSWORD)
    owner = Caller("user", "ada", ("owner",))
    with pytest.raises(UsageError, match="not to be had here"):
        node.door.call(owner, "keys", "", {})
    with pytest.raises(UsageError, match="does not know meeting"):
        node.door.call(owner, "query", "spring", {"sql": SQL, "meeting": "x"})
    with pytest.raises(AccessRefused):
        node.door.call(Caller("user", "nobody", ("owner",)), "query", "spring", {"sql": SQL})
    with pytest.raises(BadData):
        node.door.followed(Peers(node.home).get("agency"), {"id": "../x"})


def test_the_platforms_operator_keeps_its_catalogue_by_token(node, reception):
    token = node.user("olga", "operator")

    def call(_call: str, **arguments: object) -> dict[str, object]:
        return knock(reception, {"token": token, "call": _call, "room": "", "arguments": arguments})

    call("channels", name="feed", zh="信息流", en="Feed", purposes=["insight"])
    call("quotas", peer="agency", runs="5", rows=1000)
    assert call("channels")["channels"][0]["name"] == "feed" and call("quotas")["quotas"][0]["runs"] == 5
    call("channels", drop="feed")
    assert call("channels")["channels"] == [] and call("usage")["usage"] == []
    for bad in ({"name": "x", "more": 1}, {"name": "x"}, {"drop": "nothing"}):
        with pytest.raises((UsageError, BadData)):
            call("channels", **bad)
    with pytest.raises(UsageError, match="number as runs"):
        call("quotas", peer="agency", runs="many", rows=1)
    with pytest.raises(Refused):
        call("query", sql=SQL)


def test_an_auditor_reads_the_ledger_and_an_analyst_schedules(node, reception):
    auditor, analyst = node.user("eve", "auditor"), node.user("ada", "analyst")

    def call(token: str, _call: str, **arguments: object) -> dict[str, object]:
        return knock(reception, {"token": token, "call": _call, "room": "spring", "arguments": arguments})

    with open_ledger(node.home) as ledger:
        ledger.append("import", {"dataset": "crm", "manifest": "0" * 64, "rows": 1})
    assert [each["kind"] for each in call(auditor, "audit")["entries"]] == ["import"]
    made = call(analyst, "schedule", spec="daily 03:30", call="query", sql=SQL)
    assert [each["id"] for each in call(analyst, "schedule")["schedules"]] == [made["id"]]
    call(analyst, "schedule", remove=made["id"])
    assert call(analyst, "schedule")["schedules"] == []
    with pytest.raises(Refused):
        call(analyst, "schedule", spec="daily 03:30", call="members", file="m.csv")
    with pytest.raises(Refused):
        call(auditor, "schedule", spec="daily 03:30", call="query", sql=SQL)


def test_what_the_table_says_is_served_is_served(node):
    assert set(matrix.SERVED) == {*_JOBS, *node.door._answers}
