"""Figures of a node for machines: /health (it lives), /ready (it takes jobs and listens), /metrics (Prometheus).

Counts, seconds and bytes; the names of peers and kinds of jobs are the only labels.
"""

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from cleanroom.errors import Interrupted


class Metrics:
    """The figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"cleanroom_{name}", text, labels, registry=self.registry)

        self.jobs = counter("jobs", "Jobs that ended.", "kind", "state")
        self.calls = counter("calls", "Calls of peers.", "call", "outcome")
        self.messages = counter("messages", "Messages of peers handled.", "kind", "outcome")
        self.bytes = counter("wire_bytes", "Bytes over wires.", "peer", "way")
        self.cuts = counter("wire_cuts", "Exchanges of wires that broke.", "peer")
        self.seconds = Histogram("cleanroom_job_seconds", "How long jobs ran.", ["kind"], registry=self.registry,
                                 buckets=(0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200))  # fmt: skip
        self.running = Gauge("cleanroom_jobs_running", "Jobs now running.", registry=self.registry)
        self.queued = Gauge("cleanroom_jobs_queued", "Jobs that wait.", registry=self.registry)
        self.waiting = Gauge("cleanroom_approvals_waiting", "What waits for a person.", registry=self.registry)
        self.certificate = Gauge("cleanroom_certificate_seconds", "Until this node's certificate ends.",
                                 registry=self.registry)  # fmt: skip
        self.links = Gauge("cleanroom_wires_open", "Wires now open.", registry=self.registry)


class Endpoint:
    """The HTTP server of these figures, and nothing else."""

    def __init__(self, address: str, metrics: Metrics, ready: Callable[[], bool]) -> None:
        """address: host:port. Raises Interrupted where it is taken."""
        host, _, port = address.rpartition(":")

        class Handler(BaseHTTPRequestHandler):
            timeout = 10
            server_version, sys_version = "cleanroom", ""

            def do_GET(self) -> None:
                found = {"/health": (200, b"ok\n"), "/ready": (200, b"ready\n") if ready() else (503, b"not ready\n"),
                         "/metrics": (200, generate_latest(metrics.registry))}.get(self.path)  # fmt: skip
                status, body = found or (404, b"not here\n")
                self.send_response(status)
                self.send_header("Content-Type", CONTENT_TYPE_LATEST if self.path == "/metrics" else "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: paths are strangers' texts."""

        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except OSError as error:
            raise Interrupted("The node cannot listen on {address}.", "Is another node running?",
                              address=address) from error  # fmt: skip
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
