"""A batch to a channel's server, over HTTP: one POST, again after a fault, always under the batch's one key.

The server tells batches apart by `Idempotency-Key` alone, and answers 2xx to one that it has already. A connection
carries one batch, so that an answer that comes twice or late is read by nobody. A redirect is a fault, since it could
lead anywhere. What a server answers is never shown, and neither are addresses, tokens or anything of a batch.
"""

import http.client
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cleanroom import private_files
from cleanroom.activation.rules import Server
from cleanroom.errors import Interrupted, Refused
from cleanroom.node.notices import check_webhook

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each further attempt, each drawn between half of it and all of it."""
SECONDS = 20.0
_LONGEST_PAUSE = 60.0
_AGAIN = (408, 409, 425, 429)
"""Faults of the moment, beside those of 500 and more. 409: the same batch is being taken already."""
_FAULTS = (OSError, http.client.HTTPException)
_MOST_ANSWER = 1 << 16


@dataclass(frozen=True)
class Push:
    """Sends batches of a channel. seconds: that a server may be silent."""

    channel: str
    server: Server
    pauses: tuple[float, ...] = PAUSES
    seconds: float = SECONDS
    sleep: Callable[[float], None] = time.sleep

    def send(self, key: str, body: bytes) -> int:
        """Until the server has taken it; how many attempts it took.

        Raises Interrupted where it does not in all attempts, Refused where it refuses the batch for good.
        """
        fault = ""
        for attempt, pause in enumerate((*self.pauses, None)):
            try:
                status, wanted = self._post(key, body)
            except _FAULTS as error:
                status, wanted, fault = 0, 0.0, type(error).__name__
            if 200 <= status < 300:
                return attempt + 1
            if 400 <= status < 500 and status not in _AGAIN:
                raise Refused("The server of the channel {channel} refuses the batch: status {status}.",
                              "Look at its side; what was sent so far is kept, and sending again goes on from there.",
                              channel=self.channel, status=status)  # fmt: skip
            fault = str(status) if status else fault
            if pause is not None:
                self.sleep(max(wanted, pause * random.uniform(0.5, 1.0)))  # noqa: S311 - no secret
        raise Interrupted("The server of the channel {channel} did not take a batch: {fault}.",
                          "What was sent so far is kept: sending again goes on from there.", channel=self.channel,
                          fault=fault)  # fmt: skip

    def _post(self, key: str, body: bytes) -> tuple[int, float]:
        """(status, seconds that the server wants to be left alone)."""
        check_webhook(self.server.url)
        parts = urlsplit(self.server.url)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, "Connection": "close"}
        if self.server.token_file:
            token = private_files.read_secret(Path(self.server.token_file)).decode().strip()
            headers["Authorization"] = f"Bearer {token}"
        connection = kind(parts.hostname or "", parts.port, timeout=self.seconds)
        try:
            path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read(_MOST_ANSWER)
            return answer.status, _pause(answer.getheader("Retry-After", ""))
        finally:
            connection.close()


def _pause(text: str) -> float:
    """Of `Retry-After` in seconds (RFC 9110, 10.2.3); a date counts as nothing."""
    return min(float(text), _LONGEST_PAUSE) if text.isascii() and text.isdigit() and len(text) < 9 else 0.0
