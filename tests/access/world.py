"""A merchant and a provider that have pinned each other, as nodes do; messages are carried by hand."""

from collections.abc import Mapping
from pathlib import Path

from cleanroom.home import Home
from cleanroom.node import certificate
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Handler, Post
from cleanroom.node.state import State


def pinned(one: Home, other: Home) -> None:
    """Each knows the other."""
    for home, peer in ((one, other), (other, one)):
        Peers(home).add(peer.party, "", certificate.own(peer).pem, peer.keys.fingerprint)


def home(folder: Path, party: str) -> Home:
    """A new home."""
    return Home.create(folder / party, party)


def carry(sender: Home, receiver: Home, handlers: Mapping[str, Handler]) -> list[Exception | None]:
    """All that waits at the sender for the receiver comes there and is handled; what each ended in."""
    with State.open(sender) as state:
        post = Post(sender, state)
        sent = post.waiting(receiver.party)
        post.delivered(receiver.party, [identity for identity, _ in sent])
    with State.open(receiver) as state:
        post = Post(receiver, state)
        for _, content in sent:
            post.take_in(Peers(receiver).get(sender.party), content)
        return [failed for _, failed in post.handle(Config(role="merchant"), handlers)]
