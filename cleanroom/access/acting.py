"""Acting for another party: a provider's key signs a request, and the merchant's node checks it and its grant.

A request is for one merchant, one call and one moment, and is let in once. What it may do is decided by the grant as it
stands when the request comes; nothing of the request is used before its signature is known to be the key's.
"""

import datetime as dt
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.access import matrix, store, used
from cleanroom.access.check import AccessRefused, Caller, check
from cleanroom.errors import BadData, UsageError
from cleanroom.home import Home
from cleanroom.keys import PublicKeys, verify
from cleanroom.node.peers import Peers
from cleanroom.node.state import State
from cleanroom.rooms import grants
from cleanroom.rooms.store import Room, Rooms

FORMAT = "cleanroom-act/1"
LABEL = "cleanroom/act/1"
MOST_BYTES = 1 << 20
SKEW_SECONDS = 300.0
KEPT_DAYS = 7
"""For so long a request let in is remembered, so that a clock set back by days lets none in again."""
_TEXTS = ("format", "id", "time", "to", "call", "room", "channel", "key", "signature")
_HEX = frozenset("0123456789abcdef")
_REMEMBERED = """CREATE TABLE IF NOT EXISTS acts (
    key TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (key, id)) WITHOUT ROWID"""


@dataclass(frozen=True)
class Acting:
    """A request that was let in. caller: the key and its name; arguments: as the call has them; columns: all that it
    uses; id: 32 hex digits, once and for all, fit to be a job's."""

    caller: Caller
    call: str
    room: str
    arguments: dict[str, Any]
    id: str
    columns: tuple[str, ...] = ()
    channel: str = ""

    def asked_by(self, party: str) -> tuple[str, str]:
        """Whom a ledger names: the party in whose name, and who asked."""
        return party, self.caller.name


def request(home: Home, merchant: str, call: str, room: str, arguments: Mapping[str, Any], *, channel: str = "",
            now: dt.datetime | None = None) -> dict[str, Any]:  # fmt: skip
    """A request to a merchant, a pinned peer, signed by this home's key; it is let in once, and only now.

    Raises UsageError for an unknown peer or call, and for arguments that are not canonical JSON or too long.
    """
    if call not in matrix.GRANTABLE:
        raise UsageError("There is no call {call}.", call=call)
    body: dict[str, Any] = {
        "format": FORMAT, "id": secrets.token_hex(16), "time": (now or dt.datetime.now(dt.UTC)).isoformat(),
        "to": Peers(home).get(merchant).public.signing.hex(), "call": call, "room": room, "channel": channel,
        "arguments": dict(arguments), "key": home.keys.public.signing.hex(),
    }  # fmt: skip
    try:
        message = canonical.encode(body)
    except TypeError as error:
        raise UsageError("Arguments are texts, whole numbers, lists and objects of them.") from error
    if len(message) > MOST_BYTES:
        raise UsageError("This request is longer than {most} bytes.", most=MOST_BYTES)
    return {**body, "signature": home.keys.sign(LABEL, message).hex()}


def verified(home: Home, state: State, body: object, now: dt.datetime, *, skew: float = SKEW_SECONDS) -> Acting:
    """The request, if its key signed it for this party, just now, for the first time, and a grant covers it.

    skew: seconds that clocks may be apart. Raises BadData for what is not in its form or not signed, AccessRefused
    (code time, replay, unknown), GrantRefused, and what the gate says of a query.
    """
    value = _checked(body)
    if value["to"] != home.keys.public.signing.hex():
        raise AccessRefused("This request is for another party.", code="unknown")
    key = bytes.fromhex(value["key"])
    PublicKeys(key, bytes(32))
    signed = {name: item for name, item in value.items() if name != "signature"}
    verify(key, LABEL, canonical.encode(signed), bytes.fromhex(value["signature"]))
    moment = _moment(value["time"])
    if abs((now - moment).total_seconds()) > skew:
        raise AccessRefused(
            "The time of this request is not now.", "Check the clocks of both sides, then send a new one.", code="time"
        )
    caller = Caller("key", _name_of(home, key), key=key)
    call, room, arguments, channel = value["call"], value["room"], value["arguments"], value["channel"]
    if call not in matrix.CALLS:
        raise AccessRefused("There is no call {call}.", code="unknown", call=call[:64])
    columns = check_call(home, caller, call, room, arguments, channel=channel)
    _remember(state, value["key"], value["id"], moment, now)
    return Acting(caller, call, room, arguments, value["id"], columns, channel)


def check_call(home: Home, caller: Caller, call: str, room: str, arguments: Mapping[str, Any], *,
               channel: str = "") -> tuple[str, ...]:  # fmt: skip
    """The columns that a key's call uses, if the caller may make the call with these arguments.

    Raises AccessRefused, GrantRefused, and what `columns_of` does.
    """
    check(home, caller, call, room, channel=channel)  # before anything of the room is read for it
    if caller.kind != "key":
        return ()
    named = used.channels(call, arguments)
    if channel and named and named != (channel,):
        raise _malformed()
    for each in named:
        check(home, caller, call, room, channel=each)
    columns = columns_of(home, call, arguments, room)
    for each in named or (channel,):
        check(home, caller, call, room, columns=columns, channel=each)
    if call == "import":
        _check_import(home, caller, room, arguments.get("dataset"))
    if call in _OF_ALL_ROOMS:
        check(home, caller, call, "")
    return columns


def check_again(home: Home, asked_by: str, call: str, room: str, arguments: Mapping[str, Any]) -> None:
    """When something begins that was asked for before: whoever asked may still ask for it. asked_by: the party itself,
    a user, or a peer, as a ledger names them. Raises as `check_call`, AccessRefused for who is nobody any more."""
    peers = Peers(home)
    if asked_by in peers.names():
        caller = Caller("key", asked_by, key=peers.get(asked_by).public.signing)
    elif (
        asked_by == home.party or "@" in asked_by
    ):  # the roles of such a user are in its token alone, which was in force
        return
    else:
        user = store.load(home).user(asked_by)
        caller = Caller("key", asked_by, key=bytes(32)) if user is None else Caller("user", user.name, user.roles)
    check_call(home, caller, call, room, arguments)


def is_id(value: object) -> bool:
    """Whether it is a request's or a job's number: 32 hex digits."""
    return _is_hex(value, 32)


def columns_of(home: Home, call: str, arguments: Mapping[str, Any], room: str) -> tuple[str, ...]:
    """All columns (dataset.column) that a call uses, sorted: of a query or of members those that the gate finds in it,
    of a crowd those of its rule, of what else is about a room's columns all of the room.

    arguments: as the call has them. Raises BadData, and what the gate, the templates and the rule refuse.
    """
    if call not in _OF_A_ROOM or used.lists_alone(call, arguments):
        return ()
    held = Rooms(home.rooms).load(room)
    if call in ("query", "members") and ("sql" in arguments or "template" in arguments):
        return _asked(home, held, arguments)
    return used.columns(home, held, call, arguments) if call in used.CALLS else used.everything(held)


_OF_A_ROOM = ("query", "plan", "members", "schedule", "sign", *used.CALLS)
"""Calls that use columns; where these cannot be told from the arguments, they use all."""


_OF_ALL_ROOMS = ("audit",)
"""Calls whose answer is about the whole home, whatever room is named."""


def _check_import(home: Home, caller: Caller, room: str, dataset: object) -> None:
    """An import for a room is of the dataset that this party brings there, and ends in a query of it; any other is
    about the whole home. Raises GrantRefused."""
    if room:
        check(home, caller, "query", room)
    contract = Rooms(home.rooms).load(room).contract if room else None
    if contract is None or home.party not in contract.owners or dataset != contract.dataset_of(home.party).name:
        check(home, caller, "import", "")


def _asked(home: Home, room: Room, arguments: Mapping[str, Any]) -> tuple[str, ...]:
    from cleanroom.gate import gate  # the gate and its parser: only where a question is asked
    from cleanroom.gate.schema import Schema
    from cleanroom.rooms import templates

    values = arguments.get("values", {})
    fits = isinstance(values, dict) and all(isinstance(each, str) for each in values.values())
    sql, template = arguments.get("sql", ""), arguments.get("template")
    if not fits or not isinstance(sql, str) or not isinstance(template, str | None):
        raise _malformed()
    if template is not None:
        return templates.resolve(home, room, template, values)[0].columns
    return gate.ask(sql, Schema.of(room.contract, room.annexes or ())).columns


def _checked(body: object) -> dict[str, Any]:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise BadData("A request is of an unknown version.", "Update this program, or ask the sender to.")
    fits = body.keys() == {*_TEXTS, "arguments"} and isinstance(body["arguments"], dict)
    if not fits or not all(isinstance(body[name], str) and len(body[name]) <= 1024 for name in _TEXTS):
        raise _malformed()
    sizes = {"to": 64, "key": 64, "signature": 128}
    if not is_id(body["id"]) or any(not _is_hex(body[name], size) for name, size in sizes.items()):
        raise _malformed()
    try:
        if len(canonical.encode(body)) > MOST_BYTES + 256:
            raise _malformed()
    except (TypeError, ValueError, RecursionError) as error:
        raise _malformed() from error
    return body


def _is_hex(value: object, size: int) -> bool:
    return isinstance(value, str) and len(value) == size and _HEX.issuperset(value)


def _moment(text: str) -> dt.datetime:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise _malformed() from error
    if moment.tzinfo is None:
        raise _malformed()
    return moment


def _malformed() -> BadData:
    return BadData("A request is not in its form.")


def _name_of(home: Home, key: bytes) -> str:
    """What this home calls the key: the peer's name, else that of its newest grant."""
    peer = Peers(home).by_key(key)
    if peer is not None:
        return peer.name
    named = [grant.name for grant, _ in grants.load(home).grants if grant.key == key.hex()]
    return named[-1] if named else ""


def _remember(state: State, key: str, identity: str, moment: dt.datetime, now: dt.datetime) -> None:
    """Raises AccessRefused where a request of this key and id was let in before."""
    with state.transaction() as database:
        database.execute(_REMEMBERED)
        database.execute("DELETE FROM acts WHERE time < ?", (now.timestamp() - KEPT_DAYS * 86_400,))
        added = database.execute("INSERT OR IGNORE INTO acts VALUES (?, ?, ?)", (key, identity, moment.timestamp()))
        fresh = added.rowcount == 1
    if not fresh:
        raise AccessRefused("This request came before.", "Send a new one.", code="replay")
