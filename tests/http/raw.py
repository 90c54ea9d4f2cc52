"""A server that says any bytes whatever, for tests of what a client makes of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from sinks.http.settings import HttpTarget
from sinks.http.sink import HttpSink
from tests.httprig import FAST, ITEM, PUT

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
Script = Callable[[int, socket.socket], None]
"""Given the number of the request, from 0, and the connection that it came by."""


@dataclass
class Raw:
    port: int
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def keys(self) -> list[bytes]:
        """The idempotency keys that came."""
        return [
            line.partition(b":")[2].strip()
            for head in self.heads
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"idempotency-key:")
        ]

    @contextmanager
    def sink(self, directory: Path, **more: object) -> Iterator[HttpSink]:
        target = HttpTarget.model_validate(
            {
                "type": "http",
                "url": f"http://127.0.0.1:{self.port}",
                "reach": {"plain": "true", "private": ["127.0.0.1"]},
                "retries": FAST,
                "limits": {"concurrency": "1"},
                "entities": {"item": PUT},
                **more,
            }
        )
        sink = HttpSink(target, "line", directory / "line.db")
        sink.open("journal")
        try:
            sink.prepare([ITEM])
            yield sink
        finally:
            sink.close()


@contextmanager
def serving(script: Script, listener: socket.socket | None = None) -> Iterator[Raw]:
    listener = listener or socket.create_server(("127.0.0.1", 0))
    raw = Raw(listener.getsockname()[1])
    open_ones: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            raw.connections += 1
            open_ones.append(connection)
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError), connection.makefile("rb") as read:
            while head := _request(read):
                raw.heads.append(head)
                script(len(raw.heads) - 1, connection)

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield raw
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for one in open_ones:
            one.close()
        thread.join(60)


def _request(read: object) -> bytes:
    head, length = b"", 0
    while line := read.readline():  # type: ignore[attr-defined]
        head += line
        if line.lower().startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
        if line == b"\r\n":
            return head + read.read(length)  # type: ignore[attr-defined,no-any-return]
    return b""


def close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)
