"""The commands `cleanroom user`: the people of one party's node. Passwords and tokens are never arguments.

Parse, call, render, exit code; nothing else.
"""

from pathlib import Path
from typing import Annotated

import typer

from cleanroom.terminal import app as terminal
from cleanroom.terminal import show
from cleanroom.terminal.options import DEFAULT_HOME, HomeOption, Json, PasswordFile

app = terminal.new(help="The people of this node: local accounts with roles, and tokens for programs.")
Name = Annotated[str, typer.Argument(help="The user's name.")]
Roles = Annotated[list[str], typer.Option("--role", help="owner, analyst, marketer, approver, operator or auditor.")]


@terminal.command(app, "add", "Make an account.", "cleanroom user add ada --role analyst")
def user_add(
    name: Name, role: Roles, password_file: PasswordFile = None, home: HomeOption = DEFAULT_HOME, json: Json = False
) -> None:
    """Make it."""
    from cleanroom.access.users import add
    from cleanroom.home import Home
    from cleanroom.terminal.users import password, user_shown

    user = add(Home.open(home.expanduser()), name, role, password(password_file))
    result = {"name": user.name, "roles": list(user.roles)}
    show.result(result, json, lambda console: user_shown(console, result))


@terminal.command(app, "list", "The users of this node, and their tokens.", "cleanroom user list")
def user_list(home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """List them."""
    from cleanroom.access.users import listed
    from cleanroom.terminal.users import list_shown

    result = listed(home)
    show.result(result, json, lambda console: list_shown(console, result))


@terminal.command(
    app, "roles", "Give a user other roles, from the next call on.", "cleanroom user roles ada --role marketer"
)
def user_roles(name: Name, role: Roles, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Give them."""
    from cleanroom.access.users import set_roles
    from cleanroom.home import Home
    from cleanroom.terminal.users import user_shown

    user = set_roles(Home.open(home.expanduser()), name, role)
    result = {"name": user.name, "roles": list(user.roles)}
    show.result(result, json, lambda console: user_shown(console, result))


@terminal.command(app, "password", "Give a user another password; open sessions end.", "cleanroom user password ada")
def user_password(
    name: Name, password_file: PasswordFile = None, home: HomeOption = DEFAULT_HOME, json: Json = False
) -> None:
    """Give it."""
    from cleanroom.access.users import set_password
    from cleanroom.home import Home
    from cleanroom.terminal.users import password, user_shown

    user = set_password(Home.open(home.expanduser()), name, password(password_file))
    result = {"name": user.name, "roles": list(user.roles)}
    show.result(result, json, lambda console: user_shown(console, result))


@terminal.command(app, "remove", "Remove a user and all tokens of that user, now.", "cleanroom user remove ada")
def user_remove(name: Name, home: HomeOption = DEFAULT_HOME, json: Json = False) -> None:
    """Remove it."""
    from cleanroom.access.users import remove
    from cleanroom.home import Home
    from cleanroom.terminal.users import removed_shown

    remove(Home.open(home.expanduser()), name)
    result = {"removed": name}
    show.result(result, json, lambda console: removed_shown(console, result))


@terminal.command(
    app, "token", "Make a token for a program of a user; it is shown this once.",
    "cleanroom user token ada --title nightly --days 90 --out token.txt",
)  # fmt: skip
def user_token(
    name: Name,
    title: Annotated[str, typer.Option(help="What it is for.")],
    days: Annotated[int, typer.Option(help="How long it is in force.")] = 90,
    out: Annotated[Path | None, typer.Option(help="Write it into this file, mode 0600; otherwise it is shown.")] = None,
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Make it."""
    from cleanroom.access.users import issue
    from cleanroom.files import write_bytes
    from cleanroom.home import Home
    from cleanroom.terminal.users import token_shown

    secret, token = issue(Home.open(home.expanduser()), name, title, days)
    if out is not None:
        write_bytes(out.expanduser(), secret.encode())
    result = {"id": token.id, "user": token.user, "expires": token.expires, "token": secret if out is None else ""}
    show.result(result, json, lambda console: token_shown(console, result))


@terminal.command(app, "revoke", "End a token now.", "cleanroom user revoke 3f9a12c04d7e")
def user_revoke(
    token: Annotated[str, typer.Argument(help="The token's number in the list, not the token.")],
    home: HomeOption = DEFAULT_HOME,
    json: Json = False,
) -> None:
    """Revoke it."""
    from cleanroom.access.users import revoke
    from cleanroom.home import Home
    from cleanroom.terminal.users import removed_shown

    revoke(Home.open(home.expanduser()), token)
    result = {"removed": token}
    show.result(result, json, lambda console: removed_shown(console, result))
