"""The console's server: Uvicorn on the loopback, or anywhere by TLS; it ends when whoever started it does."""

import logging
import os
import socket
import ssl
import sys
import threading
from pathlib import Path

import uvicorn

from cleanroom import private_files
from cleanroom.console.app import guarded
from cleanroom.console.patience import Impatient, Told
from cleanroom.console.place import Place
from cleanroom.errors import UsageError
from cleanroom.node.config import Config, address, is_loopback
from cleanroom.node.log import Log

MOST_CONNECTIONS = 256
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened at
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Server:
    """A console at work. Use `run` until `stop`."""

    def __init__(self, path: Path, log: Log | None = None) -> None:
        """Raises UsageError where the place cannot be listened at."""
        self._place = Place.of(path)
        settings = self._place.settings
        host, port = address(settings.console_listen)
        self._tls = _tls(settings)
        if self._tls is None and not is_loopback(host):  # also where the settings say `console = false`
            raise UsageError(
                "Beyond this machine the console is served with TLS only.",
                "Name the files console_certificate and console_key, or let console_listen be 127.0.0.1:8817.",
            )
        self._socket = _bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self.host = host
        hosts = frozenset({*settings.console_names, *(_LOOPBACK if is_loopback(host) else ()),
                           *(() if host in _ANY else (host,))})  # fmt: skip
        app = guarded(self._place, log or Log(), hosts=hosts, port=self.port, secure=self._tls is not None)
        config = uvicorn.Config(
            app, lifespan="off", log_config=None, access_log=False, server_header=False, loop="asyncio", ws="none",
            limit_concurrency=MOST_CONNECTIONS, proxy_headers=False, timeout_keep_alive=30, http=Impatient,
            h11_max_incomplete_event_size=64 << 10, timeout_graceful_shutdown=5,
        )  # fmt: skip
        config.load()
        if self._tls is not None:
            config.ssl = self._tls
        self._server = uvicorn.Server(config)

    @property
    def url(self) -> str:
        """Where a browser of this machine finds it."""
        host = "127.0.0.1" if self.host in _ANY else f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def started(self) -> bool:
        """Whether it takes requests."""
        return bool(self._server.started)

    def run(self) -> None:
        """Until `stop`."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._place.state.close()

    def stop(self) -> None:
        """Soon."""
        self._server.should_exit = True


def serve_until_eof(path: Path) -> None:
    """Serve the home's console; its address goes to standard output as JSON. Ends when standard input does."""
    import json

    server = Server(path)
    logging.getLogger().handlers = [Told(Log())]

    def watched() -> None:
        while os.read(0, 4096):
            pass
        server.stop()

    def told() -> None:
        sys.stdout.write(json.dumps({"url": server.url}) + "\n")
        sys.stdout.flush()

    threading.Thread(target=watched, name="watch", daemon=True).start()
    told()
    warming = threading.Thread(target=_warm, name="warm", daemon=True)
    warming.start()
    server.run()
    warming.join()  # an interpreter that ends while libraries load may never end


def _warm() -> None:
    """Draw and price once, so that the first page need not wait for what does."""
    from cleanroom.insight import portrait_views, views  # noqa: F401 - what the first page of insight loads
    from cleanroom.privacy import accounting
    from cleanroom.report import charts

    charts.bars("", [charts.Bar("", 1.0)])
    accounting.epsilon(accounting.MICRO, 1e-6)


def _tls(settings: Config) -> ssl.SSLContext | None:
    """None without a certificate. Raises Refused where others may read the key, UsageError for what cannot be used."""
    if not settings.console_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    pem, key = Path(settings.console_certificate).expanduser(), Path(settings.console_key).expanduser()
    private_files.read_secret(key, 1 << 16)
    try:
        context.load_cert_chain(pem, key, password="")  # or it would ask whoever sits at the node
    except (OSError, ssl.SSLError) as error:
        raise UsageError("The certificate {name} and its key cannot be used.", "Both as PEM, the chain in one file.",
                         name=Path(settings.console_certificate).name) from error  # fmt: skip
    return context


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(128)  # before the address is told: a browser may come at once
    except OSError as error:
        made.close()
        raise UsageError("{address} cannot be listened at: {reason}.", "Set another console_listen in node.toml.",
                         address=f"{host}:{port}", reason=error.strerror) from error  # fmt: skip
    return made
