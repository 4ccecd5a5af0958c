"""A channel's server on loopback, as honest ones are: it takes each key once; and as unlucky as a test wishes."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Channel:
    """What it has taken by key, how often each key came, and what happens at the next requests: a status; drop (taken,
    no answer); slow (taken, answered late); twice (answered twice); kill (taken, then the sender dies)."""

    def __init__(self) -> None:
        self.taken: dict[str, list[str]] = {}
        self.bodies: list[dict[str, Any]] = []
        self.asked: Counter[str] = Counter()
        self.tokens: set[str] = set()
        self.next: list[int | str] = []
        self.pid = 0
        self.url = ""

    @property
    def handles(self) -> list[str]:
        return [handle for some in self.taken.values() for handle in some]

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        key = request.headers["Idempotency-Key"]
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        self.asked[key] += 1
        self.tokens.add(request.headers.get("Authorization", ""))
        self.bodies.append(body)
        fate = self.next.pop(0) if self.next else 200
        if fate in (200, "drop", "slow", "twice", "kill"):
            self.taken.setdefault(key, body["handles"])
        if fate == "kill":
            os.kill(self.pid, signal.SIGKILL)
        if fate in ("drop", "kill"):
            return
        if fate == "slow":
            time.sleep(2.0)
        for _ in range(2 if fate == "twice" else 1):
            request.send_response(fate if isinstance(fate, int) else 200)
            request.send_header("Content-Length", "0")
            if fate == 429:
                request.send_header("Retry-After", "7")
            request.end_headers()


@contextmanager
def running() -> Iterator[Channel]:
    channel = Channel()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(OSError):
                channel.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    channel.url = f"http://127.0.0.1:{server.server_port}/batches"
    try:
        yield channel
    finally:
        server.shutdown()
        server.server_close()
