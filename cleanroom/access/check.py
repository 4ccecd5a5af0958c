"""Whether a caller may make a call: asked before each one, of what the home holds at that moment.

So a user removed, a role taken away and a grant revoked end at the next call, also of sessions that are open. Whoever
makes a `Caller` has made sure of it before: by access to the home, a token, or a signature.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cleanroom.access import matrix, store
from cleanroom.errors import Refused, UsageError
from cleanroom.home import Home
from cleanroom.rooms import grants


@dataclass(frozen=True)
class Caller:
    """Who calls. owner: has the home itself; user: of this node, by name and roles; key: of somebody else, Ed25519, 32
    bytes, `name` being how the party or the peer calls it.

    A user from an identity provider has an @ in the name and the roles that the token says; a local account never.
    """

    kind: Literal["owner", "user", "key"]
    name: str = ""
    roles: tuple[str, ...] = ()
    key: bytes = b""


class AccessRefused(Refused):
    """A call that this caller may not make. code: role, or unknown."""

    def __init__(self, template: str, hint: str = "", *, code: str, **params: object) -> None:
        """`code`: for programs."""
        self.code = code
        super().__init__(template, hint, **params)


def check(home: Home, caller: Caller, call: str, room: str, *, columns: Sequence[str] = (), channel: str = "") -> None:
    """Raises AccessRefused or GrantRefused unless the caller may make this call; UsageError for a call that is none.

    room: its name, or "" for what is about the whole home; columns: all that the call uses, as dataset.column; channel:
    where a crowd goes, or "".
    """
    if call not in matrix.CALLS:
        raise UsageError("There is no call {call}.", call=call)
    match caller.kind:
        case "owner":
            return
        case "user":
            if not matrix.allows(_roles(home, caller), call):
                raise AccessRefused(
                    "Your roles do not allow the call {call}.", "Ask the owner of this node.", code="role", call=call
                )
        case "key":
            if caller.key == home.keys.public.signing:  # the party itself acts as owner, not by a request
                raise AccessRefused("This caller is not known.", code="unknown")
            grants.check(home, caller.key, call, room, dt.datetime.now(dt.UTC), columns=columns, channel=channel)
        case _:
            raise AccessRefused("This caller is not known.", code="unknown")


def _roles(home: Home, caller: Caller) -> tuple[str, ...]:
    """Those that the caller came with and still has."""
    if "@" in caller.name:
        return caller.roles
    user = store.load(home).user(caller.name)
    return tuple(role for role in caller.roles if user is not None and role in user.roles)
