"""The node's users, their tokens, and one's own password. A password or token is never in an address or a log."""

from typing import Annotated

from fastapi import Form
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from cleanroom.access import users
from cleanroom.access.check import AccessRefused
from cleanroom.console.guard import Guard
from cleanroom.console.pages import Page
from cleanroom.console.screen import Screen
from cleanroom.console.screens.settings import tabs
from cleanroom.console.screens.settings_words import role_names, roles
from cleanroom.console.visit import Fields, Visit, Visited
from cleanroom.errors import UsageError
from cleanroom.lang import t

SCREEN = Screen()
Text = Annotated[str, Form(max_length=1024)]


@SCREEN.get("/settings/users", call="users")
def listed(visit: Visited) -> Page:
    """All users."""
    found = users.listed(visit.path)["users"]
    shown = [{**each, "called": role_names(each["roles"]), "self": each["name"] == visit.caller.name} for each in found]
    return visit.page("settings/users.html", tabs=tabs(visit, "/settings/users"), users=shown, roles=roles(),
                      oidc=visit.place.settings.oidc.issuer)  # fmt: skip


@SCREEN.post("/settings/users", call="users")
def added(visit: Visited, fields: Fields) -> Response:
    """One more."""
    name, password = str(fields.get("name", "")), str(fields.get("password", ""))
    _check_twice(password, str(fields.get("again", "")))
    users.add(visit.home, name, [str(each) for each in fields.getlist("role")], password)
    return visit.go("/settings/users", t("{name} can sign in now.", name=name))


@SCREEN.get("/settings/users/{name}", call="users")
def shown(visit: Visited, name: str) -> Page:
    """One of them, to be changed."""
    found = next((each for each in users.listed(visit.path)["users"] if each["name"] == name), None)
    if found is None:
        raise UsageError("There is no user {name}.", name=name[:64])
    return visit.page("settings/user.html", tabs=tabs(visit, "/settings/users"), user=found, roles=roles(),
                      is_self=name == visit.caller.name)  # fmt: skip


@SCREEN.post("/settings/users/{name}/roles", call="users")
def changed(visit: Visited, name: str, fields: Fields) -> Response:
    """Other roles."""
    wanted = [str(each) for each in fields.getlist("role")]
    if name == visit.caller.name and "owner" not in wanted:
        raise UsageError("You would lose the role of the owner.", "Another owner can take it from you.")
    users.set_roles(visit.home, name, wanted)
    return visit.go("/settings/users", t("The roles of {name} are in force at the next page.", name=name))


@SCREEN.post("/settings/users/{name}/password", call="users")
def replaced(visit: Visited, name: str, password: Text = "", again: Text = "") -> Response:
    """Another password for somebody else."""
    if name == visit.caller.name:
        return visit.go("/settings/password")
    _check_twice(password, again)
    users.set_password(visit.home, name, password)
    return visit.go("/settings/users", t("{name} has a new password; open sessions have ended.", name=name))


@SCREEN.post("/settings/users/{name}/remove", call="users")
def removed(visit: Visited, name: str) -> Response:
    """Nobody removes the account they are signed in with."""
    if name == visit.caller.name:
        raise UsageError("You cannot remove yourself.", "Another owner can.")
    users.remove(visit.home, name)
    return visit.go("/settings/users", t("{name} is gone; the next page is refused.", name=name))


@SCREEN.get("/settings/tokens", call="users")
def tokens(visit: Visited) -> Page:
    """Tokens of programs, and how many sessions are open."""
    return _tokens(visit, None)


@SCREEN.post("/settings/tokens", call="users")
def issued(visit: Visited, name: Text, title: Text = "", days: int = Form(90)) -> Page:
    """One more, shown on this page this once."""
    secret, token = users.issue(visit.home, name, title, days)
    return _tokens(visit, {"secret": secret, "user": token.user, "title": token.title, "expires": token.expires})


@SCREEN.post("/settings/tokens/{number}/revoke", call="users")
def revoked(visit: Visited, number: str) -> Response:
    """The end of one."""
    users.revoke(visit.home, number)
    return visit.go("/settings/tokens", t("The token has ended."))


@SCREEN.get("/settings/password", call="status")
def own(visit: Visited) -> Page:
    """The form."""
    return visit.page("settings/password.html", tabs=tabs(visit, "/settings/password"),
                      elsewhere="@" in visit.caller.name)  # fmt: skip


@SCREEN.post("/settings/password", call="status")
async def own_changed(visit: Visited, old: Text = "", password: Text = "", again: Text = "") -> Response:
    """One's own. The old one is asked for, and guessing it is slowed like a sign-in; other sessions end, this goes
    on."""
    session = await run_in_threadpool(_change_own, visit, old, password, again)
    guard: Guard = visit.request.app.state.guard
    answer = visit.go("/settings/password", "")
    visit.place.sayings.add(session, t("Your password is changed. Your other sessions have ended."))
    answer.headers.append("set-cookie", guard.cookie_text(session))
    if "hx-request" in visit.request.headers:  # a whole page: its changes need the new session's token
        return Response(status_code=204, headers={**answer.headers, "hx-redirect": "/settings/password"})
    return answer


def _change_own(visit: Visit, old: str, password: str, again: str) -> str:
    """Returns the new session."""
    if "@" in visit.caller.name:
        raise UsageError("Your account is kept by your organisation's sign-in service.", "Change your password there.")
    _check_twice(password, again)
    try:
        users.login(visit.home, visit.caller.name, old)
    except AccessRefused as error:
        raise UsageError("The present password is not right.") from error
    users.set_password(visit.home, visit.caller.name, password)
    return users.login(visit.home, visit.caller.name, password)


def _check_twice(password: str, again: str) -> None:
    if password != again:
        raise UsageError("The two passwords differ.", "Try again.")


def _tokens(visit: Visit, made: dict[str, str] | None) -> Page:
    found = users.listed(visit.path)
    kept = [each for each in found["tokens"] if not each["session"]]
    return visit.page("settings/tokens.html", tabs=tabs(visit, "/settings/tokens"), tokens=kept, made=made,
                      sessions=len(found["tokens"]) - len(kept), names=[(each["name"], each["name"]) for each in
                      found["users"]])  # fmt: skip
