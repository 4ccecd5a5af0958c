"""A service provider's console: its merchants one by one, acting at each by its grant and the user's own role."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from cleanroom.access import acting, delegating, users
from cleanroom.access.portfolio import HANDLERS
from cleanroom.home import Home
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State
from cleanroom.rooms.grants import Scope
from tests.access import world
from tests.console.conftest import PASSWORD, Client, served

pytestmark = pytest.mark.xdist_group("console")
GIVEN = Scope(("query", "status", "budget", "insight", "crowd", "activate"), ("spring",), ("message",))
ANSWER = {"room": "spring", "exact": False, "withheld": True, "rows": [{"level": "gold", "people": 1200}],
          "within": [{"people": 39}], "price": {"epsilon": 0.1}, "receipt": {"digest": "ab"}}  # fmt: skip


@dataclass
class Agency:
    """A provider's console with two merchants, each of which granted something."""

    home: Home
    shop: Home
    url: str
    clients: dict[str, Client]

    def of(self, role: str) -> Client:
        if role not in self.clients:
            port = int(self.url.rpartition(":")[2])
            self.clients[role] = Client(self.url, self.home.path, role, self.home.path, port)
        return self.clients[role]

    def done(self, call: str, result: Any, merchant: str = "shop", by: str = "owner") -> str:
        """A job that has ended so."""
        with State.open(self.home) as state:
            jobs = Jobs(state)
            request = acting.request(self.home, merchant, call, "spring", {})
            job = jobs.submit("act", "spring", {"merchant": merchant, "request": request}, by)
            while (taken := jobs.take(dt.datetime.now(dt.UTC), 0)) is not None and taken.id != job.id:
                pass
            jobs.finish(job.id, result)
            return job.id


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agency]:
    folder = tmp_path_factory.mktemp("agency")
    home, shop, rival = (world.home(folder, name) for name in ("agency", "shop", "rival"))
    for merchant, scope, days in ((shop, GIVEN, 90), (rival, Scope(("status",), ("*",)), 7)):
        world.pinned(home, merchant)
        delegating.given(merchant.path, "agency", "", scope, days)
        world.carry(merchant, home, HANDLERS)
    for role in ("owner", "marketer", "auditor"):
        users.add(home, role, [role], PASSWORD.format(role))
    (home.path / "node.toml").write_text('role = "provider"\nconsole = true\nurl = "grpc+tls://127.0.0.1:8815"\n')
    (home.path / "node.toml").chmod(0o600)
    with served(home.path) as url:
        made = Agency(home, shop, url, {})
        yield made
        for each in made.clients.values():
            each.close()


def test_merchants_stand_apart_with_their_grants(agency: Agency) -> None:
    page = agency.of("owner").get("/clients").text
    assert "shop" in page and "rival" in page and "expires soon" in page
    assert "crowds to these channels alone: message" in page
    shop = agency.of("owner").get("/clients/shop")
    assert "Activate a crowd" in shop.text and "expires soon" not in shop.text
    rival = agency.of("owner").get("/clients/rival").text
    assert "Status" in rival and "Query" not in rival.partition("What to do")[2].partition("What you did")[0]
    assert agency.of("owner").get("/clients/nobody").status == 400


def test_the_users_own_role_bounds_what_is_offered_and_done(agency: Agency) -> None:
    marketer = agency.of("marketer")
    assert "?about=query" not in marketer.get("/clients/shop").html
    asked = {"call": "query", "where": "spring", "a.sql": "SELECT 1"}
    assert marketer.post("/clients/shop/act", asked).status == 403
    assert marketer.post("/clients/ask", {"merchant": "shop", "call": "query"}).status == 403
    assert agency.of("auditor").post("/clients/shop/act", {"call": "crowd", "where": "spring"}).status == 403
    number = agency.done("query", ANSWER, by="marketer")
    assert marketer.get(f"/clients/shop/done/{number}").status == 403


def test_acting_leaves_a_signed_request_for_that_merchant(agency: Agency) -> None:
    fields = {"call": "crowd", "where": "spring", "a.do": "create", "a.name": "gold", "a.where": "crm.level = 'gold'",
              "a.channels": ["message"], "a.sql": "not taken"}  # fmt: skip
    where = agency.of("marketer").post("/clients/shop/act", fields).where
    number = where.split("/jobs/")[1].split("?")[0]
    assert "gold" not in where
    with State.open(agency.home) as state:
        job = Jobs(state).get(number)
    request = job.arguments["request"]
    assert (job.kind, job.asked_by, job.arguments["merchant"], request["call"]) == ("act", "marketer", "shop", "crowd")
    assert request["arguments"] == {
        "do": "create",
        "name": "gold",
        "where": "crm.level = 'gold'",
        "channels": ["message"],
    }
    with State.open(agency.shop) as state, pytest.raises(Exception, match="spring") as raised:
        acting.verified(agency.shop, state, request, dt.datetime.now(dt.UTC))  # its grant held: it gets to the room
    assert "grant" not in type(raised.value).__name__.lower()
    assert agency.of("marketer").post("/clients/shop/act", {"call": "grant", "where": ""}).status == 400


def test_what_came_of_it_is_shown_with_its_noise(agency: Agency) -> None:
    page = agency.of("owner").get(f"/clients/shop/done/{agency.done('query', ANSWER)}").text
    assert "1,200 ± 39" in page and "charged to its budget" in page
    budget = {"budgets": [{"dataset": "crm", "room": "spring", "left": {"epsilon": 9.5}, "budget": {"epsilon": 10.0},
                           "questions_left": 1155}], "renews": "2026-12-01"}  # fmt: skip
    assert "ε 9.5" in agency.of("owner").get(f"/clients/shop/done/{agency.done('budget', budget)}").text
    crowds = {"crowds": [{"code": "C1", "name": "gold", "status": "ready", "size": {"text": "1,000–1,999"},
                          "channels": ["message"], "ends": "2027-01-01"}, {"code": "C2", "name": "new", "status": "new",
                          "size": None, "channels": [], "ends": "2027-01-01"}], "total": 2, "page": 1}  # fmt: skip
    shown = agency.of("owner").get(f"/clients/shop/done/{agency.done('crowd', crowds)}").text
    assert "1,000–1,999" in shown and "not counted yet" in shown
    insight = {"day": "2026-11-22", "metrics": [{"metric": "visitors", "title": "访客", "unit": "persons", "values": [
        {"label": "", "value": 2754.0, "low": 2476.0, "high": 3032.0, "reason": "", "marks": []},
        {"label": "pay", "value": None, "low": None, "high": None, "reason": "不予显示：不足 775 人"}]}]}  # fmt: skip
    figures = agency.of("owner").get(f"/clients/shop/done/{agency.done('insight', insight)}").text
    assert "2,476 – 3,032" in figures and "Visitors" in figures and "fewer than 775 persons" in figures
    status = {"party": "shop", "running": True, "jobs": {"done": 3}, "approvals": 1}
    assert "jobs · done" in agency.of("owner").get(f"/clients/shop/done/{agency.done('status', status)}").text.lower()


def test_nothing_of_one_merchant_is_shown_at_another(agency: Agency) -> None:
    number = agency.done("query", ANSWER)
    assert agency.of("owner").get(f"/clients/rival/done/{number}").status == 400
    assert number[:8] not in agency.of("owner").get("/clients/rival").html


def test_a_grant_is_asked_for(agency: Agency) -> None:
    answer = agency.of("owner").post("/clients/ask", {"merchant": "rival", "call": ["query", "budget"],
                                     "rooms": "spring, summer", "days": "60"})  # fmt: skip
    assert answer.where == "/clients", answer.text
    page = agency.of("owner").get("/clients").text
    assert "asked for" in page and "in spring, summer" in page
    assert agency.of("owner").post("/clients/ask", {"merchant": "rival", "days": "60"}).status == 400


def test_in_chinese_all_of_it_is(agency: Agency) -> None:
    for path in ("/clients", "/clients/shop", "/clients/shop?about=crowd", "/clients/shop?about=activate"):
        words = agency.of("owner").get(path, language="zh").text
        for english in ("Merchant", "Room", "Channel", "Grant", "until", "Status", "What"):
            assert english not in words, (path, english)
