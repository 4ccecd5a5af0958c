"""Connections that keep the console waiting are ended: else some hundred silent ones would shut everybody else out."""

import asyncio
import logging

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cleanroom.errors import our_mistake
from cleanroom.node.log import Log

HEAD_SECONDS = 20.0
"""For so long a connection may be without the whole head of a request, whether it sends a little of it or nothing."""


class Impatient(H11Protocol):
    """Uvicorn's HTTP/1.1 with an end to waiting. Between two requests Uvicorn's own keep-alive holds as well."""

    _ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The wait begins."""
        super().connection_made(transport)
        self._ending = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        """It ends with the last byte of a request's head, and begins again with the first of the next."""
        super().data_received(data)
        waits = self.conn.their_state is h11.IDLE
        if not waits:
            self._end_wait()
        elif self._ending is None:
            self._ending = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left to wait for."""
        self._end_wait()
        super().connection_lost(exc)

    def _end_wait(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None


class Told(logging.Handler):
    """What the server's libraries log: their errors by type and place. Their texts could hold what a browser sent."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One line for an error; warnings are dropped."""
        if record.exc_info and record.exc_info[1] is not None:
            self._log("mistake", call="console server", **our_mistake(record.exc_info[1]).params)
