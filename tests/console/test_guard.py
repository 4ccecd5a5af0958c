"""The guard as an attacker meets it: other sites, guessed sessions, floods, large bodies, other names of the page."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanroom.access import users
from cleanroom.console import guard
from cleanroom.console.guard import BURST, CSRF, MOST_BODY, PACE, SIGN_IN_BURST, Buckets, csrf_of
from cleanroom.home import Home
from tests.console.conftest import PASSWORD, Client, served
from tests.near import new_home

pytestmark = pytest.mark.xdist_group("console")
Of = Callable[..., Client]


def test_nobody_sees_a_page_without_a_session(client: Of) -> None:
    nobody = client("")
    for path in ("/", "/jobs", "/data", "/rooms/market", "/nothing", "/static/../node.toml"):
        answer = nobody.get(path)
        assert answer.status in (303, 404), path
        assert "market" not in answer.html


def test_after_signing_in_one_is_where_one_wanted_to_be(client: Of) -> None:
    nobody = client("")
    assert nobody.get("/jobs").where == "/sign-in?then=/jobs"
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example"):
        answer = nobody.raw("POST", "/sign-in", data={"name": "owner", "password": PASSWORD.format("owner"),
                            "then": elsewhere}, headers={"origin": str(nobody._http.base_url)})  # fmt: skip
        assert answer.headers["location"] == "/"


def test_a_wrong_name_and_a_wrong_password_look_alike(client: Of) -> None:
    nobody = client("")
    shown = [nobody.raw("POST", "/sign-in", data={"name": name, "password": "not this one at all"},
                        headers={"origin": str(nobody._http.base_url)}) for name in ("auditor", "nobody1")]  # fmt: skip
    assert [each.status_code for each in shown] == [401, 401]
    assert shown[0].text.replace("auditor", "nobody1") == shown[1].text


def test_the_cookie_is_for_this_page_alone_and_the_page_keeps_nothing(client: Of) -> None:
    owner = client("owner")
    answer = client("").raw("POST", "/sign-in", data={"name": "owner", "password": PASSWORD.format("owner")},
                       headers={"origin": owner._origin})  # fmt: skip
    cookie = answer.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    page = owner.get("/")
    assert page.headers["cache-control"] == "no-store"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert '"historyCacheSize":0' in page.html
    assert owner.session not in page.html


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": "{own}"},
        {"origin": "{own}", CSRF: "0" * 64},
        {"origin": "{own}", CSRF: "{other}"},
    ],
)
def test_a_change_from_elsewhere_is_refused(client: Of, headers: dict[str, str]) -> None:
    owner, other = client("owner"), client("marketer")
    filled = {name: value.format(own=owner._origin, other=csrf_of(other.session)) for name, value in headers.items()}
    assert owner.raw("POST", "/jobs/none/cancel", headers=filled).status_code == 403


def test_a_session_ends_when_its_user_signs_out(client: Of) -> None:
    owner = client("owner")
    auditor = Client(owner._origin, owner.home, "auditor", owner.home, int(owner._origin.rpartition(":")[2]))
    session = auditor.session
    assert auditor.get("/").status == 200
    assert auditor.post("/sign-out").where == "/sign-in"
    with pytest.raises(Exception, match="not in force"):
        users.authenticate(Home.open(owner.home), session)
    auditor.close()


def test_another_name_of_this_machine_is_none_of_ours(client: Of) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert client("owner").raw("GET", "/", headers={"host": host}).status_code == 421


def test_what_is_too_large_or_of_another_kind_is_refused(client: Of) -> None:
    owner = client("owner")
    head = {"origin": owner._origin, CSRF: csrf_of(owner.session)}
    assert owner.raw("POST", "/jobs/x/retry", headers=head, content=b"a" * (MOST_BODY + 1)).status_code == 413
    chunks = (b"then=" + b"a" * 65536 for _ in range(40))  # says no length
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert owner.raw("POST", "/jobs/x/retry", headers={**head, **kind}, content=chunks).status_code >= 400
    assert owner.raw("DELETE", "/jobs/x").status_code == 405


def test_buckets_let_so_many_through_and_no_more() -> None:
    held = Buckets(PACE, BURST)
    passed = sum(held.take("a", 0.0) for _ in range(1000))
    assert passed == BURST
    assert held.take("b", 0.0)
    assert sum(held.take("a", 2.0) for _ in range(1000)) == 2 * PACE


def test_guessing_passwords_gets_slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SIGN_IN_PACE", 0.01)  # ten tries take longer on a machine that has no time
    home = new_home(tmp_path / "home", "merchant")
    (home.path / "node.toml").write_text('role = "merchant"\n')
    (home.path / "node.toml").chmod(0o600)
    with served(home.path, patient=False) as url:
        browser = Client(url, home.path, "", home.path, int(url.rpartition(":")[2]))
        codes = [browser.raw("POST", "/sign-in", data={"name": "a", "password": "b"},
                             headers={"origin": url}).status_code for _ in range(int(SIGN_IN_BURST) + 2)]  # fmt: skip
        browser.close()
    assert codes[-1] == 429


def test_a_session_changes_its_token_and_the_old_one_ends(tmp_path: Path) -> None:
    home = new_home(tmp_path / "home", "merchant")
    users.add(home, "ada", ["owner"], "a long enough pass phrase")
    began = dt.datetime.now(dt.UTC)
    first = users.login(home, "ada", "a long enough pass phrase", now=began)
    assert users.renewed(home, first, 1800, now=began + dt.timedelta(minutes=20)) == ""
    later = began + dt.timedelta(minutes=31)
    second = users.renewed(home, first, 1800, now=later)
    assert second and second != first
    assert users.renewed(home, first, 1800, now=later) == ""
    users.authenticate(home, first, now=later + dt.timedelta(seconds=30))
    with pytest.raises(Exception, match="not in force"):
        users.authenticate(home, first, now=later + dt.timedelta(seconds=61))
    ends = {each.expires for each in users.store.load(home).tokens if each.created != users._text(began)}
    assert ends == {users._text(began + dt.timedelta(hours=users.SESSION_HOURS))}
