"""The gateway's network: POST /gateway.do by Starlette on Uvicorn, on the loopback unless the settings say otherwise.

Bodies are bounded in length and time, calls in number. Whatever comes by POST is answered with status 200 and a signed
object, since the SDK reads nothing else; other methods and paths get a bare 405 or 404.
"""

import asyncio
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
import uvicorn
from anyio import CapacityLimiter
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from cleanroom.errors import UsageError
from cleanroom.gateway.codes import Fault
from cleanroom.gateway.envelope import MOST_BYTES
from cleanroom.gateway.service import Service
from cleanroom.node.config import address

PATH = "/gateway.do"
USUAL = "127.0.0.1:80"
MOST_CALLS = 64
"""Under way at once; more are answered as busy."""
THREADS = 4
BODY_SECONDS = 10.0
HEAD_SECONDS = 10.0
MOST_CONNECTIONS = 512
"""More get a bare 503."""
_TYPE = "application/json;charset=utf-8"
_LONGEST_LINE = 64 << 10
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


@dataclass(frozen=True)
class Listening:
    """Where the gateway listens. host, port: port 0 for any free one; certificate, key: PEM files for TLS, or none."""

    host: str = "127.0.0.1"
    port: int = 80
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def at(cls, text: str, certificate: Path | None = None, key: Path | None = None) -> "Listening":
        """Of HOST:PORT. Raises UsageError, also for a place that others can reach without TLS."""
        host, port = address(text)
        if (certificate is None) != (key is None):
            raise UsageError("TLS needs a certificate and its key.", "Give --certificate and --key.")
        return cls(host, port, certificate, key)


def application(service: Service) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """The ASGI application. Request targets may be whole addresses, as the SDK sends them (RFC 9112, 3.2.2)."""
    limiter, under_way = CapacityLimiter(THREADS), [0]

    async def called(request: Request) -> Response:
        if under_way[0] >= MOST_CALLS:
            return Response(service.refuse(Fault("isp.busy")), media_type=_TYPE)
        under_way[0] += 1
        try:
            return await _answered(service, request, limiter)
        finally:
            under_way[0] -= 1

    routed = Starlette(routes=[Route(PATH, called, methods=["POST"])])

    async def entered(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not scope["path"].startswith("/"):
            scope = {**scope, "path": urlsplit(scope["path"]).path}
        await routed(scope, receive, send)

    return entered


async def _answered(service: Service, request: Request, limiter: CapacityLimiter) -> Response:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > MOST_BYTES:
                    return _closing(service.refuse(Fault("isv.request-too-large", most=MOST_BYTES)))
    except TimeoutError:
        return _closing(service.refuse(Fault("isv.request-too-slow", seconds=int(BODY_SECONDS))))
    except ClientDisconnect:
        return Response(status_code=400)
    query = bytes(request.scope["query_string"])
    answer = await anyio.to_thread.run_sync(service.answer, query, bytes(body), limiter=limiter)
    return Response(answer, media_type=_TYPE)


def _closing(answer: bytes) -> Response:
    return Response(answer, media_type=_TYPE, headers={"connection": "close"})


class _Hurried(H11Protocol):
    """A connection that is closed where the head of a request takes too long: slow ones hold no place."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._hurry()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        self._let()
        super().connection_lost(exc)

    def _hurry(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._let()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _let(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None


class Server:
    """A gateway at work. `run` until it is told to stop; `running` in a thread of its own."""

    def __init__(self, service: Service, listening: Listening) -> None:
        config = uvicorn.Config(
            application(service), lifespan="off", log_config=None, access_log=False, server_header=False,
            http=_Hurried, limit_concurrency=MOST_CONNECTIONS,
            loop="asyncio", ws="none", proxy_headers=False, timeout_keep_alive=30, backlog=256,
            h11_max_incomplete_event_size=_LONGEST_LINE, timeout_graceful_shutdown=10,
        )  # fmt: skip
        self._tls = _tls(listening)
        config.load()
        if self._tls is not None:
            config.ssl = self._tls
        self._server = uvicorn.Server(config)
        self._socket = _bound(listening)
        self.port: int = self._socket.getsockname()[1]
        self.host = listening.host

    @property
    def url(self) -> str:
        """As `AlipayClientConfig.server_url` takes it, where the port is the usual one."""
        scheme, usual = ("http", 80) if self._tls is None else ("https", 443)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}{'' if self.port == usual else f':{self.port}'}{PATH}"

    def run(self) -> None:
        """Until SIGTERM, SIGINT, or `stop`."""
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """Soon."""
        self._server.should_exit = True


@contextmanager
def running(service: Service, listening: Listening) -> Iterator[Server]:
    """A server in a thread; it has stopped when this ends."""
    server = Server(service, listening)
    thread = threading.Thread(target=server.run, name="gateway", daemon=True)
    thread.start()
    try:
        while not server._server.started and thread.is_alive():
            thread.join(0.01)
        yield server
    finally:
        server.stop()
        thread.join(15)


def _tls(listening: Listening) -> ssl.SSLContext | None:
    if listening.certificate is None or listening.key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(listening.certificate, listening.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError("The certificate {name} and its key cannot be used.", "Both as PEM, the chain in one file.",
                         name=listening.certificate.name) from error  # fmt: skip
    return context


def _bound(listening: Listening) -> socket.socket:
    """A listening socket. Raises UsageError."""
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((listening.host, listening.port))
    except OSError as error:
        made.close()
        raise UsageError("{address} cannot be listened at: {reason}.", "Name another: --listen HOST:PORT.",
                         address=f"{listening.host}:{listening.port}", reason=error.strerror) from error  # fmt: skip
    return made
