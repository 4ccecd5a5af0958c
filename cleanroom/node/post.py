"""Signed messages between nodes, stored and forwarded: what a party says to another outside a run.

What is sent is in the outbox before `send` returns, and leaves it when the peer has it in its inbox. A message comes
through once, in its sender's order, and is signed by its sender whatever way it took. Labels of cells may go to data
owners; nothing of the data ever goes this way.
"""

import datetime as dt
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cleanroom import canonical
from cleanroom.errors import KNOWN, BadData, Refused, UsageError, our_mistake
from cleanroom.home import Home
from cleanroom.keys import verify
from cleanroom.node.config import FILE, Config, load
from cleanroom.node.peers import Peer, Peers
from cleanroom.node.state import State

FORMAT = "cleanroom-message/1"
LABEL = "cleanroom/message/1"
MOST_BYTES = 4 << 20
MOST_WAITING = 10_000
"""Messages that wait for one peer."""
MOST_UNHANDLED = 1_000
"""Messages of one peer that wait to be handled."""
_MOST_UNHANDLED_BYTES = 64 << 20
_MOST_CALL = 5 << 20
_KEPT_DAYS, _FAILED_DAYS = 400, 30
_FIELDS = {"format", "kind", "sender", "to", "id", "time", "body"}
_KIND_BYTES = 40
UNREACHED = "Neither of {party} and {peer} can dial the other."
UNREACHED_HINT = "One of them gives its node a url, and both add each other as peers."


@dataclass(frozen=True)
class Message:
    """What `sender` says to `to`. id: 32 hex digits, once and for all; time: UTC in ISO 8601, when it was written."""

    kind: str
    sender: str
    to: str
    id: str
    time: str
    body: dict[str, Any]

    def plain(self) -> dict[str, Any]:
        """What is signed."""
        return {"format": FORMAT, "kind": self.kind, "sender": self.sender, "to": self.to, "id": self.id,
                "time": self.time, "body": self.body}  # fmt: skip


Handler = Callable[[Home, State, Config, Message], None]
"""What a node does with a message of its kind; it may come again after a crash in the midst of it."""


def seal(home: Home, message: Message) -> bytes:
    """The message with this party's signature, as it is stored and sent."""
    signed = canonical.encode(message.plain())
    signature = home.keys.sign(LABEL, signed).hex()
    return canonical.encode({"message": message.plain(), "signature": signature})


def opened(home: Home, peer: Peer, content: bytes) -> Message:
    """The message in `content`. Raises BadData unless `peer` signed it, for this party, in a known form."""
    if len(content) > MOST_BYTES:
        raise BadData("A message of {party} is longer than {most} bytes.", party=peer.name, most=MOST_BYTES)
    try:
        value = json.loads(content)
        plain, signature = value["message"], bytes.fromhex(value["signature"])
        known = plain.keys() == _FIELDS and plain["format"] == FORMAT and type(plain["body"]) is dict
        known = known and value.keys() == {"message", "signature"} and value["signature"] == signature.hex()
        texts = all(type(plain[name]) is str for name in _FIELDS - {"body"})
        signed = canonical.encode(plain)
        if not (known and texts and len(plain["id"]) == 32 and len(plain["kind"]) <= _KIND_BYTES):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadData("A message of {party} is not in a form that this version knows.", party=peer.name) from error
    if plain["sender"] != peer.name or plain["to"] != home.party:
        raise BadData("A message of {party} is from or for another party.", party=peer.name)
    verify(peer.public.signing, LABEL, signed, signature)
    del plain["format"]
    return Message(**plain)


class Post:
    """The outbox and the inbox of a home."""

    def __init__(self, home: Home, state: State) -> None:
        self._home, self._state = home, state

    def send(self, to: str, kind: str, body: dict[str, Any]) -> str:
        """Put a message into the outbox; its id. Raises UsageError where `to` is no peer, or does not take them;
        Refused where neither node can dial the other."""
        peer = Peers(self._home).get(to)
        if not peer.url and (self._home.path / FILE).exists() and not load(self._home.path).url:
            raise Refused(UNREACHED, UNREACHED_HINT, **dict(zip(("party", "peer"), sorted((self._home.party, to)),
                                                                strict=True)))  # fmt: skip
        message = Message(kind, self._home.party, to, secrets.token_hex(16), _now(), body)
        content = seal(self._home, message)
        if len(content) > MOST_BYTES:
            raise UsageError("This message is longer than {most} bytes.", most=MOST_BYTES)
        with self._state.transaction() as database:
            waiting = database.execute("SELECT count(*) FROM outbox WHERE peer = ? AND delivered IS NULL", (to,))
            if waiting.fetchone()[0] >= MOST_WAITING:
                raise UsageError("Too many messages wait for {party}.", "Is its node running?", party=to)
            database.execute(
                "INSERT INTO outbox (id, peer, kind, content, created, attempts) VALUES (?, ?, ?, ?, ?, 0)",
                (message.id, to, kind, content, message.time),
            )
        return message.id

    def waiting(self, peer: str, most: int = 32) -> list[tuple[str, bytes]]:
        """What waits for a peer, oldest first: ids and contents, as many as fit into a call."""
        with self._state.transaction() as database:
            rows = database.execute(
                "SELECT id, content FROM outbox WHERE peer = ? AND delivered IS NULL ORDER BY seq LIMIT ?",
                (peer, most),
            ).fetchall()
        found: list[tuple[str, bytes]] = []
        for name, content in rows:
            if found and sum(len(each) for _, each in found) + len(content) > _MOST_CALL:
                break
            found.append((name, bytes(content)))
        return found

    def delivered(self, peer: str, ids: list[str]) -> None:
        """The peer has them. Their contents are dropped."""
        with self._state.transaction() as database:
            database.executemany(
                "UPDATE outbox SET delivered = ?, content = x'' WHERE id = ? AND peer = ? AND delivered IS NULL",
                [(_now(), each, peer) for each in ids],
            )

    def take_in(self, peer: Peer, content: bytes) -> str:
        """Keep what a peer sent, durably, once; its id. Raises BadData."""
        message = opened(self._home, peer, content)
        with self._state.transaction() as database:
            count, size = database.execute(
                "SELECT count(*), coalesce(sum(length(content)), 0) FROM inbox WHERE sender = ? AND handled IS NULL",
                (peer.name,),
            ).fetchone()
            if count >= MOST_UNHANDLED or size >= _MOST_UNHANDLED_BYTES:
                raise Refused("Too many messages of {party} wait here.", "Send them again later.", party=peer.name)
            database.execute(
                "INSERT OR IGNORE INTO inbox (sender, id, kind, content, received) VALUES (?, ?, ?, ?, ?)",
                (peer.name, message.id, message.kind, content, _now()),
            )
        return message.id

    def handle(self, config: Config, handlers: Mapping[str, Handler]) -> list[tuple[Message, Exception | None]]:
        """Do what has come, in order; each with the error that it ended in, if any. A failed message is not tried
        again: what it asked for was refused."""
        with self._state.transaction() as database:
            rows = database.execute(
                "SELECT sender, id, content FROM (SELECT *, row_number() OVER (PARTITION BY sender ORDER BY seq) AS p "
                "FROM inbox WHERE handled IS NULL) WHERE p <= 16 ORDER BY seq LIMIT 64"
            ).fetchall()
        return [self._handle_one(config, handlers, *row) for row in rows]

    def forget_old(self) -> None:
        """Forget that messages came which nobody sends again."""
        now = dt.datetime.now(dt.UTC)
        with self._state.transaction() as database:
            for where, days in (("failed IS NULL", _KEPT_DAYS), ("failed IS NOT NULL", _FAILED_DAYS)):
                before = (now - dt.timedelta(days=days)).replace(microsecond=0).isoformat()
                database.execute(f"DELETE FROM inbox WHERE handled < ? AND {where}", (before,))  # noqa: S608
            database.execute("DELETE FROM outbox WHERE delivered < ?", (before,))

    def _handle_one(self, config: Config, handlers: Mapping[str, Handler], sender: str, identity: str,
                    content: bytes) -> tuple[Message, Exception | None]:  # fmt: skip
        failed: Exception | None = None
        message = Message("", sender, self._home.party, identity, "", {})
        try:
            message = opened(self._home, Peers(self._home).get(sender), bytes(content))
            handler = handlers.get(message.kind)
            if handler is None:
                raise BadData("A message of {party} is of a kind that this version does not know.", party=sender)
            handler(self._home, self._state, config, message)
        except KNOWN as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - a message that trips us up must not stop those after it
            failed = our_mistake(error)
        with self._state.transaction() as database:
            database.execute(
                "UPDATE inbox SET handled = ?, failed = ?, content = x'' WHERE sender = ? AND id = ?",
                (_now(), getattr(failed, "template", None), sender, identity),
            )
        return message, failed


def _now() -> str:
    return dt.datetime.now(dt.UTC).replace(microsecond=0).isoformat()
