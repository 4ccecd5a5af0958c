"""`user` for people: accounts, tokens, and how a password is asked for."""

import os
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from cleanroom import private_files
from cleanroom.errors import UsageError
from cleanroom.lang import t
from cleanroom.terminal import show

VARIABLE = "CLEANROOM_PASSWORD"
ROLES = {
    "owner": "owner",
    "analyst": "analyst",
    "marketer": "marketer",
    "approver": "approver",
    "operator": "operator of the platform",
    "auditor": "auditor",
}
"""Roles of users, for people."""


def password(file: Path | None, *, twice: bool = True) -> str:
    """From the file, else the environment, else a prompt. Raises UsageError where there is no terminal to ask at."""
    if file is not None:
        return private_files.read_secret(file.expanduser()).decode("utf-8", "replace").rstrip("\r\n")
    if VARIABLE in os.environ:
        return os.environ[VARIABLE]
    if not os.isatty(0):
        raise UsageError(
            "There is nobody to ask for the password.", "Name its file, or set {variable}.", variable=VARIABLE
        )
    asked = typer.prompt(t("Password"), hide_input=True, err=True)
    if twice and typer.prompt(t("Once more"), hide_input=True, err=True) != asked:
        raise UsageError("The two passwords differ.", "Try again.")
    return str(asked)


def user_shown(console: Console, result: dict[str, Any]) -> None:
    """A user with its roles."""
    show.fact(console, result["name"], _roles(result["roles"]))


def list_shown(console: Console, result: dict[str, Any]) -> None:
    """A user a line, then a token a line."""
    rows = [(each["name"], _roles(each["roles"]), each["created"][:10]) for each in result["users"]]
    show.table(console, t("Users of {party}", party=t(result["party"])), (t("name"), t("roles"), t("since")), rows)
    tokens = [
        (each["id"], each["user"], t("a session") if each["session"] else each["title"], each["expires"][:10],
         each["used"][:10])
        for each in result["tokens"]
    ]  # fmt: skip
    titles = (t("number"), t("user"), t("what for"), t("until"), t("last used"))
    show.table(console, t("Tokens"), titles, tokens)


def token_shown(console: Console, result: dict[str, Any]) -> None:
    """A token, this once."""
    if result["token"]:
        show.fact(console, t("Token {id}", id=result["id"]), result["token"])
        show.line(console, t("It is shown this once; keep it where only the program can read it."))
    show.fact(console, t("Until"), result["expires"][:10])


def removed_shown(console: Console, result: dict[str, Any]) -> None:
    """What is gone."""
    show.line(console, t("{name} is gone; the next call is refused.", name=result["removed"]))


def _roles(roles: list[str]) -> str:
    return ", ".join(t(ROLES[role]) for role in roles)
