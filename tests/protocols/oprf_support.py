"""The unbalanced match with one key and made-up people: tables, questions, and a session of both roles."""

from dataclasses import dataclass, field

import numpy as np
from support import Outcome, canaries, digests, session

from protocols.errors import PeerAborted
from protocols.oprf.keys import Epoch, Key, Quota
from protocols.oprf.questions import Answers, Question, ask
from protocols.oprf.tables import TagTable, precompute
from protocols.psi import oprf

WIDTH = 8
ROOM = b"r" * 32
KEY = Key(ROOM, 1, b"k" * 32)


def terms(key: Key = KEY, width: int = 0, rows: int = 1000, queries: int = 500) -> Epoch:
    return Epoch(key.epoch, key.public, rows, queries, width)


def marks(numbers) -> np.ndarray:
    return np.array(list(numbers), "<i8").reshape(-1, 1).view(np.uint8)


def table_of(people, key: Key = KEY, epoch: Epoch | None = None) -> TagTable:
    epoch = epoch or terms(key)
    own = marks(people) if epoch.label_width else None
    return precompute(key, epoch, digests(people), own, canaries=canaries("sender"))[0]


def question(people, known: Answers | None = None) -> Question:
    return ask(digests(people), canaries=canaries("receiver"), known=known)


@dataclass
class Run:
    """A session with what its two sides hold, and what came of it."""

    table: TagTable
    asked: Question
    held: TagTable | None = None
    earlier: TagTable | None = None
    quota: Quota | None = None
    key: Key = KEY
    epoch: Epoch | None = None
    kept: list[Quota] = field(default_factory=list)

    def start(self, *, sends=lambda channel: channel, receives=lambda channel: channel, **other) -> Outcome:
        quota = self.quota or Quota.of(self.table.epoch)
        return session(
            lambda c: oprf.sender(sends(c), self.key, self.table, quota, self.kept.append, earlier=self.earlier),
            lambda c: oprf.receiver(receives(c), self.asked, self.epoch or self.table.epoch, self.held),
            **other,
        )


def fails(outcome: Outcome, side: str, kind: type[BaseException], text: str) -> None:
    """One side names the error, the other hears of it; nobody has a result."""
    assert isinstance(outcome.errors[side], kind), outcome.errors
    assert text in str(outcome.errors[side])
    other = "receiver" if side == "sender" else "sender"
    assert isinstance(outcome.errors[other], PeerAborted | type(outcome.errors[side]))
    assert not outcome.results
