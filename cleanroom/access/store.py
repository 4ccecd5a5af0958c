"""The file of a node's users and their tokens: `users.json` in the home, signed by the party's key, mode 0600.

No password and no token stands in it: an Argon2id hash of the one, SHA-256 of the other. Who can write into the home
but has not its keys can make nobody a user and give nobody a role.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from cleanroom import canonical, private_files
from cleanroom.access.matrix import ROLES
from cleanroom.errors import BadData
from cleanroom.files import write_bytes
from cleanroom.home import Home
from cleanroom.keys import verify

FORMAT = "cleanroom-users/1"
LABEL = "cleanroom/users/1"
_STORE = "users.json"
_LOCK = "users.lock"
_LIMIT = 1 << 24


@dataclass(frozen=True)
class User:
    """A local account. hash: of the password, in PHC form; created: UTC, ISO 8601."""

    name: str
    roles: tuple[str, ...]
    hash: str
    created: str


@dataclass(frozen=True)
class Token:
    """What a program or a session shows. id: 12 hex digits, to name it by; digest: SHA-256 of the token in hex; used:
    the hour of its last use, or ''; session: made by a login."""

    id: str
    user: str
    title: str
    digest: str
    created: str
    expires: str
    used: str
    session: bool


@dataclass(frozen=True)
class Failures:
    """Attempts at logins that failed one after another, of the names that fall into this slot; until: when the next is
    looked at, seconds since 1970."""

    slot: int
    count: int
    until: int


@dataclass(frozen=True)
class Accounts:
    """All of it."""

    users: tuple[User, ...] = ()
    tokens: tuple[Token, ...] = ()
    failures: tuple[Failures, ...] = ()

    def user(self, name: str) -> User | None:
        """The account of that name."""
        return next((user for user in self.users if user.name == name), None)

    def with_user(self, user: User) -> "Accounts":
        """That account added, or put in place of the one of its name."""
        return replace(self, users=(*(each for each in self.users if each.name != user.name), user))

    def with_token(self, token: Token) -> "Accounts":
        """Likewise, in its place."""
        tokens = {each.id: each for each in self.tokens} | {token.id: token}
        return replace(self, tokens=tuple(tokens.values()))


def load(home: Home) -> Accounts:
    """What the home holds now. Raises BadData for another format, and where it is damaged or not signed."""
    path = home.path / _STORE
    if not path.exists() and not path.is_symlink():
        return Accounts()
    try:
        value = json.loads(private_files.read(path, _LIMIT))
        signature = bytes.fromhex(value.pop("signature"))
        if value["format"] != FORMAT:
            raise BadData("The users of this home have a format that this version does not know.")
        verify(home.keys.public.signing, LABEL, canonical.encode(value), signature)
        return Accounts(
            tuple(_parsed(User, each) for each in value["users"]),
            tuple(_parsed(Token, each) for each in value["tokens"]),
            tuple(_parsed(Failures, each) for each in value["failures"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("The file of the users is damaged.", "Restore it from a backup.") from error


def change(home: Home, made: Callable[[Accounts], Accounts]) -> Accounts:
    """The accounts as `made` of those now held; on the disk at return, and nobody else writes meanwhile."""
    with private_files.locked(home.path / _LOCK):
        before = load(home)
        after = made(before)
        if after != before:
            content: dict[str, canonical.Json] = {"format": FORMAT, **_plain(after)}
            signature = home.keys.sign(LABEL, canonical.encode(content)).hex()
            write_bytes(home.path / _STORE, canonical.encode({**content, "signature": signature}))
    return after


def _plain(accounts: Accounts) -> dict[str, canonical.Json]:
    return {name: [asdict(each) for each in getattr(accounts, name)] for name in ("users", "tokens", "failures")}


def _parsed(kind: Any, value: dict[str, Any]) -> Any:
    found = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
    term = kind(**found)
    if any(type(found[each.name]) is not (tuple if each.name == "roles" else each.type) for each in fields(kind)):
        raise TypeError
    if isinstance(term, User) and not set(term.roles) <= set(ROLES):
        raise ValueError
    return term


def text_list(value: object) -> tuple[str, ...]:
    """A list of texts, as it came in JSON. Raises BadData."""
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise BadData("A list of texts is something else.")
    return tuple(value)
