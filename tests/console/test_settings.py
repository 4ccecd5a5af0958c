"""Settings as the owner and everybody else use and misuse them: users, tokens, passwords, grants, peers."""

import datetime as dt
import re
from collections.abc import Iterator

import pytest

from cleanroom.access import users as accounts
from cleanroom.access.check import AccessRefused, Caller, check
from cleanroom.home import Home
from cleanroom.node import certificate, words
from cleanroom.node.peers import Peers, card
from cleanroom.rooms import grants
from tests.console.conftest import PASSWORD, Client, served
from tests.console.merchant import kept_bytes, made
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("settings")
Users = dict[str, Client]
LONG = "four words of somebody"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return made(tmp_path_factory.mktemp("settings") / "home", "owner", "analyst")


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Home:
    other = new_home(tmp_path_factory.mktemp("agency") / "home", "agency")
    certificate.own(other)
    return other


@pytest.fixture(scope="module")
def users(home: Home) -> Iterator[Users]:
    with served(home.path) as url:
        port = int(url.rpartition(":")[2])
        found = {name: Client(url, home.path, name, home.path, port) for name in ("owner", "analyst")}
        yield found
        for each in found.values():
            each.close()


def test_everybody_sees_the_node_and_its_fingerprint_in_all_forms(users: Users, home: Home) -> None:
    page = users["analyst"].get("/settings")
    fingerprint = home.keys.public.fingerprint
    assert fingerprint in page.text
    assert " ".join(words.spoken(fingerprint, "en")) in page.text
    assert 'aria-label="The fingerprint as a QR code"' in page.html
    assert not re.search(r"<svg[^>]*style=", page.html)
    assert " ".join(words.spoken(fingerprint, "zh")) in users["analyst"].get("/settings", language="zh").text


def test_what_is_the_owners_is_nobody_elses(users: Users) -> None:
    analyst = users["analyst"]
    for path in ("/settings/users", "/settings/tokens", "/settings/grants", "/settings/peers", "/settings/peers/card",
                 "/settings/peers/reached", "/settings/doctor", "/settings/users/owner"):  # fmt: skip
        assert analyst.get(path).status == 403, path
        assert users["owner"].get(path).status == 200, path
    for path in ("/settings/users", "/settings/users/owner/remove", "/settings/users/analyst/roles", "/settings/tokens",
                 "/settings/grants", "/settings/grants/1/revoke", "/settings/peers", "/settings/peers/of/x/remove",
                 "/settings/users/owner/password", "/settings/tokens/x/revoke"):  # fmt: skip
        fields = {"name": "analyst", "role": "owner", "title": "x", "password": LONG, "again": LONG}
        assert analyst.post(path, fields).status == 403, path
    assert "Other parties" not in analyst.get("/settings").text
    assert "My password" in analyst.get("/settings").text


def test_a_user_is_made_changed_and_removed(users: Users, home: Home) -> None:
    owner = users["owner"]
    fields = {"name": "ada", "password": LONG, "again": LONG, "role": ["marketer", "approver"]}
    assert owner.post("/settings/users", {**fields, "again": "another"}).status == 400
    assert owner.post("/settings/users", {**fields, "password": "short", "again": "short"}).status == 400
    assert owner.post("/settings/users", {**fields, "role": []}).status == 400
    assert owner.post("/settings/users", {**fields, "role": ["god"]}).status == 400
    assert owner.post("/settings/users", fields).where == "/settings/users"
    page = owner.get("/settings/users").text
    assert "ada can sign in now" in page
    assert "Marketer, Approver" in page
    session = accounts.login(home, "ada", LONG)
    assert owner.post("/settings/users/ada/roles", {"role": "auditor"}).status == 303
    assert accounts.authenticate(home, session).roles == ("auditor",)
    assert owner.post("/settings/users/ada/password", {"password": LONG[::-1], "again": LONG[::-1]}).status == 303
    with pytest.raises(AccessRefused):
        accounts.authenticate(home, session)
    assert owner.post("/settings/users/ada/remove").status == 303
    assert owner.get("/settings/users/ada").status == 400


def test_the_owner_cannot_shut_themselves_out(users: Users, home: Home) -> None:
    owner = users["owner"]
    assert owner.post("/settings/users/owner/remove").status == 400
    assert owner.post("/settings/users/owner/roles", {"role": "analyst"}).status == 400
    assert owner.post("/settings/users/owner/password", {"password": LONG, "again": LONG}).where == "/settings/password"
    check(home, Caller("user", "owner", ("owner",)), "users", "")
    assert owner.get("/settings/users").status == 200


def test_a_token_is_shown_once_and_ends_when_revoked(users: Users, home: Home) -> None:
    owner = users["owner"]
    page = owner.post("/settings/tokens", {"name": "analyst", "title": "nightly", "days": "7"})
    secret = re.findall(r"cln_[\w-]+", page.html)[0]
    assert accounts.authenticate(home, secret).name == "analyst"
    listed = owner.get("/settings/tokens")
    assert "nightly" in listed.text
    assert secret not in listed.html
    assert secret.encode() not in kept_bytes(home)
    number = re.findall(r"/settings/tokens/(\w+)/revoke", listed.html)[0]
    assert owner.post(f"/settings/tokens/{number}/revoke").status == 303
    with pytest.raises(AccessRefused):
        accounts.authenticate(home, secret)
    assert owner.post("/settings/tokens", {"name": "nobody", "title": "x", "days": "7"}).status == 400
    assert owner.post("/settings/tokens", {"name": "analyst", "title": "x", "days": "9999"}).status == 400


def test_ones_own_password_needs_the_present_one_and_ends_other_sessions(users: Users, home: Home) -> None:
    analyst, other = users["analyst"], accounts.login(home, "analyst", PASSWORD.format("analyst"))
    before = analyst.session
    fields = {"old": "not the present one", "password": LONG, "again": LONG}
    refused = analyst.post("/settings/password", fields)
    assert refused.status == 400
    assert "present password is not right" in refused.text
    told = analyst.post("/settings/password", {**fields, "old": PASSWORD.format("analyst")}, part=True)
    assert (told.status, told.where) == (204, "/settings/password")
    assert analyst.session != before
    page = analyst.get("/settings/password")
    assert "Your password is changed" in page.text
    for session in (before, other):
        with pytest.raises(AccessRefused):
            accounts.authenticate(home, session)


def test_a_peer_is_pinned_by_what_people_compared_and_by_nothing_else(users: Users, home: Home, agency: Home) -> None:
    owner, own = users["owner"], card(agency, "grpc+tls://127.0.0.1:9").decode()
    spoken = " ".join(words.spoken(agency.keys.public.fingerprint, "zh"))
    fields = {"name": "agency", "introduction": own, "fingerprint": spoken}
    other = " ".join(words.spoken(home.keys.public.fingerprint, "en"))
    for wrong, status in (({"fingerprint": ""}, 400), ({"fingerprint": other}, 409), ({"fingerprint": "a b c"}, 400),
                          ({"introduction": own.replace(":9", ":8")}, 400), ({"address": "/etc/passwd"}, 400),
                          ({"introduction": "", "address": str(agency.path / "node.json")}, 400),
                          ({"introduction": "", "address": "file:///etc/passwd"}, 400),
                          ({"introduction": ""}, 400), ({"name": "../x"}, 400)):  # fmt: skip
        answer = owner.post("/settings/peers", {**fields, **wrong})
        assert answer.status == status, (wrong, answer.text)
        assert agency.keys.public.fingerprint not in answer.html
        assert not Peers(home).names()
    assert owner.post("/settings/peers", fields).where == "/settings/peers"
    page = owner.get("/settings/peers/of/agency")
    assert agency.keys.public.fingerprint in page.text
    assert "does not answer" in owner.get("/settings/peers/reached", part=True).text
    assert "没有应答" in owner.get("/settings/peers/reached", part=True, language="zh").text
    assert owner.post("/settings/peers/of/agency/remove").where == "/settings/peers"
    head = {"origin": owner._origin, "x-csrf": page.html.partition('"X-CSRF": "')[2][:64]}
    sent = owner.raw("POST", "/settings/peers", data={**fields, "introduction": ""}, files={"file": ("a.card", own)},
                     headers=head)  # fmt: skip
    assert sent.status_code == 303
    assert Peers(home).names() == ["agency"]


def test_a_grant_is_signed_as_it_was_ticked_and_ends(users: Users, home: Home, agency: Home) -> None:
    owner = users["owner"]
    if "agency" not in Peers(home).names():
        Peers(home).add("agency", "grpc+tls://127.0.0.1:9", certificate.own(agency).pem, agency.keys.public.fingerprint)
    fields = {"peer": "agency", "days": "30", "call": ["insight", "query"], "room": "spring", "channels": "sms，coupon"}
    wrong: dict[str, object]
    for wrong in ({"call": []}, {"room": []}, {"days": "x"}, {"days": "-1"}, {"peer": "nobody"}):
        assert owner.post("/settings/grants", {**fields, **wrong}).status == 400, wrong
    assert owner.post("/settings/grants", {**fields, "call": "users"}).status == 403
    assert owner.post("/settings/grants", {**fields, "days": "5000"}).status in (403, 409)
    assert not grants.load(home).grants
    assert owner.post("/settings/grants", fields).where == "/settings/grants"
    grant = grants.load(home).grants[0][0]
    assert (grant.calls, grant.rooms, grant.channels) == (("insight", "query"), ("spring",), ("sms", "coupon"))
    key, now = agency.keys.public.signing, dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    grants.check(home, key, "insight", "spring", now, channel="sms")
    page = owner.get("/settings/grants").text
    assert "ask questions of a room" in page
    assert "sms, coupon" in page
    assert owner.post(f"/settings/grants/{grant.number}/revoke").status == 303
    with pytest.raises(grants.GrantRefused):
        grants.check(home, key, "insight", "spring", now, channel="sms")
    assert "revoked" in owner.get("/settings/grants").text


def test_the_examination_says_what_to_do(users: Users) -> None:
    part = users["owner"].get("/settings/doctor", part=True)
    assert part.status == 200
    assert "Processor" in part.text
    assert "<html" not in part.html
