"""/metrics, /livez and /readyz of all processes of a project, on one local port."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

from tailrace.errors import TailraceError


def serve(
    host: str, port: int, metrics: Path, judged: Callable[[], tuple[Sequence[str], Sequence[str]]]
) -> ThreadingHTTPServer:
    """Serve in a thread of its own until `shutdown`. Port 0 takes a free one.

    `judged`: why the line is not ready, and what else is to be known of it.

    Errors: TailraceError where the port is taken.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                registry = CollectorRegistry()
                MultiProcessCollector(registry, str(metrics))  # type: ignore[no-untyped-call]
                self._answer(200, generate_latest(registry), CONTENT_TYPE_LATEST)
            elif self.path == "/livez":
                self._answer(200, b"alive\n")
            elif self.path == "/readyz":
                found, warnings = judged()
                text = "".join(f"{line}\n" for line in found) or "ready\n"
                text += "".join(f"warning: {line}\n" for line in warnings)
                self._answer(503 if found else 200, text.encode())
            else:
                self._answer(404, b"/metrics, /livez or /readyz\n")

        def _answer(
            self, status: int, body: bytes, kind: str = "text/plain; charset=utf-8"
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Requests of a scraper are not worth a log line."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise TailraceError(
            f"cannot serve metrics on {host}:{port}: {error.strerror}",
            fix="stop what uses the port, or choose another with --listen",
        ) from error
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="web", daemon=True).start()
    return server
