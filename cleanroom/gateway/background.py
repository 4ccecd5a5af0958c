"""Work that outlasts a call: runs between the parties. One at a time, each known by its key, so that a repeat joins it.

A caller waits a moment for it; what takes longer goes on, and the same call again finds it. Nothing is lost by a
restart: an export that was under way is taken up again, and what was charged before is not charged twice.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from cleanroom.gateway.codes import Fault

Made = TypeVar("Made")
MOST_WAITING = 100


class Background(Generic[Made]):
    """A queue of one worker."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "gateway-work")
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Made]] = {}

    def begin(self, key: str, work: Callable[[], Made]) -> "Future[Made]":
        """The work of this key: begun now, or under way already. Raises Fault where too much waits."""
        with self._lock:
            if (found := self._under_way.get(key)) is not None:
                return found
            if len(self._under_way) >= MOST_WAITING:
                raise Fault("isp.busy")
            made = self._pool.submit(work)
            self._under_way[key] = made
        made.add_done_callback(lambda _: self._done(key))
        return made

    def _done(self, key: str) -> None:
        with self._lock:
            self._under_way.pop(key, None)

    def close(self) -> None:
        """Wait for what runs; begin nothing more."""
        self._pool.shutdown(wait=True, cancel_futures=True)
