"""Rooms in the console: the contract in plain words, and the way of two parties to a signed room and its change."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cleanroom.access import users
from cleanroom.rooms.store import Rooms, from_plain
from tests.console.conftest import PASSWORD, Answer, Client, served
from tests.rooms import wire

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]
RULES = '\nconsole = true\n\n[approval]\napprovers = ["approver", "owner"]\n'
NEW = {"name": "spring", "days": "30", "purpose": "spring campaign", "with": "platform", "operator": "",
       "dataset": "crm", "columns": "tier", "protocol": "dh", "k": "100", "noise": "yes", "receiver": ""}  # fmt: skip


# -- a room that is in force


def test_the_contract_in_plain_words_names_who_learns_what(client: Of) -> None:
    page = client("owner").get("/rooms/market")
    for said in ("Who learns what by a run", "which of its own rows matched", "Any owner together with the operator",
                 "may define crowds", "Least number of persons behind a number", "in force",
                 "marketing to members"):  # fmt: skip
        assert said in page.text, said
    assert "谁得知什么" in client("owner").get("/rooms/market", language="zh").text


def test_whoever_may_not_see_data_sees_no_values(client: Of) -> None:
    assert "金卡" in client("marketer").get("/rooms/market").text
    assert "金卡" not in client("operator").get("/rooms/market").html
    assert b"\xe9\x87\x91\xe5\x8d\xa1" not in client("marketer").get("/rooms/market/contract.json").content


def test_it_is_verified_as_every_run_does(client: Of) -> None:
    answer = client("auditor").get("/rooms/market/verify", part=True)
    assert "every signature verifies" in answer.text
    assert "<html" not in answer.html
    assert "Verify market" in client("auditor").get("/rooms/market/verify").text


def test_the_file_is_the_signed_contract(client: Of, market: Path) -> None:
    answer = client("auditor").get("/rooms/market/contract.json")
    import json

    room = from_plain(json.loads(answer.content))
    assert room.contract.digest() == Rooms(market / "rooms").load("market").contract.digest()
    assert room.complete
    assert answer.headers["content-disposition"].startswith("attachment")


def test_the_report_says_what_the_law_asks(client: Of) -> None:
    text = client("approver").get("/rooms/market/report").text
    for said in (
        "Impact assessment of the room market",
        "Who learns what by a run",
        "Opinion of the data protection officer",
    ):
        assert said in text, said
    assert client("approver").get("/rooms/market/report?as=xlsx").content[:2] == b"PK"


@pytest.mark.parametrize(("who", "path"), [("marketer", "/rooms/-new"), ("marketer", "/rooms/market/change"),
                                           ("approver", "/rooms/market/leave"),
                                           ("operator", "/rooms/market/report")])  # fmt: skip
def test_roles_bound_what_can_be_done(client: Of, who: str, path: str) -> None:
    assert client(who).get(path).status == 403
    assert path not in client(who).get("/rooms/market").html


@pytest.mark.parametrize("who", ["marketer", "analyst", "auditor"])
def test_only_those_who_bind_the_party_sign_or_leave(client: Of, who: str) -> None:
    for act in ("sign", "refuse", "accept", "leave"):
        assert (
            client(who).post(f"/rooms/market/{act}", {"reason": "no", "name": "market", "sure": "true"}).status == 403
        )


def test_a_room_that_there_is_not_is_a_named_error(client: Of) -> None:
    answer = client("owner").get("/rooms/nothing/change")
    assert answer.status == 400
    assert "There is no room nothing here" in answer.text


def test_nobody_leaves_by_a_slip(client: Of, market: Path) -> None:
    answer = client("owner").post("/rooms/market/leave", {"reason": "over", "name": "markt"})
    assert "Type the room" in answer.text
    assert not Rooms(market / "rooms").load("market").left


# -- two parties agree


class Two:
    """A merchant's and a platform's console, and the post between their nodes."""

    def __init__(self, world: wire.World, clients: dict[tuple[str, str], Client]) -> None:
        self.world, self._clients = world, clients

    def __call__(self, party: str, who: str = "owner") -> Client:
        return self._clients[party, who]

    def deliver(self) -> None:
        self.world.deliver()
        assert not any(node.failed for node in self.world.nodes.values())


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Two]:
    folder = tmp_path_factory.mktemp("two")
    (folder / "made").mkdir()
    (folder / "here").mkdir()
    world = wire.World(wire.prepared(folder / "made"), folder / "here")
    clients: dict[tuple[str, str], Client] = {}
    for party in wire.DATASETS:
        home = world[party].home
        settings = home.path / "node.toml"
        settings.write_text(settings.read_text() + RULES)
        settings.chmod(0o600)
        for who in ("owner", "approver", "analyst"):
            users.add(home, who, [who], PASSWORD.format(who))
    with served(world["merchant"].path) as merchant, served(world["platform"].path) as platform:
        for party, url in (("merchant", merchant), ("platform", platform)):
            path = world[party].path
            for who in ("owner", "approver", "analyst"):
                clients[party, who] = Client(url, path, who, path, int(url.rpartition(":")[2]))
        yield Two(world, clients)
        for each in clients.values():
            each.close()
    world.close()


def digest_in(page: Answer) -> str:
    """That of the contract which a page asks to sign."""
    found = re.search(r'name="digest" value="([0-9a-f]{64})"', page.html)
    assert found, page.text
    return found[1]


def agreed(two: Two, **other: Any) -> str:
    """A room that both consoles have signed."""
    wished = {**NEW, **other}
    assert two("merchant").post("/rooms/-new", wished).status == 303
    two.deliver()
    answer = {"dataset": "users", "columns": "tier"}
    assert two("platform").post(f"/rooms/{wished['name']}/accept", answer).status == 303
    two.deliver()
    for party in ("merchant", "platform"):
        digest = digest_in(two(party).get(f"/rooms/{wished['name']}/review"))
        assert two(party).post(f"/rooms/{wished['name']}/sign", {"digest": digest, "sure": "true"}).status == 303
        two.deliver()
    return str(wished["name"])


def test_two_consoles_come_to_a_signed_room(two: Two) -> None:
    merchant, platform = two("merchant"), two("platform")
    form = merchant.get("/rooms/-new")
    assert "tier" in form.text
    assert "automatic takes" in form.text
    assert merchant.post("/rooms/-new", NEW).where == "/rooms/spring/review"
    assert "waiting for platform" in merchant.get("/rooms/spring/review").text
    two.deliver()

    asked = platform.get("/inbox")
    assert "Invitation to a room" in asked.text
    assert "/rooms/spring/review" in asked.html
    page = platform.get("/rooms/spring/review")
    assert "spring campaign" in page.text
    assert "Your answer would show" in page.text
    assert "tier" in platform.get("/rooms/-columns?dataset=users", part=True).text
    platform.post("/rooms/spring/accept", {"dataset": "users", "columns": "tier"})
    two.deliver()

    page = platform.get("/rooms/spring/review")
    assert "Why this protocol" in page.text
    digest = digest_in(page)
    assert digest == digest_in(merchant.get("/rooms/spring/review"))
    assert platform.post("/rooms/spring/sign", {"digest": "0" * 64, "sure": "true"}).status == 409
    assert platform.post("/rooms/spring/sign", {"digest": digest}).status == 400
    assert platform.post("/rooms/spring/sign", {"digest": digest, "sure": "true"}).where == "/rooms/spring/review"
    two.deliver()
    assert merchant.post("/rooms/spring/sign", {"digest": digest, "sure": "true"}).where == "/rooms/spring"
    two.deliver()
    for client in (merchant, platform):
        assert "in force" in client.get("/rooms").text
        assert "every signature verifies" in client.get("/rooms/spring/verify", part=True).text


def test_a_change_shows_what_gets_looser_and_binds_only_when_all_have_signed(two: Two) -> None:
    name = agreed(two, name="change")
    assert two("merchant").post(f"/rooms/{name}/change", {"k": "200"}).where == f"/rooms/{name}/review"
    two.deliver()
    page = two("platform").get(f"/rooms/{name}/review")
    assert "at least 200 people behind any number; before: 100" in page.text
    assert "as strict, or stricter" in page.text
    assert two("platform").post(f"/rooms/{name}/refuse", {"reason": ""}).status == 400
    two("platform").post(f"/rooms/{name}/refuse", {"reason": "too strict"})
    two.deliver()
    assert "too strict" in two("merchant").get(f"/rooms/{name}/review").text
    two("merchant").post(f"/rooms/{name}/change", {"epsilon": "20", "purpose": "another"})
    two.deliver()
    page = two("platform").get(f"/rooms/{name}/review")
    assert "looser: protects less" in page.text
    assert "A change of this room is being agreed on" in two("platform").get(f"/rooms/{name}").text
    for party in ("platform", "merchant"):
        digest = digest_in(two(party).get(f"/rooms/{name}/review"))
        two(party).post(f"/rooms/{name}/sign", {"digest": digest, "sure": "true"})
        two.deliver()
    assert Rooms(two.world["platform"].home.rooms).load(name).contract.release.epsilon == 20
    assert "Earlier contracts of this room" in two("merchant").get(f"/rooms/{name}").text


def test_what_makes_no_sense_is_said_beside_the_form(two: Two) -> None:
    merchant = two("merchant")
    for wrong, said in (({"with": []}, "at least one partner"), ({"k": "ten"}, "whole number"),
                        ({"k": "3"}, "at least"),
                        ({"columns": "shoe_size"}, "cannot offer"), ({"name": "../x"}, "A name may have"),
                        ({"operator": "platform"}, "named twice")):  # fmt: skip
        answer = merchant.post("/rooms/-new", {**NEW, "name": "wrong", **wrong}, part=True)
        assert said in answer.text, wrong
        assert answer.headers["hx-retarget"] == "#notice"
    assert "wrong" not in merchant.get("/rooms").text


def test_whose_name_is_not_among_the_approvers_is_told_so(two: Two) -> None:
    two("merchant").post("/rooms/-new", {**NEW, "name": "asking"})
    two.deliver()
    page = two("platform", "analyst").get("/rooms/asking/review")
    assert "An approver or the owner of this node answers." in page.text
    assert "/rooms/asking/accept" not in page.html
    two("platform", "approver").post("/rooms/asking/refuse", {"reason": "not now"})
    two.deliver()
    assert "not now" in two("merchant").get("/rooms/asking/review").text


def test_who_leaves_ends_the_room_for_all(two: Two) -> None:
    name = agreed(two, name="leaving")
    assert two("merchant", "approver").post(f"/rooms/{name}/leave", {"reason": "x", "name": name}).status == 403
    two("merchant").post(f"/rooms/{name}/leave", {"reason": "the campaign is over", "name": name})
    two.deliver()
    assert "the campaign is over" in two("platform").get(f"/rooms/{name}").text
