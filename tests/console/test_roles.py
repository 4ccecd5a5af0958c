"""Who may open what: every route, every role, against the one matrix. A route without a call cannot be made."""

import re
from collections.abc import Callable

import pytest

from cleanroom.access import matrix
from cleanroom.console.screens.all import SCREENS
from tests.console.conftest import ROLES, Client

pytestmark = pytest.mark.xdist_group("console")
CALLS = {route: call for screen in SCREENS for route, call in screen.calls.items()}
OPEN = {("GET", "/sign-in"), ("POST", "/sign-in"), ("POST", "/sign-out"), ("POST", "/language"), ("POST", "/look"),
        ("GET", "/static/{name}")}  # fmt: skip


def test_every_route_names_a_call_of_the_matrix() -> None:
    assert set(CALLS.values()) <= set(matrix.CALLS)
    assert not set(CALLS) & OPEN


def test_no_route_is_outside_of_the_screens(client: Callable[..., Client]) -> None:
    from cleanroom.console.app import application
    from cleanroom.console.place import Place
    from cleanroom.node.log import Log

    place = Place.of(client("owner").home)
    found = {
        (method, each.path)
        for route in application(place, Log()).routes
        for each in (route.original_router.routes if hasattr(route, "original_router") else [route])
        for method in each.methods if method != "HEAD"
    }  # fmt: skip
    place.state.close()
    assert found == {*CALLS, *OPEN}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_is_refused_what_the_matrix_does_not_give_it(client: Callable[..., Client], role: str) -> None:
    user, wrong = client(role), []
    for (method, path), call in sorted(CALLS.items()):
        if matrix.allows((role,), call):
            continue
        answer = user.get(_named(path)) if method == "GET" else user.post(_named(path))
        if answer.status != 403 or "Your roles do not allow" not in answer.text:
            wrong.append((method, path, call, answer.status))
    assert not wrong


def test_an_owner_is_refused_nothing_and_meets_no_mistake(client: Callable[..., Client]) -> None:
    """What is asked for does not exist, so that nothing is changed."""
    user, wrong = client("owner"), []
    for method, path in sorted(CALLS):
        answer = user.get(_named(path)) if method == "GET" else user.post(_named(path))
        if answer.status in (403, 500):
            wrong.append((method, path, answer.status, answer.text[-200:]))
    assert not wrong


def _named(path: str) -> str:
    return re.sub(r"\{[^}]+\}", "0000", path)


def test_links_at_the_side_lead_where_the_role_may_go(client: Callable[..., Client]) -> None:
    for role in ROLES:
        user = client(role)
        links = set(re.findall(r'<a href="(/[a-z]*)"', user.get("/").html.partition("<main")[0]))
        assert len(links) > 3
        for link in links:
            answer = user.get(link)
            answer = user.get(answer.where) if answer.status == 303 else answer
            assert answer.status == 200, (role, link, answer.text[-300:])
