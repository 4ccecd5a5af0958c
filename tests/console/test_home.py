"""The first page: each role sees what is theirs, never an error; nothing is offered that they may not do."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cleanroom.access import users
from cleanroom.home import Home
from cleanroom.lang import catalogue

from .conftest import PASSWORD, ROLES, served

pytestmark = pytest.mark.xdist_group("console")

Client = Callable[..., Any]


@pytest.mark.parametrize("party", ["merchant", "platform"])
@pytest.mark.parametrize("role", ROLES)
def test_every_role_has_a_first_page_without_an_error(client: Client, role: str, party: str) -> None:
    answer = client(role, party).get("/", language="zh")
    assert answer.status == 200 and answer.html.count("<h1") == 1
    english = {key for key in catalogue() if len(key) > 12 and " " in key and "{" not in key}
    text = answer.text
    assert not {key for key in english if key in text}


def test_a_marketer_sees_figures_with_intervals_and_the_ring(client: Client) -> None:
    answer = client("marketer").get("/")
    assert "Total users" in answer.text
    assert re.search(r"95 of 100 · [\d,]+ – [\d,]+", answer.text)
    assert "C-CARE" in answer.text
    assert "crm" in answer.text, "its own dataset, exactly"
    assert "% of this month's is left" in answer.text and "more questions within ±" in answer.text


def test_an_operator_and_an_auditor_see_no_figures(client: Client) -> None:
    for role, party in (("operator", "platform"), ("operator", "merchant"), ("auditor", "merchant")):
        text = client(role, party).get("/").text
        assert "Total users" not in text and "Your own datasets" not in text
    assert "Channels, tags and quotas" in client("operator", "platform").get("/").text
    assert re.search(r"\d+ entries, \d+ of them releases", client("auditor").get("/").text)


@pytest.mark.parametrize("role", ["marketer", "auditor", "approver"])
def test_every_link_of_the_page_can_be_followed(client: Client, role: str) -> None:
    user = client(role)
    html = user.get("/").html.partition("<main")[2]
    links = {each for each in re.findall(r'href="(/[^"]*)"', html) if not each.startswith("/static")}
    for link in links:
        assert user.get(link.replace("&amp;", "&")).status in (200, 303), link


def test_the_ring_is_drawn_and_can_be_had_as_csv(client: Client) -> None:
    user = client("marketer")
    assert "<svg" in user.get("/?chart=care&as=figure", part=True).html
    assert "reachable" in user.get("/?chart=care&as=csv").html


def test_a_new_node_is_told_what_to_do_first(
    tmp_path: Path, signed_in: Callable[[str, Path, str], Any]
) -> None:  # fmt: skip
    home = Home.create(tmp_path / "home", "merchant")
    (home.path / "node.toml").write_text('role = "merchant"\n')
    (home.path / "node.toml").chmod(0o600)
    users.add(home, "owner", ["owner"], PASSWORD.format("owner"))
    users.add(home, "auditor", ["auditor"], PASSWORD.format("auditor"))
    with served(home.path) as url:
        owner = signed_in(url, home.path, "owner")
        text = owner.get("/").text
        assert "Next steps" in text and "Upload your customers" in text and "Agree on a room" in text
        assert owner.get("/insight").text.count("No room yet") == 1
        auditor = signed_in(url, home.path, "auditor")
        assert "Next steps" not in auditor.get("/").text
        owner.close()
        auditor.close()


def test_nothing_is_left_to_do_once_all_was_done(client: Client) -> None:
    assert "Next steps" not in client("owner").get("/").text
