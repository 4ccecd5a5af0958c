"""The parties of `demo --serve`: who knows whom, who may sign in where, and what the provider was granted."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from cleanroom import boards
from cleanroom.access import passwords, users
from cleanroom.demo import market, nodes
from cleanroom.gateway import demo
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.peers import Peers
from cleanroom.node.state import State
from cleanroom.overlap.run import home_paths
from cleanroom.rooms import grants
from cleanroom.terminal import gateway as terminal
from tests.near import new_home

APP = {"app_id": "2021", "app_private_key": "private", "gateway_public_key": "public"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The demo without its data: homes, logins, an app."""
    folder = tmp_path_factory.mktemp("demo") / "merchant"

    def build(where: Path, **_: object) -> None:
        for party, path in home_paths(where, operator=True).items():
            new_home(path, party)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(market, "build", build)
        patch.setattr(demo.planning, "make", lambda *_: None)
        patch.setattr(boards, "make", lambda *_: None)
        patch.setattr(demo, "init", lambda *_: APP)
        patch.setattr(passwords, "hashed", lambda password, name: f"hash of {password}")
        return folder, demo.prepare(folder)


def test_every_role_of_the_stories_has_a_login_where_it_is_played(made: tuple[Path, dict[str, object]]) -> None:
    folder, told = made
    logins = [(each["party"], each["role"]) for each in told["logins"]]  # type: ignore[attr-defined]
    assert logins == [(party, role) for party, roles in demo.LOGINS.items() for role in roles]
    for party, path in demo._homes(folder).items():
        held = users.listed(path)["users"]
        assert {each["name"]: each["roles"] for each in held} == {role: [role] for role in demo.LOGINS[party]}
    assert len({each["password"] for each in told["logins"]}) == len(logins)  # type: ignore[attr-defined]


def test_the_provider_knows_the_merchant_alone_and_acts_in_its_name(made: tuple[Path, dict[str, object]]) -> None:
    folder, _ = made
    homes = {party: Home.open(path) for party, path in demo._homes(folder).items()}
    urls = nodes._introduced(homes)
    assert {party: Peers(home).names() for party, home in homes.items()} == {
        "merchant": ["operator", "platform", "provider"], "platform": ["merchant", "operator"],
        "operator": ["merchant", "platform"], "provider": ["merchant"],
    }  # fmt: skip
    settings = {party: config.load(home.path, {}) for party, home in homes.items()}
    assert all(each.console and each.url == urls[party] for party, each in settings.items())
    assert settings["provider"].role == "provider"
    places = [place for each in settings.values() for place in (each.listen, each.console_listen)]
    assert len(set(places)) == len(places)
    demo._delegate(folder)
    demo._delegate(folder)
    (grant,) = grants.listed(folder)["grants"]
    assert grant["state"] == "in force" and grant["rooms"] == (market.ROOM,) and grant["name"] == "provider"
    assert {"query", "plan", "insight", "crowd", "budget", "status"} <= set(grant["calls"])
    with State.open(homes["merchant"]) as state, state.reading() as database:
        assert database.execute("SELECT peer FROM outbox").fetchall() == [("provider",)]


def test_people_see_each_console_with_who_may_sign_in(made: tuple[Path, dict[str, object]]) -> None:
    _, told = made
    consoles = {party: f"http://127.0.0.1:{port}" for party, port in nodes.CONSOLE_PORTS.items()}
    target = io.StringIO()
    terminal._demo(
        Console(file=target, width=200), {**told, "nodes": {}, "gateway": "g", "sdk": True, "consoles": consoles}
    )
    lines = target.getvalue().splitlines()
    at = lines.index("Console of platform  http://127.0.0.1:8818")
    assert [line.split(":")[0].strip("· ") for line in lines[at + 1 : at + 5]] == [
        "owner",
        "operator",
        "approver",
        "auditor",
    ]
