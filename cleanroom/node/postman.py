"""Delivers messages to peers and fetches what waits for this node there, a pair of threads a peer.

No peer's answer, silence or flood holds up another's. What a peer sends is bounded before it is kept.
"""

import base64
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from cleanroom.errors import KNOWN, our_mistake
from cleanroom.home import Home
from cleanroom.node.config import Config
from cleanroom.node.lines import MOST_FETCHED, POLL_SECONDS, Calls, Lines
from cleanroom.node.log import Log
from cleanroom.node.peers import Peer, Peers
from cleanroom.node.post import Post
from protocols.errors import BadMessage

MOST_MESSAGES = 32
"""Of one call, and of one poll."""
_LOOK_SECONDS = 0.3
_FIRST_WAIT, _MOST_WAIT = 0.5, 15.0
_ASK_AGAIN_SECONDS = 30.0
_ANSWERS_AT_ONCE = 8


class Postman:
    """The post of one node with all its peers."""

    def __init__(self, home: Home, config: Config, post: Post, lines: Lines, log: Log,
                 stopping: threading.Event) -> None:  # fmt: skip
        self._home, self._config, self._post, self._lines = home, config, post, lines
        self._log, self._stopping = log, stopping
        self._peers = Peers(home)
        self._threads: dict[tuple[str, str], threading.Thread] = {}
        self._rooms: dict[str, threading.BoundedSemaphore] = {}
        self.calls: Calls | None = None

    def turn(self) -> None:
        """See that every peer which can be dialled has its threads."""
        for peer in self._peers.all():
            if not peer.url:
                continue
            for name, work in (("deliver", self._deliver), ("fetch", self._fetch)):
                held = self._threads.get((peer.name, name))
                if held is None or not held.is_alive():
                    made = threading.Thread(target=self._keep, args=(work, peer.name), name=f"{name} {peer.name}",
                                            daemon=True)  # fmt: skip
                    self._threads[peer.name, name] = made
                    made.start()

    def _keep(self, work: Callable[[Peer], bool], name: str) -> None:
        """Work for one peer while it is one; after what fails the next try waits, twice as long each time."""
        wait = _FIRST_WAIT
        while not self._stopping.is_set() and name in self._peers.names():
            peer = self._peers.get(name)
            if not peer.url:
                return
            try:
                pause = 0.0 if work(peer) else _LOOK_SECONDS
                wait = _FIRST_WAIT
            except KNOWN as error:
                if wait == _FIRST_WAIT:
                    self._log.error("post", error, peer=name, work=work.__name__.strip("_"))
                pause, wait = wait, min(2 * wait, _MOST_WAIT)
            except Exception as error:  # noqa: BLE001 - told as our mistake; the others go on
                self._log("mistake", work=work.__name__, **our_mistake(error).params)
                pause = _MOST_WAIT
            self._stopping.wait(pause)

    # -- this node's own doing

    def _deliver(self, peer: Peer) -> bool:
        waiting = self._post.waiting(peer.name, MOST_MESSAGES)
        if not waiting:
            return False
        contents = [base64.b64encode(content).decode() for _, content in waiting]
        ids = self._lines.call(peer.name, "messages", {"contents": contents}).get("ids")
        taken = {name for name, _ in waiting} & set(_texts(ids, MOST_MESSAGES))
        if not taken:
            raise BadMessage("A message has an unknown form.")
        self._post.delivered(peer.name, sorted(taken))
        return True

    def _fetch(self, peer: Peer) -> bool:
        """What waits for this node there, if that peer cannot dial it."""
        if self._lines.fetches(peer.name) is not True:
            self._lines.call(peer.name, "ping", {})
        if self._lines.fetches(peer.name) is not True:
            self._stopping.wait(_ASK_AGAIN_SECONDS)
            return True
        had: list[str] = []
        while not self._stopping.is_set() and peer.name in self._peers.names():
            seconds = POLL_SECONDS + self._config.times.connect
            found = self._lines.call(peer.name, "poll", {"had": had}, seconds)
            had = [self._post.take_in(peer, _decoded(each))
                   for each in _texts(found.get("messages"), MOST_MESSAGES)]  # fmt: skip
            calls = found.get("calls")
            if not isinstance(calls, list) or len(calls) > MOST_FETCHED:
                raise BadMessage("A message has an unknown form.")
            for call in calls:
                self._rooms.setdefault(peer.name, threading.BoundedSemaphore(_ANSWERS_AT_ONCE)).acquire()
                threading.Thread(target=self._answer, args=(peer, call), daemon=True).start()
        return True

    def _answer(self, peer: Peer, call: Any) -> None:
        try:
            if self.calls is not None and isinstance(call, dict):
                answer = self.calls.fetched(peer, call)
                with contextlib.suppress(*KNOWN):
                    self._lines.call(peer.name, "answered", {"number": str(call.get("number")), "answer": answer})
        finally:
            self._rooms[peer.name].release()

    # -- what peers call

    def taken(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `messages`: the ids of those that are kept now."""
        contents = _texts(body.get("contents"), MOST_MESSAGES)
        return {"ids": [self._post.take_in(peer, _decoded(each)) for each in contents]}

    def polled(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `poll`: what waits for a peer that cannot be dialled; what it had before, it confirms."""
        had = _texts(body.get("had", []), MOST_MESSAGES)
        self._post.delivered(peer.name, had)
        seconds = 0.0 if had else POLL_SECONDS
        calls = self._lines.fetched.take(peer.name, seconds, lambda: bool(self._post.waiting(peer.name, 1)))
        waiting = self._post.waiting(peer.name, MOST_MESSAGES)
        return {"calls": calls, "messages": [base64.b64encode(content).decode() for _, content in waiting]}

    def answered(self, peer: Peer, body: dict[str, Any]) -> dict[str, Any]:
        """Answer `answered`: a fetched call's answer is brought."""
        answer = body.get("answer")
        if isinstance(answer, dict):
            self._lines.fetched.answer(peer.name, str(body.get("number")), answer)
        return {}


def _texts(value: Any, most: int) -> list[str]:
    """Raises BadMessage unless it is a list of so many texts at most."""
    if not isinstance(value, list) or len(value) > most or not all(type(each) is str for each in value):
        raise BadMessage("A message has an unknown form.")
    return value


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadMessage("A message has an unknown form.") from error
