"""Nodes of one process that hand each other their messages, in any order a test likes, again, or late."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cleanroom.home import Home
from cleanroom.node import certificate
from cleanroom.node.config import Config
from cleanroom.node.peers import Peers
from cleanroom.node.post import Message, Post, opened
from cleanroom.node.state import State
from cleanroom.rooms.agreeing import Here, settle
from cleanroom.rooms.invitations import HANDLERS
from tests import near
from tests.rooms import parts

ROLES = {"merchant": "merchant", "platform": "platform", "operator": "enclave"}
DATASETS = {"merchant": "crm", "platform": "users"}
BITS = 2048


def prepared(folder: Path) -> Path:
    """Homes of three parties that have pinned each other; the owners with a dataset and a proved key."""
    homes = {party: near.new_home(folder / party, party, BITS if party in DATASETS else 0) for party in ROLES}
    for party, home in homes.items():
        (folder / party / "node.toml").write_text(
            f'role = "{ROLES[party]}"\nlisten = ""\nurl = "grpc+tls://127.0.0.1:9"\n'
        )
        if party in DATASETS:
            parts.fill(home, DATASETS[party], 300)
    shown = {party: certificate.own(home).pem for party, home in homes.items()}
    for party, home in homes.items():
        for other in homes.keys() - {party}:
            Peers(home).add(other, "", shown[other], homes[other].keys.public.fingerprint)
    return folder


@dataclass
class Node:
    """One of them."""

    home: Home
    state: State
    config: Config
    failed: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def path(self) -> Path:
        return self.home.path

    @property
    def here(self) -> Here:
        return Here(self.home, self.state, self.config)

    def settle(self) -> list[tuple[str, Exception]]:
        return settle(self.here)


class World:
    """All of them, and what is on the way."""

    def __init__(self, made: Path, folder: Path, parties: Iterable[str] = ROLES) -> None:
        for party in parties:
            shutil.copytree(made / party, folder / party)
        homes = {party: Home.open(folder / party) for party in parties}
        self.nodes = {
            party: Node(home, State.open(home), Config(role=ROLES[party], listen="")) for party, home in homes.items()
        }
        self.carried: list[tuple[str, str, bytes]] = []

    def __getitem__(self, party: str) -> Node:
        return self.nodes[party]

    def close(self) -> None:
        for node in self.nodes.values():
            node.state.close()

    def lines(self) -> list[tuple[str, str]]:
        """From whom to whom something is on the way."""
        return [
            (sender, to)
            for sender, node in self.nodes.items()
            for to in self.nodes
            if to != sender and Post(node.home, node.state).waiting(to, 1)
        ]

    def carry(self, sender: str, to: str, times: int = 1) -> None:
        """The oldest message from one to the other; handled `times` times, as after so many crashes in between."""
        node, receiver = self.nodes[sender], self.nodes[to]
        post = Post(node.home, node.state)
        ((identity, content),) = post.waiting(to, 1)
        post.delivered(to, [identity])
        self.carried.append((sender, to, content))
        peer = Peers(receiver.home).get(sender)
        inbox = Post(receiver.home, receiver.state)
        for _ in range(times - 1):
            self.handle(to, opened(receiver.home, peer, content))
        for _ in range(times):
            inbox.take_in(peer, content)
        receiver.failed += [
            (message.kind, error) for message, error in inbox.handle(receiver.config, HANDLERS) if error is not None
        ]

    def deliver(self) -> None:
        """Everything, until nobody has anything to say any more."""
        while lines := self.lines():
            for line in lines:
                self.carry(*line)

    def handle(self, to: str, message: Message) -> None:
        """As a node does, without its inbox. Raises what the handler raises."""
        node = self.nodes[to]
        HANDLERS[message.kind](node.home, node.state, node.config, message)

    def say(self, sender: str, to: str, kind: str, body: dict[str, Any]) -> None:
        """A message that the sender's own node would not write."""
        self.handle(to, Message(kind, sender, to, "0" * 32, "2026-11-22T00:00:00+00:00", body))
