"""A node tells its peers of its next certificate before it shows it, so that no connection is ever refused for it."""

import datetime as dt
from typing import TYPE_CHECKING, Any

from cleanroom.errors import BadData, Refused
from cleanroom.home import Home
from cleanroom.node import certificate
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers

if TYPE_CHECKING:
    from cleanroom.node.post import Message
    from cleanroom.node.state import State

KIND = "certificate.given"
_FORMAT = 1
_LEAST_AGE = dt.timedelta(minutes=1)


def announcement(home: Home) -> dict[str, Any] | None:
    """The body of the message to all peers, while there is a successor: to be sent once for each certificate."""
    following = certificate.own(home).following
    return {"format": _FORMAT, "certificate": following.pem.decode()} if following else None


def given(home: Home, state: "State", config: Config, message: "Message") -> None:
    """Handles `certificate.given`. Raises BadData, Refused for a certificate that is not of the sender's keys."""
    body = message.body
    if body.keys() != {"format", "certificate"} or body["format"] != _FORMAT or type(body["certificate"]) is not str:
        raise BadData("A message of {party} is not in a form that this version knows.", party=message.sender)
    peers, now = Peers(home), dt.datetime.now(dt.UTC)
    pem = body["certificate"].encode()
    present, shown = certificate.read_any(peers.get(message.sender).certificate), certificate.read(pem, now)
    if shown.digest == present.digest:
        return
    if shown.begins - present.begins < _LEAST_AGE:  # for each new one the node listens anew
        raise Refused("{party} has renewed its certificate too often.", "Take it by hand: cleanroom peer renew",
                      party=message.sender)  # fmt: skip
    peers.renew(message.sender, pem)


HANDLERS = {KIND: given}
