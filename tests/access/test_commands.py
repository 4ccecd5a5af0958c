"""The commands about people, grants, portfolios and the catalogue, in both languages; no secret is an argument."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cleanroom import lang
from cleanroom.access import users
from cleanroom.commands import catalogue, grants, portfolio
from cleanroom.commands import users as user_commands
from cleanroom.home import Home
from cleanroom.terminal import app as terminal
from tests.access import world

SECRET = "correct horse battery"


def application() -> typer.Typer:
    """As `cli` has them."""
    app = terminal.new(cls=terminal.Application, help="test")
    app.add_typer(user_commands.app, name="user")
    app.add_typer(grants.app, name="grant")
    app.add_typer(portfolio.app, name="portfolio")
    app.add_typer(catalogue.app, name="catalogue")
    app.add_typer(catalogue.usage_app)
    return app


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> object:
    before = lang.current()
    yield request.param
    lang.choose(before)


class Terminal:
    def __init__(self, home: Path, language: str) -> None:
        self._home, self._language = home, language

    def __call__(self, *words: str, code: int = 0, **environment: str) -> str:
        asked = [*words, "--home", str(self._home), "--lang", self._language]
        done = CliRunner().invoke(application(), asked, env={"COLUMNS": "300", **environment})
        assert done.exit_code == code, done.output
        return done.output


@pytest.fixture
def run(tmp_path: Path, language: str) -> Terminal:
    return Terminal(world.home(tmp_path, "platform").path, language)


def test_people(run: Terminal, tmp_path: Path, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run("user", "add", "ada", "--role", "operator", code=2)  # nobody to ask
    assert ("平台运营人员" if language == "zh" else "operator of the platform") in run(
        "user", "add", "ada", "--role", "operator", CLEANROOM_PASSWORD=SECRET
    )
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    file.chmod(0o644)
    run("user", "add", "bob", "--role", "auditor", "--password-file", str(file), code=3)
    file.chmod(0o600)
    run("user", "add", "bob", "--role", "auditor", "--role", "analyst", "--password-file", str(file))
    home = Home.open(tmp_path / "platform")
    assert users.authenticate(home, users.login(home, "bob", SECRET)).roles == ("auditor", "analyst")
    token = json.loads(run("user", "token", "bob", "--title", "nightly", "--json"))
    assert users.authenticate(home, token["token"]).name == "bob"
    out = tmp_path / "token"
    assert json.loads(run("user", "token", "bob", "--title", "x", "--out", str(out), "--json"))["token"] == ""
    assert (out.stat().st_mode & 0o777, users.authenticate(home, out.read_text()).name) == (0o600, "bob")
    listed = run("user", "list")
    assert "bob" in listed
    assert token["token"] not in listed
    run("user", "revoke", token["id"])
    run("user", "revoke", token["id"], code=2)
    run("user", "roles", "bob", "--role", "marketer")
    run("user", "roles", "bob", "--role", "root", code=2)
    run("user", "password", "bob", CLEANROOM_PASSWORD="another horse battery")
    run("user", "remove", "bob")
    assert [each["name"] for each in json.loads(run("user", "list", "--json"))["users"]] == ["ada"]


def test_a_password_is_no_argument(run: Terminal) -> None:
    for words in (("add", "ada", "--role", "owner"), ("password", "ada")):
        run("user", *words, "--password", SECRET, code=2)


def test_the_platforms_operator(run: Terminal, language: str) -> None:
    run("catalogue", "channel", "feed", "--zh", "信息流", "--en", "News feed", "--purpose", "overlap")
    run("catalogue", "tag", "users.city", "--zh", "城市", "--en", "City", "--text", "By residence.")
    run("catalogue", "quota", "merchant", "--runs", "2", "--rows", "1000")
    run("catalogue", "quota", "merchant", "--runs", "-2", "--rows", "1000", code=4)
    listed = run("catalogue", "list")
    assert ("信息流" in listed, "News feed" in listed) == (language == "zh", language == "en")
    assert json.loads(run("usage", "--json"))["usage"] == []
    run("usage")
    run("catalogue", "drop", "channels", "feed")
    run("catalogue", "drop", "channels", "feed", code=2)


def test_grants_and_the_portfolio(tmp_path: Path, language: str) -> None:
    shop, agency = world.home(tmp_path, "shop"), world.home(tmp_path, "agency")
    world.pinned(shop, agency)
    at_shop, at_agency = Terminal(shop.path, language), Terminal(agency.path, language)
    assert at_agency("portfolio")
    words = ("--call", "query", "--room", "spring", "--column", "crm.tier", "--channel", "feed")
    said = at_shop("grant", "add", "agency", *words, "--days", "10")
    assert "crm.tier" in said
    assert "agency" in said
    at_shop("grant", "add", "nobody", *words, code=2)
    at_shop("grant", "add", "agency", "--call", "users", "--room", "*", code=3)
    at_shop("grant", "send", "1")
    at_agency("portfolio", "ask", "shop", *words)
    from cleanroom.access.portfolio import HANDLERS

    world.carry(shop, agency, HANDLERS)
    shown = at_agency("portfolio")
    assert ("即将到期" if language == "zh" else "expires soon") in shown
    assert ("待定" if language == "zh" else "pending") in shown
    told = json.loads(at_agency("portfolio", "--merchant", "shop", "--json"))
    assert [each["state"] for each in told["merchants"][0]["grants"]] == ["pending", "expiring"]
    at_agency("portfolio", "--merchant", "nobody", code=2)
    at_shop("grant", "list")
    at_shop("grant", "revoke", "1")
    world.carry(shop, agency, HANDLERS)
    assert ("已撤销" if language == "zh" else "revoked") in at_agency("portfolio")
