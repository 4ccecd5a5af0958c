"""A provider's portfolio: what its merchants have granted, by each merchant's own key, with nothing pooled."""

import dataclasses
import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from cleanroom.access import delegating, portfolio, users
from cleanroom.access.check import AccessRefused
from cleanroom.access.portfolio import HANDLERS, listed
from cleanroom.errors import BadData, CleanroomError, Refused, UsageError
from cleanroom.home import Home
from cleanroom.node.approvals import Approvals
from cleanroom.node.config import Approval, Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.grants import Scope
from tests.access import world

CONFIG = Config(role="provider")
SCOPE = Scope(("query", "plan"), ("spring",), ("feed",), ("crm.tier",))


@dataclasses.dataclass
class Three:
    agency: Home
    shop: Home
    rival: Home

    def states(self, merchant: str = "", **later: float) -> dict[str, list[str]]:
        found = listed(self.agency.path, merchant, dt.datetime.now(dt.UTC) + dt.timedelta(**later))
        return {each["merchant"]: [grant["state"] for grant in each["grants"]] for each in found["merchants"]}

    def hear(self, sender: Home, kind: str, body: Any, name: str = "") -> None:
        """A message as the node hands it on: its sender is known to have signed it."""
        message = Message(kind, name or sender.party, self.agency.party, "0" * 32, "", body)
        with State.open(self.agency) as state:
            HANDLERS[kind](self.agency, state, CONFIG, message)


@pytest.fixture
def three(tmp_path: Path) -> Three:
    agency, shop, rival = (world.home(tmp_path, name) for name in ("agency", "shop", "rival"))
    for merchant in (shop, rival):
        world.pinned(agency, merchant)
    return Three(agency, shop, rival)


def test_a_grant_to_a_pinned_peer_is_told_to_it_and_so_is_its_end(three: Three) -> None:
    told = delegating.given(three.shop.path, "agency", "", SCOPE, 90)
    assert (told["told"], told["key"]) == ("agency", three.agency.keys.public.signing.hex())
    assert three.states() == {}
    assert world.carry(three.shop, three.agency, HANDLERS) == [None]
    line = listed(three.agency.path)["merchants"][0]["grants"][0]
    assert {name: line[name] for name in grants.SCOPE} == {name: list(each) for name, each in vars(SCOPE).items()}
    assert three.states() == {"shop": ["active"]}
    assert three.states(days=80) == {"shop": ["expiring"]}
    assert three.states(days=75) == {"shop": ["active"]}
    assert three.states(days=91) == {"shop": ["expired"]}
    assert delegating.ended(three.shop.path, 1)["told"] == "agency"
    world.carry(three.shop, three.agency, HANDLERS)
    assert three.states() == three.states(days=91) == {"shop": ["revoked"]}
    assert (three.agency.path / "portfolio.json").stat().st_mode & 0o777 == 0o600


def test_a_grant_that_begins_later_is_pending(three: Three) -> None:
    begin = dt.datetime.now(dt.UTC) + dt.timedelta(days=3)
    delegating.given(three.shop.path, "agency", "", SCOPE, 30, begin)
    world.carry(three.shop, three.agency, HANDLERS)
    assert three.states() == {"shop": ["pending"]}
    assert three.states(days=4) == {"shop": ["active"]}
    assert three.states(days=34) == {"shop": ["expired"]}


def test_a_key_that_is_no_peers_is_granted_and_nobody_is_told_till_it_is_pinned(three: Three, tmp_path: Path) -> None:
    late = world.home(tmp_path, "late")
    told = delegating.given(three.shop.path, "late", late.keys.public.signing.hex(), SCOPE, 30)
    assert told["told"] == ""
    with pytest.raises(UsageError):
        delegating.sent(three.shop.path, 1)
    with pytest.raises(UsageError):
        delegating.given(three.shop.path, "nobody", "", SCOPE, 30)
    world.pinned(late, three.shop)
    assert delegating.sent(three.shop.path, 1)["told"] == "late"
    world.carry(three.shop, late, HANDLERS)
    assert listed(late.path)["merchants"][0]["grants"][0]["state"] == "active"
    with pytest.raises(UsageError):
        delegating.sent(three.shop.path, 2)


def test_nothing_is_pooled_between_merchants(three: Three) -> None:
    for merchant in (three.shop, three.rival):
        delegating.given(merchant.path, "agency", "", SCOPE, 90)
        world.carry(merchant, three.agency, HANDLERS)
    delegating.ended(three.rival.path, 1)  # of the same number
    world.carry(three.rival, three.agency, HANDLERS)
    assert three.states() == {"rival": ["revoked"], "shop": ["active"]}
    alone = listed(three.agency.path, "shop")
    assert "rival" not in json.dumps(alone)
    stored = json.loads((three.agency.path / "portfolio.json").read_bytes())["merchants"]
    assert "rival" not in json.dumps(stored["shop"])
    with pytest.raises(UsageError):
        listed(three.agency.path, "platform")


def test_a_message_twice_is_a_message_once(three: Three) -> None:
    """A node that dies while it handles one handles it again."""
    delegating.given(three.shop.path, "agency", "", SCOPE, 90)
    grant, signature = grants.load(three.shop).grants[0]
    body = {"format": delegating.FORMAT, "grant": {**grants.plain(grant), "signature": signature}, "asked": ""}
    gone, by = grants.revoke(three.shop, 1)
    end = {"format": delegating.FORMAT, "revocation": {**grants.plain(gone), "signature": by}}
    for _ in range(3):
        three.hear(three.shop, "grant.given", body)
        three.hear(three.shop, "grant.revoked", end)
    assert three.states() == {"shop": ["revoked"]}


def test_only_the_merchants_own_signature_counts(three: Three, tmp_path: Path) -> None:
    grant, signature = grants.add(three.shop, "agency", three.agency.keys.public.signing.hex(), SCOPE, _soon())
    good = {**grants.plain(grant), "signature": signature}
    other, theirs = grants.add(three.shop, "x", three.rival.keys.public.signing.hex(), SCOPE, _soon())
    body = {"format": delegating.FORMAT, "asked": ""}
    wrong: list[tuple[Home, Any, type[CleanroomError]]] = [
        (three.rival, good, Refused),  # hands on what another granted
        (three.rival, {**good, "party": "rival"}, BadData),
        (three.shop, {**good, "calls": ["query", "members"]}, BadData),
        (three.shop, {**good, "expires": (_soon() + dt.timedelta(days=9)).isoformat()}, BadData),
        (three.shop, {**good, "columns": ["*"]}, BadData),
        (three.shop, {name: each for name, each in good.items() if name not in ("version", "columns")}, BadData),
        (three.shop, {**grants.plain(other), "signature": theirs}, Refused),  # is for another key
        (three.shop, {**good, "calls": ["grant"]}, BadData),
        (three.shop, {**good, "signature": 5}, BadData),
        (three.shop, {**good, "more": 1}, BadData),
        (three.shop, None, BadData),
        (three.shop, [], BadData),
    ]
    for sender, term, error in wrong:
        with pytest.raises(error):
            three.hear(sender, "grant.given", {**body, "grant": term})
    with pytest.raises(UsageError):  # no peer
        three.hear(three.shop, "grant.given", {**body, "grant": {**good, "party": "else"}}, name="else")
    gone, by = grants.revoke(three.shop, 1)
    with pytest.raises(Refused):
        end = {**grants.plain(gone), "signature": by}
        three.hear(three.rival, "grant.revoked", {"format": delegating.FORMAT, "revocation": end})
    assert three.states() == {}


def _soon() -> dt.datetime:
    return dt.datetime.now(dt.UTC) + dt.timedelta(days=30)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("grant.given", {}),
        ("grant.given", {"format": "cleanroom-delegation/2", "grant": {}, "asked": ""}),
        ("grant.given", {"format": delegating.FORMAT, "grant": {}}),
        ("grant.revoked", {"format": delegating.FORMAT, "revocation": {"number": 1}}),
        ("grant.revoked", {"format": delegating.FORMAT, "revocation": {}, "more": 1}),
        ("grant.refused", {"format": delegating.FORMAT, "asked": "1", "reason": ""}),
        ("grant.refused", {"format": delegating.FORMAT, "asked": "0" * 32, "reason": 5}),
        ("grant.asked", {"format": delegating.FORMAT, "asked": "0" * 32}),
        ("grant.asked", {"calls": "query"}),
        ("grant.asked", {"calls": ["grant"]}),
        ("grant.asked", {"calls": []}),
        ("grant.asked", {"rooms": ["../x"]}),
        ("grant.asked", {"columns": ["crm.tier\x1b[2J"]}),
        ("grant.refused", {"format": delegating.FORMAT, "asked": "0" * 32, "reason": "x" * 501}),
        ("grant.asked", {"days": 367}),
        ("grant.asked", {"days": "30"}),
        ("grant.asked", {"days": True}),
        ("grant.asked", {"asked": "x"}),
    ],
)
def test_messages_that_cannot_be_meant_are_refused_by_name(three: Three, kind: str, body: dict[str, Any]) -> None:
    if kind == "grant.asked" and "format" not in body:
        whole = {"format": delegating.FORMAT, "asked": "0" * 32, "days": 30, **SCOPE.plain()}
        body = {**whole, **body}
    with pytest.raises(CleanroomError):
        three.hear(three.shop, kind, body)
    assert three.states() == {}
    with State.open(three.agency) as state:
        assert Approvals(state, Approval()).waiting() == []


def test_one_merchant_cannot_make_the_portfolio_too_large_for_others(three: Three) -> None:
    key = three.agency.keys.public.signing.hex()
    wide = Scope(("query",), tuple(f"room-{at}-{'x' * 50}" for at in range(1000)))
    body, refused = {"format": delegating.FORMAT, "asked": ""}, 0
    for _ in range(20):
        grant, signature = grants.add(three.shop, "agency", key, wide, _soon())
        try:
            three.hear(three.shop, "grant.given", {**body, "grant": {**grants.plain(grant), "signature": signature}})
        except Refused:
            refused += 1
    assert refused == 4
    assert (three.agency.path / "portfolio.json").stat().st_size < portfolio.MOST_BYTES_OF_ONE + 1000


def test_two_grants_of_one_number_are_refused(three: Three, tmp_path: Path) -> None:
    key = three.agency.keys.public.signing.hex()
    first, one = grants.add(three.shop, "agency", key, SCOPE, _soon())
    (three.shop.path / "grants.json").unlink()
    second, two = grants.add(three.shop, "agency", key, Scope(("members",), ("*",)), _soon())
    body = {"format": delegating.FORMAT, "asked": ""}
    three.hear(three.shop, "grant.given", {**body, "grant": {**grants.plain(first), "signature": one}})
    with pytest.raises(Refused):
        three.hear(three.shop, "grant.given", {**body, "grant": {**grants.plain(second), "signature": two}})


def test_what_is_changed_in_the_file_shows_as_forged(three: Three) -> None:
    delegating.given(three.shop.path, "agency", "", SCOPE, 90)
    world.carry(three.shop, three.agency, HANDLERS)
    path = three.agency.path / "portfolio.json"
    value = json.loads(path.read_bytes())
    value["merchants"]["shop"]["grants"][0]["rooms"] = ["*"]
    path.write_text(json.dumps(value))
    assert three.states() == {"shop": ["forged"]}
    moved = {"shop": value["merchants"]["shop"], "rival": value["merchants"]["shop"]}
    path.write_text(json.dumps({**value, "merchants": moved}))
    assert three.states() == {"rival": ["forged"], "shop": ["forged"]}
    for spoilt in ("", "[]", "[" * 100_000, json.dumps({**value, "format": "cleanroom-portfolio/2"})):
        path.write_text(spoilt)
        with pytest.raises(BadData):
            three.states()


def test_a_peer_that_is_no_longer_pinned_vouches_for_nothing(three: Three) -> None:
    delegating.given(three.shop.path, "agency", "", SCOPE, 90)
    world.carry(three.shop, three.agency, HANDLERS)
    Peers(three.agency).remove("shop")
    assert three.states() == {"shop": ["forged"]}


def test_a_provider_asks_a_person_of_the_merchant_decides_and_the_answer_comes_back(three: Three) -> None:
    for _ in range(2):
        portfolio.ask(three.agency.path, "shop", SCOPE, 60)
    assert three.states() == {"shop": ["pending", "pending"]}
    assert world.carry(three.agency, three.shop, HANDLERS) == [None, None]
    assert grants.load(three.shop).grants == ()  # nothing is granted by a message
    (three.shop.path / "node.toml").write_text('role = "merchant"\nurl = "grpc+tls://127.0.0.1:9"\n')
    users.add(three.shop, "eve", ["approver"], "correct horse battery")
    with State.open(three.shop) as state:
        first, second = Approvals(state, Approval()).waiting()
        assert (first.kind, first.asked_by) == (delegating.KIND, "agency")
        assert "crm.tier" in json.dumps(first.reveals)
        for number in (first.id, second.id):
            with pytest.raises(AccessRefused):  # who approves other things gives no grants
                delegating.decided(three.shop, state, number, yes=True, reason="", who="eve")
        assert delegating.decided(three.shop, state, first.id, yes=True, reason="").state == "approved"
        delegating.decided(three.shop, state, second.id, yes=False, reason="One is enough.")
        for number in (first.id, second.id):
            with pytest.raises(Refused):  # once
                delegating.decided(three.shop, state, number, yes=True, reason="")
    ((grant, _),) = grants.load(three.shop).grants
    assert grant.scope == SCOPE
    assert world.carry(three.shop, three.agency, HANDLERS) == [None, None]
    assert sorted(three.states()["shop"]) == ["active", "refused"]
    assert [each["reason"] for each in listed(three.agency.path)["merchants"][0]["grants"]] == ["One is enough.", ""]
    grants.check(three.shop, three.agency.keys.public.signing, "query", "spring", dt.datetime.now(dt.UTC))


def test_a_wish_that_is_none_is_not_sent(three: Three) -> None:
    for scope, days in ((Scope(("grant",), ("*",)), 30), (Scope((), ("*",)), 30), (SCOPE, 0), (SCOPE, 367)):
        with pytest.raises(CleanroomError):
            portfolio.ask(three.agency.path, "shop", scope, days)
    with pytest.raises(UsageError):
        portfolio.ask(three.agency.path, "nobody", SCOPE, 30)
    assert three.states() == {}
