"""What the console serves from: the home, the node's state beside it, the templates. Made once a process."""

import collections
import threading
from dataclasses import dataclass, field
from pathlib import Path

from cleanroom.console.pages import Pages
from cleanroom.home import Home
from cleanroom.node import config
from cleanroom.node.config import Config
from cleanroom.node.door import Door
from cleanroom.node.queue import Jobs
from cleanroom.node.state import State


@dataclass
class Sayings:
    """What a page has to say on the next page: of each session a few, kept in memory."""

    _held: dict[str, list[str]] = field(default_factory=lambda: collections.defaultdict(list))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, session: str, text: str) -> None:
        """To be shown once."""
        with self._lock:
            self._held[session] = [*self._held[session], text][-5:]
            while len(self._held) > 1_000:
                del self._held[next(iter(self._held))]

    def take(self, session: str) -> list[str]:
        """What was kept, and now is gone."""
        with self._lock:
            return self._held.pop(session, [])


@dataclass(frozen=True)
class Place:
    """settings: as the node began with; door: the node's calls, checked; jobs: its queue."""

    home: Home
    state: State
    settings: Config
    door: Door
    jobs: Jobs
    pages: Pages
    sayings: Sayings

    @classmethod
    def of(cls, path: Path) -> "Place":
        """The place of that home. Raises as opening it does."""
        home = Home.open(path)
        settings, state = config.load(home.path), State.open(home)
        return cls(home, state, settings, Door(home, state, settings),
                   Jobs(state, most_waiting=settings.limits.jobs_waiting), Pages(), Sayings())  # fmt: skip
